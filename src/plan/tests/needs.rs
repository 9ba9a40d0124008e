//! What a configuration needs of the kernel, for an ADD as it comes and for all that it declares.

use serde_json::{Value, json};

use crate::{
    cni::Request,
    config::NetworkConfig,
    plan::{declared_needs, needs},
};

fn config(config: &Value) -> NetworkConfig {
    let status = |name: &str| match name {
        "CNI_COMMAND" => Some("STATUS".into()),
        "CNI_PATH" => Some("/opt/cni/bin".into()),
        _ => None,
    };
    NetworkConfig::parse(config.to_string().as_bytes(), &Request::parse(&status).unwrap()).unwrap()
}

/// The features' names that only [`declared_needs`] has.
fn declared(of: &Value) -> Vec<String> {
    let of = config(of);
    let names = |needs: Vec<crate::kernel::Need>| needs.iter().map(|need| need.feature.name().to_owned()).collect();
    let (mut all, now): (Vec<String>, Vec<String>) = (names(declared_needs(&of)), names(needs(&of)));
    all.retain(|name| !now.contains(name));
    all.sort();
    all
}

#[test]
fn what_capabilities_declare_is_needed_before_it_is_asked_for() {
    let network = |keys: Value| {
        let mut config = json!({ "cniVersion": "1.1.0", "name": "n", "type": "groundwork" });
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        config
    };
    let ports = json!({ "portMappings": true });
    let redirection = ["nf_conntrack_netlink", "nf_tables", "nft_chain_nat", "nft_fib", "nft_nat"];
    let sources = ["nft_ct", "nft_masq"];
    let mut all = [&redirection[..], &sources[..]].concat();
    all.sort_unstable();
    let bridge = |capabilities: &Value| network(json!({ "bridge": "br0", "capabilities": capabilities }));
    assert_eq!(declared(&bridge(&ports)), all);
    assert_eq!(declared(&network(json!({ "type": "portmap", "capabilities": ports }))), all);
    assert_eq!(declared(&network(json!({ "type": "portmap", "snat": false, "capabilities": ports }))), redirection);
    let limits = ["ifb", "ingress", "mirred", "tbf", "u32"];
    for declaring in [network(json!({ "type": "bandwidth" })), bridge(&json!({}))] {
        let mut declaring = declaring;
        declaring["capabilities"] = json!({ "bandwidth": true });
        assert_eq!(declared(&declaring), limits);
    }
    assert_eq!(declared(&bridge(&json!({ "ips": true, "mac": true, "portMappings": false }))), [""; 0]);
    let of_bridge = declared_needs(&config(&bridge(&ports)));
    assert!(of_bridge.last().unwrap().why.ends_with(", which \"capabilities\" declares"), "{of_bridge:?}");
    let delegate = network(json!({ "delegate": { "type": "ptp" }, "capabilities": ports }));
    assert_eq!(declared(&delegate), [""; 0]);
    assert_eq!(declared(&bridge(&json!({}))), [""; 0]);
}

fn network(keys: &Value) -> NetworkConfig {
    let mut all = json!({ "cniVersion": "1.1.0", "name": "n", "type": "groundwork" });
    all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config(&all)
}

#[test]
fn each_part_of_a_configuration_needs_its_features() {
    let ports = |protocol| json!({ "portMappings": [{ "hostPort": 1, "containerPort": 1, "protocol": protocol }] });
    let limit = |way: &str| json!({ "type": "bandwidth", format!("{way}Rate"): 8000, format!("{way}Burst"): 8000 });
    let masquerade = "nf_tables nft_chain_nat nft_masq";
    let redirection = "nf_tables nft_chain_nat nft_nat nft_fib";
    for (keys, features) in [
        (json!({}), "bridge veth"),
        (json!({ "modules": ["tbf"] }), "tbf"),
        (json!({ "bridge": "br0" }), "bridge veth"),
        (json!({ "bridge": "br0", "modules": ["tbf", "veth"] }), "bridge veth tbf"),
        (json!({ "bridge": "br0", "vlan": 5 }), "bridge veth vlan_filtering"),
        (json!({ "bridge": "br0", "ipMasq": true }), &format!("bridge veth {masquerade}")),
        (json!({ "bridge": "br0", "macspoofchk": true }), "bridge veth nf_tables nft_bridge nft_meta_bridge"),
        (json!({ "bridge": "br0", "overlay": { "network": "10.244.0.0/16" } }), "bridge veth vxlan nf_tables"),
        (json!({ "link": "ptp" }), "veth"),
        (json!({ "link": "dummy" }), "dummy"),
        (json!({ "link": "macvlan", "master": "ens3" }), "macvlan"),
        (json!({ "link": "ipvlan", "master": "ens3" }), "ipvlan"),
        (json!({ "link": "vlan", "master": "ens3", "vlanId": 5 }), "vlan"),
        (json!({ "link": "host-device", "device": "ens3" }), ""),
        (json!({ "type": "vrf", "vrfname": "blue" }), "vrf"),
        (json!({ "type": "tuning", "mtu": 1400 }), ""),
        (json!({ "type": "tuning" }), ""),
        (json!({ "type": "firewall" }), "nf_tables nft_ct"),
        (json!({ "type": "portmap", "runtimeConfig": {} }), ""),
        (json!({ "type": "portmap", "snat": false, "runtimeConfig": ports("tcp") }), redirection),
        (json!({ "type": "portmap", "runtimeConfig": ports("tcp") }), &format!("{redirection} nft_ct nft_masq")),
        (
            json!({ "type": "portmap", "snat": false, "runtimeConfig": ports("udp") }),
            &format!("{redirection} nf_conntrack_netlink"),
        ),
        (limit("ingress"), "tbf"),
        (limit("egress"), "tbf ifb ingress mirred u32"),
        (json!({ "delegate": { "type": "ptp" } }), "veth"),
    ] {
        let names: Vec<_> = needs(&network(&keys)).iter().map(|need| need.feature.name().to_owned()).collect();
        assert_eq!(names.join(" "), features, "{keys}");
    }
}

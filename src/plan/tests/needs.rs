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
    let delegate = network(json!({ "delegate": { "type": "ptp" }, "capabilities": ports }));
    assert_eq!(declared(&delegate), [""; 0]);
    assert_eq!(declared(&bridge(&json!({}))), [""; 0]);
}

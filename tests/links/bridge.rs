//! What the bridge plugin can do beside the usual.

use serde_json::{Value, json};

use crate::{
    reference::alike,
    support::{Host, Sandbox, with_prev},
};

/// A network called by the reference plugin's name, with some keys of its own.
fn network(keys: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "br0",
        "ipam": { "type": "host-local", "subnet": "10.5.0.0/24" },
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn complaint(sandbox: &Sandbox<'_>, config: &Value, result: &Value) -> String {
    sandbox.verb("CHECK", &with_prev(config, result)).error()["msg"].as_str().unwrap().to_owned()
}

#[test]
fn as_the_reference_does() {
    let mut two = network(json!({ "isDefaultGateway": true, "mtu": 1400, "hairpinMode": true }));
    two["ipam"]["ranges"] = json!([[{ "subnet": "fd05::/64" }]]);
    for config in [
        network(json!({})),
        network(json!({ "isGateway": true })),
        network(json!({ "isDefaultGateway": true, "promiscMode": true })),
        two,
    ] {
        alike(&config, "true");
    }
}

#[test]
fn isolated_ports_reach_the_gateway_and_no_other_port() {
    let host = Host::new();
    let config = network(json!({ "isGateway": true, "portIsolation": true }));
    let [web, db, open] = ["web", "db", "open"].map(|name| host.sandbox(name));
    let result = web.add(&config);
    db.add(&config);
    open.add(&network(json!({ "isGateway": true })));
    for address in ["10.5.0.1", "10.5.0.4"] {
        web.ping(address);
    }
    assert!(!web.pings("10.5.0.3"));
    web.check(&config, &result);
    host.sh(&format!("ip link set {} type bridge_slave isolated off", result["interfaces"][1]["name"]));
    assert!(complaint(&web, &config, &result).contains("isolation of host link"));
    web.ping("10.5.0.3");
}

#[test]
fn a_checked_port_sends_from_its_own_address_only() {
    let host = Host::new();
    let before = host.snapshot();
    let config = network(json!({ "isGateway": true, "macspoofchk": true }));
    let (web, other) = (host.sandbox("web"), host.sandbox("other"));
    let result = web.add(&config);
    other.add(&network(json!({ "isGateway": true })));
    web.ping("10.5.0.1");
    web.check(&config, &result);
    web.sh("ip link set eth0 address 02:00:00:00:00:99");
    assert!(!web.pings("10.5.0.1"));
    other.sh("ip link set eth0 address 02:00:00:00:00:98");
    other.ping("10.5.0.1");
    let mac = result["interfaces"][2]["mac"].as_str().unwrap();
    web.sh(&format!("ip link set eth0 address {mac}"));
    web.ping("10.5.0.1");

    let port = result["interfaces"][1]["name"].as_str().unwrap();
    let element = format!("'{{ \"{port}\" . {mac} }}'");
    host.sh(&format!("nft delete element bridge groundwork spoof_ok {element}"));
    let missing = complaint(&web, &config, &result);
    assert!(missing.contains("of nf_tables set bridge groundwork spoof_ok: expected present"), "{missing}");

    web.del(&config);
    other.del(&config);
    let left = before.difference(&host.snapshot());
    assert!(!left.contains(port) && !left.contains("elements"), "{left}");
}

#[test]
fn an_interface_can_be_left_down() {
    let host = Host::new();
    let config = network(json!({ "disableContainerInterface": true, "ipam": {} }));
    let web = host.sandbox("web");
    let result = web.add(&config);
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
    let state = "cat /sys/class/net/eth0/flags 2>/dev/null || ip -br link show eth0";
    assert!(web.sh("ip -br link show eth0").contains("DOWN"), "{}", web.sh(state));
    web.check(&config, &result);
    web.del(&config);
    let clash = network(json!({ "disableContainerInterface": true }));
    let error = web.verb("ADD", &clash).error();
    assert_eq!(error["code"], 7);
    assert!(error["msg"].as_str().unwrap().contains("exclude each other"), "{error}");
}

#[test]
fn a_result_tells_mtus_from_1_1_0_on() {
    let host = Host::new();
    let config = network(json!({ "cniVersion": "1.1.0", "mtu": 1400 }));
    let result = host.sandbox("web").add(&config);
    let mtus: Vec<_> = result["interfaces"].as_array().unwrap().iter().map(|one| one["mtu"].clone()).collect();
    assert_eq!(mtus, [1400, 1400, 1400]);
    let config = network(json!({ "cniVersion": "1.1.0", "mtu": 1300 }));
    let result = host.sandbox("db").add(&config);
    let mtus: Vec<_> = result["interfaces"].as_array().unwrap().iter().map(|one| one["mtu"].clone()).collect();
    assert_eq!(mtus, [Value::Null, 1300.into(), 1300.into()], "the kernel may have changed the bridge's");
}

/// Where the kernel can, two containers of two VLANs; where it cannot, it is said before anything is touched.
#[test]
fn vlans() {
    let host = Host::new();
    let able = host.try_sh("ip link add probe type bridge vlan_filtering 1 && ip link del probe").status.success();
    let before = host.snapshot();
    let [web, db] = ["web", "db"].map(|name| host.sandbox(name));
    let of = |vlan: u16, subnet: &str| {
        let ipam = json!({ "type": "host-local", "subnet": subnet });
        network(json!({ "name": format!("net{vlan}"), "vlan": vlan, "isGateway": true, "ipam": ipam }))
    };
    let (a, b) = (of(100, "10.5.0.0/24"), of(200, "10.6.0.0/24"));
    if !able {
        let error = web.verb("ADD", &a).error();
        let told = error.to_string();
        assert!(
            told.contains("the kernel lacks vlan_filtering") && told.contains("CONFIG_BRIDGE_VLAN_FILTERING"),
            "{told}"
        );
        before.assert_same(&host.snapshot());
        return;
    }
    let result = web.add(&a);
    db.add(&b);
    assert_eq!(result["interfaces"][3]["name"], "br0.100");
    web.ping("10.5.0.1");
    db.ping("10.6.0.1");
    web.check(&a, &result);
}

/// Its containers know a gateway by its hardware address, which a bridge takes from its ports unless it is told not to.
#[test]
fn a_bridge_that_is_there_keeps_its_address() {
    let host = Host::new();
    host.sh("ip link add br0 address fe:00:00:00:00:01 type bridge; ip link del br0; ip link add br0 type bridge");
    let address = || host.sh("cat /sys/class/net/br0/address");
    let before = address();
    let config = network(json!({ "isGateway": true }));
    let containers = ["a", "b", "c", "d", "e"].map(|name| host.sandbox(name));
    for container in &containers {
        container.add(&config);
        assert_eq!(address(), before);
    }
    containers.iter().for_each(|container| container.del(&config));
    assert_eq!(address(), before);

    // One that lost its ports has none.
    host.sh("ip link del br0; ip link add br0 type bridge; ip link add port type dummy || ip link add port type ifb
             ip link set port master br0; ip link del port");
    let result = containers[0].add(&config);
    assert_eq!(format!("{}\n", result["interfaces"][0]["mac"].as_str().unwrap()), address());
    containers[0].del(&config);
    assert_ne!(address(), "00:00:00:00:00:00\n");
}

//! A node is switched to groundwork while containers of the reference plugins run: the runtime goes on with them.

use serde_json::{Value, json};

use crate::{
    network::{UPLINK, complaint, network},
    support::{GROUNDWORK, Host, REFERENCE_PLUGINS},
};

/// A network of the reference plugin, with IPv4 addresses from where that keeps its leases.
fn of(kind: &str, keys: Value) -> Value {
    let mut config = network(kind, keys);
    config["ipam"] = json!({
        "type": "host-local", "subnet": "10.5.0.0/24", "dataDir": "/var/lib/cni/networks",
        "routes": [{ "dst": "0.0.0.0/0" }],
    });
    config
}

#[test]
fn check_and_del_of_what_the_reference_made() {
    for (config, on_host) in [
        (of("bridge", json!({ "bridge": "br0", "isGateway": true, "hairpinMode": true })), "^veth"),
        (of("ptp", json!({ "mtu": 1400 })), "^veth"),
        (of("macvlan", json!({ "master": "uplink" })), "^no-such-link"),
    ] {
        let mut host = Host::new();
        host.sh(UPLINK);
        host.plugin = format!("{REFERENCE_PLUGINS}/{}", config["type"].as_str().unwrap()).into();
        let before = host.sandbox("web").add(&config);
        host.plugin = GROUNDWORK.into();
        let mut web = host.named("web");
        web.check(&config, &before);
        web.sh("ip link set eth0 address 02:00:00:00:00:66");
        assert!(complaint(&web, &config, &before).contains("hardware address of eth0: expected "));
        web.sh(&format!(
            "ip link set eth0 address {}",
            before["interfaces"].as_array().unwrap().last().unwrap()["mac"]
        ));
        web.check(&config, &before);
        let ends = format!("ip -br link show type veth | grep -v uplink | grep -o '{on_host}[0-9a-f]*' || true");
        for end in host.sh(&ends).lines() {
            host.sh(&format!("ip link set {end} down"));
            assert!(complaint(&web, &config, &before).contains(&format!("host link {end}: expected up, found down")));
        }
        web.del(&config);
        assert_eq!(host.sh("ls /var/lib/cni/networks/net | grep '^10' || true"), "", "its lease is given back");
        web.container = "nobody".into();
        web.ifname = "eth1".into();
        let error = web.verb("CHECK", &crate::support::with_prev(&config, &before)).error();
        assert_eq!(error["code"], 3, "{error}");
    }
}

#[test]
fn a_device_of_the_host_comes_back() {
    let config = of("host-device", json!({ "device": "uplink" }));
    let mut host = Host::new();
    host.sh(UPLINK);
    host.plugin = format!("{REFERENCE_PLUGINS}/host-device").into();
    host.sandbox("web").add(&config);
    host.plugin = GROUNDWORK.into();
    let web = host.named("web");
    host.sh("ip link add uplink type bridge");
    let refused = web.verb("DEL", &config).error();
    assert!(refused["msg"].as_str().unwrap().contains("another link of that name"), "{refused}");
    assert!(web.sh("ip -br link show eth0").contains("UP"));
    host.sh("ip link del uplink");
    web.del(&config);
    assert!(host.sh("ip -br link show uplink").contains("UP") && !web.sh("ip -br link").contains("eth0"));
    web.del(&config);
}

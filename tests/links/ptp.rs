//! Veth pairs without a bridge.

use serde_json::{Value, json};

use crate::{
    reference::alike,
    support::{GROUNDWORK, Host, with_prev},
};

fn network(keys: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "ptp",
        "ipam": {
            "type": "host-local", "subnet": "10.7.0.0/24", "ranges": [[{ "subnet": "fd07::/64" }]],
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
        },
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

#[test]
fn as_the_reference_does() {
    let single = json!({ "type": "host-local", "subnet": "10.7.0.0/24" });
    for config in [network(json!({})), network(json!({ "mtu": 1400 })), network(json!({ "ipam": single }))] {
        alike(&config, "true");
    }
}

#[test]
fn containers_reach_each_other_and_the_world_through_the_host() {
    let host = Host::new();
    let before = host.snapshot();
    let world = host.sandbox("world");
    host.sh(
        "ip link add up0 type veth peer name eth0 netns world && ip addr add 192.0.2.1/24 dev up0 && ip link set up0 up",
    );
    world.sh("ip link set lo up; ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up");
    let config = network(json!({ "ipMasq": true }));
    let (web, db) = (host.sandbox("web"), host.sandbox("db"));
    let result = web.add(&config);
    db.add(&config);
    for address in ["10.7.0.1", "fd07::1", "10.7.0.3", "fd07::3", "192.0.2.2"] {
        web.ping(address);
    }
    host.sh("ping -n -c 1 -W 2 10.7.0.2 && ping -n -c 1 -W 2 fd07::3");
    web.check(&config, &result);
    web.del(&config);
    web.del(&config);
    db.del(&config);
    host.sh("ip link del up0");
    let left = before.difference(&host.snapshot());
    assert!(!left.contains("veth") && !left.contains("10.7.") && !left.contains("fd07"), "{left}");
}

#[test]
fn check_names_what_is_gone() {
    let host = Host::new();
    let config = network(json!({}));
    let web = host.sandbox("web");
    let result = web.add(&config);
    let link = result["interfaces"][0]["name"].as_str().unwrap().to_owned();
    let complaint = || web.verb("CHECK", &with_prev(&config, &result)).error()["msg"].as_str().unwrap().to_owned();
    for (breaks, mends, says) in [
        (
            format!("ip addr del 10.7.0.1/32 dev {link}"),
            format!("ip addr add 10.7.0.1/32 dev {link}; ip route add 10.7.0.2 dev {link}"),
            format!("address of host link {link}: expected 10.7.0.1/32, found none"),
        ),
        (
            "ip route del 10.7.0.2".into(),
            format!("ip route add 10.7.0.2 dev {link}"),
            format!("route to 10.7.0.2/32 on the host: expected dev {link}, found missing"),
        ),
        (
            "sysctl -qw net.ipv4.ip_forward=0".into(),
            "sysctl -qw net.ipv4.ip_forward=1".into(),
            "IPv4 forwarding of the host: expected on, found off".into(),
        ),
        (
            "ip -n web route del 10.7.0.0/24".into(),
            "ip -n web route add 10.7.0.0/24 via 10.7.0.1".into(),
            "route 10.7.0.0/24 in the container: expected via 10.7.0.1, found none".into(),
        ),
        (
            "ip -n web -6 route del fd07::1".into(),
            "ip -n web -6 route add fd07::1 dev eth0".into(),
            "route fd07::1/128 in the container: expected present".into(),
        ),
    ] {
        web.check(&config, &result);
        host.sh(&breaks);
        let said = complaint();
        assert!(said.contains(&says), "{breaks}: {said}");
        host.sh(&mends);
    }
}

/// By the key, in groundwork's own configuration.
#[test]
fn chosen_by_link() {
    let host = Host::new();
    let config = network(json!({ "type": "groundwork", "link": "ptp", "cniVersion": "1.1.0", "mtu": 1300 }));
    let web = host.sandbox("web");
    let result = web.add(&config);
    let mtus: Vec<_> = result["interfaces"].as_array().unwrap().iter().map(|one| one["mtu"].clone()).collect();
    assert_eq!(mtus, [1300, 1300]);
    assert_eq!(result["ips"][1]["interface"], 1);
    web.check(&config, &result);
    assert!(host.gc(&config, &[]).status.success());
    assert!(!web.sh("ip -br link").contains("eth0"));
}

#[test]
fn repair_puts_back_both_ends() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = network(json!({ "ipMasq": true }));
    let result = web.add(&config);
    let link = result["interfaces"][0]["name"].as_str().unwrap();
    host.sh(&format!("ip address flush dev {link}; ip route flush dev {link}; sysctl -qw net.ipv4.ip_forward=0"));
    web.sh("ip route flush dev eth0; ip -6 route flush dev eth0 table main");
    assert!(!web.pings("10.7.0.1"));
    let said = host.sh(&format!("{GROUNDWORK} repair"));
    for part in [
        format!("`ip addr add 10.7.0.1/32 dev {link}`"),
        format!("`ip route add 10.7.0.2/32 dev {link} scope 254`"),
        "`ip netns exec SANDBOX ip route add 10.7.0.1/32 dev eth0 scope 253 src 10.7.0.2`".into(),
    ] {
        assert!(said.contains(&part), "{part} is not in {said}");
    }
    assert_eq!(host.sh(&format!("{GROUNDWORK} repair")), "nothing is missing\n");
    web.check(&config, &result);
    for address in ["10.7.0.1", "fd07::1"] {
        web.ping(address);
    }
}

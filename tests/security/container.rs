//! A container that holds all capabilities in its own network namespace.

use serde_json::json;

use crate::{network, support::Host};

#[test]
fn sends_from_its_own_hardware_and_ip_addresses_only() {
    let host = Host::new();
    let (web, other) = (host.sandbox("web"), host.sandbox("other"));
    let result = web.add(&network("net", 45));
    let mut free = network("net", 45);
    for key in ["macspoofchk", "ipspoofchk"] {
        free[key] = json!(false);
    }
    free["runtimeConfig"] = json!({});
    other.add(&free);
    let spoof = "ip address add 10.45.0.77/24 dev eth0; ip -6 address add fd00:45::77/64 dev eth0 nodad";
    let reaches = |container: &crate::support::Sandbox<'_>, from: &str, to: &str| {
        container.try_sh(&format!("ping -n -c 3 -i 0.3 -W 2 -I {from} {to}")).status.success()
    };
    for (container, free) in [(&web, false), (&other, true)] {
        container.ping("10.45.0.1");
        container.ping("fd00:45::1");
        container.sh(spoof);
        host.sh("ip neigh flush all");
        assert_eq!(reaches(container, "10.45.0.77", "10.45.0.1"), free, "IPv4, ARP allowed: {free}");
        assert_eq!(reaches(container, "fd00:45::77", "fd00:45::1"), free, "IPv6");
        container.ping("10.45.0.1");
        container.sh("ip address del 10.45.0.77/24 dev eth0; ip -6 address del fd00:45::77/64 dev eth0");
    }
    // The word of ARP itself: nobody is told that an address lives here.
    let poison = |container: &crate::support::Sandbox<'_>| {
        container.sh("ip address add 10.45.0.99/32 dev eth0; ip neigh flush dev eth0
                      ping -n -c 1 -W 1 -I 10.45.0.99 10.45.0.1 || true; ip address del 10.45.0.99/32 dev eth0");
    };
    let known = || host.sh("ip neigh show 10.45.0.99 | wc -l").trim() == "1";
    poison(&web);
    assert!(!known(), "a checked container's lie was believed");
    poison(&other);
    assert!(known(), "the trial can fail");
    // And the hardware address.
    let mac = result["interfaces"][2]["mac"].as_str().unwrap();
    web.sh("ip link set eth0 address 02:00:00:00:00:99");
    assert!(!web.pings("10.45.0.1"));
    web.sh(&format!("ip link set eth0 address {mac}"));
    web.ping("10.45.0.1");
}

#[test]
fn check_misses_the_addresses_that_are_let_through() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = network("net", 45);
    let result = web.add(&config);
    web.check(&config, &result);
    let port = result["interfaces"][1]["name"].as_str().unwrap();
    host.sh(&format!("nft delete element bridge groundwork spoof_ip4_ok '{{ \"{port}\" . 10.45.0.2 }}'"));
    let error = web.verb("CHECK", &crate::support::with_prev(&config, &result)).error();
    assert!(error["msg"].as_str().unwrap().contains("spoof_ip4_ok"), "{error}");
    let free = json!({ "cniVersion": "1.1.0", "name": "l2", "type": "groundwork", "bridge": "l2", "ipspoofchk": true });
    let error = host.sandbox("free").verb("ADD", &free).error();
    assert!(error["msg"].as_str().unwrap().contains("`ipspoofchk`"), "{error}");
}

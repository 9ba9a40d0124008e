//! What CHECK finds, and what DEL finds of a sandbox that changed or went.

use serde_json::{Value, json};

use crate::{
    network::with,
    probe::OUTSIDE,
    scenario::{Scenario, Step, WEB, dual, usual},
};

pub(crate) fn scenarios() -> Vec<Scenario> {
    [found(), gone()].into_iter().flatten().collect()
}

fn one(what: &str, changes: Value) -> Scenario {
    Scenario::new(format!("check/{what}"), [usual(changes)])
}

fn found() -> Vec<Scenario> {
    let routes =
        json!({ "ipam": { "routes": [{ "dst": "192.0.2.0/24" }, { "dst": "10.99.0.0/16", "gw": "10.88.0.7" }] } });
    vec![
        one("an address is gone", json!({})).broken("true", "ip address del 10.88.0.2/24 dev eth0"),
        one("an address of IPv6 is gone", dual()).broken("true", "ip -6 address del fd00:88::2/64 dev eth0"),
        one("an address more", json!({})).broken("true", "ip address add 10.99.0.1/24 dev eth0"),
        one("the default route is gone", json!({})).broken("true", "ip route del default"),
        one("a route is gone", routes.clone()).broken("true", "ip route del 192.0.2.0/24"),
        one("a route goes elsewhere", routes).broken("true", "ip route replace 10.99.0.0/16 via 10.88.0.8"),
        one("a route more", json!({})).broken("true", "ip route add 10.99.0.0/16 via 10.88.0.1"),
        one("the interface is down", json!({})).broken("true", "ip link set eth0 down"),
        one("the interface is gone", json!({})).broken("true", "ip link del eth0"),
        one("the interface has another hardware address", json!({}))
            .broken("true", "ip link set eth0 address 02:00:00:00:00:99"),
        one("the interface has another name", json!({}))
            .broken("true", "ip link set eth0 down; ip link set eth0 name eth9; ip link set eth9 up"),
        one("the interface has another mtu", json!({ "mtu": 1400 })).broken("true", "ip link set eth0 mtu 1300"),
        one("the bridge has another name", json!({}))
            .broken("ip link set br0 down; ip link set br0 name br9; ip link set br9 up", "true"),
        one("the host's end is in no bridge", json!({}))
            .broken("ip link set $(ls /sys/class/net | grep ^veth) nomaster", "true"),
        one("the host's end is down", json!({})).broken("ip link set $(ls /sys/class/net | grep ^veth) down", "true"),
        one("the bridge has no address", json!({})).broken("ip address flush dev br0", "true"),
        one("the bridge is no longer promiscuous", json!({ "promiscMode": true }))
            .broken("ip link set br0 promisc off", "true"),
        one("hairpin mode is off", json!({ "hairpinMode": true }))
            .broken("ip link set $(ls /sys/class/net | grep ^veth) type bridge_slave hairpin off", "true"),
        one("the lease is gone", json!({})).broken("rm /var/lib/cni/networks/net/10.88.0.2", "true"),
        one("the lease is another's", json!({})).broken(
            "rm /var/lib/cni/networks/net/10.88.0.2; printf 'db\\r\\neth0' > /var/lib/cni/networks/net/10.88.0.2",
            "true",
        ),
        one("the rules are gone", json!({ "ipMasq": true })).host(OUTSIDE).broken("nft flush ruleset", "true"),
    ]
}

/// DEL of what is not as it was.
fn gone() -> Vec<Scenario> {
    let masqueraded = json!({ "ipMasq": true });
    let one = |what: &str, changes: &Value, between: Vec<Step>| {
        let steps = [Step::Add(WEB)].into_iter().chain(between).chain([Step::Del(WEB), Step::Del(WEB)]);
        Scenario::new(format!("del/{what}"), [usual(changes.clone())]).steps(steps)
    };
    vec![
        one("what was never added", &masqueraded, Vec::new()).steps([Step::Del(WEB)]),
        one("the interface is gone", &masqueraded, vec![Step::Inside(WEB, "ip link del eth0")]),
        one("the addresses are gone", &masqueraded, vec![Step::Inside(WEB, "ip address flush dev eth0")]),
        one("the interface is down", &masqueraded, vec![Step::Inside(WEB, "ip link set eth0 down")]),
        one("the bridge is gone", &json!({}), vec![Step::Host("ip link del br0")]),
        one("the lease is gone", &json!({}), vec![Step::Host("rm /var/lib/cni/networks/net/10.88.0.2")]),
        one(
            "the lease is another's",
            &json!({}),
            vec![Step::Host(
                "rm /var/lib/cni/networks/net/10.88.0.2; printf 'db\\r\\neth0' > /var/lib/cni/networks/net/10.88.0.2",
            )],
        ),
        Scenario::new("del/the namespace is not named", [usual(with(&masqueraded, json!({})))]).steps([
            Step::Add(WEB),
            Step::Env("CNI_NETNS", None),
            Step::Del(WEB),
        ]),
        Scenario::new("del/the namespace is named by nothing", [usual(masqueraded.clone())]).steps([
            Step::Add(WEB),
            Step::Env("CNI_NETNS", Some("")),
            Step::Del(WEB),
        ]),
        Scenario::new("del/the namespace is gone", [usual(masqueraded.clone())]).steps([
            Step::Add(WEB),
            Step::Env("CNI_NETNS", Some("/run/netns/gone")),
            Step::Del(WEB),
        ]),
        Scenario::new("del/the path is no namespace", [usual(masqueraded)]).steps([
            Step::Add(WEB),
            Step::Env("CNI_NETNS", Some("/etc/passwd")),
            Step::Del(WEB),
        ]),
    ]
}

//! The plugin `bridge`, key by key.

use serde_json::{Value, json};

use crate::{
    network::with,
    probe::{OUTSIDE, Place, Probe},
    scenario::{Scenario, Step, WEB, bridge, dual, ping, usual},
};

pub(crate) fn scenarios() -> Vec<Scenario> {
    [keys(), gateways(), masquerading(), addresses_asked_for(), neighbours(), refused()].into_iter().flatten().collect()
}

fn one(what: &str, changes: Value) -> Scenario {
    Scenario::new(format!("bridge/{what}"), [bridge(changes)])
}

fn keys() -> Vec<Scenario> {
    let dns = json!({ "nameservers": ["192.0.2.53"], "domain": "example.org", "search": ["a.example.org"], "options": ["ndots:2"] });
    vec![
        one("plain", json!({})),
        one("its default name", json!({ "bridge": null, "isGateway": true })).together(),
        one("mtu", json!({ "mtu": 1400 })).together(),
        one("mtu 0", json!({ "mtu": 0 })),
        one("hairpinMode", json!({ "hairpinMode": true })).together(),
        one("promiscMode", json!({ "promiscMode": true })).together(),
        one("no ipam", json!({ "ipam": null })).together(),
        one("empty ipam", json!({ "ipam": {} })),
        one("dns", json!({ "dns": dns })).together(),
        one(
            "dns over that of ipam",
            with(
                &of_static(json!({ "dns": { "domain": "ipam.example.org", "nameservers": ["192.0.2.1"] } })),
                json!({ "dns": { "search": ["b.example.org"] } }),
            ),
        ),
        one("dns of ipam", of_static(json!({ "dns": { "domain": "ipam.example.org", "nameservers": ["192.0.2.1"] } }))),
        one("macspoofchk", json!({ "macspoofchk": true, "isGateway": true })).together().steps([
            Step::Add(WEB),
            Step::Try(ping(Place::In(WEB), "10.88.0.1")),
            Step::Inside(WEB, "ip link set eth0 address 02:00:00:00:00:99"),
            Step::Try(ping(Place::In(WEB), "10.88.0.1")),
            Step::Del(WEB),
        ]),
        one("macspoofchk off", json!({ "isGateway": true })).steps([
            Step::Add(WEB),
            Step::Inside(WEB, "ip link set eth0 address 02:00:00:00:00:99"),
            Step::Try(ping(Place::In(WEB), "10.88.0.1")),
            Step::Del(WEB),
        ]),
        one("enabledad", with(&dual(), json!({ "enabledad": true }))).together(),
        one("portIsolation", json!({ "portIsolation": true })),
        one("disableContainerInterface", json!({ "disableContainerInterface": true, "ipam": null })),
        one("vlan 0", json!({ "vlan": 0 })),
        one("vlan", json!({ "vlan": 100 })).fails(),
        one("vlanTrunk", json!({ "vlanTrunk": [{ "id": 100 }] })).fails(),
        one("preserveDefaultVlan alone", json!({ "preserveDefaultVlan": true })),
        one("keys in another letter case", json!({ "ISGATEWAY": true, "HairpinMode": true })),
        one("a key that nobody knows", json!({ "colour": "blue", "isGateway": true })),
    ]
}

/// Changes that make the addresses static.
fn of_static(more: Value) -> Value {
    let ipam = json!({ "type": "static", "subnet": null, "dataDir": null, "addresses": [{ "address": "10.88.0.9/24", "gateway": "10.88.0.1" }] });
    json!({ "ipam": with(&ipam, more) })
}

fn gateways() -> Vec<Scenario> {
    let there = "ip link add br0 type bridge; ip link set br0 up; ip address add 10.88.0.1/24 dev br0";
    let other = "ip link add br0 type bridge; ip link set br0 up; ip address add 10.77.0.1/24 dev br0";
    let other_v6 = "ip link add br0 type bridge; ip link set br0 up; ip address add fd00:88::99/64 dev br0 nodad";
    let v6 = json!({ "ipam": { "subnet": "fd00:88::/64" } });
    let default = json!({ "ipam": { "routes": [{ "dst": "0.0.0.0/0" }] } });
    let elsewhere = json!({ "ipam": { "routes": [{ "dst": "0.0.0.0/0", "gw": "10.88.0.254" }, { "dst": "192.0.2.0/24", "gw": "10.88.0.253" }] } });
    let pings = || [ping(Place::In(WEB), "10.88.0.1"), ping(Place::Host, "10.88.0.2")];
    vec![
        one("isGateway", json!({ "isGateway": true })).together().tries(pings()),
        one("isDefaultGateway", json!({ "isDefaultGateway": true })).together().tries(pings()),
        one("isDefaultGateway of IPv6", with(&v6, json!({ "isDefaultGateway": true })))
            .together()
            .tries([ping(Place::In(WEB), "fd00:88::1")]),
        one("isDefaultGateway of both families", with(&dual(), json!({ "isDefaultGateway": true })))
            .together()
            .tries([ping(Place::In(WEB), "10.88.0.1"), ping(Place::In(WEB), "fd00:88::1")]),
        one("isGateway, the default route by ipam", with(&default, json!({ "isGateway": true }))).together(),
        one("isDefaultGateway, the default route by ipam", with(&default, json!({ "isDefaultGateway": true }))),
        one(
            "isDefaultGateway, the default route by ipam elsewhere",
            with(&elsewhere, json!({ "isDefaultGateway": true })),
        ),
        one("no gateway, routes by ipam", elsewhere),
        one("isGateway, the address is there", json!({ "isGateway": true })).host(there),
        one("isGateway, another address", json!({ "isGateway": true })).host(other).fails(),
        one("isGateway, another address, forceAddress", json!({ "isGateway": true, "forceAddress": true })).host(other),
        one("isGateway of IPv6, another address", with(&v6, json!({ "isGateway": true }))).host(other_v6).fails(),
        one(
            "isGateway of IPv6, another address, forceAddress",
            with(&v6, json!({ "isGateway": true, "forceAddress": true })),
        )
        .host(other_v6),
        one("isGateway of IPv6, beside an address of IPv4", with(&v6, json!({ "isGateway": true }))).host(other),
        one(
            "a gateway that is not the first address",
            json!({ "isGateway": true, "ipam": { "gateway": "10.88.0.200" } }),
        ),
    ]
}

fn masquerading() -> Vec<Scenario> {
    let out = |port| Probe::Tcp { from: Place::In(WEB), to: "192.0.2.2:80", server: Place::In("out"), port };
    let out_v6 = Probe::Tcp { from: Place::In(WEB), to: "[2001:db8::2]:80", server: Place::In("out"), port: 80 };
    let udp = Probe::Udp { from: Place::In(WEB), to: "192.0.2.2:53", server: Place::In("out"), port: 53 };
    let own = Probe::Tcp { from: Place::In(WEB), to: "10.88.0.1:80", server: Place::Host, port: 80 };
    let usual = |changes| one("", with(&changes, json!({ "isDefaultGateway": true }))).host(OUTSIDE);
    let masquerade = json!({ "ipMasq": true });
    vec![
        named("ipMasq", usual(masquerade.clone()).together().tries([out(80), udp, own])),
        named("ipMasq off", usual(json!({})).tries([out(80)])),
        named("ipMasq of both families", usual(with(&dual(), masquerade.clone())).together().tries([out(80), out_v6])),
        named(
            "ipMasq without a gateway",
            one("", with(&masquerade, json!({ "ipam": { "routes": [{ "dst": "192.0.2.0/24", "gw": "10.88.0.1" }] } }))),
        ),
        named("ipMasqBackend", usual(with(&masquerade, json!({ "ipMasqBackend": "nftables" }))).tries([out(80)])),
    ]
}

fn named(what: &str, mut scenario: Scenario) -> Scenario {
    scenario.name = format!("bridge/{what}");
    scenario
}

/// The container's own hardware address and IP addresses, by every route.
fn addresses_asked_for() -> Vec<Scenario> {
    let mac = |last: &str| format!("02:00:00:00:00:{last}");
    let may = json!({ "capabilities": { "mac": true } });
    let runtime = json!({ "mac": mac("03") });
    vec![
        one("mac by CNI_ARGS", json!({})).env("CNI_ARGS", "IgnoreUnknown=1;MAC=02:00:00:00:00:01").together(),
        one("mac by args.cni", json!({})).args(json!({ "mac": mac("02") })).together(),
        one("mac by runtimeConfig", may.clone()).runtime(runtime.clone()).together(),
        one("mac by args.cni over CNI_ARGS", json!({}))
            .env("CNI_ARGS", "IgnoreUnknown=1;MAC=02:00:00:00:00:01")
            .args(json!({ "mac": mac("02") })),
        one("mac by runtimeConfig over all", may.clone())
            .env("CNI_ARGS", "IgnoreUnknown=1;MAC=02:00:00:00:00:01")
            .args(json!({ "mac": mac("02") }))
            .runtime(runtime.clone()),
        one("mac of a capability that is not declared", json!({})).runtime(runtime),
        one("mac that is none", json!({})).args(json!({ "mac": "no mac" })).fails(),
        one("mac of a group", may).runtime(json!({ "mac": "01:00:5e:00:00:01" })).fails(),
    ]
}

fn neighbours() -> Vec<Scenario> {
    let both = |between: Vec<Step>| {
        let born = [Step::Add(WEB), Step::Add("db"), Step::Check(WEB), Step::Check("db")];
        born.into_iter().chain(between).chain([Step::Del(WEB), Step::Check("db"), Step::Del("db"), Step::Del("db")])
    };
    let reach = || {
        vec![
            Step::Try(ping(Place::In(WEB), "10.88.0.3")),
            Step::Try(Probe::Tcp { from: Place::In("db"), to: "10.88.0.2:80", server: Place::In(WEB), port: 80 }),
        ]
    };
    let other = |name: &str, changes: Value| Scenario::new(format!("bridge/{name}"), [usual(changes)]);
    vec![
        other("two containers", json!({})).steps(both(reach())),
        other("two containers, masqueraded", json!({ "ipMasq": true })).together().steps(both(reach())),
        other("portIsolation, two containers", json!({ "portIsolation": true })).steps(both(reach())),
        one("two containers without addresses", json!({ "ipam": null })).steps([
            Step::Add(WEB),
            Step::Add("db"),
            Step::Inside(WEB, "ip address add 10.99.0.1/24 dev eth0"),
            Step::Inside("db", "ip address add 10.99.0.2/24 dev eth0"),
            Step::Try(ping(Place::In(WEB), "10.99.0.2")),
            Step::Del("db"),
            Step::Del(WEB),
        ]),
        other("another interface of the container", json!({})).env("CNI_IFNAME", "net1").together(),
    ]
}

fn refused() -> Vec<Scenario> {
    vec![
        one("hairpinMode and promiscMode", json!({ "hairpinMode": true, "promiscMode": true })).fails(),
        one("a bridge that is none", json!({})).host("ip link add br0 type veth peer name br1").fails(),
        one("a name that is too long", json!({ "bridge": "a-name-that-is-too-long" })).fails(),
        one("vlan that is none", json!({ "vlan": 5000 })).fails(),
        one("mtu that is none", json!({ "mtu": "large" })).fails(),
        one("mtu that the kernel refuses", json!({ "mtu": 10 })).fails(),
        one("mtu below what IPv6 needs", with(&dual(), json!({ "mtu": 1000 }))).fails(),
        one("an ipam that is not there", json!({ "ipam": { "type": "no-such-ipam" } })).fails(),
        one("an ipam that is a path", json!({ "ipam": { "type": "../host-local" } })).fails(),
        one("an ipam without type", json!({ "ipam": { "type": null } })).fails(),
        one("the interface is there", json!({})).steps([
            Step::Inside(WEB, "ip link add eth0 type veth peer name eth1"),
            Step::Add(WEB),
            Step::Del(WEB),
        ]),
        one("twice", json!({})).steps([Step::Add(WEB), Step::Add(WEB), Step::Check(WEB), Step::Del(WEB)]),
        one("twice without addresses", json!({ "ipam": null })).steps([Step::Add(WEB), Step::Add(WEB), Step::Del(WEB)]),
    ]
}

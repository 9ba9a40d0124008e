//! The plugins `ptp`, `macvlan`, `host-device` and `loopback`, key by key. (What this suite's kernels need not have,
//! ipvlan, vlan, dummy and vrf, is in the suite `vm`.)

use serde_json::{Value, json};

use crate::{
    network::with,
    probe::{OUTSIDE, Place, Probe},
    scenario::{Scenario, Step, WEB, dual, life, ping},
};

const PARENT: &str = "ip link add parent0 type veth peer name parent1; ip link set parent0 up; ip link set parent1 up";

pub(crate) fn scenarios() -> Vec<Scenario> {
    [point_to_point(), macvlan(), moved(), loopback()].into_iter().flatten().collect()
}

fn network(plugin: &str, changes: Value) -> Value {
    let ipam = json!({ "type": "host-local", "subnet": "10.88.0.0/24", "dataDir": "/var/lib/cni/networks", "routes": [{ "dst": "0.0.0.0/0" }] });
    with(&json!({ "type": plugin, "ipam": ipam }), changes)
}

fn point_to_point() -> Vec<Scenario> {
    let one = |what: &str, changes: Value| Scenario::new(format!("ptp/{what}"), [network("ptp", changes)]);
    let both = with(&dual(), json!({ "ipam": { "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] } }));
    let out = Probe::Tcp { from: Place::In(WEB), to: "192.0.2.2:80", server: Place::In("out"), port: 80 };
    let dns = json!({ "nameservers": ["192.0.2.53"], "domain": "example.org" });
    vec![
        one("plain", json!({})).together().tries([ping(Place::In(WEB), "10.88.0.1"), ping(Place::Host, "10.88.0.2")]),
        one("both families", both.clone())
            .together()
            .tries([ping(Place::In(WEB), "10.88.0.1"), ping(Place::In(WEB), "fd00:88::1")]),
        one("no routes", json!({ "ipam": { "routes": null } })).tries([ping(Place::In(WEB), "10.88.0.1")]),
        one("ipMasq", json!({ "ipMasq": true })).host(OUTSIDE).together().tries([out.clone()]),
        one("ipMasq of both families", with(&both, json!({ "ipMasq": true }))).host(OUTSIDE).tries([out]),
        one("mtu", json!({ "mtu": 1400 })).together(),
        one("dns", json!({ "dns": dns })).together(),
        one("two containers", json!({})).steps([
            Step::Add(WEB),
            Step::Add("db"),
            Step::Try(ping(Place::In("db"), "10.88.0.2")),
            Step::Check(WEB),
            Step::Check("db"),
            Step::Del("db"),
            Step::Del(WEB),
        ]),
        one("no ipam", json!({ "ipam": null })).fails(),
        one("CHECK, an address is gone", json!({}))
            .broken("true", "ip address del 10.88.0.2/24 dev eth0 || ip address flush dev eth0"),
        one("CHECK, the interface is gone", json!({})).broken("true", "ip link del eth0"),
        one("twice", json!({})).steps([Step::Add(WEB), Step::Add(WEB), Step::Del(WEB)]),
        one("DEL without its namespace", json!({ "ipMasq": true })).steps([
            Step::Add(WEB),
            Step::Env("CNI_NETNS", Some("")),
            Step::Del(WEB),
        ]),
    ]
}

fn macvlan() -> Vec<Scenario> {
    let one = |what: &str, changes: Value| {
        let plugin = with(&network("macvlan", json!({ "master": "parent0" })), changes);
        Scenario::new(format!("macvlan/{what}"), [plugin]).host(PARENT)
    };
    let mode = |mode: &str| one(&format!("mode {mode}"), json!({ "mode": mode }));
    let default_route = "ip address add 203.0.113.1/24 dev parent0; ip route add default via 203.0.113.2";
    let may = json!({ "capabilities": { "mac": true } });
    vec![
        one("plain", json!({})).together(),
        mode("bridge"),
        mode("private"),
        mode("vepa"),
        mode("passthru"),
        mode("no-such-mode").fails(),
        one("mtu", json!({ "mtu": 1400 })).together(),
        one("mtu greater than its parent's", json!({ "mtu": 9000 })).fails(),
        one("no master", json!({ "master": null })).host(default_route).together(),
        one("no master and no default route", json!({ "master": null })).fails(),
        one("a master that is not there", json!({ "master": "no-such-link" })).fails(),
        one("no ipam", json!({ "ipam": null })).together(),
        one("both families", with(&dual(), json!({ "ipam": { "routes": null } }))),
        one("mac", json!({ "mac": "02:00:00:00:00:42" })),
        one("mac by CNI_ARGS", json!({})).env("CNI_ARGS", "IgnoreUnknown=1;MAC=02:00:00:00:00:01"),
        one("mac by args.cni", json!({})).args(json!({ "mac": "02:00:00:00:00:02" })),
        one("mac by runtimeConfig", may).runtime(json!({ "mac": "02:00:00:00:00:03" })).together(),
        one("two containers", json!({})).steps([
            Step::Add(WEB),
            Step::Add("db"),
            Step::Try(ping(Place::In("db"), "10.88.0.2")),
            Step::Del(WEB),
            Step::Check("db"),
            Step::Del("db"),
        ]),
        one("CHECK, the interface is gone", json!({})).broken("true", "ip link del eth0"),
        one("twice", json!({})).steps([Step::Add(WEB), Step::Add(WEB), Step::Del(WEB)]),
    ]
}

/// The host's own link, moved.
fn moved() -> Vec<Scenario> {
    let mac = "ip link set parent0 address 02:00:00:00:00:77";
    let one = |what: &str, changes: Value| {
        Scenario::new(format!("host-device/{what}"), [with(&json!({ "type": "host-device" }), changes)])
            .host(PARENT)
            .host(mac)
    };
    let ipam = network("", json!({ "type": null }));
    let device = json!({ "device": "parent0" });
    vec![
        one("device", device.clone()).together(),
        one("device with ipam", with(&ipam, device.clone())).together(),
        one("hwaddr", json!({ "hwaddr": "02:00:00:00:00:77" })).together(),
        one("a device that is not there", json!({ "device": "no-such-link" })).fails(),
        one("a hwaddr that is not there", json!({ "hwaddr": "02:00:00:00:00:78" })).fails(),
        one("no device", json!({})).fails(),
        one("twice", device.clone()).steps([Step::Add(WEB), Step::Add(WEB), Step::Del(WEB)]),
        one("CHECK, the interface is gone", device).steps(life([
            Step::Inside(WEB, "ip link set eth0 down; ip link set eth0 name eth9"),
            Step::Check(WEB),
            Step::Inside(WEB, "ip link set eth9 name eth0"),
        ])),
    ]
}

fn loopback() -> Vec<Scenario> {
    let one = |what: &str| Scenario::new(format!("loopback/{what}"), [json!({ "type": "loopback" })]);
    vec![
        one("plain"),
        one("version 0.2.0").version("0.2.0").fails(),
        one("version 0.4.0").version("0.4.0"),
        one("an interface name").env("CNI_IFNAME", "lo"),
        one("CHECK, down").broken("true", "ip link set lo down"),
        Scenario::new(
            "loopback/after a bridge",
            [network("bridge", json!({ "bridge": "br0" })), json!({ "type": "loopback" })],
        ),
    ]
}

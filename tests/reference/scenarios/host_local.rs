//! The plugin `host-local`, key by key: behind a bridge, and called by itself as another plugin does.

use serde_json::{Value, json};

use crate::{
    network::with,
    scenario::{Scenario, Step, WEB, bridge, life},
};

pub(crate) fn scenarios() -> Vec<Scenario> {
    [ranges(), asked_for(), leases(), refused(), by_itself()].into_iter().flatten().collect()
}

fn one(what: &str, ipam: Value) -> Scenario {
    Scenario::new(format!("host-local/{what}"), [bridge(json!({ "ipam": ipam }))])
}

fn sets(sets: Value) -> Value {
    json!({ "subnet": null, "ranges": sets })
}

/// Three containers, of which the first goes before the last comes.
fn turns() -> Vec<Step> {
    [Step::Add("a"), Step::Add("b"), Step::Del("a"), Step::Add("c"), Step::Del("b"), Step::Del("c")].into()
}

fn ranges() -> Vec<Scenario> {
    let v6 = json!({ "subnet": "fd00:88::/64" });
    let two = json!([[{ "subnet": "10.88.0.0/24" }], [v6]]);
    let in_one_set = json!([[{ "subnet": "10.88.0.0/24", "rangeStart": "10.88.0.10", "rangeEnd": "10.88.0.10" }, { "subnet": "10.89.0.0/24", "rangeEnd": "10.89.0.2" }]]);
    vec![
        one("subnet", json!({})).steps(turns()).together(),
        one("rangeStart", json!({ "rangeStart": "10.88.0.100" })),
        one("rangeEnd", json!({ "rangeEnd": "10.88.0.3" })).steps(turns()),
        one("rangeStart and rangeEnd", json!({ "rangeStart": "10.88.0.7", "rangeEnd": "10.88.0.9" })).steps(turns()).together(),
        one("gateway", json!({ "gateway": "10.88.0.254" })).together(),
        one("gateway in the range", json!({ "gateway": "10.88.0.2" })).steps(turns()),
        one("ranges of both families", sets(two)).together(),
        one("IPv6", json!({ "subnet": "fd00:88::/64" })).together(),
        one("IPv6 with bounds", json!({ "subnet": "fd00:88::/64", "rangeStart": "fd00:88::a", "rangeEnd": "fd00:88::b" })).steps(turns()),
        one("IPv6 written out", json!({ "subnet": "fd00:0088:0000::0/64" })),
        one("two ranges in a set", sets(in_one_set)).steps(turns()).together(),
        one("subnet beside ranges", json!({ "ranges": [[{ "subnet": "10.90.0.0/24" }]] })),
        one("two sets of one family", sets(json!([[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "10.90.0.0/24" }]]))),
        one("a small subnet", json!({ "subnet": "10.88.0.0/30" })).steps([Step::Add("a"), Step::Add("b"), Step::Del("b"), Step::Del("a")]),
        one("a great subnet", json!({ "subnet": "10.0.0.0/8" })),
        one("routes", json!({ "routes": [{ "dst": "192.0.2.0/24" }, { "dst": "198.51.100.0/24", "gw": "10.88.0.9" }, { "dst": "0.0.0.0/0" }] })).together(),
        one("routes with keys of 1.1.0", json!({ "routes": [{ "dst": "192.0.2.0/24", "mtu": 1300, "priority": 5 }] })),
    ]
}

fn asked_for() -> Vec<Scenario> {
    let may = |capability: &str| json!({ "capabilities": { capability: true } });
    let plugin = |capability| bridge(may(capability));
    let dual = |capability| {
        with(
            &plugin(capability),
            json!({ "ipam": sets(json!([[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]])) }),
        )
    };
    let new = |what: &str, plugin| Scenario::new(format!("host-local/{what}"), [plugin]);
    vec![
        one("IP by CNI_ARGS", json!({})).env("CNI_ARGS", "IgnoreUnknown=1;IP=10.88.0.50").together(),
        one("IP by CNI_ARGS alone", json!({})).env("CNI_ARGS", "IP=10.88.0.50"),
        one("IP by CNI_ARGS that is none", json!({})).env("CNI_ARGS", "IP=nowhere").fails(),
        one("IP by CNI_ARGS in no range", json!({})).env("CNI_ARGS", "IP=10.99.0.1").fails(),
        one("IP by CNI_ARGS beyond rangeEnd", json!({ "rangeEnd": "10.88.0.9" }))
            .env("CNI_ARGS", "IP=10.88.0.10")
            .fails(),
        one("IP by CNI_ARGS that is the gateway", json!({})).env("CNI_ARGS", "IP=10.88.0.1").fails(),
        one("IP by CNI_ARGS that is the network", json!({})).env("CNI_ARGS", "IP=10.88.0.0").fails(),
        one("IP by args.cni", json!({})).args(json!({ "ips": ["10.88.0.60"] })).together(),
        one("IP by args.cni with its prefix", json!({})).args(json!({ "ips": ["10.88.0.61/24"] })),
        new("ips by runtimeConfig", plugin("ips")).runtime(json!({ "ips": ["10.88.0.70"] })).together(),
        new("ips by runtimeConfig with their prefix", plugin("ips")).runtime(json!({ "ips": ["10.88.0.71/24"] })),
        new("ips by runtimeConfig of both families", dual("ips"))
            .runtime(json!({ "ips": ["fd00:88::70", "10.88.0.70"] }))
            .together(),
        new("ips by runtimeConfig of one family", dual("ips")).runtime(json!({ "ips": ["fd00:88::70"] })),
        new("ips by runtimeConfig, two of one range", plugin("ips"))
            .runtime(json!({ "ips": ["10.88.0.70", "10.88.0.71"] }))
            .fails(),
        new("ips by runtimeConfig beside IP of CNI_ARGS", dual("ips"))
            .runtime(json!({ "ips": ["fd00:88::70"] }))
            .env("CNI_ARGS", "IP=10.88.0.50"),
        new("ipRanges by runtimeConfig", with(&plugin("ipRanges"), json!({ "ipam": { "subnet": null } })))
            .runtime(json!({ "ipRanges": [[{ "subnet": "10.91.0.0/24" }], [{ "subnet": "fd00:91::/64" }]] }))
            .together(),
        new("ipRanges by runtimeConfig before subnet", plugin("ipRanges"))
            .runtime(json!({ "ipRanges": [[{ "subnet": "fd00:91::/64" }]] })),
        one("an IP that another has", json!({})).steps([
            Step::Add("a"),
            Step::Env("CNI_ARGS", Some("IgnoreUnknown=1;IP=10.88.0.2")),
            Step::Add("b"),
            Step::Del("b"),
            Step::Env("CNI_ARGS", None),
            Step::Check("a"),
            Step::Del("a"),
        ]),
    ]
}

fn leases() -> Vec<Scenario> {
    let resolv = "mkdir -p /run/test; printf 'nameserver 192.0.2.53\\nsearch example.org b.example.org\\noptions ndots:3\\n' > /run/test/resolv.conf";
    let held = "mkdir -p /var/lib/cni/networks/net; printf 'x\\r\\neth0' > /var/lib/cni/networks/net/10.88.0.2; printf 10.88.0.4 > /var/lib/cni/networks/net/last_reserved_ip.0";
    vec![
        one("dataDir", json!({ "dataDir": "/var/lib/cni/elsewhere" })).together(),
        one("dataDir by default", json!({ "dataDir": null })).together(),
        one("resolvConf", json!({ "resolvConf": "/run/test/resolv.conf" })).host(resolv).together(),
        one("resolvConf that is not there", json!({ "resolvConf": "/run/test/resolv.conf" })).fails(),
        one("leases that are there", json!({})).host(held).steps(life([])),
        one("exhausted", json!({ "rangeEnd": "10.88.0.3" })).steps([
            Step::Add("a"),
            Step::Add("b"),
            Step::Add("c"),
            Step::Del("c"),
            Step::Del("a"),
            Step::Add("c"),
            Step::Del("c"),
            Step::Del("b"),
        ]),
        one(
            "exhausted in the second set",
            sets(json!([[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64", "rangeEnd": "fd00:88::2" }]])),
        )
        .steps([Step::Add("a"), Step::Add("b"), Step::Del("b"), Step::Del("a")]),
    ]
}

fn refused() -> Vec<Scenario> {
    [
        ("no subnet", json!({ "subnet": null })),
        ("a subnet that is none", json!({ "subnet": "10.88.0.0/33" })),
        ("host bits", json!({ "subnet": "10.88.0.7/24" })),
        ("a subnet of two", json!({ "subnet": "10.88.0.0/31" })),
        ("a subnet of one", json!({ "subnet": "10.88.0.1/32" })),
        ("rangeStart elsewhere", json!({ "rangeStart": "10.99.0.1" })),
        ("rangeEnd elsewhere", json!({ "rangeEnd": "10.99.0.1" })),
        ("rangeEnd before rangeStart", json!({ "rangeStart": "10.88.0.9", "rangeEnd": "10.88.0.8" })),
        ("rangeStart of another family", json!({ "rangeStart": "fd00::1" })),
        ("gateway elsewhere", json!({ "gateway": "10.99.0.1" })),
        ("ranges that overlap", sets(json!([[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "10.88.0.0/16" }]]))),
        ("ranges that overlap in a set", sets(json!([[{ "subnet": "10.88.0.0/24" }, { "subnet": "10.88.0.0/25" }]]))),
        ("a set of both families", sets(json!([[{ "subnet": "10.88.0.0/24" }, { "subnet": "fd00:88::/64" }]]))),
        ("an empty set", sets(json!([[]]))),
        ("no set", sets(json!([]))),
        ("a route that is none", json!({ "routes": [{ "dst": "nowhere" }] })),
        ("a route with host bits", json!({ "routes": [{ "dst": "192.0.2.7/24" }] })),
        ("a route that nothing leads to", json!({ "routes": [{ "dst": "192.0.2.0/24", "gw": "10.99.0.1" }] })),
    ]
    .map(|(what, ipam)| one(what, ipam).fails())
    .into()
}

/// As a plugin that is not ours calls it: no link is made.
fn by_itself() -> Vec<Scenario> {
    let alone = |what: &str, ipam: Value| one(&format!("by itself, {what}"), ipam).program("host-local");
    vec![
        alone("subnet", json!({})).steps(turns()),
        alone("dataDir by default", json!({ "dataDir": null })),
        alone("both families", sets(json!([[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]]))),
        alone(
            "routes",
            json!({ "routes": [{ "dst": "192.0.2.0/24" }, { "dst": "198.51.100.0/24", "gw": "10.88.0.9" }] }),
        ),
        alone("twice", json!({})).steps([Step::Add(WEB), Step::Add(WEB), Step::Check(WEB), Step::Del(WEB)]),
        alone("the lease is gone", json!({})).broken("rm /var/lib/cni/networks/net/10.88.0.2", "true"),
        alone("exhausted", json!({ "subnet": "10.88.0.0/30" })).steps([
            Step::Add("a"),
            Step::Add("b"),
            Step::Del("b"),
            Step::Del("a"),
        ]),
        alone("version 0.2.0", json!({})).version("0.2.0").steps([Step::Add(WEB), Step::Del(WEB)]),
        alone("version 0.4.0", json!({})).version("0.4.0"),
    ]
}

//! The plugin `static`, key by key.

use serde_json::{Value, json};

use crate::scenario::{Scenario, bridge};

pub(crate) fn scenarios() -> Vec<Scenario> {
    [keys(), asked_for(), refused()].into_iter().flatten().collect()
}

fn plugin(ipam: Value) -> Value {
    let mut plugin = bridge(json!({ "capabilities": { "ips": true } }));
    plugin["ipam"] = ipam;
    plugin["ipam"]["type"] = json!("static");
    plugin
}

fn one(what: &str, ipam: Value) -> Scenario {
    Scenario::new(format!("static/{what}"), [plugin(ipam)])
}

fn address() -> Value {
    json!([{ "address": "10.88.0.9/24", "gateway": "10.88.0.1" }])
}

fn keys() -> Vec<Scenario> {
    let both = json!([{ "address": "10.88.0.9/24", "gateway": "10.88.0.1" }, { "address": "fd00:88::9/64", "gateway": "fd00:88::1" }]);
    let dns = json!({ "nameservers": ["192.0.2.53"], "domain": "example.org", "search": ["a.example.org"], "options": ["ndots:2"] });
    let routes = json!([{ "dst": "0.0.0.0/0" }, { "dst": "192.0.2.0/24", "gw": "10.88.0.7" }]);
    let with_gateway = |what: &str, ipam: Value| {
        let mut plugin = plugin(ipam);
        plugin["isDefaultGateway"] = json!(true);
        Scenario::new(format!("static/{what}"), [plugin])
    };
    vec![
        one("addresses", json!({ "addresses": address() })).together(),
        one("addresses of both families", json!({ "addresses": both })).together(),
        one(
            "two addresses of one family",
            json!({ "addresses": [{ "address": "10.88.0.9/24" }, { "address": "10.88.0.10/24" }] }),
        ),
        one("an address without gateway", json!({ "addresses": [{ "address": "10.88.0.9/24" }] })),
        one("an address alone in its net", json!({ "addresses": [{ "address": "10.88.0.9/32" }] })),
        with_gateway("isDefaultGateway", json!({ "addresses": address() })).together(),
        with_gateway("isDefaultGateway without gateway", json!({ "addresses": [{ "address": "10.88.0.9/24" }] })),
        one("routes", json!({ "addresses": address(), "routes": routes })).together(),
        one("dns", json!({ "addresses": address(), "dns": dns })).together(),
        one("no address", json!({})),
        one("by itself", json!({ "addresses": address(), "routes": routes, "dns": dns })).program("static"),
        one("by itself, version 0.2.0", json!({ "addresses": address() })).program("static").version("0.2.0").fails(),
    ]
}

fn asked_for() -> Vec<Scenario> {
    let none = json!({});
    vec![
        one("IP by CNI_ARGS", none.clone()).env("CNI_ARGS", "IgnoreUnknown=1;IP=10.88.0.20/24").together(),
        one("IP and GATEWAY by CNI_ARGS", none.clone()).env("CNI_ARGS", "IP=10.88.0.20/24;GATEWAY=10.88.0.254"),
        one("lists by CNI_ARGS", none.clone())
            .env("CNI_ARGS", "IP=10.88.0.20/24,fd00:88::20/64;GATEWAY=10.88.0.254,fd00:88::254")
            .together(),
        one("IP by CNI_ARGS beside addresses", json!({ "addresses": address() })).env("CNI_ARGS", "IP=10.88.0.20/24"),
        one("IP by CNI_ARGS without prefix", none.clone()).env("CNI_ARGS", "IP=10.88.0.20").fails(),
        one("GATEWAY by CNI_ARGS that is none", json!({ "addresses": address() }))
            .env("CNI_ARGS", "GATEWAY=nowhere")
            .fails(),
        one("ips by args.cni", json!({ "addresses": address() })).args(json!({ "ips": ["10.88.0.30/24"] })).together(),
        one("ips by runtimeConfig", json!({ "addresses": address() }))
            .runtime(json!({ "ips": ["10.88.0.40/24", "fd00:88::40/64"] }))
            .together(),
        one("ips by runtimeConfig over all", json!({ "addresses": address() }))
            .env("CNI_ARGS", "IP=10.88.0.20/24")
            .args(json!({ "ips": ["10.88.0.30/24"] }))
            .runtime(json!({ "ips": ["10.88.0.40/24"] })),
    ]
}

fn refused() -> Vec<Scenario> {
    [
        ("an address without prefix", json!({ "addresses": [{ "address": "10.88.0.9" }] })),
        ("an address that is none", json!({ "addresses": [{ "address": "nowhere/24" }] })),
        ("a gateway of another family", json!({ "addresses": [{ "address": "10.88.0.9/24", "gateway": "fd00::1" }] })),
        ("one address twice", json!({ "addresses": [{ "address": "10.88.0.9/24" }, { "address": "10.88.0.9/24" }] })),
    ]
    .map(|(what, ipam)| one(what, ipam).fails())
    .into()
}

//! The protocol: versions and shapes of results, and errors.

use serde_json::{Value, json};

use crate::{
    network::with,
    scenario::{Scenario, Step, WEB, dual, usual},
};

pub(crate) fn scenarios() -> Vec<Scenario> {
    [versions(), environment(), documents()].into_iter().flatten().collect()
}

fn versions() -> Vec<Scenario> {
    let routes = with(
        &dual(),
        json!({ "ipam": { "routes": [{ "dst": "192.0.2.0/24" }, { "dst": "198.51.100.0/24", "gw": "10.88.0.9" }, { "dst": "2001:db8::/32" }] } }),
    );
    let dns = json!({ "dns": { "nameservers": ["192.0.2.53"], "domain": "example.org", "search": ["a.example.org"], "options": ["ndots:2"] } });
    let plugins = [usual(with(&routes, dns)), json!({ "type": "tuning" })];
    let old = |version: &'static str| {
        Scenario::new(format!("version/{version}"), plugins.clone())
            .version(version)
            .steps([Step::Add(WEB), Step::Del(WEB)])
    };
    let new = |version: &'static str| {
        Scenario::new(format!("version/{version}"), plugins.clone()).version(version).together()
    };
    let plain =
        |name: &str, version| Scenario::new(format!("version/{name}"), [usual(json!({}))]).version(version).fails();
    let check = [Step::Add(WEB), Step::Check(WEB), Step::Del(WEB)];
    vec![
        plain("none", ""),
        old("0.1.0"),
        old("0.2.0"),
        old("0.3.0"),
        old("0.3.1"),
        new("0.4.0"),
        new("1.0.0"),
        new("1.1.0").fails(),
        plain("unknown", "9.9.9"),
        plain("no version", "new"),
        Scenario::new("version/CHECK before it was there", [usual(json!({}))]).version("0.3.1").steps(check),
        Scenario::new("version/two addresses of one family before 0.3.0", [usual(json!({ "ipam": { "subnet": null, "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "10.89.0.0/24" }]] } }))]).version("0.2.0").fails(),
    ]
}

fn environment() -> Vec<Scenario> {
    let one = |what: &str, name, value: Option<&'static str>| {
        Scenario::new(format!("environment/{what}"), [usual(json!({}))]).env(name, value).fails()
    };
    vec![
        one("no CNI_COMMAND", "CNI_COMMAND", None),
        one("a verb that is none", "CNI_COMMAND", Some("SING")),
        one("VERSION", "CNI_COMMAND", Some("VERSION")),
        one("no CNI_CONTAINERID", "CNI_CONTAINERID", None),
        one("a container ID that is none", "CNI_CONTAINERID", Some("../web")),
        one("no CNI_NETNS", "CNI_NETNS", None),
        one("no CNI_IFNAME", "CNI_IFNAME", None),
        one("a long CNI_IFNAME", "CNI_IFNAME", Some("a-name-that-is-too-long")),
        one("a CNI_IFNAME that is a path", "CNI_IFNAME", Some("../eth0")),
        one("a CNI_IFNAME with a colon", "CNI_IFNAME", Some("eth0:1")),
        one("a CNI_IFNAME of a dot", "CNI_IFNAME", Some(".")),
        one("no CNI_PATH", "CNI_PATH", None),
        one("a namespace that is not there", "CNI_NETNS", Some("/run/netns/gone")),
        one("a namespace that is none", "CNI_NETNS", Some("/etc/passwd")),
        one("CNI_ARGS without IgnoreUnknown", "CNI_ARGS", Some("K8S_POD_NAME=web")),
        one(
            "CNI_ARGS of the kubelet",
            "CNI_ARGS",
            Some(
                "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=1;K8S_POD_UID=2",
            ),
        ),
        one("CNI_ARGS that are none", "CNI_ARGS", Some("words")),
        one("CNI_ARGS with two signs", "CNI_ARGS", Some("IgnoreUnknown=1;A=B=C")),
        one("CNI_ARGS with a space between", "CNI_ARGS", Some("IgnoreUnknown=true; IP=10.88.0.7")),
        one("empty CNI_ARGS", "CNI_ARGS", Some("")),
    ]
}

fn documents() -> Vec<Scenario> {
    let raw =
        |what: &str, document| Scenario::new(format!("document/{what}"), [usual(json!({}))]).document(document).fails();
    let keys = |what: &str, keys: Value| {
        Scenario::new(format!("document/{what}"), [usual(json!({}))]).everywhere(keys).fails()
    };
    let check = |what: &str, keys: Value| {
        let steps = [Step::Add(WEB), Step::Check(WEB), Step::Del(WEB)];
        Scenario::new(format!("document/{what}"), [usual(json!({}))]).everywhere(keys).steps(steps)
    };
    vec![
        raw("empty", ""),
        raw("no JSON", "{"),
        raw("a list", "[]"),
        raw("a string", "\"net\""),
        raw("two", "{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"type\":\"bridge\"} {}"),
        keys("no name", json!({ "name": null })),
        keys("an empty name", json!({ "name": "" })),
        keys("a name that is a path", json!({ "name": "../net" })),
        keys("a name that is a number", json!({ "name": 7 })),
        keys("a name with a space", json!({ "name": "my net" })),
        keys("a version that is a number", json!({ "cniVersion": 1 })),
        keys("ipam that is a list", json!({ "ipam": ["host-local"] })),
        keys("a flag that is a string", json!({ "isGateway": "true" })),
        keys("a flag that is a number", json!({ "ipMasq": 1 })),
        keys("dns that is a string", json!({ "dns": "192.0.2.53" })),
        check("CHECK without prevResult", json!({ "prevResult": null })),
        check(
            "CHECK with an empty prevResult",
            json!({ "prevResult": { "ips": null, "interfaces": null, "routes": null, "dns": null } }),
        ),
    ]
}

//! One of a chain with the reference plugins: the kernel first, then nothing but passing on.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    network::{Kernel, text, with},
    support::{GROUNDWORK, Host, REFERENCE_PLUGINS, Sandbox, with_prev},
};

/// A list as libcni runs it: each plugin gets the name, the version and the result so far.
struct Chain(Vec<Value>);

impl Chain {
    fn new(plugins: &[Value]) -> Self {
        let named = |plugin: &Value| with(plugin, json!({ "cniVersion": "1.0.0", "name": "chain" }));
        Self(plugins.iter().map(named).collect())
    }

    fn add(&self, web: &Sandbox<'_>) -> Vec<Value> {
        let mut results: Vec<Value> = Vec::new();
        for plugin in &self.0 {
            let config = results.last().map_or_else(|| plugin.clone(), |result| with_prev(plugin, result));
            results.push(web.verb_of(&program(plugin), "ADD", &config).json("ADD"));
        }
        results
    }

    fn check(&self, web: &Sandbox<'_>, result: &Value) {
        for plugin in &self.0 {
            web.verb_of(&program(plugin), "CHECK", &with_prev(plugin, result)).success("CHECK");
        }
    }

    fn del(&self, web: &Sandbox<'_>, result: &Value) {
        for plugin in self.0.iter().rev() {
            web.verb_of(&program(plugin), "DEL", &with_prev(plugin, result)).success("DEL");
        }
    }
}

fn program(plugin: &Value) -> std::path::PathBuf {
    match text(plugin, "type").as_str() {
        "groundwork" => GROUNDWORK.into(),
        other => Path::new(REFERENCE_PLUGINS).join(other),
    }
}

fn bridge() -> Value {
    json!({
        "type": "bridge", "bridge": "br0", "isDefaultGateway": true,
        "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" },
    })
}

fn groundwork() -> Value {
    json!({ "type": "groundwork", "modules": ["bridge", "veth"] })
}

#[test]
fn at_the_head() {
    let host = Host::new();
    let web = host.sandbox("web");
    let before = host.snapshot();
    let chain = Chain::new(&[groundwork(), bridge(), json!({ "type": "portmap", "backend": "iptables" })]);
    let results = chain.add(&web);
    assert_eq!(results[0], json!({ "cniVersion": "1.0.0" }));
    web.ping("10.88.0.1");
    chain.check(&web, &results[2]);
    web.sh("ip address del 10.88.0.2/24 dev eth0");
    let other = web.verb_of(&program(&chain.0[0]), "CHECK", &with_prev(&chain.0[0], &results[2]));
    other.success("CHECK of what others made is theirs");
    chain.del(&web, &results[2]);
    let left = before.difference(&host.snapshot());
    assert!(!left.contains("groundwork"), "{left}");
    assert_eq!(web.links(), ["lo"]);
}

#[test]
fn in_the_middle_and_at_the_end() {
    let host = Host::new();
    let web = host.sandbox("web");
    let tuning = json!({ "type": "tuning", "mtu": 1400 });
    let chain = Chain::new(&[bridge(), groundwork(), tuning, json!({ "type": "groundwork" })]);
    let results = chain.add(&web);
    assert_eq!(results[0], results[1], "unchanged");
    assert_eq!(results[2], results[3], "unchanged");
    chain.check(&web, &results[3]);
    chain.del(&web, &results[3]);
    assert_eq!(web.links(), ["lo"]);
}

/// What groundwork does not know is passed on all the same.
#[test]
fn unknown_parts_of_a_result_pass() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = with(&groundwork(), json!({ "cniVersion": "1.0.0", "name": "chain" }));
    let before = host.snapshot();
    for result in [
        json!({ "cniVersion": "1.0.0" }),
        json!({
            "cniVersion": "1.0.0", "example.org/own": { "a": [1, 2.5, null] },
            "interfaces": [{ "name": "x", "own": true }, { "name": "eth0", "sandbox": "/run/netns/web" }],
            "ips": [{ "address": "192.0.2.1/24", "interface": 1, "label": "l" }], "dns": {}, "routes": [],
        }),
    ] {
        assert_eq!(web.add(&with_prev(&config, &result)), result);
        web.del(&with_prev(&config, &result));
    }
    let of_another_version = json!({
        "cniVersion": "0.4.0", "ips": [{ "version": "4", "address": "192.0.2.1/24" }], "dns": { "domain": "d" },
    });
    assert_eq!(
        web.add(&with_prev(&config, &of_another_version)),
        json!({ "cniVersion": "1.0.0", "ips": [{ "address": "192.0.2.1/24" }], "dns": { "domain": "d" } })
    );
    before.assert_same(&host.snapshot());
}

#[test]
fn every_verb_leaves_nothing() {
    let host = Host::new();
    let mut web = host.sandbox("web");
    let before = (host.snapshot(), host.sh("ls -d /run/groundwork || true"));
    let config = with(&groundwork(), json!({ "cniVersion": "1.1.0", "name": "chain" }));
    web.add(&config);
    web.check(&config, &json!({ "cniVersion": "1.1.0" }));
    host.gc(&config, &[]).success("GC");
    host.verb("GC", &config).success("GC");
    host.status(&config).success("STATUS");
    web.del(&config);
    web.netns = String::new();
    web.del(&config);
    before.0.assert_same(&host.snapshot());
    assert_eq!(before.1, host.sh("ls -d /run/groundwork || true"));
}

/// The whole chain is stopped before anything of it is made when the kernel cannot be made ready.
#[test]
fn a_kernel_that_is_not_ready_stops_the_chain() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = json!({
        "cniVersion": "1.0.0", "name": "chain", "type": "groundwork", "modules": [crate::status::lacking(&host)],
    });
    let error = web.verb("ADD", &config).error();
    assert_eq!(error["code"], 100, "{error}");
    assert!(text(&error, "details").contains("\"modules\" of the configuration"), "{error}");
}

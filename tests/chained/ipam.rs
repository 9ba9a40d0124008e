//! Addresses for other plugins: groundwork called as host-local and as static.

use serde_json::{Value, json};

use crate::{
    chain::{send, under_name},
    network::{Kernel, addresses_of, text, with},
    support::{Host, Output, REFERENCE_PLUGINS, Sandbox, run, with_prev},
};

const LEASES: &str = "/var/lib/cni/networks/net";

/// The configuration of a plugin that asks for addresses.
fn bridge() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "br0", "isDefaultGateway": true,
        "ipam": {
            "type": "host-local", "routes": [{ "dst": "192.0.2.0/24" }],
            "ranges": [[{ "subnet": "10.88.0.0/24", "rangeStart": "10.88.0.10", "rangeEnd": "10.88.0.15" }], [{ "subnet": "fd00:88::/64" }]],
        },
    })
}

struct Node {
    host: Host,
    ours: String,
    theirs: String,
}

impl Node {
    fn new() -> Self {
        let host = Host::new();
        let ours = under_name(&host, "host-local");
        Self { host, ours, theirs: format!("{REFERENCE_PLUGINS}/host-local") }
    }

    fn call(&self, plugin: &str, verb: &str, container: &Sandbox<'_>) -> Output {
        send(&self.host, plugin, container, verb, &bridge())
    }

    fn add(&self, plugin: &str, container: &Sandbox<'_>) -> Value {
        self.call(plugin, "ADD", container).json("ADD")
    }

    fn held(&self) -> Vec<String> {
        let list = self.host.sh(&format!("ls {LEASES} 2>/dev/null | grep -e '^10' -e '^fd' || true"));
        list.lines().map(str::to_owned).collect()
    }

    fn verb(&self, verb: &str, changes: Value) -> Output {
        let mut command = self.host.command(&self.ours);
        command.env("CNI_COMMAND", verb).env("CNI_PATH", REFERENCE_PLUGINS);
        run(&mut command, with(&bridge(), with(&json!({ "cniVersion": "1.1.0" }), changes)).to_string())
    }
}

#[test]
fn the_answer_is_the_references() {
    let node = Node::new();
    let web = node.host.sandbox("web");
    let result = node.add(&node.ours, &web);
    let held = node.host.sh(&format!("cd {LEASES}; grep -r . 10.* fd*; cat last_reserved_ip.*"));
    node.call(&node.ours, "DEL", &web).success("DEL");
    node.host.sh(&format!("rm -r {LEASES}"));
    let theirs = with(&node.add(&node.theirs, &web), json!({ "dns": null })); // Debian's writes an empty one
    assert_eq!(result, theirs);
    let theirs = node.host.sh(&format!("cd {LEASES}; grep -r . 10.* fd*; cat last_reserved_ip.*"));
    assert_eq!(held, theirs, "and so are the files");
    assert_eq!(result["interfaces"], Value::Null);
    assert_eq!(result["ips"][0], json!({ "address": "10.88.0.10/24", "gateway": "10.88.0.1" }));
    node.call(&node.theirs, "DEL", &web).success("DEL");
    for version in ["0.2.0", "0.4.0", "1.1.0"] {
        let config = with(&bridge(), json!({ "cniVersion": version }));
        let result = send(&node.host, &node.ours, &web, "ADD", &config).json("ADD");
        assert_eq!(result["cniVersion"], version);
        assert_eq!(result["ip4"].is_object(), version == "0.2.0", "{result}");
        send(&node.host, &node.ours, &web, "DEL", &config).success("DEL");
    }
    assert_eq!(node.held(), [""; 0]);
}

/// Each gives back what the other took, and neither gives what the other gave.
#[test]
fn a_node_is_switched_while_containers_run() {
    let node = Node::new();
    let names = ["a", "b", "c", "d"];
    let containers = names.map(|name| node.host.sandbox(name));
    let (ours, theirs) = (node.ours.as_str(), node.theirs.as_str());
    let plugins = [theirs, ours, theirs, ours];
    let mut given: Vec<_> =
        containers.iter().zip(plugins).flat_map(|(web, plugin)| addresses_of(&node.add(plugin, web))).collect();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 8, "{given:?}");
    assert_eq!(node.held(), given);
    for ((web, plugin), left) in containers.iter().zip([ours, theirs, ours, theirs]).zip([6, 4, 2, 0]) {
        node.call(plugin, "DEL", web).success("DEL");
        node.call(plugin, "DEL", web).success("DEL");
        assert_eq!(node.held().len(), left);
    }
    // What is given back by the other is no obstacle for the same container.
    for (adds, deletes) in [(ours, theirs), (theirs, ours), (ours, theirs)] {
        assert_eq!(addresses_of(&node.add(adds, &containers[0])).len(), 2);
        node.call(deletes, "DEL", &containers[0]).success("DEL");
        assert_eq!(node.held(), [""; 0]);
    }
}

#[test]
fn the_pool_of_both() {
    let node = Node::new();
    let containers: Vec<_> = (0..7).map(|number| node.host.sandbox(&format!("c{number}"))).collect();
    node.verb("STATUS", json!({})).success("STATUS");
    for (number, web) in containers[..6].iter().enumerate() {
        node.add(if number % 2 == 0 { &node.ours } else { &node.theirs }, web);
    }
    for plugin in [&node.ours, &node.theirs] {
        let refused = node.call(plugin, "ADD", &containers[6]).error();
        assert!(text(&refused, "msg").contains("10.88.0.10"), "{refused}");
    }
    let status = node.verb("STATUS", json!({})).error();
    assert!(status["code"] == 50 || status["code"] == 51, "{status}");
    assert_eq!(node.held().len(), 12, "a refused ADD keeps nothing");
    assert!(!node.host.sh("ls /run/groundwork/net/host-local").contains("c6"));
    // The sandbox of one of ours is gone: its address is taken back. One of theirs is not ours to judge.
    node.host.sh("ip netns del c0; ip netns del c1");
    assert_eq!(addresses_of(&node.add(&node.ours, &containers[6]))[0], "10.88.0.10");
    let before = node.held();
    let again = node.call(&node.ours, "ADD", &containers[2]).error();
    assert!(text(&again, "msg").contains("already holds") || text(&again, "msg").contains("10.88.0.12"), "{again}");
    assert_eq!(node.held(), before, "and is left what it has");
}

#[test]
fn check_and_gc() {
    let node = Node::new();
    let [web, other, theirs] = ["web", "other", "theirs"].map(|name| node.host.sandbox(name));
    let result = node.add(&node.ours, &web);
    node.add(&node.ours, &other);
    let their_result = node.add(&node.theirs, &theirs);
    let check = |container: &Sandbox<'_>, result: &Value| {
        send(&node.host, &node.ours, container, "CHECK", &with_prev(&bridge(), result))
    };
    check(&web, &result).success("CHECK");
    check(&theirs, &their_result).success("CHECK");
    let refused = check(&web, &their_result).error();
    assert!(
        text(&refused, "msg")
            .contains("lease of 10.88.0.12: expected held by this attachment, found held by container theirs"),
        "{refused}"
    );
    node.host.sh(&format!("rm {LEASES}/10.88.0.10"));
    let refused = check(&web, &result).error();
    assert!(
        text(&refused, "msg").ends_with("lease of 10.88.0.10: expected held by this attachment, found missing"),
        "{refused}"
    );

    node.verb("GC", json!({})).success("GC");
    assert_eq!(node.held().len(), 5, "without a list all that lives stays");
    let valid = json!([{ "containerID": "other", "ifname": "eth0" }]);
    node.verb("GC", json!({ "cni.dev/valid-attachments": valid })).success("GC");
    assert_eq!(node.held(), ["10.88.0.11", "fd00:88::3"]);
    node.verb("GC", json!({ "cni.dev/valid-attachments": [] })).success("GC");
    assert_eq!((node.held(), node.host.sh("ls /run/groundwork/net/host-local")), (Vec::new(), String::new()));
}

/// Debian's bridge with our host-local: found in CNI_PATH, called by exec.
#[test]
fn the_reference_bridge_asks_us() {
    let node = Node::new();
    let (web, client) = (node.host.sandbox("web"), node.host.sandbox("client"));
    let plugin = format!("{REFERENCE_PLUGINS}/bridge");
    let call = |verb: &str, sandbox: &Sandbox<'_>, config: &Value| {
        let mut command = node.host.command(&plugin);
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &sandbox.container)
            .env("CNI_NETNS", &sandbox.netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/run/plugins");
        run(&mut command, config.to_string())
    };
    let config = with(&bridge(), json!({ "ipam": { "routes": null } })); // its CHECK expects a gateway in each
    let result = call("ADD", &web, &config).json("ADD");
    assert_eq!(addresses_of(&result), ["10.88.0.10", "fd00:88::2"]);
    call("ADD", &client, &config).success("ADD");
    client.ping("10.88.0.10");
    call("CHECK", &web, &with_prev(&config, &result)).success("CHECK");
    assert_eq!(web.addresses("eth0"), ["10.88.0.10/24", "fd00:88::2/64"]);
    for sandbox in [&web, &client] {
        call("DEL", sandbox, &config).success("DEL");
    }
    assert_eq!(node.held(), [""; 0]);

    under_name(&node.host, "static");
    let fixed = with(
        &config,
        json!({ "ipam": { "type": "static", "ranges": null, "addresses": [{ "address": "10.88.0.7/24", "gateway": "10.88.0.1" }] } }),
    );
    let result = call("ADD", &web, &fixed).json("ADD");
    assert_eq!(result["ips"], json!([{ "address": "10.88.0.7/24", "gateway": "10.88.0.1", "interface": 2 }]));
    call("CHECK", &web, &with_prev(&fixed, &result)).success("CHECK");
    let moved = with(&with_prev(&fixed, &result), json!({ "prevResult": { "ips": [{ "address": "10.88.0.8/24" }] } }));
    let refused = call("CHECK", &web, &moved).error();
    assert!(text(&refused, "msg").contains("address in prevResult: expected 10.88.0.7/24, found missing"), "{refused}");
    call("DEL", &web, &fixed).success("DEL");
    assert_eq!(node.host.sh("find /run -path '*groundwork*' -type f; find /var/lib/cni -name '10.*'"), "");
}

/// A sandbox that is no namespace (as of a virtual machine) is none of an IPAM's business, nor proof that anybody is dead.
#[test]
fn a_sandbox_that_is_nothing_to_us() {
    let node = Node::new();
    let mut machine = node.host.sandbox("machine");
    machine.netns = "/nowhere".into();
    let first = addresses_of(&node.add(&node.ours, &machine));
    let mut others: Vec<_> = (0..5).map(|number| node.host.sandbox(&format!("c{number}"))).collect();
    others.iter_mut().for_each(|one| one.netns = "/proc/999999/ns/net".into());
    others.iter().for_each(|one| drop(node.add(&node.ours, one)));
    let late = node.host.sandbox("late");
    let refused = node.call(&node.ours, "ADD", &late).error();
    assert!(text(&refused, "msg").contains("no free address"), "{refused}");
    node.verb("GC", json!({})).success("GC");
    assert!(node.held().contains(&first[0]));
    machine.netns = String::new();
    node.call(&node.ours, "DEL", &machine).success("DEL");
    assert!(!node.held().contains(&first[0]));
}

#[test]
fn what_cannot_be_given() {
    let node = Node::new();
    let mut web = node.host.sandbox("web");
    for (changes, env, code, says) in [
        (json!({ "ipam": null }), "", 7, "`ipam` is missing"),
        (json!({ "ipam": { "ranges": null } }), "", 7, "`ipam.subnet` is missing"),
        (json!({}), "IP=10.99.0.1", 4, "IP=10.99.0.1"),
        (json!({}), "K8S_POD_NAME=web", 4, "K8S_POD_NAME"),
        (json!({ "ipam": { "resolvConf": "/nowhere" } }), "", 5, "/nowhere"),
    ] {
        web.env = vec![("CNI_ARGS".into(), env.into())];
        let refused = send(&node.host, &node.ours, &web, "ADD", &with(&bridge(), changes.clone())).error();
        assert!(refused["code"] == code && text(&refused, "msg").contains(says), "{changes} {env}: {refused}");
        send(&node.host, &node.ours, &web, "DEL", &with(&bridge(), changes)).success("DEL");
        assert_eq!((node.held(), node.host.sh("find /run -path '*groundwork*' -type f")), (Vec::new(), String::new()));
    }
    web.env = vec![("CNI_ARGS".into(), "IP=10.88.0.12;IgnoreUnknown=1;K8S_POD_NAME=web".into())];
    assert_eq!(addresses_of(&node.add(&node.ours, &web))[0], "10.88.0.12");
}

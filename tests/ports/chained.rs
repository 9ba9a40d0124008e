//! Host ports after other plugins of a chain, and on more than one network.

use serde_json::{Value, json};

use crate::{
    net::tcp,
    node::{address, at, elements, mapping, network, publishing, world},
    support::{GROUNDWORK, Host, REFERENCE_PLUGINS},
};

fn reference_bridge() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "chain", "type": "bridge", "bridge": "ref0", "isDefaultGateway": true,
        "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.55.0.0/24" }], [{ "subnet": "fd00:55::/64" }]] },
    })
}

fn portmap(previous: Option<&Value>, mappings: Value) -> Value {
    let mut config = publishing(&json!({ "cniVersion": "1.0.0", "name": "chain", "type": "portmap" }), mappings);
    if let Some(previous) = previous {
        config["prevResult"] = previous.clone();
    }
    config
}

#[test]
fn after_the_reference_bridge() {
    let mut host = Host::new();
    host.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0");
    host.plugin = format!("{REFERENCE_PLUGINS}/bridge").into();
    let made = {
        let web = host.sandbox("web");
        web.add(&reference_bridge())
    };
    host.plugin = GROUNDWORK.into();
    let world = world(&host);
    host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    let web = sandbox(&host);
    let config = portmap(Some(&made), json!([mapping(8080, 80, "tcp")]));
    let result = web.add(&config);
    assert_eq!(result, made, "what the chain made passes through");
    let (own4, own6) = (at(&address(&made, false), 80), at(&address(&made, true), 80));
    assert_eq!(tcp(&web, &own4, &world, "192.0.2.1:8080").as_deref(), Some("192.0.2.2"));
    assert_eq!(tcp(&web, &own6, &world, "[2001:db8::1]:8080").as_deref(), Some("2001:db8::2"));
    assert_eq!(tcp(&web, &own4, &host, "127.0.0.1:8080").as_deref(), Some("10.55.0.1"));
    web.check(&config, &result);
    web.add(&config); // as a runtime may that saw no answer
    host.sh("nft delete element inet groundwork hp6 '{ tcp . 8080 }'");
    let mut checked = config.clone();
    checked["prevResult"] = result;
    assert!(web.verb("CHECK", &checked).error()["msg"].as_str().unwrap().contains("hp6"));
    // As kubelet sends it again: no namespace, no prevResult, no runtimeConfig.
    let mut late = sandbox(&host);
    late.netns = String::new();
    late.del(&json!({ "cniVersion": "1.0.0", "name": "chain", "type": "portmap" }));
    assert!(!elements(&host).contains("8080"), "{}", elements(&host));
}

/// The sandbox `web` again, as another call of the runtime names it.
fn sandbox(host: &Host) -> crate::support::Sandbox<'_> {
    host.named("web")
}

#[test]
fn without_mappings_the_result_passes_through() {
    let host = Host::new();
    let web = host.sandbox("web");
    let previous = json!({
        "cniVersion": "1.0.0", "interfaces": [{ "name": "eth0", "sandbox": "/run/netns/web" }],
        "ips": [{ "address": "10.55.0.2/24", "interface": 0 }],
    });
    let before = host.snapshot();
    let result = web.add(&portmap(Some(&previous), json!([])));
    assert_eq!(result["ips"], json!([{ "address": "10.55.0.2/24", "interface": 0 }]));
    web.del(&portmap(None, json!([])));
    let nothing = portmap(None, json!([mapping(80, 80, "tcp")]));
    assert!(web.verb("ADD", &nothing).error()["msg"].as_str().unwrap().contains("prevResult"));
    let left = before.difference(&host.snapshot());
    assert!(!left.contains("nft"), "{left}");
}

#[test]
fn two_networks_of_one_container_keep_their_ports_apart() {
    let host = Host::new();
    let world = world(&host);
    let mut second = network("b");
    second["isDefaultGateway"] = json!(false);
    second["isGateway"] = json!(true);
    second["ipam"] = json!({ "type": "host-local", "ranges": [[{ "subnet": "10.45.0.0/24" }]] });
    let (web, mut again) = (host.sandbox("web"), host.named("web"));
    again.ifname = "eth1".into();
    let ports = |config: &Value, port| publishing(config, json!([mapping(port, 80, "tcp"), mapping(9999, 99, "tcp")]));
    let (on_a, on_b) = (ports(&network("a"), 8080), ports(&second, 8081));
    let first = web.add(&on_a);
    // As podman does, which sends the same ports to each network of a container: the first network's serves.
    let other = again.add(&on_b);
    again.check(&on_b, &other);
    again.del(&on_b);
    let own = at(&address(&first, false), 80);
    assert!(tcp(&web, &own, &world, "192.0.2.1:8080").is_some());
    assert!(!elements(&host).contains("8081") && elements(&host).contains("9999"), "{}", elements(&host));
    let other = again.add(&on_b);
    web.del(&on_a);
    assert!(!elements(&host).contains("8080") && elements(&host).contains("8081"), "{}", elements(&host));
    // What both have goes on to the network that is left.
    assert!(elements(&host).contains(&format!("9999 comment \"b/web/eth1\" : {} . 99", address(&other, false))));
    again.del(&on_b);
    assert!(!elements(&host).contains("9999"), "{}", elements(&host));
}

//! Who reaches a container by a port of the host, and whom it sees.

use std::time::Duration;

use serde_json::json;

use crate::{
    net::{tcp, udp},
    node::{address, at, elements, mapping, network, publishing, world},
    support::{Host, eventually},
};

fn seen(found: Option<String>, by: &str) {
    assert_eq!(found.as_deref(), Some(by));
}

#[test]
fn they_are_reached_from_everywhere_and_gone_after_del() {
    let host = Host::new();
    let (world, web, neighbour) = (world(&host), host.sandbox("web"), host.sandbox("neighbour"));
    let plain = network("a");
    let config = publishing(&plain, json!([mapping(8080, 80, "tcp"), mapping(8080, 80, "udp")]));
    neighbour.add(&plain);
    let before = host.snapshot();
    let result = web.add(&config);
    web.check(&config, &result);
    let (own4, own6) = (at(&address(&result, false), 80), at(&address(&result, true), 80));
    // From outside, with the address of who asks.
    seen(tcp(&web, &own4, &world, "192.0.2.1:8080"), "192.0.2.2");
    seen(udp(&web, &own4, &world, "192.0.2.3:8080"), "192.0.2.2");
    seen(tcp(&web, &own6, &world, "[2001:db8::1]:8080"), "2001:db8::2");
    seen(udp(&web, &own6, &world, "[2001:db8::3]:8080"), "2001:db8::2");
    // From the host, by its own address and by loopback.
    seen(tcp(&web, &own4, &host, "192.0.2.1:8080"), "192.0.2.1");
    seen(tcp(&web, &own4, &host, "127.0.0.1:8080"), "10.44.0.1");
    seen(udp(&web, &own4, &host, "127.0.0.1:8080"), "10.44.0.1");
    seen(tcp(&web, &own6, &host, "[2001:db8::1]:8080"), "2001:db8::1");
    // From the container itself, and its neighbour.
    seen(tcp(&web, &own4, &web, "192.0.2.1:8080"), "10.44.0.1");
    seen(tcp(&web, &own4, &neighbour, "192.0.2.1:8080"), "10.44.0.1");
    seen(udp(&web, &own6, &neighbour, "[2001:db8::1]:8080"), "fd00:44::1");
    assert_eq!(tcp(&web, &own4, &world, "192.0.2.1:8081"), None, "another port");

    web.del(&config);
    assert!(!elements(&host).contains("8080"), "{}", elements(&host));
    // Constant rules and the setting of the bridge stay for the next.
    let ours = |line: &str| line.contains("nft table inet groundwork") || line.contains("route_localnet");
    let mut foreign = Vec::new();
    // A link that goes takes its addresses and entries along a moment later.
    eventually(Duration::from_secs(5), || {
        let left = before.difference(&host.snapshot());
        let lines = left.lines().filter(|line| line.starts_with(['+', '-']) && !ours(line));
        foreign = lines.map(str::to_owned).collect();
        foreign.is_empty()
    });
    assert!(foreign.is_empty(), "{foreign:#?}");
}

#[test]
fn one_address_of_the_host_and_no_other() {
    let host = Host::new();
    let (world, web) = (world(&host), host.sandbox("web"));
    let one = |ip: &str, port: u16| json!({ "hostPort": port, "containerPort": 80, "protocol": "tcp", "hostIP": ip });
    let mappings = json!([
        one("192.0.2.3", 8080),
        one("2001:db8::3", 8080),
        one("127.0.0.1", 8081),
        one("0.0.0.0", 8082),
        one("::", 8083),
    ]);
    let result = web.add(&publishing(&network("a"), mappings));
    let (own4, own6) = (at(&address(&result, false), 80), at(&address(&result, true), 80));
    for (to, reaches) in [("192.0.2.3:8080", true), ("192.0.2.1:8080", false), ("192.0.2.1:8081", false)] {
        assert_eq!(tcp(&web, &own4, &world, to).is_some(), reaches, "{to}");
    }
    assert!(tcp(&web, &own4, &host, "127.0.0.1:8081").is_some());
    assert!(tcp(&web, &own4, &world, "192.0.2.1:8082").is_some());
    assert_eq!(tcp(&web, &own4, &world, "192.0.2.1:8083"), None);
    for (to, reaches) in [
        ("[2001:db8::3]:8080", true),
        ("[2001:db8::1]:8080", false),
        ("[2001:db8::1]:8082", false),
        ("[2001:db8::1]:8083", true),
    ] {
        assert_eq!(tcp(&web, &own6, &world, to).is_some(), reaches, "{to}");
    }
}

/// As users of the reference plugin have them: only some addresses of the host, or all but that of a service of its own.
#[test]
fn conditions_on_addresses() {
    let host = Host::new();
    let (world, web) = (world(&host), host.sandbox("web"));
    let before = elements(&host);
    let mut config = publishing(&network("a"), json!([mapping(8080, 80, "tcp"), mapping(8080, 80, "udp")]));
    config["conditionsV4"] = json!(["-d", "192.0.2.3/32,127.0.0.1"]);
    config["conditionsV6"] = json!(["!", "-d", "2001:db8::3"]);
    let result = web.add(&config);
    web.check(&config, &result);
    let (own4, own6) = (at(&address(&result, false), 80), at(&address(&result, true), 80));
    for reaches in [tcp, udp] {
        assert_eq!(reaches(&web, &own4, &world, "192.0.2.1:8080"), None);
        seen(reaches(&web, &own4, &world, "192.0.2.3:8080"), "192.0.2.2");
    }
    seen(tcp(&web, &own4, &host, "127.0.0.1:8080"), "10.44.0.1");
    seen(tcp(&web, &own6, &world, "[2001:db8::1]:8080"), "2001:db8::2");
    // The host's own service at the address that is left out, as its clients and the host itself reach it.
    let left_out = "[2001:db8::3]:8080";
    assert_eq!(tcp(&web, &own6, &world, left_out), None);
    for reaches in [tcp, udp] {
        seen(reaches(&host, left_out, &world, left_out), "2001:db8::2");
    }
    seen(tcp(&host, left_out, &host, left_out), "2001:db8::3");
    web.del(&config);
    let left = elements(&host);
    assert!(!left.contains("8080") && before.is_empty(), "{left}");
    let _ = config.as_object_mut().unwrap().insert("conditionsV4".into(), json!(["-s", "192.0.2.0/24"]));
    let refused = web.verb("ADD", &config).error();
    assert_eq!(refused["code"], 2, "{refused}");
    web.del(&config);
}

#[test]
fn sources_are_masqueraded_as_asked() {
    let host = Host::new();
    let (world, web, neighbour) = (world(&host), host.sandbox("web"), host.sandbox("neighbour"));
    let mut config = publishing(&network("a"), json!([mapping(8080, 80, "tcp")]));
    neighbour.add(&network("a"));
    config["snat"] = json!(false);
    let own = at(&address(&web.add(&config), false), 80);
    seen(tcp(&web, &own, &world, "192.0.2.1:8080"), "192.0.2.2");
    assert_eq!(tcp(&web, &own, &host, "127.0.0.1:8080"), None, "loopback needs it");
    assert_eq!(host.sh("cat /proc/sys/net/ipv4/conf/gwa/route_localnet"), "0\n");
    web.del(&config);

    config["snat"] = json!(true);
    config["masqAll"] = json!(true);
    let own = at(&address(&web.add(&config), false), 80);
    seen(tcp(&web, &own, &world, "192.0.2.1:8080"), "10.44.0.1");
    seen(tcp(&web, &own, &neighbour, "192.0.2.1:8080"), "10.44.0.1");
}

#[test]
fn loopback_of_the_host_stays_its_own() {
    let host = Host::new();
    let (_world, web) = (world(&host), host.sandbox("web"));
    web.add(&publishing(&network("a"), json!([mapping(8080, 80, "tcp")])));
    assert_eq!(host.sh("cat /proc/sys/net/ipv4/conf/gwa/route_localnet"), "1\n");
    web.sh("sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1
            ip address del 127.0.0.1/8 dev lo 2>/dev/null || ip link set lo down; ip route flush table local 127.0.0.0/8
            ip route add 127.0.0.1/32 via 10.44.0.1");
    let reaches = || udp(&host, "127.0.0.1:9999", &web, "127.0.0.1:9999");
    assert_eq!(reaches(), None);
    host.sh("nft flush chain inet groundwork loopback4");
    assert!(reaches().is_some(), "without the rule it does: the test can fail");
}

#[test]
fn check_names_what_is_gone() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = publishing(&network("a"), json!([mapping(8080, 80, "tcp")]));
    let mut checked = config.clone();
    checked["prevResult"] = web.add(&config);
    let refused = |checked: &serde_json::Value, says: &str| {
        let error = web.verb("CHECK", checked).error();
        assert_eq!(error["code"], 102, "{error}");
        assert!(error["msg"].as_str().unwrap().contains(says), "{error}");
    };
    web.verb("CHECK", &checked).success("CHECK");
    host.sh("nft delete element inet groundwork hp4 '{ tcp . 8080 }'");
    refused(&checked, "element tcp . 8080 of nf_tables set inet groundwork hp4: expected present, found missing");
    web.del(&config);
    checked["prevResult"] = web.add(&config);
    host.sh("sysctl -qw net.ipv4.conf.gwa.route_localnet=0");
    refused(&checked, "setting net.ipv4.conf.gwa.route_localnet: expected 1, found 0");
}

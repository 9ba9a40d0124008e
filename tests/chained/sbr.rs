//! Routing by source address.

use serde_json::{Value, json};

use crate::{
    chain::{By, Chain},
    network::{Kernel, dual, single, text, with},
    support::{Host, Sandbox},
};

/// Rules and routes, as `ip` words, that a person did not find there before.
pub(crate) fn routing(web: &Sandbox<'_>) -> (Vec<String>, Vec<String>) {
    let lines = |script: &str| web.sh(script).lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let mut rules = lines("ip -4 rule; ip -6 rule");
    rules.retain(|line| line.contains("from 10.") || line.contains("from fd"));
    let rules = rules.iter().map(|line| line.split_once(':').unwrap().1.trim().to_owned()).collect();
    let mut routes = lines("ip -4 route show table all; ip -6 route show table all");
    routes.retain(|line| !line.contains("table local") && !line.starts_with("fe80") && !line.contains("multicast"));
    routes.iter_mut().for_each(|line| {
        *line = line.split(" proto ").next().unwrap().split(" metric ").next().unwrap().trim().to_owned()
    });
    routes.sort();
    (rules, routes)
}

#[test]
fn in_a_chain_as_the_reference_does() {
    let mut found = Vec::new();
    for by in [By::Us, By::Reference] {
        let host = Host::new();
        let chain = Chain::after_bridge(&host, vec![(by, json!({ "type": "sbr" }))]);
        let web = host.sandbox("web");
        let bridge = chain.call(0, &web, "ADD", None).json("ADD");
        let before = routing(&web);
        let result = chain.call(1, &web, "ADD", Some(&bridge)).json("ADD");
        assert_eq!(result, bridge);
        web.sh("ping -n -c 1 -W 2 -I 10.88.0.2 10.88.0.1");
        found.push(routing(&web));
        if matches!(by, By::Us) {
            chain.call(1, &web, "CHECK", Some(&result)).success("CHECK");
            chain.call(1, &web, "ADD", Some(&bridge)).success("ADD, once more");
            assert_eq!(routing(&web), found[0]);
            chain.call(1, &web, "DEL", Some(&result)).success("DEL");
            assert_eq!(routing(&web), before, "all is put back");
            web.ping("10.88.0.1");
        }
        chain.del(&web, Some(&result));
        assert!(routing(&web).0.is_empty());
    }
    let rules = vec!["from 10.88.0.2 lookup 100".to_owned()];
    let routes = ["10.88.0.0/24 dev eth0 table 100", "default via 10.88.0.1 dev eth0 table 100"].map(str::to_owned);
    assert_eq!(found[0], (rules, routes.to_vec()));
    assert_eq!(found[0], found[1], "the reference plugin does the same");
}

/// Two interfaces, each answering where it was asked.
#[test]
fn two_interfaces_in_one_configuration_each() {
    let host = Host::new();
    let first = with(&dual(), json!({ "sbr": true }));
    let second =
        with(&single(), json!({ "name": "other", "bridge": "br1", "sbr": true, "ipam": { "subnet": "10.89.0.0/24" } }));
    let mut web = host.sandbox("web");
    let result = web.add(&first);
    web.ifname = "eth1".into();
    let other = web.add(&second);
    let (rules, routes) = routing(&web);
    assert_eq!(rules, ["from 10.89.0.2 lookup 102", "from 10.88.0.2 lookup 100", "from fd00:88::2 lookup 101"]);
    assert_eq!(
        routes,
        [
            "10.88.0.0/24 dev eth0 table 100",
            "10.89.0.0/24 dev eth1 table 102",
            "default via 10.88.0.1 dev eth0 table 100",
            "default via 10.89.0.1 dev eth1 table 102",
            "default via fd00:88::1 dev eth0 table 101",
            "fd00:88::/64 dev eth0 table 101",
        ]
    );
    for (from, to) in [
        ("10.88.0.2", "10.88.0.1"),
        ("10.89.0.2", "10.89.0.1"),
        ("10.89.0.2", "10.88.0.1"),
        ("fd00:88::2", "fd00:88::1"),
    ] {
        web.sh(&format!("ping -n -c 1 -W 2 -I {from} {to}"));
    }
    web.check(&second, &other);
    web.del(&second);
    web.ifname = "eth0".into();
    web.check(&first, &result);
    web.sh("ip rule del from 10.88.0.2");
    web.sh("ip -6 route del fd00:88::/64 table 101");
    let refused = web.verb("CHECK", &with(&first, json!({ "prevResult": result }))).error();
    for says in [
        "rule from 10.88.0.2 table 100 in the container: expected present, found missing",
        "route fd00:88::/64 dev eth0 of table 101",
    ] {
        assert!(text(&refused, "msg").contains(says), "{refused}");
    }
    web.del(&first);
    assert!(routing(&web).0.is_empty() && web.links() == ["lo"]);
}

#[test]
fn tables_gateways_and_hints() {
    let run = |keys: Value| {
        let host = Host::new();
        let chain = Chain::after_bridge(&host, vec![(By::Us, with(&keys, json!({ "type": "sbr" })))]);
        let web = host.sandbox("web");
        let result = chain.add(&web);
        chain.call(1, &web, "CHECK", Some(&result)).success("CHECK");
        let found = routing(&web);
        chain.del(&web, Some(&result));
        found
    };
    let (rules, routes) = run(json!({ "table": 1234 }));
    assert_eq!(rules, ["from 10.88.0.2 lookup 1234"]);
    assert_eq!(routes, ["10.88.0.0/24 dev eth0", "default via 10.88.0.1 dev eth0"]);
    let (_, routes) = run(json!({ "gateways": ["10.88.0.99"], "addSourceHints": true }));
    assert_eq!(
        routes,
        ["10.88.0.0/24 dev eth0", "10.88.0.0/24 dev eth0 table 100", "default via 10.88.0.99 dev eth0 table 100"]
    );
}

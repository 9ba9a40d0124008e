//! `groundwork plan`: what it prints is what an ADD does.

use serde_json::{Value, json};

use crate::{
    network::{dual, host_link_of, single, text, with},
    support::{GROUNDWORK, Host, Sandbox},
};

fn planned(host: &Host, config: &Value) -> String {
    host.sh(&format!(
        "cat > /run/config <<'END'\n{config}\nEND\n{GROUNDWORK} plan --config /run/config; rm /run/config"
    ))
}

/// What host and sandbox hold, with the names that an ADD draws at random in place of those of the plan.
fn holds(host: &Host, web: &Sandbox<'_>, drawn: &[(String, &str)]) -> Vec<String> {
    let (outside, inside) = (host.snapshot(), web.snapshot());
    let lines = outside.mentions("").into_iter().chain(inside.mentions(""));
    let named = |line: &str| drawn.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to));
    let mut lines: Vec<_> = lines.filter(|line| !line.starts_with("file ")).map(named).collect();
    lines.sort();
    lines.dedup();
    lines
}

/// Typing the plan's commands in and sending the ADD leave two hosts in the same state.
#[test]
fn the_plan_is_what_an_add_does() {
    let routes = json!([{ "dst": "198.51.100.0/24", "mtu": 1300, "priority": 7, "table": 100 }]);
    for config in [
        dual(),
        with(&single(), json!({ "hairpinMode": true, "mtu": 1400, "ipam": { "routes": routes } })),
        with(&single(), json!({ "promiscMode": true, "isDefaultGateway": null, "ipMasq": null, "ipam": null })),
        with(&dual(), json!({ "enabledad": true, "runtimeConfig": { "mac": "02:00:00:00:00:77" } })),
    ] {
        let (typed, sent) = (Host::new(), Host::new());
        let [by_hand, by_add] = [&typed, &sent].map(|host| {
            let mut web = host.sandbox("SANDBOX");
            web.container = "CONTAINER".into();
            web
        });
        let script = planned(&typed, &config);
        typed.sh(&format!("set -e; {script}"));
        let result = by_add.add(&config);
        let mac = |index: usize| text(&result["interfaces"][index], "mac");
        let drawn = [
            (host_link_of(&result), "veth01234567"),
            (mac(1), "02:00:00:00:00:01"),
            (mac(2), if config["runtimeConfig"].is_null() { "02:00:00:00:00:02" } else { "02:00:00:00:00:77" }),
            (mac(0), "02:00:00:00:00:03"),
        ];
        assert_eq!(holds(&typed, &by_hand, &[]), holds(&sent, &by_add, &drawn), "{script}");
    }
}

/// On a host that has the network already, nothing of it is made again; nothing is changed by asking.
#[test]
fn it_looks_and_touches_nothing() {
    let host = Host::new();
    let before = host.snapshot();
    let first = planned(&host, &dual());
    assert!(first.contains("ip link add br0") && first.contains("nft add table inet groundwork"), "{first}");
    before.assert_same(&host.snapshot());
    host.sandbox("web").add(&dual());
    let before = host.snapshot();
    let second = planned(&host, &dual());
    for made in ["ip link add br0", "dev br0", "ip_forward", "nft add table", "nft add rule"] {
        assert!(!second.contains(made), "{made}:\n{second}");
    }
    assert!(second.contains("nft add element inet groundwork masq4_24"), "{second}");
    before.assert_same(&host.snapshot());
}

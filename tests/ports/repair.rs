//! `groundwork repair`, after another program took what is ours.

use serde_json::json;

use crate::{
    net::tcp,
    node::{address, at, elements, mapping, network, publishing, world},
    support::{GROUNDWORK, Host},
};

#[test]
fn everything_comes_back_after_a_foreign_flush() {
    let host = Host::new();
    let (world, web, gone) = (world(&host), host.sandbox("web"), host.sandbox("gone"));
    host.sh("iptables -P FORWARD DROP; ip6tables -P FORWARD DROP");
    let mut config = publishing(&network("a"), json!([mapping(8080, 80, "tcp")]));
    config["ingressPolicy"] = json!("same-bridge");
    let result = web.add(&config);
    let other = publishing(&config, json!([mapping(8081, 80, "tcp")]));
    gone.add(&other);
    host.sh("ip netns del gone; until [ $(ip -br link | grep -c ^veth) = 1 ]; do sleep 0.05; done");
    let before = elements(&host);
    assert!(before.contains("8081"));
    let own = at(&address(&result, false), 80);
    let reached = || tcp(&web, &own, &world, "192.0.2.1:8080").is_some();
    let out = || tcp(&world, "192.0.2.2:80", &web, "192.0.2.2:80");
    assert!(reached() && out().is_some());

    host.sh("nft flush ruleset; iptables -P FORWARD DROP; ip6tables -P FORWARD DROP
             sysctl -qw net.ipv4.conf.gwa.route_localnet=0");
    web.sh("ip route del default; ip -6 route del default");
    assert!(!reached() && out().is_none());
    let mut checked = config.clone();
    checked["prevResult"] = result;
    assert_eq!(web.verb("CHECK", &checked).error()["code"], 102);

    assert_eq!(host.sh(&format!("{GROUNDWORK} repair --network other")), "nothing is missing\n");
    let said = host.sh(&format!("{GROUNDWORK} repair --network a"));
    for part in [
        "network a, container web (eth0): put back `",
        "rules of nf_tables",
        "elements of nf_tables",
        "the rule of chain ip filter FORWARD",
        "the rule of chain ip6 filter FORWARD",
        "`sysctl -w net.ipv4.conf.gwa.route_localnet=1`",
        "`ip netns exec SANDBOX ip route add 0.0.0.0/0 via 10.44.0.1 dev eth0`",
        "ip route add ::/0 via fd00:44::1 dev eth0",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(!said.contains("gone"), "{said}");
    assert!(reached());
    assert_eq!(out().as_deref(), Some("192.0.2.1"), "masqueraded");
    web.verb("CHECK", &checked).success("CHECK");
    assert!(!elements(&host).contains("8081"), "a dead container's port stays away");
    assert_eq!(host.sh(&format!("{GROUNDWORK} repair")), "nothing is missing\n");
}

#[test]
fn what_cannot_be_put_back_is_told() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = publishing(&network("a"), json!([mapping(8080, 80, "tcp")]));
    web.add(&config);
    host.sh("nft delete element inet groundwork hp4 '{ tcp . 8080 }'
             nft add element inet groundwork hp4 '{ tcp . 8080 : 10.44.0.99 . 80 }'");
    let output = host.try_sh(&format!("{GROUNDWORK} repair"));
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.contains("could not put back host port 8080/tcp of IPv4"), "{output:?}");
    assert_eq!(host.try_sh(&format!("{GROUNDWORK} repair --nonsense")).status.code(), Some(2));
    let listed = host.sh(&format!("{GROUNDWORK} list"));
    assert!(
        listed.starts_with("a\tweb\teth0\tattached\tveth") && listed.contains("host port 8080/tcp of IPv4"),
        "{listed}"
    );
    assert_eq!(host.sh(&format!("{GROUNDWORK} list --network b")), "");
}

//! Who may reach containers, and other programs' firewalls in the way.

use serde_json::{Value, json};

use crate::{
    net::tcp,
    node::{address, at, elements, mapping, network, publishing, world},
    support::{GROUNDWORK, Host, REFERENCE_PLUGINS, Sandbox},
};

fn with_policy(config: &Value, policy: &str) -> Value {
    let mut config = config.clone();
    config["ingressPolicy"] = json!(policy);
    config
}

fn second_network() -> Value {
    let mut second = network("b");
    second["ipam"] =
        json!({ "type": "host-local", "ranges": [[{ "subnet": "10.45.0.0/24" }], [{ "subnet": "fd00:45::/64" }]] });
    second
}

/// Whether `to`, which has these addresses, is reached from `from`, by both families alike.
fn reaches(from: &Sandbox<'_>, to: &Sandbox<'_>, result: &Value) -> bool {
    let [v4, v6] = [false, true].map(|ipv6| at(&address(result, ipv6), 80));
    let by = [tcp(to, &v4, from, &v4).is_some(), tcp(to, &v6, from, &v6).is_some()];
    assert_eq!(by[0], by[1], "{result}");
    by[0]
}

#[test]
fn policies_of_two_networks() {
    for (of_a, of_b, across, within) in [
        ("open", "open", true, true),
        ("same-bridge", "same-bridge", false, true),
        ("isolated", "isolated", false, false),
        ("same-bridge", "isolated", false, true),
        ("same-bridge", "open", true, true),
    ] {
        let host = Host::new();
        let _world = world(&host);
        let (one, two, other) = (host.sandbox("one"), host.sandbox("two"), host.sandbox("other"));
        let (a, b) = (with_policy(&network("a"), of_a), with_policy(&second_network(), of_b));
        let (at_one, at_two, at_other) = (one.add(&a), two.add(&a), other.add(&b));
        let case = format!("{of_a} and {of_b}");
        assert_eq!(reaches(&one, &other, &at_other), across, "{case}");
        assert_eq!(reaches(&other, &one, &at_one), across, "{case}");
        assert_eq!(reaches(&one, &two, &at_two), within, "{case}");
        one.check(&a, &at_one);
    }
}

#[test]
fn a_policy_ends_with_its_network_at_gc() {
    let host = Host::new();
    let (one, two) = (host.sandbox("one"), host.sandbox("two"));
    let config = with_policy(&network("a"), "same-bridge");
    one.add(&config);
    two.add(&config);
    one.del(&config);
    host.gc(&config, &[("two", "eth0")]).success("GC");
    assert!(elements(&host).contains("\"gwa\" comment \"a\""), "another container needs it: {}", elements(&host));
    two.del(&config);
    host.gc(&config, &[]).success("GC");
    assert!(!elements(&host).contains("\"gwa\""), "{}", elements(&host));
}

/// Rules of another program that drop what is forwarded: how they are made, and how our rule is seen in them.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "iptables",
        "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP",
        "iptables -C FORWARD -m mark --mark 0x1000/0x1000 -m comment --comment groundwork -j ACCEPT
         iptables-save > /dev/null; ip6tables -S FORWARD | grep -q 0x1000/0x1000",
    ),
    (
        "iptables that ends in REJECT",
        "for ip in iptables ip6tables; do $ip -A FORWARD -s 192.0.2.99 -j ACCEPT 2>/dev/null; $ip -A FORWARD -j REJECT; done",
        "iptables -S FORWARD | head -2 | grep -q 0x1000/0x1000; ip6tables -S FORWARD | grep -q 0x1000/0x1000",
    ),
    (
        "nft by policy",
        "nft add table inet filter; nft add chain inet filter forward '{ type filter hook forward priority 0; policy drop; }'",
        "nft list chain inet filter forward | grep -q 'meta mark & 0x00001000 == 0x00001000 accept'",
    ),
    (
        "nft as firewalld",
        "nft add table inet firewalld
         nft add chain inet firewalld filter_FORWARD '{ type filter hook forward priority 10; policy accept; }'
         nft add rule inet firewalld filter_FORWARD ct state established,related accept
         nft add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited",
        "nft list chain inet firewalld filter_FORWARD | grep -q 'meta mark & 0x00001000 == 0x00001000 accept'",
    ),
];

#[test]
fn containers_get_past_other_programs_rules() {
    for (name, make, seen) in OTHERS {
        let host = Host::new();
        let (world, web) = (world(&host), host.sandbox("web"));
        host.sh(make);
        let plain = publishing(&network("a"), json!([mapping(8080, 80, "tcp")]));
        let out = || tcp(&world, "192.0.2.2:80", &web, "192.0.2.2:80").is_some();
        let inwards = |result: &Value, ipv6| {
            let to = if ipv6 { "[2001:db8::1]:8080" } else { "192.0.2.1:8080" };
            tcp(&web, &at(&address(result, ipv6), 80), &world, to).is_some()
        };
        let result = web.add(&plain);
        assert!(!out() && !inwards(&result, false) && !inwards(&result, true), "{name}: it is in the way");
        web.del(&plain);

        let config = with_policy(&plain, "open");
        let result = web.add(&config);
        assert!(out() && inwards(&result, false) && inwards(&result, true), "{name}: {}", host.sh("nft list ruleset"));
        host.sh(seen);
        web.check(&config, &result);
        // What comes by no host port and answers nothing is not let in.
        host.sh("sysctl -qw net.ipv4.ip_forward=1");
        world.sh("ip route replace 10.44.0.0/24 via 192.0.2.1");
        let own = at(&address(&result, false), 80);
        assert_eq!(tcp(&web, &own, &world, &own), None, "{name}");

        let count = || host.sh("nft list ruleset").matches("0x00001000 == 0x00001000").count();
        let before = count();
        let second = host.sandbox("second");
        second.add(&with_policy(&network("a"), "open"));
        assert_eq!(count(), before, "{name}: one rule for all");
        web.del(&config);
        host.gc(&config, &[("second", "eth0")]).success("GC");
        assert_eq!(count(), before, "{name}: the second needs it");
        second.del(&config);
        host.gc(&config, &[]).success("GC");
        assert_eq!(count(), 0, "{name}: {}", host.sh("nft list ruleset"));
    }
}

#[test]
fn the_administrator_is_asked_first() {
    let host = Host::new();
    let (world, web) = (world(&host), host.sandbox("web"));
    host.sh(
        "iptables -P FORWARD DROP; iptables -N CNI-ADMIN; iptables -A CNI-ADMIN -d 192.0.2.2 -p tcp --dport 81 -j DROP",
    );
    web.add(&with_policy(&network("a"), "open"));
    assert!(tcp(&world, "192.0.2.2:80", &web, "192.0.2.2:80").is_some());
    assert!(tcp(&world, "192.0.2.2:81", &web, "192.0.2.2:81").is_none());
    let rules = host.sh("iptables -S FORWARD");
    let lines: Vec<_> = rules.lines().skip(1).collect();
    assert!(lines.len() == 2 && lines[0].ends_with("-j CNI-ADMIN") && lines[1].ends_with("-j ACCEPT"), "{rules}");
}

#[test]
fn a_table_that_its_owner_keeps_is_no_reason_to_fail() {
    let host = Host::new();
    let web = host.sandbox("web");
    // nft keeps the table for as long as it lives.
    host.sh("mkfifo /run/hold; (exec nft -i < /run/hold > /run/held 2>&1) & exec 9> /run/hold
             echo 'add table inet kept { flags owner; }' >&9
             echo 'add chain inet kept forward { type filter hook forward priority 0; policy drop; }' >&9
             for i in $(seq 100); do nft list table inet kept 2>/dev/null | grep -q forward && break; sleep 0.05; done
             nft list table inet kept | grep -q owner
             (sleep 20 >&9) > /dev/null 2>&1 & ");
    let config = with_policy(&network("a"), "open");
    let output = web.verb("ADD", &config);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.contains("inet kept forward") && output.stderr.contains("EPERM"), "{output:?}");
}

#[test]
fn check_names_a_chain_that_was_made_anew() {
    let host = Host::new();
    let web = host.sandbox("web");
    host.sh("iptables -P FORWARD DROP");
    let config = with_policy(&network("a"), "open");
    let mut checked = config.clone();
    checked["prevResult"] = web.add(&config);
    host.sh("iptables -F FORWARD");
    let error = web.verb("CHECK", &checked).error();
    assert!(error["msg"].as_str().unwrap().contains("rule of nf_tables chain ip filter FORWARD"), "{error}");
    host.sh(&format!("{GROUNDWORK} repair"));
    web.verb("CHECK", &checked).success("CHECK");
}

#[test]
fn after_the_reference_bridge() {
    let mut host = Host::new();
    let bridge = json!({
        "cniVersion": "1.0.0", "name": "chain", "type": "bridge", "bridge": "ref0", "isDefaultGateway": true,
        "hairpinMode": true, "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.55.0.0/24" }]] },
    });
    host.plugin = format!("{REFERENCE_PLUGINS}/bridge").into();
    let made = ["one", "two"].map(|name| host.sandbox(name).add(&bridge));
    host.plugin = GROUNDWORK.into();
    let world = world(&host);
    host.sh("sysctl -qw net.ipv4.ip_forward=1; iptables -P FORWARD DROP");
    world.sh("ip route add 10.55.0.0/24 via 192.0.2.1");
    let (one, two) = (host.named("one"), host.named("two"));
    let out = |from| tcp(&world, "192.0.2.2:80", from, "192.0.2.2:80").is_some();
    let between = || {
        let to = at(&address(&made[1], false), 80);
        tcp(&two, &to, &one, &to).is_some()
    };
    assert!(!out(&one) && !between(), "with bridge netfilter, the policy drops that too");
    let firewall = |previous: &Value, policy: &str| json!({ "cniVersion": "1.0.0", "name": "chain", "type": "firewall", "ingressPolicy": policy, "prevResult": previous });
    for (sandbox, previous) in [(&one, &made[0]), (&two, &made[1])] {
        let config = firewall(previous, "open");
        assert_eq!(&sandbox.add(&config), previous);
        sandbox.check(&config, previous);
    }
    assert!(out(&one) && out(&two) && between());
    for (sandbox, previous) in [(&one, &made[0]), (&two, &made[1])] {
        sandbox.del(&firewall(previous, "open"));
        sandbox.add(&firewall(previous, "isolated"));
    }
    assert!(out(&one) && out(&two) && !between());
    let port = host.sh("bridge -d link show");
    assert!(port.matches("hairpin on").count() == 2 && port.matches("isolated on").count() == 2, "{port}");
}

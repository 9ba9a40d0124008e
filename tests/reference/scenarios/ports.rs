//! The plugins `portmap` and `firewall`, key by key, by what comes through.

use serde_json::{Value, json};

use crate::{
    network::with,
    probe::{OUTSIDE, Place, Probe, ROUTED},
    scenario::{Scenario, Step, WEB, dual, life, usual},
};

const OUT: Place = Place::In("out");
const WEB_80: (Place, u16) = (Place::In(WEB), 80);

pub(crate) fn scenarios() -> Vec<Scenario> {
    [mappings(), keys(), refused(), policies(), other_firewalls()].into_iter().flatten().collect()
}

fn tcp(from: Place, to: &'static str) -> Probe {
    Probe::Tcp { from, to, server: WEB_80.0, port: WEB_80.1 }
}

fn udp(from: Place, to: &'static str) -> Probe {
    Probe::Udp { from, to, server: Place::In(WEB), port: 53 }
}

fn mapped(what: &str, portmap: Value, mappings: Value) -> Scenario {
    let portmap = with(&json!({ "type": "portmap", "capabilities": { "portMappings": true } }), portmap);
    let bridge = usual(json!({ "ipMasq": true, "hairpinMode": true }));
    Scenario::new(format!("portmap/{what}"), [bridge, portmap])
        .host(OUTSIDE)
        .runtime(json!({ "portMappings": mappings }))
}

fn of_both_families(mut scenario: Scenario) -> Scenario {
    scenario.plugins[0] = with(&scenario.plugins[0], dual());
    scenario
}

fn plain() -> Value {
    json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }])
}

fn mappings() -> Vec<Scenario> {
    let at = |address: &str| json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": address }]);
    let none = json!({});
    let seen = || {
        [
            tcp(OUT, "192.0.2.1:8080"),
            tcp(OUT, "192.0.2.3:8080"),
            tcp(Place::Host, "192.0.2.1:8080"),
            tcp(Place::Host, "127.0.0.1:8080"),
        ]
    };
    let seen_v6 = || {
        [
            tcp(OUT, "[2001:db8::1]:8080"),
            tcp(OUT, "192.0.2.1:8080"),
            tcp(Place::Host, "[2001:db8::1]:8080"),
            tcp(Place::Host, "[::1]:8080"),
        ]
    };
    vec![
        mapped("tcp", none.clone(), plain()).together().tries(seen()),
        mapped("tcp to itself", none.clone(), plain())
            .together()
            .tries([tcp(Place::In(WEB), "192.0.2.1:8080"), tcp(Place::In(WEB), "10.88.0.1:8080")]),
        mapped("tcp from another bridge", none.clone(), plain())
            .host(ELSEWHERE)
            .together()
            .tries([tcp(Place::In("else"), "10.99.0.1:8080")]),
        mapped("udp", none.clone(), json!([{ "hostPort": 5353, "containerPort": 53, "protocol": "udp" }]))
            .together()
            .tries([
                udp(OUT, "192.0.2.1:5353"),
                udp(Place::Host, "192.0.2.1:5353"),
                udp(Place::Host, "127.0.0.1:5353"),
                udp(Place::In(WEB), "192.0.2.1:5353"),
            ]),
        mapped("udp, and not tcp", none.clone(), json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "udp" }]))
            .tries([tcp(OUT, "192.0.2.1:8080")]),
        mapped(
            "a protocol in capitals",
            none.clone(),
            json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "TCP" }]),
        )
        .tries(seen()),
        mapped("hostIP", none.clone(), at("192.0.2.3")).together().tries(seen()),
        mapped("hostIP of loopback", none.clone(), at("127.0.0.1")).together().tries(seen()),
        mapped("hostIP unspecified", none.clone(), at("0.0.0.0")).tries(seen()),
        of_both_families(mapped("both families", none.clone(), plain())).together().tries(seen_v6()),
        of_both_families(mapped("hostIP of IPv6", none.clone(), at("2001:db8::1"))).together().tries(seen_v6()),
        of_both_families(mapped("hostIP unspecified of IPv6", none.clone(), at("::"))).tries(seen_v6()),
        of_both_families(mapped("hostIP unspecified of IPv4", none.clone(), at("0.0.0.0"))).tries(seen_v6()),
        mapped("hostIP of the other family", none.clone(), at("2001:db8::1")).tries(seen()),
        mapped(
            "several",
            none.clone(),
            json!([
                { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
                { "hostPort": 8081, "containerPort": 80, "protocol": "tcp" },
                { "hostPort": 8080, "containerPort": 53, "protocol": "udp" },
            ]),
        )
        .together()
        .tries([tcp(OUT, "192.0.2.1:8080"), tcp(OUT, "192.0.2.1:8081"), udp(OUT, "192.0.2.1:8080")]),
        mapped("none", none.clone(), json!([])).together().tries([tcp(OUT, "192.0.2.1:8080")]),
        mapped("after DEL", none, plain()).steps([
            Step::Add(WEB),
            Step::Try(tcp(OUT, "192.0.2.1:8080")),
            Step::Del(WEB),
            Step::Try(tcp(OUT, "192.0.2.1:8080")),
        ]),
    ]
}

fn keys() -> Vec<Scenario> {
    let seen =
        || [tcp(OUT, "192.0.2.1:8080"), tcp(Place::Host, "127.0.0.1:8080"), tcp(Place::In(WEB), "192.0.2.1:8080")];
    let only_from = json!({ "conditionsV4": ["-s", "192.0.2.9"], "conditionsV6": ["-s", "2001:db8::9"] });
    vec![
        mapped("snat off", json!({ "snat": false }), plain()).together().tries(seen()),
        mapped("masqAll", json!({ "masqAll": true }), plain()).together().tries(seen()),
        mapped("masqAll, snat off", json!({ "masqAll": true, "snat": false }), plain()).tries(seen()),
        mapped("markMasqBit", json!({ "markMasqBit": 12 }), plain()).tries(seen()),
        mapped("externalSetMarkChain", json!({ "externalSetMarkChain": "NO-SUCH-CHAIN" }), plain()),
        mapped(
            "markMasqBit and externalSetMarkChain",
            json!({ "markMasqBit": 12, "externalSetMarkChain": "OTHER" }),
            plain(),
        )
        .fails(),
        mapped("conditions", only_from, plain()).tries(seen()),
        mapped("CHECK, the rules are gone", json!({}), plain()).broken("nft flush ruleset", "true"),
    ]
}

fn refused() -> Vec<Scenario> {
    let one = |what: &str, mappings: Value| mapped(what, json!({}), mappings).fails();
    let mut alone = mapped("without prevResult", json!({}), plain()).fails();
    alone.plugins.remove(0);
    let mut alone_without = mapped("without prevResult or mappings", json!({}), json!([])).fails();
    alone_without.plugins.remove(0);
    vec![
        one("hostPort 0", json!([{ "hostPort": 0, "containerPort": 80, "protocol": "tcp" }])),
        one("hostPort too great", json!([{ "hostPort": 70000, "containerPort": 80, "protocol": "tcp" }])),
        one("containerPort 0", json!([{ "hostPort": 8080, "containerPort": 0, "protocol": "tcp" }])),
        one("a protocol that is none", json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "icmp" }])),
        one("no protocol", json!([{ "hostPort": 8080, "containerPort": 80 }])),
        one(
            "hostIP that is none",
            json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "nowhere" }]),
        ),
        alone,
        alone_without,
        mapped("two containers", json!({}), plain()).steps([
            Step::Add(WEB),
            Step::Add("db"),
            Step::Del("db"),
            Step::Try(tcp(OUT, "192.0.2.1:8080")),
            Step::Del(WEB),
        ]),
    ]
}

/// `out` and `db`, which is on a bridge of its own, knock at `web`.
fn policies() -> Vec<Scenario> {
    let of = |policy: &str| {
        let firewall = json!({ "type": "firewall", "ingressPolicy": policy, "backend": "iptables" });
        Scenario::new(format!("firewall/{policy}"), [usual(json!({ "ipMasq": true })), firewall])
            .host(OUTSIDE)
            .host(ROUTED)
            .host(ELSEWHERE)
            .steps(life(knocks()))
    };
    let neighbours = |policy: &str| {
        let mut scenario = of(policy);
        scenario.name += ", two containers";
        scenario.steps([
            Step::Add(WEB),
            Step::Add("db"),
            Step::Try(tcp(Place::In("db"), "10.88.0.2:80")),
            Step::Del("db"),
            Step::Check(WEB),
            Step::Del(WEB),
        ])
    };
    vec![
        of("open").together(),
        of("same-bridge").together(),
        neighbours("open").together(),
        neighbours("same-bridge").together(),
        of("isolated").fails(),
        of("no-such-policy").fails(),
    ]
}

/// A container of somebody else's, on another bridge.
const ELSEWHERE: &str = "
    ip netns add else; ip link add br1 type bridge; ip link set br1 up; ip address add 10.99.0.1/24 dev br1
    ip link add e0 type veth peer name eth0 netns else; ip link set e0 master br1 up
    ip netns exec else sh -c 'ip link set lo up; ip link set eth0 up
        ip address add 10.99.0.2/24 dev eth0; ip route add default via 10.99.0.1'";

fn knocks() -> Vec<Step> {
    let out = Probe::Tcp { from: Place::In(WEB), to: "192.0.2.2:80", server: OUT, port: 80 };
    [tcp(OUT, "10.88.0.2:80"), tcp(Place::Host, "10.88.0.2:80"), tcp(Place::In("else"), "10.88.0.2:80"), out]
        .map(Step::Try)
        .into()
}

/// Other programs' rules that drop what is forwarded.
fn other_firewalls() -> Vec<Scenario> {
    let drops = "iptables -P FORWARD DROP";
    let admin = "iptables -P FORWARD ACCEPT; iptables -N CNI-ADMIN; iptables -A CNI-ADMIN -p tcp --dport 80 -j DROP";
    let admin_elsewhere = "iptables -P FORWARD ACCEPT; iptables -N OWN; iptables -A OWN -p tcp --dport 80 -j DROP";
    let network = || usual(json!({ "ipMasq": true }));
    let new =
        |what: &str, plugins: Vec<Value>| Scenario::new(format!("firewall/{what}"), plugins).host(OUTSIDE).host(ROUTED);
    let firewall = json!({ "type": "firewall", "backend": "iptables" });
    vec![
        new("behind a policy of DROP", vec![network(), firewall.clone()])
            .host(drops)
            .steps(life(knocks_of_out()))
            .together(),
        new("no firewall behind a policy of DROP", vec![network()]).host(drops).steps(life(knocks_of_out())),
        new("the admin's chain", vec![network(), firewall.clone()]).host(admin).steps(life(knocks_of_out())),
        new("iptablesAdminChainName", vec![network(), with(&firewall, json!({ "iptablesAdminChainName": "OWN" }))])
            .host(admin_elsewhere)
            .steps(life(knocks_of_out())),
        new("the admin's chain, no chain asks it", vec![network(), firewall.clone()])
            .host("iptables -N CNI-ADMIN; iptables -A CNI-ADMIN -p tcp --dport 80 -j DROP")
            .steps(life(knocks_of_out())),
        new("a backend that is none", vec![network(), json!({ "type": "firewall", "backend": "pf" })]).fails(),
        new("without prevResult", vec![firewall.clone()]).fails(),
        new("CHECK, the rules are gone", vec![network(), firewall]).broken("nft flush ruleset", "true"),
    ]
}

fn knocks_of_out() -> Vec<Step> {
    let out = Probe::Tcp { from: Place::In(WEB), to: "192.0.2.2:80", server: OUT, port: 80 };
    [tcp(OUT, "10.88.0.2:80"), out].map(Step::Try).into()
}

//! The plugins that work on what others made: `tuning`, `bandwidth`, `sbr`; and all of a chain.

use serde_json::{Value, json};

use crate::{
    network::with,
    probe::{OUTSIDE, Place, Probe},
    scenario::{Scenario, Step, WEB, dual, life, usual},
};

pub(crate) fn scenarios() -> Vec<Scenario> {
    [tuned(), tuned_by_runtimes(), limited(), routed_by_source(), chains()].into_iter().flatten().collect()
}

fn after_bridge(plugin: &str, what: &str, keys: Value) -> Scenario {
    Scenario::new(format!("{plugin}/{what}"), [usual(json!({})), with(&json!({ "type": plugin }), keys)])
}

fn tuned() -> Vec<Scenario> {
    let one = |what: &str, keys: Value| after_bridge("tuning", what, keys);
    let sysctl = |name: &str, value: &str| json!({ "sysctl": { name: value } });
    vec![
        one("nothing", json!({})).together(),
        one("sysctl", sysctl("net.core.somaxconn", "500")).together(),
        one("sysctl of the interface", sysctl("net.ipv4.conf.IFNAME.log_martians", "1")).together(),
        one("sysctl with slashes", sysctl("net/ipv4/conf/eth0/log_martians", "1")),
        one("sysctl of several numbers", sysctl("net.ipv4.ip_local_port_range", "2000 3000")),
        one("sysctl that is not of the network", sysctl("kernel.hostname", "x")).fails(),
        one("sysctl that is not there", sysctl("net.ipv4.conf.no_such", "1")).fails(),
        one("sysctl that the kernel refuses", sysctl("net.core.somaxconn", "many")).fails(),
        one("sysctl with a way out", sysctl("net.ipv4.conf.../../../kernel/hostname", "x")).fails(),
        one("sysctl that is a number", json!({ "sysctl": { "net.core.somaxconn": 500 } })).fails(),
        one("mac", json!({ "mac": "02:00:00:00:00:42" })).together(),
        one("mac that is none", json!({ "mac": "no mac" })).fails(),
        one("mtu", json!({ "mtu": 1400 })).together(),
        one("promisc", json!({ "promisc": true })).together(),
        one("allmulti", json!({ "allmulti": true })).together(),
        one("txQLen", json!({ "txQLen": 77 })),
        one(
            "everything",
            json!({ "mac": "02:00:00:00:00:42", "mtu": 1400, "promisc": true, "allmulti": true, "sysctl": { "net.core.somaxconn": "500" } }),
        ),
        one("CHECK, another mac", json!({ "mac": "02:00:00:00:00:42" }))
            .broken("true", "ip link set eth0 address 02:00:00:00:00:43"),
        one("CHECK, another mtu", json!({ "mtu": 1400 })).broken("true", "ip link set eth0 mtu 1300"),
        one("CHECK, not promiscuous", json!({ "promisc": true })).broken("true", "ip link set eth0 promisc off"),
        one("CHECK, not all multicast", json!({ "allmulti": true }))
            .broken("true", "ip link set eth0 allmulticast off"),
        one("CHECK, another sysctl", sysctl("net.core.somaxconn", "500"))
            .broken("true", "sysctl -qw net.core.somaxconn=501"),
        one("DEL, the interface is gone", json!({ "mtu": 1400 })).steps([
            Step::Add(WEB),
            Step::Inside(WEB, "ip link del eth0"),
            Step::Del(WEB),
        ]),
        alone("tuning", json!({ "mtu": 1400 })),
        Scenario::new(
            "tuning/restored by DEL",
            [
                json!({ "type": "loopback" }),
                json!({ "type": "tuning", "mtu": 1400, "promisc": true, "mac": "02:00:00:00:00:42", "allmulti": true }),
            ],
        )
        .steps([
            Step::Inside(WEB, "ip link add eth0 type veth peer name peer; ip link set eth0 up"),
            Step::Add(WEB),
            Step::Check(WEB),
            Step::Del(WEB),
            Step::Inside(WEB, "ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:07"),
        ]),
    ]
}

/// The plugin with nothing before it.
fn alone(plugin: &str, keys: Value) -> Scenario {
    Scenario::new(format!("{plugin}/without prevResult"), [with(&json!({ "type": plugin }), keys)]).fails()
}

fn tuned_by_runtimes() -> Vec<Scenario> {
    let one = |what: &str, keys: Value| after_bridge("tuning", what, keys);
    let mac = |last: &str| format!("02:00:00:00:00:{last}");
    vec![
        one("mac by CNI_ARGS", json!({ "mac": mac("01") })).env("CNI_ARGS", "IgnoreUnknown=1;MAC=02:00:00:00:00:02"),
        one("mac by runtimeConfig", json!({ "mac": mac("01"), "capabilities": { "mac": true } }))
            .env("CNI_ARGS", "IgnoreUnknown=1;MAC=02:00:00:00:00:02")
            .runtime(json!({ "mac": mac("03") })),
        one("by args.cni", json!({ "mac": mac("01"), "sysctl": { "net.core.somaxconn": "500" } }))
            .args(json!({ "mac": mac("04"), "mtu": 1300, "promisc": true, "allmulti": true, "sysctl": { "net.core.somaxconn": "9" } })),
        one("sysctl by args.cni alone", json!({})).args(json!({ "sysctl": { "net.core.somaxconn": "9" } })),
    ]
}

fn limited() -> Vec<Scenario> {
    let one = |what: &str, keys: Value| after_bridge("bandwidth", what, keys);
    let both =
        json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 4_000_000, "egressBurst": 400_000 });
    let may = json!({ "capabilities": { "bandwidth": true } });
    vec![
        one("ingress", json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000 })).together(),
        one("egress", json!({ "egressRate": 8_000_000, "egressBurst": 800_000 })).together(),
        one("both", both.clone()).together(),
        one("by runtimeConfig", may.clone()).runtime(json!({ "bandwidth": both })).together(),
        one(
            "by runtimeConfig beside its own",
            with(&may, json!({ "ingressRate": 1_000_000, "ingressBurst": 100_000 })),
        )
        .runtime(json!({ "bandwidth": both })),
        one("nothing", json!({})).together(),
        one("zeros", json!({ "ingressRate": 0, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0 })),
        one("a rate without burst", json!({ "ingressRate": 8_000_000 })).fails(),
        one("a burst without rate", json!({ "egressBurst": 800_000 })).fails(),
        one("a burst that is too great", json!({ "ingressRate": 8_000_000, "ingressBurst": 34_359_738_368_u64 }))
            .fails(),
        one("a slow rate", json!({ "ingressRate": 1000, "ingressBurst": 1000 })),
        one("a fast rate", json!({ "ingressRate": 1_000_000_000, "ingressBurst": 100_000_000 })),
        one("CHECK, no limit", both.clone())
            .broken("for link in $(ls /sys/class/net | grep ^veth); do tc qdisc del dev $link root; done", "true"),
        one("CHECK, no link for what is sent", both.clone())
            .broken("ip link del $(ls /sys/class/net | grep ^bwp)", "true"),
        one("DEL, the link is gone", both).steps([
            Step::Add(WEB),
            Step::Inside(WEB, "ip link del eth0"),
            Step::Del(WEB),
        ]),
        alone("bandwidth", json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000 })),
    ]
}

fn routed_by_source() -> Vec<Scenario> {
    let sbr = json!({ "type": "sbr" });
    let of = |what: &str, network: Value, sbr: Value| Scenario::new(format!("sbr/{what}"), [network, sbr]);
    let routes = usual(json!({ "ipam": { "routes": [{ "dst": "192.0.2.0/24" }] } }));
    vec![
        of("one address", usual(json!({})), sbr.clone()).together(),
        of("both families", usual(dual()), sbr.clone()).together(),
        of("routes", routes.clone(), sbr.clone()).together(),
        of("no gateway", with(&usual(json!({})), json!({ "isDefaultGateway": false })), sbr.clone()),
        of("table", routes, with(&sbr, json!({ "table": 200 }))),
        of("tables that are taken", usual(json!({})), sbr.clone()).steps(
            [Step::Inside(WEB, "ip link set lo up; ip route add 203.0.113.0/24 dev lo table 100")]
                .into_iter()
                .chain(life([])),
        ),
        alone("sbr", json!({})),
    ]
}

/// As clusters have it.
fn chains() -> Vec<Scenario> {
    let ports = json!({ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }], "bandwidth": { "ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000 } });
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    let firewall = json!({ "type": "firewall", "backend": "iptables" });
    let bandwidth = json!({ "type": "bandwidth", "capabilities": { "bandwidth": true } });
    let tuning = json!({ "type": "tuning", "sysctl": { "net.core.somaxconn": "500" } });
    let network = usual(with(
        &dual(),
        json!({ "ipMasq": true, "hairpinMode": true, "capabilities": { "ips": true, "mac": true } }),
    ));
    let probes = [
        Probe::Tcp { from: Place::In("out"), to: "192.0.2.1:8080", server: Place::In(WEB), port: 80 },
        Probe::Tcp { from: Place::In(WEB), to: "192.0.2.2:80", server: Place::In("out"), port: 80 },
    ];
    let asked = with(&ports, json!({ "mac": "02:00:00:00:00:03", "ips": ["10.88.0.70", "fd00:88::70"] }));
    let all = vec![network.clone(), portmap.clone(), firewall.clone(), tuning, bandwidth];
    vec![
        Scenario::new("chain/podman", [network, portmap, firewall, json!({ "type": "tuning" })])
            .version("0.4.0")
            .host(OUTSIDE)
            .runtime(ports)
            .tries(probes.clone())
            .together(),
        Scenario::new("chain/everything", all).host(OUTSIDE).runtime(asked).tries(probes).together(),
    ]
}

//! Host ports and firewall.

use super::{attach, bridge, ips, network, standing};
use crate::{
    config::{Destinations, FirewallConfig, HostPortsConfig, IngressPolicy, LinkConfig, NativeConfig, PortMapping},
    nft::ruleset::{Element, Flow, Protocol},
    plan::{Attach, ObservedHost, PlanError, Script, followers, plan_add, stale},
    rtnl::values::PortFlags,
};

fn exposed(link: bool, policy: Option<IngressPolicy>) -> NativeConfig {
    let mapping = |host_ip: Option<&str>, protocol, host_port| PortMapping {
        host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        protocol,
        host_port,
        container_port: 80,
    };
    NativeConfig {
        link: link.then(|| LinkConfig::Bridge(bridge())),
        host_ports: Some(HostPortsConfig {
            mappings: vec![mapping(None, Protocol::Tcp, 8080), mapping(Some("192.0.2.1"), Protocol::Udp, 53)],
            snat: true,
            masq_all: false,
            conditions_v4: Destinations::Any,
            conditions_v6: Destinations::Any,
            idle_keys: Vec::new(),
        }),
        firewall: policy.map(|ingress| FirewallConfig { ingress, admin_chain: "CNI-ADMIN".into() }),
        ..network(&bridge())
    }
}

fn script(config: &NativeConfig, host: &ObservedHost) -> Vec<String> {
    let steps = plan_add(&attach(config), &ips(&["10.1.0.2/24", "fd00::2/64"]), &[], host).unwrap();
    Script(&steps).to_string().lines().map(str::to_owned).collect()
}

#[test]
fn host_ports_of_a_chained_link_are_elements_a_setting_and_no_more() {
    let expected = [
        "nft add element inet groundwork hp4 '{ tcp . 8080 comment \"net/ctr/eth0\" : 10.1.0.2 . 80 }'",
        "nft add element inet groundwork hp4ip '{ 192.0.2.1 . udp . 53 comment \"net/ctr/eth0\" : 10.1.0.2 . 80 }'",
        "nft add element inet groundwork snat4_24 '{ 10.1.0.2 . 10.1.0.0 comment \"net/ctr/eth0\" }'",
        "nft add element inet groundwork snat4_8 '{ 10.1.0.2 . 127.0.0.0 comment \"net/ctr/eth0\" }'",
        "nft add element inet groundwork hp6 '{ tcp . 8080 comment \"net/ctr/eth0\" : fd00::2 . 80 }'",
        "nft add element inet groundwork snat6_64 '{ fd00::2 . fd00:: comment \"net/ctr/eth0\" }'",
        "sysctl -w net.ipv4.conf.br0.route_localnet=1",
        "conntrack -D -f ipv4 -p udp --orig-port-dst 53 --orig-dst 192.0.2.1",
    ];
    assert_eq!(script(&exposed(false, None), &ObservedHost::default()), expected);
    let mut quiet = exposed(false, None);
    quiet.host_ports.as_mut().unwrap().snat = false;
    let script = script(&quiet, &ObservedHost::default());
    assert!(!script.iter().any(|line| line.contains("snat") || line.contains("route_localnet")), "{script:?}");
}

#[test]
fn a_firewall_isolates_and_opens_gates() {
    let host = standing(&["10.1.0.1/24", "fd00::1/64"]);
    let count = |policy, needle: &str| {
        script(&exposed(true, Some(policy)), &host).iter().filter(|line| line.contains(needle)).count()
    };
    for (policy, isolated, same_bridge, port) in
        [(IngressPolicy::Open, 0, 0, 0), (IngressPolicy::SameBridge, 1, 1, 0), (IngressPolicy::Isolated, 1, 0, 1)]
    {
        assert_eq!(count(policy, " isolated '{ \"br0\" comment \"net\" }'"), isolated, "{policy:?}");
        assert_eq!(count(policy, " same_bridge '{ \"br0\" . \"br0\" comment \"net\" }'"), same_bridge, "{policy:?}");
        assert_eq!(count(policy, "isolated on"), port, "{policy:?}");
        assert_eq!(count(policy, " fwd"), 2, "{policy:?}");
        assert_eq!(count(policy, "meta mark & 0x1000 == 0x1000 accept"), 1, "{policy:?}");
    }
    let later = exposed(false, Some(IngressPolicy::Isolated));
    let port = PortFlags { hairpin: true, isolated: false };
    let script = script(&later, &ObservedHost { port: Some(port), ..ObservedHost::default() });
    let kept = "ip link set veth00000001 type bridge_slave hairpin on isolated on".to_owned();
    assert!(script.contains(&kept), "the bridge plugin's setting is kept: {script:?}");
    let lost = Attach { gateway_link: "", ..attach(&later) };
    let error = plan_add(&lost, &ips(&["10.1.0.2/24"]), &[], &ObservedHost::default()).unwrap_err();
    assert_eq!(error, PlanError::NoHostEnd { ifname: "eth0".into() });
}

#[test]
fn bridge_netfilter_makes_host_ports_need_hairpin() {
    let hairpin = |bridge_nf| {
        let host = ObservedHost { bridge_nf, ..standing(&["10.1.0.1/24", "fd00::1/64"]) };
        script(&exposed(true, None), &host).iter().any(|line| line.contains("hairpin on"))
    };
    assert!(hairpin(true) && !hairpin(false));
}

#[test]
fn conditions_choose_addresses_of_the_host() {
    let ports = |v4: Destinations| {
        let mut config = exposed(false, None);
        let ports = config.host_ports.as_mut().unwrap();
        (ports.conditions_v4, ports.snat) = (v4, false);
        ports.mappings.insert(1, PortMapping { host_ip: Some("192.0.2.1".parse().unwrap()), ..ports.mappings[0] });
        let lines = script(&config, &ObservedHost::default()).into_iter();
        let elements = lines
            .filter_map(|line| Some(line.split_once("groundwork hp4")?.1.replace("comment \"net/ctr/eth0\" ", "")));
        elements.collect::<Vec<_>>()
    };
    let ip = |text: &str| text.parse().unwrap();
    let only = Destinations::Only(vec![ip("192.0.2.1"), ip("192.0.2.3")]);
    let udp = "ip '{ 192.0.2.1 . udp . 53 : 10.1.0.2 . 80 }'";
    assert_eq!(
        ports(only),
        ["ip '{ 192.0.2.1 . tcp . 8080 : 10.1.0.2 . 80 }'", "ip '{ 192.0.2.3 . tcp . 8080 : 10.1.0.2 . 80 }'", udp]
    );
    assert_eq!(ports(Destinations::Only(vec![ip("192.0.2.9")])), ["ip '{ 192.0.2.9 . tcp . 8080 : 10.1.0.2 . 80 }'"]);
    let others = ports(Destinations::Except(ip("192.0.2.9")));
    assert_eq!(others[2..], ["ip '{ 192.0.2.1 . tcp . 8080 : 10.1.0.2 . 80 }'", udp], "{others:?}");
    // What is left out keeps its port.
    assert_eq!(
        ports(Destinations::Except(ip("192.0.2.1"))),
        ["ip '{ 192.0.2.1 . tcp . 8080 : 192.0.2.1 . 8080 }'", " '{ tcp . 8080 : 10.1.0.2 . 80 }'"]
    );
}

#[test]
fn a_family_without_host_ports_masquerades_nothing() {
    let mut config = exposed(false, None);
    config.host_ports.as_mut().unwrap().mappings.remove(0);
    let script = script(&config, &ObservedHost::default());
    assert!(script.iter().any(|line| line.contains("snat4_")), "{script:?}");
    assert!(!script.iter().any(|line| line.contains("snat6_")), "{script:?}");
}

#[test]
fn flows_of_a_host_port() {
    let to = "10.22.0.5:5353".parse().unwrap();
    let port = |ip: Option<&str>| Element::host_port(ip.map(|ip| ip.parse().unwrap()), Protocol::Udp, 53, to).unwrap();
    let own = ["127.0.0.1", "192.0.2.1", "192.0.2.3", "2001:db8::1"].map(|ip| ip.parse().unwrap());
    let flow =
        |to: &str, answered_by: &str| Flow { to: to.parse().unwrap(), answered_by: answered_by.parse().unwrap() };
    for (flow, misses_any, misses_one, follows) in [
        (flow("192.0.2.1:53", "192.0.2.1:53"), true, false, false),
        (flow("192.0.2.3:53", "192.0.2.3:53"), true, true, false),
        (flow("192.0.2.1:53", "10.22.0.9:5353"), true, false, false),
        (flow("192.0.2.1:53", "10.22.0.5:5353"), true, false, true),
        (flow("192.0.2.1:54", "192.0.2.1:54"), false, false, false),
        (flow("192.0.2.9:53", "192.0.2.9:53"), false, false, false),
        (flow("[2001:db8::1]:53", "[2001:db8::1]:53"), false, false, false),
    ] {
        let misses = |ip| stale(&port(ip), &own).iter().any(|flows| flows.contain(&flow));
        assert_eq!((misses(None), misses(Some("192.0.2.3"))), (misses_any, misses_one), "{flow:?}");
        assert_eq!(followers(&port(None)).unwrap().contain(&flow), follows, "{flow:?}");
    }
}

//! Plans of routing by source.

use std::net::IpAddr;

use super::{attach, bridge, ips, link, network, standing};
use crate::{
    cni::result::Route,
    config::{BridgeConfig, LinkConfig, NativeConfig, PtpConfig, SourceRoutingConfig},
    plan::{
        Attach, ObservedHost, PlanError, Script, plan_add, resolve,
        source_routing::{ObservedRouting, SourceRouting},
    },
    rtnl::values::{KERNEL, RouteEntry},
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn route(dst: &str, gw: Option<&str>, src: Option<&str>) -> RouteEntry {
    RouteEntry { gw: gw.map(ip), src: src.map(ip), oif: Some(7), ..RouteEntry::to(dst.parse().unwrap()) }
}

/// A container with two addresses, whose eth0 an earlier plugin made.
fn chained(config: SourceRoutingConfig, observed: ObservedRouting) -> Result<Vec<String>, PlanError> {
    let config = NativeConfig { link: None, source_routing: Some(config), ..network(&bridge()) };
    let inside = link("eth0", "veth");
    let attach = Attach { inside: Some(&inside), ..attach(&config) };
    let mut ips = ips(&["10.1.0.2/24", "fd00::2/64"]);
    ips[1].gateway = Some(ip("fd00::1"));
    let steps = plan_add(&attach, &ips, &[], &ObservedHost { routing: observed, ..ObservedHost::default() })?;
    let added = SourceRouting::of(&steps).unwrap_or_default().added;
    assert!(added.iter().all(|route| route.oif.is_none()), "numbers of links change");
    let inside = |line: &str| line.strip_prefix("ip netns exec SANDBOX ip ").unwrap().to_owned();
    Ok(Script(&steps).to_string().lines().map(inside).collect())
}

fn observed() -> ObservedRouting {
    let routes = vec![
        route("0.0.0.0/0", Some("10.1.0.1"), None),
        route("10.1.0.0/24", None, Some("10.1.0.2")),
        route("10.9.0.0/24", None, Some("10.9.0.2")),
        route("198.51.100.0/24", None, None),
        RouteEntry { protocol: KERNEL, ..route("fd00::/64", None, None) },
        RouteEntry { protocol: KERNEL, ..route("fe80::/64", None, None) },
    ];
    ObservedRouting { tables: [100].into(), routes, vrf: None }
}

#[test]
fn each_address_has_a_table_into_which_its_routes_are_moved() {
    let script = chained(SourceRoutingConfig::default(), observed()).unwrap();
    let expected = [
        "rule add from 10.1.0.2 table 101",
        "route add 10.1.0.0/24 dev eth0 src 10.1.0.2 table 101",
        "route add 198.51.100.0/24 dev eth0 table 101",
        "route add 0.0.0.0/0 via 10.1.0.1 dev eth0 table 101",
        "-6 rule add from fd00::2 table 102",
        "route add fd00::/64 dev eth0 table 102",
        "route add fe80::/64 dev eth0 table 102",
        "route add ::/0 via fd00::1 dev eth0 table 102",
        "route del 0.0.0.0/0 via 10.1.0.1 dev eth0 table 254",
        "route del 10.1.0.0/24 dev eth0 src 10.1.0.2 table 254",
        "route del 10.9.0.0/24 dev eth0 src 10.9.0.2 table 254",
        "route del 198.51.100.0/24 dev eth0 table 254",
        "route del fd00::/64 dev eth0 table 254",
    ];
    assert_eq!(script, expected, "IPv6 needs its link-local network where it is");
}

#[test]
fn a_table_that_is_named_is_somebody_elses_to_fill() {
    let config = SourceRoutingConfig { table: Some(7), ..SourceRoutingConfig::default() };
    let expected = ["rule add from 10.1.0.2 table 7", "-6 rule add from fd00::2 table 7"];
    assert_eq!(chained(config, observed()).unwrap(), expected);
}

#[test]
fn gateways_that_are_named_take_the_place_of_the_addresses_own() {
    let config =
        SourceRoutingConfig { gateways: vec![ip("10.1.0.9"), ip("fd00::9")], ..SourceRoutingConfig::default() };
    let script = chained(config, observed()).unwrap();
    let defaults: Vec<_> = script.iter().filter(|line| line.contains("/0 via") && line.contains("add")).collect();
    assert_eq!(
        defaults,
        ["route add 0.0.0.0/0 via 10.1.0.9 dev eth0 table 101", "route add ::/0 via fd00::9 dev eth0 table 102"]
    );
}

#[test]
fn with_hints_networks_on_the_link_stay_where_they_are() {
    let config = SourceRoutingConfig { add_source_hints: true, ..SourceRoutingConfig::default() };
    let mut observed = observed();
    observed.routes[1].src = None;
    let changes = |observed| -> Vec<String> {
        let script = chained(config.clone(), observed).unwrap().into_iter();
        script.filter(|line| line.ends_with("table 254")).collect()
    };
    let removed = "route del 0.0.0.0/0 via 10.1.0.1 dev eth0 table 254";
    let hinted = [
        removed,
        "route replace 10.1.0.0/24 dev eth0 src 10.1.0.2 table 254",
        "route replace fd00::/64 dev eth0 src fd00::2 table 254",
    ];
    assert_eq!(changes(observed.clone()), hinted);
    observed.routes[1].src = Some(ip("10.1.0.2"));
    assert_eq!(changes(observed), [removed, hinted[2]], "a source that is there stays");
}

/// The routes that this plan makes are not there yet, but are as good as there.
#[test]
fn a_link_that_is_made_here_is_routed_by_source() {
    let config = NativeConfig {
        source_routing: Some(SourceRoutingConfig::default()),
        ..network(&BridgeConfig { is_default_gateway: true, ..bridge() })
    };
    let (mut ips, mut routes) = (ips(&["10.1.0.2/24", "fd00::2/64", "10.2.0.2/32"]), Vec::new());
    resolve(&config, &mut ips, &mut routes).unwrap();
    let others =
        ["10.8.0.0/16", "10.9.0.0/16"].map(|dst| Route { gw: Some(ip("10.1.0.9")), ..Route::to(dst.parse().unwrap()) });
    let detail = Route { priority: Some(9), scope: Some(0), mtu: Some(1300), advmss: Some(1200), ..others[0].clone() };
    routes.extend([Route { table: Some(254), ..detail }, Route { table: Some(5), ..others[1].clone() }]);
    let host = standing(&["10.1.0.1/24", "fd00::1/64", "10.2.0.3/32"]);
    let steps = plan_add(&attach(&config), &ips, &routes, &host).unwrap();
    let script = Script(&steps).to_string();
    let from = script.find("ip netns exec SANDBOX ip rule").unwrap();
    let lines: Vec<_> =
        script[from..].lines().map(|line| line.strip_prefix("ip netns exec SANDBOX ip ").unwrap()).collect();
    let expected = [
        "rule add from 10.1.0.2 table 100",
        "route add 10.1.0.0/24 dev eth0 src 10.1.0.2 table 100",
        "route add 0.0.0.0/0 via 10.1.0.1 dev eth0 table 100",
        "route add 10.8.0.0/16 via 10.1.0.9 dev eth0 table 100",
        "-6 rule add from fd00::2 table 101",
        "route add fd00::/64 dev eth0 table 101",
        "route add ::/0 via fd00::1 dev eth0 table 101",
        "rule add from 10.2.0.2 table 102",
        "route add 0.0.0.0/0 via 10.2.0.3 dev eth0 table 102",
        "route del 10.1.0.0/24 dev eth0 src 10.1.0.2 table 254",
        "route del fd00::/64 dev eth0 table 254",
        "route del 0.0.0.0/0 via 10.1.0.1 dev eth0 table 254",
        "route del ::/0 via fd00::1 dev eth0 table 254",
        "route del 10.8.0.0/16 via 10.1.0.9 dev eth0 table 254",
    ];
    assert_eq!(lines, expected);

    let done = SourceRouting::of(&steps).unwrap();
    assert_eq!((done.rules.len(), done.added.len(), done.removed.len()), (3, 6, 5));
    assert!(done.added.iter().all(|route| route.table != 254) && done.removed.iter().all(|route| route.table == 254));
    assert_eq!(done.rules[0].source, ip("10.1.0.2"));
    assert_eq!(SourceRouting::of(&[]), None);
    let last = done.removed.last().unwrap();
    assert_eq!((last.priority, last.scope, last.mtu, last.advmss), (Some(9), Some(0), Some(1300), Some(1200)));
    let kernels = done.removed.iter().filter(|route| route.protocol == KERNEL).collect::<Vec<_>>();
    assert_eq!(
        (kernels[0].scope, kernels[1].priority, kernels.len()),
        (Some(253), Some(256), 2),
        "as the kernel has them"
    );
}

#[test]
fn what_cannot_be_routed_by_source() {
    let config =
        NativeConfig { link: None, source_routing: Some(SourceRoutingConfig::default()), ..network(&bridge()) };
    let host = ObservedHost::default();
    let nothing = plan_add(&attach(&config), &ips(&["10.1.0.2/24"]), &[], &host).unwrap_err();
    assert_eq!(nothing, PlanError::NoLink { ifname: "eth0".into() });
    let inside = link("eth0", "veth");
    let bare = plan_add(&Attach { inside: Some(&inside), ..attach(&config) }, &[], &[], &host).unwrap_err();
    assert_eq!(bare, PlanError::NoSource { ifname: "eth0".into() });
}

#[test]
fn behind_a_link_to_the_host_there_is_no_network() {
    let link = LinkConfig::Ptp(PtpConfig { ip_masq: false, mtu: None });
    let config =
        NativeConfig { link: Some(link), source_routing: Some(SourceRoutingConfig::default()), ..network(&bridge()) };
    let mut ips = ips(&["10.1.0.2/24"]);
    resolve(&config, &mut ips, &mut Vec::new()).unwrap();
    let steps = plan_add(&attach(&config), &ips, &[], &ObservedHost::default()).unwrap();
    let done = SourceRouting::of(&steps).unwrap();
    let words = |routes: &[RouteEntry]| -> Vec<String> {
        let via = |gw: Option<IpAddr>| gw.map(|gw| format!(" via {gw}")).unwrap_or_default();
        routes.iter().map(|route| format!("{}{}", route.dst, via(route.gw))).collect()
    };
    assert_eq!(words(&done.added), ["10.1.0.1/32", "10.1.0.0/24 via 10.1.0.1", "0.0.0.0/0 via 10.1.0.1"]);
    assert_eq!(words(&done.removed), ["10.1.0.1/32", "10.1.0.0/24 via 10.1.0.1"]);
    assert!(done.removed.iter().all(|route| route.src == Some(ip("10.1.0.2"))), "{:?}", done.removed);
}

//! Plans of links in routing tables of their own.

use super::{attach, bridge, ips, link, network, standing};
use crate::{
    config::{BridgeConfig, NativeConfig, VrfConfig},
    plan::{Attach, ObservedHost, ObservedVrf, PlanError, Script, plan_add, resolve, source_routing::ObservedRouting},
    rtnl::{
        Link,
        values::{LinkKind, RouteEntry, SourceRule},
    },
};

fn blue(table: Option<u32>) -> Option<VrfConfig> {
    Some(VrfConfig { name: "blue".into(), table })
}

fn vrf(name: &str, index: u32, table: u32) -> Link {
    Link { index, detail: Some(LinkKind::Vrf { table }), ..link(name, "vrf") }
}

fn route(dst: &str, gw: Option<&str>) -> RouteEntry {
    RouteEntry { gw: gw.map(|gw| gw.parse().unwrap()), oif: Some(7), ..RouteEntry::to(dst.parse().unwrap()) }
}

/// A container whose eth0 an earlier plugin made.
fn made(others: &[Link]) -> ObservedVrf {
    let own = Link { index: 7, ..link("eth0", "veth") };
    ObservedVrf {
        links: others.iter().cloned().chain([own]).collect(),
        addresses: ["10.1.0.2/24", "fd00::2/64"].map(|address| address.parse().unwrap()).into(),
        routes: vec![route("0.0.0.0/0", Some("10.1.0.1")), route("10.1.0.1/32", None)],
        rule: None,
    }
}

fn chained(table: Option<u32>, observed: ObservedVrf) -> Result<Vec<String>, PlanError> {
    let config = NativeConfig { link: None, vrf: blue(table), ..network(&bridge()) };
    let inside = link("eth0", "veth");
    let attach = Attach { inside: Some(&inside), ..attach(&config) };
    let steps = plan_add(&attach, &[], &[], &ObservedHost { vrf: observed, ..ObservedHost::default() })?;
    let inside = |line: &str| line.strip_prefix("ip netns exec SANDBOX ip ").unwrap().to_owned();
    Ok(Script(&steps).to_string().lines().map(inside).collect())
}

#[test]
fn a_link_that_is_there_takes_its_addresses_and_routes_along() {
    let script = chained(None, made(&[vrf("red", 2, 1), vrf("green", 3, 2)])).unwrap();
    let expected = [
        "link add name blue type vrf table 3",
        "link set blue up",
        "link set eth0 master blue",
        "addr add fd00::2/64 dev eth0 nodad",
        "route add 10.1.0.1/32 dev eth0 table 3",
        "route add 0.0.0.0/0 via 10.1.0.1 dev eth0 table 3",
    ];
    assert_eq!(script, expected);
    let second = chained(None, made(&[vrf("blue", 2, 9)])).unwrap();
    assert_eq!(second[0], "link set eth0 master blue");
    assert!(second.last().unwrap().ends_with(" table 9"), "{second:?}");
    assert_eq!(chained(Some(42), made(&[])).unwrap()[0], "link add name blue type vrf table 42");
    let mut there = made(&[vrf("blue", 2, 9)]);
    there.links[1].master = Some(2);
    assert_eq!(chained(Some(9), there), Ok(Vec::new()), "nothing is left to do");
}

#[test]
fn what_is_in_the_way_of_a_vrf() {
    let name = || "blue".to_owned();
    assert_eq!(chained(None, made(&[link("blue", "veth")])), Err(PlanError::NotVrf { name: name() }));
    let other = chained(Some(7), made(&[vrf("blue", 2, 9)]));
    assert_eq!(other, Err(PlanError::OtherTable { name: name(), table: 9, wanted: 7 }));
    let mut port = made(&[vrf("red", 2, 1)]);
    port.links[1].master = Some(2);
    let taken = PlanError::OtherMaster { ifname: "eth0".into(), master: "red".into() };
    let mut beside = made(&[vrf("red", 2, 1), vrf("blue", 3, 2)]);
    beside.links[2].master = Some(2);
    assert_eq!(chained(None, beside), Err(taken.clone()));
    assert_eq!(chained(None, port), Err(taken));
    let rule = SourceRule { source: "10.1.0.2".parse().unwrap(), table: 100 };
    let ruled = chained(None, ObservedVrf { rule: Some(rule), ..made(&[]) });
    assert_eq!(ruled, Err(PlanError::Ruled { ifname: "eth0".into(), rule }));
}

#[test]
fn a_vrf_is_in_the_way_of_routing_by_source() {
    let config = NativeConfig { link: None, source_routing: Some(Default::default()), ..network(&bridge()) };
    let inside = link("eth0", "veth");
    let attach = Attach { inside: Some(&inside), ..attach(&config) };
    let routing = ObservedRouting { vrf: Some("blue".into()), ..ObservedRouting::default() };
    let refused = plan_add(&attach, &ips(&["10.1.0.2/24"]), &[], &ObservedHost { routing, ..ObservedHost::default() });
    assert_eq!(refused, Err(PlanError::InVrf { ifname: "eth0".into(), vrf: "blue".into() }));
}

#[test]
fn a_link_that_is_made_here_is_in_it_before_it_has_anything() {
    let config = NativeConfig { vrf: blue(None), ..network(&BridgeConfig { is_default_gateway: true, ..bridge() }) };
    let (mut ips, mut routes) = (ips(&["10.1.0.2/24"]), Vec::new());
    resolve(&config, &mut ips, &mut routes).unwrap();
    let steps = plan_add(&attach(&config), &ips, &routes, &standing(&["10.1.0.1/24"])).unwrap();
    let script: Vec<_> = Script(&steps).to_string().lines().map(str::to_owned).collect();
    let inside = [
        "ip netns exec SANDBOX ip link add name blue type vrf table 1",
        "ip netns exec SANDBOX ip link set blue up",
        "ip netns exec SANDBOX ip link set eth0 master blue",
    ];
    assert_eq!(script[1..4], inside);
    assert_eq!(script.last().unwrap(), "ip netns exec SANDBOX ip route add 0.0.0.0/0 via 10.1.0.1 dev eth0 table 1");
}

//! What CHECK tells of an attachment that is not as it was left.

mod later;

use std::net::IpAddr;

use super::{bridge, ips, link, network};
use crate::{
    cni::{
        mac::Mac,
        result::{IpConfig, Route},
    },
    config::{BridgeConfig, LinkConfig, NativeConfig, ParentConfig, PtpConfig, SingleConfig, Vlans},
    nft::ruleset::{Element, Gate, Owned},
    plan::{Expected, ObservedAttachment, ObservedHost, compare, source_routing::SourceRouting},
    rtnl::{
        Link,
        values::{LinkKind, MacvlanMode, PortFlags, PortVlan, RouteEntry},
    },
};

/// An attachment: what ADD left, and what is there.
#[derive(Clone)]
struct Left {
    config: NativeConfig,
    ips: Vec<IpConfig>,
    routes: Vec<Route>,
    elements: Vec<Owned>,
    moved: Option<SourceRouting>,
    there: ObservedAttachment,
}

/// A change of an attachment, and what is told of it.
type Case<'a> = (fn(&mut Left), &'a str);

impl Left {
    fn differences(&self) -> Vec<String> {
        let expected = Expected {
            config: &self.config,
            host_link: "veth1",
            ifname: "eth0",
            sandbox_mac: Some(MAC),
            ips: &self.ips,
            routes: &self.routes,
            elements: &self.elements,
            settings: &[],
            source_routing: self.moved.as_ref(),
            ifb: "bwp0",
        };
        compare(&expected, &self.there).iter().map(ToString::to_string).collect()
    }

    /// Nothing differs, and after each change that does which is told.
    #[track_caller]
    fn tells(&self, cases: &[Case<'_>]) {
        assert_eq!(self.differences(), [""; 0]);
        for (change, told) in cases {
            let mut changed = self.clone();
            change(&mut changed);
            assert_eq!(changed.differences(), [*told]);
        }
    }

    fn host_link(&mut self) -> &mut Link {
        self.there.host_link.as_mut().unwrap()
    }

    fn sandbox_link(&mut self) -> &mut Link {
        self.there.sandbox_link.as_mut().unwrap()
    }

    fn bridge(&mut self) -> &mut Link {
        self.there.host.bridge.as_mut().unwrap()
    }
}

const MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn entry(dst: &str, gw: Option<&str>, oif: u32) -> RouteEntry {
    RouteEntry { gw: gw.map(ip), oif: Some(oif), ..RouteEntry::to(dst.parse().unwrap()) }
}

/// A container on a bridge that is its gateway.
fn bridged(config: BridgeConfig) -> Left {
    let mut ips = ips(&["10.1.0.2/24", "fd00::2/64"]);
    (ips[0].gateway, ips[1].gateway) = (Some(ip("10.1.0.1")), Some(ip("fd00::1")));
    let default = Route { gw: Some(ip("10.1.0.1")), ..Route::to("0.0.0.0/0".parse().unwrap()) };
    let port = PortFlags { hairpin: true, isolated: true };
    let there = ObservedAttachment {
        host: ObservedHost {
            bridge: Some(Link { index: 3, promisc: true, ..link("br0", "bridge") }),
            gateway_addresses: ["10.1.0.1/24", "fd00::1/64"].map(|address| address.parse().unwrap()).into(),
            forwarding_v4: true,
            forwarding_v6: true,
            ..ObservedHost::default()
        },
        host_link: Some(Link { index: 7, peer: Some(2), master: Some(3), port: Some(port), ..link("veth1", "veth") }),
        sandbox_link: Some(Link { index: 2, peer: Some(7), mac: Some(MAC), ..link("eth0", "veth") }),
        addresses: ["10.1.0.2/24", "fd00::2/64", "fe80::2/64"].map(|address| address.parse().unwrap()).into(),
        routes: vec![
            entry("10.1.0.0/24", None, 2),
            entry("fd00::/64", None, 2),
            entry("0.0.0.0/0", Some("10.1.0.1"), 2),
        ],
        ..ObservedAttachment::default()
    };
    Left { config: network(&config), ips, routes: vec![default], elements: Vec::new(), moved: None, there }
}

#[test]
fn a_bridge_and_its_port() {
    let config = BridgeConfig { promisc_mode: true, hairpin_mode: true, port_isolation: true, ..bridge() };
    bridged(config).tells(&[
        (|left| left.there.host_link = None, "host link veth1: expected present, found missing"),
        (|left| left.host_link().up = false, "host link veth1: expected up, found down"),
        (|left| left.there.host.bridge = None, "bridge br0: expected present, found missing"),
        (|left| left.bridge().kind = None, "link br0: expected a bridge, found no virtual link"),
        (|left| left.bridge().up = false, "bridge br0: expected up, found down"),
        (|left| left.bridge().promisc = false, "promiscuous mode of bridge br0: expected on, found off"),
        (|left| left.host_link().master = None, "bridge of host link veth1: expected br0, found none"),
        (|left| left.host_link().master = Some(9), "bridge of host link veth1: expected br0, found link 9"),
        (
            |left| left.host_link().port.as_mut().unwrap().hairpin = false,
            "hairpin mode of host link veth1: expected on, found off",
        ),
        (|left| left.host_link().port = None, "isolation of host link veth1: expected on, found off"),
        (
            |left| left.there.host.gateway_addresses[0] = "10.9.0.1/24".parse().unwrap(),
            "address of bridge br0: expected 10.1.0.1/24, found 10.9.0.1/24",
        ),
        (|left| left.there.host.forwarding_v4 = false, "IPv4 forwarding of the host: expected on, found off"),
        (|left| left.there.host.forwarding_v6 = false, "IPv6 forwarding of the host: expected on, found off"),
    ]);
}

#[test]
fn what_a_bridge_was_not_asked_for_may_be_either_way() {
    let mut left = bridged(BridgeConfig { is_gateway: false, ..bridge() });
    (left.bridge().promisc, left.host_link().port) = (false, Some(PortFlags::default()));
    left.there.host.gateway_addresses.clear();
    (left.there.host.forwarding_v4, left.there.host.forwarding_v6) = (false, false);
    left.tells(&[]);
    let mut v4 = bridged(bridge());
    v4.there.host.forwarding_v6 = false;
    v4.ips.pop();
    v4.tells(&[]);
}

#[test]
fn vlans_of_a_port() {
    let vlans = Vlans { untagged: Some(100), trunk: vec![200..=202, 300..=300], preserve_default: false };
    let mut left = bridged(BridgeConfig { vlans, ..bridge() });
    left.bridge().vlan_filtering = true;
    left.there.host.gateway = Some(link("br0.100", "veth"));
    let vlan = |id| PortVlan { id, native: id == 100 };
    left.there.port_vlans = [100, 200, 201, 202, 300].map(vlan).into();
    left.tells(&[
        (|left| left.bridge().vlan_filtering = false, "VLAN filtering of bridge br0: expected on, found off"),
        (|left| left.there.host.gateway.as_mut().unwrap().up = false, "link br0.100: expected up, found down"),
        (
            |left| left.there.host.gateway_addresses.truncate(1),
            "address of link br0.100: expected fd00::1/64, found none",
        ),
        (
            |left| {
                left.there.port_vlans.remove(2);
                left.there.port_vlans.insert(0, PortVlan { id: 1, native: false });
            },
            "VLANs of host link veth1: expected 100 untagged, 200-202, 300, found 1, 100 untagged, 200, 202, 300",
        ),
        (
            |left| {
                left.there.port_vlans[0].native = false;
                left.there.port_vlans.insert(1, PortVlan { id: 101, native: true });
            },
            "VLANs of host link veth1: expected 100 untagged, 200-202, 300, \
             found 100, 101 untagged, 200-202, 300",
        ),
    ]);
    let Some(LinkConfig::Bridge(config)) = &mut left.config.link else { panic!() };
    config.vlans.preserve_default = true;
    left.there.port_vlans.insert(0, PortVlan { id: 1, native: false });
    left.tells(&[]);
}

#[test]
fn the_containers_end() {
    const PEER: &str = "link eth0 in the container: expected peer of veth1, found another's peer";
    const ROUTE: &str = "route to 10.1.0.0/24 in the container: expected dev eth0, found missing";
    let mut left = bridged(bridge());
    left.routes.push(Route { priority: Some(5), ..Route::to("10.8.0.0/16".parse().unwrap()) });
    left.there.routes.push(RouteEntry { priority: Some(5), ..entry("10.8.0.0/16", Some("10.1.0.9"), 2) });
    left.tells(&[
        (|left| left.there.sandbox_link = None, "link eth0 in the container: expected present, found missing"),
        (|left| left.sandbox_link().up = false, "link eth0 in the container: expected up, found down"),
        (|left| left.sandbox_link().kind = None, PEER),
        (|left| left.sandbox_link().peer = Some(9), PEER),
        (|left| left.host_link().peer = Some(9), PEER),
        (
            |left| left.sandbox_link().mac = Some(Mac([2; 6])),
            "hardware address of eth0: expected 02:00:00:00:00:02, found 02:02:02:02:02:02",
        ),
        (
            |left| left.there.addresses[0] = "10.1.0.3/24".parse().unwrap(),
            "address of eth0 in the container: expected 10.1.0.2/24, found 10.1.0.3/24, fd00::2/64",
        ),
        (|left| left.there.routes[0].oif = Some(9), ROUTE),
        (|left| left.there.routes[0].gw = Some(ip("10.1.0.1")), ROUTE),
        (|left| left.there.routes[0].dst = "10.9.0.0/24".parse().unwrap(), ROUTE),
        (
            |left| left.there.routes[2].gw = Some(ip("10.1.0.9")),
            "route 0.0.0.0/0 in the container: expected via 10.1.0.1, found via 10.1.0.9",
        ),
        (
            |left| left.there.routes[2].table = 9,
            "route 0.0.0.0/0 in the container: expected via 10.1.0.1, found via 10.1.0.1",
        ),
        (
            |left| left.there.routes[3].priority = Some(6),
            "route 10.8.0.0/16 in the container: expected present, found via 10.1.0.9",
        ),
    ]);
    left.ips[0].address = "10.1.0.2/32".parse().unwrap();
    left.there.addresses[0] = "10.1.0.2/32".parse().unwrap();
    left.there.host.gateway_addresses.push("10.1.0.1/32".parse().unwrap());
    left.there.routes.remove(0);
    left.tells(&[]); // a single address has no route of its own
}

#[test]
fn an_interface_that_is_left_down() {
    let mut left = bridged(BridgeConfig { is_gateway: false, disable_container_interface: true, ..bridge() });
    (left.ips, left.routes) = (Vec::new(), Vec::new());
    left.sandbox_link().up = false;
    left.tells(&[]);
}

#[test]
fn what_serves_a_container() {
    let mut left = bridged(bridge());
    let owned = |element| Owned::new(element, &"net/ctr/eth0".into());
    left.elements = Element::masquerade("10.1.0.2/24".parse().unwrap()).map(owned).into();
    left.there.changed_settings = [("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")]
        .map(|(path, wanted)| (path.into(), wanted.into(), "0".into()))
        .into(); // the bridge tells of those
    left.tells(&[
        (
            |left| left.there.missing_elements = vec![left.elements[1].clone()],
            "element 10.1.0.2 of nf_tables set inet groundwork masq4_24: expected present, found missing",
        ),
        (
            |left| {
                left.there.changed_settings.push(("net/ipv4/conf/br0/route_localnet".into(), "1".into(), "0".into()))
            },
            "setting net.ipv4.conf.br0.route_localnet: expected 1, found 0",
        ),
        (
            |left| {
                let (table, chain) = ("filter".into(), "FORWARD".into());
                left.there.closed_gates = vec![Gate { family: "ip", table, chain, lacking: Vec::new() }];
            },
            "rule of nf_tables chain ip filter FORWARD that lets containers through: expected present, found missing",
        ),
        (
            |left| left.there.broken_rules = Some("others"),
            "nf_tables rules of table inet groundwork: expected as installed, found others",
        ),
        (
            |left| left.there.lost_leases = vec![(ip("10.1.0.2"), "gone".into())],
            "lease of 10.1.0.2: expected held by this attachment, found gone",
        ),
    ]);
}

#[test]
fn a_link_to_the_host() {
    let mut left = bridged(bridge());
    left.config.link = Some(LinkConfig::Ptp(PtpConfig { ip_masq: false, mtu: None }));
    left.there.host_addresses = ["10.1.0.1/32", "fd00::1/128"].map(|address| address.parse().unwrap()).into();
    left.there.host_routes = vec![entry("10.1.0.2/32", None, 7), entry("fd00::2/128", None, 7)];
    left.there.routes.extend([
        entry("10.1.0.1/32", None, 2),
        entry("10.1.0.0/24", Some("10.1.0.1"), 2),
        entry("fd00::1/128", None, 2),
        entry("fd00::/64", Some("fd00::1"), 2),
    ]);
    left.there.routes.drain(..2);
    left.tells(&[
        (
            |left| left.there.host_addresses[0] = "10.9.0.1/32".parse().unwrap(),
            "address of host link veth1: expected 10.1.0.1/32, found 10.9.0.1/32",
        ),
        (
            |left| left.there.host_routes[1].oif = Some(9),
            "route to fd00::2/128 on the host: expected dev veth1, found missing",
        ),
        (
            |left| left.there.host_routes[0].dst = "10.1.0.3/32".parse().unwrap(),
            "route to 10.1.0.2/32 on the host: expected dev veth1, found missing",
        ),
        (
            |left| left.there.routes.retain(|route| route.dst.prefix_len() != 128),
            "route fd00::1/128 in the container: expected present, found none",
        ),
        (|left| left.there.host.forwarding_v4 = false, "IPv4 forwarding of the host: expected on, found off"),
    ]);
}

#[test]
fn a_link_on_another() {
    let kind = LinkKind::Macvlan { mode: MacvlanMode::Bridge, broadcast_queue: None };
    let parent = Some(ParentConfig { name: Some("ens3".into()), in_sandbox: false });
    let mut left = bridged(bridge());
    left.config.link = Some(LinkConfig::Single(SingleConfig { kind, parent, mtu: None }));
    left.there.host_link = None;
    left.there.host.source = Some(Link { index: 5, ..link("ens3", "veth") });
    left.there.sandbox_link =
        Some(Link { index: 2, peer: Some(5), mac: Some(MAC), detail: Some(kind), ..link("eth0", "macvlan") });
    left.tells(&[
        (
            |left| left.sandbox_link().kind = Some("veth".into()),
            "link eth0 in the container: expected macvlan, found veth",
        ),
        (
            |left| {
                let kind = LinkKind::Macvlan { mode: MacvlanMode::Private, broadcast_queue: None };
                left.sandbox_link().detail = Some(kind);
            },
            "link eth0 in the container: expected mode bridge, found mode private",
        ),
        (|left| left.there.host.source = None, "link on which eth0 stands: expected ens3, found missing"),
        (|left| left.sandbox_link().peer = Some(6), "link on which eth0 stands: expected ens3, found another"),
    ]);
}

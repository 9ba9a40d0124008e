//! What `nft list` prints of what we programmed, and that people can type what we print.
//!
//! The texts in golden/ are what Debian's nft 1.0.6 prints.

use std::net::SocketAddr;

use groundwork::nft::{
    ruleset::{Element, LinkName, Owned, Protocol},
    socket::Base,
};

use super::{masquerade, nft, owned};
use crate::support::{in_new_netns, sh};

/// Adds the elements in a namespace of its own; what nft lists then, and after it was made from what we print.
fn listed(elements: &[Owned]) -> (String, String) {
    let ours = in_new_netns(|| {
        nft().add(elements).unwrap();
        sh("nft list ruleset")
    });
    let mut parts: Vec<_> = elements.iter().map(|owned| owned.element.part()).collect();
    parts.sort();
    parts.dedup();
    let base = parts.iter().map(ToString::to_string);
    let commands: Vec<_> = base.chain(elements.iter().map(|owned| format!("nft {owned}"))).collect();
    let (typed, current) = in_new_netns(|| {
        sh(&commands.join("\n"));
        (sh("nft list ruleset"), nft().base(elements.iter().map(|owned| &owned.element)).unwrap())
    });
    assert_eq!(current, Base::Current, "we take what nft makes of our commands for our own");
    let restored = in_new_netns(|| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("saved");
        std::fs::write(&file, &ours).unwrap();
        sh(&format!("nft -f {}", file.display()));
        nft().base(elements.iter().map(|owned| &owned.element)).unwrap()
    });
    assert_eq!(restored, Base::Current, "and what it makes of its own list");
    (ours, typed)
}

fn assert_lists(elements: &[Owned], golden: &str) {
    let (ours, typed) = listed(elements);
    assert_eq!(ours, golden);
    assert_eq!(typed, golden);
}

#[test]
fn masquerading() {
    let elements = [masquerade("10.22.0.5/24", "net/ctr/eth0"), masquerade("fd00:22::5/64", "net/ctr/eth0")].concat();
    assert_lists(&elements, include_str!("golden/masquerade.nft"));
}

#[test]
fn host_ports_v4() {
    let [any, one] = [(None, Protocol::Tcp, 8080, 80), (Some("192.0.2.1"), Protocol::Udp, 53, 5353)].map(
        |(host_ip, protocol, host_port, port)| {
            let host_ip = host_ip.map(|ip| ip.parse().unwrap());
            Element::host_port(host_ip, protocol, host_port, ([10, 22, 0, 5], port).into()).unwrap()
        },
    );
    let sources = Element::host_port_sources("10.22.0.5/24".parse().unwrap(), false);
    let all = [vec![any, one], sources].concat();
    assert_lists(&owned(&all), include_str!("golden/host_ports_v4.nft"));
}

#[test]
fn host_ports_v6() {
    let [any, one] = [(None, Protocol::Tcp, 8080, 80), (Some("2001:db8::1"), Protocol::Sctp, 53, 5353)].map(
        |(host_ip, protocol, host_port, port)| {
            let host_ip = host_ip.map(|ip: &str| ip.parse().unwrap());
            let to = SocketAddr::new("fd00:22::5".parse().unwrap(), port);
            Element::host_port(host_ip, protocol, host_port, to).unwrap()
        },
    );
    let sources = Element::host_port_sources("fd00:22::5/64".parse().unwrap(), true);
    let all = [vec![any, one], sources].concat();
    assert_lists(&owned(&all), include_str!("golden/host_ports_v6.nft"));
}

#[test]
fn forwarding() {
    let elements = ["10.22.0.5", "fd00:22::5"].map(|ip| Element::Forwarded(ip.parse().unwrap()));
    assert_lists(&owned(&elements), include_str!("golden/forwarding.nft"));
}

#[test]
fn isolation_and_spoofing() {
    let [bridge, port] = ["br0", "veth0"].map(|name| LinkName::new(name).unwrap());
    let mac = "02:00:00:00:00:05".parse().unwrap();
    let isolation = [Element::IsolatedBridge(bridge), Element::SameBridge(bridge)];
    let spoofing = [Element::CheckedLink(port), Element::LinkAddress(port, mac)];
    assert_lists(&owned(&isolation), include_str!("golden/isolation.nft"));
    assert_lists(&owned(&spoofing), include_str!("golden/spoofing.nft"));
    let addresses = ["10.22.0.5", "fd00:22::5"].map(|ip| Element::LinkSource(port, ip.parse().unwrap()));
    let sources = [&[Element::CheckedSources(port)][..], &addresses].concat();
    assert_lists(&owned(&sources), include_str!("golden/sources.nft"));
}

#[test]
fn forwarding_via_a_link() {
    let link = LinkName::new("vxlan.1").unwrap();
    let elements = ["10.22.0.5", "fd00:22::5"].map(|ip| Element::ForwardedVia(link, ip.parse().unwrap()));
    assert_lists(&owned(&elements), include_str!("golden/forwarding_via.nft"));
}

#[test]
fn hosts_of_an_overlay() {
    let vteps = ["192.0.2.1", "2001:db8::1"].map(|vtep| {
        let element = Element::Vtep { vtep: vtep.parse().unwrap(), port: 4789, vni: 0xff_fffe };
        Owned { element, owner: "net".into() }
    });
    assert_lists(&vteps, include_str!("golden/vteps.nft"));
}

use super::*;

fn every_kind() -> Vec<Element> {
    let mut all = Vec::new();
    for address in ["10.22.0.5/24", "10.22.0.5/32", "10.22.0.5/0", "fd00:1::5/64"] {
        let address: IpNet = address.parse().unwrap();
        all.extend(Element::masquerade(address));
        all.push(Element::Forwarded(address.addr()));
        all.push(Element::ForwardedVia(LinkName::new("vxlan.1").unwrap(), address.addr()));
        all.push(Element::Vtep { vtep: address.addr(), port: 4789, vni: 0xff_ffff });
        all.extend(Element::host_port_sources(address, false));
        all.extend(Element::host_port_sources(address, true));
        for (host_ip, protocol) in [("0.0.0.0", Protocol::Tcp), ("::", Protocol::Udp), ("192.0.2.1", Protocol::Sctp)] {
            let to = SocketAddr::new(address.addr(), 80);
            all.extend(Element::host_port(Some(host_ip.parse().unwrap()), protocol, 8080, to));
        }
    }
    let link = LinkName::new("a23456789012345").unwrap();
    all.extend([Element::IsolatedBridge(link), Element::SameBridge(link), Element::CheckedLink(link)]);
    all.extend([Element::CheckedSources(link), Element::LinkSource(link, Ipv4Addr::LOCALHOST.into())]);
    all.push(Element::LinkSource(link, std::net::Ipv6Addr::LOCALHOST.into()));
    all.push(Element::LinkAddress(link, Mac([2, 0, 0, 0, 0, 1])));
    all
}

#[test]
fn elements_are_read_back_from_their_bytes() {
    for element in every_kind() {
        let value = element.value();
        assert_eq!(Element::decode(&element.set(), &element.key(), value.as_deref()), Some(element));
    }
}

#[test]
fn every_element_has_a_set_whose_fields_are_as_long() {
    for element in every_kind() {
        let set = element.part().sets().into_iter().find(|set| set.name == element.set()).unwrap();
        let len = |kinds: &[crate::nft::ruleset::Kind]| {
            kinds.iter().map(|kind| kind.nft().2.next_multiple_of(4) as usize).sum::<usize>()
        };
        assert_eq!(len(&set.key), element.key().len(), "{element:?}");
        assert_eq!(len(&set.value), element.value().unwrap_or_default().len(), "{element:?}");
    }
}

#[test]
fn a_host_address_of_another_family_maps_nothing() {
    let to = "10.22.0.5:80".parse().unwrap();
    assert_eq!(Element::host_port("::".parse().ok(), Protocol::Tcp, 80, to), None);
    let any = Element::HostPort { host_ip: None, protocol: Protocol::Tcp, host_port: 80, to };
    assert_eq!(Element::host_port("0.0.0.0".parse().ok(), Protocol::Tcp, 80, to), Some(any));
}

#[test]
fn foreign_bytes_are_no_elements() {
    let long = [0xff; 64];
    for (set, key, value) in [
        ("masq4_24", &[10, 22, 0][..], None),
        ("masq4_99", &[10, 22, 0, 5], None),
        ("masq4", &[10, 22, 0, 5], None),
        ("masq6_64", &[10, 22, 0, 5], None),
        ("same4_24", &[10, 22, 0, 5, 10, 23, 0, 0], None),
        ("other_24", &[10, 22, 0, 5], None),
        ("masq4_24", &[], None),
        ("masq4_24", &[10, 22, 0, 5], Some(&[1][..])),
        ("hp4", &[6, 0, 0, 0, 0, 80, 0, 0], None),
        ("hp4", &[6, 0, 0, 0, 0, 80, 0, 0], Some(&[10, 22, 0])),
        ("hp4", &[1, 0, 0, 0, 0, 80, 0, 0], Some(&[10, 22, 0, 5, 0, 80, 0, 0])),
        ("hp4ip", &[6, 0, 0, 0, 0, 80, 0, 0], Some(&[10, 22, 0, 5, 0, 80, 0, 0])),
        ("hp4", &[], Some(&[])),
        ("spoof_ok", &[0; 3], None),
        ("spoof", &long, None),
        ("spoof_ip4_ok", &[0; 32], None),
        ("spoof_ip6_ok", &[0; 20], None),
        ("isolated", &[], None),
    ] {
        assert_eq!(Element::decode(set, key, value), None, "{set} {key:?} {value:?}");
    }
}

#[test]
fn they_read_as_commands() {
    let [same, masquerade] = Element::masquerade("10.22.0.5/24".parse().unwrap())
        .map(|element| Owned { element, owner: "net/ctr/eth0".into() }.to_string());
    assert_eq!(masquerade, "add element inet groundwork masq4_24 '{ 10.22.0.5 comment \"net/ctr/eth0\" }'");
    assert_eq!(same, "add element inet groundwork same4_24 '{ 10.22.0.5 . 10.22.0.0 comment \"net/ctr/eth0\" }'");
}

#[test]
fn a_host_port_is_kept_by_the_container_that_has_it() {
    let port = |to: &str| Element::host_port(None, Protocol::Tcp, 80, to.parse().unwrap()).unwrap();
    let owned = |owner: &str, element| Owned { element, owner: owner.into() };
    let mine = owned("net/web/eth0", port("10.1.0.2:80"));
    assert!(mine.is_served_by(&mine.clone()));
    assert!(mine.is_served_by(&owned("other/web/eth1", port("10.2.0.2:80"))), "the same container's");
    assert!(!mine.is_served_by(&owned("net/db/eth0", port("10.1.0.3:80"))));
    assert!(!mine.is_served_by(&owned("net/web/eth0", port("10.1.0.3:80"))), "it has moved");
    let address = Element::Forwarded("10.1.0.2".parse().unwrap());
    assert!(!owned("net/web/eth0", address).is_served_by(&owned("other/web/eth1", address)));
    assert!(mine.element.is_kept() && !address.is_kept());
}

#[test]
fn what_comes_with_the_containers_link() {
    let link = LinkName::new("veth1").unwrap();
    let [same, masquerade] = Element::masquerade("10.1.0.2/24".parse().unwrap());
    for (element, is_of_link) in [
        (same, true),
        (masquerade, true),
        (Element::CheckedLink(link), true),
        (Element::Forwarded("10.1.0.2".parse().unwrap()), false),
        (Element::IsolatedBridge(link), false),
    ] {
        assert_eq!(element.is_of_link(), is_of_link, "{element:?}");
    }
}

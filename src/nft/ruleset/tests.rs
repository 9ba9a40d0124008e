//! What each part of the base does to packets, told by reading its rules as the kernel reads them. That the kernel takes
//! them, and that their texts mean the same, is told by the suite `nft`.

mod packet;

use std::net::SocketAddr;

use self::packet::{
    DST_NAT, FOREIGN, Outcome,
    Outcome::{Dropped, Marked, Masqueraded, Passes, Redirected},
    Packet, TCP, UDP, bytes, ip, judge, packet, to_port,
};
use super::{
    expression::{Expression, Verdict},
    *,
};
use crate::cni::mac::Mac;

fn every_part() -> Vec<Part> {
    let of = |family| {
        [
            Part::Masquerade(family, 24),
            Part::HostPorts(family),
            Part::HostPortSources(family, 24),
            Part::Forwarding(family),
            Part::ForwardingVia(family),
            Part::Vteps { family, port: 4789, vni: 0x01_0203 },
        ]
    };
    let both = [Family::Ipv4, Family::Ipv6].into_iter().flat_map(of);
    both.chain([Part::Isolation, Part::Spoofing, Part::Sources]).collect()
}

fn link(name: &str) -> LinkName {
    LinkName::new(name).unwrap()
}

#[test]
fn what_leaves_the_containers_network_is_masqueraded() {
    for (address, chain, near, far, many) in [
        ("10.22.0.5/24", "masq4_24", "10.22.0.9", ["10.22.1.9", "192.0.2.1"], ["224.0.0.251", "239.255.0.1"]),
        ("fd00:1::5/64", "masq6_64", "fd00:1::9", ["fd00:1:0:1::9", "2001:db8::1"], ["ff02::fb", "ffff::1"]),
    ] {
        let elements = Element::masquerade(address.parse().unwrap());
        let (own, _) = address.split_once('/').unwrap();
        let of = |from: &str, to: &str| judge(elements[0].part(), &elements, chain, &packet(from, to));
        assert_eq!(of(own, near), Passes);
        for to in far {
            assert_eq!((of(own, to), of(near, to)), (Masqueraded, Passes), "{to}");
        }
        for to in many {
            assert_eq!(of(own, to), Passes, "{to}");
        }
    }
}

#[test]
fn answers_to_host_ports_come_back_by_the_host() {
    for (address, chain, near, far) in [
        ("10.22.0.5/24", "snat4_24", "10.22.0.9", "10.22.1.9"),
        ("10.22.0.5/24", "snat4_8", "127.0.0.1", "128.0.0.1"),
        ("fd00:1::5/64", "snat6_64", "fd00:1::9", "fd00:1:0:1::9"),
    ] {
        let elements = Element::host_port_sources(address.parse().unwrap(), false);
        let (own, _) = address.split_once('/').unwrap();
        let part = elements.iter().map(Element::part).find(|part| part.chain_names() == [chain]).unwrap();
        let of = |from, status| judge(part, &elements, chain, &Packet { status, ..packet(from, own) });
        assert_eq!((of(near, DST_NAT), of(near, !DST_NAT), of(far, DST_NAT)), (Masqueraded, Passes, Passes), "{chain}");
    }
}

#[test]
fn a_host_port_leads_to_its_container() {
    for (family, chains, host, other, [one, two]) in [
        (Family::Ipv4, ["hp_in4", "hp_out4"], "192.0.2.1", "192.0.2.2", ["10.22.0.5:80", "10.22.0.6:81"]),
        (Family::Ipv6, ["hp_in6", "hp_out6"], "2001:db8::1", "2001:db8::2", ["[fd00:1::5]:80", "[fd00:1::6]:81"]),
    ] {
        let [one, two]: [SocketAddr; 2] = [one, two].map(|to| to.parse().unwrap());
        let port = |host_ip, to| Element::host_port(host_ip, Protocol::Tcp, 8080, to).unwrap();
        let elements = [port(None, one), port(Some(ip(host)), two)];
        for chain in chains {
            let of = |packet: &Packet| judge(Part::HostPorts(family), &elements, chain, packet);
            assert_eq!(of(&to_port(other, 8080)), Redirected(one));
            assert_eq!(of(&to_port(host, 8080)), Redirected(two));
            assert_eq!(of(&to_port(host, 8081)), Passes);
            assert_eq!(of(&Packet { protocol: UDP, ..to_port(host, 8080) }), Passes);
            assert_eq!(of(&Packet { is_to_host: false, ..to_port(host, 8080) }), Passes);
        }
    }
}

#[test]
fn loopback_has_host_ports_in_ipv4_and_is_closed_to_others() {
    let to: SocketAddr = "10.22.0.5:80".parse().unwrap();
    let port = Element::host_port(None, Protocol::Tcp, 8080, to).unwrap();
    let part = Part::HostPorts(Family::Ipv4);
    assert_eq!(judge(part, &[port], "hp_out4", &to_port("127.0.0.1", 8080)), Redirected(to));
    let of = |link, to| judge(part, &[port], "loopback4", &Packet { links: (link, ""), ..to_port(to, 8080) });
    assert_eq!((of("eth0", "127.0.0.1"), of("lo", "127.0.0.1")), (Dropped, Passes));
    assert_eq!((of("eth0", "127.255.0.1"), of("eth0", "192.0.2.1")), (Dropped, Passes));

    let to: SocketAddr = "[fd00:1::5]:80".parse().unwrap();
    let port = Element::host_port(None, Protocol::Tcp, 8080, to).unwrap();
    assert_eq!(judge(port.part(), &[port], "hp_out6", &to_port("::1", 8080)), Passes);
}

#[test]
fn what_containers_may_send_and_receive_is_marked() {
    const OURS: Outcome = Marked(FOREIGN | gate::MARK);
    for (chain, own, other) in [("forwarding4", "10.22.0.5", "192.0.2.1"), ("forwarding6", "fd00:1::5", "2001:db8::1")]
    {
        let elements = [Element::Forwarded(ip(own))];
        let of = |packet: &Packet| judge(elements[0].part(), &elements, chain, packet);
        let incoming = packet(other, own);
        assert_eq!((of(&packet(own, other)), of(&incoming)), (OURS, Passes));
        for (state, outcome) in [(1, Passes), (2, OURS), (4, OURS), (8, Passes)] {
            assert_eq!(of(&Packet { state, ..incoming.clone() }), outcome, "{state}");
        }
        assert_eq!(of(&Packet { status: DST_NAT, ..incoming.clone() }), OURS);
        assert_eq!(of(&Packet { status: !DST_NAT, ..incoming }), Passes);
        assert_eq!(of(&Packet { state: 2, status: DST_NAT, ..packet(other, other) }), Passes);
    }
    for (chain, own, other) in
        [("forwarding_via4", "10.22.0.5", "10.23.0.5"), ("forwarding_via6", "fd00:1::5", "fd00:2::5")]
    {
        let elements = [Element::ForwardedVia(link("vxlan.1"), ip(own))];
        let of = |link, to| {
            judge(elements[0].part(), &elements, chain, &Packet { links: (link, "br0"), ..packet(other, to) })
        };
        assert_eq!((of("vxlan.1", own), of("eth0", own), of("vxlan.1", other)), (OURS, Passes, Passes));
    }
}

#[test]
fn isolated_bridges_do_not_reach_each_other_nor_themselves() {
    let isolated = [Element::IsolatedBridge(link("br1")), Element::IsolatedBridge(link("br2"))];
    let open = [isolated[0], isolated[1], Element::SameBridge(link("br1"))];
    let of = |elements: &[Element], links| {
        judge(Part::Isolation, elements, "isolation", &Packet { links, ..packet("10.1.0.2", "10.2.0.2") })
    };
    for elements in [&isolated[..], &open[..]] {
        assert_eq!((of(elements, ("br1", "br2")), of(elements, ("br2", "br2"))), (Dropped, Dropped));
        assert_eq!((of(elements, ("br1", "eth0")), of(elements, ("eth0", "br1"))), (Passes, Passes));
    }
    assert_eq!((of(&isolated, ("br1", "br1")), of(&open, ("br1", "br1"))), (Dropped, Passes));
}

#[test]
fn a_checked_link_sends_from_its_own_hardware_address() {
    let of = |link_name, mac| {
        let elements =
            [Element::CheckedLink(link("veth1")), Element::LinkAddress(link("veth1"), Mac([2, 0, 0, 0, 0, mac]))];
        let packet = Packet { links: (link_name, ""), ..packet("10.1.0.2", "10.2.0.2") };
        judge(Part::Spoofing, &elements, "spoofing", &packet)
    };
    assert_eq!((of("veth1", 2), of("veth1", 3), of("veth2", 3)), (Passes, Dropped, Passes));
}

#[test]
fn a_checked_link_sends_from_its_own_addresses() {
    let own = |address| Element::LinkSource(link("veth1"), ip(address));
    let elements = [Element::CheckedSources(link("veth1")), own("10.1.0.2"), own("fd00:1::2")];
    let of = |packet: &Packet| judge(Part::Sources, &elements, "sources", packet);
    let arp = |sender: &str| {
        let packet = packet(sender, "10.1.0.1");
        let ethernet = [&packet.ethernet[..12], &[8, 6]].concat();
        // RFC 826: types, lengths, what it is, the sender's hardware address, its address.
        let network = [vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2], bytes(sender), vec![0; 10]].concat();
        Packet { family: 3, ethernet, network, ..packet }
    };
    for (sender, outcome) in [("10.1.0.2", Passes), ("0.0.0.0", Passes), ("10.1.0.3", Dropped)] {
        assert_eq!((of(&packet(sender, "10.1.0.1")), of(&arp(sender))), (outcome.clone(), outcome), "{sender}");
    }
    for (sender, outcome) in [
        ("fd00:1::2", Passes),
        ("::", Passes),
        ("fe80::1", Passes),
        ("febf::1", Passes),
        ("fec0::1", Dropped),
        ("fd00:1::3", Dropped),
    ] {
        assert_eq!(of(&packet(sender, "fd00:1::1")), outcome, "{sender}");
    }
    assert_eq!(of(&Packet { links: ("veth2", ""), ..packet("10.1.0.3", "10.1.0.1") }), Passes);
}

#[test]
fn an_overlays_frames_come_from_its_hosts() {
    for (host, stranger, here) in
        [("192.0.2.1", "192.0.2.2", "192.0.2.9"), ("2001:db8::1", "2001:db8::2", "2001:db8::9")]
    {
        let element = Element::Vtep { vtep: ip(host), port: 4789, vni: 0x01_0203 };
        let chain = &element.part().chain_names()[0];
        let of = |from, protocol, port: u16, vni: [u8; 3]| {
            // UDP's header, then VXLAN's (RFC 7348).
            let transport = [&[0, 0], &port.to_be_bytes()[..], &[0; 4], &[8, 0, 0, 0], &vni, &[0]].concat();
            judge(element.part(), &[element], chain, &Packet { protocol, transport, ..packet(from, here) })
        };
        assert_eq!(of(host, UDP, 4789, [1, 2, 3]), Passes);
        assert_eq!(of(stranger, UDP, 4789, [1, 2, 3]), Dropped);
        assert_eq!(of(stranger, UDP, 4789, [1, 2, 4]), Passes);
        assert_eq!(of(stranger, UDP, 4790, [1, 2, 3]), Passes);
        assert_eq!(of(stranger, TCP, 4789, [1, 2, 3]), Passes);
    }
}

#[test]
fn hooks_and_priorities_have_the_kernels_numbers() {
    let hooks = ["prerouting", "input", "forward", "output", "postrouting"];
    for part in every_part() {
        let chains = part.chains();
        let names: Vec<_> = chains.iter().map(|chain| chain.name.clone()).collect();
        assert_eq!(part.chain_names(), names);
        let hooked: Vec<_> = chains.iter().filter_map(|chain| chain.hook).collect();
        assert!(!hooked.is_empty(), "{part}");
        for Hook { hook: (hook, number), priority: (priority, value), .. } in hooked {
            assert_eq!(hooks[number as usize], hook);
            let meant = match (priority, part.table()) {
                ("raw", Table::Inet) | ("dstnat", Table::Bridge) => -300,
                ("mangle", Table::Inet) => -150,
                ("dstnat", Table::Inet) => -100,
                ("filter", Table::Inet) => 0,
                ("srcnat", Table::Inet) => 100,
                (number, _) => number.parse().unwrap(),
            };
            assert_eq!(value, meant, "{part}");
        }
    }
}

#[test]
fn a_part_needs_what_a_kernel_with_nf_tables_can_lack() {
    for (part, expressions, chain_types) in [
        (Part::Masquerade(Family::Ipv4, 24), vec!["masq"], vec!["nat"]),
        (Part::HostPorts(Family::Ipv4), vec!["fib", "nat"], vec!["nat"]),
        (Part::HostPortSources(Family::Ipv6, 64), vec!["ct", "masq"], vec!["nat"]),
        (Part::Forwarding(Family::Ipv6), vec!["ct"], vec![]),
        (Part::Isolation, vec![], vec![]),
        (Part::Sources, vec![], vec![]),
    ] {
        assert_eq!((part.expressions(), part.chain_types()), (expressions, chain_types), "{part}");
    }
}

#[test]
fn a_part_reads_as_commands() {
    let commands = Part::Masquerade(Family::Ipv4, 24).to_string();
    let expected = "\
nft add table inet groundwork
nft add set inet groundwork masq4_24 '{ type ipv4_addr; }'
nft add set inet groundwork same4_24 '{ type ipv4_addr . ipv4_addr; }'
nft add chain inet groundwork masq4_24 '{ type nat hook postrouting priority srcnat; policy accept; }'
nft add rule inet groundwork masq4_24 'ip saddr . ip daddr & 255.255.255.0 @same4_24 return'
nft add rule inet groundwork masq4_24 'ip daddr 224.0.0.0/4 return'
nft add rule inet groundwork masq4_24 'ip saddr @masq4_24 masquerade'";
    assert_eq!(commands, expected);
    let commands = Part::HostPorts(Family::Ipv6).to_string();
    for line in [
        "nft add map inet groundwork hp6 '{ type inet_proto . inet_service : ipv6_addr . inet_service; }'",
        "nft add chain inet groundwork hostports6",
        "nft add rule inet groundwork hp_in6 'meta nfproto ipv6 fib daddr type local goto hostports6'",
    ] {
        assert!(commands.lines().any(|there| there == line), "{line}\n{commands}");
    }
}

#[test]
fn a_gate_opens_to_our_mark_and_the_administrators_chain_sees_all() {
    let rule = gate::Gate::rule(Verdict::Accept);
    assert_eq!(rule.len(), 4);
    assert_eq!(rule[2], Expression::Equal { register: 0, bytes: 0x1000_u32.to_ne_bytes().into() });
    assert_eq!(rule[3], Expression::Verdict(Verdict::Accept));
    let jump = Verdict::Jump("CNI-ADMIN".into());
    assert_eq!(gate::Gate::rule(jump.clone()), [Expression::Verdict(jump)]);
}

#[test]
fn a_links_name_is_recorded_as_text() {
    let name = link("veth00000001");
    assert_eq!(serde_json::to_string(&name).unwrap(), r#""veth00000001""#);
    assert_eq!(serde_json::from_str::<LinkName>(r#""veth00000001""#).unwrap(), name);
}

#[test]
fn flows_are_chosen_by_where_they_went_and_who_answers() {
    let [host, other, container]: [SocketAddr; 3] =
        ["192.0.2.1:53", "192.0.2.2:53", "10.22.0.5:5353"].map(|address| address.parse().unwrap());
    let redirected = Flow { to: host, answered_by: container };
    assert!(Flows::To(host).contain(&redirected) && !Flows::To(other).contain(&redirected));
    let through = |port, to| Flows::Through { port, to };
    assert!(through(53, container).contain(&redirected));
    assert!(!through(54, container).contain(&redirected) && !through(53, other).contain(&redirected));
    assert_eq!((Flows::To(host).port(), through(53, container).port()), (53, 53));
    let v6 = "[fd00:1::5]:53".parse().unwrap();
    assert_eq!((through(53, container).family(), Flows::To(v6).family()), (Family::Ipv4, Family::Ipv6));
}

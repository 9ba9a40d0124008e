//! The chains and their rules.

use std::net::Ipv6Addr;

use super::{
    Family,
    expression::{Connection, Expression as X, Header, Meta, Verdict, destination, of_family, source},
    gate::MARK,
    octets,
    part::{Chain, Hook, Rule, ending, returning},
};

const PREROUTING: (&str, u32) = ("prerouting", 0);
const FORWARD: (&str, u32) = ("forward", 2);
const OUTPUT: (&str, u32) = ("output", 3);
const POSTROUTING: (&str, u32) = ("postrouting", 4);

/// `IPS_DST_NAT`: the connection's destination was rewritten.
const REDIRECTED: u32 = 1 << 5;
/// fe80::/10.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
/// `RTN_LOCAL`: the address is the host's own.
const LOCAL: u32 = 2;

const fn hook(chain_type: &'static str, hook: (&'static str, u32), priority: (&'static str, i32)) -> Option<Hook> {
    Some(Hook { chain_type, hook, priority })
}

/// What leaves a container for its own network or for many receivers keeps its address; the rest is masqueraded.
pub(super) fn masquerade(family: Family, len: u8) -> Chain {
    let (name, ip) = (format!("masq{family}_{len}"), family.nft_header());
    let known = of_family(family).into_iter().chain([source(family, 0), X::In(name.clone())]);
    let rules = vec![
        returning(
            format!("{ip} saddr . {} @same{family}_{len} return", masked_text(family, len, "daddr")),
            masked_pair(family, len, (source(family, 0), destination(family, family.registers())), "same"),
        ),
        multicast(family),
        ending(format!("{ip} saddr @{name} masquerade"), known, X::Masquerade),
    ];
    Chain { name, hook: hook("nat", POSTROUTING, ("srcnat", 100)), rules }
}

/// Connections to a host port whose way back would miss us go by our address: those from the container's own
/// network, and from 127.0.0.1.
pub(super) fn host_port_sources(family: Family, len: u8) -> Chain {
    let (name, ip) = (format!("snat{family}_{len}"), family.nft_header());
    let pair = (destination(family, 0), source(family, family.registers()));
    let conditions = [
        X::Connection { key: Connection::Status, to: 0 },
        X::Keep { register: 0, mask: REDIRECTED.to_ne_bytes().into() },
        X::NotEqual { register: 0, bytes: vec![0; 4] },
    ];
    let rules = vec![ending(
        format!("ct status dnat {ip} daddr . {} @{name} masquerade", masked_text(family, len, "saddr")),
        conditions.into_iter().chain(masked_pair(family, len, pair, "snat")),
        X::Masquerade,
    )];
    Chain { name, hook: hook("nat", POSTROUTING, ("srcnat", 100)), rules }
}

/// Goes on if a set holds one address with another, masked.
fn masked_pair(family: Family, len: u8, pair: (X, X), set: &str) -> Vec<X> {
    let mut all = of_family(family).to_vec();
    all.extend([pair.0, pair.1]);
    all.push(X::Keep { register: family.registers(), mask: octets(family.mask(len)) });
    all.push(X::In(format!("{set}{family}_{len}")));
    all
}

fn masked_text(family: Family, len: u8, address: &str) -> String {
    format!("{} {address} & {}", family.nft_header(), family.mask(len))
}

fn multicast(family: Family) -> Rule {
    let first = X::Payload { header: Header::Network, offset: family.addresses().1, len: 1, to: 0 };
    let (text, is_multicast) = match family {
        Family::Ipv4 => (
            "ip daddr 224.0.0.0/4 return",
            vec![
                destination(family, 0),
                X::Keep { register: 0, mask: vec![0xf0, 0, 0, 0] },
                X::Equal { register: 0, bytes: vec![0xe0, 0, 0, 0] },
            ],
        ),
        Family::Ipv6 => ("ip6 daddr ff00::/8 return", vec![first, X::Equal { register: 0, bytes: vec![0xff] }]),
    };
    returning(text, of_family(family).into_iter().chain(is_multicast))
}

/// Names of the chains of [`host_ports`].
pub(super) fn host_port_names(family: Family) -> Vec<String> {
    let mut names: Vec<_> = ["hostports", "hp_in", "hp_out"].map(|name| format!("{name}{family}")).into();
    if family == Family::Ipv4 {
        names.push("loopback4".into());
    }
    names
}

/// What comes to an address of the host, or begins on the host and goes to one, is redirected if its port is mapped.
pub(super) fn host_ports(family: Family) -> Vec<Chain> {
    let [hostports, incoming, outgoing] = ["hostports", "hp_in", "hp_out"].map(|name| format!("{name}{family}"));
    let to_host = ending(
        format!("meta nfproto {} fib daddr type local goto {hostports}", family.nft_name()),
        of_family(family)
            .into_iter()
            .chain([X::DestinationType { to: 0 }, X::Equal { register: 0, bytes: LOCAL.to_ne_bytes().into() }]),
        X::Verdict(Verdict::Goto(hostports.clone())),
    );
    let mut from_host = vec![to_host.clone()];
    if family == Family::Ipv6 {
        // IPv6 has no route_localnet: what was sent to ::1 cannot leave the host.
        let loopback = [destination(family, 0), X::Equal { register: 0, bytes: octets(Ipv6Addr::LOCALHOST.into()) }];
        from_host.insert(0, returning("ip6 daddr ::1 return", of_family(family).into_iter().chain(loopback)));
    }
    let mut chains = vec![
        Chain { name: hostports, hook: None, rules: redirects(family) },
        Chain { name: incoming, hook: hook("nat", PREROUTING, ("dstnat", -100)), rules: vec![to_host] },
        Chain { name: outgoing, hook: hook("nat", OUTPUT, ("-100", -100)), rules: from_host },
    ];
    if family == Family::Ipv4 {
        chains.push(loopback());
    }
    chains
}

/// Ports of one address of the host before ports of all.
fn redirects(family: Family) -> Vec<Rule> {
    let (ip, port) = (family.nft_header(), family.registers());
    let service = |protocol: u8| {
        [
            X::Meta { key: Meta::Protocol, to: protocol },
            X::Payload { header: Header::Transport, offset: 2, len: 2, to: protocol + 1 },
        ]
    };
    let all = of_family(family).into_iter().chain(service(0)).chain([X::Map(format!("hp{family}"))]);
    let one = of_family(family).into_iter().chain([destination(family, 0)]).chain(service(port));
    let one = one.chain([X::Map(format!("hp{family}ip"))]);
    let redirect = X::Redirect { family, port };
    vec![
        ending(format!("dnat {ip} to {ip} daddr . meta l4proto . th dport map @hp{family}ip"), one, redirect.clone()),
        ending(
            format!("meta nfproto {} dnat {ip} to meta l4proto . th dport map @hp{family}", family.nft_name()),
            all,
            redirect,
        ),
    ]
}

/// `route_localnet`, without which 127.0.0.1 has no host ports, would let containers reach what listens on loopback.
fn loopback() -> Chain {
    let outside = [
        X::Meta { key: Meta::InName, to: 0 },
        X::NotEqual { register: 0, bytes: b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0".into() },
    ];
    let conditions = outside.into_iter().chain(of_family(Family::Ipv4)).chain([
        X::Payload { header: Header::Network, offset: 16, len: 1, to: 0 },
        X::Equal { register: 0, bytes: vec![127] },
    ]);
    let rule = ending("iifname != \"lo\" ip daddr 127.0.0.0/8 drop", conditions, X::Verdict(Verdict::Drop));
    Chain { name: "loopback4".into(), hook: hook("filter", PREROUTING, ("raw", -300)), rules: vec![rule] }
}

/// What the containers send, the answers to it, and what was redirected to them: marked, for [`super::gate`].
pub(super) fn forwarding(family: Family) -> Chain {
    /// `NF_CT_STATE_*` of established and related connections.
    const GOING_ON: u32 = 1 << 1 | 1 << 2;
    let (set, ip) = (format!("fwd{family}"), family.nft_header());
    let rule = |conditions: String, own: X, connection: Option<(Connection, u32)>| {
        let bits = connection.into_iter().flat_map(|(key, bits)| {
            let mask = bits.to_ne_bytes().into();
            let any = X::NotEqual { register: 0, bytes: vec![0; 4] };
            [X::Connection { key, to: 0 }, X::Keep { register: 0, mask }, any]
        });
        let whose = of_family(family).into_iter().chain([own, X::In(set.clone())]);
        let text = format!("{conditions} meta mark set meta mark | 0x{MARK:08x}");
        Rule { text, expressions: whose.chain(bits).chain(mark()).collect() }
    };
    let to = || destination(family, 0);
    let rules = vec![
        rule(format!("{ip} saddr @{set}"), source(family, 0), None),
        rule(format!("{ip} daddr @{set} ct state established,related"), to(), Some((Connection::State, GOING_ON))),
        rule(format!("{ip} daddr @{set} ct status dnat"), to(), Some((Connection::Status, REDIRECTED))),
    ];
    Chain { name: format!("forwarding{family}"), hook: hook("filter", FORWARD, ("mangle", -150)), rules }
}

/// Marks a packet, for [`super::gate`].
fn mark() -> [X; 3] {
    [X::Meta { key: Meta::Mark, to: 0 }, X::Raise { register: 0, bits: MARK }, X::Mark { from: 0 }]
}

/// What comes to containers by a link of which we know who is behind it: marked, too.
pub(super) fn forwarding_via(family: Family) -> Chain {
    const REGISTERS: u8 = 4; // of a link's name
    let (set, ip) = (format!("fwdvia{family}"), family.nft_header());
    let known = [X::Meta { key: Meta::InName, to: 0 }, destination(family, REGISTERS), X::In(set.clone())];
    let text = format!("iifname . {ip} daddr @{set} meta mark set meta mark | 0x{MARK:08x}");
    let rule = Rule { text, expressions: of_family(family).into_iter().chain(known).chain(mark()).collect() };
    let name = format!("forwarding_via{family}");
    Chain { name, hook: hook("filter", FORWARD, ("mangle", -150)), rules: vec![rule] }
}

/// Nothing goes from one isolated bridge to another, nor, unless it is said to, through one to itself.
pub(super) fn isolation() -> Chain {
    /// Of a link's name.
    const REGISTERS: u8 = 4;
    let links = [X::Meta { key: Meta::InName, to: 0 }, X::Meta { key: Meta::OutName, to: REGISTERS }];
    let isolated = || X::In("isolated".into());
    let both = [X::Meta { key: Meta::InName, to: 0 }, isolated(), X::Meta { key: Meta::OutName, to: 0 }, isolated()];
    Chain {
        name: "isolation".into(),
        hook: hook("filter", FORWARD, ("filter", 0)),
        rules: vec![
            returning("iifname . oifname @same_bridge return", links.into_iter().chain([X::In("same_bridge".into())])),
            ending("iifname @isolated oifname @isolated drop", both, X::Verdict(Verdict::Drop)),
        ],
    }
}

/// A frame from a link whose hardware address is known has that address.
pub(super) fn spoofing() -> Chain {
    let conditions = [
        X::Meta { key: Meta::InName, to: 0 },
        X::In("spoof".into()),
        X::Meta { key: Meta::InName, to: 0 },
        X::Payload { header: Header::Ethernet, offset: 6, len: 6, to: 4 },
        X::NotIn("spoof_ok".into()),
    ];
    Chain {
        name: "spoofing".into(),
        hook: hook("filter", PREROUTING, ("dstnat", -300)), // bridge's dstnat is -300
        rules: vec![ending(
            "iifname @spoof iifname . ether saddr != @spoof_ok drop",
            conditions,
            X::Verdict(Verdict::Drop),
        )],
    }
}

/// What a link whose addresses are known sends comes from one of them: IPv4, the sender in ARP, IPv6. Who has no address
/// yet may ask for one, and IPv6 needs its link-local ones.
pub(super) fn sources() -> Chain {
    let ether_type =
        |number: [u8; 2]| [X::Meta { key: Meta::EtherType, to: 0 }, X::Equal { register: 0, bytes: number.into() }];
    let arp = [
        X::Payload { header: Header::Ethernet, offset: 12, len: 2, to: 0 },
        X::Equal { register: 0, bytes: vec![0x08, 0x06] },
    ];
    let arp_sender = |to| X::Payload { header: Header::Network, offset: 14, len: 4, to };
    let link_local = [
        source(Family::Ipv6, 0),
        X::Keep { register: 0, mask: octets(Family::Ipv6.mask(10)) },
        X::NotEqual { register: 0, bytes: octets(LINK_LOCAL.into()) },
    ];
    let (ipv4, ipv6) = (ether_type([0x08, 0x00]), ether_type([0x86, 0xdd]));
    Chain {
        name: "sources".into(),
        hook: hook("filter", PREROUTING, ("dstnat", -300)),
        rules: vec![
            known_sender(Family::Ipv4, ("arp saddr ip", "!= 0.0.0.0"), arp, arp_sender, []),
            known_sender(Family::Ipv4, ("ip saddr", "!= 0.0.0.0"), ipv4, |to| source(Family::Ipv4, to), []),
            known_sender(
                Family::Ipv6,
                ("ip6 saddr", "!= :: ip6 saddr != fe80::/10"),
                ipv6,
                |to| source(Family::Ipv6, to),
                link_local,
            ),
        ],
    }
}

/// What is `of_type`, and whose `sender` is neither none, nor exempt, nor the link's, is dropped.
fn known_sender<const N: usize>(
    family: Family,
    (address, exempt): (&str, &str),
    of_type: [X; 2],
    sender: impl Fn(u8) -> X,
    unless: [X; N],
) -> Rule {
    let known = format!("spoof_ip{family}_ok");
    let none = X::NotEqual { register: 0, bytes: vec![0; family.kind().nft().2 as usize] };
    let link = || X::Meta { key: Meta::InName, to: 0 };
    let words = [link(), X::In("spoof_ip".into())].into_iter().chain(of_type).chain([sender(0), none]).chain(unless);
    ending(
        format!("iifname @spoof_ip {address} {exempt} iifname . {address} != @{known} drop"),
        words.chain([link(), sender(4), X::NotIn(known)]),
        X::Verdict(Verdict::Drop),
    )
}

/// Encapsulated frames of an overlay come from its hosts; what else comes to its port is others' and passes.
pub(super) fn vteps(family: Family, port: u16, vni: u32) -> Chain {
    const UDP: u8 = 17;
    let [_, number @ ..] = vni.to_be_bytes();
    let conditions = [
        X::Meta { key: Meta::Protocol, to: 0 },
        X::Equal { register: 0, bytes: vec![UDP] },
        X::Payload { header: Header::Transport, offset: 2, len: 2, to: 0 },
        X::Equal { register: 0, bytes: port.to_be_bytes().into() },
        // Behind UDP's header and VXLAN's flags.
        X::Payload { header: Header::Transport, offset: 12, len: 3, to: 0 },
        X::Equal { register: 0, bytes: number.into() },
    ];
    let set = format!("vtep{family}_{port}_{vni}");
    let ip = family.nft_header();
    let stranger = of_family(family).into_iter().chain([source(family, 0), X::NotIn(set.clone())]);
    let rule = ending(
        format!("udp dport {port} @th,96,24 {vni:#x} {ip} saddr != @{set} drop"),
        conditions.into_iter().chain(stranger),
        X::Verdict(Verdict::Drop),
    );
    let name = format!("vxlan{family}_{port}_{vni}");
    Chain { name, hook: hook("filter", PREROUTING, ("raw", -300)), rules: vec![rule] }
}

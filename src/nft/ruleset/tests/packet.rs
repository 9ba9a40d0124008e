//! A packet, and a reader of rules that tells what becomes of it.

use std::net::{IpAddr, SocketAddr};

use crate::nft::ruleset::{
    Element, Family, Part, address,
    expression::{Connection, Expression, Header, Meta, Verdict},
};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Passes,
    Marked(u32),
    Dropped,
    Masqueraded,
    Redirected(SocketAddr),
}
use Outcome::{Dropped, Marked, Masqueraded, Passes, Redirected};

/// The mark that the packets below have, another program's.
pub(super) const FOREIGN: u32 = 0x4000;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const DST_NAT: u32 = 32;

#[derive(Clone)]
pub(super) struct Packet {
    pub(super) links: (&'static str, &'static str),
    pub(super) family: u8,
    pub(super) ethernet: Vec<u8>,
    pub(super) network: Vec<u8>,
    pub(super) protocol: u8,
    pub(super) transport: Vec<u8>,
    pub(super) is_to_host: bool,
    pub(super) state: u32,
    pub(super) status: u32,
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn bytes(text: &str) -> Vec<u8> {
    match ip(text) {
        IpAddr::V4(ip) => ip.octets().into(),
        IpAddr::V6(ip) => ip.octets().into(),
    }
}

/// With a header as RFC 791 or RFC 8200 draws it.
pub(super) fn packet(from: &str, to: &str) -> Packet {
    let (family, ether_type, addresses) = if ip(from).is_ipv4() { (2, [8, 0], 12) } else { (10, [0x86, 0xdd], 8) };
    Packet {
        links: ("veth1", "eth0"),
        family,
        ethernet: [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &ether_type].concat(),
        network: [vec![0; addresses], bytes(from), bytes(to)].concat(),
        protocol: TCP,
        transport: vec![0; 20],
        is_to_host: false,
        state: 0,
        status: 0,
    }
}

pub(super) fn to_port(to: &str, port: u16) -> Packet {
    let any = if ip(to).is_ipv4() { "198.51.100.7" } else { "2001:db8::7" };
    let transport = [vec![0, 0], port.to_be_bytes().into(), vec![0; 16]].concat();
    Packet { transport, is_to_host: true, ..packet(any, to) }
}

impl Packet {
    fn loaded(&self, expression: &Expression) -> Option<(u8, Vec<u8>)> {
        let name = |name: &str| [name.as_bytes(), &[0; 16][name.len()..]].concat();
        Some(match expression {
            Expression::Meta { key, to } => {
                let value = match key {
                    Meta::InName => name(self.links.0),
                    Meta::OutName => name(self.links.1),
                    Meta::Mark => FOREIGN.to_ne_bytes().into(),
                    Meta::EtherType => self.ethernet[12..].into(),
                    Meta::Family => vec![self.family],
                    Meta::Protocol => vec![self.protocol],
                };
                (*to, value)
            }
            Expression::Connection { key: Connection::State, to } => (*to, self.state.to_ne_bytes().into()),
            Expression::Connection { key: Connection::Status, to } => (*to, self.status.to_ne_bytes().into()),
            Expression::DestinationType { to } => (*to, if self.is_to_host { 2u32 } else { 1 }.to_ne_bytes().into()),
            Expression::Payload { header, offset, len, to } => {
                let bytes = match header {
                    Header::Ethernet => &self.ethernet,
                    Header::Network => &self.network,
                    Header::Transport => &self.transport,
                };
                (*to, bytes[usize::from(*offset)..][..usize::from(*len)].into())
            }
            _ => return None,
        })
    }
}

/// What becomes of the packet in the chain of this name, when the sets hold these elements.
pub(super) fn judge(part: Part, elements: &[Element], chain: &str, packet: &Packet) -> Outcome {
    let chains = part.chains();
    let mut marked = None;
    for rule in &chains.iter().find(|there| there.name == chain).unwrap().rules {
        let mut registers = [0u8; 64];
        for expression in &rule.expressions {
            let held = |registers: &[u8; 64], set: &str| {
                let is_held = |it: &&Element| it.set() == set && registers.starts_with(&it.key());
                elements.iter().find(is_held).copied()
            };
            let register = |index: u8| usize::from(index) * 4;
            let goes_on = match expression {
                Expression::Keep { register: at, mask } => {
                    registers[register(*at)..].iter_mut().zip(mask).for_each(|(byte, mask)| *byte &= mask);
                    true
                }
                Expression::Raise { register: at, bits } => {
                    registers[register(*at)..]
                        .iter_mut()
                        .zip(bits.to_ne_bytes())
                        .for_each(|(byte, bits)| *byte |= bits);
                    true
                }
                Expression::Mark { from } => {
                    marked = registers[register(*from)..].first_chunk().map(|mark| u32::from_ne_bytes(*mark));
                    true
                }
                Expression::Equal { register: at, bytes } => registers[register(*at)..].starts_with(bytes),
                Expression::NotEqual { register: at, bytes } => !registers[register(*at)..].starts_with(bytes),
                Expression::In(set) => held(&registers, set).is_some(),
                Expression::NotIn(set) => held(&registers, set).is_none(),
                Expression::Map(map) => {
                    held(&registers, map).and_then(|element| element.value()).is_some_and(|value| {
                        registers[..value.len()].copy_from_slice(&value);
                        true
                    })
                }
                Expression::Verdict(Verdict::Drop) => return Dropped,
                Expression::Verdict(Verdict::Return) => return Passes,
                Expression::Verdict(Verdict::Goto(next)) => return judge(part, elements, next, packet),
                Expression::Verdict(other) => panic!("{other:?}"),
                Expression::Masquerade => return Masqueraded,
                Expression::Redirect { family, port } => {
                    let [high, low] = *registers[register(*port)..].first_chunk().unwrap();
                    let len = if *family == Family::Ipv4 { 4 } else { 16 };
                    return Redirected(SocketAddr::new(
                        address(&registers[..len]).unwrap(),
                        u16::from_be_bytes([high, low]),
                    ));
                }
                load => {
                    let (to, value) = packet.loaded(load).unwrap();
                    registers[register(to)..][..value.len().next_multiple_of(4)].fill(0);
                    registers[register(to)..][..value.len()].copy_from_slice(&value);
                    true
                }
            };
            if !goes_on {
                break;
            }
        }
    }
    marked.map_or(Passes, Marked)
}

//! Connection tracking (linux/netfilter/nfnetlink_conntrack.h), on the same socket.
//!
//! Linux from 6.11 on ends all flows that match a filter. The filter goes with a tuple that lacks what may be anything:
//! an earlier kernel misses that and refuses (EINVAL), where without a tuple it would end all flows there are.

use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};

use super::{
    answer::{attribute, attributes},
    expression::Attributes,
    message,
};
use crate::nft::ruleset::{Family, Flow, Flows, Protocol, address};

const ORIGINAL: u16 = 1; // CTA_TUPLE_ORIG
const REPLY: u16 = 2; // CTA_TUPLE_REPLY
const ADDRESSES: u16 = 1; // CTA_TUPLE_IP
const SOURCE: [u16; 2] = [1, 3]; // CTA_IP_V4_SRC, _V6_SRC
const DESTINATION: [u16; 2] = [2, 4]; // CTA_IP_V4_DST, _V6_DST
const PROTOCOL: u16 = 2; // CTA_TUPLE_PROTO
const NUMBER: u16 = 1; // CTA_PROTO_NUM
const SOURCE_PORT: u16 = 2; // CTA_PROTO_SRC_PORT
const DESTINATION_PORT: u16 = 3; // CTA_PROTO_DST_PORT

/// What a filter compares of a tuple: `CTA_FILTER_F_*` of nf_internals.h.
mod compares {
    pub(super) const SOURCE: u32 = 1 << 0;
    pub(super) const DESTINATION: u32 = 1 << 1;
    pub(super) const PROTOCOL: u32 = 1 << 3;
    pub(super) const SOURCE_PORT: u32 = 1 << 4;
    pub(super) const DESTINATION_PORT: u32 = 1 << 5;
}

/// Asks for the UDP flows of a family; a kernel from 5.8 tells only those to `port`, if that is given.
pub(crate) fn ask_flows(number: u32, family: Family, port: Option<u16>) -> Vec<u8> {
    const GET: u16 = 1; // IPCTNL_MSG_CT_GET
    let mut attributes = Attributes(Vec::new());
    if let Some(port) = port {
        let compared = tuple(&mut attributes, ORIGINAL, None, (DESTINATION_PORT, port));
        filter(&mut attributes, compared, 0);
    }
    about_flows(number, GET, NLM_F_DUMP, family.protocol(), &attributes.0)
}

/// Asks how many flows of any kind there are.
pub(crate) fn ask_flow_count(number: u32) -> Vec<u8> {
    const STATISTICS: u16 = 5; // IPCTNL_MSG_CT_GET_STATS
    about_flows(number, STATISTICS, NLM_F_ACK, 0, &[])
}

/// The count in the answer.
pub(crate) fn flow_count(object: &[u8]) -> Option<u32> {
    const ENTRIES: u16 = 1; // CTA_STATS_GLOBAL_ENTRIES
    Some(u32::from_be_bytes(attribute(object, ENTRIES)?.try_into().ok()?))
}

/// Ends all flows that are meant.
pub(crate) fn end_flows(number: u32, which: &Flows) -> Vec<u8> {
    let mut attributes = Attributes(Vec::new());
    match which {
        Flows::To(to) => {
            let address = Some((DESTINATION, to.ip()));
            let compared = tuple(&mut attributes, ORIGINAL, address, (DESTINATION_PORT, to.port()));
            filter(&mut attributes, compared, 0);
        }
        Flows::Through { port, to } => {
            let asked = tuple(&mut attributes, ORIGINAL, None, (DESTINATION_PORT, *port));
            let answered = tuple(&mut attributes, REPLY, Some((SOURCE, to.ip())), (SOURCE_PORT, to.port()));
            filter(&mut attributes, asked, answered);
        }
    }
    about_flows(number, DELETE, NLM_F_ACK, which.family().protocol(), &attributes.0)
}

/// Writes of a tuple of UDP an address, if it counts, and a port; tells what a filter compares of it.
fn tuple(all: &mut Attributes, kind: u16, address: Option<([u16; 2], IpAddr)>, port: (u16, u16)) -> u32 {
    let mut compared = compares::PROTOCOL;
    all.nest(kind, |tuple| {
        if let Some(([v4, v6], ip)) = address {
            compared |= if v4 == SOURCE[0] { compares::SOURCE } else { compares::DESTINATION };
            tuple.nest(ADDRESSES, |addresses| match ip {
                IpAddr::V4(ip) => addresses.put(v4, &ip.octets()),
                IpAddr::V6(ip) => addresses.put(v6, &ip.octets()),
            });
        }
        compared |= if port.0 == SOURCE_PORT { compares::SOURCE_PORT } else { compares::DESTINATION_PORT };
        tuple.nest(PROTOCOL, |protocol| {
            protocol.put(NUMBER, &[Protocol::Udp.number()]);
            protocol.put(port.0, &port.1.to_be_bytes());
        });
    });
    compared
}

fn filter(all: &mut Attributes, original: u32, reply: u32) {
    const FILTER: u16 = 25; // CTA_FILTER
    all.nest(FILTER, |flags| {
        flags.put(1, &original.to_ne_bytes()); // CTA_FILTER_ORIG_FLAGS
        flags.put(2, &reply.to_ne_bytes()); // CTA_FILTER_REPLY_FLAGS
    });
}

const DELETE: u16 = 2; // IPCTNL_MSG_CT_DELETE

/// Ends a flow, named as [`flow`] names it.
pub(crate) fn end_flow(number: u32, family: Family, name: &[u8]) -> Vec<u8> {
    about_flows(number, DELETE, NLM_F_ACK, family.protocol(), name)
}

fn about_flows(number: u32, kind: u16, flags: u16, family: u8, attributes: &[u8]) -> Vec<u8> {
    const SUBSYSTEM: u16 = 1 << 8; // NFNL_SUBSYS_CTNETLINK
    const VERSION: usize = 16 + 1; // of struct nfgenmsg
    let mut bytes = Vec::new();
    message(&mut bytes, number, SUBSYSTEM | kind, flags, (family, 0), attributes);
    bytes[VERSION] = 1; // else a deletion by filter heeds no family
    bytes
}

/// The UDP flow in an answer, and its name: the attributes that tell it from all others, also from a later one.
pub(crate) fn flow(object: &[u8]) -> Option<(Flow, Vec<u8>)> {
    const ID: u16 = 12; // CTA_ID
    const ZONE: u16 = 18; // CTA_ZONE
    let original = attribute(object, ORIGINAL)?;
    if attribute(attribute(original, PROTOCOL)?, NUMBER)? != [Protocol::Udp.number()] {
        return None;
    }
    let (_, to) = ends(original)?;
    let (answered_by, _) = ends(attribute(object, REPLY)?)?;
    let mut name = Attributes(Vec::new());
    for (kind, value) in attributes(object) {
        if [ORIGINAL, ID, ZONE].contains(&(kind & netlink_packet_core::NLA_TYPE_MASK)) {
            name.put(kind, value);
        }
    }
    Some((Flow { to, answered_by }, name.0))
}

/// Source and destination of a tuple.
fn ends(tuple: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (addresses, ports) = (attribute(tuple, ADDRESSES)?, attribute(tuple, PROTOCOL)?);
    let end = |kinds: [u16; 2], port| {
        let ip = address(kinds.iter().find_map(|kind| attribute(addresses, *kind))?)?;
        let port = u16::from_be_bytes(attribute(ports, port)?.try_into().ok()?);
        Some(SocketAddr::new(ip, port))
    };
    Some((end(SOURCE, SOURCE_PORT)?, end(DESTINATION, DESTINATION_PORT)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel sends of a flow to host port 53 of 192.0.2.1 that goes to 10.22.0.5:5353.
    fn object(protocol: u8) -> Vec<u8> {
        let mut all = Attributes(Vec::new());
        let tuple = |all: &mut Attributes, kind, from: ([u8; 4], u16), to: ([u8; 4], u16)| {
            all.nest(kind, |tuple| {
                tuple.nest(1, |ip| {
                    ip.put(1, &from.0);
                    ip.put(2, &to.0);
                });
                tuple.nest(PROTOCOL, |ports| {
                    ports.put(NUMBER, &[protocol]);
                    ports.put(2, &from.1.to_be_bytes());
                    ports.put(DESTINATION_PORT, &to.1.to_be_bytes());
                });
            });
        };
        tuple(&mut all, ORIGINAL, ([192, 0, 2, 2], 4000), ([192, 0, 2, 1], 53));
        tuple(&mut all, REPLY, ([10, 22, 0, 5], 5353), ([192, 0, 2, 2], 4000));
        all.put(3, &[0; 4]);
        all.put(12, &[1, 2, 3, 4]);
        all.0
    }

    #[test]
    fn a_flow_is_read_and_named() {
        let (found, name) = flow(&object(17)).unwrap();
        let [to, answered_by] = ["192.0.2.1:53", "10.22.0.5:5353"].map(|text| text.parse().unwrap());
        assert_eq!(found, Flow { to, answered_by });
        let kinds: Vec<u16> = attributes(&name).map(|(kind, _)| kind & netlink_packet_core::NLA_TYPE_MASK).collect();
        assert_eq!(kinds, [1, 12]);
        assert_eq!(flow(&object(6)), None, "TCP");
    }

    #[test]
    fn no_prefix_of_a_flow_is_trusted() {
        let whole = object(17);
        for len in 0..whole.len() {
            let _ = flow(&whole[..len]);
        }
        assert_eq!(flow(&[]), None);
        assert_eq!(flow(&[0xff; 64]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_change_to_a_flow_is_too_strange(
            changes in proptest::collection::vec((0usize..200, proptest::num::u8::ANY), 0..4), other: Vec<u8>,
        ) {
            let mut bytes = object(17);
            for (at, to) in changes {
                let len = bytes.len();
                bytes[at % len] = to;
            }
            for bytes in [&bytes, &other] {
                if let Some((_, name)) = flow(bytes) {
                    // Of a name that is told, nothing is made up.
                    proptest::prop_assert!(name.len() <= bytes.len().next_multiple_of(4));
                }
                flow_count(bytes);
            }
        }
    }
}

//! Connection tracking (linux/netfilter/nfnetlink_conntrack.h), on the same socket.
//!
//! Flows are asked for and ended one by one. One IPCTNL_MSG_CT_DELETE with a filter would do it, but a kernel that does
//! not know filters takes it for "all of them".

use std::net::SocketAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};

use super::{
    answer::{attribute, attributes},
    expression::Attributes,
    message,
};
use crate::nft::ruleset::{Family, Flow, Protocol, address};

const ORIGINAL: u16 = 1; // CTA_TUPLE_ORIG
const REPLY: u16 = 2; // CTA_TUPLE_REPLY
const PROTOCOL: u16 = 2; // CTA_TUPLE_PROTO
const NUMBER: u16 = 1; // CTA_PROTO_NUM
const DESTINATION_PORT: u16 = 3; // CTA_PROTO_DST_PORT

/// Asks for the UDP flows of a family; a kernel from 5.8 tells only those to `port`, if that is given.
pub(crate) fn ask_flows(number: u32, family: Family, port: Option<u16>) -> Vec<u8> {
    const GET: u16 = 1; // IPCTNL_MSG_CT_GET
    const FILTER: u16 = 25; // CTA_FILTER
    const FLAGS: [u16; 2] = [1, 2]; // CTA_FILTER_ORIG_FLAGS, _REPLY_FLAGS
    const PROTOCOL_AND_PORT: u32 = 1 << 3 | 1 << 5; // CTA_FILTER_F_CTA_PROTO_NUM, _DST_PORT of nf_internals.h
    let mut filter = Attributes(Vec::new());
    if let Some(port) = port {
        filter.nest(ORIGINAL, |tuple| {
            tuple.nest(PROTOCOL, |protocol| {
                protocol.put(NUMBER, &[Protocol::Udp.number()]);
                protocol.put(DESTINATION_PORT, &port.to_be_bytes());
            });
        });
        filter.nest(FILTER, |flags| {
            flags.put(FLAGS[0], &PROTOCOL_AND_PORT.to_ne_bytes());
            flags.put(FLAGS[1], &0u32.to_ne_bytes());
        });
    }
    about_flows(number, GET, NLM_F_DUMP, family, &filter.0)
}

/// Ends a flow, named as [`flow`] names it.
pub(crate) fn end_flow(number: u32, family: Family, name: &[u8]) -> Vec<u8> {
    const DELETE: u16 = 2; // IPCTNL_MSG_CT_DELETE
    about_flows(number, DELETE, NLM_F_ACK, family, name)
}

fn about_flows(number: u32, kind: u16, flags: u16, family: Family, attributes: &[u8]) -> Vec<u8> {
    const SUBSYSTEM: u16 = 1 << 8; // NFNL_SUBSYS_CTNETLINK
    let mut bytes = Vec::new();
    message(&mut bytes, number, SUBSYSTEM | kind, flags, (family.protocol(), 0), attributes);
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
    const ADDRESSES: u16 = 1; // CTA_TUPLE_IP
    const SOURCE: [u16; 2] = [1, 3]; // CTA_IP_V4_SRC, _V6_SRC
    const DESTINATION: [u16; 2] = [2, 4]; // CTA_IP_V4_DST, _V6_DST
    const SOURCE_PORT: u16 = 2; // CTA_PROTO_SRC_PORT
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
}

//! nf_tables messages as bytes.

mod answer;
mod batch;
mod expression;
mod flow;
mod gate;

pub(crate) use answer::{Answer, Content, Rules, element, read, rule, set_name};
pub(crate) use batch::{Batch, Purpose, ask_element, ask_elements, ask_rules, ask_sets};
pub(crate) use flow::{ask_flow_count, ask_flows, end_flow, end_flows, flow, flow_count};
pub(crate) use gate::{
    ForeignBatch, ForeignChain, ForeignRule, ask_chains, ask_generation, ask_rules_of, chain, foreign_rule, generation,
};

use netlink_packet_core::NLM_F_REQUEST;

/// `NFTNL_UDATA_SET_ELEM_COMMENT` of libnftnl: where nft keeps comments in userdata.
const COMMENT: u8 = 0;

/// Writes a message of a subsystem of nfnetlink. `about` is the family and the resource's number in struct nfgenmsg.
fn message(bytes: &mut Vec<u8>, number: u32, kind: u16, flags: u16, about: (u8, u16), attributes: &[u8]) {
    const HEADERS: usize = 16 + 4; // struct nlmsghdr, struct nfgenmsg
    let len = u32::try_from(HEADERS + attributes.len()).unwrap_or(u32::MAX);
    bytes.extend(len.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([about.0, 0]);
    bytes.extend(about.1.to_be_bytes());
    bytes.extend(attributes);
}

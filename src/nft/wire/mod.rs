//! nf_tables messages as bytes.

mod answer;
mod batch;
mod expression;
mod flow;

pub(crate) use answer::{Answer, Content, Rules, element, read, rule, set_name};
pub(crate) use batch::{Batch, Purpose, ask_element, ask_elements, ask_rules, ask_sets};
pub(crate) use flow::{ask_flows, end_flow, flow};

/// `NFTNL_UDATA_SET_ELEM_COMMENT` of libnftnl: where nft keeps comments in userdata.
const COMMENT: u8 = 0;

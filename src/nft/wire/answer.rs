//! What the kernel sends.
//!
//! Read here and not by netlink-packet-netfilter, which takes 100 us for three rules: it prints each attribute for an
//! error message that nobody gets to see. Nothing here trusts a length.

use std::collections::HashMap;

use netlink_packet_core::{
    ErrorBuffer, ErrorMessage, NLA_F_NESTED, NLA_TYPE_MASK, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    Parseable,
};

use super::{COMMENT, expression::encode};
use crate::{
    nft::ruleset::{Chain, Element, Owned, Owner, Part, Table},
    sys::netlink::Refusal,
};

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    /// The number of the message that it answers.
    pub number: u32,
    /// The list that it is part of changed while the kernel told it.
    pub interrupted: bool,
    /// What it says.
    pub content: Content<'a>,
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// It was done.
    Acknowledged,
    /// It was not.
    Refused(Refusal),
    /// The list ends here.
    Done,
    /// The attributes of an object.
    Object(&'a [u8]),
}

/// Splits what one `recv(2)` brought into messages.
///
/// # Errors
/// What does not read as netlink.
pub(crate) fn read(mut bytes: &[u8]) -> Result<Vec<Answer<'_>>, String> {
    const NFGENMSG: usize = 4; // struct nfgenmsg: family, version, res_id
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let message = NetlinkBuffer::new_checked(bytes).map_err(|error| error.to_string())?;
        let payload = bytes.get(16..message.length() as usize).unwrap_or_default();
        let content = match message.message_type() {
            NLMSG_DONE => Content::Done,
            NLMSG_ERROR => {
                let error = ErrorBuffer::new_checked(&payload).and_then(|buffer| ErrorMessage::parse(&buffer));
                Refusal::of(&error.map_err(|error| error.to_string())?).map_or(Content::Acknowledged, Content::Refused)
            }
            _ => Content::Object(payload.get(NFGENMSG..).unwrap_or_default()),
        };
        let interrupted = message.flags() & NLM_F_DUMP_INTR != 0;
        answers.push(Answer { number: message.sequence_number(), interrupted, content });
        bytes = bytes.get((message.length() as usize).next_multiple_of(4).max(16)..).unwrap_or_default();
    }
    Ok(answers)
}

/// Attributes as (type with flags, value).
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [l0, l1, k0, k1, ..] = *rest else { return None };
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]), value))
    })
}

/// The value of the first attribute of a type.
pub(super) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(kind, value)| (kind & NLA_TYPE_MASK == wanted).then_some(value))
}

fn text(bytes: &[u8]) -> Option<&str> {
    bytes.split(|byte| *byte == 0).next().and_then(|text| std::str::from_utf8(text).ok())
}

/// Name of the set in an answer.
pub(crate) fn set_name(object: &[u8]) -> Option<String> {
    const NAME: u16 = 2; // NFTA_SET_NAME
    Some(text(attribute(object, NAME)?)?.to_owned())
}

/// The elements of ours in an answer.
pub(crate) fn element(object: &[u8]) -> impl Iterator<Item = Owned> {
    const SET: u16 = 2; // NFTA_SET_ELEM_LIST_SET
    const ELEMENTS: u16 = 3; // NFTA_SET_ELEM_LIST_ELEMENTS
    let set = attribute(object, SET).and_then(text).unwrap_or_default();
    let elements = attribute(object, ELEMENTS).unwrap_or_default();
    attributes(elements).filter_map(move |(_, element)| owned(set, element))
}

fn owned(set: &str, element: &[u8]) -> Option<Owned> {
    const KEY: u16 = 1; // NFTA_SET_ELEM_KEY
    const DATA: u16 = 2; // NFTA_SET_ELEM_DATA
    const USERDATA: u16 = 6; // NFTA_SET_ELEM_USERDATA
    const VALUE: u16 = 1; // NFTA_DATA_VALUE
    let key = attribute(attribute(element, KEY)?, VALUE)?;
    let data = attribute(element, DATA).and_then(|data| attribute(data, VALUE));
    let comment = attribute(element, USERDATA).and_then(comment).unwrap_or_default();
    Some(Owned { element: Element::decode(set, key, data)?, owner: Owner::from_comment(comment) })
}

/// Reads a comment from userdata: a row of (type, length, value).
fn comment(mut rest: &[u8]) -> Option<&str> {
    while let [kind, len, tail @ ..] = rest {
        let value = tail.get(..usize::from(*len))?;
        if *kind == COMMENT {
            return text(value);
        }
        rest = &tail[value.len()..];
    }
    None
}

/// The rules of chains, in order, as the kernel tells them.
#[derive(Debug, Default)]
pub(crate) struct Rules(HashMap<(Table, String), Vec<Vec<u8>>>);

/// (chain, expressions) of the rule in an answer.
pub(crate) fn rule(object: &[u8]) -> Option<(String, Vec<u8>)> {
    const CHAIN: u16 = 2; // NFTA_RULE_CHAIN
    const EXPRESSIONS: u16 = 4; // NFTA_RULE_EXPRESSIONS
    let chain = text(attribute(object, CHAIN)?)?;
    Some((chain.to_owned(), attribute(object, EXPRESSIONS).unwrap_or_default().to_vec()))
}

impl Rules {
    /// Adds the rules of a table.
    pub(crate) fn extend(&mut self, table: Table, rules: Vec<(String, Vec<u8>)>) {
        for (chain, expressions) in rules {
            self.0.entry((table, chain)).or_default().push(expressions);
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether they hold all rules of a part, and no other rule is in its chains.
    pub(crate) fn hold(&self, part: Part) -> bool {
        part.chains().into_iter().all(|Chain { name, rules, .. }| {
            let found = self.0.get(&(part.table(), name)).map_or(&[][..], Vec::as_slice);
            found.len() == rules.len()
                && rules.iter().zip(found).all(|(rule, found)| same_rule(&encode(&rule.expressions), found))
        })
    }
}

/// Whether two rules have the same expressions in the same order.
fn same_rule(ours: &[u8], found: &[u8]) -> bool {
    attributes(ours).count() == attributes(found).count()
        && attributes(ours).zip(attributes(found)).all(|((_, ours), (_, found))| covers(found, ours))
}

/// Whether `found` has every attribute of `ours`. The kernel tells more than it was given: defaults, flags.
fn covers(found: &[u8], ours: &[u8]) -> bool {
    attributes(ours).all(|(kind, value)| {
        attributes(found).filter(|(found, _)| (found ^ kind) & NLA_TYPE_MASK == 0).any(|(_, found)| {
            if kind & NLA_F_NESTED != 0 { covers(found, value) } else { found == value }
        })
            // What has no attributes of its own, as a plain masq, is told without the empty list.
            || (kind & NLA_F_NESTED != 0 && value.is_empty())
    })
}

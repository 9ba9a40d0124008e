//! What the kernel sends.
//!
//! Read here and not by netlink-packet-netfilter, which takes 100 us for three rules: it prints each attribute for an
//! error message that nobody gets to see. Nothing here trusts a length.

use std::collections::BTreeMap;

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

pub(super) fn text(bytes: &[u8]) -> Option<&str> {
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
pub(crate) struct Rules(BTreeMap<(Table, String), Vec<Vec<u8>>>);

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

    /// Whether they hold any rule of a part's chains.
    pub(crate) fn hold_any(&self, part: Part) -> bool {
        part.chain_names().into_iter().any(|chain| self.0.contains_key(&(part.table(), chain)))
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
pub(super) fn same_rule(ours: &[u8], found: &[u8]) -> bool {
    attributes(ours).count() == attributes(found).count()
        && attributes(ours).zip(attributes(found)).all(|((_, ours), (_, found))| covers(found, ours))
}

/// Whether `found` has every attribute of `ours`. The kernel tells more than it was given: defaults, flags.
pub(super) fn covers(found: &[u8], ours: &[u8]) -> bool {
    found == ours
        || attributes(ours).all(|(kind, value)| {
            attributes(found).filter(|(found, _)| (found ^ kind) & NLA_TYPE_MASK == 0).any(|(_, found)| {
            if kind & NLA_F_NESTED != 0 { covers(found, value) } else { found == value }
        })
            // What has no attributes of its own, as a plain masq, is told without the empty list.
            || (kind & NLA_F_NESTED != 0 && value.is_empty())
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::nft::wire::Batch;

    fn masquerade() -> Owned {
        Owned { element: Element::Masquerade("10.22.0.5/24".parse().unwrap()), owner: "net/ctr/eth0".into() }
    }

    fn host_port() -> Owned {
        let to = "[fd00::5]:80".parse().unwrap();
        let element = Element::host_port(None, crate::nft::ruleset::Protocol::Udp, 53, to).unwrap();
        Owned { element, owner: "net/ctr/eth0".into() }
    }

    /// A batch of an element and the rules that it needs.
    fn batch(owned: &Owned) -> Vec<u8> {
        let mut batch = Batch::new(7);
        batch.make(owned.element.part());
        batch.add(0, owned);
        batch.finish().0
    }

    fn objects(bytes: &[u8]) -> Vec<&[u8]> {
        let answers = read(bytes).unwrap().into_iter();
        answers
            .filter_map(|answer| if let Content::Object(object) = answer.content { Some(object) } else { None })
            .collect()
    }

    #[test]
    fn what_we_send_is_read_as_the_kernel_would_tell_it() {
        for owned in [masquerade(), host_port()] {
            let bytes = batch(&owned);
            assert_eq!(objects(&bytes).into_iter().flat_map(element).collect::<Vec<_>>(), vec![owned.clone()]);
            let part = owned.element.part();
            let mut rules = Rules::default();
            assert!(!rules.hold(part) && !rules.hold_any(part));
            // A rule is told by its chain and expressions, which no other message has where a rule has them.
            let told = objects(&bytes).into_iter().filter_map(rule).filter(|(_, expressions)| expressions.len() > 8);
            rules.extend(part.table(), told.collect());
            assert!(rules.hold(part) && rules.hold_any(part));
            rules.0.values_mut().next().unwrap().pop();
            assert!(!rules.hold(part) && rules.hold_any(part));
        }
    }

    #[test]
    fn a_rule_may_be_told_with_more_but_not_with_less_or_else() {
        let expressions = &masquerade().element.part().chains()[0].rules[0].expressions;
        let ours = encode(expressions);
        assert!(same_rule(&ours, &ours));
        assert!(!same_rule(&ours, &encode(&expressions[1..])) && !same_rule(&encode(&expressions[1..]), &ours));
        for index in 0..expressions.len() {
            let mut other = expressions.clone();
            let last = other.len() - 1;
            other.swap(index, (index + 1) % last);
            assert!(!same_rule(&ours, &encode(&other)), "{index}");
        }
        // NFTA_META_DREG and _KEY, then an attribute that we never write.
        let meta = [8u8, 0, 1, 0, 0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 15];
        let more = [&meta[..], &[8, 0, 9, 0, 0, 0, 0, 1]].concat();
        assert!(covers(&more, &meta) && !covers(&meta, &more));
    }

    #[test]
    fn refusals_keep_what_the_kernel_said() {
        // A 36-byte NLMSG_ERROR of number 9, ENOENT, with the capped header that it echoes.
        let mut bytes = vec![36, 0, 0, 0, 2, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend((-2i32).to_ne_bytes());
        bytes.extend([0; 16]);
        let refusal = Refusal::from(nix::errno::Errno::ENOENT);
        let refused = Answer { number: 9, interrupted: false, content: Content::Refused(refusal) };
        assert_eq!(read(&bytes).unwrap(), [refused]);
        bytes[16..20].fill(0);
        let done = Answer { number: 9, interrupted: false, content: Content::Acknowledged };
        assert_eq!(read(&bytes).unwrap(), [done]);
        assert!(read(&bytes[..35]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>, kind: u16) {
            let mut message = bytes.clone();
            message.splice(0..0, [16, 0, 0, 0].into_iter().chain(kind.to_ne_bytes()).chain([0; 10]));
            let len = u32::try_from(message.len()).unwrap();
            message[..4].copy_from_slice(&len.to_ne_bytes());
            for bytes in [&bytes, &message] {
                for answer in read(bytes).unwrap_or_default() {
                    if let Content::Object(object) = answer.content {
                        drop((set_name(object), rule(object), element(object).count()));
                    }
                }
                same_rule(bytes, bytes);
                comment(bytes);
            }
        }

        #[test]
        fn no_change_to_what_we_read_is_too_strange(at in 0usize..400, to: u8, cut in 0usize..400) {
            let mut bytes = batch(&host_port());
            let len = bytes.len();
            bytes[at % len] = to;
            bytes.truncate(len - cut % len);
            for answer in read(&bytes).unwrap_or_default() {
                if let Content::Object(object) = answer.content {
                    drop((set_name(object), rule(object), element(object).count()));
                }
            }
        }
    }
}

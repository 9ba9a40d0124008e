//! Chains and rules of other programs.

use netlink_packet_core::{NLA_F_NESTED, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP};

use super::{
    answer::{attribute, attributes, covers, same_rule, text},
    batch::comment,
    expression::{Attributes, encode},
    message,
};
use crate::nft::ruleset::{
    Gate,
    expression::{Expression, Verdict},
    gate::COMMENT,
};

const NFTABLES: u16 = 10 << 8; // NFNL_SUBSYS_NFTABLES
const CHAIN_TABLE: u16 = 1; // NFTA_CHAIN_TABLE
const RULE_TABLE: u16 = 1; // NFTA_RULE_TABLE
const RULE_CHAIN: u16 = 2; // NFTA_RULE_CHAIN
const RULE_HANDLE: u16 = 3; // NFTA_RULE_HANDLE
const RULE_EXPRESSIONS: u16 = 4; // NFTA_RULE_EXPRESSIONS
const RULE_USERDATA: u16 = 7; // NFTA_RULE_USERDATA

/// A chain, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignChain {
    pub(crate) table: String,
    pub(crate) name: String,
    /// It filters at the hook of what is forwarded; and whether its policy is to drop.
    pub(crate) filters_forwarded: Option<bool>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignRule {
    handle: Vec<u8>,
    expressions: Vec<u8>,
    /// It has our comment.
    is_ours: bool,
}

/// Asks for the number of the ruleset that stands now: each transaction makes a new one.
pub(crate) fn ask_generation(number: u32) -> Vec<u8> {
    const GET: u16 = 16; // NFT_MSG_GETGEN
    let mut bytes = Vec::new();
    message(&mut bytes, number, NFTABLES | GET, 0, (0, 0), &[]);
    bytes
}

/// That number, in an answer.
pub(crate) fn generation(object: &[u8]) -> Option<u32> {
    const ID: u16 = 1; // NFTA_GEN_ID
    Some(u32::from_be_bytes(attribute(object, ID)?.try_into().ok()?))
}

/// Asks for the chains of a family.
pub(crate) fn ask_chains(number: u32, family: u8) -> Vec<u8> {
    const GET: u16 = 4; // NFT_MSG_GETCHAIN
    let mut bytes = Vec::new();
    message(&mut bytes, number, NFTABLES | GET, NLM_F_DUMP, (family, 0), &[]);
    bytes
}

/// The chain in an answer.
pub(crate) fn chain(object: &[u8]) -> Option<ForeignChain> {
    const NAME: u16 = 3; // NFTA_CHAIN_NAME
    const HOOK: u16 = 4; // NFTA_CHAIN_HOOK
    const HOOK_NUMBER: u16 = 1; // NFTA_HOOK_HOOKNUM
    const FORWARD: [u8; 4] = 2u32.to_be_bytes(); // NF_INET_FORWARD
    const POLICY: u16 = 5; // NFTA_CHAIN_POLICY
    const DROP: [u8; 4] = [0; 4]; // NF_DROP
    const TYPE: u16 = 7; // NFTA_CHAIN_TYPE
    let at_forward = attribute(object, HOOK).and_then(|hook| attribute(hook, HOOK_NUMBER)) == Some(&FORWARD[..]);
    let filters = at_forward && attribute(object, TYPE).and_then(text) == Some("filter");
    Some(ForeignChain {
        table: text(attribute(object, CHAIN_TABLE)?)?.to_owned(),
        name: text(attribute(object, NAME)?)?.to_owned(),
        filters_forwarded: filters.then(|| attribute(object, POLICY) == Some(&DROP[..])),
    })
}

/// Asks for the rules of a chain.
pub(crate) fn ask_rules_of(number: u32, family: u8, chain: &ForeignChain) -> Vec<u8> {
    const GET: u16 = 7; // NFT_MSG_GETRULE
    let mut bytes = Vec::new();
    message(&mut bytes, number, NFTABLES | GET, NLM_F_DUMP, (family, 0), &place(&chain.table, &chain.name).0);
    bytes
}

/// The rule in an answer.
pub(crate) fn foreign_rule(object: &[u8]) -> Option<ForeignRule> {
    let expressions = attribute(object, RULE_EXPRESSIONS).unwrap_or_default().to_vec();
    let is_ours = attribute(object, RULE_USERDATA) == Some(&comment(COMMENT));
    Some(ForeignRule { handle: attribute(object, RULE_HANDLE)?.to_vec(), expressions, is_ours })
}

impl ForeignRule {
    /// Whether it does this, counters apart.
    pub(crate) fn does(&self, expressions: &[Expression]) -> bool {
        same_rule(&encode(expressions), &self.without_counters())
    }

    /// Whether it is one of those that [`crate::nft::ruleset::Gate::rule`] makes. (What was saved and restored lost its
    /// comment; a jump to the administrator's chain may stay then.)
    pub(crate) fn is_of_gates(&self) -> bool {
        if self.is_ours {
            return true;
        }
        let expressions = self.without_counters();
        let ours = encode(&Gate::rule(Verdict::Accept));
        let condition = attributes(&ours).count() - 1;
        attributes(&expressions).count() == condition + 1
            && attributes(&ours)
                .zip(attributes(&expressions))
                .take(condition)
                .all(|((_, ours), (_, found))| covers(found, ours))
    }

    /// Whether it drops or rejects whatever comes to it.
    pub(crate) fn drops_everything(&self) -> bool {
        const TARGET: u16 = 1; // NFTA_TARGET_NAME, of iptables' own targets
        let expressions = self.without_counters();
        let mut all = attributes(&expressions);
        let (Some((_, only)), None) = (all.next(), all.next()) else { return false };
        match name(only) {
            Some("reject") => true,
            Some("target") => {
                let target = attribute(only, DATA).and_then(|data| attribute(data, TARGET)).and_then(text);
                matches!(target, Some("DROP" | "REJECT"))
            }
            _ => self.does(&[Expression::Verdict(Verdict::Drop)]),
        }
    }

    fn without_counters(&self) -> Vec<u8> {
        let mut kept = Attributes(Vec::new());
        for (kind, expression) in attributes(&self.expressions) {
            if name(expression) != Some("counter") {
                kept.put(kind | NLA_F_NESTED, expression);
            }
        }
        kept.0
    }
}

const DATA: u16 = 2; // NFTA_EXPR_DATA

fn name(expression: &[u8]) -> Option<&str> {
    const NAME: u16 = 1; // NFTA_EXPR_NAME
    text(attribute(expression, NAME)?)
}

/// A transaction on chains of other programs, which fails (ERESTART) unless the ruleset is still of a generation.
pub(crate) struct ForeignBatch {
    first: u32,
    number: u32,
    bytes: Vec<u8>,
}

impl ForeignBatch {
    pub(crate) fn new(first: u32, generation: u32) -> Self {
        Self { first, number: first, bytes: begin(first, generation) }
    }

    /// Puts a rule at the head of a chain.
    pub(crate) fn insert(&mut self, family: u8, table: &str, chain: &str, expressions: &[Expression]) {
        const NEW: u16 = 6; // NFT_MSG_NEWRULE
        let mut rule = place(table, chain);
        rule.put(RULE_EXPRESSIONS | NLA_F_NESTED, &encode(expressions));
        rule.put(RULE_USERDATA, &comment(COMMENT));
        self.push(NEW, NLM_F_CREATE | NLM_F_ACK, family, &rule);
    }

    /// Takes a rule away.
    pub(crate) fn delete(&mut self, family: u8, table: &str, chain: &str, rule: &ForeignRule) {
        const DELETE: u16 = 8; // NFT_MSG_DELRULE
        let mut named = place(table, chain);
        named.put(RULE_HANDLE, &rule.handle);
        self.push(DELETE, NLM_F_ACK, family, &named);
    }

    /// The bytes for one `send(2)`, and the numbers of the first message and of the last that is acknowledged.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u32, u32) {
        const END: u16 = 0x11; // NFNL_MSG_BATCH_END
        message(&mut self.bytes, self.number + 1, END, 0, (0, NFTABLES >> 8), &[]);
        (self.bytes, self.first, self.number)
    }

    fn push(&mut self, kind: u16, flags: u16, family: u8, attributes: &Attributes) {
        self.number += 1;
        message(&mut self.bytes, self.number, NFTABLES | kind, flags, (family, 0), &attributes.0);
    }
}

/// The first message of a transaction that fails unless the ruleset is still of a generation.
pub(super) fn begin(number: u32, generation: u32) -> Vec<u8> {
    const BEGIN: u16 = 0x10; // NFNL_MSG_BATCH_BEGIN
    const GENERATION: u16 = 1; // NFNL_BATCH_GENID
    let mut expected = Attributes(Vec::new());
    expected.put(GENERATION, &generation.to_be_bytes());
    let mut bytes = Vec::new();
    message(&mut bytes, number, BEGIN, 0, (0, NFTABLES >> 8), &expected.0);
    bytes
}

fn place(table: &str, chain: &str) -> Attributes {
    let mut attributes = Attributes(Vec::new());
    attributes.text(RULE_TABLE, table);
    attributes.text(RULE_CHAIN, chain);
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule as the kernel tells it, and a chain.
    fn object(expressions: &[Expression]) -> Vec<u8> {
        let mut rule = place("filter", "FORWARD");
        rule.put(RULE_HANDLE, &7u64.to_be_bytes());
        rule.put(RULE_EXPRESSIONS | NLA_F_NESTED, &encode(expressions));
        rule.0
    }

    #[test]
    fn rules_are_told_apart() {
        let gate = Gate::rule(Verdict::Accept);
        let ours = foreign_rule(&object(&gate)).unwrap();
        assert!(ours.is_of_gates() && ours.does(&gate) && !ours.drops_everything());
        let drop = foreign_rule(&object(&[Expression::Verdict(Verdict::Drop)])).unwrap();
        assert!(drop.drops_everything() && !drop.is_of_gates() && !drop.does(&gate));
    }

    proptest::proptest! {
        #[test]
        fn no_rule_is_too_strange(
            changes in proptest::collection::vec((0usize..400, proptest::num::u8::ANY), 0..4), cut in 0usize..400, other: Vec<u8>,
        ) {
            let mut bytes = object(&Gate::rule(Verdict::Accept));
            for (at, to) in changes {
                let len = bytes.len();
                bytes[at % len] = to;
            }
            let cut = &bytes[cut % bytes.len()..];
            for bytes in [&bytes[..], cut, &other] {
                chain(bytes);
                generation(bytes);
                if let Some(rule) = foreign_rule(bytes) {
                    let dropping = rule.drops_everything();
                    proptest::prop_assert!(!(rule.is_of_gates() && dropping), "ours drops nothing");
                    rule.does(&Gate::rule(Verdict::Accept));
                }
            }
        }
    }
}

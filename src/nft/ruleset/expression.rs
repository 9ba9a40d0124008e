//! Expressions, the words of which rules are made (linux/netfilter/nf_tables.h).
//!
//! Those that netlink-packet-netfilter lacks (masq, nat, fib, ct) are made here from plain attributes.

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, Expressions, Immediate, Lookup, Meta, MetaKey, Operator, Payload, Register, Verdict,
    VerdictAttribute,
};

use super::Family;

/// The 4-byte register `index` of 16, named as the kernel names it in its answers: four of them are one of 16 bytes.
pub(super) fn register(index: u32) -> Register {
    const FIRST: u32 = 8; // NFT_REG32_00
    if index.is_multiple_of(4) { Register::from(1 + index / 4) } else { Register::from(FIRST + index) }
}

/// Goes on if the packet is of this family.
pub(super) fn of_family(family: Family) -> [Expressions; 2] {
    [meta(MetaKey::Nfproto, 0), equal(0, &[family.protocol()])]
}

/// A property of the packet into register `to`.
pub(super) fn meta(key: MetaKey, to: u32) -> Expressions {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(register(to))])
}

/// Bytes of the network header.
pub(super) fn network_header(offset: u32, len: u32, to: u32) -> Expressions {
    payload(1, offset, len, to)
}

fn payload(base: u32, offset: u32, len: u32, to: u32) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register(to)),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(len),
    ])
}

/// Keeps the bits of `mask` in a register.
pub(super) fn keep(index: u32, mask: &[u8]) -> Expressions {
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(register(index)),
        Bitwise::DestinationRegister(register(index)),
        Bitwise::Length(u32::try_from(mask.len()).unwrap_or(u32::MAX)),
        Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
        Bitwise::Xor(DataAttribute::Value(vec![0; mask.len()])),
    ])
}

/// Goes on if a register holds these bytes.
pub(super) fn equal(index: u32, bytes: &[u8]) -> Expressions {
    compare(index, Operator::Equal, bytes)
}

fn compare(index: u32, operator: Operator, bytes: &[u8]) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(register(index)),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(bytes.to_vec())),
    ])
}

/// Goes on if the set holds what begins in register 0.
pub(super) fn in_set(set: &str) -> Expressions {
    Expressions::Lookup(vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(register(0))])
}

/// Ends the rule with a verdict.
pub(super) fn verdict(verdict: Verdict) -> Expressions {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(verdict)])),
    ])
}

/// `masquerade`.
pub(super) fn masquerade() -> Expressions {
    other("masq", &[])
}

fn other(name: &str, attributes: &[(u16, u32)]) -> Expressions {
    Expressions::Other {
        expression_type: name.to_owned(),
        attributes: attributes.iter().map(|(kind, value)| DefaultNla::new(*kind, value.to_be_bytes().into())).collect(),
    }
}

/// Name of an expression that is not part of the nf_tables module itself, but a module or option of its own.
pub(crate) fn optional_name(expression: &Expressions) -> Option<&str> {
    match expression {
        Expressions::Other { expression_type, .. } => Some(expression_type),
        _ => None,
    }
}

/// Whether `found`, an expression as the kernel tells it, is `ours`: it may tell more attributes, never fewer.
pub(crate) fn same(ours: &Expressions, found: &Expressions) -> bool {
    fn within<T: PartialEq>(ours: &[T], found: &[T]) -> bool {
        ours.iter().all(|attribute| found.contains(attribute))
    }
    match (ours, found) {
        (Expressions::Bitwise(a), Expressions::Bitwise(b)) => within(a, b),
        (Expressions::Cmp(a), Expressions::Cmp(b)) => within(a, b),
        (Expressions::Immediate(a), Expressions::Immediate(b)) => within(a, b),
        (Expressions::Lookup(a), Expressions::Lookup(b)) => within(a, b),
        (Expressions::Meta(a), Expressions::Meta(b)) => within(a, b),
        (Expressions::Payload(a), Expressions::Payload(b)) => within(a, b),
        (
            Expressions::Other { expression_type: a, attributes: ours },
            Expressions::Other { expression_type: b, attributes: found },
        ) => a == b && within(ours, found),
        _ => false,
    }
}

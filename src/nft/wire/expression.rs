//! Expressions as attributes (linux/netfilter/nf_tables.h).
//!
//! Not those of netlink-packet-netfilter: it has no masq, nat, ct and fib, and building its trees to compare them
//! with what the kernel holds, on every ADD, took longer than asking the kernel.

use netlink_packet_core::NLA_F_NESTED;

use crate::nft::ruleset::{
    Family,
    expression::{Connection, Expression, Header, Meta, Verdict},
};

/// `NFTA_LIST_ELEM`.
const ELEMENT: u16 = 1;
/// `NFT_REG_VERDICT`.
const VERDICT_REGISTER: u32 = 0;

/// The value of `NFTA_RULE_EXPRESSIONS`.
pub(crate) fn encode(expressions: &[Expression]) -> Vec<u8> {
    const NAME: u16 = 1; // NFTA_EXPR_NAME
    const DATA: u16 = 2; // NFTA_EXPR_DATA
    let mut list = Attributes(Vec::with_capacity(512));
    for expression in expressions {
        list.nest(ELEMENT, |element| {
            element.text(NAME, expression.name());
            element.nest(DATA, |data| fill(data, expression));
        });
    }
    list.0
}

fn fill(data: &mut Attributes, expression: &Expression) {
    match expression {
        Expression::Meta { key, to } => {
            let key = match key {
                Meta::EtherType => 1,
                Meta::Mark => 3,
                Meta::InName => 6,
                Meta::OutName => 7,
                Meta::Family => 15,
                Meta::Protocol => 16,
            };
            data.numbers([(1, register(*to)), (2, key)]); // NFTA_META_DREG, _KEY
        }
        Expression::Connection { key, to } => {
            let key = match key {
                Connection::State => 0,
                Connection::Status => 2,
            };
            data.numbers([(1, register(*to)), (2, key)]); // NFTA_CT_DREG, _KEY
        }
        Expression::Payload { header, offset, len, to } => {
            let header = match header {
                Header::Ethernet => 0,
                Header::Network => 1,
                Header::Transport => 2,
            };
            // NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN
            data.numbers([(1, register(*to)), (2, header), (3, (*offset).into()), (4, (*len).into())]);
        }
        Expression::DestinationType { to } => {
            data.numbers([(1, register(*to)), (2, 3), (3, 2)]); // NFTA_FIB_DREG, _RESULT: ADDRTYPE, _FLAGS: DADDR
        }
        Expression::Keep { register: at, mask } => {
            let len = u32::try_from(mask.len()).unwrap_or(u32::MAX);
            data.numbers([(1, register(*at)), (2, register(*at)), (3, len)]); // NFTA_BITWISE_SREG, _DREG, _LEN
            data.value(4, mask); // NFTA_BITWISE_MASK
            data.value(5, &vec![0; mask.len()]); // NFTA_BITWISE_XOR
        }
        Expression::Raise { register: at, bits } => {
            data.numbers([(1, register(*at)), (2, register(*at)), (3, 4)]);
            data.value(4, &(!bits).to_ne_bytes());
            data.value(5, &bits.to_ne_bytes());
        }
        Expression::Mark { from } => data.numbers([(2, 3), (3, register(*from))]), // NFTA_META_KEY, _SREG
        Expression::Equal { register, bytes } => compare(data, *register, 0, bytes),
        Expression::NotEqual { register, bytes } => compare(data, *register, 1, bytes),
        Expression::In(set) => lookup(data, set, None),
        Expression::NotIn(set) => lookup(data, set, Some((5, 1))), // NFTA_LOOKUP_FLAGS: NFT_LOOKUP_F_INV
        Expression::Map(map) => lookup(data, map, Some((3, register(0)))), // NFTA_LOOKUP_DREG
        Expression::Verdict(end) => verdict(data, end),
        Expression::Masquerade => {}
        Expression::Redirect { family, port } => redirect(data, *family, *port),
    }
}

fn compare(data: &mut Attributes, at: u8, operator: u32, bytes: &[u8]) {
    data.numbers([(1, register(at)), (2, operator)]); // NFTA_CMP_SREG, _OP
    data.value(3, bytes); // NFTA_CMP_DATA
}

fn lookup(data: &mut Attributes, set: &str, more: Option<(u16, u32)>) {
    data.text(1, set); // NFTA_LOOKUP_SET
    data.numbers([(2, register(0))]); // NFTA_LOOKUP_SREG
    data.numbers(more);
}

fn verdict(data: &mut Attributes, end: &Verdict) {
    let (code, chain) = match end {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
        Verdict::Return => (-5, None),
    };
    data.numbers([(1, VERDICT_REGISTER)]); // NFTA_IMMEDIATE_DREG
    data.nest(2, |immediate| {
        // NFTA_IMMEDIATE_DATA
        immediate.nest(2, |verdict| {
            // NFTA_DATA_VERDICT
            verdict.numbers([(1, i32::cast_unsigned(code))]); // NFTA_VERDICT_CODE
            if let Some(chain) = chain {
                verdict.text(2, chain); // NFTA_VERDICT_CHAIN
            }
        });
    });
}

fn redirect(data: &mut Attributes, family: Family, port: u8) {
    const DNAT: u32 = 1;
    // NFTA_NAT_TYPE, _FAMILY, _REG_ADDR_MIN, _REG_PROTO_MIN
    data.numbers([(1, DNAT), (2, family.protocol().into()), (3, register(0)), (5, register(port))]);
}

/// The number of the 4-byte register `index`, as the kernel tells it: four of them are one of 16 bytes.
fn register(index: u8) -> u32 {
    const FIRST: u32 = 8; // NFT_REG32_00
    let index = u32::from(index);
    if index.is_multiple_of(4) { 1 + index / 4 } else { FIRST + index }
}

/// Attributes being written.
pub(super) struct Attributes(pub(super) Vec<u8>);

impl Attributes {
    pub(super) fn put(&mut self, kind: u16, value: &[u8]) {
        self.put_all(kind, [value]);
    }

    pub(super) fn text(&mut self, kind: u16, text: &str) {
        self.put_all(kind, [text.as_bytes(), b"\0"]);
    }

    /// One attribute, whose value is in pieces.
    fn put_all<const N: usize>(&mut self, kind: u16, pieces: [&[u8]; N]) {
        let len = pieces.iter().fold(4, |len, piece| len + piece.len());
        let [k0, k1] = kind.to_ne_bytes();
        let [l0, l1] = u16::try_from(len).unwrap_or(u16::MAX).to_ne_bytes();
        self.0.reserve(len + 3);
        self.0.extend_from_slice(&[l0, l1, k0, k1]);
        pieces.iter().for_each(|piece| self.0.extend_from_slice(piece));
        self.0.extend_from_slice(&[0; 3][..len.next_multiple_of(4) - len]);
    }

    fn numbers(&mut self, numbers: impl IntoIterator<Item = (u16, u32)>) {
        numbers.into_iter().for_each(|(kind, number)| self.put(kind, &number.to_be_bytes()));
    }

    /// Bytes in `NFTA_DATA_VALUE`.
    fn value(&mut self, kind: u16, bytes: &[u8]) {
        self.nest(kind, |data| data.put(1, bytes));
    }

    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.put(kind | NLA_F_NESTED, &[]);
        fill(self);
        let len = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    }
}

//! What we send: batches and questions.

use netlink_packet_core::{
    DefaultNla, NLA_F_NESTED, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST,
    NetlinkMessage,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterProtoFamily,
    nftables::{
        ChainAttribute, ChainMessage, DataAttribute, Hook as HookAttribute, HookNumber, ListAttribute, NfTablesMessage,
        RuleAttribute, RuleMessage, SetAttribute, SetElementAttribute, SetElementList, SetElementMessage, SetFlags,
        SetMessage, TableAttribute, TableMessage,
    },
    none::ControlMessage,
};

use super::{COMMENT, expression::encode, gate::begin};
use crate::nft::{
    error::Lacking,
    ruleset::{Chain, Element, Kind, Owned, Part, Rule, Set, TABLE, Table, expression::Expression},
};

/// `NFNL_SUBSYS_NFTABLES`, which a batch names in its first and last message.
const NFTABLES: u16 = 10;

/// What a message of a batch is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To make a part of the rules.
    Base {
        /// What a person would type.
        command: String,
        /// What the kernel lacks if it answers ENOENT.
        lacking: Vec<Lacking>,
    },
    /// To take the element away; its index among the caller's.
    Delete(usize),
    /// To add the element; its index among the caller's.
    Add(usize),
}

/// One transaction: the kernel does all of it or nothing.
pub(crate) struct Batch {
    first: u32,
    bytes: Vec<u8>,
    last_flags: usize,
    purposes: Vec<Purpose>,
}

impl Batch {
    /// An empty one, whose messages are numbered from `first`.
    pub(crate) fn new(first: u32) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        emit(&mut bytes, first, 0, control(ControlMessage::BatchBegin));
        Self { first, bytes, last_flags: 0, purposes: Vec::new() }
    }

    /// One that the kernel refuses (ERESTART) unless the ruleset is still of a generation.
    pub(crate) fn of_generation(first: u32, generation: u32) -> Self {
        Self { first, bytes: begin(first, generation), last_flags: 0, purposes: Vec::new() }
    }

    /// Makes a part, or puts back what is missing of it: sets are kept with what they hold, rules are made anew.
    pub(crate) fn make(&mut self, part: Part) {
        let table = part.table();
        let mut base = |flags, message, command: String, lacking| {
            self.push(table, flags, message, Purpose::Base { command, lacking });
        };
        let new_table = TableMessage { attributes: vec![TableAttribute::Name(TABLE.into())] };
        base(NLM_F_CREATE, NfTablesMessage::NewTable(new_table), format!("add table {table} {TABLE}"), vec![]);
        for set in part.sets() {
            let command = format!("add set {table} {TABLE} {}", set.name);
            base(NLM_F_CREATE, new_set(set), command, vec![]);
        }
        let chains = part.chains();
        for chain in &chains {
            let lacking = chain.hook.iter().map(|hook| Lacking::ChainType(hook.chain_type)).collect();
            base(NLM_F_CREATE, new_chain(chain), format!("add chain {table} {TABLE} {}", chain.name), lacking);
            let rules = vec![RuleAttribute::Table(TABLE.into()), RuleAttribute::Chain(chain.name.clone())];
            let flush = NfTablesMessage::DeleteRule(RuleMessage { attributes: rules });
            base(0, flush, format!("flush chain {table} {TABLE} {}", chain.name), vec![]);
        }
        for chain in chains {
            for Rule { text, expressions } in chain.rules {
                let optional = expressions.iter().filter(|expression| expression.is_optional());
                let lacking = optional.map(|expression| Lacking::Expression(expression.name())).collect();
                let command = format!("add rule {table} {TABLE} {} {text}", chain.name);
                base(NLM_F_CREATE | NLM_F_APPEND, new_rule(&chain.name, &expressions), command, lacking);
            }
        }
    }

    /// Adds an element. If its key is taken the kernel answers EEXIST, for a shared element only if by something else.
    pub(crate) fn add(&mut self, index: usize, Owned { element, owner }: &Owned) {
        let mut attributes = vec![key(element), SetElementAttribute::UserData(comment(owner.as_str()))];
        attributes.extend(element.value().map(|value| SetElementAttribute::Data(DataAttribute::Value(value))));
        let message = NfTablesMessage::NewSetElement(of_set(element.set(), attributes));
        let exclusive = if element.is_shared() { 0 } else { NLM_F_EXCL };
        self.push(element.part().table(), NLM_F_CREATE | exclusive, message, Purpose::Add(index));
    }

    /// Takes away whatever sits under the element's key; the kernel answers ENOENT if nothing does.
    pub(crate) fn delete(&mut self, index: usize, element: &Element) {
        let message = NfTablesMessage::DeleteSetElement(of_set(element.set(), vec![key(element)]));
        self.push(element.part().table(), 0, message, Purpose::Delete(index));
    }

    /// The bytes for one `send(2)`. The last message asks for an acknowledgement, whose number comes with them.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u32, Vec<Purpose>) {
        if let Some(flags) = self.bytes.get_mut(self.last_flags..self.last_flags + 2) {
            let asked = u16::from_ne_bytes([flags[0], flags[1]]) | NLM_F_ACK;
            flags.copy_from_slice(&asked.to_ne_bytes());
        }
        let last = self.next() - 1;
        emit(&mut self.bytes, last + 1, 0, control(ControlMessage::BatchEnd));
        (self.bytes, last, self.purposes)
    }

    fn push(&mut self, table: Table, flags: u16, message: NfTablesMessage, purpose: Purpose) {
        const FLAGS_OFFSET: usize = 6; // in struct nlmsghdr
        self.last_flags = self.bytes.len() + FLAGS_OFFSET;
        let number = self.next();
        emit(&mut self.bytes, number, flags, nftables(table, message));
        self.purposes.push(purpose);
    }

    /// The number of the next message; the batch's first message has `first`.
    fn next(&self) -> u32 {
        self.first + 1 + u32::try_from(self.purposes.len()).unwrap_or(u32::MAX)
    }
}

fn emit(bytes: &mut Vec<u8>, number: u32, flags: u16, message: NetfilterMessage) {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | flags;
    message.header.sequence_number = number;
    message.finalize();
    let start = bytes.len();
    bytes.resize(start + message.buffer_len(), 0);
    message.serialize(&mut bytes[start..]);
}

fn control(message: ControlMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFTABLES), message)
}

fn nftables(table: Table, message: NfTablesMessage) -> NetfilterMessage {
    let family = match table {
        Table::Inet => NetfilterProtoFamily::Inet,
        Table::Bridge => NetfilterProtoFamily::Bridge,
    };
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

fn new_set(Set { name, key, value }: Set) -> NfTablesMessage {
    /// nft keeps the types of a concatenation side by side, 6 bits each.
    const TYPE_BITS: u32 = 6;
    let kinds = |kinds: &[Kind]| kinds.iter().fold(0, |all, kind| (all << TYPE_BITS) | kind.nft().1);
    let len = |kinds: &[Kind]| kinds.iter().map(|kind| kind.nft().2.next_multiple_of(4)).sum();
    let mut attributes = vec![
        SetAttribute::Table(TABLE.into()),
        SetAttribute::Name(name),
        SetAttribute::KeyType(kinds(&key)),
        SetAttribute::KeyLen(len(&key)),
        SetAttribute::Id(1), // the kernel wants a number, we go by name
    ];
    if key == [Kind::LinkName] {
        // nft reads names backwards unless told how they lie: NFTNL_UDATA_SET_KEYBYTEORDER, 4 bytes, the host's.
        attributes.push(SetAttribute::UserData([&[0, 4][..], &1u32.to_ne_bytes()].concat()));
    }
    if !value.is_empty() {
        let map = [SetAttribute::Flags(SetFlags::Map), SetAttribute::DataType(kinds(&value))];
        attributes.extend(map);
        attributes.push(SetAttribute::DataLen(len(&value)));
    }
    NfTablesMessage::NewSet(SetMessage { attributes })
}

fn new_chain(Chain { name, hook, .. }: &Chain) -> NfTablesMessage {
    const ACCEPT: u32 = 1; // NF_ACCEPT
    let mut attributes = vec![ChainAttribute::Table(TABLE.into()), ChainAttribute::Name(name.clone())];
    if let Some(hook) = hook {
        attributes.push(ChainAttribute::Hook(vec![
            HookAttribute::Number(HookNumber::Other(hook.hook.1)),
            HookAttribute::Priority(hook.priority.1.cast_unsigned()),
        ]));
        attributes.push(ChainAttribute::Policy(ACCEPT));
        attributes.push(ChainAttribute::Type(hook.chain_type.into()));
    }
    NfTablesMessage::NewChain(ChainMessage { attributes })
}

fn new_rule(chain: &str, expressions: &[Expression]) -> NfTablesMessage {
    const EXPRESSIONS: u16 = 4; // NFTA_RULE_EXPRESSIONS
    NfTablesMessage::NewRule(RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.into()),
            RuleAttribute::Chain(chain.into()),
            RuleAttribute::Other(DefaultNla::new(EXPRESSIONS | NLA_F_NESTED, encode(expressions))),
        ],
    })
}

fn of_set(set: String, element: Vec<SetElementAttribute>) -> SetElementMessage {
    SetElementMessage {
        attributes: vec![
            SetElementList::Table(TABLE.into()),
            SetElementList::Set(set),
            SetElementList::Elements(vec![ListAttribute::Element(element)]),
        ],
    }
}

fn key(element: &Element) -> SetElementAttribute {
    SetElementAttribute::Key(DataAttribute::Value(element.key()))
}

/// A comment as nft keeps it in userdata: type, length, text, NUL.
pub(super) fn comment(text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.len().min(127)];
    let mut bytes = vec![COMMENT, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}

/// Asks for what sits under an element's key.
pub(crate) fn ask_element(bytes: &mut Vec<u8>, number: u32, element: &Element) {
    let message = NfTablesMessage::GetSetElement(of_set(element.set(), vec![key(element)]));
    emit(bytes, number, 0, nftables(element.part().table(), message));
}

/// Asks for all elements of a set.
pub(crate) fn ask_elements(number: u32, table: Table, set: &str) -> Vec<u8> {
    let attributes = vec![SetElementList::Table(TABLE.into()), SetElementList::Set(set.into())];
    dump(number, table, NfTablesMessage::GetSetElement(SetElementMessage { attributes }))
}

/// Asks for the sets of a table of ours.
pub(crate) fn ask_sets(number: u32, table: Table) -> Vec<u8> {
    let attributes = vec![SetAttribute::Table(TABLE.into())];
    dump(number, table, NfTablesMessage::GetSet(SetMessage { attributes }))
}

/// Asks for the rules of a table of ours, or of one chain of it.
pub(crate) fn ask_rules(number: u32, table: Table, chain: Option<&str>) -> Vec<u8> {
    let mut attributes = vec![RuleAttribute::Table(TABLE.into())];
    attributes.extend(chain.map(|chain| RuleAttribute::Chain(chain.into())));
    dump(number, table, NfTablesMessage::GetRule(RuleMessage { attributes }))
}

fn dump(number: u32, table: Table, message: NfTablesMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit(&mut bytes, number, NLM_F_DUMP, nftables(table, message));
    bytes
}

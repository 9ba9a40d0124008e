//! nf_tables messages as bytes: batches out, answers in.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    nftables::{
        ChainAttribute, ChainMessage, DataAttribute, ExpressionAttribute, Expressions, Hook as HookAttribute,
        HookNumber, ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetElementAttribute,
        SetElementList, SetElementMessage, SetMessage, TableAttribute, TableMessage,
    },
    none::ControlMessage,
};

use super::{
    error::Lacking,
    ruleset::{Chain, Element, Owned, Owner, Part, Rule, Set, TABLE, expression::optional_name},
};

/// `NFNL_SUBSYS_NFTABLES`, which a batch names in its first and last message.
const NFTABLES: u16 = 10;
/// `NFTNL_UDATA_SET_ELEM_COMMENT` and `NFTNL_UDATA_RULE_COMMENT` of libnftnl.
const COMMENT: u8 = 0;

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
        let mut batch = Self { first, bytes: Vec::new(), last_flags: 0, purposes: Vec::new() };
        batch.emit(first, 0, control(ControlMessage::BatchBegin));
        batch
    }

    /// Makes a part, or puts back what is missing of it: sets are kept with what they hold, rules are made anew.
    pub(crate) fn make(&mut self, part: Part) {
        let table = TableMessage { attributes: vec![TableAttribute::Name(TABLE.into())] };
        self.base(NLM_F_CREATE, NfTablesMessage::NewTable(table), format!("add table inet {TABLE}"), vec![]);
        for set in part.sets() {
            let command = format!("add set inet {TABLE} {}", set.name);
            self.base(NLM_F_CREATE, new_set(set), command, vec![]);
        }
        let chains = part.chains();
        for chain in &chains {
            let lacking = chain.hook.iter().map(|hook| Lacking::ChainType(hook.chain_type.into())).collect();
            let command = format!("add chain inet {TABLE} {}", chain.name);
            self.base(NLM_F_CREATE, new_chain(chain), command, lacking);
            let rules = vec![RuleAttribute::Table(TABLE.into()), RuleAttribute::Chain(chain.name.clone())];
            let flush = NfTablesMessage::DeleteRule(RuleMessage { attributes: rules });
            self.base(0, flush, format!("flush chain inet {TABLE} {}", chain.name), vec![]);
        }
        for chain in chains {
            for Rule { text, expressions } in chain.rules {
                let lacking = expressions.iter().filter_map(optional_name);
                let lacking = lacking.map(|name| Lacking::Expression(name.into())).collect();
                let command = format!("add rule inet {TABLE} {} {text}", chain.name);
                self.base(NLM_F_CREATE | NLM_F_APPEND, new_rule(&chain.name, expressions), command, lacking);
            }
        }
    }

    /// Adds an element; the kernel answers EEXIST if its key is taken.
    pub(crate) fn add(&mut self, index: usize, Owned { element, owner }: &Owned) {
        let attributes = vec![key(element), SetElementAttribute::UserData(comment(owner.as_str()))];
        let message = NfTablesMessage::NewSetElement(of_set(element.set(), attributes));
        self.purpose(NLM_F_CREATE | NLM_F_EXCL, message, Purpose::Add(index));
    }

    /// Takes away whatever sits under the element's key; the kernel answers ENOENT if nothing does.
    pub(crate) fn delete(&mut self, index: usize, element: &Element) {
        let message = NfTablesMessage::DeleteSetElement(of_set(element.set(), vec![key(element)]));
        self.purpose(0, message, Purpose::Delete(index));
    }

    /// The bytes for one `send(2)`. The last message asks for an acknowledgement, whose number comes with them.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u32, Vec<Purpose>) {
        if let Some(flags) = self.bytes.get_mut(self.last_flags..self.last_flags + 2) {
            let asked = u16::from_ne_bytes([flags[0], flags[1]]) | NLM_F_ACK;
            flags.copy_from_slice(&asked.to_ne_bytes());
        }
        let last = self.next() - 1;
        self.emit(last + 1, 0, control(ControlMessage::BatchEnd));
        (self.bytes, last, self.purposes)
    }

    fn base(&mut self, flags: u16, message: NfTablesMessage, command: String, lacking: Vec<Lacking>) {
        self.purpose(flags, message, Purpose::Base { command, lacking });
    }

    fn purpose(&mut self, flags: u16, message: NfTablesMessage, purpose: Purpose) {
        const FLAGS_OFFSET: usize = 6; // in struct nlmsghdr
        self.last_flags = self.bytes.len() + FLAGS_OFFSET;
        self.emit(self.next(), flags, nftables(message));
        self.purposes.push(purpose);
    }

    /// The number of the next message; the batch's first message has `first`.
    fn next(&self) -> u32 {
        self.first + 1 + u32::try_from(self.purposes.len()).unwrap_or(u32::MAX)
    }

    fn emit(&mut self, number: u32, flags: u16, message: NetfilterMessage) {
        emit(&mut self.bytes, number, flags, message);
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

fn nftables(message: NfTablesMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0), message)
}

fn new_set(Set { name, key }: Set) -> NfTablesMessage {
    /// nft keeps the types of a concatenation side by side, 6 bits each.
    const TYPE_BITS: u32 = 6;
    let key_type = key.iter().fold(0, |all, kind| (all << TYPE_BITS) | kind.nft().1);
    let len = key.iter().map(|kind| kind.nft().2.next_multiple_of(4)).sum();
    NfTablesMessage::NewSet(SetMessage {
        attributes: vec![
            SetAttribute::Table(TABLE.into()),
            SetAttribute::Name(name),
            SetAttribute::KeyType(key_type),
            SetAttribute::KeyLen(len),
            SetAttribute::Id(1), // the kernel wants a number, we go by name
        ],
    })
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

fn new_rule(chain: &str, expressions: Vec<Expressions>) -> NfTablesMessage {
    NfTablesMessage::NewRule(RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.into()),
            RuleAttribute::Chain(chain.into()),
            RuleAttribute::Expressions(expressions.into_iter().map(ListAttribute::from).collect()),
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
fn comment(text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.len().min(127)];
    let mut bytes = vec![COMMENT, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}

/// Reads a comment from userdata.
fn read_comment(mut rest: &[u8]) -> Option<&str> {
    while let [kind, len, tail @ ..] = rest {
        let value = tail.get(..usize::from(*len))?;
        if *kind == COMMENT {
            return value.split(|byte| *byte == 0).next().and_then(|text| std::str::from_utf8(text).ok());
        }
        rest = &tail[usize::from(*len)..];
    }
    None
}

/// Asks for what sits under an element's key.
pub(crate) fn ask_element(bytes: &mut Vec<u8>, number: u32, element: &Element) {
    let message = NfTablesMessage::GetSetElement(of_set(element.set(), vec![key(element)]));
    emit(bytes, number, 0, nftables(message));
}

/// Asks for all elements of a set.
pub(crate) fn ask_elements(number: u32, set: &str) -> Vec<u8> {
    let attributes = vec![SetElementList::Table(TABLE.into()), SetElementList::Set(set.into())];
    dump(number, NfTablesMessage::GetSetElement(SetElementMessage { attributes }))
}

/// Asks for the sets of our table.
pub(crate) fn ask_sets(number: u32) -> Vec<u8> {
    dump(number, NfTablesMessage::GetSet(SetMessage { attributes: vec![SetAttribute::Table(TABLE.into())] }))
}

/// Asks for the rules of our table, or of one chain of it.
pub(crate) fn ask_rules(number: u32, chain: Option<&str>) -> Vec<u8> {
    let mut attributes = vec![RuleAttribute::Table(TABLE.into())];
    attributes.extend(chain.map(|chain| RuleAttribute::Chain(chain.into())));
    dump(number, NfTablesMessage::GetRule(RuleMessage { attributes }))
}

fn dump(number: u32, message: NfTablesMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit(&mut bytes, number, NLM_F_DUMP, nftables(message));
    bytes
}

/// What the kernel sent.
pub(crate) type Answer = NetlinkMessage<NetfilterMessage>;

/// Splits what one `recv(2)` brought into messages.
pub(crate) fn read(mut bytes: &[u8]) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let answer = Answer::deserialize(bytes).map_err(|error| error.to_string())?;
        let len = (answer.header.length as usize).next_multiple_of(4).min(bytes.len());
        bytes = &bytes[len.max(1)..];
        answers.push(answer);
    }
    Ok(answers)
}

/// The nf_tables message in an answer.
pub(crate) fn inner(answer: Answer) -> Option<NfTablesMessage> {
    match answer.payload {
        NetlinkPayload::InnerMessage(NetfilterMessage { inner: NetfilterMessageInner::NfTables(message), .. }) => {
            Some(message)
        }
        _ => None,
    }
}

/// The elements of ours in an answer.
pub(crate) fn elements(message: NfTablesMessage) -> Vec<Owned> {
    let NfTablesMessage::NewSetElement(SetElementMessage { attributes }) = message else { return vec![] };
    let mut set = String::new();
    let mut found = Vec::new();
    for attribute in attributes {
        match attribute {
            SetElementList::Set(name) => set = name,
            SetElementList::Elements(list) => found.extend(list.iter().filter_map(|element| owned(&set, element))),
            _ => {}
        }
    }
    found
}

fn owned(set: &str, element: &ListAttribute<SetElementAttribute>) -> Option<Owned> {
    let ListAttribute::Element(attributes) = element else { return None };
    let element = attributes.iter().find_map(|attribute| match attribute {
        SetElementAttribute::Key(DataAttribute::Value(key)) => Element::decode(set, key),
        _ => None,
    })?;
    let comment = attributes.iter().find_map(|attribute| match attribute {
        SetElementAttribute::UserData(bytes) => read_comment(bytes),
        _ => None,
    });
    Some(Owned { element, owner: Owner::from_comment(comment.unwrap_or_default()) })
}

/// (chain, expressions) of the rule in an answer.
pub(crate) fn rule(message: NfTablesMessage) -> Option<(String, Vec<Expressions>)> {
    let NfTablesMessage::NewRule(RuleMessage { attributes }) = message else { return None };
    let mut chain = None;
    let mut expressions = Vec::new();
    for attribute in attributes {
        match attribute {
            RuleAttribute::Chain(name) => chain = Some(name),
            RuleAttribute::Expressions(list) => expressions.extend(list.into_iter().filter_map(expression)),
            _ => {}
        }
    }
    Some((chain?, expressions))
}

fn expression(item: ListAttribute<ExpressionAttribute>) -> Option<Expressions> {
    let ListAttribute::Element(attributes) = item else { return None };
    let mut name = None;
    for attribute in attributes {
        match attribute {
            ExpressionAttribute::Data(expression) => return Some(expression),
            ExpressionAttribute::Name(text) => name = Some(text),
            _ => {}
        }
    }
    // The kernel leaves out the attributes of an expression that has none, as a plain masq.
    Some(Expressions::Other { expression_type: name?, attributes: vec![] })
}

/// Name of the set in an answer.
pub(crate) fn set_name(message: NfTablesMessage) -> Option<String> {
    let NfTablesMessage::NewSet(SetMessage { attributes }) = message else { return None };
    attributes.into_iter().find_map(|attribute| match attribute {
        SetAttribute::Name(name) => Some(name),
        _ => None,
    })
}

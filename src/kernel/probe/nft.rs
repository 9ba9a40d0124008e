//! nf_tables, its expressions and chain types, and connection tracking.

use netlink_packet_core::{DefaultNla, NLM_F_APPEND, NLM_F_CREATE, NlasIterator};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    conntrack::ConntrackMessage,
    nftables::{
        ChainAttribute, ChainMessage, ExpressionAttribute, Expressions, Hook, HookNumber, ListAttribute, Meta, MetaKey,
        NfTablesMessage, Register, RuleAttribute, RuleMessage, SetAttribute, SetMessage, TableAttribute, TableFlags,
        TableMessage,
    },
    none::ControlMessage,
};
use nix::errno::Errno;

use super::Answer;
use crate::{
    kernel::feature::NftFamily,
    sys::netlink::{Channel, Refusal},
};

/// The table and the chain that the questions are about. They never come to be.
const QUESTION: &str = "groundwork-question";

/// A part of nf_tables to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Expression(NftFamily, &'static str),
    Chain(NftFamily, &'static str),
}

impl Part {
    fn family(self) -> NftFamily {
        match self {
            Self::Expression(family, _) | Self::Chain(family, _) => family,
        }
    }
}

/// Whether nf_tables answers, and the names of the sets that the table `name` holds. The kernel loads nf_tables for it.
pub(super) fn sets(channel: &mut Channel, family: NftFamily, name: &str) -> (Answer, Vec<String>) {
    let message = NfTablesMessage::GetSet(SetMessage { attributes: vec![SetAttribute::Table(name.to_owned())] });
    match channel.dump(in_family(family, message), set_name) {
        Ok(names) => (Answer::Present, names.into_iter().flatten().collect()),
        Err(refusal) if refusal.errno == Errno::ENOENT => (Answer::Present, Vec::new()),
        Err(refusal) if refusal.errno == Errno::EINVAL => (Answer::Absent(Some(refusal)), Vec::new()),
        Err(refusal) => (Answer::Unknown(Some(refusal)), Vec::new()),
    }
}

/// The name in a NFT_MSG_NEWSET: `struct nfgenmsg`, then attributes.
fn set_name(payload: &[u8]) -> Option<String> {
    const HEADER: usize = 4;
    const NFTA_SET_NAME: u16 = 2;
    let mut attributes = NlasIterator::new(payload.get(HEADER..)?).map_while(Result::ok);
    let name = attributes.find(|attribute| attribute.kind() == NFTA_SET_NAME)?;
    Some(String::from_utf8_lossy(name.value().split(|byte| *byte == 0).next()?).into_owned())
}

/// Whether connection tracking answers over netlink. The kernel loads it for it.
pub(super) fn conntrack(channel: &mut Channel) -> Answer {
    const IPCTNL_MSG_CT_GET_STATS: u8 = 5;
    let message = ConntrackMessage::Other { message_type: IPCTNL_MSG_CT_GET_STATS, attributes: Vec::new() };
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    match channel.ask(NetfilterMessage::new(header, message), 0) {
        Ok(()) => Answer::Present,
        Err(refusal) if refusal.errno == Errno::EINVAL => Answer::Absent(Some(refusal)),
        Err(refusal) => Answer::Unknown(Some(refusal)),
    }
}

/// Which of `parts` the kernel knows, in their order, by one batch that is never committed: it has no end, and each of
/// its rules and base chains is wrong. The kernel looks names up, and loads what it lacks, before it sees the mistake.
pub(super) fn parts(channel: &mut Channel, parts: &[Part]) -> Vec<Answer> {
    let begin = NetfilterMessage::new(
        NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFNL_SUBSYS_NFTABLES),
        NetfilterMessageInner::None(ControlMessage::BatchBegin),
    );
    let mut batch = vec![(begin, 0)];
    for family in [NftFamily::Inet, NftFamily::Bridge] {
        if parts.iter().any(|part| part.family() == family) {
            batch.extend(stage(family));
        }
    }
    let stage_length = batch.len();
    batch.extend(parts.iter().map(|part| question(*part)));
    match channel.ask_all(batch) {
        Ok(verdicts) => {
            let whole = verdicts.iter().take(1).flatten().find_map(|begin| begin.clone().err());
            verdicts.into_iter().skip(stage_length).map(|verdict| answer(verdict, whole.as_ref())).collect()
        }
        Err(refusal) => vec![Answer::Unknown(Some(refusal)); parts.len()],
    }
}

const NFNL_SUBSYS_NFTABLES: u16 = 10;

/// A known name is refused for what is wrong with the rest (EINVAL, EOPNOTSUPP), an unknown one with ENOENT.
fn answer(verdict: Option<Result<(), Refusal>>, whole_batch: Option<&Refusal>) -> Answer {
    match (verdict, whole_batch) {
        (_, Some(refusal)) if refusal.errno == Errno::EOPNOTSUPP => Answer::Absent(Some(refusal.clone())),
        (_, Some(refusal)) => Answer::Unknown(Some(refusal.clone())),
        (Some(Err(refusal)), None) if refusal.errno == Errno::ENOENT => Answer::Absent(Some(refusal)),
        (Some(Err(refusal)), None) if matches!(refusal.errno, Errno::EINVAL | Errno::EOPNOTSUPP) => Answer::Present,
        (Some(Err(refusal)), None) => Answer::Unknown(Some(refusal)),
        (Some(Ok(())) | None, None) => Answer::Unknown(None),
    }
}

/// The dormant table and the chain in which the questions stand.
fn stage(family: NftFamily) -> [(NetfilterMessage, u16); 2] {
    let table = TableMessage {
        attributes: vec![TableAttribute::Name(QUESTION.to_owned()), TableAttribute::Flags(TableFlags::Dormant)],
    };
    let chain = ChainMessage {
        attributes: vec![ChainAttribute::Table(QUESTION.to_owned()), ChainAttribute::Name(QUESTION.to_owned())],
    };
    [
        (in_family(family, NfTablesMessage::NewTable(table)), NLM_F_CREATE),
        (in_family(family, NfTablesMessage::NewChain(chain)), NLM_F_CREATE),
    ]
}

fn question(part: Part) -> (NetfilterMessage, u16) {
    /// No family has that many hooks.
    const NO_HOOK: u32 = 31;
    /// A list holds elements (1) only.
    const NO_ELEMENT: u16 = 2;
    match part {
        Part::Expression(family, name) => {
            let mut expression = vec![ExpressionAttribute::Name(name.to_owned())];
            if name == "meta" {
                expression.push(ExpressionAttribute::Data(incoming_name()));
            }
            let mistake = ListAttribute::Other(DefaultNla::new(NO_ELEMENT, Vec::new()));
            let rule = RuleMessage {
                attributes: vec![
                    RuleAttribute::Table(QUESTION.to_owned()),
                    RuleAttribute::Chain(QUESTION.to_owned()),
                    RuleAttribute::Expressions(vec![ListAttribute::Element(expression), mistake]),
                ],
            };
            (in_family(family, NfTablesMessage::NewRule(rule)), NLM_F_CREATE | NLM_F_APPEND)
        }
        Part::Chain(family, name) => {
            let chain = ChainMessage {
                attributes: vec![
                    ChainAttribute::Table(QUESTION.to_owned()),
                    ChainAttribute::Name(name.to_owned()),
                    ChainAttribute::Hook(vec![Hook::Number(HookNumber::Other(NO_HOOK)), Hook::Priority(100)]),
                    ChainAttribute::Type(name.to_owned()),
                ],
            };
            (in_family(family, NfTablesMessage::NewChain(chain)), NLM_F_CREATE)
        }
    }
}

fn in_family(family: NftFamily, message: NfTablesMessage) -> NetfilterMessage {
    let family = match family {
        NftFamily::Inet => NetfilterProtoFamily::Inet,
        NftFamily::Bridge => NetfilterProtoFamily::Bridge,
    };
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

/// What `meta` is asked for. Its kind for bridges is looked for, and loaded, by a part of nf_tables that refuses a
/// `meta` without a key first (net/netfilter/nft_meta.c, `nft_meta_select_ops`).
fn incoming_name() -> Expressions {
    Expressions::Meta(vec![Meta::Key(MetaKey::Iifname), Meta::DestinationRegister(Register::Reg1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set of our table.
    const SET: [u8; 24] = *b"\x01\0\0\0\x08\0\x01\0tab\0\x0a\0\x02\0masq4\0\0\0";

    proptest::proptest! {
        #[test]
        fn no_set_is_too_strange(at in 0..SET.len(), to: u8, cut in 0..SET.len(), other: Vec<u8>) {
            proptest::prop_assert_eq!(set_name(&SET), Some("masq4".to_owned()));
            let mut bytes = SET;
            bytes[at] = to;
            for bytes in [&bytes[..], &bytes[..cut], &other] {
                set_name(bytes);
            }
        }
    }
}

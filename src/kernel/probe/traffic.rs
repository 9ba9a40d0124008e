//! Traffic control: queueing disciplines, actions and classifiers.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMessage, TcActionMessageAttribute, TcAttribute, TcHandle, TcMessage,
};
use nix::{
    errno::Errno,
    libc::{RTM_NEWACTION, RTM_NEWQDISC, RTM_NEWTFILTER},
};

use super::Answer;
use crate::sys::netlink::{Channel, Refusal, Routed};

const TCA_INGRESS_BLOCK: u16 = 13;

/// Asks for a queueing discipline on the loopback with ingress block 0, which no kernel grants: since 4.17 it is refused
/// with EINVAL, after the discipline was looked up (and loaded) and before it is set up. Nothing is left behind, also
/// for those that need no option.
pub(super) fn qdisc(channel: &mut Channel, kind: &str) -> Answer {
    let mut message = TcMessage::default();
    message.header.index = 1;
    message.header.parent = TcHandle::ROOT;
    message.attributes = vec![
        TcAttribute::Kind(kind.to_owned()),
        TcAttribute::Other(DefaultNla::new(TCA_INGRESS_BLOCK, 0u32.to_ne_bytes().to_vec())),
    ];
    answer(channel.ask(Routed(RTM_NEWQDISC, message), NLM_F_CREATE | NLM_F_EXCL))
}

/// Asks for an action without its parameters: refused with EINVAL after the action was looked up (and loaded).
/// For actions that cannot be without parameters, which mirred is.
pub(super) fn action(channel: &mut Channel, kind: &str) -> Answer {
    let mut message = TcActionMessage::default();
    let mut action = TcAction::default();
    action.attributes = vec![TcActionAttribute::Kind(kind.to_owned())];
    message.attributes = vec![TcActionMessageAttribute::Actions(vec![action])];
    answer(channel.ask(Routed(RTM_NEWACTION, message), NLM_F_CREATE | NLM_F_EXCL))
}

/// Asks for a filter in a block that no kernel has: refused with EINVAL, whether or not the classifier is there, after
/// it was looked up (and, since 5.1, loaded).
pub(super) fn classifier(channel: &mut Channel, kind: &str) -> Answer {
    /// `TCM_IFINDEX_MAGIC_BLOCK` (linux/rtnetlink.h): the filter is for a block, not for a link.
    const BLOCK: i32 = -1;
    let mut message = TcMessage::default();
    message.header.index = BLOCK;
    message.attributes = vec![TcAttribute::Kind(kind.to_owned())];
    answer(channel.ask(Routed(RTM_NEWTFILTER, message), NLM_F_CREATE | NLM_F_EXCL))
}

/// Unknown names are refused with ENOENT.
fn answer(verdict: Result<(), Refusal>) -> Answer {
    match verdict {
        Err(refusal) if refusal.errno == Errno::ENOENT => Answer::Absent(Some(refusal)),
        Err(refusal) if refusal.errno == Errno::EINVAL => Answer::Present,
        Err(refusal) => Answer::Unknown(Some(refusal)),
        Ok(()) => Answer::Present,
    }
}

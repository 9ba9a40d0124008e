//! Kinds of links.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NlasIterator};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use nix::{
    errno::Errno,
    libc::{RTM_GETLINK, RTM_NEWLINK},
};

use super::Answer;
use crate::sys::netlink::{Channel, First, Refusal, Routed};

/// Asks without loading anything and without any capability: dump the links of that kind. A kernel that has the kind
/// sends only those, possibly none; one that lacks it does not filter and sends others too, the loopback at least. The
/// first link tells, so that the answer costs the same among thousands.
///
/// No mask of extensions: for one, the kernel measures every link before it sends the first.
///
/// False beside the answer: the channel cannot be used again.
pub(super) fn passive(channel: &mut Channel, kind: &str) -> (Answer, bool) {
    match channel.first_of_dump(Routed(RTM_GETLINK, request(kind, None)), kind_of) {
        Ok(First::Nothing) => (Answer::Present, true),
        Ok(First::Object(found)) if found.as_deref() == Some(kind) => (Answer::Present, false),
        Ok(First::Object(_)) => (Answer::Absent(None), false),
        Err(refusal) => (Answer::Unknown(Some(refusal)), false),
    }
}

/// Asks in a way that makes the kernel load the module: create a link with no transmit queue at all, which it refuses
/// only once it knows the kind.
pub(super) fn active(channel: &mut Channel, kind: &str) -> Answer {
    let message = request(kind, Some(LinkAttribute::NumTxQueues(0)));
    match channel.ask(Routed(RTM_NEWLINK, message), NLM_F_CREATE | NLM_F_EXCL) {
        Err(refusal) if refusal.errno == Errno::EOPNOTSUPP && is_unknown_kind(&refusal) => {
            Answer::Absent(Some(refusal))
        }
        Err(refusal) if matches!(refusal.errno, Errno::EINVAL | Errno::EOPNOTSUPP) => Answer::Present,
        Err(refusal) => Answer::Unknown(Some(refusal)),
        Ok(()) => Answer::Present,
    }
}

/// Another attribute's EOPNOTSUPP looks the same but for the words, which every kernel since 4.14 has.
fn is_unknown_kind(refusal: &Refusal) -> bool {
    refusal.text.as_deref().is_none_or(|text| text.contains("Unknown device type"))
}

fn request(kind: &str, attribute: Option<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    let kind = InfoKind::Other(kind.to_owned());
    message.attributes = vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])];
    message.attributes.extend(attribute);
    message
}

/// The kind of the link in an RTM_NEWLINK: `struct ifinfomsg`, then attributes.
fn kind_of(payload: &[u8]) -> Option<String> {
    const HEADER: usize = 16;
    const IFLA_LINKINFO: u16 = 18;
    const IFLA_INFO_KIND: u16 = 1;
    let attributes = NlasIterator::new(payload.get(HEADER..)?);
    let info = attributes.map_while(Result::ok).find(|attribute| attribute.kind() == IFLA_LINKINFO)?;
    let kind = NlasIterator::new(info.value()).map_while(Result::ok).find(|nested| nested.kind() == IFLA_INFO_KIND)?;
    let name = kind.value().split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dummy, behind an attribute that does not matter.
    const DUMMY: [u8; 40] =
        *b"\0\0\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0\x08\0\x04\0\x01\0\0\0\x10\0\x12\0\x0a\0\x01\0dummy\0\0\0";

    proptest::proptest! {
        #[test]
        fn no_link_is_too_strange(at in 0..DUMMY.len(), to: u8, cut in 0..DUMMY.len(), other: Vec<u8>) {
            proptest::prop_assert_eq!(kind_of(&DUMMY), Some("dummy".to_owned()));
            let mut bytes = DUMMY;
            bytes[at] = to;
            for bytes in [&bytes[..], &bytes[..cut], &other] {
                kind_of(bytes);
            }
        }
    }
}

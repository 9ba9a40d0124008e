//! A netlink socket for requests that the kernel answers on the spot.

use std::collections::HashMap;

use netlink_packet_core::{
    Emitable, ErrorBuffer, ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, Parseable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::{errno::Errno, libc};

use super::{Refusal, extend_acks};

/// Room for one datagram of answers: the kernel fills at most 32 KiB.
const DATAGRAM: usize = 32 * 1024;

/// Room for the first answer to a dump: as much as is read the kernel gets ready next, which nobody will read.
const FIRST: usize = 8 * 1024;

/// The socket. The kernel works off a request inside `sendto(2)`, so no read ever waits.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Socket,
    datagram: Vec<u8>,
    sequence: u32,
    broken: Option<Errno>,
}

/// What the first answer to a dump was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum First<T> {
    /// There is nothing to dump.
    Nothing,
    /// The first object, as the caller's reader made of it.
    Object(T),
}

/// A message of rtnetlink: its type (`RTM_...`), and what follows the netlink header.
pub(crate) struct Routed<M>(pub(crate) u16, pub(crate) M);

impl<M: Emitable> NetlinkSerializable for Routed<M> {
    fn message_type(&self) -> u16 {
        self.0
    }

    fn buffer_len(&self) -> usize {
        self.1.buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        self.1.emit(buffer);
    }
}

impl Channel {
    /// Opens a socket of `protocol` (`NETLINK_ROUTE`, ...).
    pub(crate) fn open(protocol: isize) -> Result<Self, Errno> {
        let socket = Socket::new(protocol).map_err(errno)?;
        extend_acks(&socket).map_err(errno)?;
        Ok(Self { socket, datagram: Vec::with_capacity(DATAGRAM), sequence: 0, broken: None })
    }

    /// The kernel filters dumps by what the request's header names, and refuses what it does not know.
    pub(crate) fn check_strictly(self) -> Result<Self, Errno> {
        self.socket.set_netlink_get_strict_chk(true).map_err(errno)?;
        Ok(self)
    }

    /// Why the last request was not sent or not answered, if that is so: then no refusal is the kernel's.
    pub(crate) const fn broken(&self) -> Option<Errno> {
        self.broken
    }

    /// Sends one request and returns the kernel's verdict.
    pub(crate) fn ask<M: NetlinkSerializable>(&mut self, message: M, flags: u16) -> Result<(), Refusal> {
        let mut verdicts = self.ask_all(vec![(message, flags | NLM_F_ACK)])?;
        verdicts.pop().flatten().unwrap_or_else(|| Err(self.fail(Errno::EAGAIN)))
    }

    /// Sends requests in one datagram. One verdict each, None when the kernel gave none.
    #[allow(clippy::type_complexity)]
    pub(crate) fn ask_all<M: NetlinkSerializable>(
        &mut self,
        messages: Vec<(M, u16)>,
    ) -> Result<Vec<Option<Result<(), Refusal>>>, Refusal> {
        let first = self.sequence + 1;
        let mut bytes = Vec::new();
        let count = messages.len();
        for (message, flags) in messages {
            self.serialize(message, flags, &mut bytes);
        }
        self.send(&bytes)?;
        self.verdicts(first, count)
    }

    #[allow(clippy::type_complexity)]
    fn verdicts(&mut self, first: u32, count: usize) -> Result<Vec<Option<Result<(), Refusal>>>, Refusal> {
        let mut verdicts = HashMap::new();
        while verdicts.len() < count && self.receive()? {
            let asked = |packet: &NetlinkBuffer<&[u8]>| packet.sequence_number() >= first;
            for packet in packets(&self.datagram).filter(|one| one.message_type() == NLMSG_ERROR && asked(one)) {
                let Some(verdict) = verdict(&packet) else { continue };
                verdicts.entry(packet.sequence_number()).or_insert(verdict);
            }
        }
        Ok((first..).take(count).map(|sequence| verdicts.remove(&sequence)).collect())
    }

    /// Sends a request for one object.
    pub(crate) fn object<M: NetlinkSerializable, T>(
        &mut self,
        message: M,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<T, Refusal> {
        match self.first(message, 0, read)? {
            First::Object(object) => Ok(object),
            First::Nothing => Err(Errno::EBADMSG.into()),
        }
    }

    /// Sends a dump request and reads all answers.
    pub(crate) fn dump<M: NetlinkSerializable, T>(
        &mut self,
        message: M,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<Vec<T>, Refusal> {
        let mut bytes = Vec::new();
        self.serialize(message, NLM_F_DUMP, &mut bytes);
        self.send(&bytes)?;
        let mut objects = Vec::new();
        while self.receive()? {
            for packet in packets(&self.datagram) {
                match packet.message_type() {
                    NLMSG_DONE => return Ok(objects),
                    NLMSG_ERROR => return Err(refusal(&packet)),
                    _ => objects.push(read(packet.payload())),
                }
            }
        }
        Err(self.fail(Errno::EAGAIN))
    }

    /// Sends a dump request and reads its first answer. Unless that is [`First::Nothing`] the dump is not over, and this
    /// socket serves no more.
    pub(crate) fn first_of_dump<M: NetlinkSerializable, T>(
        &mut self,
        message: M,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<First<T>, Refusal> {
        self.first(message, NLM_F_DUMP, read)
    }

    fn first<M: NetlinkSerializable, T>(
        &mut self,
        message: M,
        flags: u16,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<First<T>, Refusal> {
        let mut bytes = Vec::new();
        self.serialize(message, flags, &mut bytes);
        self.send(&bytes)?;
        if flags & NLM_F_DUMP != 0 {
            self.datagram = Vec::with_capacity(FIRST);
        }
        if !self.receive()? {
            return Err(self.fail(Errno::EAGAIN));
        }
        match packets(&self.datagram).next() {
            None => Err(Errno::EBADMSG.into()),
            Some(packet) if packet.message_type() == NLMSG_DONE => Ok(First::Nothing),
            Some(packet) if packet.message_type() == NLMSG_ERROR => Err(refusal(&packet)),
            Some(packet) => Ok(First::Object(read(packet.payload()))),
        }
    }

    fn serialize<M: NetlinkSerializable>(&mut self, message: M, flags: u16, bytes: &mut Vec<u8>) {
        self.sequence += 1;
        serialize(message, flags, self.sequence, bytes);
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.broken = None;
        match self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fail(errno(error))),
        }
    }

    fn fail(&mut self, errno: Errno) -> Refusal {
        self.broken = Some(errno);
        errno.into()
    }

    /// Reads the next datagram; false when there is none.
    fn receive(&mut self) -> Result<bool, Refusal> {
        self.datagram.clear();
        match self.socket.recv(&mut self.datagram, libc::MSG_DONTWAIT) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(self.fail(errno(error))),
        }
    }
}

/// Appends a request.
pub(super) fn serialize<M: NetlinkSerializable>(message: M, flags: u16, sequence: u32, bytes: &mut Vec<u8>) {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let start = bytes.len();
    bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
    if let Some(room) = bytes.get_mut(start..) {
        message.serialize(room);
    }
}

pub(super) fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

pub(super) fn packets(mut datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let packet = NetlinkBuffer::new_checked(datagram).ok()?;
        let length = usize::try_from(packet.length()).ok()?.next_multiple_of(4);
        datagram = datagram.get(length..).unwrap_or_default();
        Some(packet)
    })
}

/// The refusal in a packet of type NLMSG_ERROR that answers a dump.
fn refusal(packet: &NetlinkBuffer<&[u8]>) -> Refusal {
    verdict(packet).and_then(Result::err).unwrap_or(Errno::EBADMSG.into())
}

/// The acknowledgement or refusal in a packet of type NLMSG_ERROR.
pub(super) fn verdict(packet: &NetlinkBuffer<&[u8]>) -> Option<Result<(), Refusal>> {
    let message = ErrorMessage::parse(&ErrorBuffer::new_checked(&packet.payload()).ok()?).ok()?;
    Some(Refusal::of(&message).map_or(Ok(()), Err))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A refusal with a text, and the end of a dump.
    fn datagram() -> Vec<u8> {
        let mut bytes = vec![52, 0, 0, 0, 2, 0, 0, 2, 9, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend((-95i32).to_ne_bytes());
        bytes.extend([0; 16]);
        bytes.extend([14, 0, 1, 0]);
        bytes.extend(b"some text\0\0\0");
        bytes.extend([20, 0, 0, 0, 3, 0, 2, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn packets_are_found_one_after_the_other() {
        let bytes = datagram();
        let found: Vec<_> = packets(&bytes).collect();
        assert_eq!(found.iter().map(NetlinkBuffer::message_type).collect::<Vec<_>>(), [NLMSG_ERROR, NLMSG_DONE]);
        let refusal = refusal(&found[0]);
        assert_eq!((refusal.errno, refusal.text.as_deref()), (Errno::EOPNOTSUPP, Some("some text")));
    }

    proptest::proptest! {
        #[test]
        fn no_datagram_is_too_strange(
            changes in proptest::collection::vec((0usize..80, proptest::num::u8::ANY), 0..4), cut in 0usize..80, other: Vec<u8>,
        ) {
            let mut bytes = datagram();
            for (at, to) in changes {
                let len = bytes.len();
                bytes[at % len] = to;
            }
            bytes.truncate(cut.max(1));
            for bytes in [&bytes, &other] {
                let found: Vec<_> = packets(bytes).take(1000).collect();
                proptest::prop_assert!(found.len() <= bytes.len() / 16, "{} packets in {} bytes", found.len(), bytes.len());
                found.iter().for_each(|packet| drop(refusal(packet)));
            }
        }
    }
}

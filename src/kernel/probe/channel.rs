//! A netlink socket for questions that the kernel answers on the spot.

use std::collections::HashMap;

use netlink_packet_core::{
    ErrorBuffer, ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, Parseable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::{errno::Errno, libc};

use crate::sys::netlink::{Refusal, extend_acks};

/// Room for one datagram of answers: the kernel fills at most 32 KiB.
const DATAGRAM: usize = 32 * 1024;

/// The socket. The kernel works off a request inside `sendto(2)`, so no read ever waits.
pub(super) struct Channel {
    socket: Socket,
    datagram: Vec<u8>,
    sequence: u32,
}

/// What the first answer to a dump was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum First<T> {
    /// There is nothing to dump.
    Nothing,
    /// The first object, as the caller's reader made of it.
    Object(T),
}

impl Channel {
    /// Opens a socket of `protocol` (`NETLINK_ROUTE`, ...).
    pub(super) fn open(protocol: isize) -> Result<Self, Errno> {
        let socket = Socket::new(protocol).map_err(errno)?;
        extend_acks(&socket).map_err(errno)?;
        Ok(Self { socket, datagram: Vec::with_capacity(DATAGRAM), sequence: 0 })
    }

    /// Sends one request and returns the kernel's verdict.
    pub(super) fn ask<M: NetlinkSerializable>(&mut self, message: M, flags: u16) -> Result<(), Refusal> {
        let mut verdicts = self.ask_all(vec![(message, flags | NLM_F_ACK)])?;
        verdicts.pop().flatten().unwrap_or(Err(Errno::EAGAIN.into()))
    }

    /// Sends requests in one datagram. One verdict each, None when the kernel gave none.
    #[allow(clippy::type_complexity)]
    pub(super) fn ask_all<M: NetlinkSerializable>(
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
        let mut verdicts = HashMap::new();
        while self.receive()? {
            for packet in packets(&self.datagram).filter(|packet| packet.message_type() == NLMSG_ERROR) {
                let Some(verdict) = verdict(&packet) else { continue };
                verdicts.entry(packet.sequence_number()).or_insert(verdict);
            }
        }
        Ok((first..).take(count).map(|sequence| verdicts.remove(&sequence)).collect())
    }

    /// Sends a dump request and reads all answers.
    pub(super) fn dump<M: NetlinkSerializable, T>(
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
        Err(Errno::EAGAIN.into())
    }

    /// Sends a dump request and reads its first answer. Unless that is [`First::Nothing`] the dump is not over, and this
    /// socket serves no more.
    pub(super) fn first_of_dump<M: NetlinkSerializable, T>(
        &mut self,
        message: M,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<First<T>, Refusal> {
        let mut bytes = Vec::new();
        self.serialize(message, NLM_F_DUMP, &mut bytes);
        self.send(&bytes)?;
        if !self.receive()? {
            return Err(Errno::EAGAIN.into());
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
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        if let Some(room) = bytes.get_mut(start..) {
            message.serialize(room);
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Refusal> {
        self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0).map_err(errno)?;
        Ok(())
    }

    /// Reads the next datagram; false when there is none.
    fn receive(&mut self) -> Result<bool, Refusal> {
        self.datagram.clear();
        match self.socket.recv(&mut self.datagram, libc::MSG_DONTWAIT) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(errno(error).into()),
        }
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

fn packets(mut datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
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
fn verdict(packet: &NetlinkBuffer<&[u8]>) -> Option<Result<(), Refusal>> {
    let message = ErrorMessage::parse(&ErrorBuffer::new_checked(&packet.payload()).ok()?).ok()?;
    Some(Refusal::of(&message).map_or(Ok(()), Err))
}

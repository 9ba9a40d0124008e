//! Netlink as bytes: messages, sockets, acknowledgements.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const EXCL: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;
const NESTED: u16 = 0x8000;
const ERROR: u16 = 2;

/// Messages for one send, each with a number of its own.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    number: u32,
    wanted: usize,
}

impl Batch {
    /// Adds a message: its fixed header and what `attributes` puts after it.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, header: &[u8], attributes: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.number += 1;
        self.wanted += usize::from(flags & ACK != 0);
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((REQUEST | flags).to_ne_bytes());
        self.bytes.extend(self.number.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(header);
        attributes(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

/// Appends an attribute.
pub(crate) fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    attribute(bytes, kind, |bytes| bytes.extend(value));
}

/// Appends an attribute with a text and its final zero.
pub(crate) fn put_text(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    attribute(bytes, kind, |bytes| {
        bytes.extend(text.as_bytes());
        bytes.push(0);
    });
}

/// Appends an attribute that holds attributes.
pub(crate) fn nest(bytes: &mut Vec<u8>, kind: u16, inner: impl FnOnce(&mut Vec<u8>)) {
    attribute(bytes, kind | NESTED, inner);
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, inner: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend(0_u16.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    inner(bytes);
    let length = u16::try_from(bytes.len() - start).unwrap_or(u16::MAX);
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// A netlink socket of the namespace it was opened in.
pub(crate) struct Socket(OwnedFd);

impl Socket {
    pub(crate) fn route() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkRoute)
    }

    pub(crate) fn netfilter() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkNetFilter)
    }

    fn open(protocol: SockProtocol) -> io::Result<Self> {
        Ok(Self(socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?))
    }

    /// Hears of changes of links, and waits at most some seconds for one.
    pub(crate) fn listen_to_links(&self) -> io::Result<()> {
        const LINKS: u32 = 1;
        setsockopt(&self.0, sockopt::ReceiveTimeout, &TimeVal::new(5, 0))?;
        Ok(bind(self.0.as_raw_fd(), &NetlinkAddr::new(0, LINKS))?)
    }

    /// Sends a batch and waits until each of its messages is acknowledged.
    pub(crate) fn send(&self, batch: &Batch) -> io::Result<()> {
        send(self.0.as_raw_fd(), &batch.bytes, MsgFlags::empty())?;
        let mut wanted = batch.wanted;
        while wanted > 0 {
            self.receive(|kind, body| {
                if kind == ERROR {
                    wanted -= 1;
                    let code = i32::from_ne_bytes(body.first_chunk().copied().unwrap_or_default());
                    if code != 0 {
                        return Err(io::Error::from_raw_os_error(-code));
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Reads once and shows the kind and body of each message that came.
    pub(crate) fn receive(&self, mut see: impl FnMut(u16, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut buffer = [0; 16384];
        let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..length];
        while let (Some(size), Some(kind)) = (rest.first_chunk(), rest.get(4..6)) {
            let size = (u32::from_ne_bytes(*size) as usize).clamp(16, rest.len());
            see(u16::from_ne_bytes([kind[0], kind[1]]), &rest[16..size])?;
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

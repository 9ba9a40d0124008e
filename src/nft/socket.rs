//! Transactions, and questions, over one netlink socket.

mod flows;
mod gates;
mod questions;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::{
    errno::Errno,
    libc::MSG_DONTWAIT,
    sys::socket::{setsockopt, sockopt},
};

use super::{
    error::{Error, Result},
    ruleset::{Element, Owned, Part, PortName, TABLE},
    wire::{self, Answer, Batch, Content, Purpose},
};
use crate::sys::netlink::{Refusal, extend_acks};

/// How often a transaction is tried while other programs change what it is about.
const ATTEMPTS: usize = 10;
/// Messages in a transaction that certainly fit, with the kernel's answers, into a socket's usual buffers.
const FIT: usize = 100;
/// Buffers of a transaction with more: 10,000 elements and as many answers.
const LARGE: usize = 32 << 20;
/// Of one `recv(2)`: the kernel fills at most 32 KiB in a dump.
const RECEIVE: usize = 32 << 10;

/// Whether the rules that some elements need are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// None of them.
    Absent,
    /// All, as this version makes them.
    Current,
    /// Some are missing or differ: an older version made them, or somebody changed them.
    Outdated,
}

/// A netlink socket for nf_tables, in the network namespace of the thread that opened it.
///
/// Closing it waits for the kernel to free what was deleted, 7 to 15 ms: drop it last.
#[derive(Debug)]
pub struct Nft {
    socket: Socket,
    number: u32,
    buffer: Vec<u8>,
}

impl Nft {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(Error::Open)?;
        socket.bind(&SocketAddr::new(0, 0)).map_err(Error::Open)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(Error::Open)?;
        extend_acks(&socket).map_err(Error::Open)?;
        Ok(Self { socket, number: 0, buffer: Vec::with_capacity(RECEIVE) })
    }

    /// As [`Nft::open`]; None when the kernel has no nfnetlink, and so holds nothing of nf_tables.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn existing() -> Result<Option<Self>> {
        match Self::open() {
            Err(Error::Open(error)) if error.raw_os_error() == Some(Errno::EPROTONOSUPPORT as i32) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Adds elements, and the rules that look at them where those are missing or differ, in one transaction.
    ///
    /// What another owner left under an element's key is replaced, since an address has one owner at a time: of two
    /// containers with one address, in networks that do not know of each other, the later one is masqueraded as its
    /// own network asks, and when it goes the other is not until it is added again. But a host port is whoever's it was
    /// first: when two ask for it at once, exactly one gets it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] names what the kernel lacks, [`Error::Taken`] whose the port is. Nothing was changed then.
    pub fn add(&mut self, elements: &[Owned]) -> Result<()> {
        self.add_with(&parts(elements.iter().map(|owned| &owned.element)), elements)
    }

    /// As [`Nft::add`], of these parts of the rules, be there an element or not.
    ///
    /// # Errors
    /// As [`Nft::add`].
    pub fn add_with(&mut self, parts: &[Part], elements: &[Owned]) -> Result<()> {
        let mut found: Vec<Option<Owned>> = vec![None; elements.len()]; // so it is nearly always
        for _ in 0..ATTEMPTS {
            let rules = self.rules(parts)?;
            let mut batch = Batch::new(self.number);
            parts.iter().filter(|part| !rules.hold(**part)).for_each(|part| batch.make(*part));
            for (index, (owned, found)) in elements.iter().zip(&found).enumerate() {
                match found {
                    Some(found) if owned.is_served_by(found) || owned.element.is_shared() => continue,
                    Some(found) if owned.element.is_kept() && found.owner != owned.owner => {
                        return Err(Error::Taken { port: PortName(owned.element), owner: found.owner.clone() });
                    }
                    Some(found) => batch.delete(index, &found.element),
                    None => {}
                }
                batch.add(index, owned);
            }
            if self.commit(batch, elements, "add")? {
                return Ok(());
            }
            found = self.find(elements.iter().map(|owned| &owned.element))?;
        }
        Err(Error::Contended { tried: "add elements".into() })
    }

    /// Takes away an attachment's elements that are there; what is missing, another's or shared is left alone.
    ///
    /// # Errors
    /// Nothing was changed then.
    pub fn delete(&mut self, elements: &[Owned]) -> Result<()> {
        let own: Vec<_> = elements.iter().filter(|owned| !owned.element.is_shared()).cloned().collect();
        self.delete_all(&own)
    }

    /// Takes away those shared elements that `unused` names: no record of their network has them. An ADD writes its
    /// record before it calls [`Nft::add`]: so if one comes between, the ruleset changes, and the kernel refuses.
    ///
    /// # Errors
    /// Nothing was changed then.
    pub fn delete_shared(&mut self, unused: impl Fn() -> Vec<Owned>) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let generation = self.generation()?;
            let elements = unused();
            let found = self.find(elements.iter().map(|owned| &owned.element))?;
            let mut batch = Batch::of_generation(self.number, generation);
            for (index, (owned, found)) in elements.iter().zip(found).enumerate() {
                if owned.element.is_shared() && found.is_some_and(|found| found.owner == owned.owner) {
                    batch.delete(index, &owned.element);
                }
            }
            if self.commit(batch, &elements, "delete")? {
                return Ok(());
            }
        }
        Err(Error::Contended { tried: "delete shared elements".into() })
    }

    fn delete_all(&mut self, elements: &[Owned]) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let found = self.find(elements.iter().map(|owned| &owned.element))?;
            let mut batch = Batch::new(self.number);
            for (index, (owned, found)) in elements.iter().zip(found).enumerate() {
                if found.is_some_and(|found| found.owner == owned.owner) {
                    batch.delete(index, &owned.element);
                }
            }
            if self.commit(batch, elements, "delete")? {
                return Ok(());
            }
        }
        Err(Error::Contended { tried: "delete elements".into() })
    }

    /// Commits a batch; false if the elements are not as they were thought to be, so that nothing was changed.
    fn commit(&mut self, batch: Batch, elements: &[Owned], verb: &str) -> Result<bool> {
        let (bytes, last, purposes) = batch.finish();
        if purposes.is_empty() {
            return Ok(true);
        }
        let first = self.number;
        self.number = last.wrapping_add(2);
        if purposes.len() > FIT {
            // Where this fails the kernel refuses the batch or drops answers, and that is the error.
            let _ = setsockopt(&self.socket, sockopt::SndBufForce, &LARGE);
            let _ = setsockopt(&self.socket, sockopt::RcvBufForce, &LARGE);
        }
        self.send(&bytes, "send a transaction")?;
        let failures = self.outcome(first, last)?;
        for (index, refusal) in &failures {
            match (index.and_then(|index| purposes.get(index)), refusal.errno) {
                (Some(Purpose::Add(_)), Errno::EEXIST | Errno::ENOENT) => {}
                (Some(Purpose::Delete(_)), Errno::ENOENT) | (None, Errno::ERESTART) => {}
                (purpose, _) => return Err(refused(purpose, refusal.clone(), elements, verb)),
            }
        }
        Ok(failures.is_empty())
    }

    /// What failed of a transaction, by the index of the message; None is the transaction as a whole.
    ///
    /// The kernel has done all before send(2) returned: what it has to say is there, the last message's at the end.
    fn outcome(&mut self, first: u32, last: u32) -> Result<Vec<(Option<usize>, Refusal)>> {
        let mut failures = Vec::new();
        loop {
            let answers = match self.receive(MSG_DONTWAIT, "read a transaction's outcome") {
                Err(Error::Socket { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => break,
                other => other?,
            };
            for answer in answers {
                match (answer.content, slot(answer.number, first)) {
                    (Content::Refused(refusal), Some(index)) => failures.push((index.checked_sub(1), refusal)),
                    (Content::Acknowledged, _) if answer.number == last => return Ok(failures),
                    _ => {}
                }
            }
        }
        if failures.is_empty() {
            let reason = "neither an error nor an acknowledgement".into();
            return Err(Error::Unreadable { tried: "a transaction".into(), reason });
        }
        Ok(failures)
    }

    fn send(&self, bytes: &[u8], tried: &str) -> Result<()> {
        match self.socket.send(bytes, 0) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::Socket { tried: tried.into(), source }),
        }
    }

    fn receive(&mut self, flags: i32, tried: &str) -> Result<Vec<Answer<'_>>> {
        self.buffer.clear();
        self.socket.recv(&mut self.buffer, flags).map_err(|source| Error::Socket { tried: tried.into(), source })?;
        wire::read(&self.buffer).map_err(|reason| Error::Unreadable { tried: tried.into(), reason })
    }

    fn next(&mut self) -> u32 {
        let number = self.number;
        self.number = number.wrapping_add(1);
        number
    }
}

impl AsFd for Nft {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The index of a message among those numbered from `first`.
fn slot(number: u32, first: u32) -> Option<usize> {
    usize::try_from(number.checked_sub(first)?).ok()
}

/// The parts that elements need, each once.
fn parts<'a>(elements: impl IntoIterator<Item = &'a Element>) -> Vec<Part> {
    let mut parts: Vec<_> = elements.into_iter().map(Element::part).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}

/// The error of a message that failed.
fn refused(purpose: Option<&Purpose>, refusal: Refusal, elements: &[Owned], verb: &str) -> Error {
    match purpose {
        Some(Purpose::Base { command, lacking }) if refusal.errno == Errno::ENOENT && !lacking.is_empty() => {
            Error::Unsupported { lacking: lacking.clone(), needed_by: format!("nft {command}"), refusal }
        }
        Some(Purpose::Base { command, .. }) => Error::Refused { tried: format!("nft {command}"), refusal },
        Some(Purpose::Add(index) | Purpose::Delete(index)) => {
            let element = elements.get(*index).map(|Owned { element, .. }| {
                let table = element.part().table();
                format!("nft {verb} element {table} {TABLE} {} {{ {element} }}", element.set())
            });
            Error::Refused { tried: element.unwrap_or_default(), refusal }
        }
        None => Error::Refused { tried: "nft (the transaction as a whole)".into(), refusal },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::error::Lacking;

    #[test]
    fn what_the_kernel_lacks_is_told_from_what_is_not_there() {
        let purpose = |lacking| Purpose::Base { command: "add rule inet groundwork c masquerade".into(), lacking };
        let error = |purpose, errno: Errno| refused(Some(&purpose), errno.into(), &[], "add");
        let lacking = vec![Lacking::Expression("masq")];
        assert!(
            matches!(error(purpose(lacking.clone()), Errno::ENOENT), Error::Unsupported { lacking: said, .. } if said == lacking)
        );
        assert!(matches!(error(purpose(lacking), Errno::EINVAL), Error::Refused { .. }));
        assert!(matches!(error(purpose(vec![]), Errno::ENOENT), Error::Refused { .. }));
        assert!(matches!(error(Purpose::Add(0), Errno::ENOENT), Error::Refused { .. }));
    }
}

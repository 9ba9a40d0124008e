//! Transactions and questions over one netlink socket.

use std::{collections::HashMap, io};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_netfilter::nftables::{Expressions, NfTablesMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::{
    errno::Errno,
    libc::MSG_DONTWAIT,
    sys::socket::{setsockopt, sockopt},
};

use super::{
    error::{Error, Result},
    ruleset::{Element, Owned, Part, expression},
    wire::{self, Batch, Purpose},
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

/// Errors of one transaction, by the index of the message; None is the whole batch.
type Failures = Vec<(Option<usize>, Refusal)>;

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
    /// What another owner left under an element's key is replaced: who may have a key is not decided here.
    ///
    /// # Errors
    /// [`Error::Unsupported`] names what the kernel lacks. Nothing was changed then.
    pub fn add(&mut self, elements: &[Owned]) -> Result<()> {
        let mut taken = vec![false; elements.len()];
        for _ in 0..ATTEMPTS {
            let lacking = self.lacking(&parts(elements.iter().map(|owned| &owned.element)))?;
            let mut batch = Batch::new(self.number);
            lacking.into_iter().for_each(|part| batch.make(part));
            for (index, owned) in elements.iter().enumerate() {
                if taken[index] {
                    batch.delete(index, &owned.element);
                }
                batch.add(index, owned);
            }
            let (failures, purposes) = self.transact(batch)?;
            if failures.is_empty() {
                return Ok(());
            }
            for (message, refusal) in failures {
                match (message.and_then(|index| purposes.get(index)), refusal.errno) {
                    (Some(Purpose::Add(index)), Errno::EEXIST) => taken[*index] = true,
                    (Some(Purpose::Delete(index)), Errno::ENOENT) => taken[*index] = false,
                    (Some(Purpose::Add(_)), Errno::ENOENT) => {} // the rules went since we looked
                    (purpose, _) => return Err(refused(purpose, refusal, elements, "add")),
                }
            }
        }
        Err(Error::Contended { tried: "add elements".into() })
    }

    /// Takes away the elements that are there and have this owner; what is missing or another's is left alone.
    ///
    /// # Errors
    /// Nothing was changed then.
    pub fn delete(&mut self, elements: &[Owned]) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let present = self.find(elements.iter().map(|owned| &owned.element))?;
            let mut batch = Batch::new(self.number);
            let mut any = false;
            for (index, (wanted, found)) in elements.iter().zip(present).enumerate() {
                if found.is_some_and(|found| found.owner == wanted.owner) {
                    batch.delete(index, &wanted.element);
                    any = true;
                }
            }
            if !any {
                return Ok(());
            }
            let (failures, purposes) = self.transact(batch)?;
            if failures.is_empty() {
                return Ok(());
            }
            for (message, refusal) in failures {
                match (message.and_then(|index| purposes.get(index)), refusal.errno) {
                    (Some(Purpose::Delete(_)), Errno::ENOENT) => {} // somebody was faster
                    (purpose, _) => return Err(refused(purpose, refusal, elements, "delete")),
                }
            }
        }
        Err(Error::Contended { tried: "delete elements".into() })
    }

    /// Whether the element is there and this owner's.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn contains(&mut self, owned: &Owned) -> Result<bool> {
        Ok(self.find([&owned.element])?.into_iter().flatten().any(|found| found == *owned))
    }

    /// What sits under each element's key: the same element, or one with other data, and whose it is.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn find<'a>(&mut self, elements: impl IntoIterator<Item = &'a Element>) -> Result<Vec<Option<Owned>>> {
        let mut request = Vec::new();
        let mut found = Vec::new();
        let first = self.number;
        for element in elements {
            wire::ask_element(&mut request, self.next(), element);
            found.push(None);
        }
        let mut open = found.len();
        if open > 0 {
            self.send(&request, "find elements")?;
        }
        while open > 0 {
            for answer in self.receive(0, "find elements")? {
                let Some(slot) = slot(answer.header.sequence_number, first).and_then(|index| found.get_mut(index))
                else {
                    continue;
                };
                open -= 1;
                match &answer.payload {
                    NetlinkPayload::Error(message) => match Refusal::of(message) {
                        Some(refusal) if refusal.errno != Errno::ENOENT => {
                            return Err(Error::Refused { tried: "find elements".into(), refusal });
                        }
                        _ => {}
                    },
                    _ => *slot = wire::inner(answer).and_then(|message| wire::elements(message).pop()),
                }
            }
        }
        Ok(found)
    }

    /// All elements of ours, whoever added them.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn list(&mut self) -> Result<Vec<Owned>> {
        let number = self.next();
        let sets = self.dump(&wire::ask_sets(number), number, "list sets")?;
        let mut elements = Vec::new();
        for set in sets.into_iter().filter_map(wire::set_name) {
            let number = self.next();
            let found = self.dump(&wire::ask_elements(number, &set), number, "list elements")?;
            elements.extend(found.into_iter().flat_map(wire::elements));
        }
        Ok(elements)
    }

    /// Whether the rules that these elements need are there, word for word.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn base<'a>(&mut self, elements: impl IntoIterator<Item = &'a Element>) -> Result<Base> {
        let needed = parts(elements);
        let rules = self.rules(&needed)?;
        Ok(match needed.iter().filter(|part| !is_current(**part, &rules)).count() {
            0 => Base::Current,
            _ if rules.is_empty() => Base::Absent,
            _ => Base::Outdated,
        })
    }

    /// Which of these parts are missing or differ.
    fn lacking(&mut self, parts: &[Part]) -> Result<Vec<Part>> {
        let rules = self.rules(parts)?;
        Ok(parts.iter().copied().filter(|part| !is_current(*part, &rules)).collect())
    }

    /// The rules of our table, by chain; only those of one chain when that is all it takes.
    fn rules(&mut self, parts: &[Part]) -> Result<HashMap<String, Vec<Vec<Expressions>>>> {
        let chains: Vec<_> = parts.iter().flat_map(|part| part.chains()).map(|chain| chain.name).collect();
        let number = self.next();
        let request = match &*chains {
            [] => return Ok(HashMap::new()),
            [chain] => wire::ask_rules(number, Some(chain)),
            _ => wire::ask_rules(number, None),
        };
        let mut rules: HashMap<_, Vec<_>> = HashMap::new();
        for (chain, expressions) in self.dump(&request, number, "list rules")?.into_iter().filter_map(wire::rule) {
            rules.entry(chain).or_default().push(expressions);
        }
        Ok(rules)
    }

    /// Sends a batch and collects what failed.
    fn transact(&mut self, batch: Batch) -> Result<(Failures, Vec<Purpose>)> {
        let (bytes, last, purposes) = batch.finish();
        let first = self.number;
        self.number = last.wrapping_add(2);
        if purposes.len() > FIT {
            // Without them the kernel refuses the batch (ENOBUFS, EMSGSIZE) or drops answers: that is an error then.
            let _ = setsockopt(&self.socket, sockopt::SndBufForce, &LARGE);
            let _ = setsockopt(&self.socket, sockopt::RcvBufForce, &LARGE);
        }
        self.send(&bytes, "send a transaction")?;
        let mut failures = Vec::new();
        // The kernel has done all before send(2) returned: what it has to say is there, the last message's at the end.
        loop {
            let answers = match self.receive(MSG_DONTWAIT, "read a transaction's outcome") {
                Err(Error::Socket { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => break,
                other => other?,
            };
            for answer in answers {
                let NetlinkPayload::Error(message) = &answer.payload else { continue };
                let number = answer.header.sequence_number;
                match (Refusal::of(message), slot(number, first)) {
                    (Some(refusal), Some(index)) => failures.push((index.checked_sub(1), refusal)),
                    (None, _) if number == last => return Ok((failures, purposes)),
                    _ => {}
                }
            }
        }
        if failures.is_empty() {
            let reason = "neither an error nor an acknowledgement".into();
            return Err(Error::Unreadable { tried: "a transaction".into(), reason });
        }
        Ok((failures, purposes))
    }

    /// Asks for a list. A table or set that is not there is an empty list.
    fn dump(&mut self, request: &[u8], number: u32, tried: &str) -> Result<Vec<NfTablesMessage>> {
        /// `NLM_F_DUMP_INTR`: the list changed while the kernel told it.
        const INTERRUPTED: u16 = 0x10;
        'again: for _ in 0..ATTEMPTS {
            self.send(request, tried)?;
            let mut found = Vec::new();
            let mut interrupted = false;
            loop {
                for answer in self.receive(0, tried)? {
                    if answer.header.sequence_number != number {
                        continue;
                    }
                    interrupted |= answer.header.flags & INTERRUPTED != 0;
                    match &answer.payload {
                        NetlinkPayload::Done(_) if interrupted => continue 'again,
                        NetlinkPayload::Done(_) => return Ok(found),
                        NetlinkPayload::Error(message) => match Refusal::of(message) {
                            Some(refusal) if refusal.errno != Errno::ENOENT => {
                                return Err(Error::Refused { tried: tried.into(), refusal });
                            }
                            _ => return Ok(found),
                        },
                        _ => found.extend(wire::inner(answer)),
                    }
                }
            }
        }
        Err(Error::Contended { tried: tried.into() })
    }

    fn send(&self, bytes: &[u8], tried: &str) -> Result<()> {
        match self.socket.send(bytes, 0) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::Socket { tried: tried.into(), source }),
        }
    }

    fn receive(&mut self, flags: i32, tried: &str) -> Result<Vec<wire::Answer>> {
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

fn is_current(part: Part, rules: &HashMap<String, Vec<Vec<Expressions>>>) -> bool {
    part.chains().iter().all(|chain| {
        let found = rules.get(&chain.name).map_or(&[][..], Vec::as_slice);
        found.len() == chain.rules.len()
            && chain.rules.iter().zip(found).all(|(rule, found)| {
                rule.expressions.len() == found.len()
                    && rule.expressions.iter().zip(found).all(|(ours, found)| expression::same(ours, found))
            })
    })
}

/// The error of a message that failed.
fn refused(purpose: Option<&Purpose>, refusal: Refusal, elements: &[Owned], verb: &str) -> Error {
    match purpose {
        Some(Purpose::Base { command, lacking }) if refusal.errno == Errno::ENOENT && !lacking.is_empty() => {
            Error::Unsupported { lacking: lacking.clone(), needed_by: format!("nft {command}"), refusal }
        }
        Some(Purpose::Base { command, .. }) => Error::Refused { tried: format!("nft {command}"), refusal },
        Some(Purpose::Add(index) | Purpose::Delete(index)) => {
            let element = elements.get(*index).map(|owned| format!("{} {{ {} }}", owned.element.set(), owned.element));
            let tried = format!("nft {verb} element inet groundwork {}", element.unwrap_or_default());
            Error::Refused { tried, refusal }
        }
        None => Error::Refused { tried: "nft (the transaction as a whole)".into(), refusal },
    }
}

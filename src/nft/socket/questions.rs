//! What the kernel holds of ours. Nothing is changed by asking.

use nix::errno::Errno;

use super::{ATTEMPTS, Base, FIT, Nft, parts, slot};
use crate::nft::{
    error::{Error, Result},
    ruleset::{Element, Owned, Part, Table},
    wire::{self, Content, Rules},
};

/// How often nothing new has to come before a list counts as whole.
const QUIET: usize = 2;

/// What is tried, for errors.
const FIND: &str = "find elements";

impl Nft {
    /// Whether the element is there and this owner's.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn contains(&mut self, owned: &Owned) -> Result<bool> {
        Ok(self.find([&owned.element])?.into_iter().flatten().any(|found| owned.is_served_by(&found)))
    }

    /// What sits under each element's key: the same element, or one with other data, and whose it is.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn find<'a>(&mut self, elements: impl IntoIterator<Item = &'a Element>) -> Result<Vec<Option<Owned>>> {
        let elements: Vec<_> = elements.into_iter().collect();
        let mut found = Vec::with_capacity(elements.len());
        for some in elements.chunks(FIT) {
            found.extend(self.find_some(some)?);
        }
        Ok(found)
    }

    /// As [`Nft::find`], of as many as fit into a socket's buffers.
    fn find_some(&mut self, elements: &[&Element]) -> Result<Vec<Option<Owned>>> {
        let first = self.number;
        let (mut request, mut found) = (Vec::new(), vec![None; elements.len()]);
        for element in elements {
            wire::ask_element(&mut request, self.next(), element);
        }
        self.send(&request, FIND)?;
        match self.found(first, &mut found) {
            // A key that does not fit its set, or no nf_tables at all.
            Err(Error::Refused { refusal, .. }) if refusal.errno == Errno::EINVAL && self.is_absent() => Ok(found),
            read => read.map(|()| found),
        }
    }

    /// Reads the answers to the questions that are numbered from `first`.
    fn found(&mut self, first: u32, found: &mut [Option<Owned>]) -> Result<()> {
        let mut open = found.len();
        let mut refused = None;
        while open > 0 {
            for answer in self.receive(0, FIND)? {
                let index = slot(answer.number, first);
                let Some(slot) = index.and_then(|index| found.get_mut(index)) else { continue };
                open -= 1;
                match answer.content {
                    Content::Object(object) => *slot = wire::element(object).next(),
                    Content::Refused(refusal) if refusal.errno != Errno::ENOENT => refused = Some(refusal),
                    _ => {}
                }
            }
        }
        refused.map_or(Ok(()), |refusal| Err(Error::Refused { tried: FIND.into(), refusal }))
    }

    /// Whether the kernel has no nf_tables.
    fn is_absent(&mut self) -> bool {
        matches!(
            self.objects(|number| wire::ask_sets(number, Table::Inet), "list sets", |_| vec![()]),
            Err(Error::Absent(_))
        )
    }

    /// All elements of ours, whoever added them, in order. What comes or goes meanwhile may be among them or not.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn list(&mut self) -> Result<Vec<Owned>> {
        let mut elements = Vec::new();
        for table in [Table::Inet, Table::Bridge] {
            let ask = |number| wire::ask_sets(number, table);
            let sets = match self.list_all(ask, "list sets", |set| wire::set_name(set).into_iter().collect()) {
                Err(Error::Absent(_)) => continue,
                sets => sets?,
            };
            for set in sets {
                let ask = |number| wire::ask_elements(number, table, &set);
                elements.extend(self.list_all(ask, "list elements", |object| wire::element(object).collect())?);
            }
        }
        elements.sort_unstable();
        Ok(elements)
    }

    /// The elements of one set, in order. A set that is not there has none. What comes or goes meanwhile may be among them
    /// or not, and one that stays may be missed then (see [`Nft::list`]): for whoever asks again.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn elements_of(&mut self, table: Table, set: &str) -> Result<Vec<Owned>> {
        let ask = |number| wire::ask_elements(number, table, set);
        let mut elements = match self.settled(ask, "list elements", |object| wire::element(object).collect()) {
            Err(Error::Absent(_)) => Vec::new(),
            elements => elements?,
        };
        elements.sort_unstable();
        Ok(elements)
    }

    /// Whether the rules that these elements need are there, word for word.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn base<'a>(&mut self, elements: impl IntoIterator<Item = &'a Element>) -> Result<Base> {
        self.base_of(&parts(elements))
    }

    /// Whether these parts of the rules are there, word for word.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn base_of(&mut self, parts: &[Part]) -> Result<Base> {
        let rules = match self.rules(parts) {
            Err(Error::Absent(_)) => Rules::default(),
            rules => rules?,
        };
        Ok(if parts.iter().all(|part| rules.hold(*part)) {
            Base::Current
        } else if parts.iter().any(|part| rules.hold_any(*part)) {
            Base::Outdated
        } else {
            Base::Absent
        })
    }

    /// The rules of the tables that parts are in; of a table only those of one chain when that is all it takes.
    pub(super) fn rules(&mut self, parts: &[Part]) -> Result<Rules> {
        let mut rules = Rules::default();
        for table in [Table::Inet, Table::Bridge] {
            let chains: Vec<_> =
                parts.iter().filter(|part| part.table() == table).flat_map(|part| part.chain_names()).collect();
            let chain = match &*chains {
                [] => continue,
                [chain] => Some(&**chain),
                _ => None,
            };
            rules.extend(table, self.rules_of(table, chain)?);
        }
        Ok(rules)
    }

    fn rules_of(&mut self, table: Table, chain: Option<&str>) -> Result<Vec<(String, Vec<u8>)>> {
        let ask = |number| wire::ask_rules(number, table, chain);
        self.settled(ask, "list rules", |object| wire::rule(object).into_iter().collect())
    }

    /// Asks for a list of chains or rules, if need be until it does not change meanwhile, within reason: every change of
    /// an element counts, hardly one is of rules; at worst they are made once more.
    pub(super) fn settled<T>(
        &mut self,
        ask: impl Fn(u32) -> Vec<u8>,
        tried: &str,
        read: impl Fn(&[u8]) -> Vec<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        for _ in 0..ATTEMPTS {
            let list = self.objects(&ask, tried, &read)?;
            found = list.found;
            if !list.interrupted {
                break;
            }
        }
        Ok(found)
    }

    /// Asks for a list of sets or elements, until asking twice more brings nothing new.
    ///
    /// The kernel tells a long list in pieces, and goes by how many it told already. An element that is freed between
    /// two pieces, which may be long after it was deleted, hides one that stays, and no flag says so.
    fn list_all<T: Ord>(
        &mut self,
        ask: impl Fn(u32) -> Vec<u8>,
        tried: &str,
        read: impl Fn(&[u8]) -> Vec<T>,
    ) -> Result<Vec<T>> {
        let (mut all, mut quiet) = (Vec::new(), 0);
        for _ in 0..ATTEMPTS {
            let before = all.len();
            let list = self.objects(&ask, tried, &read)?;
            all.extend(list.found);
            all.sort_unstable();
            all.dedup();
            quiet = if all.len() == before { quiet + 1 } else { 0 };
            if list.pieces <= 1 || quiet == QUIET {
                break;
            }
        }
        Ok(all)
    }

    /// Asks for a list of nf_tables' own.
    fn objects<T>(
        &mut self,
        ask: impl Fn(u32) -> Vec<u8>,
        tried: &str,
        read: impl Fn(&[u8]) -> Vec<T>,
    ) -> Result<List<T>> {
        self.dump(ask, tried, read).map_err(|error| match error {
            // Nobody answers for it: it has nothing to object to itself.
            Error::Refused { refusal, .. } if refusal.errno == Errno::EINVAL => Error::Absent(refusal),
            other => other,
        })
    }

    /// Asks for a list. Of a table or set that is not there it is empty.
    pub(super) fn dump<T>(
        &mut self,
        ask: impl Fn(u32) -> Vec<u8>,
        tried: &str,
        read: impl Fn(&[u8]) -> Vec<T>,
    ) -> Result<List<T>> {
        let number = self.next();
        self.send(&ask(number), tried)?;
        let mut list = List { found: Vec::new(), interrupted: false, pieces: 0 };
        loop {
            let before = list.found.len();
            let mut done = false;
            for answer in self.receive(0, tried)?.into_iter().filter(|answer| answer.number == number) {
                list.interrupted |= answer.interrupted;
                match answer.content {
                    Content::Object(object) => list.found.extend(read(object)),
                    Content::Refused(refusal) if refusal.errno != Errno::ENOENT => {
                        return Err(Error::Refused { tried: tried.into(), refusal });
                    }
                    _ => done = true,
                }
            }
            list.pieces += usize::from(list.found.len() > before);
            if done {
                return Ok(list);
            }
        }
    }
}

/// What the kernel told.
pub(super) struct List<T> {
    pub(super) found: Vec<T>,
    /// It changed meanwhile, and the kernel says so.
    interrupted: bool,
    /// How many datagrams told it.
    pieces: usize,
}

//! What etcd holds of the overlay, in memory: pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use ipnet::IpNet;

use super::keys::{Key, Keys};
use crate::overlay::plan::{Host, Refused, review};

/// A key with what is known of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// The revision of its last change.
    pub revision: i64,
}

/// What an event was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// The overlay's settings.
    Config,
    /// Claims on subnets.
    Claims,
    /// Another node, or its sign of life.
    Peers,
    /// This node's record or sign of life.
    Own,
    /// Nothing that is understood.
    Nothing,
}

/// The content of etcd below the overlay's root.
#[derive(Debug, Clone)]
pub struct Directory {
    keys: Keys,
    node: String,
    settings: Option<Vec<u8>>,
    claims: BTreeMap<IpNet, String>,
    records: BTreeMap<String, Record>,
    alive: BTreeSet<String>,
    /// Nodes that have news; None when all may have.
    news: Option<BTreeSet<String>>,
    /// Keys that nothing is known about, for the count.
    strangers: BTreeSet<Vec<u8>>,
}

#[derive(Debug, Clone)]
struct Record {
    revision: i64,
    /// What it says, or why it cannot be read.
    host: Result<Host, String>,
}

/// A record that is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It contradicts the network, this host or another record.
    Review(Refused),
    /// It speaks of another node than its key.
    WrongKey {
        /// In the key.
        node: String,
        /// In the record.
        says: String,
    },
    /// It names a subnet that its node has not claimed.
    NotClaimed {
        /// Whose record.
        node: String,
        /// Which.
        subnet: IpNet,
        /// Who has claimed it.
        holder: Option<String>,
    },
    /// It is not a record.
    Unreadable {
        /// Whose.
        node: String,
        /// Why.
        problem: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Review(refused) => refused.fmt(f),
            Self::WrongKey { node, says } => {
                write!(f, "the record of {node:?} is refused: it speaks of {says:?}")
            }
            Self::NotClaimed { node, subnet, holder: Some(holder) } => {
                write!(f, "the record of {node:?} is refused: subnet {subnet} is claimed by {holder:?}")
            }
            Self::NotClaimed { node, subnet, holder: None } => {
                write!(f, "the record of {node:?} is refused: it has not claimed subnet {subnet}")
            }
            Self::Unreadable { node, problem } => {
                write!(f, "the record of {node:?} is refused: it cannot be read ({problem})")
            }
        }
    }
}

impl Directory {
    /// An empty one, as this node sees it.
    #[must_use]
    pub fn new(keys: Keys, node: String) -> Self {
        Self {
            keys,
            node,
            settings: None,
            claims: BTreeMap::new(),
            records: BTreeMap::new(),
            alive: BTreeSet::new(),
            news: None,
            strangers: BTreeSet::new(),
        }
    }

    /// The overlay's settings, as they are written.
    #[must_use]
    pub fn settings(&self) -> Option<&[u8]> {
        self.settings.as_deref()
    }

    /// Whose each subnet is.
    #[must_use]
    pub const fn claims(&self) -> &BTreeMap<IpNet, String> {
        &self.claims
    }

    /// This node's record, when it can be read.
    #[must_use]
    pub fn own(&self) -> Option<&Host> {
        self.records.get(&self.node).and_then(|record| record.host.as_ref().ok())
    }

    /// Nodes that give a sign of life, this one among them.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.alive.len()
    }

    /// Whether a node gives a sign of life.
    #[must_use]
    pub fn lives(&self, node: &str) -> bool {
        self.alive.contains(node)
    }

    /// How many keys there are in etcd.
    #[must_use]
    pub fn len(&self) -> usize {
        let single = usize::from(self.settings.is_some());
        single + self.claims.len() + self.records.len() + self.alive.len() + self.strangers.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes up what was written.
    pub fn put(&mut self, Entry { key, value, revision }: Entry) -> Touched {
        match self.keys.parse(&key) {
            Some(Key::Config) => {
                let is_new = self.settings.as_ref() != Some(&value);
                self.settings = Some(value);
                if is_new { Touched::Config } else { Touched::Nothing }
            }
            Some(Key::Alloc(subnet)) => {
                let holder = String::from_utf8_lossy(&value).into_owned();
                let former = self.claims.insert(subnet, holder.clone());
                self.note(former.into_iter().chain([holder]));
                Touched::Claims
            }
            Some(Key::Node(node)) => {
                let touched = self.whose(&node);
                self.note([node.clone()]);
                let host = serde_json::from_slice(&value).map_err(|error| error.to_string());
                self.records.insert(node, Record { revision, host });
                touched
            }
            Some(Key::Alive(node)) => {
                let touched = self.whose(&node);
                self.alive.insert(node);
                touched
            }
            None => {
                self.strangers.insert(key);
                Touched::Nothing
            }
        }
    }

    /// Forgets what was deleted.
    pub fn delete(&mut self, key: &[u8]) -> Touched {
        match self.keys.parse(key) {
            Some(Key::Config) => {
                self.settings = None;
                Touched::Config
            }
            Some(Key::Alloc(subnet)) => {
                let former = self.claims.remove(&subnet);
                self.note(former);
                Touched::Claims
            }
            Some(Key::Node(node)) => {
                self.records.remove(&node);
                self.note([node.clone()]);
                self.whose(&node)
            }
            Some(Key::Alive(node)) => {
                self.alive.remove(&node);
                self.whose(&node)
            }
            None => {
                self.strangers.remove(key);
                Touched::Nothing
            }
        }
    }

    fn note(&mut self, nodes: impl IntoIterator<Item = String>) {
        if let Some(news) = &mut self.news {
            news.extend(nodes);
        }
    }

    /// The nodes with a new record or a new claim since this was asked last; None when all may have one.
    pub fn take_news(&mut self) -> Option<BTreeSet<String>> {
        self.news.replace(BTreeSet::new())
    }

    /// A peer's record, as far as it agrees with its key and with the claims.
    ///
    /// # Errors
    /// It does not.
    pub fn peer(&self, node: &str) -> Result<Option<&Host>, Refusal> {
        let record = self.records.get(node).filter(|_| node != self.node);
        record.map(|record| self.checked(node, &record.host)).transpose()
    }

    fn whose(&self, node: &str) -> Touched {
        if node == self.node { Touched::Own } else { Touched::Peers }
    }

    /// The peers whose records can be true, and what is not followed.
    ///
    /// Of two that contradict each other, one that gives a sign of life goes before one that does not (a host that is
    /// gone and whose address another one has now), and then the older record.
    #[must_use]
    pub fn peers(&self, own: &Host, networks: &[IpNet]) -> (Vec<Host>, Vec<Refusal>) {
        let (mut candidates, mut refused) = (Vec::with_capacity(self.records.len()), Vec::new());
        for (node, Record { revision, host }) in self.records.iter().filter(|(node, _)| **node != self.node) {
            match self.checked(node, host) {
                Ok(host) => candidates.push((!self.alive.contains(node), *revision, host)),
                Err(refusal) => refused.push(refusal),
            }
        }
        candidates.sort_by_key(|(is_silent, revision, _)| (*is_silent, *revision));
        let reviewed = review(own, networks, candidates.into_iter().map(|(_, _, host)| host.clone()));
        refused.extend(reviewed.refused.into_iter().map(Refusal::Review));
        (reviewed.accepted, refused)
    }

    /// A record that agrees with its key and with the claims.
    fn checked<'a>(&self, node: &str, host: &'a Result<Host, String>) -> Result<&'a Host, Refusal> {
        let node = || node.to_owned();
        let host = host.as_ref().map_err(|problem| Refusal::Unreadable { node: node(), problem: problem.clone() })?;
        if host.node != node() {
            return Err(Refusal::WrongKey { node: node(), says: host.node.clone() });
        }
        for subnet in &host.subnets {
            let holder = self.claims.get(subnet);
            if holder != Some(&host.node) {
                return Err(Refusal::NotClaimed { node: node(), subnet: *subnet, holder: holder.cloned() });
            }
        }
        Ok(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new("/groundwork/v1", "pods")
    }

    fn directory(entries: &[(&str, &str)]) -> Directory {
        let mut directory = Directory::new(keys(), "a".into());
        for (revision, (key, value)) in (1..).zip(entries) {
            directory.put(entry(key, value, revision));
        }
        directory
    }

    fn entry(key: &str, value: &str, revision: i64) -> Entry {
        Entry { key: format!("{}{key}", keys().root()).into_bytes(), value: value.into(), revision }
    }

    fn record(node: &str, subnet: &str, vtep: &str) -> String {
        format!(r#"{{"node": "{node}", "subnets": ["{subnet}"], "vtep": "{vtep}"}}"#)
    }

    fn own() -> Host {
        serde_json::from_str(&record("a", "10.244.1.0/24", "192.0.2.1")).unwrap()
    }

    fn peers(directory: &Directory) -> (Vec<String>, Vec<String>) {
        let (accepted, refused) = directory.peers(&own(), &["10.244.0.0/16".parse().unwrap()]);
        (accepted.into_iter().map(|host| host.node).collect(), refused.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_agrees_with_its_claim_is_followed() {
        let b = record("b", "10.244.2.0/24", "192.0.2.2");
        let mut directory = directory(&[("alloc/10.244.2.0-24", "b"), ("nodes/b", &b), ("nodes/a", "{}")]);
        assert_eq!(peers(&directory), (vec!["b".into()], vec![]));
        assert_eq!(directory.delete(&entry("nodes/b", "", 0).key), Touched::Peers);
        assert_eq!(peers(&directory), (vec![], vec![]));
        assert_eq!(directory.len(), 2);
    }

    #[test]
    fn what_does_not_is_refused_by_name() {
        let cases = [
            (record("b", "10.244.2.0/24", "192.0.2.2"), "it has not claimed subnet 10.244.2.0/24"),
            (record("b", "10.244.3.0/24", "192.0.2.2"), "subnet 10.244.3.0/24 is claimed by \"c\""),
            (record("c", "10.244.3.0/24", "192.0.2.2"), "it speaks of \"c\""),
            (record("b", "10.9.0.0/24", "192.0.2.2"), "subnet 10.9.0.0/24 is not inside the overlay's network"),
            (record("b", "10.244.1.0/24", "192.0.2.2"), "subnet 10.244.1.0/24 overlaps that of \"a\""),
            (record("b", "10.244.4.0/24", "192.0.2.1"), "VTEP 192.0.2.1 is that of \"a\""),
            ("[]".to_owned(), "it cannot be read (invalid length 0"),
        ];
        for (value, expected) in cases {
            let claims = [
                ("alloc/10.244.3.0-24", "c"),
                ("alloc/10.9.0.0-24", "b"),
                ("alloc/10.244.1.0-24", "b"),
                ("alloc/10.244.4.0-24", "b"),
                ("nodes/b", &value),
            ];
            let (accepted, refused) = peers(&directory(&claims));
            assert!(accepted.is_empty(), "{value}");
            let expected = format!("the record of \"b\" is refused: {expected}");
            assert!(refused.len() == 1 && refused[0].starts_with(&expected), "{refused:?}\n{expected}");
        }
    }

    #[test]
    fn of_two_with_one_address_the_living_goes_first_and_then_the_older() {
        let (b, c) = (record("b", "10.244.2.0/24", "192.0.2.9"), record("c", "10.244.3.0/24", "192.0.2.9"));
        let mut directory =
            directory(&[("alloc/10.244.2.0-24", "b"), ("alloc/10.244.3.0-24", "c"), ("nodes/c", &c), ("nodes/b", &b)]);
        assert_eq!(peers(&directory).0, ["c"]);
        directory.put(entry("alive/b", "", 9));
        assert_eq!(peers(&directory).0, ["b"]);
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut directory = directory(&[("config", "{}"), ("what/ever", "x")]);
        assert_eq!(directory.put(entry("config", "{}", 3)), Touched::Nothing);
        assert_eq!(directory.put(entry("config", "{ }", 4)), Touched::Config);
        assert_eq!(directory.put(entry("nodes/a", "{}", 5)), Touched::Own);
        assert_eq!(directory.put(entry("alive/b", "", 5)), Touched::Peers);
        assert_eq!(directory.len(), 4);
        assert_eq!(directory.delete(&entry("what/ever", "", 0).key), Touched::Nothing);
        assert_eq!(directory.len(), 3);
    }
}

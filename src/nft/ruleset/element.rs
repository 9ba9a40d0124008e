//! What containers add to sets and maps.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Family, Owner, Part, TABLE, address, octets};

/// One element of a set or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Element {
    /// What this address sends beyond the host is masqueraded. The prefix length is its network's.
    Masquerade(IpNet),
    /// Except to this address's own network.
    SameNetwork(IpNet),
}

impl Element {
    /// The elements that masquerade a container's address, except inside its own network.
    #[must_use]
    pub const fn masquerade(address: IpNet) -> [Self; 2] {
        [Self::SameNetwork(address), Self::Masquerade(address)]
    }

    /// The part of the rules that looks at it.
    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            Self::Masquerade(net) | Self::SameNetwork(net) => {
                Part::Masquerade(Family::of(&net.addr()), net.prefix_len())
            }
        }
    }

    /// Name of its set or map.
    #[must_use]
    pub fn set(&self) -> String {
        let of = |name: &str, net: &IpNet| format!("{name}{}_{}", Family::of(&net.addr()).digit(), net.prefix_len());
        match self {
            Self::Masquerade(net) => of("masq", net),
            Self::SameNetwork(net) => of("same", net),
        }
    }

    /// Its key, as the kernel holds it.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::Masquerade(net) => octets(net.addr()),
            Self::SameNetwork(net) => [octets(net.addr()), octets(net.network())].concat(),
        }
    }

    /// Reads an element of one of our sets; None if it is none that we would write.
    #[must_use]
    pub fn decode(set: &str, key: &[u8]) -> Option<Self> {
        let (name, len) = set.split_once('_')?;
        let len = len.parse().ok()?;
        let net = |bytes: &[u8]| IpNet::new(address(bytes)?, len).ok();
        let element = match name {
            "masq4" | "masq6" => Self::Masquerade(net(key)?),
            "same4" | "same6" => Self::SameNetwork(net(key.get(..key.len() / 2)?)?),
            _ => return None,
        };
        (element.set() == set && element.key() == key).then_some(element)
    }
}

impl fmt::Display for Element {
    /// As nft writes it between the braces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masquerade(net) => write!(f, "{}", net.addr()),
            Self::SameNetwork(net) => write!(f, "{} . {}", net.addr(), net.network()),
        }
    }
}

/// An element and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owned {
    /// What.
    pub element: Element,
    /// Whose.
    pub owner: Owner,
}

impl fmt::Display for Owned {
    /// What a person would type behind `nft`, in a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { element, owner } = self;
        write!(f, "add element inet {TABLE} {} '{{ {element} comment \"{owner}\" }}'", element.set())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_kind() -> Vec<Element> {
        ["10.22.0.5/24", "10.22.0.5/32", "10.22.0.5/0", "fd00:1::5/64"]
            .into_iter()
            .flat_map(|address| Element::masquerade(address.parse().unwrap()))
            .collect()
    }

    #[test]
    fn elements_are_read_back_from_their_bytes() {
        for element in every_kind() {
            assert_eq!(Element::decode(&element.set(), &element.key()), Some(element));
        }
    }

    #[test]
    fn foreign_bytes_are_no_elements() {
        for (set, key) in [
            ("masq4_24", &[10, 22, 0][..]),
            ("masq4_99", &[10, 22, 0, 5]),
            ("masq4", &[10, 22, 0, 5]),
            ("masq6_64", &[10, 22, 0, 5]),
            ("same4_24", &[10, 22, 0, 5, 10, 23, 0, 0]),
            ("other_24", &[10, 22, 0, 5]),
            ("masq4_24", &[]),
        ] {
            assert_eq!(Element::decode(set, key), None, "{set} {key:?}");
        }
    }

    #[test]
    fn they_read_as_commands() {
        let [same, masquerade] = Element::masquerade("10.22.0.5/24".parse().unwrap())
            .map(|element| Owned { element, owner: "net/ctr/eth0".into() }.to_string());
        assert_eq!(masquerade, "add element inet groundwork masq4_24 '{ 10.22.0.5 comment \"net/ctr/eth0\" }'");
        assert_eq!(same, "add element inet groundwork same4_24 '{ 10.22.0.5 . 10.22.0.0 comment \"net/ctr/eth0\" }'");
    }
}

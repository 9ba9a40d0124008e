//! The ruleset as values, pure: the parts of the base, the elements that containers add, and who owns them.

mod chains;
mod element;
pub mod expression;
mod flow;
pub mod gate;
mod owner;
mod part;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

pub use element::{Element, Owned, PortName, Protocol};
pub use flow::{Flow, Flows};
pub use gate::Gate;
pub use owner::Owner;
pub use part::{Chain, Hook, Part, Rule, Set};

/// Name of our tables.
pub const TABLE: &str = "groundwork";

/// Families of tables in which we have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// What is routed, IPv4 and IPv6.
    Inet,
    /// What is bridged.
    Bridge,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Bridge => "bridge",
        })
    }
}

/// What a set holds in its keys, and a map in its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Ipv4,
    Ipv6,
    Mac,
    Protocol,
    Port,
    LinkName,
}

impl Kind {
    /// (nft's name, nft's number for it in a set's type, bytes).
    pub(crate) const fn nft(self) -> (&'static str, u32, u32) {
        match self {
            Self::Ipv4 => ("ipv4_addr", 7, 4),
            Self::Ipv6 => ("ipv6_addr", 8, 16),
            Self::Mac => ("ether_addr", 9, 6),
            Self::Protocol => ("inet_proto", 12, 1),
            Self::Port => ("inet_service", 13, 2),
            Self::LinkName => ("ifname", 41, 16),
        }
    }
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl fmt::Display for Family {
    /// The digit in the names of sets and chains.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "4",
            Self::Ipv6 => "6",
        })
    }
}

impl Family {
    /// Of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    const fn nft_name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    const fn nft_header(self) -> &'static str {
        match self {
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Ipv4 => Kind::Ipv4,
            Self::Ipv6 => Kind::Ipv6,
        }
    }

    /// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
    pub(crate) const fn protocol(self) -> u8 {
        match self {
            Self::Ipv4 => 2,
            Self::Ipv6 => 10,
        }
    }

    /// Offsets of source and destination in the network header, and the length of either, in bytes.
    const fn addresses(self) -> (u8, u8, u8) {
        match self {
            Self::Ipv4 => (12, 16, 4),
            Self::Ipv6 => (8, 24, 16),
        }
    }

    /// Of an address.
    const fn registers(self) -> u8 {
        self.addresses().2 / 4
    }

    /// The netmask of a prefix; one that is too long counts as the longest.
    fn mask(self, len: u8) -> IpAddr {
        let zeros = |width: u32| width.saturating_sub(len.into());
        match self {
            Self::Ipv4 => Ipv4Addr::from(u32::MAX.checked_shl(zeros(u32::BITS)).unwrap_or(0)).into(),
            Self::Ipv6 => Ipv6Addr::from(u128::MAX.checked_shl(zeros(u128::BITS)).unwrap_or(0)).into(),
        }
    }
}

/// An address as packets carry it.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

/// The reverse of [`octets`].
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4().or_else(|_| v6()).ok()
}

/// Name of a link: 1 to 15 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkName([u8; 16]);

/// No link can have this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a link's name has 1 to 15 bytes, {0:?} has {len}", len = .0.len())]
pub struct NoLinkName(String);

impl LinkName {
    /// Of a text.
    ///
    /// # Errors
    /// When it is too long or empty.
    pub fn new(name: &str) -> Result<Self, NoLinkName> {
        let mut bytes = [0; 16];
        match bytes.get_mut(..name.len()) {
            Some(start) if (1..16).contains(&start.len()) && !name.contains('\0') => {
                start.copy_from_slice(name.as_bytes());
                Ok(Self(bytes))
            }
            _ => Err(NoLinkName(name.into())),
        }
    }

    /// As the kernel holds it.
    fn read(bytes: &[u8]) -> Option<Self> {
        Self::new(std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()?).ok()
    }
}

impl TryFrom<String> for LinkName {
    type Error = NoLinkName;

    fn try_from(name: String) -> Result<Self, NoLinkName> {
        Self::new(&name)
    }
}

impl From<LinkName> for String {
    fn from(name: LinkName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        f.write_str(&String::from_utf8_lossy(name))
    }
}

impl fmt::Debug for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

//! The ruleset as values, pure: the parts of the base, the elements that containers add, and who owns them.

mod element;
pub(crate) mod expression;
mod owner;
mod part;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use element::{Element, Owned};
pub use owner::Owner;
pub use part::{Chain, Hook, Kind, Part, Rule, Set};

/// Name of our table, in the family `inet`.
pub const TABLE: &str = "groundwork";

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// Of an address.
    #[must_use]
    pub const fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The digit in the names of sets and chains.
    const fn digit(self) -> char {
        match self {
            Self::Ipv4 => '4',
            Self::Ipv6 => '6',
        }
    }

    const fn nft_header(self) -> &'static str {
        match self {
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
        }
    }

    const fn address(self) -> Kind {
        match self {
            Self::Ipv4 => Kind::Ipv4,
            Self::Ipv6 => Kind::Ipv6,
        }
    }

    /// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
    const fn protocol(self) -> u8 {
        match self {
            Self::Ipv4 => 2,
            Self::Ipv6 => 10,
        }
    }

    /// Offsets of source and destination in the network header, and the length of either, in bytes.
    const fn addresses(self) -> (u32, u32, u32) {
        match self {
            Self::Ipv4 => (12, 16, 4),
            Self::Ipv6 => (8, 24, 16),
        }
    }

    /// The netmask of a prefix; one that is too long counts as the longest.
    fn mask(self, len: u8) -> IpAddr {
        let ones = |width: u32| width.saturating_sub(len.into());
        match self {
            Self::Ipv4 => Ipv4Addr::from(u32::MAX.checked_shl(ones(u32::BITS)).unwrap_or(0)).into(),
            Self::Ipv6 => Ipv6Addr::from(u128::MAX.checked_shl(ones(u128::BITS)).unwrap_or(0)).into(),
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
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4().or_else(|_| v6()).ok()
}

//! What can be wrong with an overlay.

use std::{io, net::IpAddr, path::PathBuf};

use ipnet::IpNet;

use super::plan::Foreign;
use crate::{config::OutsideSubnet, nft, rtnl, store, sys};

/// Why an overlay cannot be had as it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    #[error(transparent)]
    Rtnl(#[from] rtnl::Error),
    #[error(transparent)]
    Nft(#[from] nft::Error),
    #[error(transparent)]
    Sysctl(#[from] sys::sysctl::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A device that is somebody else's.
    #[error("the overlay's device cannot be made: {0}")]
    Foreign(#[from] Foreign),
    /// Another program's socket has the port, or a device that takes all numbers.
    #[error(
        "the overlay's device {device} cannot be set up, as UDP port {port} is taken by another program or by an \
         \"external\" vxlan device (`ip -d link show type vxlan`, `ss -lun`): choose another \"port\", the same on all hosts"
    )]
    PortTaken { device: String, port: u16 },
    #[error("there is no link {0}, which \"underlay\" names")]
    NoInterface(String),
    #[error("no link of this host has the address {0}, which \"underlay\" names")]
    NoAddress(IpAddr),
    #[error(
        "no default route tells which link carries the overlay: set \"underlay\" to an interface or an address of this host"
    )]
    NoDefaultRoute,
    #[error("several links carry a default route ({}): set \"underlay\" to one of them", .0.join(", "))]
    SeveralLinks(Vec<String>),
    #[error("link {0}, which carries the overlay, has no address that other hosts could send to")]
    Addressless(String),
    #[error(
        "link {link}, which carries the overlay, has several addresses ({}): set \"underlay\" to one of them",
        list(addresses)
    )]
    SeveralAddresses { link: String, addresses: Vec<IpAddr> },
    #[error(
        "\"overlay.mtu\" is {mtu}, and link {link} carries {limit} with encapsulation: expected 0 (as much) or at most that"
    )]
    MtuAboveUnderlay { mtu: u32, link: String, limit: u32 },
    #[error("\"mtu\" is {mtu}, and the overlay carries {limit}: expected 0 (as much) or at most that")]
    MtuAboveOverlay { mtu: u32, limit: u32 },
    #[error(
        "link {link}, which carries the overlay, has an MTU of {mtu}: too small for containers' packets beside encapsulation"
    )]
    UnderlayTooSmall { link: String, mtu: u32 },
    #[error(
        "{address} is on lo, which does not tell how much the links carry: set \"overlay.mtu\" to the smallest MTU \
         between the hosts less {overhead}"
    )]
    UnknownMtu { address: IpAddr, overhead: u32 },
    /// Most FRR would announce the wrong next hop, and say nothing.
    #[error(
        "engine evpn with the underlay's address {0}: FRR before 10.6 distributes hosts by IPv4 addresses only. Set \
         \"underlay\" to an IPv4 address of this host, or to {0} if your FRR can do it"
    )]
    Ipv6Vtep(IpAddr),
    /// Nobody says which subnet is this host's.
    #[error(
        "this host ({node}) has no subnet: set \"overlay.subnet\", or add a record of it to the peers, by its name or by \
         its address {vtep}"
    )]
    NoSubnet { node: String, vtep: IpAddr },
    #[error("the record of this host ({node}) has {found}: expected a subnet inside {network} for each family", found = list(found), network = list(network))]
    BadSubnets { node: String, found: Vec<IpNet>, network: Vec<IpNet> },
    /// The agent has not written it yet.
    #[error(
        "the overlay is not ready: {path} is not there yet, which the agent of engine etcd writes (is it running?)"
    )]
    NotReady { path: PathBuf },
    #[error(
        "the overlay's file {path} speaks of {found}, the configuration of {wanted}: restart the agent, or remove the file"
    )]
    OtherOverlay { path: PathBuf, found: String, wanted: String },
    #[error("cannot {doing} {path}: {source}")]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} cannot be understood: {reason}")]
    Garbled { path: PathBuf, reason: String },
    #[error(transparent)]
    Outside(#[from] OutsideSubnet),
    /// A device that was there a moment ago.
    #[error("link {0} has disappeared while the overlay was being set up")]
    Vanished(String),
}

impl Error {
    /// Whether it passes by itself.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::NotReady { .. } | Self::Vanished(_))
    }

    /// Whether the configuration, or the host's own, has to be changed.
    #[must_use]
    pub const fn is_of_configuration(&self) -> bool {
        !matches!(
            self,
            Self::Rtnl(_)
                | Self::Nft(_)
                | Self::Sysctl(_)
                | Self::Store(_)
                | Self::PortTaken { .. }
                | Self::NotReady { .. }
                | Self::File { .. }
                | Self::Garbled { .. }
                | Self::Vanished(_)
        )
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

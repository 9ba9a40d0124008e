//! Which records of peers can be true. Nothing that is said about another host may harm this one.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::Host;
use crate::cni::mac::Mac;

/// What came of a review.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Review {
    /// The peers, in the order in which they came; this host's own record is not among them.
    pub accepted: Vec<Host>,
    /// What is left out, and why.
    pub refused: Vec<Refused>,
}

/// A record that is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record of {node:?} is refused: {reason}")]
pub struct Refused {
    /// Whose it says it is.
    pub node: String,
    /// Why it cannot be used.
    pub reason: Reason,
}

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Reason {
    #[error("it cannot be read ({0})")]
    Unreadable(String),
    #[error("it has no name")]
    Nameless,
    #[error("another record before it has its name")]
    NameTaken,
    #[error("it speaks of this host, which has {own} at {vtep}")]
    Own { own: String, vtep: IpAddr },
    #[error("it names no subnet")]
    NoSubnet,
    #[error("subnet {0} has host bits: expected {network}", network = .0.trunc())]
    HostBits(IpNet),
    #[error("subnet {0} is not inside the overlay's network")]
    OutOfRange(IpNet),
    #[error("subnet {subnet} overlaps that of {other:?}")]
    Overlap { subnet: IpNet, other: String },
    #[error("{0} is no address that a host can have")]
    BadVtep(IpAddr),
    #[error("VTEP {0} is inside the overlay itself")]
    VtepInside(IpAddr),
    #[error("VTEP {0} is not of the family of this host's")]
    VtepFamily(IpAddr),
    #[error("VTEP {vtep} is that of {other:?}")]
    VtepTaken { vtep: IpAddr, other: String },
    #[error("{0} is no hardware address that a device can have")]
    BadMac(Mac),
    #[error("hardware address {mac} is that of {other:?}")]
    MacTaken { mac: Mac, other: String },
}

/// Accepts each record that agrees with the network (its CIDRs), with this host and with the records before it.
///
/// A record of this host itself, by its name or its address, is not among the accepted; it is refused if it contradicts.
#[must_use]
pub fn review(own: &Host, networks: &[IpNet], candidates: impl IntoIterator<Item = Host>) -> Review {
    let mut register = Register::new(own, networks);
    let mut review = Review::default();
    for host in candidates {
        if is_own(own, &host) {
            continue;
        }
        match register.fault(&host) {
            Some(reason) => review.refused.push(Refused { node: host.node, reason }),
            None => {
                register.enter(&host);
                review.accepted.push(host);
            }
        }
    }
    review
}

/// Whether a record says of this host what is so; its name may be another one there.
fn is_own(own: &Host, host: &Host) -> bool {
    host.subnets == own.subnets && host.vtep == own.vtep
}

/// What has been accepted so far.
struct Register<'a> {
    own: &'a Host,
    networks: &'a [IpNet],
    names: HashSet<String>,
    vteps: HashMap<IpAddr, String>,
    macs: HashMap<Mac, String>,
    /// First address of each subnet to its last and whose it is.
    subnets: BTreeMap<IpAddr, (IpAddr, String)>,
}

impl<'a> Register<'a> {
    fn new(own: &'a Host, networks: &'a [IpNet]) -> Self {
        let mut register = Self {
            own,
            networks,
            names: HashSet::new(),
            vteps: HashMap::new(),
            macs: HashMap::new(),
            subnets: BTreeMap::new(),
        };
        register.enter(own);
        register
    }

    fn enter(&mut self, host: &Host) {
        self.names.insert(host.node.clone());
        self.vteps.insert(host.vtep, host.node.clone());
        self.macs.insert(host.mac, host.node.clone());
        for subnet in &host.subnets {
            self.subnets.insert(subnet.network(), (subnet.broadcast(), host.node.clone()));
        }
    }

    fn fault(&self, host: &Host) -> Option<Reason> {
        if host.node.is_empty() {
            return Some(Reason::Nameless);
        }
        if host.node == self.own.node {
            let own = self.own.subnets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Some(Reason::Own { own, vtep: self.own.vtep });
        }
        if self.names.contains(&host.node) {
            return Some(Reason::NameTaken);
        }
        self.subnet_fault(host).or_else(|| self.vtep_fault(host.vtep)).or_else(|| self.mac_fault(host.mac))
    }

    fn subnet_fault(&self, host: &Host) -> Option<Reason> {
        if host.subnets.is_empty() {
            return Some(Reason::NoSubnet);
        }
        for (index, subnet) in host.subnets.iter().enumerate() {
            if subnet.addr() != subnet.network() {
                return Some(Reason::HostBits(*subnet));
            }
            if !self.networks.iter().any(|network| network.contains(subnet)) {
                return Some(Reason::OutOfRange(*subnet));
            }
            let earlier = host.subnets[..index].iter().any(|other| other.contains(subnet) || subnet.contains(other));
            let other = if earlier { Some(host.node.clone()) } else { self.overlapped(subnet) };
            if let Some(other) = other {
                return Some(Reason::Overlap { subnet: *subnet, other });
            }
        }
        None
    }

    /// Whose subnet it overlaps: of those that do not overlap each other only the last to begin before its end can.
    fn overlapped(&self, subnet: &IpNet) -> Option<String> {
        let (_, (last, node)) = self.subnets.range(..=subnet.broadcast()).next_back()?;
        (*last >= subnet.network()).then(|| node.clone())
    }

    fn vtep_fault(&self, vtep: IpAddr) -> Option<Reason> {
        let is_local = match vtep {
            IpAddr::V4(vtep) => vtep.is_broadcast(),
            IpAddr::V6(vtep) => vtep.is_unicast_link_local(),
        };
        if vtep.is_unspecified() || vtep.is_loopback() || vtep.is_multicast() || is_local {
            return Some(Reason::BadVtep(vtep));
        }
        if self.networks.iter().any(|network| network.contains(&vtep)) {
            return Some(Reason::VtepInside(vtep));
        }
        if vtep.is_ipv4() != self.own.vtep.is_ipv4() {
            return Some(Reason::VtepFamily(vtep));
        }
        self.vteps.get(&vtep).map(|other| Reason::VtepTaken { vtep, other: other.clone() })
    }

    fn mac_fault(&self, mac: Mac) -> Option<Reason> {
        if mac.0[0] & 1 == 1 || mac.0 == [0; 6] {
            return Some(Reason::BadMac(mac));
        }
        self.macs.get(&mac).map(|other| Reason::MacTaken { mac, other: other.clone() })
    }
}

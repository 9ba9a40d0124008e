//! What the kernel must hold about peers, and what has to change for it.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;

use super::Host;
use crate::cni::mac::Mac;

/// An entry's place: what can be there once. In the order in which entries are made, so that no route leads to a
/// neighbour that is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A peer's gateway on the vxlan device: the first address of its subnet.
    Neighbour(IpAddr),
    /// A hardware address in the vxlan device's forwarding database.
    Forwarding(Mac),
    /// A peer's subnet in the main routing table.
    Route(IpNet),
}

/// What is at that place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    /// The hardware address of a neighbour.
    Mac(Mac),
    /// The VTEP to which frames go.
    Vtep(IpAddr),
    /// The gateway of a route, on the vxlan device.
    Gateway(IpAddr),
}

impl Value {
    /// Of a route, which may be somebody's who gave it no gateway.
    #[must_use]
    pub fn gateway(gateway: Option<IpAddr>) -> Self {
        Self::Gateway(gateway.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }
}

/// Entries of one vxlan device.
pub type Entries = BTreeMap<Key, Value>;

/// The entries for these peers: for each a hardware address, and for each of its subnets a neighbour and a route.
#[must_use]
pub fn entries(peers: &[Host]) -> Entries {
    let mut entries = Entries::new();
    for Host { subnets, vtep, mac, .. } in peers {
        entries.insert(Key::Forwarding(*mac), Value::Vtep(*vtep));
        for subnet in subnets {
            let gateway = subnet.network();
            entries.insert(Key::Neighbour(gateway), Value::Mac(*mac));
            entries.insert(Key::Route(*subnet), Value::Gateway(gateway));
        }
    }
    entries
}

/// The addresses from which encapsulated frames are taken, in order.
#[must_use]
pub fn vteps(peers: &[Host]) -> Vec<IpAddr> {
    let mut vteps: Vec<_> = peers.iter().map(|peer| peer.vtep).collect();
    vteps.sort_unstable();
    vteps.dedup();
    vteps
}

/// One thing to do to the kernel's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Take an entry away.
    Remove(Key, Value),
    /// Make an entry, or put it in place of another.
    Put(Key, Value),
}

/// What makes `desired` of `present`: what has no place any more goes first, routes before what they lead to.
#[must_use]
pub fn difference(desired: &Entries, present: &Entries) -> Vec<Change> {
    let stale = present.iter().rev().filter(|(key, _)| !desired.contains_key(key));
    let missing = desired.iter().filter(|(key, value)| present.get(key) != Some(value));
    let removals = stale.map(|(key, value)| Change::Remove(*key, *value));
    removals.chain(missing.map(|(key, value)| Change::Put(*key, *value))).collect()
}

/// A change as the command that a person would type; the device's name comes first.
pub struct Command<'a>(pub &'a str, pub &'a Change);

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(device, change) = self;
        let (Change::Remove(key, value) | Change::Put(key, value)) = change;
        let verb = if matches!(change, Change::Remove(..)) { "del" } else { "replace" };
        match (key, value) {
            (Key::Neighbour(ip), Value::Mac(mac)) => {
                write!(f, "ip neigh {verb} {ip} lladdr {mac} dev {device} nud permanent")
            }
            (Key::Forwarding(mac), Value::Vtep(vtep)) => {
                write!(f, "bridge fdb {verb} {mac} dev {device} dst {vtep} self permanent")
            }
            (Key::Route(subnet), Value::Gateway(gateway)) => {
                write!(f, "ip route {verb} {subnet} via {gateway} dev {device} onlink proto 103")
            }
            _ => Ok(()),
        }
    }
}

//! A host of an overlay.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cni::mac::Mac;

/// A host of an overlay, this one or a peer: the record that a peer file and etcd carry, as
/// `{"node": "a", "subnets": ["10.244.1.0/24"], "vtep": "192.0.2.1"}`, with a `mac` where it is not derived.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Record")]
pub struct Host {
    /// Its name, which no other has.
    pub node: String,
    /// The networks of its containers, at most one of each family that the overlay has.
    pub subnets: Vec<IpNet>,
    /// Where it takes encapsulated frames: its address in the underlay.
    pub vtep: IpAddr,
    /// The hardware address of its vxlan device.
    pub mac: Mac,
}

#[derive(Deserialize)]
struct Record {
    node: String,
    subnets: Vec<IpNet>,
    vtep: IpAddr,
    mac: Option<Mac>,
}

impl From<Record> for Host {
    fn from(Record { node, subnets, vtep, mac }: Record) -> Self {
        Self { node, subnets, vtep, mac: mac.unwrap_or_else(|| derived_mac(vtep)) }
    }
}

/// The hardware address that follows from a VTEP, so that a device that is made anew has the same for its peers:
/// 02:67 and the IPv4 address, or 02 and a hash of the IPv6 address.
#[must_use]
pub fn derived_mac(vtep: IpAddr) -> Mac {
    match vtep {
        IpAddr::V4(vtep) => {
            let [a, b, c, d] = vtep.octets();
            Mac([0x02, 0x67, a, b, c, d])
        }
        IpAddr::V6(vtep) => {
            let hash = Sha256::digest(vtep.octets());
            Mac([0x02, hash[0], hash[1], hash[2], hash[3], hash[4]])
        }
    }
}

/// The first subnet of a network; None when it has none of that length.
#[must_use]
pub fn first_subnet(network: &IpNet, length: u8) -> Option<IpNet> {
    network.subnets(length).ok()?.next()
}

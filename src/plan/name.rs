//! Names of links, so that a person and a DEL without a record find them again.

use crate::{config::Attachment, nft::ruleset::Owner};

/// The host's end of an attachment's veth; each `salt` gives another name.
#[must_use]
pub fn veth(network: &str, attachment: &Attachment, salt: u32) -> String {
    let Attachment { container_id, ifname } = attachment;
    format!("veth{:08x}", fnv1a(format!("{network}/{container_id}/{ifname}/{salt}").as_bytes()))
}

/// The bridge's port to which the gateway of a VLAN is connected.
#[must_use]
pub fn gateway_port(gateway: &str) -> String {
    format!("veth{:08x}", fnv1a(gateway.as_bytes()))
}

/// A link of a sandbox until it gets its interface's name.
#[must_use]
pub fn temporary(owner: &Owner) -> String {
    format!("gw{:08x}", fnv1a(owner.as_str().as_bytes()))
}

/// FNV-1a, 32 bits: the same on every machine and in every version, unlike the standard library's hashes.
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

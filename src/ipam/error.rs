//! Why an address could not be given or taken back.

use std::{fmt, net::IpAddr, path::PathBuf};

use super::{lease_folder::Holder, reservations::REFERENCE_DATA_DIR};
use crate::{
    config::Attachment,
    store::{self, IoError},
};

/// Why there is no address, or why it could not be given back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The store refused, a name for example.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The attachment has addresses already.
    #[error("{owner} already holds {}; run DEL before another ADD", listed(.addresses), owner = Holder::Attachment(.owner.clone()))]
    Duplicate {
        /// Whose they are.
        owner: Attachment,
        /// What it holds.
        addresses: Vec<IpAddr>,
    },
    /// A requested address is somebody else's.
    #[error("the requested address {address} is held by {holder}, see {folder}")]
    Held {
        /// What was asked for.
        address: IpAddr,
        /// Who has it.
        holder: Holder,
        /// Where that is written.
        folder: PathBuf,
    },
    /// A requested address is a gateway's.
    #[error("the requested address {address} is the gateway of its range")]
    Gateway {
        /// What was asked for.
        address: IpAddr,
    },
    /// Requested addresses that no range set can give.
    #[error("no range set can give the requested {}: each gives one address of its own; they are {sets}", listed(.addresses))]
    OutOfRange {
        /// What was asked for.
        addresses: Vec<IpAddr>,
        /// The range sets.
        sets: String,
    },
    /// Every address is held.
    #[error("no free address in {set}: all {capacity} are held, {held}")]
    Exhausted {
        /// The range set.
        set: String,
        /// How many addresses it has for containers.
        capacity: u128,
        /// By whom.
        held: Census,
    },
}

/// How many addresses of a set are held, and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Where the leases lie.
    pub folder: PathBuf,
    /// By attachments that groundwork made in this boot.
    pub ours: usize,
    /// By others, as the reference plugin made them in the same folder.
    pub others: usize,
    /// By files that name nobody.
    pub unknown: usize,
    /// By the reference plugin in its own folder.
    pub reference: usize,
    /// The first few holders.
    pub examples: Vec<Attachment>,
}

impl Census {
    /// How many there are.
    pub(super) const fn total(&self) -> u128 {
        (self.ours + self.others + self.unknown + self.reference) as u128
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, ours, others, unknown, reference, .. } = self;
        write!(
            f,
            "{ours} by groundwork's attachments, {others} by host-local's and {unknown} by nobody known in {}",
            folder.display()
        )?;
        if *reference > 0 {
            write!(f, ", {reference} by host-local's in {REFERENCE_DATA_DIR}")?;
        }
        for (index, Attachment { container_id, ifname }) in self.examples.iter().enumerate() {
            let before = if index == 0 { "; for example" } else { "," };
            write!(f, "{before} {container_id} ({ifname})")?;
        }
        f.write_str("; DEL or GC of containers that are gone gives theirs back")
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

//! What the side that talks to etcd and the side that talks to the kernel have in common.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;
use tokio::sync::watch;

use super::{directory::Directory, settings::Settings};

/// Where this host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    /// Its address in the underlay.
    pub(super) vtep: IpAddr,
    /// Subnets that the host had in use when the agent started.
    pub(super) in_use: Vec<IpNet>,
}

/// What this host has of the overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership {
    /// The overlay's settings.
    pub(super) settings: Settings,
    /// This host's subnets.
    pub(super) subnets: Vec<IpNet>,
}

/// The directory and the membership, with a bell that rings when either changed.
pub(super) struct Shared {
    directory: Mutex<Directory>,
    membership: watch::Sender<Option<Membership>>,
    bell: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(directory: Directory) -> Self {
        Self { directory: Mutex::new(directory), membership: watch::Sender::new(None), bell: watch::Sender::new(0) }
    }

    /// Looks at the directory.
    pub(super) fn with<T>(&self, look: impl FnOnce(&Directory) -> T) -> T {
        look(&self.lock())
    }

    /// Takes what is new from the directory, which is no change.
    pub(super) fn take<T>(&self, take: impl FnOnce(&mut Directory) -> T) -> T {
        take(&mut self.lock())
    }

    /// Changes the directory, and rings.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Directory) -> T) -> T {
        let changed = change(&mut self.lock());
        self.ring();
        changed
    }

    /// Puts another directory in place, and rings.
    pub(super) fn replace(&self, directory: Directory) {
        *self.lock() = directory;
        self.ring();
    }

    /// The host has subnets now.
    pub(super) fn join(&self, membership: Membership) {
        self.membership.send_replace(Some(membership));
        self.ring();
    }

    /// The last membership.
    pub(super) fn membership(&self) -> Option<Membership> {
        self.membership.borrow().clone()
    }

    /// Changes with every ring.
    pub(super) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    fn ring(&self) {
        self.bell.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Directory> {
        // What was half changed by a panic is read anew from etcd before long.
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

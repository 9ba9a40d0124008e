//! What a state folder holds.

use std::path::Path;

use nix::sys::stat::{FileStat, SFlag};

use crate::config::Attachment;

use super::{BootId, Error, Store, attachment_of, check_identifier, state_folder};

/// Where the leases of a network lie, beside its records.
pub const LEASES: &str = "leases";

/// The networks of which the state folder holds something.
///
/// # Errors
/// A state folder that is not safe, a file operation that failed.
pub fn networks(state_dir: &Path) -> Result<Vec<String>, Error> {
    let Some(state) = state_folder(state_dir)? else { return Ok(Vec::new()) };
    let mut names = state.names()?;
    names.retain(|name| check_identifier("network name", name).is_ok());
    names.sort();
    Ok(names)
}

fn is_folder(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode).intersection(SFlag::S_IFMT) == SFlag::S_IFDIR
}

/// Every store of a state folder: for each network, of each plugin that has records.
///
/// # Errors
/// As [`networks`].
pub fn all(state_dir: &Path) -> Result<Vec<Store>, Error> {
    let mut stores = Vec::new();
    for network in networks(state_dir)? {
        stores.extend(of_network(state_dir, &network, |_| true)?);
    }
    Ok(stores)
}

/// The stores of one network whose folders' names are wanted, in the order of these.
///
/// # Errors
/// As [`networks`].
pub fn of_network(state_dir: &Path, network: &str, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Store>, Error> {
    let Some(state) = state_folder(state_dir)? else { return Ok(Vec::new()) };
    let Some(folder) = state.subfolder(network)? else { return Ok(Vec::new()) };
    let boot = BootId::current()?;
    let mut names = folder.names()?;
    names.retain(|name| is_wanted(name));
    names.sort();
    let mut stores = Vec::new();
    for name in names {
        // Leases are no records, and many.
        if name == LEASES || folder.stat(&name)?.is_none_or(|stat| !is_folder(&stat)) {
            continue; // a file of the overlay's
        }
        let (Some(folder), Some(attachments)) = (state.subfolder(network)?, folder.subfolder(&name)?) else {
            continue;
        };
        stores.push(Store { folder, attachments, network: network.into(), boot: boot.clone() });
    }
    Ok(stores)
}

impl Store {
    /// As [`Store::list`], those of one container.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn list_of(&self, container_id: &str) -> Result<Vec<Attachment>, Error> {
        let mut names = self.attachments.names()?;
        names.retain(|name| name.strip_prefix(container_id).is_some_and(|rest| rest.starts_with('@')));
        Ok(names.iter().filter_map(|name| attachment_of(name)).collect())
    }
}

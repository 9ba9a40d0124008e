//! What one ADD takes, given back as a whole unless it is kept.

use std::net::IpAddr;

use super::{
    error::Error,
    lease_folder::{LeaseFolder, content_for},
};
use crate::{config::Attachment, store, store::folder::Folder};

/// One file with the owner in it, that becomes each of the attachment's leases by a link. So a lease is never there
/// without its content, and there is no moment at which two can have the same address.
pub(super) struct Claim<'a> {
    leases: &'a Folder,
    index: &'a Folder,
    entry: String,
    taken: Vec<IpAddr>,
    kept: bool,
}

impl<'a> Claim<'a> {
    /// The caller holds the attachment's lock, so an entry without leases is what a killed ADD left.
    pub(super) fn begin(leases: &'a LeaseFolder, owner: &Attachment) -> Result<Self, Error> {
        let (entry, index) = (store::file_name(owner)?, leases.ensure_index()?);
        while !index.create(&entry, content_for(owner).as_bytes())? {
            match index.stat(&entry)? {
                Some(stat) if stat.st_nlink > 1 => {
                    let addresses = leases.linked_to(&[stat.st_ino].into())?;
                    return Err(Error::Duplicate { owner: owner.clone(), addresses });
                }
                _ => index.unlink(&entry)?,
            };
        }
        Ok(Self { leases: &leases.folder, index, entry, taken: Vec::new(), kept: false })
    }

    /// Takes an address; false when somebody has it.
    pub(super) fn take(&mut self, address: IpAddr) -> Result<bool, Error> {
        let free = self.leases.link(self.index, &self.entry, &address.to_string())?;
        if free {
            self.taken.push(address);
        }
        Ok(free)
    }

    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let names = self.taken.iter().map(|address| self.leases.unlink(&address.to_string()));
        for error in names.chain([self.index.unlink(&self.entry)]).filter_map(Result::err) {
            tracing::warn!(%error, "an address could not be given back");
        }
    }
}

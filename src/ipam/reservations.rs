//! Who holds which address: leases in files, given and taken back at a cost that does not grow with their number.

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    net::IpAddr,
    path::Path,
};

use nix::sys::stat::{FileStat, Mode};

use super::{claim::Claim, hint::Hint, lease_folder::LeaseFolder};
pub use super::{
    error::{Census, Error},
    lease_folder::Holder,
    ranges::Lease,
};
pub use crate::config::ipam::REFERENCE_DATA_DIR;
use crate::{
    config::{Attachment, RangeSet},
    store::{self, BootId, IoError, LEASES, Lock, Store, folder::Folder},
};

/// Says whether an attachment is dead for sure: then its lock, held until its leases are taken from it.
pub type Reclaim<'a> = dyn FnMut(&Attachment) -> Option<Lock> + 'a;

/// How often a set is searched of which others take what is free each time.
const ATTEMPTS: usize = 100;

/// How full a range set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// How many addresses it has for containers.
    pub capacity: u128,
    /// How many are held.
    pub held: u128,
}

/// The leases of one network.
#[derive(Debug)]
pub struct Reservations {
    leases: LeaseFolder,
    /// The reference plugin may use the folder at the same time.
    shared: bool,
    /// Its folder, when ours is another: what it holds there is held.
    reference: Option<Folder>,
}

impl Reservations {
    /// The leases of the store's network, their folder made when it is not there: `<dataDir>/<network>` when a
    /// `dataDir` is configured, else beside the records.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn open(store: &Store, data_dir: Option<&Path>) -> Result<Self, Error> {
        let folder = match data_dir {
            Some(data_dir) => LeaseFolder::create(&data_dir.join(store.network()))?,
            None => store.folder().ensure_subfolder(LEASES, Mode::S_IRWXU)?,
        };
        Self::of(folder, store.boot(), store.network(), data_dir.is_some())
    }

    /// As [`Reservations::open`]; None, and nothing made, when there is no such folder. `store` is what
    /// [`Store::existing`] found.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn existing(store: Option<&Store>, network: &str, data_dir: Option<&Path>) -> Result<Option<Self>, Error> {
        store::check_identifier("network name", network)?;
        let folder = match (data_dir, store) {
            (Some(data_dir), _) => Folder::open(&data_dir.join(network))?,
            (None, Some(store)) => store.folder().subfolder(LEASES)?,
            (None, None) => None,
        };
        let Some(folder) = folder else { return Ok(None) };
        let boot = store.map_or_else(BootId::current, |store| Ok(store.boot().clone()))?;
        Self::of(folder, &boot, network, data_dir.is_some()).map(Some)
    }

    fn of(folder: Folder, boot: &BootId, network: &str, shared: bool) -> Result<Self, Error> {
        let reference = if shared { None } else { reference_folder(Path::new(REFERENCE_DATA_DIR), network)? };
        Ok(Self { leases: LeaseFolder::new(folder, boot)?, shared, reference })
    }

    /// Takes one address from each set for an attachment whose lock the caller holds: all, or none and an error.
    ///
    /// `reclaim` is asked about the holder of a requested address, and about every holder when a set is full.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn reserve(
        &self,
        owner: &Attachment,
        sets: &[RangeSet],
        requested: &[IpAddr],
        reclaim: &mut Reclaim<'_>,
    ) -> Result<Vec<Lease>, Error> {
        let wanted = assign(sets, requested)?;
        let alone = self.shared || self.leases.index().is_none(); // see `LeaseFolder::ensure_index`
        let mut lock = if alone { Some(self.leases.lock()?) } else { None };
        let mut claim = Claim::begin(&self.leases, owner)?;
        let mut given = Vec::with_capacity(sets.len());
        for (number, (set, wanted)) in sets.iter().zip(wanted).enumerate() {
            given.push(match wanted {
                Some(lease) => self.take_requested(&mut claim, lease, &mut lock, reclaim)?,
                None => self.take_next(&mut claim, number, set, &mut lock, reclaim)?,
            });
        }
        claim.keep();
        Ok(given)
    }

    fn take_requested(
        &self,
        claim: &mut Claim<'_>,
        lease: Lease,
        lock: &mut Option<File>,
        reclaim: &mut Reclaim<'_>,
    ) -> Result<Lease, Error> {
        let address = lease.address.addr();
        let held = |by: &Folder, holder| Err(Error::Held { address, holder, folder: by.path().into() });
        if let Some(reference) = &self.reference
            && let Some(content) = reference.read(&address.to_string())?
        {
            return held(reference, Holder::parse(&content));
        }
        if claim.take(address)? {
            return Ok(lease);
        }
        self.ensure_locked(lock)?;
        if self.take_back(address, reclaim)? && claim.take(address)? {
            return Ok(lease);
        }
        held(&self.leases.folder, self.leases.holder(address)?.unwrap_or(Holder::Unknown))
    }

    fn take_next(
        &self,
        claim: &mut Claim<'_>,
        number: usize,
        set: &RangeSet,
        lock: &mut Option<File>,
        reclaim: &mut Reclaim<'_>,
    ) -> Result<Lease, Error> {
        let mut attempts = 0;
        loop {
            if let Some(lease) = self.try_next(claim, number, set)? {
                return Ok(lease);
            }
            attempts += 1;
            self.ensure_locked(lock)?;
            if self.reclaim_from(set, reclaim)? > 0 && attempts < ATTEMPTS {
                continue;
            }
            // While others give back and take, each address may have been held when the search came to it.
            let (capacity, held) = (set.capacity(), self.census(set)?);
            if held.total() >= capacity || attempts == ATTEMPTS {
                return Err(Error::Exhausted { set: set.to_string(), capacity, held });
            }
        }
    }

    fn try_next(&self, claim: &mut Claim<'_>, number: usize, set: &RangeSet) -> Result<Option<Lease>, Error> {
        let hint = Hint::open(&self.leases.folder, number)?;
        for lease in set.leases_after(hint.last()) {
            let address = lease.address.addr();
            if !self.reference_holds(address)? && claim.take(address)? {
                hint.note(address);
                return Ok(Some(lease));
            }
        }
        Ok(None)
    }

    fn reference_holds(&self, address: IpAddr) -> Result<bool, Error> {
        let Some(reference) = &self.reference else { return Ok(false) };
        Ok(reference.stat(&address.to_string())?.is_some())
    }

    /// Before anything is taken from the dead: it keeps two who do this apart.
    fn ensure_locked(&self, lock: &mut Option<File>) -> Result<(), Error> {
        if lock.is_none() {
            *lock = Some(self.leases.lock()?);
        }
        Ok(())
    }

    fn reclaim_from(&self, set: &RangeSet, reclaim: &mut Reclaim<'_>) -> Result<usize, Error> {
        let mut freed = 0;
        for address in self.leases.held()?.into_iter().filter(|address| set.lease(*address).is_some()) {
            freed += usize::from(self.take_back(address, reclaim)?);
        }
        if freed > 0 {
            tracing::info!(%set, freed, "took addresses back from attachments that are gone");
        }
        Ok(freed)
    }

    /// Takes an address from a dead holder; says whether it is free now.
    fn take_back(&self, address: IpAddr, reclaim: &mut Reclaim<'_>) -> Result<bool, Error> {
        let _guard = match self.leases.holder(address)? {
            None => return Ok(true),
            // Only the reference writes a lease after creating it, and it holds the lock meanwhile.
            Some(Holder::Unknown) => None,
            Some(Holder::Attachment(owner)) => {
                let Some(guard) = reclaim(&owner) else { return Ok(false) };
                if self.leases.holder(address)? != Some(Holder::Attachment(owner)) {
                    return Ok(false); // given back, and perhaps taken by another, before the guard was ours
                }
                Some(guard)
            }
        };
        Ok(self.leases.folder.unlink(&address.to_string())?)
    }

    /// Gives back what an attachment holds, whose lock the caller holds. `recorded` is what its record names; what a
    /// killed ADD took and could not record is found by the index.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn release(&self, owner: &Attachment, recorded: &[IpAddr]) -> Result<(), Error> {
        let name = store::file_name(owner)?;
        let entry = self.entry(&name)?;
        for address in recorded {
            if self.leases.is_held_by(*address, owner, entry.as_ref())? {
                self.leases.folder.unlink(&address.to_string())?;
            }
        }
        if let (Some(index), Some(entry)) = (self.leases.index(), self.entry(&name)?) {
            if entry.st_nlink > 1 {
                for address in self.leases.linked_to(&[entry.st_ino].into())? {
                    self.leases.folder.unlink(&address.to_string())?;
                }
            }
            index.unlink(&name)?;
        }
        Ok(())
    }

    fn entry(&self, name: &str) -> Result<Option<FileStat>, IoError> {
        Ok(self.leases.index().map(|index| index.stat(name)).transpose()?.flatten())
    }

    /// Gives back what an attachment without a record holds: the reference plugin made it, or the record was lost.
    /// Reads every lease.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn release_unrecorded(&self, owner: &Attachment) -> Result<Vec<IpAddr>, Error> {
        self.release(owner, &[])?;
        let _lock = self.leases.lock()?;
        let held = self.leases.search(owner)?;
        for address in &held {
            self.leases.folder.unlink(&address.to_string())?;
        }
        Ok(held)
    }

    /// Takes back what attachments that are gone hold of these sets; says how many addresses that frees.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn reclaim(&self, sets: &[RangeSet], reclaim: &mut Reclaim<'_>) -> Result<usize, Error> {
        let _lock = self.leases.lock()?;
        sets.iter().map(|set| self.reclaim_from(set, reclaim)).sum()
    }

    /// Who holds the address; None when nobody does.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn holder(&self, address: IpAddr) -> Result<Option<Holder>, Error> {
        Ok(self.leases.holder(address)?)
    }

    /// Whether the attachment holds the address.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn is_held_by(&self, owner: &Attachment, address: IpAddr) -> Result<bool, Error> {
        let entry = self.entry(&store::file_name(owner)?)?;
        Ok(self.leases.is_held_by(address, owner, entry.as_ref())?)
    }

    /// The attachments that took addresses here in this boot and have not given them back.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn owners(&self) -> Result<Vec<Attachment>, Error> {
        Ok(self.leases.owners()?)
    }

    /// Every attachment that holds an address, by what the leases say. Reads them all.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn holders(&self) -> Result<BTreeSet<Attachment>, Error> {
        let mut holders = BTreeSet::new();
        for address in self.leases.held()? {
            if let Some(Holder::Attachment(owner)) = self.leases.holder(address)? {
                holders.insert(owner);
            }
        }
        Ok(holders)
    }

    /// How full each set is. Lists the folder.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn usage(&self, sets: &[RangeSet]) -> Result<Vec<Usage>, Error> {
        let held = self.held()?;
        let count = |set: &RangeSet| held.iter().filter(|address| set.lease(**address).is_some()).count() as u128;
        Ok(sets.iter().map(|set| Usage { capacity: set.capacity(), held: count(set) }).collect())
    }

    fn held(&self) -> Result<BTreeSet<IpAddr>, Error> {
        let mut held: BTreeSet<_> = self.leases.held()?.into_iter().collect();
        if let Some(reference) = &self.reference {
            held.extend(reference.names()?.iter().filter_map(|name| name.parse::<IpAddr>().ok()));
        }
        Ok(held)
    }

    fn census(&self, set: &RangeSet) -> Result<Census, Error> {
        let owners: HashSet<_> = self.leases.owners()?.into_iter().collect();
        let mut census = Census { folder: self.leases.folder.path().into(), ..Census::default() };
        for address in self.held()?.into_iter().filter(|address| set.lease(*address).is_some()) {
            match self.leases.holder(address)? {
                Some(Holder::Unknown) => census.unknown += 1,
                Some(Holder::Attachment(owner)) => {
                    let count = if owners.contains(&owner) { &mut census.ours } else { &mut census.others };
                    *count += 1;
                    if census.examples.len() < 3 {
                        census.examples.push(owner);
                    }
                }
                None => census.reference += 1,
            }
        }
        Ok(census)
    }
}

/// Which set gives which requested address; each set gives one.
fn assign(sets: &[RangeSet], requested: &[IpAddr]) -> Result<Vec<Option<Lease>>, Error> {
    let mut wanted = vec![None; sets.len()];
    let mut left = Vec::new();
    let distinct: BTreeSet<_> = requested.iter().map(IpAddr::to_canonical).collect();
    for address in distinct {
        let fits =
            |(set, wanted): &(&RangeSet, &mut Option<Lease>)| wanted.is_none() && set.range_of(address).is_some();
        match sets.iter().zip(&mut wanted).find(fits) {
            Some((set, slot)) => *slot = Some(set.lease(address).ok_or(Error::Gateway { address })?),
            None => left.push(address),
        }
    }
    if left.is_empty() {
        return Ok(wanted);
    }
    let sets = sets.iter().map(RangeSet::to_string).collect::<Vec<_>>().join("; ");
    Err(Error::OutOfRange { addresses: left, sets })
}

/// The reference's folder of a network. One that we may not see is none of this container's business.
fn reference_folder(data_dir: &Path, network: &str) -> Result<Option<Folder>, IoError> {
    match Folder::open(&data_dir.join(network)) {
        Err(error) if error.source.kind() == std::io::ErrorKind::PermissionDenied => Ok(None),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests;

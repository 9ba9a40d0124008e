//! A folder of leases in the form of the reference plugin host-local, with an index of our own beside them.
//!
//! ```text
//! <ip>                                       "<container>\r\n<interface>"
//! last_reserved_ip.<set>                     where the search goes on
//! lock                                       flock(2)
//! .groundwork-<boot>/<container>@<interface> our index: the same file as each lease of the attachment (hard links)
//! ```
//!
//! The index answers three questions in constant time: whether an attachment has leases, how many (links minus one),
//! and in which boot they were made. Leases of an older boot are free, those without an index entry (the reference's)
//! are not ours to judge. The reference looks into folders too, so its DEL removes our leases with their entries.

use std::{cell::OnceCell, collections::HashSet, fmt, fs::File, net::IpAddr, path::Path};

use nix::sys::stat::{FileStat, Mode};

use crate::{
    config::Attachment,
    store::{
        BootId, IoError, attachment_of,
        folder::{Folder, failed},
        lock::lock_file,
    },
};

const INDEX: &str = ".groundwork-";
const LOCK: &str = "lock";

/// Who a lease says that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// An attachment. Old versions of the reference plugin wrote no interface: its name is empty then.
    Attachment(Attachment),
    /// The file is empty or garbage: a machine that lost power, or a plugin that was killed, may leave that.
    Unknown,
}

impl Holder {
    pub(super) fn parse(content: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(content) else { return Self::Unknown };
        let (container_id, ifname) = text.trim().split_once("\r\n").unwrap_or((text.trim(), ""));
        if container_id.is_empty() || text.contains('\0') {
            return Self::Unknown;
        }
        Self::Attachment(Attachment { container_id: container_id.into(), ifname: ifname.into() })
    }

    fn is(&self, owner: &Attachment) -> bool {
        matches!(self, Self::Attachment(held) if held == owner)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attachment(Attachment { container_id, ifname }) if ifname.is_empty() => {
                write!(f, "container {container_id}")
            }
            Self::Attachment(Attachment { container_id, ifname }) => write!(f, "container {container_id} ({ifname})"),
            Self::Unknown => f.write_str("nobody known (its file is empty or damaged)"),
        }
    }
}

/// What a lease file holds.
pub(super) fn content_for(owner: &Attachment) -> String {
    format!("{}\r\n{}", owner.container_id, owner.ifname)
}

/// A folder of leases.
#[derive(Debug)]
pub(super) struct LeaseFolder {
    pub(super) folder: Folder,
    index: OnceCell<Folder>,
    index_name: String,
}

impl LeaseFolder {
    pub(super) fn new(folder: Folder, boot: &BootId) -> Result<Self, IoError> {
        let index_name = format!("{INDEX}{boot}");
        let index = folder.subfolder(&index_name)?.map_or_else(OnceCell::new, OnceCell::from);
        Ok(Self { folder, index, index_name })
    }

    /// Opens a folder by its path, made (mode 0755, as the reference does) when it is not there.
    pub(super) fn create(path: &Path) -> Result<Folder, IoError> {
        if let Some(folder) = Folder::open(path)? {
            return Ok(folder);
        }
        std::fs::create_dir_all(path).map_err(|source| failed("create the folder", path, source))?;
        Folder::open(path)?.ok_or_else(|| failed("open the folder", path, nix::errno::Errno::ENOENT))
    }

    /// Keeps others, the reference plugin included, out while it lives.
    pub(super) fn lock(&self) -> Result<File, IoError> {
        lock_file(&self.folder, LOCK)
    }

    pub(super) fn index(&self) -> Option<&Folder> {
        self.index.get()
    }

    /// The index, made when it is not there. The first time in a boot, what older boots left is removed before: so
    /// whoever sees the index of this boot knows that it was. Call it with the lock held.
    pub(super) fn ensure_index(&self) -> Result<&Folder, IoError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        self.sweep_older_boots()?;
        let index = self.folder.ensure_subfolder(&self.index_name, Mode::S_IRWXU)?;
        Ok(self.index.get_or_init(|| index))
    }

    fn sweep_older_boots(&self) -> Result<(), IoError> {
        let older = self.older_indexes()?;
        if older.is_empty() {
            return Ok(());
        }
        let stale = self.linked_to(&inodes(&older)?)?;
        for address in &stale {
            self.folder.unlink(&address.to_string())?;
        }
        for index in older {
            for name in index.names()? {
                index.unlink(&name)?;
            }
            if let Some(name) = index.path().file_name().and_then(|name| name.to_str()) {
                self.folder.remove_subfolder(name)?;
            }
        }
        tracing::info!(folder = %self.folder.path().display(), leases = stale.len(), "freed the leases of older boots");
        Ok(())
    }

    fn older_indexes(&self) -> Result<Vec<Folder>, IoError> {
        let names = self.folder.names()?;
        let older = names.iter().filter(|name| name.starts_with(INDEX) && **name != self.index_name);
        older.filter_map(|name| self.folder.subfolder(name).transpose()).collect()
    }

    /// The addresses that have a lease, those of older boots left out.
    pub(super) fn held(&self) -> Result<Vec<IpAddr>, IoError> {
        let older = self.older_indexes()?;
        let mut held = self.addresses()?;
        if !older.is_empty() {
            let stale: HashSet<_> = self.linked_to(&inodes(&older)?)?.into_iter().collect();
            held.retain(|address| !stale.contains(address));
        }
        Ok(held)
    }

    /// The addresses whose lease is one of these files.
    pub(super) fn linked_to(&self, inodes: &HashSet<u64>) -> Result<Vec<IpAddr>, IoError> {
        let mut linked = Vec::new();
        for address in self.addresses()? {
            if self.folder.stat(&address.to_string())?.is_some_and(|stat| inodes.contains(&stat.st_ino)) {
                linked.push(address);
            }
        }
        Ok(linked)
    }

    fn addresses(&self) -> Result<Vec<IpAddr>, IoError> {
        Ok(self.folder.names()?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Who holds an address; None when nobody does.
    pub(super) fn holder(&self, address: IpAddr) -> Result<Option<Holder>, IoError> {
        Ok(self.folder.read(&address.to_string())?.map(|content| Holder::parse(&content)))
    }

    /// Whether an address is leased to the attachment, whose index entry this is. The file tells without being read
    /// when it is the entry's.
    pub(super) fn is_held_by(
        &self,
        address: IpAddr,
        owner: &Attachment,
        entry: Option<&FileStat>,
    ) -> Result<bool, IoError> {
        let Some(lease) = self.folder.stat(&address.to_string())? else { return Ok(false) };
        if entry.is_some_and(|entry| entry.st_ino == lease.st_ino) {
            return Ok(true);
        }
        Ok(self.holder(address)?.is_some_and(|holder| holder.is(owner)))
    }

    /// Every address that an attachment holds by what the files say: reads them all. As the reference does, files
    /// without an interface count when there are no others.
    pub(super) fn search(&self, owner: &Attachment) -> Result<Vec<IpAddr>, IoError> {
        let whole_container = Attachment { ifname: String::new(), ..owner.clone() };
        let (mut exact, mut old_form) = (Vec::new(), Vec::new());
        for address in self.addresses()? {
            match self.holder(address)? {
                Some(holder) if holder.is(owner) => exact.push(address),
                Some(holder) if holder.is(&whole_container) => old_form.push(address),
                _ => {}
            }
        }
        Ok(if exact.is_empty() { old_form } else { exact })
    }

    /// The attachments that made leases in this boot.
    pub(super) fn owners(&self) -> Result<Vec<Attachment>, IoError> {
        let Some(index) = self.index() else { return Ok(Vec::new()) };
        Ok(index.names()?.iter().filter_map(|name| attachment_of(name)).collect())
    }
}

fn inodes(indexes: &[Folder]) -> Result<HashSet<u64>, IoError> {
    let mut inodes = HashSet::new();
    for index in indexes {
        for name in index.names()? {
            inodes.extend(index.stat(&name)?.map(|stat| stat.st_ino));
        }
    }
    Ok(inodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lease_says_is_read_as_the_reference_reads_it() {
        let holder = |container_id: &str, ifname: &str| {
            Holder::Attachment(Attachment { container_id: container_id.into(), ifname: ifname.into() })
        };
        for (content, expected) in [
            (&b"c1\r\neth0"[..], holder("c1", "eth0")),
            (b" c1\r\neth0\n", holder("c1", "eth0")),
            (b"c1\n", holder("c1", "")),
            (b"", Holder::Unknown),
            (b" \r\n ", Holder::Unknown),
            (b"\0\0\0\0", Holder::Unknown),
            (b"\xff", Holder::Unknown),
        ] {
            assert_eq!(Holder::parse(content), expected, "{content:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_attachment_comes_back_from_its_lease(id in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}", ifname in "[a-z0-9@.-]{1,15}") {
            let owner = Attachment { container_id: id, ifname };
            proptest::prop_assert_eq!(Holder::parse(content_for(&owner).as_bytes()), Holder::Attachment(owner));
        }

        #[test]
        fn no_content_is_more_than_unknown(content: Vec<u8>) {
            let _ = Holder::parse(&content);
        }
    }
}

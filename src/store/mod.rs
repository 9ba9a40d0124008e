//! Attachment records and their locks under the state folder.
//!
//! ```text
//! <stateDir>/<network>/attachments/<container>@<interface>    the record, and its lock
//! <stateDir>/<network>/leases/                                see `ipam::reservations`
//! ```
//!
//! A record is a file of JSON documents, one a line, of which the last counts: to write it is to append a line. So it
//! is never half there, costs one system call, and stays one file, on which flock(2) serves as the attachment's lock.
//! An empty one is no record: somebody holds the lock, or was killed before the first line.
//!
//! It is not synced to disk: what it stands for ends with the boot, and the state folder's default lies in memory. The
//! exception is a record that names another plugin, whose own reservations may outlive the boot.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::stat::Mode,
    unistd::{Uid, geteuid, mkdir},
};

mod boot;
pub(crate) mod folder;
pub(crate) mod lock;
mod networks;
mod record;

pub use boot::BootId;
pub use folder::IoError;
pub use networks::{LEASES, all, networks, of_network};
pub use record::{FORMAT, HostLink, Leases, Netns, Plugin, Record, SandboxLink, Shaped, State};

use self::{
    folder::{Folder, failed},
    lock::{lock_existing_file, lock_file, try_lock_existing_file},
    record::Head,
};
use crate::{cni::name, config::Attachment};

/// Where state lies unless `stateDir` says otherwise. A reboot empties it.
pub const DEFAULT_STATE_DIR: &str = "/run/groundwork";

/// Where the records lie of the plugin that made the link.
pub const ATTACHMENTS: &str = "attachments";
const OURS_ALONE: Mode = Mode::S_IRWXU;

/// What went wrong with the state folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Somebody else could have written what lies there.
    #[error("refusing the state folder {path}: {reason}")]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: Unsafe,
    },
    /// A name that would leave its folder, or that no file can bear.
    #[error("the {what} {name:?} cannot name a file of the store: expected {expected}")]
    Name {
        /// "network name", "container ID" or "interface name".
        what: &'static str,
        /// As it was given.
        name: String,
        /// What it must look like.
        expected: &'static str,
    },
    /// A record that cannot be read. What it stood for is unknown; [`Store::remove`] removes it.
    #[error("the record {path} is damaged: {source}")]
    Garbled {
        /// The file.
        path: PathBuf,
        /// Where and how.
        source: serde_json::Error,
    },
    /// A record of a later version. To undo what is known of it would leave the rest for ever.
    #[error(
        "the record {path} has format {format}, and this groundwork ({version}) can undo up to {FORMAT}: \
         use the newer version that wrote it, at least until the container is gone",
        version = env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// A whole record of a known format that holds what no version of it does.
    #[error(
        "the record {path} holds what this groundwork ({version}) does not know ({source}): use the version that wrote \
         it, or remove the file if nobody did",
        version = env!("CARGO_PKG_VERSION")
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
}

/// Why a state folder is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// It is a symbolic link, or no folder at all.
    #[error("it is a symbolic link or no folder; remove it")]
    NotFolder,
    /// It belongs to somebody who is neither root nor us.
    #[error("it belongs to user {0}; remove it, or give it to root (chown)")]
    Owner(u32),
    /// Others may write to it.
    #[error("others may write to it (mode {0:04o}); chmod 0700")]
    Mode(u32),
}

/// The attachments of one network.
#[derive(Debug)]
pub struct Store {
    folder: Folder,
    attachments: Folder,
    network: String,
    boot: BootId,
}

impl Store {
    /// The store of a network, made when it is not there.
    ///
    /// # Errors
    /// A name that is none, a state folder that is not safe, a file operation that failed.
    pub fn open(state_dir: &Path, network: &str) -> Result<Self, Error> {
        Self::open_of(state_dir, network, ATTACHMENTS)
    }

    /// As [`Store::open`], of what a plugin does later in the chain: its records lie apart from those of the plugin
    /// that made the link. `plugin` is its type.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_of(state_dir: &Path, network: &str, plugin: &str) -> Result<Self, Error> {
        check_identifier("network name", network)?;
        check_identifier("plugin type", plugin)?;
        let state = match state_folder(state_dir)? {
            Some(state) => state,
            None => create_state_folder(state_dir)?,
        };
        let folder = state.ensure_subfolder(network, OURS_ALONE)?;
        let attachments = folder.ensure_subfolder(plugin, OURS_ALONE)?;
        Ok(Self { folder, attachments, network: network.into(), boot: BootId::current()? })
    }

    /// The store of a network; None, and nothing made, when it has none.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn existing(state_dir: &Path, network: &str) -> Result<Option<Self>, Error> {
        Self::existing_of(state_dir, network, ATTACHMENTS)
    }

    /// As [`Store::existing`], of what a plugin does later in the chain.
    ///
    /// # Errors
    /// As [`Store::open_of`].
    pub fn existing_of(state_dir: &Path, network: &str, plugin: &str) -> Result<Option<Self>, Error> {
        check_identifier("network name", network)?;
        check_identifier("plugin type", plugin)?;
        let Some(state) = state_folder(state_dir)? else { return Ok(None) };
        let Some(folder) = state.subfolder(network)? else { return Ok(None) };
        // Someone killed before making it has made nothing else.
        let Some(attachments) = folder.subfolder(plugin)? else { return Ok(None) };
        Ok(Some(Self { folder, attachments, network: network.into(), boot: BootId::current()? }))
    }

    /// The boot that runs now.
    #[must_use]
    pub const fn boot(&self) -> &BootId {
        &self.boot
    }

    /// The network's name.
    #[must_use]
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The folder in which the stores of all networks lie.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        self.folder.path().parent().unwrap_or(self.folder.path())
    }

    /// Whose records these are: [`ATTACHMENTS`], or the folder of a plugin later in the chain.
    #[must_use]
    pub fn plugin(&self) -> &str {
        self.attachments.path().file_name().and_then(OsStr::to_str).unwrap_or_default()
    }

    /// Whether its records are of the plugin that made the links, and not of one later in the chain.
    #[must_use]
    pub fn is_of_links(&self) -> bool {
        self.plugin() == ATTACHMENTS
    }

    pub(crate) const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Waits until nobody else works on the attachment.
    ///
    /// # Errors
    /// A name that is none, a file operation that failed.
    pub fn lock(&self, attachment: &Attachment) -> Result<Lock, Error> {
        let file = lock_file(&self.attachments, &file_name(attachment)?)?;
        Ok(Lock { attachment: attachment.clone(), file })
    }

    /// As [`Store::lock`], for whoever makes nothing; None when no ADD has begun since the last DEL. So DEL needs no
    /// room on the disk.
    ///
    /// # Errors
    /// As [`Store::lock`].
    pub fn lock_existing(&self, attachment: &Attachment) -> Result<Option<Lock>, Error> {
        let file = lock_existing_file(&self.attachments, &file_name(attachment)?)?;
        Ok(file.map(|file| Lock { attachment: attachment.clone(), file }))
    }

    /// As [`Store::lock_existing`]; None at once also when somebody works on it.
    ///
    /// # Errors
    /// As [`Store::lock`].
    pub fn try_lock(&self, attachment: &Attachment) -> Result<Option<Lock>, Error> {
        let file = try_lock_existing_file(&self.attachments, &file_name(attachment)?)?;
        Ok(file.map(|file| Lock { attachment: attachment.clone(), file }))
    }

    /// The lock of an attachment that is dead for sure: nobody works on it, and its record is of an older boot, or
    /// names a namespace that is gone and a link of the host that does not live. None when there is no such proof.
    ///
    /// # Errors
    /// As [`Store::lock`] and [`Store::read`].
    pub fn lock_if_dead(
        &self,
        attachment: &Attachment,
        link_lives: impl FnOnce(&HostLink) -> bool,
    ) -> Result<Option<Lock>, Error> {
        let Some(lock) = self.try_lock(attachment)? else { return Ok(None) };
        let Some(record) = self.read(attachment)? else { return Ok(None) };
        let gone = record.is_gone() && !record.host_link.as_ref().is_some_and(link_lives);
        Ok((record.boot_id != self.boot || gone).then_some(lock))
    }

    /// What is remembered of an attachment; None when nothing is.
    ///
    /// # Errors
    /// [`Error::Garbled`]: DEL and GC go on with the names alone, and remove it. [`Error::Newer`] and [`Error::Unknown`]:
    /// they leave all as it is.
    pub fn read(&self, attachment: &Attachment) -> Result<Option<Record>, Error> {
        let name = file_name(attachment)?;
        let Some(content) = self.attachments.read(&name)?.filter(|content| !content.is_empty()) else {
            return Ok(None);
        };
        let line = last_line(&content);
        let path = || self.attachments.path().join(&name);
        let Head { format, .. } =
            serde_json::from_slice(line).map_err(|source| Error::Garbled { path: path(), source })?;
        if format > FORMAT {
            return Err(Error::Newer { path: path(), format });
        }
        serde_json::from_slice(line).map(Some).map_err(|source| Error::Unknown { path: path(), source })
    }

    /// Writes the record of the attachment that the lock is for.
    ///
    /// # Errors
    /// A file operation that failed; the old record then still stands.
    pub fn write(&self, lock: &Lock, record: &Record) -> Result<(), Error> {
        let name = file_name(&lock.attachment)?;
        let failed = |source: std::io::Error| self.attachments.failed("write", &name, source);
        let mut line = vec![b'\n']; // ends what someone may have written half
        serde_json::to_writer(&mut line, &record.versioned()).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        let mut file = &lock.file;
        file.write_all(&line).map_err(failed)?;
        if record.outlives_boot() {
            file.sync_data().map_err(failed)?;
        }
        Ok(())
    }

    /// Forgets an attachment: its record and its lock.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn remove(&self, lock: Lock) -> Result<(), Error> {
        self.attachments.unlink(&file_name(&lock.attachment)?)?;
        drop(lock); // not before: see `lock::acquire`
        Ok(())
    }

    /// The attachments that have a record, or had one begun.
    ///
    /// # Errors
    /// A file operation that failed.
    pub fn list(&self) -> Result<Vec<Attachment>, Error> {
        let mut found: Vec<_> = self.attachments.names()?.iter().filter_map(|name| attachment_of(name)).collect();
        found.sort();
        Ok(found)
    }
}

/// The right to work on one attachment of one network, until it is dropped or the process ends.
#[derive(Debug)]
#[must_use = "dropping it lets others in"]
pub struct Lock {
    attachment: Attachment,
    file: File,
}

impl Lock {
    /// Whose it is.
    #[must_use]
    pub const fn attachment(&self) -> &Attachment {
        &self.attachment
    }
}

/// The last line that was written to its end; all there is when there is none.
fn last_line(content: &[u8]) -> &[u8] {
    let ended = content.iter().rposition(|byte| *byte == b'\n').map_or(content, |end| &content[..end]);
    let lines = ended.rsplit(|byte| *byte == b'\n');
    lines.into_iter().find(|line| !line.is_empty()).unwrap_or(content)
}

/// Opens the state folder if it is there, and makes sure that only root and we can have written what lies in it.
fn state_folder(path: &Path) -> Result<Option<Folder>, Error> {
    let refuse = |reason| Error::Unsafe { path: path.into(), reason };
    let folder = match Folder::open_unlinked(path) {
        Ok(Some(folder)) => folder,
        Ok(None) => return Ok(None),
        Err(error) if error.source.raw_os_error() == Some(Errno::ENOTDIR as i32) => {
            return Err(refuse(Unsafe::NotFolder));
        }
        Err(error) => return Err(error.into()),
    };
    let stat = folder.stat_self()?;
    if stat.st_uid != 0 && Uid::from_raw(stat.st_uid) != geteuid() {
        return Err(refuse(Unsafe::Owner(stat.st_uid)));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(refuse(Unsafe::Mode(stat.st_mode & 0o7777)));
    }
    Ok(Some(folder))
}

fn create_state_folder(path: &Path) -> Result<Folder, Error> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|source| failed("create the folder", parent, source))?;
    }
    match mkdir(path, OURS_ALONE) {
        Ok(()) | Err(Errno::EEXIST) => {} // whoever made it meanwhile: it is judged like any other
        Err(errno) => return Err(failed("create the folder", path, errno).into()),
    }
    state_folder(path)?.ok_or_else(|| failed("open the folder", path, Errno::ENOENT).into())
}

/// `<container>@<interface>`. A container ID has no `@`; an interface name may.
pub(crate) fn file_name(attachment: &Attachment) -> Result<String, Error> {
    let Attachment { container_id, ifname } = attachment;
    check_identifier("container ID", container_id)?;
    if !name::is_interface(ifname) {
        return Err(Error::Name { what: "interface name", name: ifname.clone(), expected: name::INTERFACE });
    }
    Ok(format!("{container_id}@{ifname}"))
}

/// The attachment whose file this is; None for a foreign name.
pub(crate) fn attachment_of(file_name: &str) -> Option<Attachment> {
    let (container_id, ifname) = file_name.split_once('@')?;
    let attachment = Attachment { container_id: container_id.into(), ifname: ifname.into() };
    self::file_name(&attachment).is_ok().then_some(attachment)
}

/// Whoever parsed the request has checked it; a file's name is checked where it is made all the same.
pub(crate) fn check_identifier(what: &'static str, text: &str) -> Result<(), Error> {
    if name::is_identifier(text) {
        return Ok(());
    }
    Err(Error::Name { what, name: text.into(), expected: name::IDENTIFIER })
}

#[cfg(test)]
mod tests;

//! Where the search for a free address goes on.

use std::{fs::File, net::IpAddr, os::unix::fs::FileExt};

use nix::fcntl::OFlag;

use crate::store::{IoError, folder::Folder};

/// `last_reserved_ip.<set>`: where the search goes on. A hint only, so nothing that is wrong with it matters.
pub(super) struct Hint {
    file: File,
    content: [u8; 64],
    length: usize,
}

impl Hint {
    pub(super) fn open(folder: &Folder, set: usize) -> Result<Self, IoError> {
        let file = folder.open_file(&format!("last_reserved_ip.{set}"), OFlag::O_RDWR)?;
        let mut content = [0; 64];
        let length = file.read_at(&mut content, 0).unwrap_or(0);
        Ok(Self { file, content, length })
    }

    pub(super) fn last(&self) -> Option<IpAddr> {
        str::from_utf8(self.content.get(..self.length)?).ok()?.trim().parse().ok()
    }

    /// Not truncated first, so that nobody finds it empty in between.
    pub(super) fn note(&self, address: IpAddr) {
        let text = address.to_string();
        let shorter = text.len() < self.length;
        let written = self.file.write_all_at(text.as_bytes(), 0);
        let written = written.and_then(|()| if shorter { self.file.set_len(text.len() as u64) } else { Ok(()) });
        if let Err(error) = written {
            tracing::debug!(%error, "the last reserved address was not noted");
        }
    }
}

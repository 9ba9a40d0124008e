//! Which boot of the machine this is. Interfaces and namespaces end with it.

use std::{fmt, fs, path::Path};

use super::folder::{IoError, failed};

/// Identity of one boot, as `/proc/sys/kernel/random/boot_id` gives it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct BootId(String);

impl BootId {
    /// The boot that runs now.
    ///
    /// # Errors
    /// When /proc is not mounted, or does not show a boot id.
    pub fn current() -> Result<Self, IoError> {
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let text = fs::read_to_string(path).map_err(|source| failed("read", path, source))?;
        Self::parse(text.trim_end()).ok_or_else(|| failed("read a boot id in", path, nix::errno::Errno::EINVAL))
    }

    /// A boot id from its text: hexadecimal digits and hyphens, so that it may be part of a file's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        fits.then(|| Self(text.into()))
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

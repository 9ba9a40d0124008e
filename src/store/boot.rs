//! Which boot of the machine this is. Interfaces and namespaces end with it.

use std::{fmt, fs::File, io::Read, path::Path};

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
        let mut text = [0; 64];
        let length = File::open(path).and_then(|mut file| file.read(&mut text));
        let length = length.map_err(|source| failed("read", path, source))?;
        let id = text.get(..length).and_then(|text| Self::parse(str::from_utf8(text).ok()?.trim_end()));
        id.ok_or_else(|| failed("find a boot id in", path, nix::errno::Errno::EINVAL))
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

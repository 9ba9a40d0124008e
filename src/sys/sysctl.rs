//! Kernel settings under /proc/sys, of the calling thread's network namespace.

use std::{fs, io, path::PathBuf};

/// A setting that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {source}", path.display())]
pub struct Error {
    /// `read`, or `write VALUE to`.
    pub verb: String,
    /// The file.
    pub path: PathBuf,
    /// The kernel's answer.
    pub source: io::Error,
}

/// One setting, by its components (`["net", "ipv4", "ip_forward"]`): an interface's name may hold dots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Vec<String>);

impl Key {
    /// A setting of the whole namespace, dotted as sysctl(8) writes it.
    #[must_use]
    pub fn new(dotted: &str) -> Self {
        Self(dotted.split('.').map(str::to_owned).collect())
    }

    /// `net.FAMILY.conf.LINK.NAME`.
    #[must_use]
    pub fn conf(family: &str, link: &str, name: &str) -> Self {
        Self(["net", family, "conf", link, name].map(str::to_owned).to_vec())
    }

    fn path(&self) -> PathBuf {
        let mut path = PathBuf::from("/proc/sys");
        path.extend(&self.0);
        path
    }

    /// Reads the setting, trimmed.
    ///
    /// # Errors
    /// As `open(2)` and `read(2)`; a name with a path separator is refused.
    pub fn read(&self) -> Result<String, Error> {
        self.checked().and_then(fs::read_to_string).map(|text| text.trim_end().to_owned()).map_err(|source| Error {
            verb: "read".into(),
            path: self.path(),
            source,
        })
    }

    /// Writes the setting.
    ///
    /// # Errors
    /// As `open(2)` and `write(2)`: ENOENT where the kernel lacks it, EROFS or EACCES where /proc/sys is read-only.
    pub fn write(&self, value: &str) -> Result<(), Error> {
        self.checked().and_then(|path| fs::write(path, value)).map_err(|source| Error {
            verb: format!("write {value} to"),
            path: self.path(),
            source,
        })
    }

    fn checked(&self) -> io::Result<PathBuf> {
        let plain = |part: &String| !part.is_empty() && part != "." && part != ".." && !part.contains('/');
        if self.0.iter().all(plain) { Ok(self.path()) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // sysctl(8) writes a dot inside a component as a slash.
        let parts: Vec<_> = self.0.iter().map(|part| part.replace('.', "/")).collect();
        f.write_str(&parts.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_of_an_interface_stay_inside_its_component() {
        let key = Key::conf("ipv4", "eth0.5", "arp_notify");
        assert_eq!(key.path(), PathBuf::from("/proc/sys/net/ipv4/conf/eth0.5/arp_notify"));
        assert_eq!(key.to_string(), "net.ipv4.conf.eth0/5.arp_notify");
    }

    #[test]
    fn no_component_leaves_proc_sys() {
        let error = Key::conf("ipv4", "..", "x").read().unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::InvalidInput);
        assert!(Key::new("kernel.ostype").read().unwrap().contains("Linux"));
    }
}

//! Kernel settings under /proc/sys, of the calling thread's network namespace.
//!
//! A setting is named by its path below /proc/sys (`net/ipv4/conf/eth0.5/arp_notify`): an interface's name may hold dots.

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

/// Reads a setting, trimmed.
///
/// # Errors
/// As `open(2)` and `read(2)`; a name that leaves /proc/sys is refused.
pub fn read(name: &str) -> Result<String, Error> {
    file(name).and_then(fs::read_to_string).map(|text| text.trim_end().to_owned()).map_err(|source| Error {
        verb: "read".into(),
        path: shown(name),
        source,
    })
}

/// Writes a setting.
///
/// # Errors
/// As `open(2)` and `write(2)`: ENOENT where the kernel lacks it, EROFS or EACCES where /proc/sys is read-only;
/// a name that leaves /proc/sys is refused.
pub fn write(name: &str, value: &str) -> Result<(), Error> {
    file(name).and_then(|path| fs::write(path, value)).map_err(|source| Error {
        verb: format!("write {value} to"),
        path: shown(name),
        source,
    })
}

fn shown(name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/sys/{name}"))
}

fn file(name: &str) -> io::Result<PathBuf> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.split('/').all(plain) { Ok(shown(name)) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_proc_sys() {
        for name in ["net/ipv4/conf/../../../../etc/x", "/etc/passwd", "", "net//ipv4"] {
            assert_eq!(read(name).unwrap_err().source.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        assert!(read("kernel/ostype").unwrap().contains("Linux"));
    }
}

//! Kernel settings under /proc/sys, of the calling thread's network namespace.
//!
//! A setting is named by its path below /proc/sys (`net/ipv4/conf/eth0.5/arp_notify`): an interface's name may hold dots.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

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

/// Gives a setting a value. What has it already is not written: where `/proc/sys` is read-only that would fail, and the
/// kernel makes a writer of some settings (`forwarding`, `disable_ipv6`) try again and again while another process
/// changes links.
///
/// # Errors
/// As `open(2)` and `write(2)`: ENOENT where the kernel lacks it, EROFS or EACCES where it may not be written;
/// a name that leaves /proc/sys is refused.
pub fn write(name: &str, value: &str) -> Result<(), Error> {
    file(name).and_then(|path| write_to(&path, value)).map_err(|source| Error {
        verb: format!("write {value} to"),
        path: shown(name),
        source,
    })
}

fn write_to(path: &Path, value: &str) -> io::Result<()> {
    let is_held = |setting: &File| -> io::Result<bool> {
        let mut held = [0; 256];
        let length = setting.read_at(&mut held, 0)?;
        Ok(held[..length].trim_ascii() == value.as_bytes())
    };
    match File::options().read(true).write(true).open(path) {
        Ok(setting) if is_held(&setting)? => Ok(()),
        Ok(setting) => setting.write_all_at(value.as_bytes(), 0),
        // It may be read-only, and right, or write-only.
        Err(_) if File::open(path).is_ok_and(|setting| is_held(&setting).unwrap_or(false)) => Ok(()),
        Err(_) => fs::write(path, value),
    }
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

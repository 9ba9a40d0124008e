//! What an ADD must know of the overlay on this host, in a small file: written by whoever runs the engine.

use std::{
    fs,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::{
    config::{Engine, OverlayConfig},
    store::Store,
};

/// Its name in the folder of its network.
const NAME: &str = "overlay.json";

/// This host's part of an overlay, as `<stateDir>/<network>/overlay.json` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFile {
    /// Who runs it.
    pub engine: Engine,
    /// The whole overlay, one network of each family.
    pub network: Vec<IpNet>,
    /// This host's subnets, in the order of the networks.
    pub subnets: Vec<IpNet>,
    /// What containers may send in one packet, in bytes.
    pub mtu: u32,
    /// The overlay's number on the wire.
    pub vni: u32,
    /// The UDP port.
    pub port: u16,
    /// The vxlan device, which is not there while there is one host.
    pub device: String,
    /// This host's name.
    pub node: String,
    /// This host's address in the underlay; None while there is one host.
    pub vtep: Option<IpAddr>,
    /// Where the agent of engine etcd answers questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<SocketAddr>,
    /// The file of peers of engine static.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_file: Option<PathBuf>,
}

impl HostFile {
    /// Where it is.
    #[must_use]
    pub fn path(state_dir: &Path, network: &str) -> PathBuf {
        state_dir.join(network).join(NAME)
    }

    /// Reads it; None when it is not there.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Garbled`].
    pub fn read(state_dir: &Path, network: &str) -> Result<Option<Self>, Error> {
        let path = Self::path(state_dir, network);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { doing: "read", path, source }),
        };
        let file = serde_json::from_slice(&text).map_err(|error| Error::Garbled { path, reason: error.to_string() })?;
        Ok(Some(file))
    }

    /// Puts it in place of what is there, all at once; false if that is the same already.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Store`] when the state folder is not safe.
    pub fn write(&self, state_dir: &Path, network: &str) -> Result<bool, Error> {
        if Self::read(state_dir, network).is_ok_and(|present| present.as_ref() == Some(self)) {
            return Ok(false);
        }
        drop(Store::open(state_dir, network)?); // makes the folder, or refuses it
        let path = Self::path(state_dir, network);
        let draft = path.with_file_name(format!(".{NAME}.{}", std::process::id()));
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::Garbled { path: path.clone(), reason: error.to_string() })?;
        let written = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
        written
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.write_all(b"\n")))
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|source| Error::File { doing: "write", path, source })?;
        Ok(true)
    }

    /// Whether it is of the overlay that a configuration speaks of.
    ///
    /// # Errors
    /// [`Error::OtherOverlay`].
    pub fn ensure_of(&self, config: &OverlayConfig, path: PathBuf) -> Result<(), Error> {
        if self.network == config.networks && self.vni == config.vni && self.port == config.port {
            return Ok(());
        }
        let words = |networks: &[IpNet], vni, port| {
            let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
            format!("{} (VNI {vni}, port {port})", networks.join(", "))
        };
        let found = words(&self.network, self.vni, self.port);
        Err(Error::OtherOverlay { path, found, wanted: words(&config.networks, config.vni, config.port) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_older_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = HostFile::path(folder.path(), "pods");
        fs::create_dir(folder.path().join("pods")).unwrap();
        let old = r#"{"engine":"etcd","network":["10.244.0.0/16"],"subnets":["10.244.1.0/24"],"mtu":1450,"vni":1,
                      "port":4789,"device":"vxlan.1","node":"h1","vtep":"192.0.2.1"}"#;
        fs::write(&path, old).unwrap();
        let file = HostFile::read(folder.path(), "pods").unwrap().unwrap();
        assert_eq!((file.node.as_str(), file.agent, file.peer_file), ("h1", None, None));
    }
}

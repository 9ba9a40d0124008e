//! The agent's configuration file: JSON with keys that are all known.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{cni::name, store::DEFAULT_STATE_DIR};

/// The configuration of the agent, checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AgentConfig {
    /// `network`: the `name` of the CNI configuration whose overlay this is.
    pub network: String,
    /// `etcd`.
    pub etcd: EtcdConfig,
    /// `node`: this host's name, which no other has; the kernel's host name when None.
    pub node: Option<String>,
    /// `underlay`: the interface or the address that carries encapsulated frames; the default route's when None.
    pub underlay: Option<String>,
    /// `mtu` of what containers send, in bytes; the underlay's without what encapsulation takes when None.
    pub mtu: Option<u32>,
    /// `stateDir`: the plugin's, where the host's file goes.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// `listen`: where /healthz, /metrics and /peers are served; a loopback address.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
}

/// How etcd is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EtcdConfig {
    /// `endpoints`: URLs of its members.
    pub endpoints: Vec<String>,
    /// `ca`: a file of PEM certificates that vouch for the members.
    pub ca: Option<PathBuf>,
    /// `cert`: this host's certificate, a PEM file.
    pub cert: Option<PathBuf>,
    /// `key` of that certificate, a PEM file.
    pub key: Option<PathBuf>,
    /// `user` of etcd.
    pub user: Option<String>,
    /// `passwordFile`: the user's password, without the line's end.
    pub password_file: Option<PathBuf>,
    /// `prefix` of all keys.
    #[serde(default = "default_prefix")]
    pub prefix: String,
}

fn default_state_dir() -> PathBuf {
    DEFAULT_STATE_DIR.into()
}

fn default_listen() -> SocketAddr {
    crate::overlay::engine::AGENT
}

fn default_prefix() -> String {
    "/groundwork/v1".into()
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// The file, or one that it names, cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },
    /// It is not JSON, or a key is unknown, missing or of another type.
    #[error("{}: {error}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What and where.
        error: serde_json::Error,
    },
    /// A value cannot be.
    #[error("{}: {key}: {problem}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The key, with the keys it is under.
        key: &'static str,
        /// What is wrong with it, and what is expected.
        problem: String,
    },
}

impl AgentConfig {
    /// Reads the configuration.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigProblem> {
        let text = read(path)?;
        let config: Self =
            serde_json::from_slice(&text).map_err(|error| ConfigProblem::Malformed { path: path.into(), error })?;
        match config.fault() {
            Some((key, problem)) => Err(ConfigProblem::Wrong { path: path.into(), key, problem }),
            None => Ok(config),
        }
    }

    /// The key of the first value that cannot be, and why.
    fn fault(&self) -> Option<(&'static str, String)> {
        if !name::is_identifier(&self.network) {
            return Some(("network", format!("{:?} is no name of a network", self.network)));
        }
        if self.node.as_deref().is_some_and(|node| !is_node_name(node)) {
            return Some(("node", "expected a name of letters, digits, \".\", \"_\" and \"-\"".into()));
        }
        if !self.state_dir.is_absolute() {
            return Some(("stateDir", "expected an absolute path".into()));
        }
        if !self.listen.ip().is_loopback() {
            return Some(("listen", format!("{} is no loopback address, such as 127.0.0.1:9471", self.listen)));
        }
        self.etcd.fault()
    }
}

impl EtcdConfig {
    fn fault(&self) -> Option<(&'static str, String)> {
        let is_plain = |url: &String| url.starts_with("http://");
        if self.endpoints.is_empty() {
            return Some(("etcd.endpoints", "expected at least one URL, such as https://192.0.2.1:2379".into()));
        }
        for url in &self.endpoints {
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            if rest.is_none_or(|rest| rest.trim_end_matches('/').is_empty()) {
                return Some(("etcd.endpoints", format!("{url:?} does not begin with https:// or http:// and a host")));
            }
        }
        let with_tls = self.ca.is_some() || self.cert.is_some() || self.key.is_some();
        if let (true, Some(plain)) = (with_tls, self.endpoints.iter().find(|url| is_plain(url))) {
            return Some((
                "etcd.endpoints",
                format!("{plain} would send in the clear what certificates are to protect"),
            ));
        }
        if self.ca.is_none() && !self.endpoints.iter().all(is_plain) {
            return Some((
                "etcd.ca",
                "expected the file of the authority that signed the members' certificates".into(),
            ));
        }
        if self.cert.is_some() != self.key.is_some() {
            return Some(("etcd.cert", "cert and key go together".into()));
        }
        if self.user.is_some() != self.password_file.is_some() {
            return Some(("etcd.user", "user and passwordFile go together".into()));
        }
        if !self.prefix.starts_with('/') || self.prefix.ends_with('/') {
            return Some(("etcd.prefix", "expected a path that begins with a slash and does not end in one".into()));
        }
        None
    }

    /// The user's name and password; read anew each time, so that a password can be changed under the agent.
    ///
    /// # Errors
    /// The password's file cannot be read.
    pub fn credentials(&self) -> Result<Option<(String, String)>, ConfigProblem> {
        let (Some(user), Some(path)) = (&self.user, &self.password_file) else { return Ok(None) };
        let password = read(path)?;
        let password = String::from_utf8_lossy(&password).trim_end_matches(['\r', '\n']).to_owned();
        Ok(Some((user.clone(), password)))
    }
}

/// Whether a host can have this name in etcd's keys.
#[must_use]
pub fn is_node_name(node: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    !node.is_empty() && node.len() <= 253 && node.chars().all(is_plain)
}

/// The bytes of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ConfigProblem> {
    std::fs::read(path).map_err(|error| ConfigProblem::Unreadable { path: path.into(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let problem = AgentConfig::read(file.path()).expect_err(text).to_string();
        problem.strip_prefix(&format!("{}: ", file.path().display())).unwrap_or(&problem).to_owned()
    }

    #[test]
    fn silence_means_the_defaults() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"network": "pods", "etcd": {"endpoints": ["http://192.0.2.1:2379"]}}"#)
            .unwrap();
        let config = AgentConfig::read(file.path()).unwrap();
        assert_eq!(config.etcd.prefix, "/groundwork/v1");
        assert_eq!(config.state_dir, Path::new("/run/groundwork"));
        assert!(config.listen.ip().is_loopback());
        assert_eq!((config.node, config.underlay, config.mtu), (None, None, None));
    }

    #[test]
    fn what_cannot_be_is_told() {
        let cases = [
            (r#"{"etcd": {"endpoints": ["http://a:1"]}}"#, "missing field `network`"),
            (r#"{"network": "p", "etcd": {"endpoint": []}}"#, "unknown field `endpoint`, expected one of `endpoints`"),
            (r#"{"network": "p", "etcd": {"endpoints": []}}"#, "etcd.endpoints: expected at least one"),
            (r#"{"network": "p", "etcd": {"endpoints": ["a:1"]}}"#, "etcd.endpoints: \"a:1\" does not begin"),
            (r#"{"network": "p", "etcd": {"endpoints": ["https://"]}}"#, "etcd.endpoints: \"https://\" does not"),
            (r#"{"network": "p", "etcd": {"endpoints": ["https://a:1"]}}"#, "etcd.ca: expected the file"),
            (
                r#"{"network": "p", "etcd": {"endpoints": ["http://a:1"], "ca": "/ca"}}"#,
                "etcd.endpoints: http://a:1 would",
            ),
            (
                r#"{"network": "p", "etcd": {"endpoints": ["https://a:1"], "ca": "/ca", "key": "/k"}}"#,
                "etcd.cert: cert",
            ),
            (r#"{"network": "p", "etcd": {"endpoints": ["http://a:1"], "user": "a"}}"#, "etcd.user: user and password"),
            (r#"{"network": "p", "etcd": {"endpoints": ["http://a:1"], "prefix": "/a/"}}"#, "etcd.prefix: expected"),
            (r#"{"network": "p/q", "etcd": {"endpoints": ["http://a:1"]}}"#, "network: \"p/q\" is no name"),
            (r#"{"network": "p", "node": "a/b", "etcd": {"endpoints": ["http://a:1"]}}"#, "node: expected a name"),
            (r#"{"network": "p", "stateDir": "x", "etcd": {"endpoints": ["http://a:1"]}}"#, "stateDir: expected an"),
            (
                r#"{"network": "p", "listen": "0.0.0.0:1", "etcd": {"endpoints": ["http://a:1"]}}"#,
                "listen: 0.0.0.0:1 is",
            ),
        ];
        for (text, expected) in cases {
            let problem = problem(text);
            assert!(problem.starts_with(expected), "{text}\n{problem}");
        }
    }
}

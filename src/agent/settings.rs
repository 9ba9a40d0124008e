//! What etcd's key `config` says of the overlay, with what only this host knows: pure.

use serde_json::{Map, Value};

use super::{claim::Pool, config::AgentConfig};
use crate::config::OverlayConfig;

/// Keys that the administrator may set for all hosts.
const COMMON: [&str; 4] = ["network", "subnetLen", "vni", "port"];

/// The overlay's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// As the plugin reads them.
    pub overlay: OverlayConfig,
}

/// Why there are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsProblem {
    /// Nobody has written them.
    #[error("etcd has no key {key}: write it once with `etcdctl put {key} '{{\"network\": \"10.244.0.0/16\"}}'`")]
    Missing {
        /// Where they should be.
        key: String,
    },
    /// They cannot be used.
    #[error("etcd's key {key}: {problem}")]
    Wrong {
        /// Where they are.
        key: String,
        /// What is wrong with them.
        problem: String,
    },
}

impl SettingsProblem {
    /// Of the key that is meant.
    #[must_use]
    pub fn at(mut self, path: String) -> Self {
        let (Self::Missing { key } | Self::Wrong { key, .. }) = &mut self;
        *key = path;
        self
    }
}

impl Settings {
    /// Reads the value of etcd's key.
    ///
    /// # Errors
    /// It is missing or wrong; the key's name is left empty ([`SettingsProblem::at`]).
    pub fn read(value: Option<&[u8]>, config: &AgentConfig) -> Result<Self, SettingsProblem> {
        let value = value.ok_or(SettingsProblem::Missing { key: String::new() })?;
        Self::parse(value, config).map_err(|problem| SettingsProblem::Wrong { key: String::new(), problem })
    }

    fn parse(value: &[u8], config: &AgentConfig) -> Result<Self, String> {
        let mut map: Map<String, Value> = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        if let Some(key) = map.keys().find(|key| !COMMON.contains(&key.as_str())) {
            return Err(format!("unknown key {key:?}, expected {}", COMMON.join(", ")));
        }
        map.insert("engine".into(), "etcd".into());
        let own = [("underlay", config.underlay.clone().map(Value::from)), ("mtu", config.mtu.map(Value::from))];
        map.extend(own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        let overlay = OverlayConfig::of(&map).map_err(|error| error.to_string())?;
        Ok(Self { overlay })
    }

    /// Where subnets come from.
    #[must_use]
    pub fn pools(&self) -> Vec<Pool> {
        let each = self.overlay.networks.iter().zip(&self.overlay.subnet_len);
        each.map(|(network, length)| Pool { network: *network, length: *length }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let config = r#"{"network": "pods", "etcd": {"endpoints": ["http://192.0.2.1:2379"]}, "underlay": "eth0"}"#;
        let config = serde_json::from_str(config).unwrap();
        Settings::read(Some(text.as_bytes()), &config).map_err(|problem| problem.at("/k".into()).to_string())
    }

    #[test]
    fn the_hosts_own_part_is_added() {
        let settings =
            read(r#"{"network": ["10.244.0.0/16", "fd00:1::/48"], "subnetLen": [25, 64], "vni": 7}"#).unwrap();
        assert_eq!(settings.overlay.vni, 7);
        assert_eq!(settings.overlay.underlay, crate::config::Underlay::Interface("eth0".into()));
        let pools: Vec<_> = settings.pools().iter().map(|pool| (pool.network.to_string(), pool.length)).collect();
        assert_eq!(pools, [("10.244.0.0/16".into(), 25), ("fd00:1::/48".into(), 64)]);
    }

    #[test]
    fn what_is_wrong_is_told_with_the_key() {
        let missing =
            Settings::read(None, &serde_json::from_str(r#"{"network": "p", "etcd": {"endpoints": []}}"#).unwrap());
        let missing = missing.unwrap_err().at("/k".into()).to_string();
        assert!(
            missing.starts_with("etcd has no key /k: write it once with `etcdctl put /k '{\"network\""),
            "{missing}"
        );
        for (text, expected) in [
            ("x", "etcd's key /k: expected value"),
            ("{}", "etcd's key /k: "),
            (
                r#"{"network": "10.0.0.0/8", "subnet_len": 24}"#,
                "etcd's key /k: unknown key \"subnet_len\", expected network",
            ),
            (r#"{"network": "10.244.0.0/16", "subnetLen": 8}"#, "etcd's key /k: "),
        ] {
            let problem = read(text).expect_err(text);
            assert!(problem.starts_with(expected), "{problem}");
        }
    }
}

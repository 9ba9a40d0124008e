//! Configurations as runtimes send them, whole and broken.

mod examples;

use serde_json::Value;

use super::{ConfigError, NetworkConfig};
use crate::cni::{Request, Verb, args::CniArgs};

/// A request of `verb` with the variables that its specification asks for.
pub(super) fn request(verb: Verb) -> Request {
    let vars = |name: &str| {
        let value = match name {
            "CNI_COMMAND" => verb.as_str(),
            "CNI_CONTAINERID" => "c1",
            "CNI_NETNS" => "/run/netns/c1",
            "CNI_IFNAME" => "eth0",
            "CNI_PATH" => "/opt/cni/bin",
            _ => return None,
        };
        Some(value.into())
    };
    Request::parse(&vars).unwrap()
}

/// An ADD with `CNI_ARGS`.
pub(super) fn request_with(args: &str) -> Request {
    Request { args: CniArgs::parse(args).unwrap(), ..request(Verb::Add) }
}

/// `config` parsed for an ADD.
pub(super) fn parse(config: &Value) -> Result<NetworkConfig, ConfigError> {
    NetworkConfig::parse(config.to_string().as_bytes(), &request(Verb::Add))
}

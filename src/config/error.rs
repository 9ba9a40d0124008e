//! What can be wrong with a configuration.

use crate::cni::{RequestError, ResultError, Verb, Version, json::FieldError, version::UnsupportedVersion};

/// Why a configuration cannot be used. Each names the key (or the item of CNI_ARGS), its value and what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// stdin is not JSON.
    #[error("the network configuration on stdin is not JSON: {0}")]
    NotJson(String),
    /// stdin is JSON and no object.
    #[error("the network configuration on stdin is {0}: expected a JSON object")]
    NotAnObject(String),
    /// A key is missing, or has a value that cannot be.
    #[error("network configuration: {0}")]
    Field(#[from] FieldError),
    /// `prevResult` is no result.
    #[error("network configuration: `prevResult`: {0}")]
    PrevResult(ResultError),
    /// A `cniVersion` is of no version spoken here.
    #[error("network configuration: `{path}`: {source}")]
    Version {
        /// The key's path.
        path: &'static str,
        /// Its value, and what could be.
        source: UnsupportedVersion,
    },
    /// The verb came with a later version than the configuration's.
    #[error("{verb} exists from CNI version {needs}, and `cniVersion` is {declared}", needs = verb.since())]
    VerbTooNew {
        /// What was asked.
        verb: Verb,
        /// The configuration's version.
        declared: Version,
    },
    /// CNI_ARGS is not what it must look like.
    #[error(transparent)]
    Arguments(#[from] RequestError),
    /// An item of CNI_ARGS has a value that cannot be.
    #[error("CNI_ARGS has {key}={value}: expected {expected}")]
    Argument {
        /// Its key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What could be.
        expected: String,
    },
    /// CNI_ARGS has keys that nobody here knows.
    #[error("CNI_ARGS has unknown keys: {}; known are IP, MAC and GATEWAY, and IgnoreUnknown=1 allows others", .0.join(", "))]
    UnknownArguments(Vec<String>),
    /// Another plugin is to be run, and CNI_PATH does not say where plugins are.
    #[error("CNI_PATH is missing, and `{key}` names the plugin {plugin:?} to be looked up there")]
    NoPath {
        /// The key that names it.
        key: &'static str,
        /// The plugin.
        plugin: String,
    },
    /// A condition on host ports that the rules, which are the same for all containers, cannot keep.
    #[error(
        "`{path}` is {value}, and of conditions on host ports groundwork keeps [\"-d\", \"ADDRESS,ADDRESS\"] and \
         [\"!\", \"-d\", \"ADDRESS\"] with addresses of the host: leave it out, and let a firewall drop what is not to come \
         (what was redirected has `ct status dnat`)"
    )]
    Condition {
        /// The key's path.
        path: String,
        /// Its value, as JSON.
        value: String,
    },
    /// It was called under the name of a plugin whose work it does not do.
    #[error(
        "`type` is \"{plugin_type}\", and groundwork does not do what a plugin of that name does: it can stand for {served}, \
         or be called groundwork"
    )]
    NotServed {
        /// The name.
        plugin_type: String,
        /// The names of those whose work it does.
        served: String,
    },
    /// Two keys that exclude each other.
    #[error("`{first}` and `{second}` exclude each other: {why}")]
    Conflict {
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// The reason.
        why: &'static str,
    },
}

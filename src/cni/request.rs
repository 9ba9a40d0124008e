//! What a runtime asks: the environment, validated, without looking at the world.

use std::path::PathBuf;

/// The operation that the runtime asks for (`CNI_COMMAND`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Verb {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

/// `CNI_ARGS`, parsed: the keys that groundwork knows, and whether unknown ones are tolerated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CniArgs {
    /// Every pair, in order.
    pub pairs: Vec<(String, String)>,
}

/// One call of the plugin: the verb and its validated environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The operation.
    pub verb: Verb,
    /// `CNI_CONTAINERID`; empty for GC, STATUS and VERSION.
    pub container_id: String,
    /// `CNI_NETNS`, when set and not empty.
    pub netns: Option<PathBuf>,
    /// `CNI_IFNAME`; empty for GC, STATUS and VERSION.
    pub ifname: String,
    /// `CNI_ARGS`.
    pub args: CniArgs,
    /// `CNI_PATH`, split.
    pub path: Vec<PathBuf>,
    /// `CNI_NETNS_OVERRIDE` is 1 or true: the host's own namespace is allowed as sandbox.
    pub netns_override: bool,
}

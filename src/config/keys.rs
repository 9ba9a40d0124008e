//! Keys that are not a field of their own: known to others, or asking for what is not done here.

use std::path::PathBuf;

use super::ConfigError;
use crate::cni::json::{FieldError, Object, is_blank, shortened};

/// Keys of the protocol, of runtimes and of the reference plugins that groundwork need not read to do what they mean.
pub(super) const KNOWN_ELSEWHERE: &[&str] = &[
    "cniVersion",
    "cniVersions",
    "name",
    "type",
    "capabilities",
    "args",
    "runtimeConfig",
    "prevResult",
    "dns",
    "ipam",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
    "plugins",
    "backend",
    "ipMasqBackend",
    "iptablesAdminChainName",
    "firewalldZone",
    "externalSetMarkChain",
    "markMasqBit",
    "dataDir",
];

/// Keys of the reference plugins that would change the network, and that groundwork does not serve.
const UNSERVED: &[&str] = &["sysctl", "mac", "promisc", "allmulti", "txQLen", "ingressRate", "egressRate"];

/// Capabilities of `runtimeConfig` that groundwork does not serve.
const UNSERVED_CAPABILITIES: &[&str] = &["bandwidth"];

/// Refuses what would be left undone in silence. A key with the value that means "not wanted" is no trouble.
pub(super) fn refuse_unserved(root: &Object<'_>, runtime: Option<&Object<'_>>) -> Result<(), ConfigError> {
    let keys = UNSERVED.iter().map(|key| (root, key));
    let capabilities =
        runtime.into_iter().flat_map(|object| UNSERVED_CAPABILITIES.iter().map(move |key| (object, key)));
    for (object, key) in keys.chain(capabilities) {
        if let Some(value) = object.value(key).filter(|value| !is_blank(value)) {
            return Err(ConfigError::Unsupported { path: object.path_of(key), value: shortened(value) });
        }
    }
    Ok(())
}

/// A path from the root: what it would be relative to, the runtime does not say.
pub(super) fn absolute_path(object: &Object<'_>, key: &'static str) -> Result<Option<PathBuf>, FieldError> {
    object.parsed(key, "an absolute path", |text| {
        Some(PathBuf::from(text)).filter(|path| path.is_absolute() && !text.contains('\0'))
    })
}

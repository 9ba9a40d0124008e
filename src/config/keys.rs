//! Keys that are not a field of their own: known to others, or asking for what is not done here.

use std::path::PathBuf;

use crate::cni::json::{FieldError, Object};

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

/// A path from the root: what it would be relative to, the runtime does not say.
pub(super) fn absolute_path(object: &Object<'_>, key: &'static str) -> Result<Option<PathBuf>, FieldError> {
    object.parsed(key, "an absolute path", |text| {
        Some(PathBuf::from(text)).filter(|path| path.is_absolute() && !text.contains('\0'))
    })
}

//! What can be put back without asking the engine.

use std::{fmt, path::Path};

use super::{
    Error, HostFile,
    plan::{Key, Value},
    reconcile,
    report::as_left,
};
use crate::{config::Engine, nft::Nft, rtnl::Rtnl};

/// What came of it, in words.
#[derive(Debug, Clone, Default)]
pub struct Mended {
    /// What was put back.
    pub put_back: Vec<String>,
    /// What could not be.
    pub failed: Vec<String>,
}

impl Mended {
    /// Whether there was nothing to do.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.put_back.is_empty() && self.failed.is_empty()
    }
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(": put back", &self.put_back), ("; could not put back", &self.failed)];
        let mut said = parts.iter().filter(|(_, what)| !what.is_empty());
        said.try_for_each(|(words, what)| write!(f, "{words} {}", what.join(", ")))
    }
}

/// Puts back the rule that keeps strangers out, and the peers that it lets in as the device's own entries tell them:
/// what another program took with `nft flush ruleset`.
///
/// # Errors
/// The kernel cannot be asked, or the file not be read.
pub fn mend(network: &str, state_dir: &Path, rtnl: &Rtnl) -> Result<Mended, Error> {
    let mut mended = Mended::default();
    let Some(file) = HostFile::read(state_dir, network)?.filter(|file| file.engine != Engine::Evpn) else {
        return Ok(mended);
    };
    let Some(device) = as_left(network, &file, rtnl)? else { return Ok(mended) };
    let mut nft = Nft::open()?;
    let observed = reconcile::observe(rtnl, &mut nft, &device)?;
    if !observed.link.as_ref().is_some_and(|link| link.up) {
        let who = if file.engine == Engine::Etcd { "its agent does that" } else { "`groundwork sync` does that" };
        mended.failed.push(format!("device {}, which is missing or down: {who}", device.name));
        return Ok(mended);
    }
    let known = observed.entries.iter().filter_map(|(key, value)| match (key, value) {
        (Key::Forwarding(_), Value::Vtep(vtep)) => Some(*vtep),
        _ => None,
    });
    let mut wanted = device.elements(network, &known.collect::<Vec<_>>());
    wanted.retain(|element| !observed.admitted.contains(element));
    if !observed.is_guarded || !wanted.is_empty() {
        nft.add_with(&[device.guard()], &wanted)?;
    }
    if !observed.is_guarded {
        mended.put_back.push("the rule that keeps strangers out".into());
    }
    if !wanted.is_empty() {
        mended.put_back.push(format!(
            "{} of {} peers that it lets in",
            wanted.len(),
            wanted.len() + observed.admitted.len()
        ));
    }
    Ok(mended)
}

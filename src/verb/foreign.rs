//! What a reference plugin did in a sandbox, undone without a record: the node was switched while the container ran.

use std::{fs, io, path::Path};

use super::{attach, inside};
use crate::{
    cni::{Request, json::Object},
    config::{LinkConfig, Mode, NetworkConfig, source_routing, tuning},
    error::{Error, Result},
    rtnl::{LinkSettings, Rtnl, values::SourceRule},
    sys::netns::Sandbox,
};

/// Where `tuning` notes how a link was before, unless `dataDir` says otherwise.
const TUNING_DIR: &str = "/run/cni/tuning";

/// Undoes what is found of the reference plugin of the configuration's type. A sandbox that is gone took it along.
///
/// # Errors
/// A link of the host that cannot come back. What else stays as it is does no harm, and is told in the log.
pub(super) fn undo(request: &Request, config: &NetworkConfig) -> Result<()> {
    let sandbox = attach::open_sandbox(request).ok();
    let gives_link =
        matches!(&config.mode, Mode::Native(native) if matches!(native.link, Some(LinkConfig::HostDevice(_))));
    let undone = match (config.plugin_type.as_str(), &sandbox) {
        (tuning::PLUGIN, _) => restore_settings(request, config, sandbox.as_ref()),
        (source_routing::PLUGIN, Some(sandbox)) => delete_rules(request, config, sandbox),
        (_, Some(sandbox)) if gives_link => return inside::give_back_unrecorded(sandbox, &request.ifname),
        _ => Ok(()),
    };
    if let Err(error) = undone {
        let Request { container_id: container, ifname, .. } = request;
        tracing::warn!(container, ifname, "not all is as it was before the reference plugin's ADD: {error}");
    }
    Ok(())
}

/// Gives a link the settings that `tuning` noted, and removes the note.
fn restore_settings(request: &Request, config: &NetworkConfig, sandbox: Option<&Sandbox>) -> Result<()> {
    let folder = Object::root(&config.raw).string("dataDir").ok().flatten().unwrap_or(TUNING_DIR);
    let note = Path::new(folder).join(format!("{}_{}.json", request.container_id, request.ifname));
    let text = match fs::read(&note) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::Note { path: note, source }),
    };
    let settings = serde_json::from_slice::<LinkSettings>(&text).map_err(io::Error::from);
    let settings = settings.map_err(|source| Error::Note { path: note.clone(), source })?;
    if let Some(sandbox) = sandbox {
        sandbox.run(|| {
            let rtnl = Rtnl::open()?;
            rtnl.link(&request.ifname)?.map_or(Ok(()), |link| rtnl.change(&link, &settings))
        })??;
    }
    fs::remove_file(&note).map_err(|source| Error::Note { path: note, source })
}

/// Takes away the rules of `sbr`, which are found by the link's addresses. Its routes go with the link.
fn delete_rules(request: &Request, config: &NetworkConfig, sandbox: &Sandbox) -> Result<()> {
    let only = Object::root(&config.raw).u32("table").ok().flatten();
    sandbox.run(|| {
        let rtnl = Rtnl::open()?;
        let Some(link) = rtnl.link(&request.ifname)? else { return Ok(()) };
        let addresses = rtnl.addresses(&link)?;
        for (source, table) in [rtnl.rules(false)?, rtnl.rules(true)?].concat() {
            if let Some(source) = source.filter(|source| addresses.iter().any(|address| address.addr() == *source))
                && only.is_none_or(|only| only == table)
            {
                rtnl.delete_rule(&SourceRule { source, table })?;
            }
        }
        Ok(())
    })?
}

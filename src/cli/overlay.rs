//! `groundwork sync` and `groundwork overlay status`.

use std::{fmt::Write as _, path::Path};

use super::{Output, config_file};
use crate::{
    config::{Engine, Mode, NetworkConfig, OverlayConfig},
    error::Result,
    overlay::{self, HostFile, Joined, report::Status},
    rtnl::Rtnl,
    store, verb,
};

/// Makes the overlay of a configuration as its engine says; the exit status says whether all of that could be used.
pub(super) fn sync(path: &Path, plugin: Option<&str>) -> Output {
    let config = match config_file::read(path, plugin) {
        Ok(config) => config,
        Err(problem) => return Output::bad(problem),
    };
    let Some(overlay) = overlay_of(&config) else { return no_overlay(path) };
    match verb::sync(&config, overlay) {
        Ok(joined) => {
            let status = u8::from(!joined.refused.is_empty() || joined.unknown_peers.is_some());
            Output { text: told(&config.name, overlay.engine, &joined), status }
        }
        Err(error) => Output::bad(error),
    }
}

fn told(network: &str, engine: Engine, joined: &Joined) -> String {
    let file = &joined.file;
    let mut text = format!("network {network}: this host ({}) has {}", file.node, list(&file.subnets));
    // Writing to a String does not fail.
    _ = match (engine, &joined.reconciled) {
        (Engine::None, _) => writeln!(text, "; it is one host so far"),
        (Engine::Etcd, _) => writeln!(text, "; its agent keeps the peers"),
        (Engine::Evpn, _) => writeln!(text, "; device {} is ready for FRR", file.device),
        (Engine::Static, Some(reconciled)) => writeln!(text, "; {}", reconciled.done),
        (Engine::Static, None) => writeln!(text),
    };
    for refused in &joined.refused {
        _ = writeln!(text, "{refused}");
    }
    if let Some(why) = &joined.unknown_peers {
        _ = writeln!(text, "the peers stay as they are: {why}");
    }
    text
}

/// How the overlays of this host stand, or that of a configuration.
pub(super) fn status(config: Option<&Path>, network: Option<&str>, state_dir: &Path, json: bool) -> Output {
    let all = match config {
        None => of_networks(network, state_dir),
        Some(path) => match config_file::read(path, None) {
            Ok(config) => match overlay_of(&config) {
                Some(overlay) => of_configuration(&config, overlay).map(|status| vec![status]),
                None => return no_overlay(path),
            },
            Err(problem) => return Output::bad(problem),
        },
    };
    match all {
        Ok(all) => {
            let text = if json { in_json(&all) } else { in_words(&all) };
            Output { text, status: u8::from(!all.iter().all(Status::is_right)) }
        }
        Err(error) => Output::bad(error),
    }
}

fn of_configuration(config: &NetworkConfig, overlay: &OverlayConfig) -> Result<Status> {
    Ok(overlay::full_status(&config.name, &config.state_dir, Some(overlay), &Rtnl::open()?)?)
}

fn of_networks(network: Option<&str>, state_dir: &Path) -> Result<Vec<Status>> {
    let rtnl = Rtnl::open()?;
    let mut all = Vec::new();
    for name in store::networks(state_dir)? {
        let is_asked = network.is_none_or(|network| network == name);
        if is_asked && HostFile::path(state_dir, &name).exists() {
            all.push(overlay::full_status(&name, state_dir, None, &rtnl)?);
        }
    }
    Ok(all)
}

fn in_json(all: &[Status]) -> String {
    let each = all.iter().map(|status| {
        let mut value = serde_json::to_value(status).unwrap_or_default();
        value["right"] = status.is_right().into();
        value
    });
    serde_json::Value::from_iter(each).to_string()
}

fn in_words(all: &[Status]) -> String {
    if all.is_empty() {
        return "this host is in no overlay".into();
    }
    let mut text = String::new();
    for status in all {
        _ = describe(&mut text, status);
    }
    text
}

fn describe(text: &mut String, status: &Status) -> std::fmt::Result {
    writeln!(text, "network {}", status.network)?;
    if let Some(file) = &status.host {
        writeln!(text, "  overlay   {}", list(&file.network))?;
        writeln!(text, "  this host {} ({})", list(&file.subnets), file.node)?;
        let device = match file.vtep {
            Some(vtep) => format!("{}, VNI {}, UDP port {}, from {vtep}", file.device, file.vni, file.port),
            None => "none: it is one host so far".into(),
        };
        writeln!(text, "  device    {device}\n  MTU       {}", file.mtu)?;
    }
    if let Some(engine) = &status.engine {
        writeln!(text, "  engine    {engine}")?;
    }
    for peer in &status.peers {
        let name = peer.node.as_deref().unwrap_or("peer");
        let present = peer.entries.saturating_sub(peer.missing.len());
        writeln!(
            text,
            "  {name}: {} at {} ({}), {present} of {} entries",
            list(&peer.subnets),
            peer.vtep,
            peer.mac,
            peer.entries
        )?;
        for missing in &peer.missing {
            writeln!(text, "    missing: {missing}")?;
        }
    }
    let rest = [("stale", &status.stale), ("refused", &status.refused), ("problem", &status.problems)];
    for (word, lines) in rest {
        for line in lines {
            writeln!(text, "  {word}: {line}")?;
        }
    }
    writeln!(text, "  {}", if status.is_right() { "all is right" } else { "not all is right" })
}

fn overlay_of(config: &NetworkConfig) -> Option<&OverlayConfig> {
    match &config.mode {
        Mode::Native(native) => native.overlay.as_ref(),
        _ => None,
    }
}

fn no_overlay(path: &Path) -> Output {
    Output::bad(format!("{} has no \"overlay\"", path.display()))
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

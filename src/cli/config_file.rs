//! A configuration as it lies in a runtime's folder: one plugin's, or a list of which one plugin is ours.

use std::{fs, path::Path};

use serde_json::{Map, Value};

use crate::{
    cni::{Request, Verb},
    config::NetworkConfig,
};

/// Reads the configuration that a runtime would send for this file.
///
/// In a list that is the entry of type `plugin`, "groundwork" when silent, with the list's name and version.
///
/// # Errors
/// A sentence for a person.
pub(super) fn read(path: &Path, plugin: Option<&str>) -> Result<NetworkConfig, String> {
    let text = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let problem = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let document: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| problem(&error))?;
    let sent = match document.get("plugins") {
        None => text,
        Some(plugins) => {
            let name = plugin.unwrap_or("groundwork");
            let entry = plugins.as_array().into_iter().flatten().find(|entry| entry["type"] == name);
            let mut entry = entry
                .and_then(Value::as_object)
                .cloned()
                .ok_or_else(|| problem(&format!("no plugin of type {name:?} is in the list")))?;
            for key in ["name", "cniVersion"] {
                if let Some(value) = document.get(key) {
                    entry.insert(key.into(), value.clone());
                }
            }
            Value::from(entry).to_string().into_bytes()
        }
    };
    NetworkConfig::parse(&sent, &request()).map_err(|error| problem(&error))
}

/// The request that a runtime would make of an ADD.
pub(super) fn request() -> Request {
    Request {
        verb: Verb::Add,
        container_id: "CONTAINER".into(),
        netns: None,
        ifname: "eth0".into(),
        args: Ok(crate::cni::CniArgs::default()),
        path: vec!["CNI_PATH".into()],
        program: String::new(),
        netns_override: false,
    }
}

//! The key `delegate`: another plugin builds the network.

use serde_json::{Map, Value};

use super::{ConfigError, bridge::OWN_KEYS, parse::plugin_name};
use crate::cni::{json::Object, name};

/// The key `delegate`.
#[derive(Debug, Clone, PartialEq)]
pub struct DelegateConfig {
    /// `delegate.type`: a file name, looked up in `CNI_PATH` only.
    pub plugin_type: String,
    /// The whole object.
    pub config: Map<String, Value>,
}

impl DelegateConfig {
    /// The key, beside which no key of a native network may stand.
    pub(super) fn read(root: &Object<'_>) -> Result<Option<Self>, ConfigError> {
        let Some(object) = root.object("delegate")? else { return Ok(None) };
        let plugin_type = object.require("type", plugin_name(&object)?, name::PLUGIN)?;
        if let Some(second) = OWN_KEYS.iter().find(|key| root.value(key).is_some()) {
            let why = "either the delegate builds the network (and has the key inside `delegate`), or groundwork does";
            return Err(ConfigError::Conflict { first: "delegate", second, why });
        }
        let config = root.value("delegate").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Some(Self { plugin_type, config }))
    }
}

//! The key `delegate`: another plugin builds the network.

use serde_json::{Map, Value};

use super::{ConfigError, NetworkConfig, bridge::OWN_KEYS, parse::plugin_name};
use crate::cni::{json::Object, name};

/// Keys that a runtime puts into the configuration, and that the delegate is to see.
const FROM_RUNTIME: [&str; 5] =
    ["runtimeConfig", "args", "prevResult", "cni.dev/valid-attachments", "cni.dev/attachments"];

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

    /// The delegate's configuration as a runtime would hand it over: the object, with the version and the name of the
    /// network that `config` describes, and with all that the runtime put into `config`.
    #[must_use]
    pub fn document(&self, config: &NetworkConfig) -> Value {
        let mut document = self.config.clone();
        let mut put = |key: &str, value: Value| {
            document.retain(|name, _| !name.eq_ignore_ascii_case(key));
            document.insert(key.to_owned(), value);
        };
        put("cniVersion", config.cni_version.as_str().into());
        put("name", config.name.as_str().into());
        let raw = Object::root(&config.raw);
        for key in FROM_RUNTIME {
            if let Some(value) = raw.raw(key) {
                put(key, value.clone());
            }
        }
        Value::Object(document)
    }
}

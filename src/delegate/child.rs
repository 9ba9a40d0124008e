//! The configuration that another plugin gets: its own object, with what libcni would put in from the outer one. Pure.

use serde_json::{Map, Value};

use crate::{cni::json::Object, config::NetworkConfig};

/// What libcni hands down beside `cniVersion`, `name` and `runtimeConfig`.
const HANDED_DOWN: [&str; 3] = ["prevResult", "cni.dev/valid-attachments", "cni.dev/attachments"];

/// The configuration of `delegate`.
///
/// `runtimeConfig` is cut down to the `capabilities` that the inner object declares, as libcni does; one that declares
/// none gets all of it, since it is the outer object that has to declare them to the runtime. `args` of the inner object
/// go before those of the outer.
#[must_use]
pub fn config(outer: &NetworkConfig, inner: &Map<String, Value>) -> Map<String, Value> {
    let (mut config, given, own) = (inner.clone(), Object::root(&outer.raw), Object::root(inner));
    put(&mut config, "cniVersion", outer.cni_version.as_str().into());
    put(&mut config, "name", outer.name.as_str().into());
    for key in HANDED_DOWN {
        if let Some(value) = given.raw(key) {
            put(&mut config, key, value.clone());
        }
    }
    if let Some(args) = given.value("args").filter(|_| own.value("args").is_none()) {
        put(&mut config, "args", args.clone());
    }
    if let Some(runtime) = given.value("runtimeConfig").and_then(Value::as_object) {
        let mut runtime = runtime.clone();
        if let Some(capabilities) = own.value("capabilities").and_then(Value::as_object) {
            runtime.retain(|key, _| capabilities.get(key) == Some(&Value::Bool(true)));
        }
        put(&mut config, "runtimeConfig", Value::Object(runtime));
    }
    config
}

/// A configuration as it was at ADD, made ready for a later DEL or CHECK that came without one: `result` is what the
/// ADD ended with.
#[must_use]
pub fn with_result(mut config: Map<String, Value>, result: Option<&Value>) -> Map<String, Value> {
    match result {
        Some(result) => put(&mut config, "prevResult", result.clone()),
        None => config.retain(|key, _| !key.eq_ignore_ascii_case("prevResult")),
    }
    config
}

/// Go matches keys in any letter case and takes the last: so the others must go.
fn put(config: &mut Map<String, Value>, key: &str, value: Value) {
    config.retain(|present, _| !present.eq_ignore_ascii_case(key));
    config.insert(key.into(), value);
}

//! Every key of every kind of configuration, with values of another type.

use serde_json::{Value, json};

use crate::caller::{
    Caller, chained, collecting, delegated, failure, fixed, guarded, native, overlaid, path, pointers, put, tuned, vars,
};

/// A value of each type, none of which a decoder of Go's would take for absent.
fn samples() -> [(&'static str, Value); 5] {
    [
        ("text", json!("0x1")),
        ("number", json!(-7.5)),
        ("flag", json!(true)),
        ("list", json!([[0]])),
        ("object", json!({ "x": { "y": 0 } })),
    ]
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "flag",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// Values that are passed on to whom they are meant for, or that nobody here reads.
fn is_somebody_elses(pointer: &str) -> bool {
    pointer == "/capabilities" || pointer.starts_with("/capabilities/")
}

/// Keys that take one value or a list of them: in a list, the value that is refused has the place.
fn is_one_or_more(pointer: &str) -> bool {
    ["/overlay/network", "/overlay/subnetLen", "/overlay/subnet", "/overlay/peers/0/subnets"].contains(&pointer)
}

/// Each value of the configuration in turn replaced by one of each other type: one error document, which says that the
/// shape is wrong and where.
fn each_key_is_refused(caller: &Caller, verb: &str, config: &Value) -> usize {
    let mut cases = 0;
    let asked = |pointer: &&String| !is_somebody_elses(pointer) && !is_one_or_more(pointer);
    for pointer in pointers(config).iter().filter(asked) {
        let own = kind(config.pointer(pointer).unwrap());
        for (_, sample) in samples().into_iter().filter(|(other, _)| *other != own) {
            let document = failure(&caller.call(&vars(verb), put(config, pointer, sample.clone()).to_string()));
            assert_eq!(document["code"], 6, "{pointer} = {sample}: {document}");
            let msg = document["msg"].as_str().unwrap();
            assert!(msg.contains(&format!("`{}`", path(pointer))), "{pointer} = {sample}: {msg}");
            cases += 1;
        }
    }
    caller.untouched();
    cases
}

#[test]
fn of_a_native_network() {
    assert!(each_key_is_refused(&Caller::new(), "ADD", &native()) > 200);
}

#[test]
fn of_vlans_host_ports_and_a_firewall() {
    assert!(each_key_is_refused(&Caller::new(), "ADD", &guarded()) > 90);
}

#[test]
fn of_an_overlay() {
    assert!(each_key_is_refused(&Caller::new(), "ADD", &overlaid()) > 50);
}

#[test]
fn of_tuning_and_bandwidth() {
    assert!(each_key_is_refused(&Caller::new(), "ADD", &tuned()) > 100);
}

#[test]
fn of_static_addresses() {
    assert!(each_key_is_refused(&Caller::new(), "ADD", &fixed()) > 70);
}

#[test]
fn of_a_chain_and_a_delegate() {
    let caller = Caller::new();
    assert!(each_key_is_refused(&caller, "ADD", &chained()) > 90);
    assert!(each_key_is_refused(&caller, "ADD", &delegated()) > 15);
}

#[test]
fn of_gc() {
    assert!(each_key_is_refused(&Caller::new(), "GC", &collecting()) > 40);
}

/// What only a native network has is in one of these.
#[test]
fn no_key_is_left_out() {
    let configs = [native(), guarded(), overlaid()];
    for key in groundwork::config::bridge::OWN_KEYS {
        assert!(configs.iter().any(|config| !config[key].is_null()), "{key}");
    }
}

/// Without the error the same configuration works: the errors above are those of the keys.
#[test]
fn unbroken_they_are_taken() {
    let caller = Caller::new();
    let unbroken = caller.call(&vars("ADD"), chained().to_string());
    assert!(unbroken.status.success(), "{unbroken:?}");
    let reaching = failure(&caller.call(&vars("ADD"), delegated().to_string()));
    assert_eq!(reaching["code"], 104, "it looked for the plugin: {reaching}");
    if caller.host.is_none() {
        return; // the rest takes root
    }
    for config in [native(), fixed()] {
        let added = caller.call(&vars("ADD"), config.to_string());
        assert!(added.status.success(), "{added:?}");
        let removed = caller.call(&vars("DEL"), config.to_string());
        assert!(removed.status.success() && removed.stdout.is_empty(), "{removed:?}");
        caller.host.as_ref().unwrap().sh("ip link del br0");
    }
    let collected = caller.call(&vars("GC"), collecting().to_string());
    assert!(collected.status.success() && collected.stdout.is_empty(), "{collected:?}");
}

/// Those who configure by machine write null and "" for what they do not set.
#[test]
fn null_is_absent() {
    let caller = Caller::new();
    let known: Vec<_> = native().as_object().unwrap().keys().cloned().collect();
    let mut config = chained();
    for key in known.iter().filter(|key| !["cniVersion", "name", "type"].contains(&key.as_str())) {
        config[key] = Value::Null;
    }
    config["prevResult"] = chained()["prevResult"].clone();
    let passed = caller.call(&vars("ADD"), config.to_string());
    assert_eq!(passed.json("ADD"), chained()["prevResult"]);
    caller.untouched();
}

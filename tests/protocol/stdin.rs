//! What may come on stdin beside a configuration.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::{
    caller::{Caller, chained, failure, vars},
    support::GROUNDWORK,
};

#[test]
fn what_is_no_object() {
    let caller = Caller::new();
    for (stdin, says) in [
        (&b""[..], "empty"),
        (b"  \n\t", "empty"),
        (b"{", "not JSON"),
        (b"{\"name\":\"n\"} {}", "not JSON"),
        (b"{\"name\":\"n\"", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"{\"name\":\"\xff\"}", "not JSON"),
        (b"{\"mtu\":NaN}", "not JSON"),
        (b"{'name':'n'}", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[]", "[]"),
        (b"null", "null"),
        (b"\"x\"", "\"x\""),
        (b"7", "7"),
    ] {
        for verb in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
            let document = failure(&caller.call(&vars(verb), stdin));
            assert_eq!(document["code"], 6, "{document}");
            let msg = document["msg"].as_str().unwrap();
            assert!(msg.contains("stdin") && msg.contains(says), "{msg}");
        }
    }
    caller.untouched();
}

#[test]
fn large_and_deep_ones() {
    let caller = Caller::new();
    let mut config = chained();
    config["own"] = "x".repeat(8 << 20).into();
    assert_eq!(caller.call(&vars("ADD"), config.to_string()).json("ADD"), chained()["prevResult"]);
    config["own"] = "x".repeat(17 << 20).into();
    let document = failure(&caller.call(&vars("ADD"), config.to_string()));
    assert!([5, 6].contains(&document["code"].as_u64().unwrap()), "{document}");
    let deep = format!("{{\"name\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(failure(&caller.call(&vars("ADD"), deep))["code"], 6);
    let wide = json!({ "cniVersion": "1.0.0", "name": "n", "type": "groundwork", "bridge": vec![0; 100_000] });
    let document = failure(&caller.call(&vars("ADD"), wide.to_string()));
    assert!(document.to_string().len() < 1000, "a person reads it: {} bytes", document.to_string().len());
    caller.untouched();
}

/// Keys count once: the last of several, as Go's decoder has it.
#[test]
fn repeated_keys() {
    let caller = Caller::new();
    let document = failure(&caller.call(&vars("ADD"), r#"{"name":"n","cniVersion":"1.0.0","name":"../x"}"#));
    assert!(document["msg"].as_str().unwrap().contains("../x"), "{document}");
    caller.untouched();
}

/// The version of an error is the configuration's where that can be made out.
#[test]
fn the_version_of_errors() {
    let caller = Caller::new();
    for (config, version) in [
        (json!({ "cniVersion": "0.4.0" }), "0.4.0"),
        (json!({ "CNIVERSION": "0.3.1" }), "0.3.1"),
        (json!({}), "0.1.0"),
        (json!({ "cniVersion": "7.0.0" }), "1.1.0"),
        (json!({ "cniVersion": [] }), "1.1.0"),
        (Value::Null, "1.1.0"),
    ] {
        assert_eq!(failure(&caller.call(&vars("ADD"), config.to_string()))["cniVersion"], version, "{config}");
    }
    caller.untouched();
}

/// A runtime that went away: no panic, and the status says that the answer did not arrive.
#[test]
fn nobody_reads_the_answer() {
    let caller = Caller::new();
    let script =
        format!("{{ {{ sleep 0.1; printf '%s' '{}' | {GROUNDWORK}; echo $? >&3; }} | true; }} 3>&1", chained());
    let mut command = caller.command("sh");
    let output = command.args(["-c", &script]).envs(vars("ADD")).stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
    let script = format!("{GROUNDWORK} <&-; echo $?");
    let output = caller.command("sh").args(["-c", &script]).envs(vars("ADD")).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let (document, status) = stdout.split_once('\n').unwrap();
    assert_eq!(status, "1\n");
    assert!(serde_json::from_str::<Value>(document).unwrap()["code"].is_u64(), "{document}");
}

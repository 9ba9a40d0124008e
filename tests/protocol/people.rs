//! The commands for people.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    caller::{Caller, fixed},
    support::{GROUNDWORK, Output, run},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn command(caller: &Caller, args: &[&str]) -> Output {
    run(caller.command(GROUNDWORK).args(args), "")
}

/// Its stdout and exit status; nothing on stderr.
#[track_caller]
fn said(caller: &Caller, args: &[&str]) -> (String, i32) {
    let output = command(caller, args);
    assert_eq!(output.stderr, "", "{args:?}");
    (output.stdout, output.status.code().unwrap())
}

#[test]
fn without_a_verb_it_helps() {
    let caller = Caller::new();
    let help = said(&caller, &["--help"]);
    assert!(help.1 == 0 && help.0.contains("groundwork doctor") && help.0.contains("CNI plugin"), "{help:?}");
    for args in [&[][..], &["-h"], &["help"], &["doctor", "--help"]] {
        assert_eq!(said(&caller, args), help, "{args:?}");
    }
    let empty = caller.call(&[("CNI_COMMAND", "".into())], "{}");
    assert_eq!((empty.stdout.as_str(), empty.status.code()), (help.0.as_str(), Some(0)));
    for args in [["--version"], ["-V"], ["version"]] {
        assert_eq!(said(&caller, &args), (concat!("groundwork ", env!("CARGO_PKG_VERSION"), "\n").to_owned(), 0));
    }
}

#[test]
fn wrong_arguments() {
    let caller = Caller::new();
    for (args, says) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["--frobnicate"], "--frobnicate"),
        (&["doctor", "now"], "now"),
        (&["plan"], "--config"),
        (&["plan", "--config"], "--config"),
        (&["doctor", "--json=yes"], "--json"),
    ] {
        let (text, status) = said(&caller, args);
        assert_eq!(status, 2, "{args:?}: {text}");
        assert!(text.contains(says) && text.contains("--help"), "{args:?}: {text}");
    }
    caller.untouched();
}

#[test]
fn every_example_has_a_plan() {
    let caller = Caller::new();
    let mut native = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("cni")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "conflist") {
            continue;
        }
        let list: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let own = list["plugins"].as_array().unwrap().iter().find(|plugin| plugin["type"] == "groundwork").unwrap();
        let (plan, status) = said(&caller, &["plan", "--config", file.to_str().unwrap()]);
        assert_eq!(status, 0, "{plan}");
        assert!(plan.contains(list["name"].as_str().unwrap()), "{plan}");
        match own["bridge"].as_str() {
            Some(bridge) => {
                native += 1;
                for command in
                    [&format!("ip link add {bridge} "), "ip link add veth", "ip netns exec SANDBOX ip addr add"]
                {
                    assert!(plan.lines().any(|line| line.starts_with(command)), "{command:?} is not in\n{plan}");
                }
            }
            None => assert!(plan.contains("control passes to"), "{plan}"),
        }
    }
    assert!(native >= 2);
    caller.untouched();
}

#[test]
fn configurations_that_cannot_be() {
    let caller = Caller::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("conf");
    let path = file.to_str().unwrap();
    let mut broken = fixed();
    broken["ipam"]["addresses"][0]["address"] = "10.1.0.5".into();
    let list = json!({ "cniVersion": "1.0.0", "name": "n", "plugins": [{ "type": "bridge" }] });
    for (content, says) in [
        (None, "cannot read"),
        (Some("{".to_owned()), "EOF"),
        (Some("[]".to_owned()), "conf"),
        (Some(broken.to_string()), "`ipam.addresses[0].address`"),
        (Some(list.to_string()), "\"groundwork\""),
    ] {
        match &content {
            Some(content) => fs::write(&file, content).unwrap(),
            None => assert!(!file.exists()),
        }
        for verb in ["plan", "doctor"] {
            let (text, status) = said(&caller, &[verb, "--config", path]);
            assert_eq!(status, 1, "{verb}: {text}");
            assert!(text.contains(path) && text.contains(says), "{verb}: {text}");
        }
    }
    fs::write(&file, list.to_string()).unwrap();
    assert_eq!(said(&caller, &["plan", "--config", path, "--plugin", "bridge"]).1, 0);
    caller.untouched();
}

#[test]
fn the_doctor_examines_and_touches_nothing() {
    let caller = Caller::new();
    let (text, _) = said(&caller, &["doctor"]);
    for feature in ["bridge", "veth", "nf_tables", "vxlan", "br_netfilter"] {
        assert!(text.contains(feature), "{feature} is not in\n{text}");
    }
    let (json, _) = said(&caller, &["doctor", "--json"]);
    let features: Value = serde_json::from_str(&json).unwrap();
    let listed = features["features"].as_array().unwrap();
    assert!(listed.len() > 10 && listed.iter().all(|one| one["state"].is_string()), "{features}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("conf");
    let example = Path::new(ROOT).join("cni/30-bridge.conflist");
    let (text, status) = said(&caller, &["doctor", "--config", example.to_str().unwrap()]);
    assert_eq!(status, 0, "this kernel has what a bridge needs:\n{text}");
    assert!(text.contains("gw-bridge0") && !text.contains("vxlan"), "only what it needs:\n{text}");

    // Whether it works is told by the exit status, and by both forms alike.
    let kinds = listed.iter().filter(|one| one["state"] == "missing").map(|one| one["name"].as_str().unwrap());
    for missing in kinds.take(1) {
        fs::write(&file, json!({ "cniVersion": "1.0.0", "name": "n", "modules": [missing] }).to_string()).unwrap();
        let (text, status) = said(&caller, &["doctor", "--config", file.to_str().unwrap()]);
        assert_eq!(status, 1, "{text}");
        assert!(text.contains(missing) && text.contains("MISSING"), "{text}");
        let (json, status) = said(&caller, &["doctor", "--json", "--config", file.to_str().unwrap()]);
        let row = &serde_json::from_str::<Value>(&json).unwrap()["features"][0];
        assert_eq!((status, row["name"].as_str(), row["needed"].as_bool()), (1, Some(missing), Some(true)));
    }
    caller.untouched();
}

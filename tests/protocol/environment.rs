//! Each variable missing or wrong.

use serde_json::json;

use crate::caller::{Caller, chained, delegated, failure, fixed, vars, with_var};

const REQUIRED: [(&str, &[&str]); 3] = [
    ("ADD", &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
    ("CHECK", &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
    ("DEL", &["CNI_CONTAINERID", "CNI_IFNAME"]),
];

#[test]
fn what_is_missing_is_named() {
    let caller = Caller::new();
    let config = fixed().to_string();
    for (verb, required) in REQUIRED {
        for name in required {
            let without: Vec<_> = vars(verb).into_iter().filter(|(other, _)| other != name).collect();
            for vars in [without, with_var(&vars(verb), name, "")] {
                let document = failure(&caller.call(&vars, &config));
                assert_eq!((&document["code"], &document["cniVersion"]), (&json!(4), &json!("1.0.0")));
                let msg = document["msg"].as_str().unwrap();
                assert!(msg.ends_with(&format!("missing: {name}")), "{verb} without {name}: {msg}");
            }
        }
        let document = failure(&caller.call(&[("CNI_COMMAND", verb.into())], &config));
        assert!(document["msg"].as_str().unwrap().ends_with(&required.join(", ")), "{document}");
    }
    caller.untouched();
}

#[test]
fn what_is_wrong_is_named() {
    let caller = Caller::new();
    let config = fixed().to_string();
    let long = "c".repeat(201);
    let cases: [(&str, &[&[u8]]); 7] = [
        ("CNI_COMMAND", &[b"add", b"NONSENSE", b" ADD", b"ADD ", b"\xff", b"REPAIR"]),
        (
            "CNI_CONTAINERID",
            &[b"a/b", b"../a", b".a", b"-a", b"a b", b"a\n", "\u{e4}".as_bytes(), b"\xff", long.as_bytes()],
        ),
        (
            "CNI_IFNAME",
            &[b"a/b", b"..", b".", b"a:b", b"a b", b"eth%d", b"sixteen-bytes-xx", b"all", b"default", b"\xff"],
        ),
        ("CNI_NETNS", &[b"\xff"]),
        ("CNI_ARGS", &[b"IP", b";", b"A=1;", b"IP=1=2", b"IP=10.1.0.5/16;IgnoreUnknown=2", b"\xff"]),
        ("CNI_ARGS", &[b"FOO=1", b"IP=ten", b"IP=10.1.0.5", b"GATEWAY=x", b"MAC=02:00", b"MAC=01:00:00:00:00:01"]),
        ("CNI_PATH", &[b"\xff"]),
    ];
    for (name, values) in cases {
        for value in values {
            let document = failure(&caller.call(&with_var(&vars("ADD"), name, value), &config));
            let shown = String::from_utf8_lossy(value);
            assert_eq!(document["code"], 4, "{name}={shown:?}: {document}");
            assert!(document["msg"].as_str().unwrap().contains(name), "{name}={shown:?}: {document}");
        }
    }
    caller.untouched();
}

#[test]
fn where_plugins_are_is_asked_only_when_one_is_run() {
    let caller = Caller::new();
    let blind: Vec<_> = vars("ADD").into_iter().filter(|(name, _)| *name != "CNI_PATH").collect();
    assert!(caller.call(&blind, chained().to_string()).status.success());
    let dhcp = json!({ "cniVersion": "1.0.0", "name": "n", "type": "groundwork", "bridge": "br0", "ipam": { "type": "dhcp" } });
    for (config, key) in [(delegated(), "delegate.type"), (dhcp, "ipam.type")] {
        let document = failure(&caller.call(&blind, config.to_string()));
        assert_eq!(document["code"], 4);
        let msg = document["msg"].as_str().unwrap();
        assert!(msg.contains("CNI_PATH") && msg.contains(key), "{msg}");
    }
    let elsewhere = failure(&caller.call(&vars("ADD"), delegated().to_string()));
    assert_eq!(elsewhere["code"], 104);
    assert!(elsewhere["msg"].as_str().unwrap().contains("/usr/lib/cni"), "{elsewhere}");
    caller.untouched();
}

/// A DEL, GC or STATUS is not stopped by what it does not use.
#[test]
fn what_a_verb_does_not_use_is_not_looked_at() {
    let caller = Caller::new();
    let config = chained();
    for args in ["nonsense", "FOO=1", "IP=ten"] {
        let output = caller.call(&with_var(&vars("DEL"), "CNI_ARGS", args), config.to_string());
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    }
    let mut newest = config;
    newest["cniVersion"] = "1.1.0".into();
    for verb in ["GC", "STATUS"] {
        let mut vars = with_var(&vars(verb), "CNI_CONTAINERID", "a/b");
        vars.extend([("CNI_IFNAME", "all".into()), ("CNI_NETNS", "/nowhere".into())]);
        let output = caller.call(&vars, newest.to_string());
        assert!(output.status.success() && output.stdout.is_empty(), "{verb}: {output:?}");
    }
    caller.untouched();
}

/// The verbs that a version does not have.
#[test]
fn verbs_of_later_versions() {
    let caller = Caller::new();
    for (verb, since) in [("CHECK", "0.4.0"), ("GC", "1.1.0"), ("STATUS", "1.1.0")] {
        for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let mut config = chained();
            config["cniVersion"] = version.into();
            let output = caller.call(&vars(verb), config.to_string());
            if version >= since {
                assert!(output.status.success() && output.stdout.is_empty(), "{verb} {version}: {output:?}");
            } else {
                let document = failure(&output);
                assert_eq!((&document["code"], &document["cniVersion"]), (&json!(1), &json!(version)));
                assert!(document["msg"].as_str().unwrap().contains(since), "{document}");
            }
        }
    }
    caller.untouched();
}

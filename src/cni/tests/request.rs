//! The environment.

use std::{collections::BTreeMap, ffi::OsString, os::unix::ffi::OsStringExt, path::Path};

use proptest::prelude::*;

use crate::{
    Error,
    cni::{Request, RequestError, Verb, Version, error::code},
};

type Vars = BTreeMap<&'static str, OsString>;

fn vars(pairs: &[(&'static str, &str)]) -> Vars {
    pairs.iter().map(|(name, value)| (*name, OsString::from(value))).collect()
}

fn whole(verb: &str) -> Vars {
    vars(&[
        ("CNI_COMMAND", verb),
        ("CNI_CONTAINERID", "default-t1"),
        ("CNI_NETNS", "/proc/1/fd/9"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=web"),
        ("CNI_PATH", "/opt/cni/bin::/usr/lib/cni:"),
    ])
}

fn parse(vars: &Vars) -> Result<Request, RequestError> {
    Request::parse(&|name| vars.get(name).cloned())
}

#[test]
fn an_add_in_full() {
    let request = parse(&whole("ADD")).unwrap();
    assert_eq!(
        (request.verb, request.container_id.as_str(), request.ifname.as_str()),
        (Verb::Add, "default-t1", "eth0")
    );
    assert_eq!(request.netns.as_deref(), Some(Path::new("/proc/1/fd/9")));
    assert_eq!(request.path, [Path::new("/opt/cni/bin"), Path::new("/usr/lib/cni")]);
    assert_eq!(request.args.unwrap().value("K8S_POD_NAME"), Some("web"));
    assert!(!request.netns_override);
}

#[test]
fn all_that_is_missing_is_listed() {
    for (verb, missing) in [
        ("ADD", vec!["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
        ("CHECK", vec!["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
        ("DEL", vec!["CNI_CONTAINERID", "CNI_IFNAME"]),
    ] {
        let error = parse(&vars(&[("CNI_COMMAND", verb), ("CNI_IFNAME", "")])).unwrap_err();
        assert_eq!(error, RequestError::Missing(missing.clone()));
        let document = Error::from(error).document(Version::V1_0_0);
        assert_eq!(document.code, code::INVALID_ENVIRONMENT);
        assert!(missing.iter().all(|name| document.msg.contains(name)), "{}", document.msg);
    }
    assert_eq!(parse(&vars(&[])), Err(RequestError::Missing(vec!["CNI_COMMAND"])));
    assert_eq!(parse(&vars(&[("CNI_COMMAND", "")])), Err(RequestError::Missing(vec!["CNI_COMMAND"])));
}

#[test]
fn what_is_not_needed_may_be_missing() {
    for verb in ["GC", "STATUS", "VERSION"] {
        let request = parse(&vars(&[("CNI_COMMAND", verb)])).unwrap();
        assert_eq!((request.verb.as_str(), request.path.len()), (verb, 0));
    }
    let del =
        parse(&vars(&[("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "eth0"), ("CNI_NETNS", "")]));
    assert_eq!(del.unwrap().netns, None);
}

#[test]
fn what_is_not_used_is_not_looked_at() {
    for verb in ["GC", "STATUS", "VERSION"] {
        let mut vars = whole(verb);
        vars.insert("CNI_CONTAINERID", "/".into());
        vars.insert("CNI_IFNAME", "a/b".into());
        vars.insert("CNI_ARGS", "broken".into());
        vars.insert("CNI_NETNS", OsString::from_vec(vec![0xff]));
        let request = parse(&vars).unwrap();
        assert_eq!((request.container_id.as_str(), request.ifname.as_str(), request.netns), ("", "", None));
    }
    let mut del = whole("DEL");
    del.insert("CNI_ARGS", "broken".into());
    assert_eq!(parse(&del).unwrap().args.unwrap().pairs, []);
}

#[test]
fn broken_values_are_named() {
    let long = "c".repeat(201);
    for verb in ["ADD", "CHECK", "DEL"] {
        for (name, value) in [
            ("CNI_CONTAINERID", "../../etc"),
            ("CNI_CONTAINERID", ".hidden"),
            ("CNI_CONTAINERID", "a b"),
            ("CNI_CONTAINERID", long.as_str()),
            ("CNI_IFNAME", "sixteen-bytes-xx"),
            ("CNI_IFNAME", "."),
            ("CNI_IFNAME", ".."),
            ("CNI_IFNAME", "a/b"),
            ("CNI_IFNAME", "a:b"),
            ("CNI_IFNAME", "a b"),
            ("CNI_IFNAME", "eth%d"),
        ] {
            let mut vars = whole(verb);
            vars.insert(name, value.into());
            let error = parse(&vars).unwrap_err();
            assert!(
                matches!(&error, RequestError::Invalid { name: named, value: given, .. } if *named == name && given == value)
            );
            assert!(error.to_string().contains(name));
        }
    }
    for verb in ["ADD", "CHECK"] {
        for args in ["FOO", "A=1;", "A=1=2", "IgnoreUnknown=maybe"] {
            let mut vars = whole(verb);
            vars.insert("CNI_ARGS", args.into());
            assert!(parse(&vars).unwrap().args.unwrap_err().to_string().contains("CNI_ARGS"), "{args}");
        }
    }
}

#[test]
fn values_that_are_not_utf8() {
    for name in ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"] {
        let mut vars = whole("ADD");
        let value = OsString::from_vec(b"a\xff".to_vec());
        vars.insert(name, value.clone());
        assert_eq!(parse(&vars), Err(RequestError::NotUtf8 { name, value }));
    }
}

#[test]
fn commands_are_matched_as_they_are_written() {
    for command in ["add", "ADD ", "REMOVE", "UPDATE"] {
        let error = parse(&whole(command)).unwrap_err();
        assert_eq!(error, RequestError::UnknownCommand(command.to_owned()));
        assert!(error.to_string().contains("expected one of ADD, DEL, CHECK, GC, STATUS, VERSION"), "{error}");
    }
}

#[test]
fn the_override_of_the_netns_check() {
    for (value, expected) in [("1", true), ("true", true), ("TRUE", true), ("0", false), ("yes", false), ("", false)] {
        let mut vars = whole("ADD");
        vars.insert("CNI_NETNS_OVERRIDE", value.into());
        assert_eq!(parse(&vars).unwrap().netns_override, expected, "{value}");
    }
}

proptest! {
    /// Whatever the environment holds, it is a request that holds what it promises, or an error of code 4.
    #[test]
    fn any_environment(
        verb in proptest::sample::select(&Verb::ALL[..]),
        at in 0_usize..6,
        bytes in proptest::collection::vec(any::<u8>(), 0..24),
    ) {
        let names = ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"];
        let mut vars = whole(verb.as_str());
        vars.insert(names[at], OsString::from_vec(bytes));
        match parse(&vars) {
            Ok(request) => {
                prop_assert!(!request.container_id.contains('/') && !request.ifname.contains('/'));
                prop_assert!(request.ifname.len() <= 15);
                prop_assert!(verb != Verb::Add || request.netns.is_some());
            }
            Err(error) => {
                let document = Error::from(error).document(Version::V1_1_0);
                prop_assert_eq!(document.code, code::INVALID_ENVIRONMENT);
                prop_assert!(document.msg.contains(names[at]), "{}", document.msg);
            }
        }
    }
}

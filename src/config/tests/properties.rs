//! What holds for every configuration.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{delegated, fixed, native, parse, parse_for, request, with};
use crate::{
    cni::{Verb, args::CniArgs, json::FieldError},
    config::{ConfigError, NetworkConfig},
};

/// Places in `value`, as JSON pointers: every key and every element.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => return,
    };
    for (key, child) in children {
        let place = format!("{at}/{key}");
        places(child, &place, found);
        found.push(place);
    }
}

/// A key's path in errors.
fn path_of(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        match part.parse::<usize>() {
            Ok(_) => path.push_str(&format!("[{part}]")),
            Err(_) if path.is_empty() => path.push_str(part),
            Err(_) => path.push_str(&format!(".{part}")),
        }
    }
    path
}

/// `value` with its letters in other case where `flips` says so, keys only.
fn recased(value: &Value, flips: &mut impl Iterator<Item = bool>) -> Value {
    match value {
        Value::Object(map) => {
            let recase = |c: char, flip: bool| if flip { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            let pairs = map.iter().map(|(key, value)| {
                let key = key.chars().map(|c| recase(c, flips.next().unwrap_or_default())).collect();
                (key, recased(value, flips))
            });
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.iter().map(|value| recased(value, flips)).collect()),
        other => other.clone(),
    }
}

/// Leaves out what is kept as it came.
fn meaning(config: NetworkConfig) -> NetworkConfig {
    NetworkConfig { raw: Map::new(), prev_result: None, ..config }
}

fn bases() -> impl Strategy<Value = Value> {
    prop_oneof![Just(native()), Just(fixed()), Just(delegated())]
}

fn any_json() -> impl Strategy<Value = Value> {
    let texts =
        ["", "0", "10.1.0.1", "10.1.0.0/16", "::/0", "fd00::1", "host-local", "static", "eth0", "1.1.0", "/x", "\0"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        proptest::sample::select(texts.to_vec()).prop_map(Value::from),
    ];
    let mut keys = Vec::new();
    for base in [native(), fixed(), delegated()] {
        places(&base, "", &mut keys);
    }
    let key = proptest::sample::select(keys).prop_map(|place| place.rsplit('/').next().unwrap_or_default().to_owned());
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_verb() -> impl Strategy<Value = Verb> {
    proptest::sample::select(&Verb::ALL[..])
}

proptest! {
    #[test]
    fn bytes_never_panic(stdin in proptest::collection::vec(any::<u8>(), 0..64), verb in any_verb()) {
        let _ = NetworkConfig::parse(&stdin, &request(verb));
    }

    #[test]
    fn json_never_panics(
        base in prop_oneof![bases(), any_json()],
        broken in proptest::collection::vec((any::<proptest::sample::Index>(), any_json()), 0..4),
        verb in any_verb(),
        args in "(IP|MAC|GATEWAY)=[0-9a-f.:/,]{0,20}",
    ) {
        let mut config = base;
        for (at, value) in broken {
            let mut found = vec![String::new()];
            places(&config, "", &mut found);
            *config.pointer_mut(at.get::<String>(&found)).unwrap() = value;
        }
        let mut request = request(verb);
        request.args = CniArgs::parse(&args);
        let _ = parse_for(&config, &request);
    }

    /// Whatever stands at one place of a good configuration: it is good still, or the error names the place, or one
    /// that the place is compared with.
    #[test]
    fn one_broken_key_is_named(base in bases(), at in any::<proptest::sample::Index>(), value in any_json()) {
        let mut found = Vec::new();
        places(&base, "", &mut found);
        let place = at.get(&found);
        let mut config = base.clone();
        *config.pointer_mut(place).unwrap() = value;
        let path = path_of(place);
        match parse(&config) {
            Ok(_) | Err(ConfigError::Version { .. } | ConfigError::PrevResult(_) | ConfigError::Conflict { .. }) => {}
            Err(ConfigError::NoPath { key, .. }) => prop_assert_eq!(key, path),
            Err(ConfigError::NotServed { .. }) => prop_assert_eq!(path, "type"),
            Err(ConfigError::Condition { path: named, .. }) => prop_assert!(named.starts_with(&path)),
            Err(ConfigError::Field(FieldError { path: named, .. })) => {
                let same_object = path.rsplit_once('.').is_some_and(|(parent, _)| named.starts_with(parent));
                let ranges = ["ipam", "runtimeConfig", "args.cni", "mtu", "ipspoofchk"];
                let compared = ranges.iter().any(|other| path.starts_with(other)) && ranges.iter().any(|other| named.starts_with(other));
                prop_assert!(named.starts_with(&path) || same_object || compared, "{path}: {named}");
            }
            Err(other) => prop_assert!(false, "{path}: {other}"),
        }
    }

    #[test]
    fn letter_case_of_keys_does_not_count(base in bases(), flips in proptest::collection::vec(any::<bool>(), 512)) {
        let config = parse(&recased(&base, &mut flips.into_iter().cycle())).unwrap();
        // A delegate's object is its own.
        let config = match base.get("delegate") {
            None => meaning(config),
            Some(_) => NetworkConfig { mode: parse(&base).unwrap().mode, ..meaning(config) },
        };
        prop_assert_eq!(config, meaning(parse(&base).unwrap()));
    }
}

/// What the property above failed on: an error that named no key.
#[test]
fn a_blank_type_is_named() {
    let error = parse(&with(&delegated(), "/type", json!(" "))).unwrap_err();
    assert!(error.to_string().contains("`type` is \" \""), "{error}");
}

/// A value of another JSON type in any place is an error of decoding that names exactly this place.
#[test]
fn a_wrong_type_is_named_wherever_it_is() {
    // A delegate's keys are its own.
    let not_read = ["/delegate/ipam", "/delegate/ipam/type"];
    for base in [native(), fixed(), delegated()] {
        let mut found = Vec::new();
        places(&base, "", &mut found);
        assert!(found.len() >= 7);
        for place in found.iter().filter(|place| !not_read.contains(&place.as_str())) {
            let mut config = base.clone();
            let value = config.pointer_mut(place).unwrap();
            *value = if value.is_object() { json!("text") } else { json!({ "x": 1 }) };
            let error = parse(&config).expect_err(place);
            let ConfigError::Field(FieldError { path, .. }) = &error else { panic!("{place}: {error}") };
            assert_eq!(*path, path_of(place), "{error}");
            assert_eq!(crate::Error::from(error).document(crate::cni::Version::NEWEST).code, 6, "{place}");
        }
    }
}

/// `null` means the same as no key.
#[test]
fn null_is_absent() {
    for base in [native(), fixed(), delegated()] {
        let mut found = Vec::new();
        places(&base, "", &mut found);
        for place in found {
            if place.starts_with("/delegate/ipam") {
                continue; // A delegate's keys are its own.
            }
            let (parent, key) = place.rsplit_once('/').unwrap();
            let (mut null, mut absent) = (base.clone(), base.clone());
            *null.pointer_mut(&place).unwrap() = Value::Null;
            let Some(map) = absent.pointer_mut(parent).unwrap().as_object_mut() else { continue };
            map.remove(key);
            assert_eq!(parse(&null).map(meaning), parse(&absent).map(meaning), "{place}");
        }
    }
}

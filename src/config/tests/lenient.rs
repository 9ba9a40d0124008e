//! A DEL is served whatever the configuration says of building the network.

use serde_json::{Value, json};

use super::{ConfigError, delegated, native, parse, parse_for, request, with};
use crate::{
    cni::{Verb, json::FieldError},
    config::{KernelConfig, Mode},
};

#[test]
fn a_del_keeps_the_errors_and_goes_on() {
    for (pointer, value, path) in [
        ("/mtu", json!(-1), "mtu"),
        ("/ipam/subnet", json!("x"), "ipam.subnet"),
        ("/runtimeConfig/mac", json!("x"), "runtimeConfig.mac"),
    ] {
        let broken = with(&native(), pointer, value);
        let error = parse(&broken).unwrap_err();
        let config = parse_for(&broken, &request(Verb::Del)).unwrap();
        assert_eq!(config.flaws, std::slice::from_ref(&error));
        assert!(matches!(error, ConfigError::Field(FieldError { path: named, .. }) if named == path));
        assert_eq!((config.name.as_str(), config.mode), ("net1", Mode::Chained));
    }
    let broken = with(&native(), "/modules", json!("x"));
    let config = parse_for(&broken, &request(Verb::Del)).unwrap();
    assert_eq!((config.flaws.len(), config.kernel), (1, KernelConfig::default()));
    assert!(matches!(config.mode, Mode::Native(_)), "a fault elsewhere leaves the network as configured");
}

#[test]
fn a_del_needs_no_prev_result_and_takes_any() {
    for previous in [Value::Null, json!({}), json!({ "cniVersion": "9.9.9", "ips": "?" })] {
        let config = parse_for(&with(&native(), "/prevResult", previous), &request(Verb::Del)).unwrap();
        assert_eq!(config.flaws, []);
    }
}

#[test]
fn a_del_that_cannot_be_done_is_an_error() {
    let del = request(Verb::Del);
    parse_for(&with(&native(), "/name", Value::Null), &del).unwrap_err();
    parse_for(&with(&native(), "/stateDir", json!("x")), &del).unwrap_err();
    parse_for(&with(&native(), "/cniVersion", json!("x")), &del).unwrap_err();
    let blind = crate::cni::Request { path: Vec::new(), ..del };
    assert!(matches!(parse_for(&delegated(), &blind), Err(ConfigError::NoPath { .. })));
}

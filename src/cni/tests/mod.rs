//! The protocol's documents, every version.

mod request;
mod result;

use serde_json::{Map, json};

use super::{
    ErrorDocument, ResultError, Version,
    error::code,
    json::Object,
    version::{UnsupportedVersion, version_reply},
};

#[test]
fn versions_are_ordered_as_they_came() {
    assert!(Version::SUPPORTED.is_sorted());
    for version in Version::SUPPORTED {
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    for text in ["", "1", "1.0", "1.0.0 ", "v1.0.0", "01.0.0", "1.2.0", "0.3.2"] {
        assert_eq!(text.parse::<Version>(), Err(UnsupportedVersion(text.to_owned())));
    }
}

#[test]
fn version_echoes_the_input() {
    let supported = json!(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    for (stdin, echoed) in [
        (r#"{"cniVersion":"1.0.0"}"#, "1.0.0"),
        (r#"{"CNIVersion":"0.4.0","name":"x"}"#, "0.4.0"),
        (r#"{"cniVersion":"7.7.7"}"#, "7.7.7"),
        ("{}", "1.1.0"),
        (r#"{"cniVersion":""}"#, "1.1.0"),
        (r#"{"cniVersion":5}"#, "1.1.0"),
        ("[]", "1.1.0"),
        ("", "1.1.0"),
        ("\u{0}", "1.1.0"),
    ] {
        let reply = json!({ "cniVersion": echoed, "supportedVersions": supported });
        assert_eq!(version_reply(stdin.as_bytes()), reply, "{stdin}");
    }
}

#[test]
fn errors_are_told_in_the_version_of_the_document() {
    for (stdin, version) in [
        (r#"{"cniVersion":"0.4.0"}"#, Version::V0_4_0),
        ("{}", Version::V0_1_0),
        (r#"{"cniVersion":"2.0.0"}"#, Version::V1_1_0),
        ("not json", Version::V1_1_0),
    ] {
        assert_eq!(Version::of_document(stdin.as_bytes()), version, "{stdin}");
    }
}

#[test]
fn error_documents() {
    let mut document = ErrorDocument {
        cni_version: Version::V1_0_0,
        code: code::TRY_AGAIN_LATER,
        msg: "busy".to_owned(),
        details: String::new(),
    };
    assert_eq!(document.to_json(), json!({ "cniVersion": "1.0.0", "code": 11, "msg": "busy" }));
    document.details = "more".to_owned();
    let json = document.to_json();
    assert_eq!(json, json!({ "cniVersion": "1.0.0", "code": 11, "msg": "busy", "details": "more" }));
    assert_eq!(ErrorDocument::from_output(json.to_string().as_bytes(), Version::V0_4_0), Some(document));
}

#[test]
fn an_error_that_says_all_has_no_details() {
    let error = crate::Error::from(ResultError::NeedsAddress(Version::V0_2_0));
    assert_eq!(error.document(Version::V0_2_0).details, "");
}

#[test]
fn error_documents_of_others() {
    // The reference plugins' library leaves out cniVersion.
    let plain = ErrorDocument::from_output(br#"{"code":7,"msg":"no IP ranges specified"}"#, Version::V0_4_0).unwrap();
    assert_eq!((plain.cni_version, plain.code, plain.msg.as_str()), (Version::V0_4_0, 7, "no IP ranges specified"));
    let silent = ErrorDocument::from_output(br#"{"code":100,"msg":""}"#, Version::V0_4_0).unwrap();
    assert_eq!((silent.code, silent.msg.as_str()), (100, ""));
    for other in ["", "panic: x", "{}", r#"{"msg":"x"}"#, r#"{"code":"7","msg":"x"}"#, r#"{"code":-1}"#, "[]"] {
        assert_eq!(ErrorDocument::from_output(other.as_bytes(), Version::V0_4_0), None, "{other}");
    }
}

#[test]
fn a_slip_of_the_pen_is_told_from_another_key() {
    for (given, key, is_near) in [
        ("brigde", "bridge", true),
        ("brid", "bridge", true),
        ("mtv", "mtu", true),
        ("mvv", "mtu", false),
        ("nxxe", "name", false),
        ("nam", "name", true),
        ("bridge_of", "bridge", false),
    ] {
        let map = Map::from_iter([(given.to_owned(), json!(1))]);
        assert_eq!(Object::root(&map).unread(&[key])[0].meant, is_near.then_some(key), "{given}");
    }
}

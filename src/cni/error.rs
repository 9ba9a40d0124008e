//! Error documents, and the only place that knows CNI's codes.

use serde_json::{Map, Value, json};

use super::{
    RequestError, ResultError, Version,
    json::{Fault, FieldError, Object},
};
use crate::config::ConfigError;

/// The codes of error documents. Below 100 the specification's, from 100 up groundwork's own.
pub mod code {
    /// The version is not supported, or has no such verb.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// A key asks for what groundwork does not do.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container is not known; nothing needs cleaning.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// An environment variable is missing or wrong.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// Reading or writing failed.
    pub const IO: u32 = 5;
    /// A document is not JSON, or has the wrong shape.
    pub const DECODE: u32 = 6;
    /// The configuration says what cannot be.
    pub const INVALID_CONFIG: u32 = 7;
    /// The network namespace cannot be used (libcni's own; the specification does not list it).
    pub const INVALID_NETNS: u32 = 8;
    /// A passing trouble: ask again.
    pub const TRY_AGAIN_LATER: u32 = 11;
    /// STATUS: no ADD can be served.
    pub const NOT_AVAILABLE: u32 = 50;
    /// STATUS: no ADD can be served, and containers may be cut off.
    pub const LIMITED_CONNECTIVITY: u32 = 51;
    /// The kernel lacks a feature, and no loader brought it.
    pub const KERNEL_NOT_READY: u32 = 100;
    /// The kernel refused a change.
    pub const KERNEL_REFUSED: u32 = 101;
    /// CHECK found something other than what ADD made.
    pub const CHECK_FAILED: u32 = 102;
    /// No address is free, or the one asked for is not.
    pub const NO_ADDRESS: u32 = 103;
    /// Another plugin could not be run, or answered with no error document.
    pub const DELEGATE_FAILED: u32 = 104;
    /// The records of attachments cannot be read or written.
    pub const STORE: u32 = 105;
    /// GC removed what it could, and not all.
    pub const GC_INCOMPLETE: u32 = 106;
    /// Another container has the host port.
    pub const PORT_TAKEN: u32 = 107;
    /// Nothing better is known (libcni uses the same).
    pub const INTERNAL: u32 = 999;
}

/// What a plugin prints on stdout when it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorDocument {
    /// The version of the request.
    pub cni_version: Version,
    /// One of [`code`].
    pub code: u32,
    /// What went wrong, in one line.
    pub msg: String,
    /// What more is known and what to do; may be empty.
    pub details: String,
}

impl ErrorDocument {
    /// The document itself.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut document = json!({ "cniVersion": self.cni_version.as_str(), "code": self.code, "msg": self.msg });
        if !self.details.is_empty() {
            document["details"] = self.details.as_str().into();
        }
        document
    }

    /// Reads the error document that another plugin printed; none when `stdout` is no such thing.
    /// One of a version that groundwork does not speak, or of none, is taken as of `version`.
    #[must_use]
    pub fn from_output(stdout: &[u8], version: Version) -> Option<Self> {
        let map: Map<String, Value> = serde_json::from_slice(stdout).ok()?;
        let root = Object::root(&map);
        let text = |key| root.string(key).ok().flatten();
        Some(Self {
            cni_version: text("cniVersion").and_then(|own| own.parse().ok()).unwrap_or(version),
            code: root.u32("code").ok()??,
            msg: text("msg").unwrap_or_default().to_owned(),
            details: text("details").unwrap_or_default().to_owned(),
        })
    }
}

/// What an error is to CNI: its code, and what more there is to say than its own text.
pub(crate) trait Coded {
    /// One of [`code`].
    fn code(&self) -> u32;

    /// What more is known and what to do; may be empty.
    fn details(&self) -> String {
        String::new()
    }
}

impl Coded for RequestError {
    fn code(&self) -> u32 {
        code::INVALID_ENVIRONMENT
    }

    fn details(&self) -> String {
        match self {
            Self::Missing(_) | Self::UnknownCommand(_) => {
                "a runtime sets these; to try things by hand see `groundwork --help`"
            }
            Self::ArgumentNotAPair(_) | Self::IgnoreUnknown(_) => {
                "a runtime sets CNI_ARGS, as in IgnoreUnknown=1;IP=10.1.0.5"
            }
            Self::NotUtf8 { .. } | Self::Invalid { .. } => "",
        }
        .to_owned()
    }
}

impl Coded for ConfigError {
    fn code(&self) -> u32 {
        match self {
            Self::NotJson(_) | Self::NotAnObject(_) => code::DECODE,
            Self::Field(error) => error.code(),
            Self::PrevResult(error) => error.code(),
            Self::Version { .. } | Self::VerbTooNew { .. } => code::INCOMPATIBLE_VERSION,
            Self::Arguments(error) => error.code(),
            Self::Argument { .. } | Self::UnknownArguments(_) | Self::NoPath { .. } => code::INVALID_ENVIRONMENT,
            Self::Condition { .. } | Self::NotServed { .. } => code::UNSUPPORTED_FIELD,
            Self::Conflict { .. } => code::INVALID_CONFIG,
        }
    }

    fn details(&self) -> String {
        "nothing was touched".to_owned()
    }
}

impl Coded for FieldError {
    fn code(&self) -> u32 {
        match self.fault {
            Fault::Shape { .. } => code::DECODE,
            Fault::Missing { .. } | Fault::Value { .. } => code::INVALID_CONFIG,
        }
    }
}

impl Coded for ResultError {
    fn code(&self) -> u32 {
        match self {
            Self::Version(_) | Self::NeedsAddress(_) => code::INCOMPATIBLE_VERSION,
            Self::Field(error) => error.code(),
            Self::NotAnObject(_) => code::DECODE,
        }
    }
}

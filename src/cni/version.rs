//! Versions of the CNI specification that groundwork speaks.

use std::{fmt, str::FromStr};

use serde_json::{Value, json};

/// A version of the CNI specification. Ordered: later versions are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Version {
    V0_1_0,
    V0_2_0,
    V0_3_0,
    V0_3_1,
    V0_4_0,
    V1_0_0,
    V1_1_0,
}

impl Version {
    /// Every version that groundwork speaks, oldest first.
    pub const SUPPORTED: [Self; 7] =
        [Self::V0_1_0, Self::V0_2_0, Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// The newest one.
    pub const NEWEST: Self = Self::V1_1_0;

    /// What a configuration without `cniVersion` means.
    pub const UNDECLARED: Self = Self::V0_1_0;

    /// As documents write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version to answer in when the configuration could not be read: the one that `stdin` declares if it can
    /// be made out and is spoken here, else the newest.
    #[must_use]
    pub fn of_document(stdin: &[u8]) -> Self {
        match declared(stdin) {
            Declared::Text(text) => text.parse().unwrap_or(Self::NEWEST),
            Declared::Absent => Self::UNDECLARED,
            Declared::Unreadable => Self::NEWEST,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = UnsupportedVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::SUPPORTED
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| UnsupportedVersion(text.chars().take(64).collect()))
    }
}

/// A version that groundwork does not speak.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CNI version {0:?} is not supported: groundwork speaks {list}", list = Version::SUPPORTED.map(Version::as_str).join(", "))]
pub struct UnsupportedVersion(pub String);

/// The answer to VERSION: what we speak, and the `cniVersion` of the input as it came (the newest when it has none).
#[must_use]
pub fn version_reply(stdin: &[u8]) -> Value {
    let echoed = match declared(stdin) {
        Declared::Text(text) => text,
        Declared::Absent | Declared::Unreadable => Version::NEWEST.to_string(),
    };
    json!({ "cniVersion": echoed, "supportedVersions": Version::SUPPORTED.map(Version::as_str) })
}

enum Declared {
    Text(String),
    Absent,
    Unreadable,
}

fn declared(stdin: &[u8]) -> Declared {
    let Ok(Value::Object(map)) = serde_json::from_slice(stdin) else { return Declared::Unreadable };
    match super::json::Object::root(&map).string("cniVersion") {
        Ok(Some(text)) => Declared::Text(text.to_owned()),
        Ok(None) => Declared::Absent,
        Err(_) => Declared::Unreadable,
    }
}

//! What a runtime asks: the environment, validated, without looking at the world.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
};

use super::{CniArgs, Version, name};
use crate::config::Attachment;

/// The operation that the runtime asks for (`CNI_COMMAND`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Verb {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 6] = [Self::Add, Self::Del, Self::Check, Self::Gc, Self::Status, Self::Version];

    /// As `CNI_COMMAND` writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }

    /// The first version of the specification that has this verb.
    #[must_use]
    pub fn since(self) -> Version {
        match self {
            Self::Add | Self::Del | Self::Version => Version::V0_1_0,
            Self::Check => Version::V0_4_0,
            Self::Gc | Self::Status => Version::V1_1_0,
        }
    }

    /// The variables without which it cannot be served.
    fn required(self) -> &'static [&'static str] {
        match self {
            Self::Add | Self::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
            Self::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
            Self::Gc | Self::Status | Self::Version => &[],
        }
    }

    /// Whether it speaks of one attachment.
    fn has_attachment(self) -> bool {
        !self.required().is_empty()
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One call of the plugin: the verb and its validated environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The operation.
    pub verb: Verb,
    /// `CNI_CONTAINERID`; empty for GC, STATUS and VERSION.
    pub container_id: String,
    /// `CNI_NETNS`, when set and not empty; none for GC, STATUS and VERSION.
    pub netns: Option<PathBuf>,
    /// `CNI_IFNAME`; empty for GC, STATUS and VERSION.
    pub ifname: String,
    /// `CNI_ARGS`, of ADD and CHECK. What is wrong with it matters to who reads it: a loopback link needs nothing of it.
    pub args: Result<CniArgs, RequestError>,
    /// `CNI_PATH`, split; empty folders are left out.
    pub path: Vec<PathBuf>,
    /// The file name under which the plugin was called; empty when it is not known.
    pub program: String,
    /// `CNI_NETNS_OVERRIDE` is 1 or true: the host's own namespace is allowed as sandbox.
    pub netns_override: bool,
}

/// Why the environment is not a request. All of them are CNI's code 4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Required variables that are unset or empty, all of them.
    #[error("required environment variables are missing: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// `CNI_COMMAND` names no verb.
    #[error("CNI_COMMAND is {0:?}: expected one of {list}", list = Verb::ALL.map(Verb::as_str).join(", "))]
    UnknownCommand(String),
    /// A variable is not UTF-8.
    #[error("{name} is {value:?}, which is not UTF-8")]
    NotUtf8 {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: OsString,
    },
    /// A variable's value is not what it must look like.
    #[error("{name} is {value:?}: expected {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must look like.
        expected: &'static str,
    },
    /// An item of `CNI_ARGS` without exactly one `=`.
    #[error("CNI_ARGS has the item {0:?}: expected KEY=VALUE, joined by ';'")]
    ArgumentNotAPair(String),
    /// `IgnoreUnknown` in `CNI_ARGS` is no boolean.
    #[error("CNI_ARGS has IgnoreUnknown={0:?}: expected 1, true, 0 or false")]
    IgnoreUnknown(String),
}

impl Request {
    /// The same, of a plugin that was called by this path.
    #[must_use]
    pub fn called_as(self, path: &OsStr) -> Self {
        let program = Path::new(path).file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
        Self { program, ..self }
    }

    /// The attachment that it is about.
    #[must_use]
    pub fn attachment(&self) -> Attachment {
        Attachment { container_id: self.container_id.clone(), ifname: self.ifname.clone() }
    }

    /// Reads the request from the environment that `vars` looks up. An empty variable counts as unset.
    ///
    /// What a verb does not use is not looked at: runtimes probe VERSION with dummies, and nothing in `CNI_ARGS` may
    /// make a DEL fail, which would stop the clean-up of the chain.
    pub fn parse(vars: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, RequestError> {
        let env = Environment(vars);
        let command = env.text("CNI_COMMAND")?.ok_or_else(|| RequestError::Missing(vec!["CNI_COMMAND"]))?;
        let verb =
            Verb::ALL.into_iter().find(|verb| verb.as_str() == command).ok_or(RequestError::UnknownCommand(command))?;
        let missing: Vec<_> = verb.required().iter().copied().filter(|name| env.raw(name).is_none()).collect();
        if !missing.is_empty() {
            return Err(RequestError::Missing(missing));
        }
        let mut request = Self {
            verb,
            container_id: String::new(),
            netns: None,
            ifname: String::new(),
            args: Ok(CniArgs::default()),
            program: String::new(),
            path: env.text("CNI_PATH")?.map(|path| split_path(&path)).unwrap_or_default(),
            netns_override: env
                .raw("CNI_NETNS_OVERRIDE")
                .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true")),
        };
        if verb.has_attachment() {
            request.container_id = env.checked("CNI_CONTAINERID", name::is_identifier, name::IDENTIFIER)?;
            request.ifname = env.checked("CNI_IFNAME", name::is_interface, name::INTERFACE)?;
            request.netns = env.text("CNI_NETNS")?.map(PathBuf::from);
        }
        if matches!(verb, Verb::Add | Verb::Check) {
            request.args = CniArgs::parse(&env.text("CNI_ARGS")?.unwrap_or_default());
        }
        Ok(request)
    }
}

struct Environment<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl Environment<'_> {
    fn raw(&self, name: &str) -> Option<OsString> {
        self.0(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, RequestError> {
        self.raw(name)
            .map(|value| value.into_string().map_err(|value| RequestError::NotUtf8 { name, value }))
            .transpose()
    }

    fn checked(
        &self,
        name: &'static str,
        is_valid: fn(&str) -> bool,
        expected: &'static str,
    ) -> Result<String, RequestError> {
        let value = self.text(name)?.unwrap_or_default();
        if is_valid(&value) { Ok(value) } else { Err(RequestError::Invalid { name, value, expected }) }
    }
}

fn split_path(path: &str) -> Vec<PathBuf> {
    path.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect()
}

//! Passing control: another plugin, run by the CNI exec protocol.

use std::{
    ffi::OsStr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use serde_json::{Map, Value};

use crate::{
    cni::{
        CniResult, Verb, Version,
        error::{ErrorDocument, code},
        json::Object,
        name,
        result::ResultError,
    },
    config::Attachment,
    sys::exec::{self, Unusable},
};

pub mod child;
#[cfg(test)]
mod tests;

/// Why another plugin did not do its part.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No plugin of that name can be run.
    #[error("no plugin {plugin:?} in CNI_PATH{}", place(.searched, .unusable))]
    NotFound {
        /// Its type.
        plugin: String,
        /// The folders of `CNI_PATH`.
        searched: Vec<PathBuf>,
        /// Files of that name that are no programs.
        unusable: Vec<(PathBuf, Unusable)>,
    },
    /// The type is a path, or empty.
    #[error("{plugin:?} cannot be a plugin's type: expected {}", name::PLUGIN)]
    Type {
        /// As it was given.
        plugin: String,
    },
    /// It could not be run to its end.
    #[error("{verb}: {source}")]
    Run {
        /// What it was asked for.
        verb: Verb,
        /// What went wrong.
        source: exec::Error,
    },
    /// It failed and said why.
    #[error("{program} refused {verb}: {} (its code {})", .document.msg, .document.code)]
    Refused {
        /// Its path.
        program: PathBuf,
        /// What it was asked for.
        verb: Verb,
        /// Its own words.
        document: ErrorDocument,
    },
    /// It failed and did not say why.
    #[error("{program} failed {verb} without an error document: {}{}", ending(*.status), said(.stdout))]
    Failed {
        /// Its path.
        program: PathBuf,
        /// What it was asked for.
        verb: Verb,
        /// Its exit code or the signal that ended it.
        status: ExitStatus,
        /// The beginning of what it wrote to stdout.
        stdout: String,
    },
    /// It succeeded and its result is none.
    #[error("{program} answered ADD with no result: {source}{}", said(.stdout))]
    Result {
        /// Its path.
        program: PathBuf,
        /// What is wrong with the result.
        source: Box<ResultError>,
        /// The beginning of what it wrote to stdout.
        stdout: String,
    },
}

impl Error {
    /// Whether nothing was done: there is no plugin, or it does not speak the configuration's version.
    #[must_use]
    pub fn nothing_done(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::Type { .. } => true,
            Self::Refused { document, .. } => document.code == code::INCOMPATIBLE_VERSION,
            _ => false,
        }
    }
}

fn place(searched: &[PathBuf], unusable: &[(PathBuf, Unusable)]) -> String {
    if let Some((path, reason)) = unusable.first() {
        return format!(": {} is {reason}", path.display());
    }
    if searched.is_empty() {
        return ", which is empty or not set".into();
    }
    let folders: Vec<_> = searched.iter().map(|folder| folder.display().to_string()).collect();
    format!(" ({}); install it there", folders.join(":"))
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => {
            let name = nix::sys::signal::Signal::try_from(signal).map_or("", nix::sys::signal::Signal::as_str);
            format!("killed by signal {signal} {name}")
        }
        (None, None) => status.to_string(),
    }
}

fn said(stdout: &str) -> String {
    if stdout.is_empty() { "; it wrote nothing to stdout".into() } else { format!("; it wrote {stdout:?}") }
}

/// For whom a plugin is called.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// For whom we are called: the environment says it.
    Same,
    /// For another attachment, whose sandbox may be gone.
    Other(&'a Attachment, Option<&'a Path>),
}

/// What a plugin answered to ADD.
#[derive(Debug, Clone, PartialEq)]
pub struct Added {
    /// Its document, as it came.
    pub document: Value,
    /// What that says.
    pub result: CniResult,
}

/// Another plugin.
#[derive(Debug, Clone)]
pub struct Delegate {
    program: PathBuf,
}

impl Delegate {
    /// Finds the program of a type in `CNI_PATH`, and nowhere else.
    ///
    /// # Errors
    /// [`Error::Type`] or [`Error::NotFound`].
    pub fn find(plugin: &str, path: &[PathBuf]) -> Result<Self, Error> {
        if !name::is_plugin(plugin) {
            return Err(Error::Type { plugin: plugin.into() });
        }
        let program = exec::find(plugin, path);
        let program =
            program.map_err(|unusable| Error::NotFound { plugin: plugin.into(), searched: path.into(), unusable })?;
        Ok(Self { program })
    }

    /// Its path.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs ADD. A result without `cniVersion` is of the configuration's.
    ///
    /// # Errors
    /// See [`Error`]. The plugin may have done its part all the same: DEL is due.
    pub fn add(&self, config: &Map<String, Value>) -> Result<Added, Error> {
        let stdout = self.call(Verb::Add, Subject::Same, config)?;
        let read = || {
            let document =
                serde_json::from_slice(&stdout).map_err(|error| ResultError::NotAnObject(error.to_string()))?;
            let result = CniResult::from_json(&document, version_of(config))?;
            Ok(Added { document, result })
        };
        read().map_err(|source: ResultError| Error::Result {
            program: self.program.clone(),
            source: source.into(),
            stdout: beginning(&stdout),
        })
    }

    /// Runs any verb; gives what it wrote to stdout, which has a meaning for ADD and VERSION only.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn call(&self, verb: Verb, subject: Subject<'_>, config: &Map<String, Value>) -> Result<Vec<u8>, Error> {
        let mut changes = vec![("CNI_COMMAND", OsStr::new(verb.as_str()))];
        if let Subject::Other(Attachment { container_id, ifname }, netns) = subject {
            changes.push(("CNI_CONTAINERID", OsStr::new(container_id)));
            changes.push(("CNI_IFNAME", OsStr::new(ifname)));
            changes.push(("CNI_NETNS", netns.map_or(OsStr::new(""), Path::as_os_str)));
        }
        let input = Value::Object(config.clone()).to_string();
        let output =
            exec::run(&self.program, &changes, input.as_bytes()).map_err(|source| Error::Run { verb, source })?;
        tracing::debug!(program = %self.program.display(), %verb, status = %output.status, "another plugin ran");
        if output.status.success() {
            return Ok(output.stdout);
        }
        let program = self.program.clone();
        Err(match ErrorDocument::from_output(&output.stdout, version_of(config)) {
            Some(document) => Error::Refused { program, verb, document },
            None => Error::Failed { program, verb, status: output.status, stdout: beginning(&output.stdout) },
        })
    }
}

fn version_of(config: &Map<String, Value>) -> Version {
    let version = Object::root(config).string("cniVersion").ok().flatten();
    version.and_then(|version| version.parse().ok()).unwrap_or(Version::V0_1_0)
}

/// Enough of an output to recognise it by, on one line.
fn beginning(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output.get(..300).unwrap_or(output));
    let text = text.trim();
    if output.len() > 300 { format!("{text}...") } else { text.into() }
}

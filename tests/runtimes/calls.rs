//! What a runtime asked of a plugin, and what came of it.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs::OpenOptions,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the plugins that are called stand, under the names by which they are called.
pub(crate) const PLUGINS: &str = "/run/plugins";
/// Where calls are written down, one a line.
pub(crate) const CALLS: &str = "/run/calls";

/// One call of a plugin.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The name by which it was called.
    pub(crate) plugin: String,
    /// Its whole environment.
    pub(crate) env: BTreeMap<String, String>,
    /// The configuration.
    pub(crate) stdin: Value,
    /// How it ended; nothing when a signal ended it.
    pub(crate) status: Option<i32>,
    /// What it answered.
    pub(crate) stdout: String,
    /// What else it said.
    pub(crate) stderr: String,
}

impl Call {
    /// `CNI_COMMAND`.
    pub(crate) fn verb(&self) -> &str {
        self.var("CNI_COMMAND")
    }

    /// `CNI_IFNAME`.
    pub(crate) fn ifname(&self) -> &str {
        self.var("CNI_IFNAME")
    }

    /// A variable; empty when it is not there.
    pub(crate) fn var(&self, name: &str) -> &str {
        self.env.get(name).map_or("", String::as_str)
    }

    /// How a DEL says which attachment it means: whether it names the netns, and has a prevResult.
    pub(crate) fn names(&self) -> (bool, bool) {
        (!self.var("CNI_NETNS").is_empty(), !self.stdin["prevResult"].is_null())
    }
}

/// When a runtime called this binary as a plugin: hands the call on to the plugin that it stands in front of, with the
/// same environment, writes down what came of it, and answers as that plugin did.
pub(crate) fn stand_in() -> Option<ExitCode> {
    env::var_os("CNI_COMMAND")?;
    let name = PathBuf::from(env::args_os().next()?).file_name()?.to_owned();
    Some(pass_on(&name.to_string_lossy()).unwrap_or_else(|error| {
        eprintln!("the call is not written down: {error}");
        ExitCode::FAILURE
    }))
}

fn pass_on(plugin: &str) -> io::Result<ExitCode> {
    let mut stdin = String::new();
    io::stdin().read_to_string(&mut stdin)?;
    let mut child = Command::new(Path::new(PLUGINS).join(plugin))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let sent = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output()?;
    let call = Call {
        plugin: plugin.into(),
        env: env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
        stdin: serde_json::from_str(&stdin).unwrap_or(Value::String(stdin)),
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    // One write: calls that run at once do not mix.
    let line = serde_json::to_string(&call)? + "\n";
    OpenOptions::new().append(true).create(true).open(CALLS)?.write_all(line.as_bytes())?;
    io::stdout().write_all(&output.stdout)?;
    io::stderr().write_all(&output.stderr)?;
    sent?;
    Ok(call.status.and_then(|status| u8::try_from(status).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn text(text: OsString) -> String {
    text.to_string_lossy().into_owned()
}

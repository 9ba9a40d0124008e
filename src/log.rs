//! Where logs go: a file that the configuration or the environment names, else stderr; never stdout.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use tracing_subscriber::filter::LevelFilter;

use crate::config::{LogConfig, LogLevel};

/// Starts logging, once per process.
///
/// `GROUNDWORK_LOG_FILE` and `GROUNDWORK_LOG_LEVEL` stand in where the configuration is silent. Without a level a
/// file gets `info` and stderr, which runtimes may show to users, `warn`. A file that cannot be opened is told on
/// stderr and fails nothing: no container stays without network for want of a log.
pub fn start(config: &LogConfig, vars: &dyn Fn(&str) -> Option<OsString>) {
    let path = config.file.clone().or_else(|| vars("GROUNDWORK_LOG_FILE").map(PathBuf::from));
    let level = config
        .level
        .map(LevelFilter::from)
        .or_else(|| vars("GROUNDWORK_LOG_LEVEL").and_then(|text| text.to_str().and_then(|text| text.parse().ok())));
    let (file, problem) = match path.as_deref().map(open).transpose() {
        Ok(file) => (file, None),
        Err(error) => (None, Some(error)),
    };
    let level = level.unwrap_or(if file.is_some() { LevelFilter::INFO } else { LevelFilter::WARN });
    let builder = tracing_subscriber::fmt().with_ansi(false).with_target(false).with_max_level(level);
    // A second start in one process changes nothing.
    _ = match file {
        Some(file) => builder.with_writer(Mutex::new(file)).try_init(),
        None => builder.with_writer(io::stderr).try_init(),
    };
    if let (Some(error), Some(path)) = (problem, path) {
        tracing::warn!(%error, path = %path.display(), "cannot open the log file");
    }
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

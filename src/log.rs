//! Where logs go: a file that the configuration or the environment names, else stderr; never stdout.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
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
        Ok(file) => (file.map(Arc::new), None),
        Err(error) => (None, Some(error)),
    };
    let level = level.unwrap_or(if file.is_some() { LevelFilter::INFO } else { LevelFilter::WARN });
    // A second start in one process changes nothing.
    _ = tracing::subscriber::set_global_default(Late { level, file, log: OnceLock::new() });
    if let (Some(error), Some(path)) = (problem, path) {
        tracing::warn!(%error, path = %path.display(), "cannot open the log file");
    }
}

/// A log that is set up by its first line: most calls have nothing to say, and setting it up costs more than a line.
struct Late {
    level: LevelFilter,
    file: Option<Arc<File>>,
    log: OnceLock<Dispatch>,
}

impl Late {
    fn log(&self) -> &Dispatch {
        self.log.get_or_init(|| {
            let builder = tracing_subscriber::fmt().with_ansi(false).with_target(false).with_max_level(self.level);
            match self.file.clone() {
                Some(file) => builder.with_writer(file).into(),
                None => builder.with_writer(io::stderr).into(),
            }
        })
    }
}

impl Subscriber for Late {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        self.log().event(event);
    }

    // There are no spans here.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn open(path: &Path) -> io::Result<File> {
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

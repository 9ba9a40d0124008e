//! The story of each verb, read top-down in one screen.

mod add;
mod addresses;
mod answer;
mod attach;
mod check;
mod del;
mod detach;
mod foreign;
mod gc;
mod holders;
mod inside;
mod ipam;
mod limits;
mod loopback;
mod overlay;
mod reclaim;
mod records;
mod repair;
mod restore;
mod stages;
mod status;

pub use self::{
    overlay::sync,
    repair::{Repaired, repair},
};

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    time::Instant,
};

use serde_json::Value;

use crate::{
    cni::{
        self, Request, Verb, Version,
        error::{ErrorDocument, code},
    },
    config::NetworkConfig,
    error::{Error, Result},
    log,
};

use self::stages::{Stage, Stages};

/// What goes back to the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// One JSON document, or nothing.
    pub document: String,
    /// The process must end with a status that is not zero.
    pub failed: bool,
}

impl Reply {
    /// The configuration could not be read from stdin.
    #[must_use]
    pub fn unreadable(error: &io::Error) -> Self {
        Self::refusal(code::IO, format!("cannot read the network configuration from stdin: {error}"))
    }

    /// A defect of groundwork itself.
    #[must_use]
    pub fn broken(defect: impl fmt::Display) -> Self {
        Self::refusal(code::INTERNAL, format!("a defect of groundwork, please report it: {defect}"))
    }

    fn refusal(code: u32, msg: String) -> Self {
        Self::from(&ErrorDocument { cni_version: Version::NEWEST, code, msg, details: String::new() })
    }
}

impl From<&ErrorDocument> for Reply {
    fn from(document: &ErrorDocument) -> Self {
        Self { document: document.to_json().to_string(), failed: true }
    }
}

/// Answers one call of a runtime: the path under which it was called, environment and stdin in, document out.
pub fn answer(program: &OsStr, vars: &dyn Fn(&str) -> Option<OsString>, stdin: &[u8]) -> Reply {
    let version = Version::of_document(stdin);
    let request = Request::parse(vars).map(|request| request.called_as(program));
    let answered = request.map_err(Error::from).and_then(|request| match request.verb {
        Verb::Version => Ok(Some(cni::version::version_reply(stdin))),
        _ => NetworkConfig::parse(stdin, &request).map_err(Error::from).and_then(|config| {
            log::start(&config.log, vars);
            run(&request, &config)
        }),
    });
    match answered {
        Ok(document) => Reply { document: document.map(|value| value.to_string()).unwrap_or_default(), failed: false },
        Err(error) => Reply::from(&error.document(version)),
    }
}

fn run(request: &Request, config: &NetworkConfig) -> Result<Option<Value>> {
    let started = Instant::now();
    for key in &config.unknown_keys {
        tracing::warn!(network = config.name, "{key}");
    }
    let stages = Stages::default();
    let done = match request.verb {
        Verb::Add => add::add(request, config, &stages).map(Some),
        Verb::Del => del::del(request, config).map(|()| None),
        Verb::Check => check::check(request, config).map(|()| None),
        Verb::Gc => gc::gc(request, config).map(|()| None),
        Verb::Status => status::status(request, config).map(|()| None),
        Verb::Version => Ok(None),
    };
    let us = started.elapsed().as_micros();
    let Request { verb, container_id: container, ifname, .. } = request;
    let (network, kernel) = (&config.name, stages.features());
    let micros = |stage| stages.micros(stage);
    macro_rules! tell {
        ($level:ident, $($words:tt)+) => {
            tracing::$level!(
                %verb, network, container, ifname, kernel, us,
                kernel_us = micros(Stage::Kernel),
                addresses_us = micros(Stage::Addresses),
                observe_us = micros(Stage::Observe),
                apply_us = micros(Stage::Apply),
                delegate_us = micros(Stage::Delegate),
                $($words)+
            )
        };
    }
    match &done {
        Ok(_) => tell!(info, "done"),
        Err(error) => tell!(error, "{error}"),
    }
    done
}

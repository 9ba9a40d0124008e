//! Commands for people. They return text: the door prints it.

mod agent;
mod config_file;
mod demo;
pub mod doctor;
mod overlay;
mod plan;
mod repair;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use lexopt::prelude::*;

use crate::store::DEFAULT_STATE_DIR;

/// What a command prints, and its exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// For stdout.
    pub text: String,
    /// 0: it worked; 1: it did not; 2: the arguments are wrong.
    pub status: u8,
}

const HELP: &str = "\
groundwork makes sure that the kernel can do the job, then builds the container's network.

A container runtime calls it as a CNI plugin: put the binary into the runtime's plugin folder
(often /opt/cni/bin) and a configuration with \"type\": \"groundwork\" into /etc/cni/net.d.

Commands for people:
  groundwork doctor [--config FILE] [--load] [--json]
        every kernel feature: what needs it, how the kernel provides it, what to do where it is
        missing; loads nothing without --load; with --config only what that configuration needs,
        and the exit status says whether it can work
  groundwork plan --config FILE [--plugin NAME]
        the steps that an ADD would take, as ip and nft commands; changes nothing
  groundwork list [--network NAME] [--state-dir DIR]
        the attachments of all networks: container, interface, host link, addresses, host ports
  groundwork repair [--network NAME] [--state-dir DIR]
        puts back the rules, elements, settings and routes of living attachments after another
        program took them (nft flush ruleset, a firewall's reload); the exit status says whether
        all stand
  groundwork sync --config FILE [--plugin NAME]
        makes this host's part of an overlay as the configuration and its peer file say; the exit
        status says whether every record could be used
  groundwork overlay status [--config FILE] [--network NAME] [--state-dir DIR] [--json]
        this host's subnet and device, each peer with its entries, what is missing or stale, how the
        engine fares; with --config also whether the peers are those of the configuration
  groundwork agent [--config FILE]
        the service of an overlay whose engine is etcd: starts groundwork-agent, which is installed
        beside this binary
  groundwork demo
        two containers from ADD to DEL, in namespaces of its own
  groundwork --version
  groundwork --help

Logs: \"logFile\" and \"logLevel\" in the configuration, or GROUNDWORK_LOG_FILE and
GROUNDWORK_LOG_LEVEL (error, warn, info, debug, trace) in the environment.
";

enum Command {
    Help,
    Version,
    Doctor { config: Option<PathBuf>, load: bool, json: bool },
    Plan { config: PathBuf, plugin: Option<String> },
    List(Attachments),
    Repair(Attachments),
    Sync { config: PathBuf, plugin: Option<String> },
    Overlay { config: Option<PathBuf>, of: Attachments, json: bool },
    Agent(Vec<OsString>),
    Demo,
}

/// Which attachments a command is about.
struct Attachments {
    state_dir: PathBuf,
    network: Option<String>,
}

/// Runs a command.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Output {
    match parse(lexopt::Parser::from_iter(args)) {
        Ok(Command::Help) => Output::good(HELP),
        Ok(Command::Version) => Output::good(concat!("groundwork ", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Doctor { config, load, json }) => examine(config.as_deref(), load, json),
        Ok(Command::Plan { config, plugin }) => plan::run(&config, plugin.as_deref()),
        Ok(Command::List(of)) => repair::list(&of.state_dir, of.network.as_deref()),
        Ok(Command::Repair(of)) => repair::repair(&of.state_dir, of.network.as_deref()),
        Ok(Command::Sync { config, plugin }) => overlay::sync(&config, plugin.as_deref()),
        Ok(Command::Overlay { config, of, json }) => {
            overlay::status(config.as_deref(), of.network.as_deref(), &of.state_dir, json)
        }
        Ok(Command::Agent(args)) => agent::start(&args),
        Ok(Command::Demo) => demo::run(),
        Err(error) => Output { text: format!("groundwork: {error}\nSee groundwork --help"), status: 2 },
    }
}

/// `groundwork doctor`, for one configuration or for the kernel as such.
fn examine(config: Option<&Path>, load: bool, json: bool) -> Output {
    let (needs, loaders) = match config.map(|path| config_file::read(path, None)).transpose() {
        Ok(None) => (Vec::new(), None),
        Ok(Some(config)) => (crate::plan::declared_needs(&config), config.kernel.loaders),
        Err(problem) => return Output::bad(problem),
    };
    let diagnosis = doctor::doctor(&needs, &doctor::Options { json, load, loaders });
    Output { text: diagnosis.report, status: u8::from(!diagnosis.works) }
}

fn parse(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut name, mut config, mut plugin, mut load, mut json) = (None, None, None, false, false);
    let mut asked = false; // for an overlay's status
    let mut of = Attachments { state_dir: PathBuf::from(DEFAULT_STATE_DIR), network: None };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long("config") => config = Some(PathBuf::from(parser.value()?)),
            Long("plugin") => plugin = Some(parser.value()?.string()?),
            Long("network") => of.network = Some(parser.value()?.string()?),
            Long("state-dir") => of.state_dir = PathBuf::from(parser.value()?),
            Long("load") => load = true,
            Long("json") => json = true,
            Value(value) if name.is_none() && value == "agent" => {
                return Ok(Command::Agent(parser.raw_args()?.collect()));
            }
            Value(value) if name.is_none() => name = Some(value.string()?),
            Value(value) if name.as_deref() == Some("overlay") && !asked => {
                asked = value == "status";
                if !asked {
                    return Err(Value(value).unexpected());
                }
            }
            other => return Err(other.unexpected()),
        }
    }
    match name.as_deref() {
        None | Some("help") => Ok(Command::Help),
        Some("version") => Ok(Command::Version),
        Some("doctor") => Ok(Command::Doctor { config, load, json }),
        Some("plan") => Ok(Command::Plan { config: config.ok_or("plan needs --config FILE")?, plugin }),
        Some("list") => Ok(Command::List(of)),
        Some("repair") => Ok(Command::Repair(of)),
        Some("sync") => Ok(Command::Sync { config: config.ok_or("sync needs --config FILE")?, plugin }),
        Some("overlay") if !asked => Err("overlay is to be followed by status".into()),
        Some("overlay") => Ok(Command::Overlay { config, of, json }),
        Some("demo") => Ok(Command::Demo),
        Some(other) => Err(format!("there is no command {other:?}").into()),
    }
}

impl Output {
    /// It worked.
    pub fn good(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: 0 }
    }

    /// It did not work.
    pub fn bad(problem: impl fmt::Display) -> Self {
        Self { text: format!("groundwork: {problem}"), status: 1 }
    }
}

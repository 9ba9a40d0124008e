//! The agent: the long-running service of the overlay's engine etcd, in a binary of its own.
//!
//! Two sides that wait for each other as little as they can. The follower ([`follow`]) talks to etcd and knows no kernel;
//! the keeper ([`keeper`]) makes the kernel hold what the follower's directory says and knows no etcd. Each goes on when
//! the other is stuck, and neither takes anything away because of a fault: what is known stays in force.

pub mod claim;
pub mod config;
pub mod directory;
pub mod etcd;
mod events;
mod follow;
pub mod followed;
mod health;
mod keeper;
pub mod keys;
pub mod settings;
mod shared;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, mpsc},
};

use lexopt::prelude::*;
use nix::sys::utsname::uname;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use self::{
    config::{AgentConfig, ConfigProblem, is_node_name},
    directory::Directory,
    events::Interest,
    follow::Follower,
    health::Health,
    keeper::{Keeper, Wake},
    keys::Keys,
    shared::Shared,
};
use crate::config::LogConfig;

/// Where the configuration is unless it is named.
pub const DEFAULT_CONFIG: &str = "/etc/groundwork/agent.json";

const HELP: &str = "\
groundwork-agent keeps this host in an overlay whose hosts know each other by etcd.

  groundwork-agent [--config FILE]      /etc/groundwork/agent.json unless it is named
  groundwork-agent --version
  groundwork-agent --help

It claims a subnet, keeps the vxlan device and its entries true, and leaves them as they are when it ends.
Logs go to stderr; GROUNDWORK_LOG_LEVEL is error, warn, info, debug or trace. See docs/etcd.md.
";

/// Why the agent did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{0}\nSee groundwork-agent --help")]
    Arguments(#[from] lexopt::Error),
    #[error(transparent)]
    Config(#[from] ConfigProblem),
    #[error("the kernel's host name {0:?} cannot be a node's name: set \"node\" in the configuration")]
    HostName(String),
    #[error("cannot {0}: {1}")]
    System(&'static str, #[source] io::Error),
}

/// Runs the agent until SIGTERM or SIGINT.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match parse(lexopt::Parser::from_iter(args)).and_then(|command| match command {
        Command::Say(text) => {
            say(text);
            Ok(())
        }
        Command::Serve(config) => serve(&config),
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("groundwork-agent: {error}\n"));
            ExitCode::from(if matches!(error, StartError::Arguments(_)) { 2 } else { 1 })
        }
    }
}

enum Command {
    Say(&'static str),
    Serve(PathBuf),
}

fn parse(mut parser: lexopt::Parser) -> Result<Command, StartError> {
    let mut config = PathBuf::from(DEFAULT_CONFIG);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Say(HELP)),
            Short('V') | Long("version") => {
                return Ok(Command::Say(concat!("groundwork-agent ", env!("CARGO_PKG_VERSION"), "\n")));
            }
            Long("config") => config = PathBuf::from(parser.value()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Serve(config))
}

/// A service has no standard output worth the name.
fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn serve(path: &std::path::Path) -> Result<(), StartError> {
    let config = AgentConfig::read(path)?;
    let level = std::env::var_os("GROUNDWORK_LOG_LEVEL").unwrap_or_else(|| "info".into());
    crate::log::start(&LogConfig::default(), &|name| match name {
        "GROUNDWORK_LOG_LEVEL" => Some(level.clone()),
        other => std::env::var_os(other),
    });
    let node = config.node.clone().map_or_else(host_name, Ok)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StartError::System("start", error))?;
    tracing::info!(node, network = config.network, version = env!("CARGO_PKG_VERSION"), "the agent starts");
    runtime.block_on(work(config, node))
}

fn host_name() -> Result<String, StartError> {
    let name = uname().map_err(|errno| StartError::System("ask for the host's name", errno.into()))?;
    let name = name.nodename().to_string_lossy().into_owned();
    if is_node_name(&name) { Ok(name) } else { Err(StartError::HostName(name)) }
}

/// Both sides, and the door for questions, until a signal.
async fn work(config: AgentConfig, node: String) -> Result<(), StartError> {
    let news = events::subscribe().map_err(|error| StartError::System("follow news of links", error))?;
    let mut term = signal(SignalKind::terminate()).map_err(|error| StartError::System("wait for SIGTERM", error))?;
    let mut int = signal(SignalKind::interrupt()).map_err(|error| StartError::System("wait for SIGINT", error))?;
    let keys = Keys::new(&config.etcd.prefix, &config.network);
    let shared = Arc::new(Shared::new(Directory::new(keys, node.clone())));
    let health = Arc::new(Health::new(&config.network, &node, Arc::clone(&shared)));
    let interest = Arc::new(Interest::default());
    let (site, own) = (watch::Sender::new(None), watch::Sender::new(None));
    let (stop, stopped) = watch::channel(false);
    let (wake, wakes) = mpsc::channel();

    let follower = Follower::new(
        config.clone(),
        node.clone(),
        Arc::clone(&shared),
        Arc::clone(&health),
        site.subscribe(),
        own.subscribe(),
    );
    tokio::spawn(health::serve(config.listen, Arc::clone(&health)));
    let keeper = Keeper::new(config, node, Arc::clone(&shared), health, Arc::clone(&interest), (site, own));
    tokio::spawn(pass_on(shared.bell(), wake.clone()));
    let keeper = std::thread::spawn(move || keeper.run(&wakes));
    let news_wake = wake.clone();
    std::thread::spawn(move || events::forward(&news, &interest, &news_wake));
    let follower = tokio::spawn(follower.run(stopped));

    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        () = ended(&keeper) => {}
    }
    tracing::info!("the agent ends; the network stays as it is");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let _ = wake.send(Wake::Stop);
    let _ = stop.send(true);
    let _ = follower.await;
    keeper.join().map_err(|_| StartError::System("go on", io::Error::other("the keeper of the kernel broke off")))
}

/// Waits for the thread's end, which comes only by a panic.
async fn ended(thread: &std::thread::JoinHandle<()>) {
    while !thread.is_finished() {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

async fn pass_on(mut bell: watch::Receiver<u64>, wake: mpsc::Sender<Wake>) {
    while bell.changed().await.is_ok() && wake.send(Wake::Directory).is_ok() {}
}

//! Hosts to test in: namespaces that end with the test, however it ends.
//!
//! A [`Host`] is a whole machine's worth of network: its own network namespace, its own `/run` and
//! `/var/lib` (so its own groundwork state, its own `ip netns` names), its own processes. One small
//! process holds it and waits on a pipe from the test; when the test ends, even by a signal, the
//! pipe closes, the process exits, and the kernel takes everything down. Nothing has to be
//! cleaned up, and names need not be unique between tests.
//!
//! Use it from a suite with `#[path = "../support/mod.rs"] mod support;`.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "part of several test binaries, none of which uses all of it"
)]

mod process;
mod snapshot;

use nix::sched::{CloneFlags, setns, unshare};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

pub use process::{LIMIT, Output, run, run_within, sh, try_sh};
pub use snapshot::Snapshot;

/// The binary under test.
pub const GROUNDWORK: &str = env!("CARGO_BIN_EXE_groundwork");

/// Where Debian keeps the reference plugins.
pub const REFERENCE_PLUGINS: &str = "/usr/lib/cni";

/// A host of its own, gone when the value is dropped.
pub struct Host {
    holder: Child,
    pipe: Option<ChildStdin>,
    /// The plugin that the protocol's verbs are sent to; groundwork unless changed.
    pub plugin: PathBuf,
}

impl Host {
    /// Makes a host with only a loopback link, up. Needs root.
    #[track_caller]
    pub fn new() -> Self {
        let prepare = "mount -t tmpfs run /run && mount -t tmpfs lib /var/lib && mount -t sysfs sys /sys \
             && ip link set lo up && echo ready && read -r end";
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "sh", "-c", prepare])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is part of util-linux");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pipe = holder.stdin.take();
        let host = Self { holder, pipe, plugin: GROUNDWORK.into() };
        assert_eq!(line, "ready\n", "no namespaces could be made: is this root?");
        host
    }

    /// Makes a sandbox: a network namespace of this name, whose container ID is the name too.
    #[track_caller]
    pub fn sandbox(&self, name: &str) -> Sandbox<'_> {
        self.sh(&format!("ip netns add {name}"));
        self.named(name)
    }

    /// The sandbox of that name, as another call of a runtime names it.
    pub fn named(&self, name: &str) -> Sandbox<'_> {
        Sandbox {
            host: self,
            container: name.into(),
            netns: format!("/run/netns/{name}"),
            ifname: "eth0".into(),
            env: Vec::new(),
        }
    }

    /// A command that runs in this host.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        for (option, file) in [("net", "net"), ("mount", "mnt"), ("pid", "pid_for_children")] {
            command.arg(format!("--{option}=/proc/{}/ns/{file}", self.holder.id()));
        }
        command.arg("--").arg(program);
        command
    }

    /// Runs a shell script in this host and returns its stdout; panics with all it said if it fails.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        self.try_sh(script).success(script)
    }

    /// Runs a shell script in this host, whatever comes of it.
    #[track_caller]
    pub fn try_sh(&self, script: &str) -> Output {
        run(self.command("sh").args(["-c", script]), "")
    }

    /// Runs `body` on a thread of its own whose network and files are this host's.
    ///
    /// `/proc` is the host's too, where this process has no number: no `/proc/self` in there.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        self.inside_with(None, body)
    }

    /// [`Host::inside`] for a body that starts commands and no threads: they are the host's processes,
    /// as those of [`Host::command`] are, without the time that `nsenter` takes.
    pub fn starting<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let processes = self.namespace("pid_for_children");
        self.inside(|| {
            setns(processes, CloneFlags::CLONE_NEWPID).unwrap();
            body()
        })
    }

    fn inside_with<T: Send>(&self, netns: Option<&str>, body: impl FnOnce() -> T + Send) -> T {
        let (files, net) = (self.namespace("mnt"), self.namespace("net"));
        on_a_thread(|| {
            unshare(CloneFlags::CLONE_FS).unwrap(); // a mount namespace can't be entered while sharing this
            setns(files, CloneFlags::CLONE_NEWNS).unwrap();
            let net = netns.map_or(net, |path| File::open(path).unwrap());
            setns(net, CloneFlags::CLONE_NEWNET).unwrap();
            body()
        })
    }

    /// The number, here, of a process whose network is this host's.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    fn namespace(&self, kind: &str) -> File {
        File::open(format!("/proc/{}/ns/{kind}", self.holder.id())).unwrap()
    }

    /// Sends a verb that concerns no container (GC, STATUS, VERSION) to the plugin.
    #[track_caller]
    pub fn verb(&self, verb: &str, config: &Value) -> Output {
        run(self.plugin_command(&self.plugin).env("CNI_COMMAND", verb), config.to_string())
    }

    /// GC with these (container ID, interface name) pairs still alive.
    #[track_caller]
    pub fn gc(&self, config: &Value, alive: &[(&str, &str)]) -> Output {
        let mut config = config.clone();
        config["cni.dev/valid-attachments"] =
            alive.iter().map(|(container, ifname)| json!({"containerID": container, "ifname": ifname})).collect();
        self.verb("GC", &config)
    }

    /// STATUS.
    #[track_caller]
    pub fn status(&self, config: &Value) -> Output {
        self.verb("STATUS", config)
    }

    /// What the host's kernel and files hold now, for "nothing is left".
    #[track_caller]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(|script| self.sh(script))
    }

    fn plugin_command(&self, plugin: &Path) -> Command {
        let own_folder = self.plugin.parent().unwrap().display();
        let mut command = self.command(plugin);
        command.env("CNI_PATH", format!("{own_folder}:{REFERENCE_PLUGINS}"));
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.holder.kill(); // --kill-child takes the rest, should the pipe not have
        let _ = self.holder.wait();
    }
}

/// A network namespace of a [`Host`], and how the protocol names it.
pub struct Sandbox<'a> {
    host: &'a Host,
    /// `CNI_CONTAINERID`.
    pub container: String,
    /// `CNI_NETNS`: a path in the host; empty it to send a DEL as runtimes do after a reboot.
    pub netns: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// More variables, such as `CNI_ARGS`.
    pub env: Vec<(String, String)>,
}

impl Sandbox<'_> {
    /// Sends a verb about this container to the plugin.
    #[track_caller]
    pub fn verb(&self, verb: &str, config: &Value) -> Output {
        self.verb_of(&self.host.plugin, verb, config)
    }

    /// Sends a verb about this container to another plugin than the host's.
    #[track_caller]
    pub fn verb_of(&self, plugin: &Path, verb: &str, config: &Value) -> Output {
        run(self.host.plugin_command(plugin).envs(self.variables(verb)), config.to_string())
    }

    /// What a runtime sets for a verb about this container, but `CNI_PATH`.
    pub fn variables(&self, verb: &str) -> Vec<(String, String)> {
        let own = [
            ("CNI_COMMAND", verb),
            ("CNI_CONTAINERID", &self.container),
            ("CNI_NETNS", &self.netns),
            ("CNI_IFNAME", &self.ifname),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        own.into_iter().chain(self.env.iter().cloned()).collect()
    }

    /// ADD; returns the result, and panics with all that was said if it fails.
    #[track_caller]
    pub fn add(&self, config: &Value) -> Value {
        self.verb("ADD", config).json("ADD")
    }

    /// CHECK, with the result of ADD as prevResult; panics if it fails.
    #[track_caller]
    pub fn check(&self, config: &Value, result: &Value) {
        self.verb("CHECK", &with_prev(config, result)).success("CHECK");
    }

    /// DEL; panics if it fails.
    #[track_caller]
    pub fn del(&self, config: &Value) {
        self.verb("DEL", config).success("DEL");
    }

    /// Runs a shell script in the sandbox and returns its stdout; panics with all it said if it fails.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        self.try_sh(script).success(script)
    }

    /// Runs a shell script in the sandbox, whatever comes of it.
    #[track_caller]
    pub fn try_sh(&self, script: &str) -> Output {
        let net = format!("--net={}", self.netns);
        run(self.host.command("nsenter").args([&net, "--", "sh", "-c", script]), "")
    }

    /// Runs `body` on a thread of its own whose network is this sandbox's.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        self.host.inside_with(Some(&self.netns), body)
    }

    /// Whether `address` answers within a second.
    #[track_caller]
    pub fn pings(&self, address: &str) -> bool {
        self.try_sh(&format!("ping -n -c 1 -W 1 {address}")).status.success()
    }

    /// Panics, with the sandbox's addresses, routes and neighbours, unless `address` answers within a few seconds.
    #[track_caller]
    pub fn ping(&self, address: &str) {
        if !eventually(Duration::from_secs(5), || self.pings(address)) {
            let found = self.sh("ip address; ip route; ip -6 route; ip neigh");
            panic!("{address} does not answer {}:\n{found}", self.container);
        }
    }

    /// What the sandbox's kernel holds now (and the host's files).
    #[track_caller]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(|script| self.sh(script))
    }
}

/// The configuration with the result of ADD as its prevResult.
pub fn with_prev(config: &Value, result: &Value) -> Value {
    let mut config = config.clone();
    config["prevResult"] = result.clone();
    config
}

/// Runs `body` on a thread of its own in a new network namespace with `lo` up, and ends both.
///
/// For tests of the library in process. Commands that the body starts run in that namespace too.
pub fn in_new_netns<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    on_a_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace needs root");
        sh("ip link set lo up");
        body()
    })
}

fn on_a_thread<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let joined = std::thread::scope(|scope| scope.spawn(body).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Asks `condition` again and again until it holds, for at most `limit`; whether it held.
pub fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = std::time::Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if std::time::Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

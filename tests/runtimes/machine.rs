//! A machine with container runtimes: their folders, what is outside of it, and what they leave.

use std::{
    env,
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio, id},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    calls::{CALLS, Call, PLUGINS},
    image,
    support::{GROUNDWORK, Host, Output, Snapshot, eventually, run, try_sh},
};

/// Where Debian's runtimes look for plugins; only those of [`Machine::install`] are there.
const PLUGIN_FOLDER: &str = "/usr/lib/cni";
/// This machine's address on the network outside.
pub(crate) const UPLINK: &str = "192.0.2.1";
/// Another machine, out there.
pub(crate) const OUTSIDE: &str = "192.0.2.2";
/// [`UPLINK`] and [`OUTSIDE`] over IPv6.
pub(crate) const UPLINK6: &str = "2001:db8::1";
/// See [`UPLINK6`].
pub(crate) const OUTSIDE6: &str = "2001:db8::2";

/// How long anything may take that takes no time on a machine that has nothing else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const PREPARE: &str = r#"set -e
umount /sys # under it are the control groups, which the runtimes need
mount -t tmpfs shm /dev/shm # podman's locks
mount -t tmpfs cni /etc/cni
mkdir -p /etc/cni/net.d /var/lib/cni /run/plugins /run/reference /run/www
mount --bind /usr/lib/cni /run/reference
mount -t tmpfs plugins /usr/lib/cni
[ ! -d /opt/cni ] || mount -t tmpfs none /opt/cni # some runtimes look there first

ip netns add outside
ip link add uplink type veth peer name eth0 netns outside
ip link set uplink up
ip -n outside link set lo up
ip -n outside link set eth0 up
ip address add 192.0.2.1/24 dev uplink
ip address add 2001:db8::1/64 dev uplink nodad
ip -n outside address add 192.0.2.2/24 dev eth0
ip -n outside address add 2001:db8::2/64 dev eth0 nodad
ip route add default via 192.0.2.2
ip -6 route add default via 2001:db8::2
cd /run/www
ip netns exec outside busybox httpd -p 80 -h /run/www
"#;

/// A machine of its own, which ends with the value, and all daemons and containers with it.
pub(crate) struct Machine {
    pub(crate) host: Host,
    /// The control group of all its containers, a path from the root.
    pub(crate) cgroup: String,
    _cgroup: ControlGroup, // after the host: it can't be removed while processes are in it
}

impl Machine {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("groundwork-runtimes-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let machine = Self { host: Host::new(), cgroup: format!("/{name}"), _cgroup: ControlGroup(name) };
        machine.host.sh(&format!("{PREPARE}{}", image::PAGES));
        machine
    }

    /// Puts groundwork into the plugin folder under these names.
    pub(crate) fn install(&self, names: &[&str]) -> &Self {
        names.iter().for_each(|name| self.put_plugin(name, Path::new(GROUNDWORK)));
        self
    }

    /// Puts these reference plugins into the plugin folder.
    pub(crate) fn install_reference(&self, names: &[&str]) -> &Self {
        names.iter().for_each(|name| self.put_plugin(name, &Path::new("/run/reference").join(name)));
        self
    }

    fn put_plugin(&self, name: &str, plugin: &Path) {
        let this = env::current_exe().unwrap();
        let (this, plugin) = (this.display(), plugin.display());
        self.host.sh(&format!("ln -sf {this} {PLUGIN_FOLDER}/{name} && ln -sf {plugin} {PLUGINS}/{name}"));
    }

    /// Writes a network's list of plugins where the runtimes look for it.
    pub(crate) fn network(&self, list: &Value) -> &Self {
        let name = list["name"].as_str().unwrap();
        self.write(&format!("/etc/cni/net.d/{name}.conflist"), &list.to_string());
        self
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        self.host.inside(|| std::fs::write(path, text).unwrap());
    }

    /// A command here whose environment is that of any machine.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.host.command(program);
        command.env_clear().envs([("HOME", "/root"), ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")]);
        command
    }

    /// Starts a daemon that ends with the machine; what it says is in `/run/NAME.log`.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) {
        let log = self.host.inside(|| std::fs::File::create(format!("/run/{name}.log")).unwrap());
        let mut command = self.command(name);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut daemon = command.spawn().unwrap();
        thread::spawn(move || daemon.wait());
    }

    /// The calls of plugins since this was last asked, without those for their versions. Panics if one failed.
    #[track_caller]
    pub(crate) fn calls(&self) -> Vec<Call> {
        let calls = self.all_calls();
        for call in &calls {
            assert_eq!(call.status, Some(0), "{call:#?}");
        }
        calls
    }

    /// [`Machine::calls`], whatever came of them.
    pub(crate) fn all_calls(&self) -> Vec<Call> {
        let text = self.host.sh(&format!("touch {CALLS}; cat {CALLS}; : >{CALLS}"));
        let calls = text.lines().map(|line| serde_json::from_str(line).unwrap());
        calls.filter(|call: &Call| call.verb() != "VERSION").collect()
    }

    /// Runs `round` twice: what the first leaves is the network itself, such as its bridge, and the second leaves
    /// nothing more. Neither leaves an attachment.
    #[track_caller]
    pub(crate) fn leaves_nothing(&self, round: impl Fn(&Self)) {
        round(self);
        self.assert_no_attachment();
        let before = self.snapshot();
        round(self);
        self.assert_no_attachment();
        before.assert_same(&self.snapshot());
    }

    fn snapshot(&self) -> Snapshot {
        self.calls(); // which this reads, so that no failure stays unseen
        self.host.snapshot()
    }

    /// What stands for an attachment: records, leases, host ends of links, elements of sets and maps, which name
    /// it as "network/container/interface".
    pub(crate) fn attachments(&self) -> Vec<String> {
        let found = self.host.sh(
            "find /run/groundwork -type f '(' -path '*/attachments/*' -o -path '*/leases/[0-9a-f]*' ')' 2>/dev/null
             find /var/lib/cni -type f '(' -path '*/results/*' -o -path '*/networks/*/[0-9]*' ')'
             ip -o link show type veth | grep -v ' uplink@'
             ip -o link show type ifb
             nft list ruleset | grep -o 'comment \"[^\"]*/[^\"]*\"'
             true",
        );
        found.lines().map(Into::into).collect()
    }

    /// Panics if there still is one when patience ends: some clean up a moment later, as the kernel does.
    #[track_caller]
    pub(crate) fn assert_no_attachment(&self) {
        let none = || self.attachments().is_empty();
        assert!(eventually(PATIENCE, none), "left:\n{}", self.attachments().join("\n"));
    }

    /// What a web server says to this machine, once it answers.
    #[track_caller]
    pub(crate) fn ask(&self, server: &str) -> String {
        let script = format!("busybox {}", wget(server));
        until_done(|| self.host.try_sh(&script)).success(&script).trim().to_owned()
    }

    /// What a web server says to the machine outside, once it answers.
    #[track_caller]
    pub(crate) fn ask_from_outside(&self, server: &str) -> String {
        until_done(|| self.try_from_outside(server)).success(server).trim().to_owned()
    }

    pub(crate) fn try_from_outside(&self, server: &str) -> Output {
        self.host.try_sh(&format!("ip netns exec outside busybox {}", wget(server)))
    }

    /// Whether a datagram that the machine outside sends to this port comes to port 53 in that namespace, and its
    /// echo back.
    pub(crate) fn passes_datagrams(&self, netns: &str, port: u16) -> bool {
        let mut server = self.command("nsenter");
        server.args([&format!("--net={netns}"), "timeout", "20", "socat", "-t", "9", "UDP4-RECVFROM:53", "PIPE"]);
        let server = thread::spawn(move || run(&mut server, ""));
        let client = format!(
            "ip netns exec outside bash -c 'exec 3<>/dev/udp/{UPLINK}/{port}; echo ping >&3; timeout 5 dd bs=64 count=1 <&3'"
        );
        let answered = eventually(PATIENCE, || self.host.try_sh(&client).stdout.trim() == "ping");
        server.join().unwrap();
        answered
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            let told =
                self.host.try_sh("cat /run/calls; tail -n 40 /run/*.log; cat /etc/cni/net.d/*; nft list ruleset");
            eprintln!("{}", told.stdout);
        }
    }
}

/// A control group, which is part of no namespace: the folders that stay when its processes have ended.
struct ControlGroup(String);

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let Self(name) = self;
        let gone = eventually(PATIENCE, || {
            let script = format!(
                "find /sys/fs/cgroup -depth -type d -path '*/{name}*' -exec rmdir {{}} + 2>/dev/null
                 ! find /sys/fs/cgroup -type d -name {name} | grep -q ."
            );
            try_sh(&script).status.success()
        });
        if !gone {
            eprintln!("the control group {name} is left");
        }
    }
}

/// What comes of a command that is tried again until it succeeds, or patience ends.
pub(crate) fn until_done(mut command: impl FnMut() -> Output) -> Output {
    let mut output = command();
    eventually(PATIENCE, || {
        if !output.status.success() {
            output = command();
        }
        output.status.success()
    });
    output
}

/// A command line for a container, which asks the web server there.
pub(crate) fn wget(server: &str) -> String {
    format!("timeout 3 wget -q -O - http://{server}{}", image::PEER)
}

/// A command line, its words apart at spaces.
pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// An address of a link, as `ip -o -4 address` prints it: `2: eth0 inet 10.1.0.2/24 brd ...`.
pub(crate) fn address_in(line: &str) -> String {
    let mut words = line.split_whitespace().skip_while(|&word| word != "inet");
    let address = words.nth(1).unwrap_or_else(|| panic!("no address: {line:?}"));
    address.split('/').next().unwrap().to_owned()
}

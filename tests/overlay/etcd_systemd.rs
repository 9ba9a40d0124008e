//! The agent under systemd: a real one, that is init of processes, cgroups and mounts of its own on a host.

use std::time::Duration;

use serde_json::json;

use crate::{
    etcd_site::{AGENT, Node, PATIENCE, Site},
    page,
    support::{Output, eventually},
};

/// Longer than the manager below gives a service for its start that says nothing of it.
const LONGER_THAN_A_START: Duration = Duration::from_secs(5);

/// As PID 1 sees the host: nothing of the machine's own is written, started or waited for.
const SETTING: &str = r#"
umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /run/new /run/work /run/settings && mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/new,workdir=/run/work /etc
mount -t proc proc /run/settings && mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
mount --bind /run/settings/sys/net /proc/sys/net
mount --bind /dev/null /dev/console
mkdir -p /etc/groundwork && cp /run/h1.json /etc/groundwork/agent.json
printf '[Manager]\nDefaultTimeoutStartSec=3s\n' >/etc/systemd/system.conf
mount -t tmpfs opt /opt && mkdir -p /opt/cni/bin && touch /opt/cni/bin/groundwork-agent
mount --bind "$1" /opt/cni/bin/groundwork-agent
exec env -i PATH="$PATH" container=other SYSTEMD_UNIT_PATH=/run/units SYSTEMD_GENERATOR_PATH=/run/none \
  SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/none /lib/systemd/systemd --system --unit=basic.target --log-target=null
"#;

/// systemd on a host, with the unit of docs/etcd.md.
struct Systemd<'a> {
    node: Node<'a>,
    /// The folder of its cgroup, which outlasts processes.
    cgroup: String,
}

impl<'a> Systemd<'a> {
    #[track_caller]
    fn start(node: Node<'a>) -> Self {
        let unit = page::block_of("etcd.md", "ini");
        node.sh(&format!(
            "mkdir -p /run/units/groundwork-agent.service.d && cd /run/units
             for target in sysinit basic shutdown network-online; do printf '[Unit]\\n' >$target.target; done
             cat >groundwork-agent.service <<'END'\n{unit}END
             printf '[Service]\\nStandardError=append:/run/h1.log\\nLimitCORE=0\\n' >groundwork-agent.service.d/test.conf
             touch /run/h1.log
             cat >/run/setting <<'END'\n{SETTING}END"
        ));
        let cgroup = node.sh("mount -t cgroup2 cgroup2 /sys/fs/cgroup &&
             mktemp -d /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/groundwork-test-XXXXXX");
        let systemd = Self { node, cgroup: cgroup.trim().to_owned() };
        systemd.node.sh(&format!(
            "echo 0 >{}/cgroup.procs && cd / && unshare --pid --fork --kill-child --mount --mount-proc --cgroup --uts --ipc \
             --propagation private sh -e /run/setting {AGENT} >/run/systemd.log 2>&1 & echo $! >/run/systemd.pid",
            systemd.cgroup
        ));
        let is_up = || systemd.try_ctl("is-active basic.target").stdout.trim() == "active";
        assert!(eventually(PATIENCE, is_up), "systemd does not start:\n{}", systemd.node.sh("cat /run/systemd.log"));
        systemd
    }

    fn try_ctl(&self, words: &str) -> Output {
        self.try_inside(&format!("timeout 30 systemctl {words}"))
    }

    #[track_caller]
    fn ctl(&self, words: &str) -> String {
        let output = self.try_ctl(words);
        let told = || self.try_ctl("status --no-pager groundwork-agent").stdout;
        assert!(output.status.success(), "systemctl {words}: {output:?}\n{}\n{}", told(), self.node.log());
        output.stdout.trim().to_owned()
    }

    fn property(&self, name: &str) -> String {
        self.ctl(&format!("show --value -p {name} groundwork-agent"))
    }

    /// Waits until another process than that runs the service, and has said that it is ready.
    #[track_caller]
    fn await_another(&self, pid: &str) {
        let is_another =
            || self.property("ActiveState") == "active" && !["0", pid].contains(&self.property("MainPID").as_str());
        let told = || self.try_ctl("status --no-pager groundwork-agent").stdout;
        assert!(eventually(PATIENCE, is_another), "{}\n{}", told(), self.node.log());
    }

    /// Sends a signal to the service's process.
    fn kill(&self, signal: &str) {
        self.ctl(&format!("kill --kill-who=main --signal={signal} groundwork-agent"));
    }

    /// Runs a command where systemd is PID 1.
    fn try_inside(&self, command: &str) -> Output {
        self.node.try_sh(&format!(
            "unshare=$(cat /run/systemd.pid); init=$(cat /proc/$unshare/task/$unshare/children)
             exec nsenter --target ${{init% }} --mount --pid {command}"
        ))
    }
}

impl Drop for Systemd<'_> {
    fn drop(&mut self) {
        let cgroup = &self.cgroup;
        self.node.try_sh(&format!(
            "kill -9 $(cat /run/systemd.pid)
             for try in $(seq 100); do
               find {cgroup} -depth -type d -exec rmdir {{}} + 2>/dev/null; [ -e {cgroup} ] || break; sleep 0.1
             done"
        ));
    }
}

#[test]
fn systemd_starts_it_waits_for_it_and_ends_it_and_the_network_stays() {
    let site = Site::new();
    site.start_etcd();
    (1..=2).for_each(|number| site.add_node(number));
    let (first, second) = (site.node(1), site.node(2));
    first.configure(json!({ "stateDir": "/run/h1" }));
    second.start();
    let systemd = Systemd::start(site.node(1));
    // It is not ready, and given all the time that it takes.
    systemd.ctl("start --no-block groundwork-agent");
    first.await_log("etcd has no key");
    let pid = systemd.property("MainPID");
    std::thread::sleep(LONGER_THAN_A_START);
    assert_eq!((systemd.property("ActiveState"), systemd.property("MainPID")), ("activating".into(), pid.clone()));
    site.configure(&json!({ "network": ["10.244.0.0/16", "fd00:244::/48"] }));
    let is_active = || systemd.property("ActiveState") == "active";
    assert!(eventually(PATIENCE, is_active), "{}", first.log());
    first.await_peers(1);
    assert_eq!((systemd.property("MainPID"), systemd.property("NRestarts")), (pid, "0".into()));
    let there = second.pod("web");
    first.pod("web");
    first.ping("web", &there);

    let before = first.kernel();
    systemd.ctl("stop groundwork-agent");
    assert_eq!(systemd.property("Result"), "success");
    assert_eq!(first.kernel(), before);
    first.pod("late");
    first.ping("late", &there);
    let before = first.kernel();
    first.sh("truncate --size 0 /run/h1.log");
    systemd.ctl("start groundwork-agent");
    systemd.ctl("restart groundwork-agent");
    first.await_peers(1);
    assert_eq!(first.kernel(), before);
    assert!(!first.log().contains("mended") && !first.log().contains("followed"), "{}", first.log());
    // The rights that it has are enough for what is to be done, too.
    first.sh("ip link del vxlan.1; nft flush ruleset");
    systemd.ctl("restart groundwork-agent");
    first.ping("web", &there);
    let settings =
        first.sh("cat /proc/sys/net/ipv6/conf/vxlan.1/addr_gen_mode /proc/sys/net/ipv6/conf/vxlan.1/accept_ra");
    assert_eq!(settings, "1\n0\n");
}

#[test]
fn systemd_starts_it_again_when_it_is_killed_or_hangs() {
    let site = Site::with_agents(2);
    let first = site.node(1);
    first.end("TERM");
    let systemd = Systemd::start(site.node(1));
    systemd.ctl("start groundwork-agent");
    assert_eq!(systemd.property("WatchdogUSec"), "1min");
    // That is too patient for a test.
    first.sh("printf 'WatchdogSec=2\\n' >>/run/units/groundwork-agent.service.d/test.conf");
    systemd.ctl("daemon-reload");
    systemd.ctl("restart groundwork-agent");
    first.await_peers(1);
    let before = first.kernel();
    // More often than systemd puts up with unless it is told to.
    for _ in 0..7 {
        let pid = systemd.property("MainPID");
        systemd.kill("KILL");
        systemd.await_another(&pid);
    }
    let pid = systemd.property("MainPID");
    systemd.kill("STOP");
    systemd.await_another(&pid);
    first.await_peers(1);
    assert_eq!(first.kernel(), before);
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let site = Site::new();
    site.add_node(1);
    let systemd = Systemd::start(site.node(1));
    let unit = "/run/units/groundwork-agent.service";
    let found = systemd.try_inside(&format!("systemd-analyze verify {unit} 2>&1")).success("verify");
    assert_eq!(found, "");
    // An exposure of at most 3.5, of 10.
    systemd.try_inside(&format!("systemd-analyze security --offline=true --threshold=35 {unit}")).success("security");
}

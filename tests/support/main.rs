//! The helpers of the other suites, tested: a helper that can't fail would hide what they test.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "mod.rs"]
mod support;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;
use support::{GROUNDWORK, Host, eventually, in_new_netns, run, run_within, sh};

fn panic_of(body: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(body)).expect_err("it did not panic");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_host_is_apart_from_the_machine_and_from_other_hosts() {
    let (one, two) = (Host::new(), Host::new());
    one.sh("ip link add br0 type bridge; mkdir -p /run/groundwork; touch /run/groundwork/mine");
    assert!(!one.snapshot().mentions("link ifname=br0").is_empty());
    assert!(!one.snapshot().mentions("/run/groundwork/mine").is_empty());
    assert!(two.snapshot().mentions("br0").is_empty());
    assert!(two.snapshot().mentions("mine").is_empty());
    assert!(!sh("ip -br link").contains("br0"));
}

#[test]
fn a_host_ends_with_all_that_runs_in_it() {
    let host = Host::new();
    host.sandbox("web");
    host.sh("sleep 1234 > /dev/null 2>&1 &");
    let sleeps = || sh("ps -eo args").lines().filter(|line| *line == "sleep 1234").count();
    assert!(host.inside(|| std::path::Path::new("/run/netns/web").exists()));
    assert!(!std::path::Path::new("/run/netns/web").exists());
    assert_eq!(sleeps(), 1);
    let own_number = host.starting(|| Command::new("readlink").arg("/proc/self").output().unwrap().stdout);
    assert!(own_number.len() <= 3, "{own_number:?}");
    drop(host);
    assert!(eventually(Duration::from_secs(5), || sleeps() == 0));
}

#[test]
fn a_process_that_hangs_is_ended_and_is_a_failure() {
    let mut hang = Command::new("sh");
    hang.args(["-c", "echo $$ > \"$FILE\"; sleep 1000"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    hang.env("FILE", &file);
    let said = panic_of(|| drop(run_within(Duration::from_millis(300), &mut hang, "")));
    assert!(said.contains("still running"), "{said}");
    let pid = Pid::from_raw(std::fs::read_to_string(file).unwrap().trim().parse().unwrap());
    assert!(eventually(Duration::from_secs(5), || kill(pid, None).is_err()));
}

#[test]
fn a_script_that_fails_says_what_it_said() {
    let said = panic_of(|| drop(sh("echo one; echo two >&2; false")));
    assert!(said.contains("stdout: one") && said.contains("stderr: two"), "{said}");
}

#[test]
fn snapshots_show_what_was_left() {
    let host = Host::new();
    let before = host.snapshot();
    before.assert_same(&host.snapshot());
    for (change, line) in [
        ("ip link add v0 type veth peer name v1; ip link set v0 mtu 1400", "+ link ifname=v0"),
        ("ip address add 192.0.2.1/24 dev lo", "+ address lo 192.0.2.1/24 global"),
        ("ip route add blackhole 198.51.100.0/24", "+ route type=blackhole dst=198.51.100.0/24"),
        ("ip -6 route add blackhole 2001:db8::/32", "+ route type=blackhole dst=2001:db8::/32"),
        ("ip rule add from 192.0.2.9 table 100", "+ rule priority=32765 src=192.0.2.9"),
        (
            "nft add table inet t; nft add set inet t s '{ type ipv4_addr; elements = { 192.0.2.6, 192.0.2.7 } ; }'",
            "+ nft table inet t {set s {element 192.0.2.7",
        ),
        ("sysctl -qw net.ipv4.ip_forward=1", "+ sysctl ipv4/ip_forward:1"),
        (
            "mkdir -p /run/groundwork/net; touch /run/groundwork/net/record",
            "+ file -rw-r--r-- /run/groundwork/net/record",
        ),
        ("ip neigh add 192.0.2.3 lladdr 02:00:00:00:00:01 dev v0 nud permanent", "+ neighbour dst=192.0.2.3 dev=v0"),
        ("bridge fdb add 02:00:00:00:00:02 dev v0 self permanent", "+ fdb mac=02:00:00:00:00:02 ifname=v0"),
        ("tc qdisc add dev v0 root tbf rate 1mbit burst 32k latency 25ms", "+ qdisc kind=tbf dev=v0"),
    ] {
        let before = host.snapshot();
        host.sh(change);
        let difference = before.difference(&host.snapshot());
        assert!(difference.contains(line), "{change}: {line:?} is not in\n{difference}");
        assert!(panic_of(|| before.assert_same(&host.snapshot())).contains(line));
    }
}

#[test]
fn pings_tell_an_answer_from_none() {
    let host = Host::new();
    let web = host.sandbox("web");
    web.sh("ip link set lo up; ip address add 192.0.2.1/32 dev lo; ip route add blackhole 198.51.100.0/24");
    web.ping("192.0.2.1");
    assert!(!web.pings("198.51.100.1"));
    assert!(panic_of(|| web.ping("198.51.100.1")).contains("does not answer web"));
    assert!(web.inside(|| sh("ip -br address show lo")).contains("192.0.2.1"));
    assert!(!host.inside(|| sh("ip -br address show lo")).contains("192.0.2.1"));
}

#[test]
fn a_plugin_is_called_by_the_protocol() {
    let mut host = Host::new();
    host.plugin = "/usr/lib/cni/loopback".into();
    let lo = host.sandbox("web");
    let config = json!({"cniVersion": "1.0.0", "name": "n", "type": "loopback"});
    let result = lo.add(&config);
    assert_eq!(result["ips"][0]["address"], "127.0.0.1/8");
    lo.check(&config, &result);
    lo.sh("ip link set lo down");
    assert!(panic_of(|| lo.check(&config, &result)).contains("CHECK: exit status"));
    lo.del(&config);
    assert_eq!(lo.verb("NONSENSE", &config).error()["code"], 4);
}

#[test]
fn a_closure_in_a_new_netns_sees_only_that() {
    in_new_netns(|| {
        sh("ip link add br0 type bridge");
        assert_eq!(sh("ip -br link").lines().count(), 2);
    });
    assert!(panic_of(|| in_new_netns(|| panic!("{}", "as is"))).contains("as is"));
    let mut help = Command::new(GROUNDWORK);
    assert!(run(help.arg("--help"), "").status.code().is_some());
}

//! The agent as a service: how it is started and asked, and what it tells systemd.

use std::{net::TcpListener, os::unix::net::UnixDatagram};

use serde_json::json;

use crate::{
    etcd_site::{PATIENCE, Site},
    support::{GROUNDWORK, eventually},
};

/// What the agent has told systemd until now.
struct Systemd(UnixDatagram);

impl Systemd {
    fn new(path: &std::path::Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    fn told(&self) -> String {
        let (mut told, mut buffer) = (String::new(), [0; 512]);
        while let Ok(length) = self.0.recv(&mut buffer) {
            told += str::from_utf8(&buffer[..length]).unwrap();
            told += "\n";
        }
        told
    }
}

#[test]
fn it_is_ready_once_the_host_has_its_subnet_and_well_from_then_on() {
    let site = Site::new();
    site.start_etcd();
    site.add_node(1);
    let node = site.node(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = Systemd::new(&path);
    node.start_with(&format!("NOTIFY_SOCKET={} WATCHDOG_USEC=900000", path.display()));
    node.await_log("etcd has no key /groundwork/v1/pods/config");
    let status = node.sh("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9471/healthz");
    assert_eq!(status, "503");
    let health = node.health().unwrap();
    assert_eq!(health["kernel"], "waits for a subnet");
    assert!(health["etcd"].as_str().unwrap().contains("etcdctl put /groundwork/v1/pods/config"), "{health}");
    assert!(!systemd.told().contains("READY=1"));
    site.configure(&json!({ "network": "10.244.0.0/16" }));
    node.await_peers(0);
    let mut told = String::new();
    assert!(
        eventually(PATIENCE, || {
            told += &systemd.told();
            told.contains("READY=1") && told.matches("WATCHDOG=1").count() > 3
        }),
        "{told}"
    );
    let status = node.sh("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9471/healthz");
    assert_eq!(status, "200");
    assert_eq!(node.sh("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9471/"), "404");
    node.end("TERM");
    assert!(systemd.told().contains("STOPPING=1"));
}

#[test]
fn what_is_asked_of_it_wrongly_is_told_before_anything_is_touched() {
    let site = Site::new();
    site.add_node(1);
    let node = site.node(1);
    let agent = env!("CARGO_BIN_EXE_groundwork-agent");
    let refusals = [
        ("--config /nowhere", 1, "cannot read /nowhere: No such file"),
        ("--conifg x", 2, "invalid option '--conifg'"),
        ("--config /run/bad.json", 1, "/run/bad.json: unknown field `endpoint`"),
    ];
    site.outside.sh(r#"echo '{"network": "pods", "etcd": {"endpoint": "x"}}' >/run/bad.json"#);
    for (arguments, status, expected) in refusals {
        let output = node.try_sh(&format!("timeout 10 {agent} {arguments}"));
        assert_eq!(output.status.code(), Some(status), "{arguments}");
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
    assert_eq!(node.sh("ls /run/h1 2>/dev/null; ip -o link | wc -l").trim(), "2");
}

#[test]
fn the_plugins_command_becomes_the_agent_and_says_what_to_do_where_there_is_none() {
    let site = Site::new();
    let version = site.outside.try_sh(&format!("{GROUNDWORK} agent --version"));
    assert!(version.status.success());
    assert_eq!(version.stderr.trim(), format!("groundwork-agent {}", env!("CARGO_PKG_VERSION")));
    site.outside.sh(&format!("cp {GROUNDWORK} /run/groundwork"));
    let alone = site.outside.try_sh("/run/groundwork agent --config x");
    assert!(!alone.status.success());
    let said = alone.stdout;
    assert!(said.contains("cannot run /run/groundwork-agent: No such file") && said.contains("`make agent`"), "{said}");
}

#[test]
fn another_program_at_its_address_keeps_nothing_from_working() {
    let site = Site::with_agents(2);
    let first = site.node(1);
    first.end("KILL");
    let other = site.outside.named("h1").inside(|| TcpListener::bind("127.0.0.1:9471").unwrap());
    first.sh("rm /run/h1.log; ip link del vxlan.1");
    first.start();
    first.await_log("cannot listen yet");
    assert!(eventually(PATIENCE, || first.routes().len() == 1), "{}", first.log());
    drop(other);
    first.await_peers(1);
}

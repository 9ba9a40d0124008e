//! Files: planted links, forged records, modes.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::{
    network,
    support::{GROUNDWORK, Host, Sandbox, run},
};

/// A network whose state lies in a folder where others may have been before.
fn in_tmp() -> Value {
    let mut config = network("net", 41);
    config["stateDir"] = json!("/run/tmp/state");
    config
}

/// A folder and a file that must stay as they are.
fn victim(host: &Host) -> impl Fn() -> String + '_ {
    host.sh(
        "mkdir -p -m 1777 /run/tmp; mkdir /run/victim; echo precious > /run/victim/file; touch /run/victim/10.41.0.2",
    );
    move || host.sh("cd /run/victim; ls -lan --time-style=+%s | tail -n +2; cat file")
}

fn refused(web: &Sandbox<'_>, verb: &str) -> String {
    web.verb(verb, &in_tmp()).error()["msg"].as_str().unwrap().to_owned()
}

#[test]
fn a_planted_state_folder_is_refused() {
    let host = Host::new();
    let web = host.sandbox("web");
    let victim_now = victim(&host);
    let before = victim_now();
    for (plant, word) in [
        ("ln -s /run/victim /run/tmp/state", "symbolic link"),
        ("mkdir /run/tmp/state; chown 1000 /run/tmp/state", "user 1000"),
        ("mkdir -m 0777 /run/tmp/state", "others may write"),
        ("mkdir -m 0770 /run/tmp/state; chgrp 1000 /run/tmp/state", "others may write"),
    ] {
        host.sh(plant);
        for verb in ["ADD", "DEL", "CHECK"] {
            let said = refused(&web, verb);
            assert!(said.contains(word) || verb == "CHECK", "{plant}: {verb}: {said}");
        }
        assert!(!host.gc(&in_tmp(), &[]).status.success(), "{plant}: GC");
        assert_eq!((web.sh("ip -br link show type veth"), victim_now()), (String::new(), before.clone()), "{plant}");
        host.sh("rm -rf /run/tmp/state");
    }
    web.add(&in_tmp());
}

#[test]
fn planted_links_are_not_followed() {
    let host = Host::new();
    let web = host.sandbox("web");
    let victim_now = victim(&host);
    let before = victim_now();
    let state = "/run/tmp/state";
    for plant in [
        format!("ln -s /run/victim {state}/net"),
        format!("mkdir -m 0700 {state}/net; ln -s /run/victim {state}/net/attachments"),
        format!("mkdir -pm 0700 {state}/net/attachments; ln -s /run/victim/file {state}/net/attachments/web@eth0"),
        format!("mkdir -pm 0700 {state}/net; ln -s /run/victim {state}/net/leases"),
    ] {
        host.sh(&format!("mkdir -m 0700 {state}; {plant}"));
        for verb in ["ADD", "DEL"] {
            let output = web.verb(verb, &in_tmp());
            assert!(!output.status.success() || verb == "DEL", "{plant}: {verb}: {}", output.stdout);
        }
        host.gc(&in_tmp(), &[]);
        assert_eq!(victim_now(), before, "{plant}");
        host.sh(&format!("rm -rf {state}"));
    }
    // A lease that is a link is somebody's lease: the next address is given.
    host.sh(&format!("mkdir -pm 0700 {state}/net/leases; ln -s /run/victim/file {state}/net/leases/10.41.0.2"));
    let result = web.add(&in_tmp());
    assert_eq!(result["ips"][0]["address"], "10.41.0.3/24");
    web.del(&in_tmp());
    host.gc(&in_tmp(), &[]);
    assert_eq!(victim_now(), before);
}

#[test]
fn what_is_written_is_its_owners_alone() {
    let host = Host::new();
    let web = host.sandbox("web");
    let mut config = network("net", 41);
    config["logFile"] = json!("/run/log");
    let mut command = host.command("sh");
    command.args(["-c", &format!("umask 0; exec {GROUNDWORK}")]).envs(web.variables("ADD")).env("CNI_PATH", "/nowhere");
    run(&mut command, config.to_string()).success("ADD");
    let open = host.sh("find /run/groundwork /run/log -perm /077 -printf '%p %m\\n'");
    assert_eq!(open, "", "nobody else reads or writes any of it");
    assert!(host.sh("find /run/groundwork -type f | wc -l").trim().parse::<u32>().unwrap() >= 3);
    assert_eq!(std::fs::metadata(GROUNDWORK).unwrap().permissions().mode() & 0o6000, 0, "no setuid");
}

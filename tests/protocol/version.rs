//! VERSION: what is spoken here, without a look at the world.

use serde_json::{Value, json};

use crate::{
    caller::{Caller, vars},
    support::{GROUNDWORK, run},
};

const SUPPORTED: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

#[test]
fn the_versions_and_the_inputs_own() {
    let caller = Caller::new();
    for (stdin, echoed) in [
        ("{}", "1.1.0"),
        ("", "1.1.0"),
        ("nonsense", "1.1.0"),
        ("[]", "1.1.0"),
        ("{\"cniVersion\":7}", "1.1.0"),
        ("{\"cniVersion\":\"0.2.0\"}", "0.2.0"),
        ("{\"CniVersion\":\"1.0.0\",\"name\":\"../x\",\"bridge\":7}", "1.0.0"),
        ("{\"cniVersion\":\"9.9.9\"}", "9.9.9"),
    ] {
        for vars in [vars("VERSION"), vec![("CNI_COMMAND", "VERSION".into())]] {
            let output = caller.call(&vars, stdin);
            assert_eq!(output.stderr, "");
            let document: Value = output.json("VERSION");
            assert_eq!(document, json!({ "cniVersion": echoed, "supportedVersions": SUPPORTED }), "{stdin}");
        }
    }
    caller.untouched();
}

/// Whoever probes VERSION sets the other variables to dummies.
#[test]
fn the_other_variables_do_not_matter() {
    let caller = Caller::new();
    let mut vars = vars("VERSION");
    vars.extend([
        ("CNI_CONTAINERID", "a/b".into()),
        ("CNI_NETNS", "dummy".into()),
        ("CNI_IFNAME", "dummy dummy dummy".into()),
        ("CNI_ARGS", "=;=".into()),
    ]);
    assert_eq!(caller.call(&vars, "{}").json("VERSION")["supportedVersions"], json!(SUPPORTED));
}

/// No socket, no other file than its own, no other program, no thread.
#[test]
fn it_asks_nobody() {
    let caller = Caller::new();
    let traced = |verb: &'static str, stdin: &str| {
        let mut command = caller.command("strace");
        command.args([
            "-f",
            "-qq",
            "-o",
            "/dev/stderr",
            "-e",
            "trace=socket,execve,clone,clone3,fork,vfork,openat,open",
        ]);
        run(command.arg(GROUNDWORK).envs(vars(verb)), stdin).stderr
    };
    let version = traced("VERSION", "{\"cniVersion\":\"1.0.0\",\"bridge\":\"br0\",\"modules\":[\"vxlan\"]}");
    assert_eq!(version.matches("execve(").count(), 1, "{version}");
    for call in ["socket(", "clone", "fork("] {
        assert!(!version.contains(call), "{call} in\n{version}");
    }
    let opened: Vec<_> = version.lines().filter(|line| line.contains("open")).collect();
    assert!(opened.iter().all(|line| line.contains("/proc/self/")), "{opened:?}");
    // The test sees sockets: STATUS of the same asks the kernel.
    let status =
        traced("STATUS", "{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"type\":\"groundwork\",\"bridge\":\"br0\"}");
    assert!(status.contains("socket(AF_NETLINK"), "{status}");
}

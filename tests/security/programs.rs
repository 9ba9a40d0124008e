//! Programs that are not ours: where they are taken from, what they are given, what they can do.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    network,
    support::{GROUNDWORK, Host, Sandbox, run},
};

/// Puts a plugin `sample` into /run/plugins and returns the sandbox whose CNI_PATH that is.
fn with_plugin<'a>(host: &'a Host, script: &str) -> Sandbox<'a> {
    host.sh(&format!(
        "mkdir -p /run/plugins; cat > /run/plugins/sample <<'END'\n#!/bin/sh\n{script}\nEND\nchmod +x /run/plugins/sample"
    ));
    let mut web = host.sandbox("web");
    web.env.push(("CNI_PATH".into(), "/run/plugins".into()));
    web
}

fn to_sample() -> Value {
    json!({ "cniVersion": "1.1.0", "name": "net", "type": "groundwork", "delegate": { "type": "sample" } })
}

#[test]
fn none_is_taken_from_path_or_from_here() {
    let host = Host::new();
    host.sh("mkdir -p /run/evil; cd /run/evil; printf '#!/bin/sh\\necho $0 >> /run/mark\\n' > sh; chmod +x sh
             for name in ip nft iptables ip6tables modprobe insmod sysctl tc bridge conntrack host-local sample \\
             static true env; do cp sh $name; done");
    let web = host.sandbox("web");
    let mut config = network("net", 42);
    config["modules"] = json!(["bridge", "overlay"]);
    config["runtimeConfig"]["bandwidth"] = json!({ "ingressRate": 1_000_000, "ingressBurst": 100_000 });
    let call = |verb: &str, config: &Value, path: &str| {
        let mut command = host.command("/bin/sh");
        command.args(["-c", &format!("cd /run/evil; PATH=/run/evil:.; export PATH; exec {GROUNDWORK}")]);
        command.envs(web.variables(verb)).env("CNI_PATH", path);
        run(&mut command, config.to_string())
    };
    let result = call("ADD", &config, "/nowhere").json("ADD");
    call("CHECK", &crate::support::with_prev(&config, &result), "/nowhere").success("CHECK");
    call("DEL", &config, "/nowhere").success("DEL");
    // A module that nobody has: every loader is tried, modprobe from its fixed place.
    config["modules"] = json!(["groundwork_has_no_such_module"]);
    call("ADD", &config, "/nowhere");
    assert_eq!(host.sh("cat /run/mark 2>/dev/null || true"), "");
    // Plugins: from folders that CNI_PATH names, and an empty name is not the working folder.
    for path in ["", ":", "/nowhere:", ":/nowhere"] {
        let error = call("ADD", &to_sample(), path).error();
        assert!(error["msg"].as_str().unwrap().contains("sample"), "{path:?}: {error}");
        assert_eq!(host.sh("cat /run/mark 2>/dev/null || true"), "", "CNI_PATH={path:?}");
    }
    call("ADD", &to_sample(), "/run/evil").error();
    assert_eq!(host.sh("cat /run/mark"), "/run/evil/sample\n", "the trap works");
}

#[test]
fn a_delegate_gets_three_descriptors() {
    let host = Host::new();
    let web = with_plugin(&host, "ls /proc/self/fd > /run/open; echo '{\"cniVersion\":\"1.1.0\"}'");
    let mut command = host.command("sh");
    command.args(["-c", &format!("exec 5</etc/hostname 9</etc/hostname; exec {GROUNDWORK}")]);
    run(command.envs(web.variables("ADD")), to_sample().to_string()).success("ADD");
    // `ls` has one more, for the folder that it lists.
    assert_eq!(host.sh("cat /run/open").split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
}

#[test]
fn a_hostile_delegate_is_an_error_and_no_more() {
    let host = Host::new();
    let before = host.snapshot();
    for (script, word) in [
        ("exec cat /dev/zero", "wrote more than"),
        ("echo '{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.0.0.1\"}]}'", "ADD"),
        ("echo '[[[[[[[[[['", "ADD"),
        ("awk 'BEGIN { while (i++ < 100000) printf \"[\" }'", "ADD"),
        ("kill -9 $$", "SIGKILL"),
        ("echo '{\"code\":\"x\",\"msg\":[]}'; exit 1", "exit code 1"),
        ("exec 0<&- 1>&- 2>&-; exit 0", "ADD"),
    ] {
        let web = with_plugin(&host, script);
        let error = web.verb("ADD", &to_sample()).error();
        assert!(error.to_string().contains(word), "{script}: {error}");
        host.sh("ip netns del web; rm -r /run/plugins");
    }
    before.assert_same(&host.snapshot());
}

/// A child that lives on with the plugin's stdout must not hold the runtime.
#[test]
fn what_a_delegate_leaves_running_holds_nobody() {
    let host = Host::new();
    let web = with_plugin(&host, "sleep 20 2>/dev/null &\necho '{\"cniVersion\":\"1.1.0\"}'");
    let start = Instant::now();
    web.add(&to_sample());
    assert!(start.elapsed() < Duration::from_secs(10), "waited for what the plugin left behind");
}

//! Logs: what they say, where they go, and that stdout is the protocol's.

use serde_json::json;

use crate::{
    network::{Kernel, dual, single, text, with},
    support::{Host, Sandbox, with_prev},
};

/// The lines of a log that speak of `verb`, without their times.
fn lines(host: &Host, verb: &str) -> Vec<String> {
    let log = host.sh("cat /run/log");
    log.lines().filter(|line| line.contains(&format!("verb={verb}"))).map(str::to_owned).collect()
}

#[test]
fn each_add_says_where_features_came_from_and_how_long_each_part_took() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = with(&dual(), json!({ "logFile": "/run/log" }));
    let output = web.verb("ADD", &config);
    assert_eq!(output.stderr, "");
    let result = output.json("ADD");
    let [line] = &lines(&host, "ADD")[..] else { panic!("{}", host.sh("cat /run/log")) };
    for words in [
        "INFO done ",
        "network=\"net\"",
        "container=\"web\"",
        "ifname=\"eth0\"",
        "kernel=\"bridge ",
        "veth ",
        "nf_tables ",
    ] {
        assert!(line.contains(words), "{words:?} is not in {line}");
    }
    let origin = line.split("kernel=\"").nth(1).unwrap().split('"').next().unwrap();
    for part in origin.split(", ") {
        assert!(part.contains(" was there") || part.contains(" loaded by ") || part.contains(" came with "), "{part}");
    }
    let micros = |name: &str| -> u64 {
        let value = line.split(&format!(" {name}=")).nth(1).unwrap_or_else(|| panic!("no {name} in {line}"));
        value.split_whitespace().next().unwrap().parse().unwrap()
    };
    let parts: u64 = ["kernel_us", "addresses_us", "observe_us", "apply_us"].map(micros).iter().sum();
    assert!(parts > 0 && parts <= micros("us"), "{line}");

    web.check(&config, &result);
    web.del(&config);
    host.gc(&config, &[]).success("GC");
    host.status(&config).success("STATUS");
    for verb in ["CHECK", "DEL", "GC", "STATUS"] {
        assert!(lines(&host, verb)[0].contains("INFO done"), "{verb}: {:?}", lines(&host, verb));
        assert!(!lines(&host, verb)[0].contains("apply_us"), "{verb}: {:?}", lines(&host, verb));
    }
    assert_eq!(host.sh("stat -c %a /run/log"), "600\n");
}

#[test]
fn what_failed_is_in_the_log_with_what_it_took() {
    let host = Host::new();
    let web = host.sandbox("web");
    host.sh("ip link add br0 type veth peer name other");
    let config = with(&dual(), json!({ "logFile": "/run/log" }));
    let error = web.verb("ADD", &config).error();
    let [line] = &lines(&host, "ADD")[..] else { panic!("{}", host.sh("cat /run/log")) };
    assert!(line.contains("ERROR") && line.contains(&text(&error, "msg")), "{line}");
    assert!(line.contains(" addresses_us=") && !line.contains("apply_us="), "it did not come to that: {line}");
}

#[test]
fn a_delegates_time_is_told() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "groundwork", "logFile": "/run/log", "delegate": { "type": "loopback" },
    });
    let mut lo = web;
    lo.ifname = "lo".into();
    lo.add(&config);
    assert!(lines(&host, "ADD")[0].contains("delegate_us="), "{:?}", lines(&host, "ADD"));
}

fn said<'a>(web: &Sandbox<'a>, changes: serde_json::Value) -> (String, String) {
    let config = with(&single(), changes);
    let output = web.verb("ADD", &config);
    let stderr = output.stderr.clone();
    let document = output.json("ADD");
    web.verb("DEL", &with_prev(&config, &document)).success("DEL");
    (document.to_string(), stderr)
}

#[test]
fn levels() {
    let host = Host::new();
    let mut web = host.sandbox("web");
    let (_, trace) = said(&web, json!({ "logLevel": "trace" }));
    assert!(trace.contains("DEBUG") && trace.contains(" INFO done"), "{trace}");
    let (_, info) = said(&web, json!({ "logLevel": "INFO" }));
    assert!(!info.contains("DEBUG") && info.contains(" INFO done"), "{info}");
    let (_, quiet) = said(&web, json!({}));
    assert_eq!(quiet, "");
    web.env.push(("GROUNDWORK_LOG_LEVEL".into(), "debug".into()));
    let (_, debug) = said(&web, json!({}));
    assert!(debug.contains("DEBUG"), "{debug}");
    let (_, config_wins) = said(&web, json!({ "logLevel": "error" }));
    assert_eq!(config_wins, "");
    web.env.push(("GROUNDWORK_LOG_FILE".into(), "/run/own".into()));
    let (_, to_file) = said(&web, json!({}));
    assert_eq!(to_file, "");
    assert!(host.sh("cat /run/own").contains("DEBUG"));
    web.env[0].1 = "nonsense".into();
    said(&web, json!({})); // no container stays without network for want of a level
}

#[test]
fn unknown_keys_are_told_with_what_they_may_have_meant() {
    let host = Host::new();
    let web = host.sandbox("web");
    let (document, stderr) =
        said(&web, json!({ "isDefaultGatewy": true, "ipam": { "rangStart": "10.88.0.9" }, "own": 1 }));
    assert!(document.contains("10.88.0.2"));
    for words in ["isDefaultGatewy", "isDefaultGateway", "ipam.rangStart", "rangeStart", "own"] {
        assert!(stderr.contains(words), "{words:?} is not in {stderr}");
    }
    assert!(stderr.lines().all(|line| line.contains("WARN")), "{stderr}");
}

#[test]
fn a_log_that_cannot_be_written_fails_nothing() {
    let host = Host::new();
    let web = host.sandbox("web");
    for file in ["/run/none/log", "/run"] {
        let (_, stderr) = said(&web, json!({ "logFile": file }));
        assert!(stderr.contains("WARN") && stderr.contains(file), "{stderr}");
    }
    host.sh(
        "mkdir /run/full; mount -t tmpfs -o size=4k none /run/full; head -c 4096 /dev/zero > /run/full/fill || true",
    );
    let (_, stderr) = said(&web, json!({ "logFile": "/run/full/log" }));
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(web.links(), ["lo"]);
}

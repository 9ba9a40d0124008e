//! One configuration, two plugins: the reference's and groundwork called by its name.

use serde_json::Value;

use crate::support::{GROUNDWORK, Host, REFERENCE_PLUGINS, Sandbox, with_prev};

/// Holds that ADD, CHECK and DEL by both make the same, on hosts that `prepare` made alike: results, and what the kernel
/// holds. Nothing may be left of either in the sandbox.
#[track_caller]
pub(crate) fn alike(config: &Value, prepare: &str) {
    let plugin = config["type"].as_str().unwrap();
    let reference = made(&format!("{REFERENCE_PLUGINS}/{plugin}"), config, prepare);
    let ours = made(GROUNDWORK, config, prepare);
    let without = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    assert!(
        reference == ours,
        "{config}\nthe reference only: {:#?}\ngroundwork only: {:#?}",
        without(&reference, &ours),
        without(&ours, &reference)
    );
}

/// The result and then what the kernel holds, names and addresses that are drawn at random replaced.
fn made(binary: &str, config: &Value, prepare: &str) -> Vec<String> {
    let mut host = Host::new();
    host.plugin = binary.into();
    host.sh(prepare);
    let web = host.sandbox("web");
    let before = web.snapshot();
    let result = web.add(config);
    web.verb("CHECK", &with_prev(config, &result)).success("CHECK");
    let mut made: Vec<_> = serde_json::to_string_pretty(&masked(&result)).unwrap().lines().map(str::to_owned).collect();
    made.extend(kernel(&host, &web));
    web.del(config);
    let left = before.difference(&web.snapshot());
    // Leases are counted on, and the loopback link keeps the address that it gets when it is set up.
    let kept =
        |line: &str| line.starts_with("+ file ") || line.starts_with("+ address lo ") || line.contains(" dev=lo ");
    assert!(left.lines().all(kept), "{left}");
    made
}

fn kernel(host: &Host, web: &Sandbox<'_>) -> Vec<String> {
    let asked = [
        "ip -o address | awk '{ print $2, $4 }' | grep -v fe80",
        "ip -4 route",
        "ip -6 route | grep -v -e ^fe80 -e ^multicast",
        "ip -j -d link | tr ',' '\\n' | grep -o -e 'info_kind.*' -e '\"mtu.*' -e '\"mode.*' -e 'hairpin.*' -e '\"isolated.*'",
        "sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding",
    ];
    let one = |sh: &dyn Fn(&str) -> String| -> Vec<String> {
        asked.iter().flat_map(|script| sh(&format!("{script}; true")).lines().map(mask).collect::<Vec<_>>()).collect()
    };
    let mut lines = one(&|script| host.sh(script));
    lines.push("in the sandbox".into());
    lines.extend(one(&|script| web.sh(script)));
    lines
}

/// Without names that are drawn at random, and without who made a route: groundwork says that it was an administrator.
fn mask(line: &str) -> String {
    let line = line.replace(" proto static", "");
    let words = line.split_whitespace();
    let word = |word: &str| match word.strip_prefix("veth") {
        Some(rest) if rest.starts_with(|digit: char| digit.is_ascii_hexdigit()) => "VETH".to_owned(),
        _ => word.to_owned(),
    };
    words.map(word).collect::<Vec<_>>().join(" ")
}

/// groundwork also says the next hop of each route, where the reference leaves it to be the gateway.
fn masked(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| !(*key == "gw" && map.contains_key("dst")))
            .filter(|(key, value)| !(*key == "dns" && *value == &Value::Object(Default::default())))
            .map(|(key, value)| match key.as_str() {
                "mac" if value.as_str().is_some_and(|mac| mac.len() == 17 && mac != "00:00:00:00:00:00") => {
                    (key.clone(), "MAC".into())
                }
                "name" => (key.clone(), mask(value.as_str().unwrap()).into()),
                _ => (key.clone(), masked(value)),
            })
            .collect(),
        Value::Array(list) => list.iter().map(masked).collect(),
        other => other.clone(),
    }
}

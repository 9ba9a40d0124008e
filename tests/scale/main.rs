//! A node full of containers: a thousand attachments with a host port each, and a bridge with no room left.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(dead_code, reason = "part of another suite, too")]
#[path = "../netns/network.rs"]
mod network;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use network::{Kernel, addresses_of, host_link_of, single, text, with};
use support::{GROUNDWORK, Host, run_within, with_prev};

const MANY: usize = 1000;

/// At once, as a runtime calls that starts many containers.
const CALLERS: usize = 4;

/// Room for all of them, and a way in that differs for each.
fn config(number: usize) -> Value {
    with(
        &single(),
        json!({
            "ingressPolicy": "same-bridge", "ipam": { "subnet": "10.88.0.0/16" },
            "runtimeConfig": { "portMappings": [
                { "hostPort": host_port(number), "containerPort": 80, "protocol": "tcp" }
            ] },
        }),
    )
}

fn host_port(number: usize) -> usize {
    20_000 + number
}

fn name(number: usize) -> String {
    format!("c{number}")
}

/// Names one by one what `ip` is to do: a process for each would take longer than the test.
fn batch(host: &Host, lines: impl Iterator<Item = String>) {
    let lines: Vec<_> = lines.collect();
    host.inside(|| std::fs::write("/run/batch", lines.join("\n")).unwrap());
    host.sh("ip -batch /run/batch && rm /run/batch");
}

/// Sends the verb for each of these containers, by some callers at once; what they answered, in order.
fn each(host: &Host, verb: &str, numbers: &[usize], config: impl Fn(usize) -> Value + Sync) -> Vec<Value> {
    let config = &config;
    thread::scope(|scope| {
        let part = |part: &'_ [usize]| {
            let part = part.to_vec();
            scope.spawn(move || {
                host.starting(|| part.iter().map(|number| call(verb, *number, &config(*number))).collect::<Vec<_>>())
            })
        };
        let callers: Vec<_> = numbers.chunks(numbers.len().div_ceil(CALLERS)).map(part).collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    })
}

/// One process, started where the thread is, which may start no other threads there.
fn call(verb: &str, number: usize, config: &Value) -> Value {
    let mut child = Command::new("timeout")
        .args(["30", GROUNDWORK])
        .env("CNI_COMMAND", verb)
        .envs([("CNI_CONTAINERID", name(number)), ("CNI_NETNS", format!("/run/netns/{}", name(number)))])
        .envs([("CNI_IFNAME", "eth0"), ("CNI_PATH", "/nowhere")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = || String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{verb} {number}: {}\n{}", output.status, said());
    if verb == "ADD" { serde_json::from_slice(&output.stdout).unwrap() } else { Value::Null }
}

/// GC with these containers valid; as long as it takes to undo hundreds one after the other.
fn gc(host: &Host, valid: &[usize]) {
    let mut config = config(0);
    config["cni.dev/valid-attachments"] =
        valid.iter().map(|number| json!({ "containerID": name(*number), "ifname": "eth0" })).collect();
    let mut command = host.command(GROUNDWORK);
    command.env("CNI_COMMAND", "GC").env("CNI_PATH", "/nowhere");
    run_within(Duration::from_secs(120), &mut command, config.to_string()).success("GC");
}

/// What is there of containers, a line for each thing.
type Things = BTreeSet<String>;

/// What these containers' ADDs said that there is.
fn expected(numbers: &[usize], results: &[Value]) -> Things {
    let of = |number: &usize| {
        let (result, container) = (&results[*number], name(*number));
        let address = addresses_of(result).remove(0);
        let sets = ["fwd4", "hp4", "masq4_16", "same4_16", "snat4_16", "snat4_8"];
        let elements = sets.map(|set| format!("element of {set}, net/{container}/eth0"));
        let others = [
            format!("port of br0, {}", host_link_of(result)),
            format!("host port {} -> {address}", host_port(*number)),
            format!("lease {address}"),
            format!("record {container}@eth0"),
        ];
        elements.into_iter().chain(others)
    };
    numbers.iter().flat_map(of).collect()
}

/// As iproute2, nft and the file system show it; what is the network's own is left out.
fn found(host: &Host) -> Things {
    let files = |what: &str, folder: &str| {
        let names = host.sh(&format!("find {folder} -maxdepth 1 -type f -printf '%f\\n'"));
        names.lines().map(|name| format!("{what} {name}")).collect::<Things>()
    };
    let mut things = files("lease", "/run/groundwork/net/leases");
    things.retain(|lease| lease.starts_with("lease 10."));
    things.extend(files("record", "/run/groundwork/net/attachments"));
    let ports = host.ip("link show master br0");
    things.extend(ports.iter().map(|link| format!("port of br0, {}", text(link, "ifname"))));
    for (set, element) in elements(host) {
        // A set's element is itself, a map's is a pair.
        let (key, to) =
            if element.is_array() { (&element[0], &element[1]["concat"][0]) } else { (&element, &Value::Null) };
        if set == "hp4" {
            things.insert(format!("host port {} -> {}", key["elem"]["val"]["concat"][1], to.as_str().unwrap()));
        }
        let owner = key["elem"]["comment"].as_str().unwrap_or_else(|| panic!("whose is {element} of {set}?"));
        if owner != "net" {
            things.insert(format!("element of {set}, {owner}"));
        }
    }
    things
}

#[track_caller]
fn assert_found(host: &Host, numbers: &[usize], results: &[Value]) {
    let (found, expected) = (found(host), expected(numbers, results));
    let (left, lost): (Vec<_>, Vec<_>) = (found.difference(&expected).collect(), expected.difference(&found).collect());
    assert!(found == expected, "left: {left:#?}\nlost: {lost:#?}");
    assert_eq!(host.links().len(), 2 + numbers.len());
}

/// All elements of our table with the names of their sets.
fn elements(host: &Host) -> Vec<(String, Value)> {
    let listed: Value = serde_json::from_str(&host.sh("nft -j list table inet groundwork")).unwrap();
    let objects = listed["nftables"].as_array().unwrap().iter();
    let sets = objects.flat_map(|object| object.get("set").or(object.get("map")));
    sets.flat_map(|set| {
        let elements = set["elem"].as_array().into_iter().flatten();
        elements.map(|element| (text(set, "name"), element.clone())).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn a_thousand_with_host_ports_and_firewall() {
    let host = Host::new();
    batch(&host, (0..MANY).map(|number| format!("netns add {}", name(number))));
    let all: Vec<_> = (0..MANY).collect();
    let results = each(&host, "ADD", &all, config);
    assert_found(&host, &all, &results);
    assert_eq!(results.iter().map(addresses_of).collect::<BTreeSet<_>>().len(), MANY, "an address twice");
    each(&host, "CHECK", &all, |number| with_prev(&config(number), &results[number]));

    let (odd, even): (Vec<_>, Vec<_>) = all.iter().partition(|number| **number % 2 == 1);
    gc(&host, &odd);
    assert_found(&host, &odd, &results);
    each(&host, "CHECK", &odd, |number| with_prev(&config(number), &results[number]));
    // There is room again, and the ports are free.
    let again = each(&host, "ADD", &even[..10], config);
    host.named(&name(odd[0])).ping(&addresses_of(&again[9])[0]);

    let (by_del, by_gc) = odd.split_at(odd.len() / 2);
    each(&host, "DEL", by_del, config);
    each(&host, "DEL", &even[..10], config);
    assert_found(&host, by_gc, &results);
    gc(&host, &[]);
    assert_found(&host, &[], &[]);
    assert_eq!(host.links(), ["br0", "lo"]);
    batch(&host, (0..MANY).map(|number| format!("netns del {}", name(number))));
}

/// The kernel gives a bridge 1,023 ports.
#[test]
fn a_bridge_that_is_full() {
    let host = Host::new();
    batch(&host, ["link add br0 type bridge".into()].into_iter().chain((0..1023).map(port_of_another)));
    let web = host.sandbox("web");
    let before = host.snapshot();
    let refused = web.verb("ADD", &single()).error();
    let said = refused["msg"].as_str().unwrap();
    assert!(said.contains("br0") && said.contains("1023") && said.contains("another \"bridge\""), "{refused}");
    assert_eq!(refused["code"], 101);
    assert_eq!(before.difference(&host.snapshot()).lines().filter(|line| line.contains("veth")).count(), 0);
    assert_eq!(host.sh("ls /run/groundwork/net/attachments"), "");
    host.sh("ip link del port7");
    let result = web.add(&single());
    web.check(&single(), &result);
    web.del(&single());
}

fn port_of_another(number: usize) -> String {
    format!("link add port{number} master br0 type ifb")
}

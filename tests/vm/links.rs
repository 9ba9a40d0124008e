//! Links that only a modular kernel has here, and a network interface that is real to it: ipvlan, vlan, dummy, vrf,
//! VLANs inside a bridge, a device of the PCI bus. Compared with the reference plugins, where Debian has them.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{
    initrd::{Initrd, Storage},
    kernels::{KERNELS, Kernel, Unpacked},
    machine::Boot,
    matrix,
    report::Report,
};

const MODULES: [&str; 8] = ["bridge", "veth", "8021q", "ipvlan", "dummy", "vrf", "virtio_pci", "virtio_net"];

/// Plugins of Debian's to compare with.
const REFERENCE: [&str; 4] = ["bridge", "ipvlan", "vlan", "host-local"];

/// A network interface on the PCI bus that leads nowhere.
const MACHINE: &[&str] = &[
    "-netdev",
    "hubport,id=nowhere,hubid=0",
    "-device",
    "virtio-net-pci,netdev=nowhere,mac=52:54:00:00:00:07,addr=7,romfile=",
];

const PLAN: &str = ". /links.sh";

/// A boot of each kernel.
pub(crate) fn trials() -> Vec<Trial> {
    KERNELS.iter().flat_map(on).collect()
}

fn on(kernel: &'static Kernel) -> Vec<Trial> {
    let boot = Arc::new(Boot::new(kernel, "", PLAN.into(), fill).with(MACHINE));
    let trial = |name: &str, judge: fn(&Report) -> Result<(), String>| {
        let boot = Arc::clone(&boot);
        let name = format!("{}::links::{name}", kernel.name);
        Trial::test(name, move || boot.report().and_then(judge).map_err(Failed::from))
    };
    vec![
        trial("boots", |_| Ok(())),
        trial("ipvlan", |report| as_the_reference(report, "ipvlan")),
        trial("ipvlan_of_layer_3", |report| as_the_reference(report, "ipvlan-l3")),
        trial("ipvlan_in_a_chain", chained_ipvlan),
        trial("vlan", |report| as_the_reference(report, "vlan")),
        trial("dummy", dummy),
        trial("vlans_of_a_bridge", vlans_of_a_bridge),
        trial("check_of_vlans", check_of_vlans),
        trial("trunk", trunk),
        trial("vrf_of_a_chain", vrf_of_a_chain),
        trial("vrf_of_ones_own_link", own_vrf),
        trial("vrf_and_routing_by_source", vrf_and_sbr),
        trial("status_of_what_capabilities_declare", declared),
        trial("device_of_a_bus", device_of_a_bus),
        trial("device_that_the_kernel_brought_back", lost_device),
    ]
}

/// A network of `kind` with these keys; its addresses are those of `subnet`.
fn network(kind: &str, subnet: &str, keys: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": kind,
        "ipam": { "type": "host-local", "ranges": [[{ "subnet": subnet, "rangeStart": start(subnet) }]] },
    });
    if let (Some(config), Value::Object(keys)) = (config.as_object_mut(), keys) {
        config.extend(keys);
    }
    config
}

/// The world has the first address of the networks of the host's link, a bridge that of its own.
fn start(subnet: &str) -> Option<String> {
    subnet.split_once("0/24").map(|(prefix, _)| format!("{prefix}{}", if prefix.starts_with("10.") { 2 } else { 10 }))
}

fn configurations() -> Vec<(&'static str, Value)> {
    let in_vlan = |vlan: u16, subnet: &str| {
        let keys = json!({ "name": format!("net{vlan}"), "bridge": "br0", "isGateway": true, "vlan": vlan });
        network("bridge", subnet, keys)
    };
    let dual = json!({
        "type": "host-local", "ranges": [[{ "subnet": "10.5.0.0/24" }], [{ "subnet": "fd05::/64" }]],
        "routes": [{ "dst": "203.0.113.0/24" }],
    });
    let nic = |keys: Value| network("host-device", "192.0.2.0/24", keys);
    vec![
        ("ipvlan", network("ipvlan", "192.0.2.0/24", json!({ "master": "uplink", "mtu": 1400 }))),
        ("ipvlan-l3", network("ipvlan", "192.0.2.0/24", json!({ "master": "uplink", "mode": "l3" }))),
        ("chained-ipvlan", json!({ "cniVersion": "1.0.0", "name": "net", "type": "ipvlan" })),
        ("vlan", network("vlan", "198.51.100.0/24", json!({ "master": "uplink", "vlanId": 42 }))),
        ("dummy", network("dummy", "192.0.2.0/24", json!({ "mtu": 9000 }))),
        ("vlan100", in_vlan(100, "10.5.0.0/24")),
        ("vlan200", in_vlan(200, "10.6.0.0/24")),
        (
            "trunk",
            json!({
                "cniVersion": "1.0.0", "name": "trunk", "type": "bridge", "bridge": "br0",
                "vlanTrunk": [{ "minID": 100, "maxID": 102 }, { "id": 200 }],
            }),
        ),
        ("inner", network("bridge", "", json!({ "bridge": "br0", "isDefaultGateway": true, "ipam": dual }))),
        ("vrf", json!({ "cniVersion": "1.0.0", "name": "net", "type": "vrf", "vrfname": "blue", "table": 42 })),
        ("sbr", json!({ "cniVersion": "1.0.0", "name": "net", "type": "sbr" })),
        ("plain", json!({ "cniVersion": "1.1.0", "name": "net", "type": "bridge" })),
        (
            "declaring",
            json!({ "cniVersion": "1.1.0", "name": "net", "type": "bridge", "capabilities": { "portMappings": true } }),
        ),
        (
            "own-vrf",
            network(
                "bridge",
                "10.5.0.0/24",
                json!({ "bridge": "br0", "isDefaultGateway": true, "vrfname": "red", "table": 7 }),
            ),
        ),
        ("nic-by-bus", nic(json!({ "pciBusID": "0000:00:07.0" }))),
        ("nic-by-id", nic(json!({ "runtimeConfig": { "deviceID": "0000:00:07.0" } }))),
        ("nic-by-name", nic(json!({ "device": "nic0" }))),
    ]
}

fn fill(initrd: &Initrd, kernel: &Unpacked) -> Result<(), String> {
    matrix::program(initrd)?;
    initrd.link("/bin/groundwork", "/usr/lib/cni/groundwork")?;
    for plugin in REFERENCE {
        let path = format!("/usr/lib/cni/{plugin}");
        initrd.program(&path, &path)?;
    }
    for program in ["ip", "bridge"] {
        initrd.program(program, &format!("/usr/local/bin/{program}"))?;
    }
    initrd.modules(kernel, "", &MODULES, Storage::Shipped)?;
    for (name, config) in configurations() {
        let text = config.to_string();
        let kind = config["type"].as_str().unwrap_or_default();
        initrd.text(&format!("/links/{name}.json"), &text)?;
        initrd.text(&format!("/links/{name}.open"), text.trim_end_matches('}').trim_end())?;
        initrd.text(&format!("/links/{name}.type"), kind)?;
        let pinged = match name {
            "vlan" => "198.51.100.1",
            // Nobody in the world knows the way back: itself, the second of its range.
            "ipvlan-l3" => "192.0.2.11",
            _ => "192.0.2.1",
        };
        initrd.text(&format!("/links/{name}.gateway"), pinged)?;
    }
    Ok(())
}

/// ADD, CHECK, a ping and DEL worked, and nothing of the container's link is left.
fn whole(report: &Report, step: &str) -> Result<Value, String> {
    let result = report.stdout(&format!("{step}/add"))?;
    for part in ["ping", "check", "del"] {
        report.stdout(&format!("{step}/{part}"))?;
    }
    let left = report.stdout(&format!("{step}/left"))?;
    if left.contains("eth0") {
        return Err(format!("DEL left {left}"));
    }
    serde_json::from_str(result).map_err(|e| format!("{e}: {result}"))
}

/// The same result and the same links, addresses and routes as the reference plugin's, but for who made routes and for
/// what is written about the link.
fn as_the_reference(report: &Report, step: &str) -> Result<(), String> {
    whole(report, step)?;
    same(report, &format!("{step}/reference"), step)
}

fn same(report: &Report, reference: &str, ours: &str) -> Result<(), String> {
    let state = |step: &str| report.stdout(&format!("{step}/state")).map(facts);
    let (theirs, own) = (state(reference)?, state(ours)?);
    let only = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    if theirs == own {
        return Ok(());
    }
    Err(format!("the reference only: {:#?}\ngroundwork only: {:#?}", only(&theirs, &own), only(&own, &theirs)))
}

/// Lines of `ip`, without numbers that count on, random hardware addresses and the kernel's own IPv6 addresses; the last
/// address of a container is its turn.
fn facts(text: &str) -> Vec<String> {
    let mut facts: Vec<_> = text
        .lines()
        .filter(|line| !["fe80::", "ff00::", "multicast"].iter().any(|word| line.contains(word)))
        .map(|line| {
            let line = line.split(" alias ").next().unwrap_or_default().replace('\\', " ");
            let line = line
                .split_once(": ")
                .filter(|(number, _)| number.parse::<u32>().is_ok())
                .map_or(&*line, |(_, rest)| rest);
            let mut words = line.split_whitespace();
            let mut kept = Vec::new();
            while let Some(word) = words.next() {
                match word {
                    "proto" | "valid_lft" | "preferred_lft" | "link-netnsid" | "link-netns" | "qlen" | "link/ether"
                    | "state" => drop(words.next()),
                    word if word.starts_with("eth0@") => kept.push("eth0".to_owned()),
                    word if word.starts_with("192.0.2.1") || word.starts_with("198.51.100.1") => {
                        kept.push(word.replace("0.2.11", "0.2.10").replace("100.11", "100.10"));
                    }
                    word => kept.push(word.to_owned()),
                }
            }
            kept.join(" ")
        })
        .collect();
    facts.sort();
    facts.dedup();
    facts
}

fn expect(holds: bool, what: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// A step that must have failed, with these words.
fn fails(report: &Report, step: &str, words: &str) -> Result<(), String> {
    let section = report.section(step)?;
    expect(section.status != 0 && section.stdout.contains(words), format!("{step}: {section:?}"))
}

fn chained_ipvlan(report: &Report) -> Result<(), String> {
    let result = report.stdout("chained-ipvlan/add")?;
    report.stdout("chained-ipvlan/ping")?;
    report.stdout("chained-ipvlan/del")?;
    expect(result.contains("192.0.2.77/24") && result.contains("\"eth0\""), result)?;
    expect(!report.stdout("chained-ipvlan/left")?.contains("eth0"), "DEL left the link")
}

fn dummy(report: &Report) -> Result<(), String> {
    let result = whole(report, "dummy")?;
    expect(result["interfaces"][0]["mac"].is_string(), result.to_string())?;
    fails(report, "dummy/down/check", "link eth0 in the container: expected up, found down")
}

/// Frames of one VLAN never reach another; each has a gateway of its own.
fn vlans_of_a_bridge(report: &Report) -> Result<(), String> {
    let result: Value = serde_json::from_str(report.stdout("vlan100/add")?).map_err(|e| e.to_string())?;
    expect(result["interfaces"][3]["name"] == "br0.100", result.to_string())?;
    for ping in ["vlan100/gateway", "vlan100/neighbour", "vlan200/gateway"] {
        report.stdout(ping)?;
    }
    expect(report.section("vlan200/across")?.status != 0, "a ping went from one VLAN to another")?;
    let ours = ports(report, "vlan100/ports")?;
    // Debian's leaves its ports in the default VLAN, later ones do not.
    let mut theirs = ports(report, "vlan100/reference/ports")?;
    theirs.retain(|line| line != "1 Egress Untagged");
    expect(ours == theirs, format!("{ours:?} is not {theirs:?}"))?;
    let left = report.stdout("vlan100/left")?;
    let gateways_only = left.lines().filter(|line| line.starts_with("veth")).count() == 2;
    expect(gateways_only, format!("DEL left ports: {left}"))
}

/// What `bridge vlan show` tells, without the names of ports.
fn ports(report: &Report, step: &str) -> Result<Vec<String>, String> {
    let mut lines: Vec<_> = report
        .stdout(step)?
        .lines()
        .map(|line| line.split_whitespace().filter(|word| !word.starts_with("veth")).collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    Ok(lines)
}

fn check_of_vlans(report: &Report) -> Result<(), String> {
    report.stdout("vlan100/check")?;
    fails(report, "vlan100/opened/check", "expected 100 untagged, found 100 untagged, 200")?;
    expect(report.stdout("vlan100/repair")?.contains("bridge vlan add dev veth"), "repair tells nothing")?;
    report.stdout("vlan100/repaired/check")?;
    fails(report, "vlan100/unfiltered/check", "VLAN filtering of bridge br0: expected on, found off")
}

fn trunk(report: &Report) -> Result<(), String> {
    report.stdout("trunk/add")?;
    expect(report.stdout("trunk/filtering")?.contains("vlan_filtering 1"), "the bridge does not filter VLANs")?;
    report.stdout("trunk/check")?;
    report.stdout("trunk/gateway")?;
    expect(report.section("trunk/untagged")?.status != 0, "a ping went from one VLAN to another")?;
    report.stdout("trunk/trunk/del").map(drop)
}

/// Addresses and routes go with the link into the VRF, and both plugins of the chain find all as they left it.
fn vrf_of_a_chain(report: &Report) -> Result<(), String> {
    for step in [
        "vrf/add",
        "vrf/check",
        "vrf/inner/check",
        "vrf/ping",
        "vrf/ping6",
        "vrf/del",
        "vrf/again/add",
        "vrf/again/del",
    ] {
        report.stdout(step)?;
    }
    let state = report.stdout("vrf/state")?;
    for fact in [
        "inet 10.5.0.2/24",
        "inet6 fd05::2/64 scope global nodad",
        "default via 10.5.0.1 dev eth0 table 42",
        "203.0.113.0/24 via 10.5.0.1 dev eth0 table 42",
        "default via fd05::1 dev eth0 table 42",
        "master blue",
    ] {
        expect(state.contains(fact), format!("no {fact} in {state}"))?;
    }
    expect(
        report.stdout("vrf/repair")?.trim().is_empty() || !report.stdout("vrf/repair")?.contains("route"),
        report.stdout("vrf/repair")?,
    )?;
    fails(report, "vrf/freed/check", "VRF of eth0 in the container: expected blue, found none")?;
    expect(report.stdout("vrf/freed/repair")?.contains("ip link set eth0 master blue"), "repair tells nothing")?;
    report.stdout("vrf/repaired/check")?;
    report.stdout("vrf/repaired/inner/check")?;
    expect(!report.stdout("vrf/links")?.contains("blue"), "DEL left the VRF")?;
    expect(!report.stdout("vrf/left")?.contains("eth0"), "DEL left the link")
}

/// Each has its tables, and the other would not look there: refused, whichever comes first.
fn vrf_and_sbr(report: &Report) -> Result<(), String> {
    fails(report, "vrf/sbr/add", "eth0 in the container is in VRF blue")?;
    report.stdout("sbr/add")?;
    fails(report, "sbr/vrf/add", "eth0 in the container is routed by source (rule \\\"from 10.5.0.")?;
    report.stdout("sbr/check")?;
    report.stdout("sbr/del")?;
    report.stdout("sbr/then-vrf/add").map(drop)
}

/// This guest has no module of nf_tables.
fn declared(report: &Report) -> Result<(), String> {
    report.stdout("status/plain")?;
    fails(
        report,
        "status/declaring",
        "needed for host ports (\\\"portMappings\\\"), which \\\"capabilities\\\" declares",
    )
}

fn own_vrf(report: &Report) -> Result<(), String> {
    for step in ["vrf/own/add", "vrf/own/ping", "vrf/own/check", "vrf/own/del"] {
        report.stdout(step)?;
    }
    let state = report.stdout("vrf/own/state")?;
    expect(state.contains("default via 10.5.0.1 dev eth0 table 7"), state)?;
    let left = report.stdout("vrf/own/left")?;
    expect(!left.contains("eth0") && !left.contains("red"), left)
}

fn device_of_a_bus(report: &Report) -> Result<(), String> {
    for how in ["nic-by-bus", "nic-by-id", "nic-by-name"] {
        let result = report.stdout(&format!("{how}/add"))?;
        expect(result.contains("52:54:00:00:00:07"), result)?;
        report.stdout(&format!("{how}/check"))?;
        report.stdout(&format!("{how}/del"))?;
        came_back(report.stdout(&format!("{how}/back"))?)?;
        expect(!report.stdout(&format!("{how}/left"))?.contains("eth0"), "the container has it still")?;
    }
    Ok(())
}

fn came_back(links: &str) -> Result<(), String> {
    let line = links.lines().find(|line| line.contains("52:54:00:00:00:07")).ok_or(links)?;
    let as_it_was = line.contains(" nic0: ") && line.contains(",UP") && !line.contains("alias nic0");
    expect(as_it_was, line)
}

/// The kernel gives a real interface back when its namespace ends, by the name it had there; DEL gives it its own.
fn lost_device(report: &Report) -> Result<(), String> {
    let kernel = report.stdout("nic-lost/kernel")?;
    expect(kernel.contains("alias nic0") && !kernel.contains(" nic0: "), kernel)?;
    report.stdout("nic-lost/del")?;
    came_back(report.stdout("nic-lost/back")?)
}

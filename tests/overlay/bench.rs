//! What the overlay of engine etcd costs: a host more, thirty at once, five thousand that are known.
//!
//! One etcd, hosts as network namespaces, an agent on each. `make bench` runs it, and docs/performance.md says what it
//! does. `ROUNDS=n` is for fewer or more hosts that are added (20), and writes target/performance.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a program for people")]

#[path = "../floor/document.rs"]
mod document;
#[allow(dead_code, reason = "the suite asks more of it")]
mod etcd_site;
mod records;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use document::Table;
use etcd_site::{Node, PATIENCE, ROOT, Site};
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

const ADDED: usize = 20;
const AT_ONCE: usize = 30;
const PEERS: usize = 5_000;
const CHANGES: usize = 100;

/// How often what is done once on a site of its own is done.
const REPEATED: usize = 3;

/// What was measured: its name, the unit, a number for each time.
type Row = (&'static str, &'static str, Vec<f64>);

fn main() {
    let chosen = std::env::var("ROUNDS").ok().map(|rounds| rounds.parse().expect("ROUNDS is a number"));
    let (start, load) = (Instant::now(), document::load());
    println!("hosts that are added");
    let mut rows = added(chosen.unwrap_or(ADDED));
    println!("{AT_ONCE} hosts at once");
    rows.extend(at_once());
    println!("{PEERS} peers");
    rows.extend(known());
    let agent = std::fs::metadata(env!("CARGO_BIN_EXE_groundwork-agent")).unwrap();
    rows.push(("The agent's binary", "MB", vec![agent.len() as f64 / 1e6]));
    let etcd = support::sh("etcd --version | head -n 1");
    let measured = page(&rows, &document::machine(&load, start.elapsed(), etcd.trim()));
    println!("\n{measured}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [page, draft] = ["docs/performance.md", "target/performance.md"].map(|path| root.join(path));
    let to = if chosen.is_none() { &page } else { &draft };
    document::write(if to.exists() { to } else { &page }, to, "overlay", &measured);
    println!("written to {}", to.display());
}

/// All of a run, as Markdown.
fn page(rows: &[Row], machine: &str) -> String {
    let median = |name: &str| rows.iter().find(|(of, ..)| *of == name).map_or(f64::NAN, |(.., found)| middle(found));
    let targets = document::targets(&[
        ("a host is added, to the first ping", true, 50.0, " ms", median(ANSWERED)),
        ("5,000 peers from nothing", true, 2.0, " s", median(COLD) / 1000.0),
        ("5,000 peers, the agent started again", true, 0.1, " s", median(WARM) / 1000.0),
        ("most memory with 5,000 peers", true, 20.0, " MB", median(MEMORY)),
        ("one of 5,000 peers changes, CPU", true, 5.0, " ms", median(CHANGE)),
    ]);
    let mut table = Table::new(&["", "unit", "median", "lowest", "highest", "of"]);
    for (name, unit, found) in rows {
        let mut ends = [f64::INFINITY, f64::NEG_INFINITY];
        found.iter().for_each(|one| ends = [ends[0].min(*one), ends[1].max(*one)]);
        let numbers = [middle(found), ends[0], ends[1]].map(|number| format!("{number:.2}"));
        let names = [(*name).to_owned(), (*unit).to_owned()];
        table.row(names.into_iter().chain(numbers).chain([found.len().to_string()]));
    }
    format!("{machine}\n\n{targets}\n{}", table.text())
}

fn middle(found: &[f64]) -> f64 {
    let mut sorted = found.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

const ANSWERED: &str = "... another host's container is answered by one of its own";

/// From the start of a new host's agent until a container elsewhere is answered by a container of that host.
fn added(count: usize) -> Vec<Row> {
    let site = Site::new();
    site.start_etcd();
    site.configure(&json!({ "network": "10.244.0.0/16" }));
    let overlay = json!({ "network": "10.244.0.0/16", "engine": "etcd" });
    site.add_node(1);
    site.node(1).start();
    site.node(1).await_peers(0);
    site.node(1).pod_of("web", &overlay);
    let mut found = [const { Vec::new() }; 3];
    for number in 2..2 + count {
        site.add_node(number);
        site.outside.sh(&format!("ip netns add h{number}-web"));
        let (node, file) = (site.node(number), format!("/run/h{number}/pods/overlay.json"));
        let start = Instant::now();
        node.start();
        site.outside.inside(|| until("its subnet", || Path::new(&file).exists()));
        let has_subnet = start.elapsed();
        let result = node.verb("ADD", "web", &overlay).json("ADD");
        let has_container = start.elapsed();
        let address = result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().parse().unwrap();
        site.outside.named("h1-web").inside(|| until_it_answers(address));
        for (found, time) in found.iter_mut().zip([has_subnet, has_container, start.elapsed()]) {
            found.push(milliseconds(time));
        }
    }
    let names = ["A host is added, its agent started, until it has a subnet", "... ADD has answered", ANSWERED];
    names.into_iter().zip(found).map(|(name, found)| (name, "ms", found)).collect()
}

/// Sends echo requests from where this thread is, until one is answered.
fn until_it_answers(address: Ipv4Addr) {
    const ECHO: [u8; 8] = [8, 0, 0x90, 0x87, 0x67, 0x77, 0, 1]; // type, code, checksum, identifier, number
    const IPV4_HEADER: usize = 20;
    let mut socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.connect(&SocketAddrV4::new(address, 0).into()).unwrap();
    until(&format!("an answer of {address}"), || {
        let _ = socket.send(&ECHO); // no route yet is no failure
        std::thread::sleep(Duration::from_micros(200));
        let mut packet = [0; 64];
        socket.read(&mut packet).is_ok_and(|length| length > IPV4_HEADER && packet[IPV4_HEADER] == 0)
    });
}

/// From the first agent's start until each host has a route to each other.
fn at_once() -> Vec<Row> {
    let mut found = Vec::new();
    for _ in 0..REPEATED {
        let site = Site::new();
        site.start_etcd();
        site.configure(&json!({ "network": "10.244.0.0/16" }));
        (1..=AT_ONCE).for_each(|number| site.add_node(number));
        let start = Instant::now();
        (1..=AT_ONCE).for_each(|number| site.node(number).start());
        let others = AT_ONCE - 1;
        site.outside.sh(&format!(
            "for host in $(seq {AT_ONCE}); do
               until [ $(ip -n h$host route show dev vxlan.1 proto 103 2>/dev/null | wc -l) = {others} ]; do
                 sleep 0.01
               done
             done"
        ));
        found.push(milliseconds(start.elapsed()));
        let subnets: BTreeSet<_> = (1..=AT_ONCE).flat_map(|number| site.node(number).subnets()).collect();
        assert_eq!(subnets.len(), AT_ONCE, "{subnets:?}");
    }
    vec![("30 hosts are started at once, until each has a route to each other", "ms", found)]
}

const COLD: &str = "5,000 peers, the agent started, until the kernel has all";
const WARM: &str = "5,000 peers, the agent started again, until it has found all right";
const MEMORY: &str = "5,000 peers, the most memory that the agent held";
const CHANGE: &str = "5,000 peers, one has another address, the agent's CPU";

/// With as many records as a large site has.
fn known() -> Vec<Row> {
    let site = Site::new();
    site.start_etcd();
    site.configure(&json!({ "network": "10.128.0.0/9" }));
    records::write_records(&site, PEERS);
    site.add_node(1);
    let first = site.node(1);
    let mut found = [const { Vec::new() }; 4];
    let mut most = 0.0;
    for round in 0..REPEATED {
        if round > 0 {
            first.end("KILL");
            first.sh("ip link del vxlan.1; nft delete table inet groundwork; rm -r /run/h1 /run/h1.log");
        }
        for cold in [true, false] {
            if !cold {
                first.end("KILL");
                first.sh("rm /run/h1.log");
            }
            let (time, cost) = (follows_all(&first), Cost::of(&first));
            let place = if cold { 0 } else { 2 };
            found[place].push(milliseconds(time));
            found[place + 1].push(cost.cpu);
            most = cost.peak.max(most);
        }
        assert!(!first.log().contains("mended"), "what was right was changed:\n{}", first.log());
    }
    let [cold, cold_cpu, warm, warm_cpu] = found;
    let entries = entries(&first);
    vec![
        (COLD, "ms", cold),
        ("... CPU", "ms", cold_cpu),
        (WARM, "ms", warm),
        ("... CPU", "ms", warm_cpu),
        (CHANGE, "ms", vec![change(&first)]),
        (MEMORY, "MB", vec![most]),
        ("Entries in the kernel for each peer: route, neighbour, FDB", "", vec![entries[0]]),
        ("Elements in the set of known hosts for each peer", "", vec![entries[1]]),
    ]
}

/// Starts the agent; until it says that all is right with all peers.
fn follows_all(node: &Node<'_>) -> Duration {
    let wanted = [format!("groundwork_overlay_peers {PEERS}"), "groundwork_overlay_kernel_right 1".into()];
    let start = Instant::now();
    node.start();
    node.site.outside.named(&node.name).inside(|| {
        until("all peers", || {
            std::thread::sleep(Duration::from_millis(4)); // what it answers costs it time, too
            metrics().is_ok_and(|said| wanted.iter().all(|wanted| said.lines().any(|line| line == wanted)))
        });
    });
    start.elapsed()
}

/// What the agent of this thread's host says of itself.
fn metrics() -> std::io::Result<String> {
    let (mut stream, mut said) = (TcpStream::connect("127.0.0.1:9471")?, String::new());
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    stream.read_to_string(&mut said)?;
    Ok(said)
}

/// CPU of the agent for each of some peers that have another address, one after the other.
fn change(node: &Node<'_>) -> f64 {
    let (site, before) = (node.site, Cost::of(node).cpu);
    for number in 0..CHANGES {
        site.etcdctl(&format!("put {ROOT}/nodes/p{number} '{}'", records::record(number, 9)));
    }
    let moved = "bridge fdb show dev vxlan.1 | grep -c 'dst 10[.]98[.]180[.]' || true";
    let found = support::eventually(PATIENCE, || node.sh(moved).trim() == CHANGES.to_string());
    assert!(found, "not all have moved:\n{}", node.log());
    (Cost::of(node).cpu - before) / CHANGES as f64
}

/// What the kernel holds for each peer on a host: entries of the overlay's device, elements of its set.
fn entries(node: &Node<'_>) -> [f64; 2] {
    let count = |script: &str| node.sh(script).trim().parse::<f64>().unwrap() / PEERS as f64;
    [
        count(
            "{ ip route show dev vxlan.1 proto 103; ip neigh show dev vxlan.1 nud permanent
               bridge fdb show dev vxlan.1 | grep dst; } | wc -l",
        ),
        count("nft list table inet groundwork | grep -o '10[.]98[.][0-9]*[.][0-9]*' | wc -l"),
    ]
}

/// What an agent has cost since it was started.
struct Cost {
    /// Milliseconds, to ten of them.
    cpu: f64,
    /// The most memory that it held, in MB.
    peak: f64,
}

impl Cost {
    fn of(node: &Node<'_>) -> Self {
        let said = node.sh(&format!(
            "pid=$(cat /run/{}.pid); awk '{{ print $14 + $15 }}' /proc/$pid/stat
             awk '/VmHWM/ {{ print $2 }}' /proc/$pid/status",
            node.name
        ));
        let numbers: Vec<f64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
        Self { cpu: numbers[0] * 10.0, peak: numbers[1] * 1024.0 / 1e6 }
    }
}

/// Panics unless the condition holds in a while.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "still waiting for {what} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

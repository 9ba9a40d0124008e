//! Many at once: races for subnets, thirty hosts that start together, five thousand that are known.

use std::{collections::BTreeSet, time::Instant};

use serde_json::json;

use crate::{
    etcd_site::{PATIENCE, ROOT, Site},
    support::eventually,
};

#[test]
fn agents_that_race_have_different_subnets_and_the_last_is_told_that_none_is_left() {
    let site = Site::new();
    site.start_etcd();
    site.configure(&json!({ "network": "10.244.0.0/22" })); // room for four
    for number in 1..=5 {
        site.add_node(number);
    }
    for number in 1..=4 {
        site.node(number).start();
    }
    for number in 1..=4 {
        site.node(number).await_peers(3);
    }
    let subnets: BTreeSet<_> = (1..=4).flat_map(|number| site.node(number).subnets()).collect();
    assert_eq!(subnets.len(), 4, "{subnets:?}");
    assert_eq!(site.keys("alloc").len(), 4);
    let races: Vec<_> = (1..=4).map(|number| site.node(number).metric("races_lost_total")).collect();
    println!("races lost by each of four: {races:?}");
    let fifth = site.node(5);
    fifth.start();
    fifth.await_log("no /24 of 10.244.0.0/22 is free for this node, 4 are claimed");
    // As soon as there is one, it has it.
    let free = site.node(4).subnets()[0].clone();
    site.node(4).end("KILL");
    site.etcdctl(&format!("del {ROOT}/nodes/h4"));
    site.etcdctl(&format!("del {ROOT}/alloc/{}", free.replace('/', "-")));
    fifth.await_peers(3);
    assert_eq!(fifth.subnets(), [free]);
}

#[test]
fn thirty_hosts_that_start_together_all_know_each_other() {
    const HOSTS: usize = 30;
    let site = Site::new();
    site.start_etcd();
    site.configure(&json!({ "network": "10.244.0.0/16" }));
    for number in 1..=HOSTS {
        site.add_node(number);
    }
    let start = Instant::now();
    for number in 1..=HOSTS {
        site.node(number).start();
    }
    let started = start.elapsed();
    let is_full = |number| site.node(number).routes().len() == HOSTS - 1;
    assert!(eventually(PATIENCE, || (1..=HOSTS).all(is_full)), "{}", site.node(1).log());
    println!("{HOSTS} hosts: started within {started:?}, a full mesh {:?} after the first", start.elapsed());
    let claims = site.keys("alloc");
    assert_eq!(claims.len(), HOSTS);
    let subnets: BTreeSet<_> = (1..=HOSTS).flat_map(|number| site.node(number).subnets()).collect();
    assert_eq!(subnets.len(), HOSTS, "{subnets:?}");
    let routes: BTreeSet<_> = site.node(1).routes().into_iter().chain(site.node(1).subnets()).collect();
    assert_eq!(routes, subnets);
}

/// CPU of a process until now, in ticks of a hundredth of a second, and the memory that it holds, in KiB.
const COST: &str = "pid=$(cat /run/h1.pid); awk '{ printf \"%d \", $14 + $15 }' /proc/$pid/stat
                    awk '/VmRSS/ { print $2 }' /proc/$pid/status";

#[test]
fn five_thousand_hosts_are_known() {
    const PEERS: usize = 5_000;
    let site = Site::new();
    site.start_etcd();
    site.configure(&json!({ "network": "10.128.0.0/9" }));
    write_records(&site, PEERS);
    site.add_node(1);
    let first = site.node(1);
    let cost = || -> (u64, u64) {
        let numbers = first.sh(COST);
        let mut numbers = numbers.split_whitespace().map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    };
    let follows = |count: usize| {
        let start = Instant::now();
        let wanted = i64::try_from(count).ok();
        let has_all = || first.metric("peers") == wanted && first.metric("kernel_right") == Some(1);
        assert!(eventually(PATIENCE, has_all), "{}", first.log());
        start.elapsed()
    };
    first.start();
    let cold = follows(PEERS);
    assert_eq!(first.routes().len(), PEERS);
    println!("{PEERS} peers: cold {cold:?}, (CPU/10 ms, KiB) {:?}\n{}", cost(), first.log());
    first.end("KILL");
    first.sh("rm /run/h1.log");
    first.start();
    let warm = follows(PEERS);
    println!("{PEERS} peers: warm {warm:?}, (CPU/10 ms, KiB) {:?}\n{}", cost(), first.log());
    assert!(!first.log().contains("mended"), "{}", first.log());
    let before = cost();
    let changes = 20;
    for number in 0..changes {
        site.etcdctl(&format!("put {ROOT}/nodes/p{number} '{}'", record(number, 9)));
        let (third, fourth) = (number / 250 + 180, number % 250);
        let entry = format!("02:67:0a:62:{third:02x}:{fourth:02x} dst 10.98.{third}.{fourth}");
        let show = format!("bridge fdb show dev vxlan.1 | grep -q '{entry}'");
        assert!(eventually(PATIENCE, || first.try_sh(&show).status.success()), "no {entry}:\n{}", first.log());
    }
    println!("{changes} changes one by one: CPU/10 ms {}", cost().0 - before.0);
    assert_eq!(first.routes().len(), PEERS);
}

/// Of a host that may have moved; its VTEP is in 10.98.0.0/16.
fn record(number: usize, moved: usize) -> String {
    let (third, fourth) = (number / 250 + 20 * moved, number % 250);
    json!({ "node": format!("p{number}"), "subnets": [subnet(number)], "vtep": format!("10.98.{third}.{fourth}") })
        .to_string()
}

fn subnet(number: usize) -> String {
    format!("10.{}.{}.0/24", 200 + number / 250, number % 250)
}

/// Claims and records of hosts that are not there.
fn write_records(site: &Site, count: usize) {
    let mut lines = String::new();
    for number in 0..count {
        let claim = subnet(number).replace('/', "-");
        lines += &format!("put {ROOT}/alloc/{claim} p{number}\nput {ROOT}/nodes/p{number} {}\n", record(number, 0));
    }
    let records: Vec<_> = lines.lines().collect();
    for part in records.chunks(100) {
        // etcdctl's transactions: no comparison, what is done then, nothing otherwise.
        let quoted: Vec<_> = part.iter().map(|line| quoted(line)).collect();
        site.outside.sh(&format!(
            "ETCDCTL_API=3 etcdctl --endpoints http://10.99.0.254:2379 txn >/dev/null <<'END'\n\n{}\n\n\nEND",
            quoted.join("\n")
        ));
    }
}

/// A line of a transaction with its last word in quotes.
fn quoted(line: &str) -> String {
    let mut words = line.splitn(3, ' ');
    let (verb, key, value) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    format!("{verb} {key} {:?}", value)
}

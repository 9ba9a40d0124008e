//! Many at once: races for subnets, thirty hosts that start together, five thousand that are known.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    etcd_site::{PATIENCE, ROOT, Site},
    records::{record, write_records},
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
    for number in 1..=HOSTS {
        site.node(number).start();
    }
    let is_full = |number| site.node(number).routes().len() == HOSTS - 1;
    assert!(eventually(PATIENCE, || (1..=HOSTS).all(is_full)), "{}", site.node(1).log());
    let claims = site.keys("alloc");
    assert_eq!(claims.len(), HOSTS);
    let subnets: BTreeSet<_> = (1..=HOSTS).flat_map(|number| site.node(number).subnets()).collect();
    assert_eq!(subnets.len(), HOSTS, "{subnets:?}");
    let routes: BTreeSet<_> = site.node(1).routes().into_iter().chain(site.node(1).subnets()).collect();
    assert_eq!(routes, subnets);
}

#[test]
fn five_thousand_hosts_are_known() {
    const PEERS: usize = 5_000;
    let site = Site::new();
    site.start_etcd();
    site.configure(&json!({ "network": "10.128.0.0/9" }));
    write_records(&site, PEERS);
    site.add_node(1);
    let first = site.node(1);
    let follows_all = || {
        let has_all = || first.metric("peers") == Some(5_000) && first.metric("kernel_right") == Some(1);
        assert!(eventually(PATIENCE, has_all), "{}", first.log());
        assert_eq!(first.routes().len(), PEERS);
    };
    first.start();
    follows_all();
    first.end("KILL");
    first.sh("rm /run/h1.log");
    first.start();
    follows_all();
    assert!(!first.log().contains("mended"), "{}", first.log());
    for number in 0..20 {
        site.etcdctl(&format!("put {ROOT}/nodes/p{number} '{}'", record(number, 9)));
        let (third, fourth) = (number / 250 + 180, number % 250);
        let entry = format!("02:67:0a:62:{third:02x}:{fourth:02x} dst 10.98.{third}.{fourth}");
        let show = format!("bridge fdb show dev vxlan.1 | grep -q '{entry}'");
        assert!(eventually(PATIENCE, || first.try_sh(&show).status.success()), "no {entry}:\n{}", first.log());
    }
    assert_eq!(first.routes().len(), PEERS);
}

//! What fails is the agent, etcd or the way between them: traffic goes on, and all is right again by itself.

use std::time::Duration;

use serde_json::json;

use crate::{
    etcd_site::{PATIENCE, ROOT, Site},
    support::eventually,
};

/// That something stays as it is, is watched for so long.
const A_WHILE: Duration = Duration::from_secs(3);

#[test]
fn an_agent_that_is_killed_and_started_again_changes_nothing() {
    let site = Site::with_agents(3);
    let (first, second) = (site.node(1), site.node(2));
    let there = second.pod("web");
    first.pod("web");
    let before = first.kernel();
    first.end("KILL");
    assert_eq!(first.kernel(), before);
    first.ping("web", &there);
    first.sh("rm /run/h1.log");
    first.start();
    first.await_peers(2);
    assert_eq!(first.kernel(), before);
    assert!(!first.log().contains("mended") && !first.log().contains("followed"), "{}", first.log());
    assert!(!first.log().contains("claimed"), "{}", first.log());
}

#[test]
fn an_agent_that_is_asked_to_end_leaves_the_network() {
    let site = Site::with_agents(2);
    let (first, second) = (site.node(1), site.node(2));
    let there = second.pod("web");
    first.pod("web");
    let before = first.kernel();
    first.end("TERM");
    assert_eq!(first.kernel(), before);
    first.ping("web", &there);
    assert_eq!(site.keys("alive"), ["h2"], "its sign of life ends with it");
    assert_eq!(site.keys("nodes"), ["h1", "h2"]);
    assert!(first.log().contains("the network stays as it is"));
    second.await_peers(1);
}

#[test]
fn etcd_may_be_killed_and_come_back() {
    let site = Site::with_agents(2);
    let (first, second) = (site.node(1), site.node(2));
    let there = second.pod("web");
    first.pod("web");
    let before = first.kernel();
    site.kill_etcd();
    first.await_log("etcd is not followed; what is known stays in force");
    assert_eq!(first.metric("etcd_up"), Some(0));
    assert_eq!(first.kernel(), before);
    first.ping("web", &there);
    // Containers come and go meanwhile, and links are put right.
    let late = second.pod("late");
    first.sh("ip link del vxlan.1");
    first.ping("web", &late);
    // An agent that starts without etcd waits, and takes nothing away.
    second.end("KILL");
    second.start();
    first.ping("web", &there);
    site.start_etcd();
    site.add_node(3);
    site.node(3).start();
    for number in 1..=3 {
        site.node(number).await_peers(2);
    }
    assert_eq!(first.metric("etcd_up"), Some(1));
    first.ping("web", &site.node(3).pod("new"));
}

#[test]
fn a_quorum_may_be_lost_and_come_back() {
    let mut site = Site::new();
    site.members = 3;
    site.start_etcd();
    site.configure(&json!({ "network": ["10.244.0.0/16", "fd00:244::/48"] }));
    for number in 1..=2 {
        site.add_node(number);
        site.node(number).start();
    }
    let (first, second) = (site.node(1), site.node(2));
    first.await_peers(1);
    second.await_peers(1);
    let there = second.pod("web");
    first.pod("web");
    // Two members of three are enough, whichever they are.
    site.kill_member(1);
    site.add_node(3);
    site.node(3).start();
    site.node(3).await_peers(2);
    first.await_peers(2);
    let before = first.kernel();
    site.kill_member(2);
    let is_lost = || first.metric("etcd_up") == Some(0);
    assert!(eventually(PATIENCE, is_lost), "{}", first.log());
    assert_eq!(first.kernel(), before);
    first.ping("web", &there);
    site.start_member(2);
    site.add_node(4);
    site.node(4).start();
    site.node(4).await_peers(3);
    first.await_peers(3);
    first.ping("web", &site.node(4).pod("new"));
}

#[test]
fn a_host_that_is_cut_off_goes_on_and_catches_up_whatever_was_compacted() {
    let site = Site::with_agents(3);
    let (first, second) = (site.node(1), site.node(2));
    let there = second.pod("web");
    first.pod("web");
    site.cut_off(1);
    let third = site.node(3);
    let gone = third.subnets();
    third.end("KILL");
    site.etcdctl(&format!("del {ROOT}/nodes/h3"));
    second.await_peers(1);
    first.await_log("etcd is not followed");
    assert_eq!(first.routes().len(), 2, "nothing is taken away by not knowing");
    first.ping("web", &there);
    site.add_node(4);
    site.node(4).start();
    site.node(4).await_peers(2); // h1's record is there, though its sign of life is not
    let revision = site.etcdctl(&format!("get {ROOT}/config -w fields"));
    let revision = revision.lines().find_map(|line| line.strip_prefix("\"Revision\" : ")).unwrap();
    site.etcdctl(&format!("compact {revision}"));
    site.heal();
    let caught_up = || first.routes().len() == 2 && !first.kernel().contains(&gone[0]);
    assert!(eventually(PATIENCE, caught_up), "{}\n{}", first.kernel(), first.log());
    first.ping("web", &site.node(4).pod("new"));
}

#[test]
fn an_etcd_that_has_forgotten_all_is_told_again() {
    let site = Site::with_agents(2);
    let (first, second) = (site.node(1), site.node(2));
    let there = second.pod("web");
    first.pod("web");
    let (before, subnets) = (first.kernel(), [first.subnets(), second.subnets()]);
    site.kill_etcd();
    site.outside.sh("rm -rf /var/lib/etcd1");
    site.start_etcd();
    first.await_log("etcd has no key /groundwork/v1/pods/config: write it once with");
    std::thread::sleep(A_WHILE);
    assert_eq!(first.kernel(), before);
    first.ping("web", &there);
    site.configure(&json!({ "network": ["10.244.0.0/16", "fd00:244::/48"] }));
    let is_back = || site.keys("nodes").len() == 2 && site.keys("alloc").len() == 4;
    assert!(eventually(PATIENCE, is_back), "{}", first.log());
    first.await_peers(1);
    assert_eq!([first.subnets(), second.subnets()], subnets);
    first.ping("web", &there);
}

#[test]
fn what_is_its_own_is_put_back() {
    let site = Site::with_agents(2);
    let (first, second) = (site.node(1), site.node(2));
    first.pod("web");
    second.pod("web");
    let record = site.value("nodes/h1");
    assert!(record.contains("10.99.0.1"), "{record}");
    for damage in ["del KEY", "put KEY '{}'"] {
        site.etcdctl(&damage.replace("KEY", &format!("{ROOT}/nodes/h1")));
        assert!(eventually(PATIENCE, || site.value("nodes/h1") == record), "{}", first.log());
    }
    let (claims, subnets) = (site.keys("alloc"), first.subnets());
    site.etcdctl(&format!("del {ROOT}/alloc/{}", subnets[0].replace('/', "-")));
    assert!(eventually(PATIENCE, || site.keys("alloc") == claims), "{}", first.log());
    site.etcdctl(&format!("del {ROOT}/alive/h1"));
    assert!(eventually(PATIENCE, || site.value("alive/h1") == "10.99.0.1"), "{}", first.log());
    second.await_peers(1);
    first.await_peers(1);
    assert_eq!(first.subnets(), subnets);
}

#[test]
fn entries_that_others_take_away_come_back() {
    let site = Site::with_agents(2);
    let first = site.node(1);
    let there = site.node(2).pod("web");
    first.pod("web");
    // Nobody tells of these: they come back when all is compared.
    first.sh("ip route flush dev vxlan.1 proto 103; ip neigh flush dev vxlan.1 nud permanent; nft flush ruleset");
    first.ping("web", &there);
}

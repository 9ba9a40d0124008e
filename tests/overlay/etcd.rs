//! Engine etcd on hosts that come, go and come back.

use std::net::{TcpListener, TcpStream};

use serde_json::json;

use crate::{
    etcd_site::{PATIENCE, SOON, Site},
    support::eventually,
};

#[test]
fn containers_reach_those_of_hosts_that_are_there_and_of_those_that_come() {
    let site = Site::with_agents(2);
    let (first, second, third) = (site.node(1), site.node(2), site.node(3));
    let (here, there) = (first.pod("web"), second.pod("web"));
    assert_eq!((here.len(), there.len()), (2, 2), "an address of each family");
    first.ping("web", &there);
    second.ping("web", &here);
    site.add_node(3);
    third.start();
    third.await_peers(2);
    let newcomer = third.pod("web");
    first.ping("web", &newcomer);
    third.ping("web", &there);
    // From container to container nothing is translated.
    let door = site.outside.named("h1-web").inside(|| TcpListener::bind((here[0].as_str(), 80)).unwrap());
    let caller = site.outside.named("h3-web").inside(|| TcpStream::connect((here[0].as_str(), 80)).unwrap());
    assert_eq!(door.accept().unwrap().1, caller.local_addr().unwrap());
    assert_eq!(caller.local_addr().unwrap().ip().to_string(), newcomer[0]);
}

#[test]
fn a_host_that_is_removed_is_forgotten_by_the_others() {
    let site = Site::with_agents(3);
    let (first, third) = (site.node(1), site.node(3));
    let gone = third.subnets();
    third.end("KILL");
    site.remove_node(3);
    let before = first.kernel();
    assert!(before.contains(&gone[0]) && before.contains("10.99.0.3"), "{before}");
    site.etcdctl("del /groundwork/v1/pods/nodes/h3");
    first.await_peers(1);
    let after = first.kernel();
    assert!(!after.contains(&gone[0]) && !after.contains("10.99.0.3") && after.contains("10.99.0.2"), "{after}");
    // Its subnet is free once its claim is deleted, and not before.
    assert_eq!(site.value(&format!("alloc/{}", gone[0].replace('/', "-"))), "h3");
}

#[test]
fn a_host_that_comes_back_has_its_subnet_again_and_is_right_for_all() {
    let site = Site::with_agents(2);
    let (first, second) = (site.node(1), site.node(2));
    first.pod("web");
    let before = second.subnets();
    second.end("KILL");
    site.remove_node(2);
    site.add_node(2);
    let waiting =
        second.verb("STATUS", "none", &json!({ "network": ["10.244.0.0/16", "fd00:244::/48"], "engine": "etcd" }));
    assert!(!waiting.status.success(), "no subnet yet:\n{}", waiting.stdout);
    second.start();
    second.await_peers(1);
    assert_eq!(second.subnets(), before);
    first.ping("web", &second.pod("back"));
    // And with another address, while the sign of life of its last run is still there.
    second.end("KILL");
    site.remove_node(2);
    site.add_node(2);
    second.sh("ip address flush dev eth0; ip address add 10.99.0.77/16 dev eth0; ip route add default via 10.99.0.254");
    second.start();
    second.await_peers(1);
    assert_eq!(second.subnets(), before);
    assert!(eventually(PATIENCE, || first.kernel().contains("dst 10.99.0.77")), "{}", first.kernel());
    assert!(!first.kernel().contains("10.99.0.2 "), "{}", first.kernel());
    first.ping("web", &second.pod("moved"));
}

#[test]
fn an_address_that_changes_under_a_running_agent_is_followed() {
    let site = Site::with_agents(2);
    let (first, second) = (site.node(1), site.node(2));
    first.pod("web");
    second.pod("web");
    second.sh("ip address flush dev eth0; ip address add 10.99.0.77/16 dev eth0; ip route add default via 10.99.0.254");
    let follows = || first.kernel().contains("dst 10.99.0.77") && site.value("alive/h2") == "10.99.0.77";
    assert!(eventually(SOON, follows), "{}\n{}", first.kernel(), second.log());
    let there = second.pod("late");
    first.ping("web", &there);
}

#[test]
fn links_that_go_down_or_away_are_put_right() {
    let site = Site::with_agents(2);
    let (first, second) = (site.node(1), site.node(2));
    let (_, there) = (first.pod("web"), second.pod("web"));
    first.sh("ip link set vxlan.1 down");
    first.ping_soon("web", &there);
    first.sh("ip link set vxlan.1 up; ip link del vxlan.1");
    first.ping_soon("web", &there);
    first.sh("ip link set eth0 down; ip link set eth0 up; ip route replace default via 10.99.0.254");
    first.ping_soon("web", &there);
    // A NIC whose MTU shrinks takes the device along.
    first.sh("ip link set eth0 mtu 1400");
    assert!(eventually(SOON, || first.sh("ip link show vxlan.1").contains("mtu 1350")), "{}", first.log());
    first.await_peers(1);
}

#[test]
fn a_subnet_that_a_lone_host_has_in_use_is_claimed_as_it_is() {
    let site = Site::new();
    site.start_etcd();
    site.configure(&json!({ "network": "10.244.0.0/16" }));
    site.add_node(1);
    site.add_node(2);
    let (first, second) = (site.node(1), site.node(2));
    let alone = first.pod_of("old", &json!({ "network": "10.244.0.0/16" }));
    assert!(alone[0].starts_with("10.244.0."), "{alone:?}");
    second.start();
    second.await_peers(0);
    first.start();
    first.await_peers(1);
    assert_eq!(first.subnets(), ["10.244.0.0/24"]);
    assert_eq!(site.value("alloc/10.244.0.0-24"), "h1");
    let there = second.pod_of("new", &json!({ "network": "10.244.0.0/16", "engine": "etcd" }));
    first.ping("old", &there);
    second.ping("new", &alone);
}

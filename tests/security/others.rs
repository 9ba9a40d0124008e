//! What belongs to others stays theirs.

use crate::{
    network,
    support::{Host, with_prev},
};

/// Everything that network b and its container have.
fn state_of_b(host: &Host) -> String {
    host.sh("ip -br address show gwb | sed 's/ UP//'; ip -o link show master gwb | wc -l
             nft -s list ruleset | grep -F '\"b/web/eth0\"'; cd /run/groundwork; find b -type f | sort | xargs sha256sum
             ip netns exec web ip -o address show eth1")
}

#[test]
fn del_and_gc_of_one_network_leave_the_others_things() {
    let host = Host::new();
    let mut web = host.sandbox("web");
    let (a, b) = (network("a", 43), network("b", 44));
    let first = web.add(&a);
    web.ifname = "eth1".into();
    let mut second = b.clone();
    second["isDefaultGateway"] = false.into();
    let theirs = web.add(&second);
    let before = state_of_b(&host).replace("eth0", "eth1");
    web.check(&second, &theirs);
    // A DEL by the other network's name for its container and interface, with the other's result.
    web.verb("DEL", &with_prev(&a, &theirs));
    web.ifname = "eth0".into();
    web.verb("DEL", &with_prev(&a, &first)).success("DEL");
    host.gc(&a, &[]).success("GC");
    assert_eq!(state_of_b(&host).replace("eth0", "eth1"), before);
    web.ifname = "eth1".into();
    web.check(&second, &theirs);
    assert_eq!(host.sh("nft -s list ruleset | grep -cF '\"a/web' || true").trim(), "0");
}

/// A link that took the name of ours, after ours had gone.
#[test]
fn a_link_of_the_same_name_is_not_ours() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = network("a", 43);
    let result = web.add(&config);
    let port = result["interfaces"][1]["name"].as_str().unwrap();
    host.sh(&format!("ip link del {port}; ip link add {port} type veth peer name other"));
    web.del(&config);
    host.gc(&config, &[]).success("GC");
    assert!(host.try_sh(&format!("ip link show {port}")).status.success(), "deleted somebody else's link");
}

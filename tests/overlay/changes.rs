//! What happens to the kernel's tables behind our back, and is put right again.

use serde_json::json;

use crate::{fabric::Fabric, support::eventually};

/// Each is repaired by sync, and by an ADD.
#[test]
fn what_was_lost_is_put_back() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let (web, other) = (fabric.pod("a", "web"), fabric.pod("b", "other"));
    web.assert_reaches(&other);
    let config = fabric.config("a");
    for (number, loss) in [
        "ip link set vxlan.1 down",
        "ip link set vxlan.1 down; ip link set vxlan.1 up",
        "ip route flush proto 103; ip -6 route flush proto 103",
        "ip neigh flush dev vxlan.1 nud permanent; ip -6 neigh flush dev vxlan.1 nud permanent",
        "bridge fdb del 02:67:c0:00:02:02 dev vxlan.1 dst 192.0.2.2 self",
        "ip address flush dev vxlan.1",
        "ip link set vxlan.1 mtu 1280",
        "ip link del vxlan.1",
        "nft flush ruleset",
        "nft flush chain inet groundwork vxlan4_4789_1",
        "nft delete element inet groundwork vtep4_4789_1 '{ 192.0.2.2 }'",
    ]
    .into_iter()
    .enumerate()
    {
        fabric.host("a").sh(loss);
        let status = fabric.status("a");
        assert_eq!(status["right"], false, "{loss}: {status}");
        let changed = web.sandbox.verb("CHECK", &crate::support::with_prev(&config, &web.result)).error();
        assert_eq!(changed["code"], 102, "{loss}: {changed}");
        if number % 2 == 0 {
            fabric.sync("a").success("sync");
        } else {
            fabric.host("a").sandbox(&format!("late{number}")).add(&config);
        }
        assert_eq!(fabric.status("a")["right"], true, "{loss}: {}", fabric.kernel("a"));
        web.assert_reaches(&other);
        let again = fabric.sync("a").success("sync");
        assert!(again.contains("all was right"), "{loss}: {again}");
        fabric.host("a").sh(&format!("{} repair", fabric.host("a").plugin.display()));
        web.sandbox.check(&config, &web.result);
    }
}

#[test]
fn gc_tends_the_overlay_and_repair_its_guard() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let (web, other) = (fabric.pod("a", "web"), fabric.pod("b", "other"));
    let host = fabric.host("a");
    host.sh("ip route flush proto 103; nft flush ruleset");
    host.gc(&fabric.config("a"), &[("web", "eth0")]).success("GC");
    web.assert_reaches(&other);
    assert!(fabric.kernel("a").contains("192.0.2.2 comment \"pods\""), "{}", fabric.kernel("a"));
    host.sh("nft flush ruleset");
    host.sh("ip link set vxlan.1 down");
    let told = host.sh(&format!("{} repair", host.plugin.display()));
    assert!(told.contains("the overlay (device changed, 4 entries made, 1 peers let in, guarded"), "{told}");
    assert_eq!(fabric.status("a")["right"], true);
    let told = host.sh(&format!("{} repair", host.plugin.display()));
    assert!(told.contains("nothing is missing"), "{told}");
}

#[test]
fn the_underlay_changes() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let (web, other) = (fabric.pod("a", "web"), fabric.pod("b", "other"));
    // Its MTU: what comes later follows.
    fabric.host("a").sh("ip link set eth0 mtu 1400");
    let late = fabric.pod("a", "late");
    assert_eq!((web.mtu(), late.mtu()), (1450, 1350));
    // A second address beside the device's is no reason to ask.
    fabric.host("a").sh("ip address add 192.0.2.201/24 dev eth0");
    let done = fabric.sync("a").success("sync");
    assert!(done.contains("all was right"), "{done}");
    late.assert_reaches(&other);
}

#[test]
fn many_adds_at_once_make_one_overlay() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let host = fabric.host("a");
    let names: Vec<_> = (0..8).map(|number| format!("pod{number}")).collect();
    names.iter().for_each(|name| drop(host.sandbox(name)));
    let config = fabric.config("a");
    std::thread::scope(|scope| {
        let adds: Vec<_> = names.iter().map(|name| scope.spawn(|| host.named(name).add(&config))).collect();
        for add in adds {
            add.join().unwrap();
        }
    });
    assert_eq!(fabric.status("a")["right"], true, "{}", fabric.kernel("a"));
    let other = fabric.pod("b", "other");
    other.assert_reaches(&crate::fabric::Pod {
        sandbox: host.named("pod7"),
        result: json!({ "ips": [
        { "address": host.named("pod7").sh("ip -br -4 address show eth0 | awk '{print $3}'").trim() },
        { "address": host.named("pod7").sh("ip -br -6 address show eth0 scope global | awk '{print $3}'").trim() },
    ] }),
    });
    assert!(eventually(std::time::Duration::from_secs(1), || fabric.sync("a").stdout.contains("all was right")));
}

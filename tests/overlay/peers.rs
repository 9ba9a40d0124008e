//! Hosts that come, go and change; records that cannot be true.

use serde_json::json;

use crate::fabric::Fabric;

#[test]
fn hosts_come_and_go_with_the_next_sync_or_add() {
    let fabric = Fabric::new(&["a", "b", "c"], false);
    let all = fabric.records();
    fabric.write_peers(&all[..2]);
    let web = fabric.pod("a", "web");
    assert!(!fabric.kernel("a").contains("192.0.2.3"));
    // c is added: by the next ADD.
    fabric.write_peers(&all);
    let (other, third) = (fabric.pod("a", "other"), fabric.pod("c", "third"));
    other.assert_reaches(&third);
    third.assert_seen_by(&web);
    // b goes: by sync. Nothing of it stays.
    fabric.write_peers(&[all[0].clone(), all[2].clone()]);
    let status = fabric.status("a");
    assert_eq!(status["right"], false);
    assert_eq!(status["stale"].as_array().unwrap().len(), 6, "{status}");
    fabric.sync("a").success("sync");
    let kernel = fabric.kernel("a");
    assert!(!kernel.contains("192.0.2.2") && !kernel.contains("10.244.2.0") && !kernel.contains("244:2::"), "{kernel}");
    third.assert_seen_by(&web);
    let again = fabric.sync("a").success("sync");
    assert!(again.contains("all was right"), "{again}");
}

#[test]
fn a_peer_that_comes_back_with_another_address_or_mac_is_right_again() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let (web, other) = (fabric.pod("a", "web"), fabric.pod("b", "other"));
    web.assert_reaches(&other);
    // b's address changes: its device is made anew when it notices, and a follows the record.
    fabric.host("b").sh("ip address del 192.0.2.2/24 dev eth0; ip address add 192.0.2.77/24 dev eth0
                         ip route add default via 192.0.2.254");
    let mut records = fabric.records();
    records[1]["vtep"] = "192.0.2.77".into();
    fabric.write_peers(&records);
    let done = fabric.sync("b").success("sync");
    assert!(done.contains("made anew") && done.contains("entries made"), "{done}");
    fabric.sync("a").success("sync");
    web.assert_reaches(&other);
    let kernel = fabric.kernel("a");
    assert!(kernel.contains("192.0.2.77") && !kernel.contains("192.0.2.2 "), "{kernel}");
    // Its hardware address alone changes.
    records[1]["mac"] = "02:00:00:00:00:07".into();
    fabric.write_peers(&records);
    fabric.sync("b").success("sync");
    fabric.sync("a").success("sync");
    web.assert_reaches(&other);
    assert!(fabric.host("b").sh("ip link show vxlan.1").contains("02:00:00:00:00:07"));
    assert!(!fabric.kernel("a").contains("02:67:c0:00:02:4d"), "{}", fabric.kernel("a"));
}

#[test]
fn the_own_record_is_known_by_address_when_its_name_is_another() {
    let fabric = Fabric::new(&["a", "b"], false);
    let mut records = fabric.records();
    records[0]["node"] = "machine-1.example".into();
    fabric.write_peers(&records);
    let pod = fabric.pod("a", "web");
    assert_eq!(pod.address(false), "10.244.1.2");
    assert!(!fabric.kernel("a").contains("dst 192.0.2.1 "));
    // Without any record there is no telling which subnet is this host's.
    fabric.write_peers(&records[1..]);
    let refused = fabric.host("a").sandbox("other").verb("ADD", &fabric.config("a")).error();
    assert_eq!(refused["code"], 7, "{refused}");
    assert!(refused["msg"].as_str().unwrap().contains("has no subnet"), "{refused}");
    // DEL needs none of it.
    pod.sandbox.del(&fabric.config("a"));
}

#[test]
fn records_that_cannot_be_true_are_left_out_and_told() {
    let fabric = Fabric::new(&["a", "b"], false);
    let mut records = fabric.records();
    records.push(json!({ "node": "thief", "subnets": ["10.244.1.128/25"], "vtep": "192.0.2.66" }));
    records.push(json!({ "node": "stray", "subnets": ["10.99.0.0/24"], "vtep": "192.0.2.67" }));
    records.push(json!({ "node": "a", "subnets": ["10.244.9.0/24"], "vtep": "192.0.2.68" }));
    records.push(json!({ "node": "blurred", "subnets": "everywhere", "vtep": "192.0.2.69" }));
    fabric.write_peers(&records);
    let (web, other) = (fabric.pod("a", "web"), fabric.pod("b", "other"));
    web.assert_reaches(&other);
    let told = fabric.sync("a");
    assert!(!told.status.success());
    for name in ["thief", "stray", "blurred", "\"a\""] {
        assert!(told.stdout.contains(name), "{name} is not in {}", told.stdout);
    }
    let status = fabric.status("a");
    assert_eq!(status["refused"].as_array().unwrap().len(), 4, "{status}");
    let kernel = fabric.kernel("a");
    assert!(!kernel.contains("192.0.2.6"), "{kernel}");
    // That others' records are wrong is no fault of the attachment.
    web.sandbox.check(&fabric.config("a"), &web.result);
}

#[test]
fn a_peer_file_that_cannot_be_read_changes_nothing() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let (web, other) = (fabric.pod("a", "web"), fabric.pod("b", "other"));
    std::fs::write(fabric.peer_file(), "[{").unwrap();
    let keys = json!({
        "engine": "static", "peerFile": fabric.peer_file(), "subnet": ["10.244.1.0/24", "fd00:244:1::/64"],
    });
    let config = fabric.config_with("a", &keys);
    let told = fabric.command("a", &config, &["sync"]);
    assert!(!told.status.success() && told.stdout.contains("stay as they are"), "{told:?}");
    fabric.pod_by("a", "third", &config).assert_reaches(&other);
    web.assert_reaches(&other);
}

/// As many as a large site has come in one file, and go again.
#[test]
fn two_thousand_come_and_go_at_once() {
    let fabric = Fabric::new(&["a", "b"], false);
    let few = fabric.records();
    let far = |number: u32| {
        let [_, _, high, low] = number.to_be_bytes();
        let subnets = [format!("10.244.{}.{}/28", 64 + (number >> 4), (number & 15) * 16)];
        json!({ "node": format!("far{number}"), "subnets": subnets, "vtep": format!("198.51.{high}.{low}") })
    };
    fabric.write_peers(&few.iter().cloned().chain((1..2000).map(far)).collect::<Vec<_>>());
    let told = fabric.sync("a").success("sync");
    assert!(told.contains("2000 peers let in"), "{told}");
    assert_eq!(fabric.status("a")["peers"].as_array().unwrap().len(), 2000);
    assert!(fabric.sync("a").success("sync").contains("all was right"));
    fabric.write_peers(&few);
    let told = fabric.sync("a").success("sync");
    assert!(told.contains("5997 entries removed, 1999 peers kept out"), "{told}");
    fabric.pod("a", "web").assert_reaches(&fabric.pod("b", "web"));
}

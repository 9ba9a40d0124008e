//! The vxlan device: never somebody else's, and always on the right link.

use serde_json::{Value, json};

use crate::fabric::Fabric;

fn refused(fabric: &Fabric, config: &Value) -> String {
    let host = fabric.host("a");
    host.sh("ip netns del web 2>/dev/null || true");
    let web = host.sandbox("web");
    let before = host.snapshot();
    let error = web.verb("ADD", config).error();
    assert_eq!(error["code"], 7, "{error}");
    let status = host.status(config).error();
    assert_eq!(status["code"], 50, "{status}");
    let difference = before.difference(&host.snapshot());
    let left: Vec<_> = difference.lines().filter(|line| line.starts_with("+ link")).collect();
    assert!(left.is_empty(), "{left:?}");
    web.del(config);
    error["msg"].as_str().unwrap().to_owned()
}

#[test]
fn a_foreign_device_is_never_taken_over() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let host = fabric.host("a");
    for (make, name) in [
        ("ip link add vxlan.1 type vxlan id 1 dstport 4789 local 192.0.2.1 nolearning", "vxlan.1"),
        ("ip link add vxlan.1 type bridge", "vxlan.1"),
        ("ip link add flannel.1 type vxlan id 1 dstport 4789 local 192.0.2.1", "flannel.1"),
    ] {
        host.sh(make);
        let before = host.sh(&format!("ip -d link show {name}"));
        let said = refused(&fabric, &fabric.config("a"));
        assert!(said.contains(&format!("link {name} exists and is not the overlay's")), "{said}");
        assert_eq!(before, host.sh(&format!("ip -d link show {name}")));
        host.sh(&format!("ip link del {name}"));
    }
    // Nor that of another network of ours.
    fabric.sync("a").success("sync");
    let mut other = fabric.config("a");
    other["name"] = "others".into();
    let said = refused(&fabric, &other);
    assert!(said.contains("groundwork overlay pods"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_said_to_be() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    fabric.host("a").sh("ip link add any0 type vxlan external dstport 4789; ip link set any0 up");
    let told = fabric.sync("a");
    assert!(!told.status.success() && told.stdout.contains("UDP port 4789 is taken"), "{told:?}");
    fabric.host("a").sh("ip link del any0");
    fabric.sync("a").success("sync");
    assert_eq!(fabric.status("a")["right"], true);
}

#[test]
fn the_underlay_is_found_or_asked_for() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let host = fabric.host("a");
    let by = |underlay: &str| {
        fabric.config_with("a", &json!({ "engine": "static", "peerFile": fabric.peer_file(), "underlay": underlay }))
    };
    host.sh("ip link add other type veth peer name far; ip link set other mtu 9000 up; ip link set far mtu 9000 up
             ip address add 198.51.100.1/24 dev other; ip address add 198.51.100.2/24 dev other");
    assert!(refused(&fabric, &by("absent")).contains("no link absent"));
    assert!(refused(&fabric, &by("203.0.113.1")).contains("no link of this host has the address 203.0.113.1"));
    let said = refused(&fabric, &by("other"));
    assert!(said.contains("several addresses (198.51.100.1, 198.51.100.2)"), "{said}");
    assert!(refused(&fabric, &by("far")).contains("no address that other hosts could send to"));
    host.sh("ip route append default via 198.51.100.254 dev other");
    assert!(refused(&fabric, &fabric.config("a")).contains("several links carry a default route"));
    host.sh("ip route del default; ip route del default");
    let said = refused(&fabric, &fabric.config("a"));
    assert!(said.contains("no default route tells"), "{said}");
    // By name and by address.
    fabric.command("a", &by("eth0"), &["sync"]).success("sync");
    assert!(host.sh("ip -d link show vxlan.1").contains("local 192.0.2.1"));
    let told = fabric.command("a", &by("198.51.100.2"), &["sync"]).success("sync");
    assert!(told.contains("made anew"), "{told}");
    let link = host.sh("ip -d link show vxlan.1");
    assert!(link.contains("local 198.51.100.2") && link.contains("mtu 8950"), "{link}");
}

#[test]
fn an_mtu_that_does_not_fit_is_refused() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let asked =
        |mtu: u32| fabric.config_with("a", &json!({ "engine": "static", "peerFile": fabric.peer_file(), "mtu": mtu }));
    assert!(refused(&fabric, &asked(1451)).contains("link eth0 carries 1450"));
    let mut config = fabric.config("a");
    config["mtu"] = 1500.into();
    assert!(refused(&fabric, &config).contains("the overlay carries 1450"));
    let pod = fabric.pod_by("a", "small", &asked(1400));
    assert_eq!(pod.mtu(), 1400);
}

#[test]
fn the_device_keeps_to_itself_when_the_nic_goes() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    fabric.sync("a").success("sync");
    let before = fabric.kernel("a");
    fabric.host("a").sh("ip link del eth0");
    assert_eq!(before, fabric.kernel("a"));
}

/// What `groundwork plan` prints makes the overlay, typed by a person.
#[test]
fn the_plan_can_be_typed() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let host = fabric.host("a");
    fabric.sync("a").success("sync");
    host.sh("ip link del vxlan.1; nft delete table inet groundwork");
    let before = host.snapshot();
    let plan = fabric.command("a", &fabric.config("a"), &["plan"]).success("plan");
    before.assert_same(&host.snapshot());
    let of_overlay: Vec<_> = plan
        .lines()
        .skip_while(|line| !line.contains("of the overlay"))
        .take_while(|line| !line.contains("addresses are examples"))
        .collect();
    assert!(of_overlay.len() > 12, "{plan}");
    host.sh(&of_overlay.join("\n"));
    let status = fabric.status("a");
    assert_eq!(status["right"], true, "{status}");
    assert!(fabric.sync("a").success("sync").contains("all was right"));
    let plan = fabric.command("a", &fabric.config("a"), &["plan"]).success("plan");
    assert!(!plan.contains("vxlan.1"), "{plan}");
}

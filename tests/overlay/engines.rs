//! From one host to three, by the engines that need no agent.

use serde_json::{Value, json};

use crate::{
    fabric::{Fabric, assert_all_reach},
    net::tcp,
};

/// Both families inside, over either: containers of three hosts reach each other by their own addresses.
fn three_hosts(ipv6: bool, mtu: u32) {
    let fabric = Fabric::new(&["a", "b", "c"], ipv6);
    fabric.write_peers(&fabric.records());
    let pods = ["a", "b", "c"].map(|name| fabric.pod(name, "web"));
    assert_all_reach(&pods, &[false, true], mtu);
    assert_eq!(pods[0].address(false), "10.244.1.2");
    assert_eq!(pods[2].address(true), "fd00:244:3::2");
    let status = fabric.status("a");
    assert_eq!(status["right"], true, "{status}");
    assert_eq!(status["host"]["subnets"], json!(["10.244.1.0/24", "fd00:244:1::/64"]));
    assert_eq!(status["host"]["mtu"], mtu);
    let names: Vec<_> = status["peers"].as_array().unwrap().iter().map(|peer| peer["node"].clone()).collect();
    assert_eq!(names, ["b", "c"]);
    for pod in &pods[..1] {
        pod.sandbox.check(&fabric.config("a"), &pod.result);
        pod.sandbox.del(&fabric.config("a"));
    }
}

#[test]
fn three_hosts_over_ipv4() {
    three_hosts(false, 1450);
}

#[test]
fn three_hosts_over_ipv6() {
    three_hosts(true, 1430);
}

#[test]
fn one_host_grows_to_two_and_no_address_changes() {
    let mut fabric = Fabric::new(&["a"], false);
    let alone = fabric.config_with("a", &json!({ "subnet": ["10.244.1.0/24", "fd00:244:1::/64"] }));
    let result = fabric.host("a").sandbox("first").add(&alone);
    assert_eq!(result["ips"][0]["address"], "10.244.1.2/24");
    assert!(!fabric.host("a").try_sh("ip link show vxlan.1").status.success(), "no device for one host");
    let told = fabric.command("a", &alone, &["overlay", "status"]);
    assert!(told.status.success() && told.stdout.contains("one host so far"), "{told:?}");
    fabric.plug("b");
    fabric.write_peers(&fabric.records());
    let host_file = |fabric: &Fabric| -> Value {
        serde_json::from_str(&fabric.host("a").sh("cat /run/groundwork/pods/overlay.json")).unwrap()
    };
    let before = host_file(&fabric);
    fabric.sync("a").success("sync");
    let after = host_file(&fabric);
    for key in ["network", "subnets", "mtu", "vni", "device"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!((&before["engine"], &after["engine"]), (&json!("none"), &json!("static")));
    let other = fabric.pod("b", "other");
    other.sandbox.ping("10.244.1.2");
    other.sandbox.ping("fd00:244:1::2");
    let first = fabric.host("a").named("first");
    first.check(&fabric.config("a"), &result);
    first.del(&fabric.config("a"));
}

#[test]
fn one_host_takes_the_first_subnet_and_needs_no_network_outside() {
    let fabric = Fabric::new(&["a"], false);
    fabric.host("a").sh("ip route del default");
    let pod = fabric.pod_by("a", "web", &fabric.config_with("a", &json!({})));
    assert_eq!(pod.address(false), "10.244.0.2");
    assert_eq!(pod.address(true), "fd00:244::2");
    pod.sandbox.ping("10.244.0.1");
    let routes = pod.sandbox.sh("ip route; ip -6 route");
    assert!(routes.contains("default via 10.244.0.1") && routes.contains("default via fd00:244::1"), "{routes}");
    fabric.host("a").status(&fabric.config_with("a", &json!({}))).success("STATUS");
}

#[test]
fn without_a_default_gateway_the_overlay_alone_is_routed() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let mut config = fabric.config("a");
    config["isDefaultGateway"] = false.into();
    let (one, other) = (fabric.pod_by("a", "web", &config), fabric.pod("b", "web"));
    one.assert_reaches(&other);
    let routes = one.sandbox.sh("ip route; ip -6 route");
    assert!(!routes.contains("default") && routes.contains("10.244.0.0/16 via 10.244.1.1"), "{routes}");
}

/// One family inside, over either.
#[test]
fn one_family_alone_is_enough() {
    for (inside, over, mtu) in [(false, true, 1430), (true, false, 1450), (true, true, 1430), (false, false, 1450)] {
        let fabric = Fabric::new(&["a", "b"], over);
        let mut records = fabric.records();
        for record in &mut records {
            record["subnets"] = json!([record["subnets"][usize::from(inside)]]);
        }
        fabric.write_peers(&records);
        let pods = ["a", "b"].map(|name| {
            let mut config = fabric.config(name);
            config["overlay"]["network"] = config["overlay"]["network"][usize::from(inside)].clone();
            let pod = fabric.pod_by(name, "web", &config);
            pod.sandbox.check(&config, &pod.result);
            pod
        });
        assert_all_reach(&pods, &[inside], mtu);
    }
}

#[test]
fn host_ports_work_on_top() {
    for ipv6 in [false, true] {
        let fabric = Fabric::new(&["a", "b", "c"], ipv6);
        fabric.write_peers(&fabric.records());
        let mut config = fabric.config("a");
        config["runtimeConfig"] =
            json!({ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] });
        let (web, client) = (fabric.pod_by("a", "web", &config), fabric.pod("b", "client"));
        let at = |address: String, port| if ipv6 { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        let (own, port) = (at(web.address(ipv6), 80), at(fabric.vtep("a"), 8080));
        // From another host, and from a container there, which goes out by its host's address.
        assert_eq!(tcp(&web.sandbox, &own, fabric.host("c"), &port), Some(fabric.vtep("c")));
        assert_eq!(tcp(&web.sandbox, &own, &client.sandbox, &port), Some(fabric.vtep("b")));
        // From the other host itself, to the container.
        let base = if ipv6 { "fd00:244:2::" } else { "10.244.2.0" };
        assert_eq!(tcp(&web.sandbox, &own, fabric.host("b"), &own), Some(base.to_owned()));
    }
}

#[test]
fn the_agents_file_is_all_that_engine_etcd_asks_of_the_plugin() {
    let fabric = Fabric::new(&["a"], false);
    let config = fabric.config_with("a", &json!({ "engine": "etcd" }));
    let host = fabric.host("a");
    let web = host.sandbox("web");
    let refused = web.verb("ADD", &config).error();
    assert_eq!(refused["code"], 11, "{refused}");
    let status = host.status(&config).error();
    assert_eq!(status["code"], 50, "{status}");
    web.del(&config);
    // As the agent would leave it.
    fabric.write_peers(&fabric.records());
    fabric.sync("a").success("sync");
    host.sh("sed -i 's/\"static\"/\"etcd\"/' /run/groundwork/pods/overlay.json");
    let result = web.add(&config);
    assert_eq!(result["ips"][0]["address"], "10.244.1.2/24");
    host.status(&config).success("STATUS");
    web.check(&config, &result);
    host.sh("ip link del vxlan.1");
    let status = host.status(&config).error();
    assert_eq!(status["code"], 51, "{status}");
    assert!(status["msg"].as_str().unwrap().contains("vxlan.1 is missing"), "{status}");
    // Another overlay's file is not taken for this one's.
    let other = fabric.config_with("a", &json!({ "engine": "etcd", "vni": 9 }));
    let refused = host.sandbox("other").verb("ADD", &other).error();
    assert!(refused["msg"].as_str().unwrap().contains("VNI 9"), "{refused}");
    host.sh("rm -r /run/groundwork/pods/overlay.json");
    web.del(&config);
}

/// As on a host that has Docker, too: what no rule of the other firewall accepts is dropped where it is forwarded.
#[test]
fn a_firewall_that_drops_is_passed_by_peers_alone() {
    let fabric = Fabric::new(&["a", "b", "stranger"], false);
    fabric.write_peers(&fabric.records()[..2]);
    let drops = "nft add table inet other
                 nft add chain inet other forward '{ type filter hook forward priority filter; policy drop; }'";
    let pods = ["a", "b"].map(|name| {
        let mut config = fabric.config(name);
        config["ingressPolicy"] = "open".into();
        fabric.host(name).sh(drops);
        fabric.pod_by(name, "web", &config)
    });
    pods[0].assert_reaches(&pods[1]);
    pods[1].assert_seen_by(&pods[0]);
    // Who routes to a container by the underlay is no peer.
    let stranger = fabric.host("stranger");
    stranger.sh(&format!("ip route add 10.244.1.0/24 via {}", fabric.vtep("a")));
    let to = format!("{}:80", pods[0].address(false));
    assert_eq!(tcp(&pods[0].sandbox, &to, stranger, &to), None);
    // It is the overlay's own rule that lets peers through.
    fabric.host("a").sh("nft flush chain inet groundwork forwarding_via4");
    assert_eq!(tcp(&pods[0].sandbox, &to, &pods[1].sandbox, &to), None);
}

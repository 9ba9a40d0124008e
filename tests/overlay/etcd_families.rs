//! Engine etcd with both families inside, over either.

use serde_json::json;

use crate::{
    etcd_site::PATIENCE,
    fabric::{Fabric, assert_all_reach},
    support::eventually,
};

const AGENT: &str = env!("CARGO_BIN_EXE_groundwork-agent");

/// Starts an etcd where the hosts' gateway would be, with the overlay's settings, and returns its URL.
fn start_etcd(fabric: &Fabric, gateway: &str, at: &str) -> String {
    let (url, peers) = (format!("http://{at}:2379"), "http://127.0.0.1:2380");
    let settings = json!({ "network": ["10.244.0.0/16", "fd00:244::/32"] });
    fabric.wire().sh(&format!(
        "ip address add {gateway} dev wire nodad
         etcd --name e1 --data-dir /run/etcd --listen-client-urls {url} --advertise-client-urls {url} \
         --listen-peer-urls {peers} --initial-advertise-peer-urls {peers} --initial-cluster e1={peers} \
         >/run/etcd.log 2>&1 &"
    ));
    let put = format!("ETCDCTL_API=3 etcdctl --endpoints {url} put /groundwork/v1/pods/config '{settings}'");
    let is_up = eventually(PATIENCE, || fabric.wire().try_sh(&put).status.success());
    assert!(is_up, "{}", fabric.wire().sh("tail -n 20 /run/etcd.log"));
    url
}

fn three_hosts(gateway: &str, at: &str, ipv6: bool, mtu: u32) {
    let names = ["a", "b", "c"];
    let fabric = Fabric::new(&names, ipv6);
    let url = start_etcd(&fabric, gateway, at);
    for name in names {
        let config = json!({ "network": "pods", "node": name, "etcd": { "endpoints": [url] } });
        fabric
            .host(name)
            .sh(&format!("echo '{config}' >/run/agent.json; {AGENT} --config /run/agent.json >/run/agent.log 2>&1 &"));
    }
    let config = |name| fabric.config_with(name, &json!({ "engine": "etcd" }));
    let count = "(ip route show proto 103; ip -6 route show proto 103) | wc -l";
    for name in names {
        let host = fabric.host(name);
        let is_ready = || host.status(&config(name)).status.success() && host.sh(count).trim() == "4";
        assert!(eventually(PATIENCE, is_ready), "{}", host.sh("cat /run/agent.log"));
    }
    let pods = names.map(|name| fabric.pod_by(name, "web", &config(name)));
    assert_all_reach(&pods, &[false, true], mtu);
    assert!(fabric.kernel("a").contains(&format!("local {}", fabric.vtep("a"))));
}

#[test]
fn three_hosts_over_ipv4() {
    three_hosts("192.0.2.254/24", "192.0.2.254", false, 1450);
}

#[test]
fn three_hosts_over_ipv6() {
    three_hosts("2001:db8::254/64", "[2001:db8::254]", true, 1430);
}

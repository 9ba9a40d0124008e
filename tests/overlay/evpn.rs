//! Engine evpn: FRR, configured as docs/overlay.md says, distributes what groundwork lays out.

use std::time::Duration;

use serde_json::json;

use crate::{
    fabric::{Fabric, Pod},
    net::tcp,
    page,
    support::eventually,
};

/// Starts zebra and bgpd in a host, with which they end, with the page's configuration.
fn start_frr(fabric: &Fabric, name: &str) {
    // The page's is the first's: the two exchange addresses.
    let (first, own) = (fabric.vtep("a"), fabric.vtep(name));
    let page = page::block("frr").replace(&first, "OWN").replace(&own, &first).replace("OWN", &own);
    fabric.host(name).sh(&format!(
        "install -d -o frr -g frr /run/frr && touch /run/frr/none && chown frr /run/frr/none
         cat > /run/frr/frr.conf <<'END'\n{page}END
         /usr/lib/frr/zebra -d -A 127.0.0.1 -f /run/frr/none && /usr/lib/frr/bgpd -d -A 127.0.0.1 -f /run/frr/none
         vtysh --config_dir /run/frr -b"
    ));
}

#[test]
fn frr_distributes_what_is_laid_out() {
    let fabric = Fabric::new(&["a", "b", "c"], false);
    let names = ["a", "b", "c"];
    let pods = names.map(|name| {
        let mut config = fabric.config_with(name, &json!({ "engine": "evpn" }));
        config["overlay"]["network"] = "10.244.0.0/16".into();
        config["overlay"]["subnet"] = fabric.record(name)["subnets"][0].clone();
        let pod = fabric.pod_by(name, "web", &config);
        pod.sandbox.check(&config, &pod.result);
        let again = fabric.command(name, &config, &["sync"]).success("sync");
        assert!(again.contains("ready for FRR"), "{again}");
        pod
    });
    let link = fabric.host("a").sh("ip -br link show vxlan.1; ip -br link show vxbr.1; ip link show master vxbr.1");
    assert_eq!(link.matches("02:67:c0:00:02:01").count(), 3, "{link}");
    names.iter().for_each(|name| start_frr(&fabric, name));
    let has_all = |name: &&str| fabric.host(name).sh("ip route show proto bgp").matches("10.244.").count() >= 2;
    let came = eventually(Duration::from_secs(60), || names.iter().all(has_all));
    let told = |name| fabric.host(name).sh("vtysh -c 'show bgp summary' -c 'show evpn vni' -c 'show ip route'");
    assert!(came, "no routes came:\n{}", told("a"));
    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
        let (one, other): (&Pod<'_>, &Pod<'_>) = (&pods[one], &pods[other]);
        one.sandbox.ping(&other.address(false));
        let to = format!("{}:7000", other.address(false));
        assert_eq!(tcp(&other.sandbox, &to, &one.sandbox, &to), Some(one.address(false)));
        let full = format!("ping -n -c 1 -W 2 -M do -s 1422 {}", other.address(false));
        one.sandbox.sh(&full);
    }
    // What is announced is the containers' network alone.
    let routes = fabric.host("a").sh("ip route show proto bgp");
    assert!(routes.lines().all(|route| route.starts_with("10.244.")), "{routes}");
    // An ADD beside FRR touches nothing of it.
    let mut config = fabric.config_with("a", &json!({ "engine": "evpn" }));
    config["overlay"]["network"] = "10.244.0.0/16".into();
    config["overlay"]["subnet"] = "10.244.1.0/24".into();
    fabric.pod_by("a", "late", &config).sandbox.ping(&pods[1].address(false));
    assert_eq!(routes, fabric.host("a").sh("ip route show proto bgp"));
}

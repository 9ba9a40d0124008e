//! Engine evpn: FRR, configured as docs/overlay.md says, distributes what groundwork lays out.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    fabric::{Fabric, Pod, assert_all_reach},
    net::tcp,
    page,
    strangers::{arrives, frame},
    support::eventually,
};

/// For BGP to find, and to give up, whom there is.
const PATIENCE: Duration = Duration::from_secs(60);

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What the page has for the first machine, for a host: the two exchange numbers.
fn page_of(fabric: &Fabric, name: &str, language: &str) -> String {
    let number = fabric.number(name);
    let exchange = |text: String, before: &str, after: &str| {
        let (first, own) = (format!("{before}1{after}"), format!("{before}{number}{after}"));
        text.replace(&first, "OWN").replace(&own, &first).replace("OWN", &own)
    };
    let pairs = [("192.0.2.", ""), ("2001:db8::", ""), ("10.244.", "."), ("fd00:244:", ":")];
    pairs.into_iter().fold(page::block(language), |text, (before, after)| exchange(text, before, after))
}

/// The page's configuration of groundwork, of these families only.
fn config(fabric: &Fabric, name: &str, families: &[bool]) -> Value {
    let mut config: Value = serde_json::from_str(&page_of(fabric, name, "json evpn")).unwrap();
    for key in ["network", "subnet"] {
        let list = config["overlay"][key].as_array_mut().unwrap();
        list.retain(|net| families.contains(&net.as_str().unwrap().contains(':')));
    }
    config
}

/// A container on each of these hosts, with what FRR needs beneath.
fn lay_out<'a>(fabric: &'a Fabric, names: &[&str], config: impl Fn(&str) -> Value) -> Vec<Pod<'a>> {
    let pod = |name: &&str| {
        let (config, pod) = (config(name), fabric.pod_by(name, "web", &config(name)));
        pod.sandbox.check(&config, &pod.result);
        let again = fabric.command(name, &config, &["sync"]).success("sync");
        assert!(again.contains("ready for FRR"), "{again}");
        pod
    };
    names.iter().map(pod).collect()
}

/// Starts zebra and bgpd in these hosts, with which they end, with the page's configuration, and waits for all routes.
fn start_frr(fabric: &Fabric, names: &[&str], families: &[bool]) {
    for name in names {
        let page = page_of(fabric, name, "frr");
        fabric.host(name).sh(&format!(
            "mount -t tmpfs frr /var/tmp; install -d -o frr -g frr /run/frr; touch /run/frr/none; chown frr /run/frr/none
             cat > /run/frr/frr.conf <<'END'\n{page}END
             /usr/lib/frr/zebra -d -A 127.0.0.1 -f /run/frr/none"
        ));
        start_bgpd(fabric, name);
    }
    names.iter().for_each(|name| await_routes(fabric, name, families, names.len() - 1));
}

fn start_bgpd(fabric: &Fabric, name: &str) {
    fabric.host(name).sh("/usr/lib/frr/bgpd -d -A 127.0.0.1 -f /run/frr/none && vtysh --config_dir /run/frr -b");
}

/// What BGP has put into a host's kernel, of one family.
fn routes(fabric: &Fabric, name: &str, ipv6: bool) -> String {
    fabric.host(name).sh(if ipv6 { "ip -6 route show proto bgp" } else { "ip route show proto bgp" })
}

#[track_caller]
fn await_routes(fabric: &Fabric, name: &str, families: &[bool], count: usize) {
    let stand = || families.iter().all(|ipv6| routes(fabric, name, *ipv6).lines().count() == count);
    let told = "ip route; ip -6 route; vtysh -c 'show bgp l2vpn evpn summary' -c 'show evpn vni 1'";
    assert!(eventually(PATIENCE, stand), "{count} routes are expected on {name}:\n{}", fabric.host(name).sh(told));
}

#[test]
fn frr_distributes_what_is_laid_out() {
    let fabric = Fabric::new(&NAMES, false);
    let both = |name: &str| config(&fabric, name, &[false, true]);
    let pods = lay_out(&fabric, &NAMES, both);
    let link = fabric.host("a").sh("ip -br link show vxlan.1; ip -br link show vxbr.1; ip link show master vxbr.1");
    assert_eq!(link.matches("02:67:c0:00:02:01").count(), 3, "{link}");
    start_frr(&fabric, &NAMES, &[false, true]);
    assert_all_reach(&pods, &[false, true], 1450);
    // What is announced is the containers' networks alone.
    let told = || [routes(&fabric, "a", false), routes(&fabric, "a", true)];
    let before = told();
    assert!(before[0].lines().all(|route| route.starts_with("10.244.")), "{before:?}");
    assert!(before[1].lines().all(|route| route.starts_with("fd00:244:")), "{before:?}");
    let status = fabric.command("a", &both("a"), &["overlay", "status"]).success("status");
    assert!(status.contains("evpn, 4 routes by BGP through vxbr.1"), "{status}");
    // An ADD beside FRR touches nothing of it; host ports work on top.
    let mut with_port = both("a");
    with_port["runtimeConfig"] =
        json!({ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] });
    let late = fabric.pod_by("a", "late", &with_port);
    late.assert_reaches(&pods[1]);
    let own = format!("{}:80", late.address(false));
    let seen = tcp(&late.sandbox, &own, &pods[1].sandbox, &format!("{}:8080", fabric.vtep("a")));
    assert_eq!(seen, Some(fabric.vtep("b")));
    assert_eq!(before, told());
}

#[test]
fn one_family_alone_is_distributed() {
    for ipv6 in [false, true] {
        let (fabric, names) = (Fabric::new(&NAMES, false), &NAMES[..2]);
        let pods = lay_out(&fabric, names, |name| config(&fabric, name, &[ipv6]));
        start_frr(&fabric, names, &[ipv6]);
        assert_all_reach(&pods, &[ipv6], 1450);
    }
}

#[test]
fn a_lone_host_that_grows_keeps_its_containers() {
    let (fabric, names) = (Fabric::new(&NAMES, false), &NAMES[..2]);
    let both = |name: &str| config(&fabric, name, &[false, true]);
    let mut alone = both("a");
    alone["overlay"]["engine"] = "none".into();
    let old = fabric.pod_by("a", "old", &alone);
    fabric.command("a", &both("a"), &["sync"]).success("sync");
    let other = fabric.pod_by("b", "web", &both("b"));
    start_frr(&fabric, names, &[false, true]);
    assert_all_reach(&[old, other], &[false, true], 1450);
}

#[test]
fn a_host_that_dies_is_forgotten_and_one_that_is_back_is_reached() {
    let fabric = Fabric::new(&NAMES, false);
    let pods = lay_out(&fabric, &NAMES, |name| config(&fabric, name, &[false, true]));
    start_frr(&fabric, &NAMES, &[false, true]);
    fabric.wire().sh("ip link set to-c down");
    await_routes(&fabric, "a", &[false, true], 1);
    assert_all_reach(&pods[..2], &[false, true], 1450);
    fabric.wire().sh("ip link set to-c up");
    await_routes(&fabric, "a", &[false, true], 2);
    await_routes(&fabric, "c", &[false, true], 2);
    assert_all_reach(&pods, &[false, true], 1450);
    // bgpd takes its host along, as the page warns, and brings it back.
    fabric.host("b").sh("kill -9 $(cat /run/frr/bgpd.pid)");
    await_routes(&fabric, "b", &[false, true], 0);
    await_routes(&fabric, "a", &[false, true], 1);
    start_bgpd(&fabric, "b");
    await_routes(&fabric, "b", &[false, true], 2);
    await_routes(&fabric, "a", &[false, true], 2);
    pods[0].assert_reaches(&pods[1]);
}

#[test]
fn what_is_laid_out_is_put_back_and_distributed_again() {
    let (fabric, names) = (Fabric::new(&NAMES, false), &NAMES[..2]);
    let both = |name: &str| config(&fabric, name, &[false, true]);
    let pods = lay_out(&fabric, names, both);
    start_frr(&fabric, names, &[false, true]);
    let plugin = fabric.host("a").plugin.display().to_string();
    for loss in [
        "ip link set vxlan.1 down",
        "ip link del vxlan.1",
        "ip link set vxbr.1 down",
        "ip link del vxbr.1",
        "ip link set vxlan.1 nomaster",
    ] {
        fabric.host("a").sh(loss);
        let status = fabric.command("a", &both("a"), &["overlay", "status"]);
        assert!(!status.status.success(), "{loss}: {status:?}");
        // The kernel takes the routes out at once. What FRR has not noticed it does not make again.
        let told = || fabric.host("a").sh("vtysh -c 'show ip route bgp' -c 'show ipv6 route bgp'");
        assert!(eventually(PATIENCE, || !told().contains("vxbr.1")), "{loss}: {}", told());
        let repaired = fabric.host("a").sh(&format!("{plugin} repair"));
        assert!(repaired.contains("the overlay (device "), "{loss}: {repaired}");
        fabric.command("a", &both("a"), &["overlay", "status"]).success(loss);
        await_routes(&fabric, "a", &[false, true], 1);
        pods[0].assert_reaches(&pods[1]);
    }
}

#[test]
fn a_strangers_frame_is_kept_out_by_the_pages_rule() {
    let fabric = Fabric::new(&["a", "b", "c", "stranger"], false);
    let pods = lay_out(&fabric, &NAMES[..2], |name| config(&fabric, name, &[false, true]));
    let vtep = fabric.vtep("a");
    let arrives = |sender: &str, inside| {
        let ends = [&pods[1], &pods[0]].map(|pod| pod.address(inside).parse().unwrap());
        let bytes = frame(1, [0x02, 0x67, 192, 0, 2, 1], ends[0], ends[1]);
        arrives(fabric.host(sender), &vtep, &pods[0], &bytes)
    };
    let both = |sender| [arrives(sender, false), arrives(sender, true)];
    assert_eq!(both("stranger"), [true; 2], "without the rule");
    fabric.host("a").sh(&format!("nft -f - <<'END'\n{}END", page::block("nft")));
    assert_eq!(both("stranger"), [false; 2], "a stranger's");
    assert_eq!(both("b"), [true; 2], "a peer's own");
    start_frr(&fabric, &NAMES[..2], &[false, true]);
    assert_all_reach(&pods, &[false, true], 1450);
}

/// As on a host that has Docker, too.
#[test]
fn a_firewall_that_drops_is_passed() {
    let (fabric, names) = (Fabric::new(&NAMES, false), &NAMES[..2]);
    for name in names {
        fabric.host(name).sh("nft add table inet other; nft add chain inet other forward '{
            type filter hook forward priority filter; policy drop; }'");
    }
    let pods = lay_out(&fabric, names, |name| {
        let mut config = config(&fabric, name, &[false, true]);
        config["ingressPolicy"] = "open".into();
        config
    });
    start_frr(&fabric, names, &[false, true]);
    assert_all_reach(&pods, &[false, true], 1450);
    fabric.host("a").sh("nft flush chain inet groundwork forwarding_via6");
    let to = format!("[{}]:80", pods[0].address(true));
    assert_eq!(tcp(&pods[0].sandbox, &to, &pods[1].sandbox, &to), None);
}

#[test]
fn links_need_no_ipv4_addresses() {
    let fabric = Fabric::new(&NAMES, true);
    let both = |name: &str| config(&fabric, name, &[false, true]);
    // What Debian's FRR cannot distribute is not laid out by chance.
    let host = fabric.host("a");
    let refused = host.sandbox("refused").verb("ADD", &both("a")).error();
    assert_eq!(refused["code"], 7, "{refused}");
    assert!(refused["msg"].as_str().unwrap().contains("FRR before 10.6"), "{refused}");
    let mut newer = both("a");
    newer["overlay"]["underlay"] = "2001:db8::1".into();
    fabric.command("a", &newer, &["sync"]).success("sync");
    let link = host.sh("ip -d link show vxlan.1; ip link del vxlan.1; ip link del vxbr.1");
    assert!(link.contains("local 2001:db8::1") && link.contains("mtu 1430"), "{link}");
    // As the page says.
    for name in NAMES {
        fabric.host(name).sh(&format!("set -e\n{}", page_of(&fabric, name, "sh")));
    }
    let own = |name: &str| {
        let mut config = both(name);
        config["overlay"]["underlay"] = format!("192.0.2.{}", fabric.number(name)).into();
        config
    };
    let untold = host.named("refused").verb("ADD", &own("a")).error();
    assert!(untold["msg"].as_str().unwrap().contains("set \"overlay.mtu\""), "{untold}");
    let pods = lay_out(&fabric, &NAMES, |name| {
        let mut config = own(name);
        config["overlay"]["mtu"] = 1450.into();
        config
    });
    start_frr(&fabric, &NAMES, &[false, true]);
    assert_all_reach(&pods, &[false, true], 1450);
}

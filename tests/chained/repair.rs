//! `groundwork repair`, after links, addresses, routes, rules and limits were taken away.

use serde_json::{Value, json};

use crate::{
    chain::{By, Chain},
    network::{Kernel, dual, host_link_of, text, with},
    sbr::routing,
    support::{GROUNDWORK, Host, Sandbox},
};

/// Takes away by scripts what a network stands on, and has it put back.
struct Trial<'a> {
    host: &'a Host,
    web: &'a Sandbox<'a>,
}

impl Trial<'_> {
    /// What `repair` says it did, in the words of commands.
    fn repaired(&self, on_host: &str, inside: &str) -> String {
        self.host.sh(on_host);
        self.web.sh(inside);
        let output = self.host.try_sh(&format!("{GROUNDWORK} repair"));
        assert!(output.status.success(), "{output:?}");
        assert_eq!(self.host.sh(&format!("{GROUNDWORK} repair")), "nothing is missing\n", "{output:?}");
        output.stdout
    }
}

fn limits(host: &Host, link: &str, ifb: &str) -> String {
    host.sh(&format!("for link in {link} {ifb}; do tc qdisc show dev $link; done"))
}

fn everything() -> Value {
    with(
        &dual(),
        json!({
            "ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000,
            "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" }, "promisc": true, "txQLen": 77, "hairpinMode": true,
        }),
    )
}

#[test]
fn the_host_and_the_container() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = everything();
    let result = web.add(&config);
    let (link, ifb) = (host_link_of(&result), text(&result["interfaces"][3], "name"));
    let before = limits(&host, &link, &ifb);
    let (addresses, inside, routes) = (host.addresses("br0"), web.addresses("eth0"), web.routes());
    let trial = Trial { host: &host, web: &web };
    assert_eq!(trial.repaired("true", "true"), "nothing is missing\n");
    let said = trial.repaired(
        &format!(
            "ip address flush dev br0; ip link set br0 down; ip link set {link} nomaster; ip link del {ifb}
             tc qdisc del dev {link} root; sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"
        ),
        "ip address flush dev eth0; ip link set eth0 down promisc off txqueuelen 9
         sysctl -qw net.ipv4.conf.eth0.arp_filter=0",
    );
    for part in [
        "`ip addr add 10.88.0.1/24 dev br0`",
        "`ip link set br0 up`",
        "`sysctl -w net.ipv4.ip_forward=1`",
        "`sysctl -w net.ipv6.conf.all.forwarding=1`",
        "`ip netns exec SANDBOX ip addr add 10.88.0.2/24 dev eth0`",
        "`ip netns exec SANDBOX ip route add 0.0.0.0/0 via 10.88.0.1 dev eth0`",
        "`ip netns exec SANDBOX sysctl -w net.ipv4.conf.eth0.arp_filter=1`",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!((host.addresses("br0"), web.addresses("eth0"), web.routes()), (addresses, inside, routes));
    assert_eq!(limits(&host, &link, &ifb), before);
    web.check(&config, &result);
    web.ping("10.88.0.1");
    web.ping("fd00:88::1");
    trial.repaired("ip link del br0", "true");
    web.check(&config, &result);
    web.ping("10.88.0.1");
    assert_eq!(host.sh(&format!("cat /sys/class/net/{link}/brport/hairpin_mode")), "1\n");
    trial.repaired(&format!("tc qdisc del dev {link} ingress; tc qdisc add dev {link} ingress"), "true");
    web.check(&config, &result);
    web.del(&config);
    assert!(!host.links().contains(&ifb) && !host.links().contains(&link), "{:?}", host.links());
}

#[test]
fn routing_by_source() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = with(&dual(), json!({ "sbr": true }));
    let result = web.add(&config);
    let before = routing(&web);
    assert_eq!(before.0.len(), 2);
    let trial = Trial { host: &host, web: &web };
    let said = trial.repaired(
        "true",
        "ip rule del from 10.88.0.2; ip -6 rule del from fd00:88::2; ip route flush table 100; ip -6 route flush table 101",
    );
    assert!(said.contains("ip rule add from 10.88.0.2 table 100"), "{said}");
    assert_eq!(routing(&web), before);
    web.check(&config, &result);
}

/// Each plugin of a chain has a record of its own; what a later one moved is not missing to the earlier.
#[test]
fn chains() {
    let host = Host::new();
    let limits = json!({ "type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 800_000 });
    let tuning = json!({ "type": "tuning", "txQLen": 77 });
    let plugins = vec![(By::Us, limits), (By::Us, tuning), (By::Us, json!({ "type": "sbr" }))];
    let mut chain = Chain::after_bridge(&host, plugins);
    chain.plugins[0].0 = By::Us;
    let web = host.sandbox("web");
    let result = chain.add(&web);
    let before = routing(&web);
    let link = host_link_of(&result);
    let trial = Trial { host: &host, web: &web };
    assert_eq!(trial.repaired("true", "true"), "nothing is missing\n");
    let said = trial.repaired(
        &format!("tc qdisc del dev {link} root; ip address flush dev br0"),
        "ip link set eth0 txqueuelen 9; ip rule del from 10.88.0.2; ip route flush table 100",
    );
    assert!(said.contains(&format!("`tc qdisc add dev {link} root")), "{said}");
    assert_eq!(routing(&web), before);
    assert_eq!(web.link("eth0")["txqlen"], 77);
}

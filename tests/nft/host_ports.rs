//! Host ports, as packets see them.

use groundwork::nft::ruleset::{Element, Owned, Protocol};

use super::{
    masquerade,
    net::{Net, tcp, udp},
    nft, owned,
};
use crate::support::Host;

/// Host port 8080, TCP and UDP, to port 80 of sandbox `a`, of both families; masqueraded as `snat` (the default) says.
fn published(host_ip: [Option<&str>; 2], snat: bool) -> Vec<Owned> {
    let mut all = Vec::new();
    for (address, host_ip) in [("10.22.0.5/24", host_ip[0]), ("fd00:22::5/64", host_ip[1])] {
        let address: ipnet::IpNet = address.parse().unwrap();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let host_ip = host_ip.map(|ip| ip.parse().unwrap());
            all.extend(Element::host_port(host_ip, protocol, 8080, (address.addr(), 80).into()));
        }
        if snat {
            all.extend(Element::host_port_sources(address, false));
        }
    }
    owned(&all)
}

const A4: &str = "10.22.0.5:80";
const A6: &str = "[fd00:22::5]:80";

#[test]
fn they_are_reached_from_everywhere() {
    reached_from_everywhere(false);
}

/// As Docker and Kubernetes want it: br_netfilter shows bridged packets to the rules too.
#[test]
fn they_are_reached_from_everywhere_with_bridge_nf() {
    reached_from_everywhere(true);
}

fn reached_from_everywhere(bridge_nf: bool) {
    let host = Host::new();
    let net = Net::new(&host);
    net.bridge_nf(&host, bridge_nf);
    host.sh("sysctl -qw net.ipv4.conf.br0.route_localnet=1; ip netns exec world ip route add default via 192.0.2.1
             ip netns exec world ip route add default via 2001:db8::1");
    assert_eq!(tcp(&net.a, A4, &net.world, "192.0.2.1:8080"), None);
    host.inside(|| nft().add(&published([None, None], true)).unwrap());
    let seen = |found: Option<String>, by: &str| assert_eq!(found.as_deref(), Some(by));
    // From outside, with the address of who asks.
    seen(tcp(&net.a, A4, &net.world, "192.0.2.1:8080"), "192.0.2.2");
    seen(udp(&net.a, A4, &net.world, "192.0.2.1:8080"), "192.0.2.2");
    seen(tcp(&net.a, A6, &net.world, "[2001:db8::1]:8080"), "2001:db8::2");
    seen(udp(&net.a, A6, &net.world, "[2001:db8::1]:8080"), "2001:db8::2");
    // From the host, by its own addresses and by loopback. ::1 cannot work: IPv6 has no route_localnet.
    seen(tcp(&net.a, A4, &host, "192.0.2.1:8080"), "192.0.2.1");
    seen(tcp(&net.a, A4, &host, "127.0.0.1:8080"), "10.22.0.1");
    seen(udp(&net.a, A4, &host, "127.0.0.1:8080"), "10.22.0.1");
    seen(tcp(&net.a, A6, &host, "[2001:db8::1]:8080"), "2001:db8::1");
    assert_eq!(tcp(&net.a, A6, &host, "[::1]:8080"), None);
    // From the container itself, its neighbour, and a container of another network.
    for to in ["192.0.2.1:8080", "10.22.0.1:8080"] {
        seen(tcp(&net.a, A4, &net.a, to), "10.22.0.1");
        seen(tcp(&net.a, A4, &net.b, to), "10.22.0.1");
        seen(udp(&net.a, A4, &net.b, to), "10.22.0.1");
    }
    seen(tcp(&net.a, A6, &net.b, "[2001:db8::1]:8080"), "fd00:22::1");
    seen(tcp(&net.a, A4, &net.c, "192.0.2.1:8080"), "10.23.0.5");
    // Other ports, and what only passes through the host, are left alone.
    assert_eq!(tcp(&net.a, A4, &net.world, "192.0.2.1:8081"), None);
    seen(tcp(&net.world, "192.0.2.2:8080", &net.a, "192.0.2.2:8080"), "10.22.0.5");
    host.inside(|| nft().delete(&published([None, None], true)).unwrap());
    assert_eq!(tcp(&net.a, A4, &net.world, "192.0.2.1:8080"), None);
}

#[test]
fn one_address_of_the_host_goes_before_all() {
    let host = Host::new();
    let net = Net::new(&host);
    host.sh("ip address add 192.0.2.3/24 dev up0; ip address add 2001:db8::3/64 dev up0 nodad
             ip netns exec world ip route add default via 192.0.2.1; ip netns exec world ip route add default via 2001:db8::1");
    host.inside(|| nft().add(&published([Some("192.0.2.3"), Some("2001:db8::3")], true)).unwrap());
    for protocol in [tcp, udp] {
        assert_eq!(protocol(&net.a, A4, &net.world, "192.0.2.1:8080"), None);
        assert!(protocol(&net.a, A4, &net.world, "192.0.2.3:8080").is_some());
    }
    assert_eq!(tcp(&net.a, A6, &net.world, "[2001:db8::1]:8080"), None);
    assert!(tcp(&net.a, A6, &net.world, "[2001:db8::3]:8080").is_some());
    let all = Element::host_port(None, Protocol::Tcp, 8080, "10.22.0.6:80".parse().unwrap()).unwrap();
    host.inside(|| nft().add(&owned(&[all])).unwrap());
    assert!(tcp(&net.a, A4, &net.world, "192.0.2.3:8080").is_some());
    assert!(tcp(&net.b, "10.22.0.6:80", &net.world, "192.0.2.1:8080").is_some());
}

#[test]
fn sources_are_masqueraded_only_as_asked() {
    let host = Host::new();
    let net = Net::new(&host);
    net.bridge_nf(&host, false);
    host.sh("ip netns exec world ip route add default via 192.0.2.1");
    host.inside(|| {
        nft().add(&published([None, None], false)).unwrap();
        nft().add(&masquerade("10.22.0.6/24", "net/b/eth0")).unwrap();
    });
    assert_eq!(tcp(&net.a, A4, &net.b, "192.0.2.1:8080"), None, "the answer takes the short way, which b expects not");
    assert_eq!(tcp(&net.a, A4, &net.world, "192.0.2.1:8080").as_deref(), Some("192.0.2.2"));
    let everybody = owned(&Element::host_port_sources("10.22.0.5/24".parse().unwrap(), true));
    host.inside(|| nft().add(&everybody).unwrap());
    assert_eq!(tcp(&net.a, A4, &net.b, "192.0.2.1:8080").as_deref(), Some("10.22.0.1"));
    assert_eq!(tcp(&net.a, A4, &net.world, "192.0.2.1:8080").as_deref(), Some("10.22.0.1"));
}

#[test]
fn a_container_does_not_reach_what_listens_on_loopback() {
    let host = Host::new();
    let net = Net::new(&host);
    host.sh("sysctl -qw net.ipv4.conf.br0.route_localnet=1");
    // A container that owns its namespace can send to 127.0.0.1 of its gateway.
    host.sh("ip netns exec a sh -c '
             sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1
             ip address del 127.0.0.1/8 dev lo; ip route flush table local 127.0.0.0/8
             ip route add 127.0.0.1/32 via 10.22.0.1 src 10.22.0.5'");
    let reaches = || udp(&host, "127.0.0.1:9999", &net.a, "127.0.0.1:9999");
    assert_eq!(reaches().as_deref(), Some("10.22.0.5"), "route_localnet alone lets it: the test can fail");
    host.inside(|| nft().add(&published([None, None], true)).unwrap());
    assert_eq!(reaches(), None);
}

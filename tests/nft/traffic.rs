//! What packets see: a host with two sandboxes on a bridge, and an uplink that knows no way back to them.

use std::{net::UdpSocket, time::Duration};

use super::{masquerade, nft};
use crate::support::{Host, Sandbox, sh};

/// A host with sandboxes `a` and `b` on br0 (10.22.0.0/24, fd00:22::/64), `c` on br1 (10.23.0.0/24), and `world`
/// (192.0.2.2, 2001:db8::2), which answers only the host's own addresses.
pub(crate) struct Net<'a> {
    pub(crate) a: Sandbox<'a>,
    pub(crate) b: Sandbox<'a>,
    pub(crate) c: Sandbox<'a>,
    pub(crate) world: Sandbox<'a>,
}

impl<'a> Net<'a> {
    pub(crate) fn new(host: &'a Host) -> Self {
        let [a, b, c, world] = ["a", "b", "c", "world"].map(|name| host.sandbox(name));
        host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0");
        for (bridge, number) in [("br0", 22), ("br1", 23)] {
            host.sh(&format!(
                "ip link add {bridge} type bridge forward_delay 0; ip link set {bridge} up
                 ip address add 10.{number}.0.1/24 dev {bridge}; ip address add fd00:{number}::1/64 dev {bridge} nodad"
            ));
        }
        let plug = |name: &str, bridge: &str, number: u8, last: u8| {
            host.sh(&format!(
                "ip link add v{name} type veth peer name eth0 netns {name}; ip link set v{name} master {bridge} up"
            ));
            host.sh(&format!(
                "ip netns exec {name} sh -c '
                 ip link set lo up; ip link set eth0 up; ip address add 10.{number}.0.{last}/24 dev eth0
                 ip address add fd00:{number}::{last}/64 dev eth0 nodad
                 ip route add default via 10.{number}.0.1; ip route add default via fd00:{number}::1'"
            ));
        };
        plug("a", "br0", 22, 5);
        plug("b", "br0", 22, 6);
        plug("c", "br1", 23, 5);
        host.sh("ip link add up0 type veth peer name eth0 netns world; ip link set up0 up
                 ip address add 192.0.2.1/24 dev up0; ip address add 2001:db8::1/64 dev up0 nodad
                 ip netns exec world sh -c '
                 ip link set lo up; ip link set eth0 up; ip address add 192.0.2.2/24 dev eth0
                 ip address add 2001:db8::2/64 dev eth0 nodad'");
        Self { a, b, c, world }
    }

    /// The address from which `sandbox` sees a UDP datagram of `from` come.
    pub(crate) fn seen_by(&self, sandbox: &Sandbox<'_>, from: &Sandbox<'_>, to: &str) -> String {
        let listener = sandbox.inside(|| UdpSocket::bind((to, 5000)).unwrap());
        listener.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        from.inside(|| {
            let any = if to.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
            UdpSocket::bind(any).unwrap().send_to(b"hello", (to, 5000)).unwrap();
        });
        let (_, peer) = listener.recv_from(&mut [0; 16]).unwrap();
        peer.ip().to_string()
    }
}

#[test]
fn only_masqueraded_addresses_reach_the_world() {
    let host = Host::new();
    let net = Net::new(&host);
    assert!(!net.a.pings("192.0.2.2") && !net.a.pings("2001:db8::2"), "the world knows no way back");
    let [v4, v6] = [masquerade("10.22.0.5/24", "net/a/eth0"), masquerade("fd00:22::5/64", "net/a/eth0")];
    host.inside(|| nft().add(&v4).unwrap());
    net.a.ping("192.0.2.2");
    assert!(!net.a.pings("2001:db8::2"), "each family is masqueraded for itself");
    host.inside(|| nft().add(&v6).unwrap());
    net.a.ping("2001:db8::2");
    assert!(!net.b.pings("192.0.2.2") && !net.b.pings("2001:db8::2"), "b is not masqueraded");
    host.inside(|| nft().delete(&[v4, v6].concat()).unwrap());
    assert!(!net.a.pings("192.0.2.2") && !net.a.pings("2001:db8::2"));
}

#[test]
fn a_container_keeps_its_address_inside_its_network() {
    let host = Host::new();
    let net = Net::new(&host);
    // Frames between ports of a bridge pass the rules only with br_netfilter; a route past it does always.
    host.sh("ip netns exec a ip route add 10.22.0.6/32 via 10.22.0.1; ip netns exec a ip route add fd00:22::6/128 via fd00:22::1
             sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.br0.send_redirects=0
             echo 1 > /sys/class/net/vb/brport/hairpin_mode");
    let elements = [masquerade("10.22.0.5/24", "net/a/eth0"), masquerade("fd00:22::5/64", "net/a/eth0")].concat();
    host.inside(|| nft().add(&elements).unwrap());
    assert_eq!(net.seen_by(&net.b, &net.a, "10.22.0.6"), "10.22.0.5");
    assert_eq!(net.seen_by(&net.b, &net.a, "fd00:22::6"), "fd00:22::5");
    assert_eq!(net.seen_by(&net.c, &net.a, "10.23.0.5"), "10.23.0.1", "another network is elsewhere");
    assert_eq!(net.seen_by(&net.c, &net.a, "fd00:23::5"), "fd00:23::1");
    assert_eq!(net.seen_by(&net.world, &net.a, "192.0.2.2"), "192.0.2.1");
    // Without the elements of its own network it would be masqueraded there too: the test can fail.
    host.inside(|| nft().delete(&elements[..1]).unwrap());
    assert_eq!(net.seen_by(&net.b, &net.a, "10.22.0.6"), "10.22.0.1");
}

#[test]
fn what_goes_to_many_receivers_keeps_its_address() {
    let host = Host::new();
    let net = Net::new(&host);
    // Forwarding these takes a multicast router; what the host itself sends passes the same rules.
    let (v4, v6) = (masquerade("10.22.9.9/24", "net/host/up0"), masquerade("fd00:22::1/64", "net/host/br0"));
    host.inside(|| nft().add(&[v4, v6].concat()).unwrap());
    host.sh("ip address add 10.22.9.9/32 dev up0; ip route add 239.1.2.3/32 dev up0");
    net.world.inside(|| {
        sh("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0");
    });
    let index = |link: &str| std::fs::read_to_string(format!("/sys/class/net/{link}/ifindex")).unwrap();
    let listen = |any: &str| {
        let listener = net.world.inside(|| {
            let socket = UdpSocket::bind((any, 5000)).unwrap();
            let eth0 = sh("ip -o link show eth0").split(':').next().unwrap().parse().unwrap();
            match any {
                "0.0.0.0" => socket.join_multicast_v4(&[239, 1, 2, 3].into(), &[192, 0, 2, 2].into()).unwrap(),
                _ => socket.join_multicast_v6(&"ff02::123".parse().unwrap(), eth0).unwrap(),
            }
            socket
        });
        listener.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        listener
    };
    let send = |from: &str, to: &str| {
        host.inside(|| {
            let to = to.replace("up0", index("up0").trim());
            UdpSocket::bind((from, 0)).unwrap().send_to(b"hello", to).unwrap()
        });
    };
    for (any, from, many, one, outside) in [
        ("0.0.0.0", "10.22.9.9", "239.1.2.3:5000", "192.0.2.2:5000", "192.0.2.1"),
        ("::", "fd00:22::1", "[ff02::123%up0]:5000", "[2001:db8::2]:5000", "2001:db8::1"),
    ] {
        let listener = listen(any);
        let seen = |to: &str| {
            send(from, to);
            listener.recv_from(&mut [0; 16]).unwrap_or_else(|error| panic!("{to}: {error}")).1.ip().to_string()
        };
        assert_eq!(seen(many), from);
        assert_eq!(seen(one), outside, "the test can fail: this is masqueraded");
    }
}

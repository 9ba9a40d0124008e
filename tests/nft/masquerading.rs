//! Masquerading, as packets see it.

use std::{net::UdpSocket, time::Duration};

use super::{
    masquerade,
    net::{Net, udp},
    nft,
};
use crate::support::{Host, sh};

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
    let seen = |server, address: &str| udp(server, &format!("{address}:5000"), &net.a, &format!("{address}:5000"));
    assert_eq!(seen(&net.b, "10.22.0.6").as_deref(), Some("10.22.0.5"));
    assert_eq!(seen(&net.b, "[fd00:22::6]").as_deref(), Some("fd00:22::5"));
    assert_eq!(seen(&net.c, "10.23.0.5").as_deref(), Some("10.23.0.1"), "another network is elsewhere");
    assert_eq!(seen(&net.c, "[fd00:23::5]").as_deref(), Some("fd00:23::1"));
    assert_eq!(seen(&net.world, "192.0.2.2").as_deref(), Some("192.0.2.1"));
    // Without the elements of its own network it would be masqueraded there too: the test can fail.
    host.inside(|| nft().delete(&elements[..1]).unwrap());
    assert_eq!(seen(&net.b, "10.22.0.6").as_deref(), Some("10.22.0.1"));
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

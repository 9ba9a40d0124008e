//! Flows of UDP, which outlive what they lead to.

use std::{io::ErrorKind, net::UdpSocket, time::Duration};

use serde_json::json;

use crate::{
    node::{address, mapping, network, publishing, world},
    support::{Host, Sandbox},
};

/// A busy machine may need it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A socket in a sandbox.
fn socket(place: &Sandbox<'_>, bind: &str) -> UdpSocket {
    let socket = place.inside(|| UdpSocket::bind(bind)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Gives a host this many addresses more of IPv4, and as many of IPv6.
fn more_addresses(host: &Host, count: u32) {
    host.sh(&format!(
        "ip link add more type bridge
         for n in $(seq {count}); do
             echo address add 198.18.0.$n/32 dev more; echo address add 2001:db8:1::$n/128 dev more
         done | ip -batch -"
    ));
}

/// Whether what `client` sends arrives at `server`.
fn arrives(client: &UdpSocket, server: &UdpSocket) -> bool {
    client.send(b"question").is_ok() && server.recv_from(&mut [0; 16]).is_ok()
}

#[test]
fn one_flow_follows_the_port_from_container_to_container() {
    let (v4, v6) = ((false, "0.0.0.0:5353", "192.0.2.1:53"), (true, "[::]:5353", "[2001:db8::1]:53"));
    // With many addresses flows are listed and ended one by one, else the kernel ends them by a filter.
    for ((ipv6, listen, to), more) in [(v4, 0), (v6, 0), (v4, 60), (v6, 60)] {
        let host = Host::new();
        more_addresses(&host, more);
        let (world, old, new) = (world(&host), host.sandbox("old"), host.sandbox("new"));
        let config = publishing(&network("a"), json!([mapping(53, 5353, "udp")]));
        let client = socket(&world, if ipv6 { "[::]:4000" } else { "0.0.0.0:4000" });
        // Its flow is there before any container: it goes to the host itself.
        host.sandbox("other").add(&network("a"));
        client.connect(to).unwrap();
        client.send(b"nobody").unwrap();
        let refused = client.recv(&mut [0; 16]).map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused), "nobody is there");
        let result = old.add(&config);
        let at_old = socket(&old, listen);
        assert!(arrives(&client, &at_old), "the flow began before the port led anywhere");
        assert!(arrives(&client, &at_old));
        let listed = || {
            host.sh("conntrack -L -p udp --orig-port-dst 53 2>/dev/null; conntrack -L -f ipv6 -p udp --orig-port-dst 53 2>/dev/null")
        };
        assert!(listed().contains(&address(&result, ipv6)), "{}", listed());
        old.del(&config);
        assert!(!listed().contains(&address(&result, ipv6)), "DEL ends it: {}", listed());
        new.add(&config);
        let at_new = socket(&new, listen);
        assert!(arrives(&client, &at_new));
    }
}

#[test]
fn flows_of_others_are_left_alone() {
    for more in [0, 60] {
        others_are_left_alone(more);
    }
}

fn others_are_left_alone(more: u32) {
    let host = Host::new();
    more_addresses(&host, more);
    let (world, web, other) = (world(&host), host.sandbox("web"), host.sandbox("other"));
    let result = other.add(&network("a"));
    world.sh(&format!("ip -6 route add {}/128 via 2001:db8::1", address(&result, true)));
    let config = publishing(&network("a"), json!([mapping(53, 5353, "udp")]));
    let pairs = ["192.0.2.2:53", "[2001:db8::2]:53"].map(|to| {
        let bind = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let (client, server) = (socket(&other, bind), socket(&world, to));
        client.connect(to).unwrap();
        // The first may be lost while neighbours are still looked for.
        assert!((0..5).any(|_| arrives(&client, &server)), "{to}");
        (client, server)
    });
    // By their numbers, which a flow that begins anew has not.
    let listed = || {
        host.sh("for family in ipv4 ipv6; do conntrack -L -o id -f $family -p udp --orig-port-dst 53 2>/dev/null; done")
    };
    let ids = || {
        let mut ids: Vec<_> =
            listed().split_whitespace().filter(|word| word.starts_with("id=")).map(str::to_owned).collect();
        ids.sort();
        ids
    };
    let before = ids();
    assert_eq!(before.len(), pairs.len(), "{}", listed());
    web.add(&config);
    web.del(&config);
    assert_eq!(ids(), before, "they go to port 53 of another host");
}

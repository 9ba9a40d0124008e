//! Flows of UDP, which outlive what they lead to.

use std::{net::UdpSocket, time::Duration};

use serde_json::json;

use crate::{
    node::{address, mapping, network, publishing, world},
    support::{Host, Sandbox},
};

const PATIENCE: Duration = Duration::from_millis(1000);

/// A socket in a sandbox.
fn socket(place: &Sandbox<'_>, bind: &str) -> UdpSocket {
    let socket = place.inside(|| UdpSocket::bind(bind)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Whether what `client` sends arrives at `server`.
fn arrives(client: &UdpSocket, server: &UdpSocket) -> bool {
    client.send(b"question").is_ok() && server.recv_from(&mut [0; 16]).is_ok()
}

#[test]
fn one_flow_follows_the_port_from_container_to_container() {
    for (ipv6, listen, to) in [(false, "0.0.0.0:5353", "192.0.2.1:53"), (true, "[::]:5353", "[2001:db8::1]:53")] {
        let host = Host::new();
        let (world, old, new) = (world(&host), host.sandbox("old"), host.sandbox("new"));
        let config = publishing(&network("a"), json!([mapping(53, 5353, "udp")]));
        let client = socket(&world, if ipv6 { "[::]:4000" } else { "0.0.0.0:4000" });
        // Its flow is there before any container: it goes to the host itself.
        host.sandbox("other").add(&network("a"));
        client.connect(to).unwrap();
        let _ = client.send(b"nobody");
        let result = old.add(&config);
        let at_old = socket(&old, listen);
        // What was refused comes back as an error of the next call.
        let _ = client.take_error();
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
    let host = Host::new();
    let (world, web, other) = (world(&host), host.sandbox("web"), host.sandbox("other"));
    other.add(&network("a"));
    let (client, server) = (socket(&other, "0.0.0.0:0"), socket(&world, "192.0.2.2:53"));
    client.connect("192.0.2.2:53").unwrap();
    assert!(arrives(&client, &server));
    let listed = || host.sh("conntrack -L -p udp --orig-port-dst 53 --orig-dst 192.0.2.2 2>/dev/null");
    assert!(listed().contains("192.0.2.2"));
    let config = publishing(&network("a"), json!([mapping(53, 5353, "udp")]));
    web.add(&config);
    web.del(&config);
    assert!(listed().contains("192.0.2.2"), "it goes to port 53 of another host");
}

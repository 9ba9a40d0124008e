//! What packets see: containers, their gateway, and a world that knows no way back to them.

use std::{net::UdpSocket, time::Duration};

use serde_json::json;

use crate::{
    network::{Kernel, dual, with},
    support::{Host, Sandbox},
};

/// The host's neighbour 192.0.2.2 and 2001:db8::2, which answers only the host's own addresses.
fn world(host: &Host) -> Sandbox<'_> {
    let world = host.sandbox("world");
    host.sh("ip link add up0 type veth peer name eth0 netns world; ip link set up0 up
             ip address add 192.0.2.1/24 dev up0; ip address add 2001:db8::1/64 dev up0 nodad");
    world.sh("ip link set lo up; ip link set eth0 up; ip address add 192.0.2.2/24 dev eth0
              ip address add 2001:db8::2/64 dev eth0 nodad");
    world
}

/// The address from which `sandbox` sees a datagram of `from` come.
fn seen_by(sandbox: &Sandbox<'_>, from: &Sandbox<'_>, to: &str) -> String {
    let listener = sandbox.inside(|| UdpSocket::bind((to, 5000)).unwrap());
    listener.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let any = if to.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
    from.inside(|| UdpSocket::bind(any).unwrap().send_to(b"hello", (to, 5000)).unwrap());
    let (_, peer) = listener.recv_from(&mut [0; 16]).unwrap_or_else(|error| panic!("{to}: {error}"));
    peer.ip().to_string()
}

#[test]
fn out_by_masquerade_only() {
    let host = Host::new();
    let world = world(&host);
    let (web, plain) = (host.sandbox("web"), host.sandbox("plain"));
    web.add(&dual());
    plain.add(&with(&dual(), json!({ "ipMasq": null })));
    for address in ["192.0.2.2", "2001:db8::2"] {
        web.ping(address);
        assert!(!plain.pings(address), "the world knows no way back to plain");
    }
    assert_eq!(seen_by(&world, &web, "192.0.2.2"), "192.0.2.1");
    assert_eq!(seen_by(&world, &web, "2001:db8::2"), "2001:db8::1");
    web.del(&dual());
    host.sh("ip netns del web");
    // Its successor at the same address has none of its rules.
    let heir = host.sandbox("heir");
    let addresses = json!({ "ips": ["10.88.0.2", "fd00:88::2"] });
    let result = heir.add(&with(&dual(), json!({ "ipMasq": null, "runtimeConfig": addresses })));
    assert_eq!(result["ips"][0]["address"], "10.88.0.2/24");
    assert!(!heir.pings("192.0.2.2") && !heir.pings("2001:db8::2"));
}

#[test]
fn between_containers_addresses_are_kept() {
    let host = Host::new();
    let [web, client, other] = ["web", "client", "other"].map(|name| host.sandbox(name));
    web.add(&dual());
    client.add(&dual());
    let ranges = json!([[{ "subnet": "10.89.0.0/24" }], [{ "subnet": "fd00:89::/64" }]]);
    other.add(&with(&dual(), json!({ "name": "net2", "bridge": "br1", "ipam": { "ranges": ranges } })));
    assert_eq!(seen_by(&web, &client, "10.88.0.2"), "10.88.0.3");
    assert_eq!(seen_by(&web, &client, "fd00:88::2"), "fd00:88::3");
    // Another network is elsewhere, as for the reference plugins.
    assert_eq!(seen_by(&other, &client, "10.89.0.2"), "10.89.0.1");
    assert_eq!(seen_by(&other, &client, "fd00:89::2"), "fd00:89::1");
    for gateway in ["10.88.0.1", "fd00:88::1", "10.89.0.1", "fd00:89::1"] {
        web.ping(gateway);
    }
    assert_eq!(host.links().iter().filter(|name| name.starts_with("veth")).count(), 3);
}

/// A host that forwards drops the default route that it learned from a router, unless told otherwise.
#[test]
fn the_hosts_own_way_out_survives() {
    let host = Host::new();
    host.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up
             ip -6 route add default via fe80::1 dev up0 proto ra expires 600");
    assert_eq!(host.sysctl("ipv6/conf/up0/accept_ra"), "1");
    host.sandbox("web").add(&dual());
    assert_eq!(host.sysctl("ipv6/conf/all/forwarding"), "1");
    assert_eq!(host.sysctl("ipv6/conf/up0/accept_ra"), "2");
    assert!(host.sh("ip -6 route show default").contains("via fe80::1 dev up0"));
}

//! Something for packets to cross: a host with bridges, sandboxes and an uplink that knows no way back to them.

use std::{
    net::{TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use crate::support::{Host, Sandbox, eventually};

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

    /// Whether bridged packets pass the rules, and, as they then need it, may leave by the port they came in.
    pub(crate) fn bridge_nf(&self, host: &Host, on: bool) {
        let on = u8::from(on);
        host.sh(&format!(
            "cd /proc/sys/net/bridge && echo {on} > bridge-nf-call-iptables && echo {on} > bridge-nf-call-ip6tables
             for port in va vb vc; do echo {on} > /sys/class/net/$port/brport/hairpin_mode; done"
        ));
    }
}

/// Where a program can run.
pub(crate) trait Place {
    fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T;
}

impl Place for Host {
    fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        self.inside(body)
    }
}

impl Place for Sandbox<'_> {
    fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        self.inside(body)
    }
}

/// How long an answer may take, and so how long it takes to know that there is none.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A socket whose address may still be held for a moment by a process that another test is about to start.
fn bound<T>(bind: impl Fn() -> std::io::Result<T>) -> T {
    let mut socket = bind();
    eventually(PATIENCE, || {
        if socket.is_err() {
            socket = bind();
        }
        socket.is_ok()
    });
    socket.unwrap()
}

/// Whom the server in `place`, at `listen`, sees when `client` asks `to` and is answered; None if nothing comes of it.
pub(crate) fn tcp(place: &impl Place, listen: &str, client: &impl Place, to: &str) -> Option<String> {
    let listener = place.run(|| bound(|| TcpListener::bind(listen)));
    listener.set_nonblocking(true).unwrap();
    let _connection = client.run(|| TcpStream::connect_timeout(&to.parse().unwrap(), PATIENCE)).ok()?;
    let mut peer = None;
    eventually(PATIENCE, || {
        peer = listener.accept().ok();
        peer.is_some()
    });
    peer.map(|(_, peer)| peer.ip().to_string())
}

/// As [`tcp`], by UDP.
pub(crate) fn udp(place: &impl Place, listen: &str, client: &impl Place, to: &str) -> Option<String> {
    let server = place.run(|| bound(|| UdpSocket::bind(listen)));
    server.set_read_timeout(Some(PATIENCE / 5)).unwrap();
    let client = client.run(|| {
        let socket = UdpSocket::bind(if to.contains('[') { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
        socket.connect(to).map(|()| socket)
    });
    let client = client.ok()?;
    // A datagram may be lost for reasons that are not ours.
    let (_, peer) = (0..5).find_map(|_| {
        client.send(b"question").ok()?;
        server.recv_from(&mut [0; 16]).ok()
    })?;
    server.send_to(b"answer", peer).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.recv(&mut [0; 16]).ok()?;
    Some(peer.ip().to_string())
}

//! Whether packets arrive, and from whom: what rules do, not how they are written.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use crate::support::{Host, eventually};

/// A second packet goes out after one second.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Where a connection comes from or goes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Host,
    /// A container, or `out`, which knows nothing of containers.
    In(&'static str),
}

#[derive(Clone)]
pub(crate) enum Probe {
    Ping {
        from: Place,
        to: &'static str,
    },
    /// A connection to `to`, while `server` listens on `port`.
    Tcp {
        from: Place,
        to: &'static str,
        server: Place,
        port: u16,
    },
    Udp {
        from: Place,
        to: &'static str,
        server: Place,
        port: u16,
    },
}

/// Beyond the host: `out` at 192.0.2.2 and 2001:db8::2, which routes nothing to containers.
pub(crate) const OUTSIDE: &str = "
    ip netns add out
    ip link add up0 type veth peer name eth0 netns out; ip link set up0 up
    ip address add 192.0.2.1/24 dev up0; ip address add 192.0.2.3/24 dev up0
    ip address add 2001:db8::1/64 dev up0 nodad
    ip netns exec out sh -c 'ip link set lo up; ip link set eth0 up
        ip address add 192.0.2.2/24 dev eth0; ip address add 2001:db8::2/64 dev eth0 nodad'";

/// The route that lets `out` reach containers without any help.
pub(crate) const ROUTED: &str = "
    ip netns exec out ip route add 10.88.0.0/16 via 192.0.2.1
    ip netns exec out ip route add fd00:88::/64 via 2001:db8::1";

impl Place {
    fn inside<T: Send>(self, host: &Host, body: impl FnOnce() -> T + Send) -> T {
        match self {
            Self::Host => host.inside(body),
            Self::In(name) => host.named(name).inside(body),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Host => "the host",
            Self::In(name) => name,
        }
    }
}

impl Probe {
    /// What came of it, as a line.
    pub(crate) fn attempt(&self, host: &Host) -> String {
        match self {
            Self::Ping { from, to } => {
                let script = format!("ping -n -c 2 -i 0.2 -W 1 {to}");
                let status = match from {
                    Place::Host => host.try_sh(&script).status,
                    Place::In(name) => host.named(name).try_sh(&script).status,
                };
                format!("{} pings {to}: {}", from.name(), if status.success() { "answers" } else { "nothing" })
            }
            Self::Tcp { from, to, server, port } => {
                let listener = bound(|| server.inside(host, || TcpListener::bind(("::", *port))));
                let found = tcp(host, *from, to.parse().unwrap(), &listener);
                format!("{} to tcp {to}: {found}", from.name())
            }
            Self::Udp { from, to, server, port } => {
                let socket = bound(|| server.inside(host, || UdpSocket::bind(("::", *port))));
                let found = udp(host, *from, to.parse().unwrap(), &socket);
                format!("{} to udp {to}: {found}", from.name())
            }
        }
    }
}

/// A process that another trial starts at this moment may still hold the socket of the probe before.
fn bound<T>(bind: impl Fn() -> std::io::Result<T>) -> T {
    let mut socket = bind();
    eventually(PATIENCE, || {
        let in_use = socket.as_ref().is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
        if in_use {
            socket = bind();
        }
        !in_use
    });
    socket.unwrap()
}

fn tcp(host: &Host, from: Place, to: SocketAddr, listener: &TcpListener) -> String {
    match from.inside(host, || TcpStream::connect_timeout(&to, PATIENCE)) {
        Ok(_connected) => {
            listener.set_nonblocking(true).unwrap();
            let mut client = None;
            eventually(PATIENCE, || {
                client = listener.accept().ok().map(|(_, client)| client.ip());
                client.is_some()
            });
            client.map_or("somebody else answers".into(), seen)
        }
        Err(error) => failure(&error),
    }
}

fn udp(host: &Host, from: Place, to: SocketAddr, server: &UdpSocket) -> String {
    let unspecified: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let client = from.inside(host, || UdpSocket::bind((unspecified, 0))).unwrap();
    for socket in [&client, server] {
        socket.set_read_timeout(Some(PATIENCE / 3)).unwrap();
    }
    let mut failed = None;
    for _ in 0..3 {
        if let Err(error) = client.connect(to).and_then(|()| client.send(b"question")) {
            failed = Some(error);
            continue;
        }
        if let Ok((_, from)) = server.recv_from(&mut [0; 16]) {
            server.send_to(b"answer", from).unwrap();
            let back = if client.recv(&mut [0; 16]).is_ok() { "" } else { ", and no answer comes back" };
            return seen(from.ip()) + back;
        }
    }
    failed.map_or("nothing".into(), |error| failure(&error))
}

fn seen(client: IpAddr) -> String {
    format!("comes from {}", client.to_canonical())
}

fn failure(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "nothing".into(),
        kind => format!("{kind}"),
    }
}

//! Host ports of SCTP, by raw sockets: they need no SCTP of the kernel's own, which few kernels have built in.

use std::{
    net::{IpAddr, UdpSocket},
    time::{Duration, Instant},
};

use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    net::Place,
    node::{mapping, network, publishing, world},
    support::Host,
};

/// `IPPROTO_SCTP`.
const SCTP: i32 = 132;
const PATIENCE: Duration = Duration::from_millis(1500);

/// Ports of the common header.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ports {
    from: u16,
    to: u16,
}

/// The first messages of an association (RFC 9260, 3.3.2 and 3.3.3).
#[derive(Clone, Copy)]
enum Chunk {
    Init = 1,
    InitAck = 2,
}

/// What the client draws, by which the answer is known.
const TAG: [u8; 4] = [7, 7, 7, 7];

fn packet(ports: Ports, chunk: Chunk) -> Vec<u8> {
    let verification = if matches!(chunk, Chunk::Init) { [0; 4] } else { TAG };
    let mut bytes = [ports.from.to_be_bytes(), ports.to.to_be_bytes()].concat();
    bytes.extend(verification);
    bytes.extend([0; 4]); // the checksum's place
    bytes.extend([chunk as u8, 0, 0, 20]);
    bytes.extend(TAG);
    bytes.extend([0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]); // window, streams, first number
    let sum = checksum(&bytes);
    bytes[8..12].copy_from_slice(&sum);
    bytes
}

/// CRC32c, least significant byte first (RFC 9260, appendix A).
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    });
    (!crc).to_le_bytes()
}

/// Reads a packet of that kind; None for another, or one whose checksum is wrong.
fn parse(bytes: &[u8], chunk: Chunk) -> Option<Ports> {
    let mut blank = bytes.to_vec();
    blank.get_mut(8..12)?.fill(0);
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let fits = bytes.get(12) == Some(&(chunk as u8)) && checksum(&blank) == bytes[8..12];
    fits.then(|| Ports { from: port(0), to: port(2) })
}

/// A raw socket, which std reads and writes as it does one of UDP.
fn socket(place: &impl Place, ipv6: bool) -> UdpSocket {
    let domain = if ipv6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket: UdpSocket = place.run(|| Socket::new(domain, Type::RAW, Some(Protocol::from(SCTP)))).unwrap().into();
    socket.set_read_timeout(Some(PATIENCE / 5)).unwrap();
    socket
}

fn send(socket: &UdpSocket, to: IpAddr, ports: Ports, chunk: Chunk) {
    socket.send_to(&packet(ports, chunk), (to, 0)).unwrap();
}

/// The next packet of that kind, and from where it comes; None if there is none for a while.
fn receive(socket: &UdpSocket, chunk: Chunk) -> Option<(IpAddr, Ports)> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let mut bytes = [0; 256];
        let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
        // With IPv4 the IP header comes along.
        let start = if from.is_ipv6() { 0 } else { usize::from(bytes[0] & 0xf) * 4 };
        if let Some(ports) = parse(&bytes[start..length], chunk) {
            return Some((from.ip(), ports));
        }
    }
    None
}

/// Whom the container sees when `client` asks port 9000 of `to`, and is answered as if by that.
fn associate(web: &impl Place, client: &impl Place, to: &str) -> Option<String> {
    let to: IpAddr = to.parse().unwrap();
    let [server, client] = [socket(web, to.is_ipv6()), socket(client, to.is_ipv6())];
    let asked = Ports { from: 4000, to: 9000 };
    send(&client, to, asked, Chunk::Init);
    let (peer, came) = receive(&server, Chunk::Init)?;
    assert_eq!(came.to, 90);
    send(&server, peer, Ports { from: 90, to: came.from }, Chunk::InitAck);
    let answer = receive(&client, Chunk::InitAck);
    assert_eq!(answer, Some((to, Ports { from: asked.to, to: asked.from })), "the answer to {to}");
    Some(peer.to_string())
}

#[test]
fn associations_go_through_host_ports() {
    let host = Host::new();
    let (world, web, neighbour) = (world(&host), host.sandbox("web"), host.sandbox("neighbour"));
    neighbour.add(&network("a"));
    let config = publishing(&network("a"), json!([mapping(9000, 90, "SCTP")]));
    let result = web.add(&config);
    web.check(&config, &result);
    for (client, to, by) in [
        (&world, "192.0.2.1", "192.0.2.2"),
        (&world, "2001:db8::1", "2001:db8::2"),
        (&neighbour, "192.0.2.1", "10.44.0.1"),
    ] {
        assert_eq!(associate(&web, client, to).as_deref(), Some(by), "{to}");
    }
    assert_eq!(associate(&web, &host, "127.0.0.1").as_deref(), Some("10.44.0.1"));
    web.del(&config);
    assert_eq!(associate(&web, &world, "192.0.2.3"), None);
}

//! What comes from who is no peer never reaches a container.

use std::{
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use crate::{
    fabric::{Fabric, Pod},
    support::Host,
};

/// An encapsulated frame: for a vxlan device of this hardware address, from one container to port 7777 of another.
pub(crate) fn frame(vni: u32, mac: [u8; 6], from: IpAddr, to: IpAddr) -> Vec<u8> {
    let packet = packet(from, to, b"let me in!");
    let ethertype: u16 = if to.is_ipv6() { 0x86dd } else { 0x0800 };
    let mut bytes = vec![8, 0, 0, 0];
    bytes.extend(&vni.to_be_bytes()[1..]);
    bytes.push(0);
    bytes.extend(mac);
    bytes.extend([2, 0, 0, 0, 0, 0x66]);
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(packet);
    bytes
}

/// A datagram with its headers; `text` has an even length.
fn packet(from: IpAddr, to: IpAddr, text: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + text.len()).unwrap();
    let mut udp: Vec<u8> = [4000u16, 7777, len, 0].into_iter().flat_map(u16::to_be_bytes).collect();
    udp.extend(text);
    let mut ip = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut ip = vec![0x45, 0];
            ip.extend((20 + len).to_be_bytes());
            ip.extend([0, 1, 0, 0, 64, 17, 0, 0]);
            ip.extend([from.octets(), to.octets()].concat());
            let sum = checksum(&ip);
            ip[10..12].copy_from_slice(&sum);
            ip
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ends = [from.octets(), to.octets()].concat();
            let mut ip = vec![0x60, 0, 0, 0];
            ip.extend(len.to_be_bytes());
            ip.extend([17, 64]);
            ip.extend(&ends);
            // Which IPv6 asks for.
            let sum = checksum(&[&ends[..], &len.to_be_bytes(), &[0, 17], &udp].concat());
            udp[6..8].copy_from_slice(&sum);
            ip
        }
        _ => panic!("of two families"),
    };
    ip.extend(udp);
    ip
}

/// That of the Internet's protocols.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    (!folded).to_be_bytes()
}

/// Whether what a host sends to another's VTEP arrives in a container there.
pub(crate) fn arrives(sender: &Host, vtep: &str, pod: &Pod<'_>, bytes: &[u8]) -> bool {
    let server = pod.sandbox.inside(|| UdpSocket::bind("[::]:7777").unwrap());
    server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let client = sender.inside(|| UdpSocket::bind(if vtep.contains(':') { "[::]:0" } else { "0.0.0.0:0" }).unwrap());
    let to = if vtep.contains(':') { format!("[{vtep}]:4789") } else { format!("{vtep}:4789") };
    (0..3).any(|_| {
        client.send_to(bytes, &to).unwrap();
        server.recv(&mut [0; 64]).is_ok()
    })
}

fn strangers(ipv6: bool) {
    let fabric = Fabric::new(&["a", "b", "stranger"], ipv6);
    let records = fabric.records();
    fabric.write_peers(&records[..2]);
    let pod = fabric.pod("a", "web");
    let other = fabric.pod("b", "other");
    let mac = fabric.host("a").sh("cat /sys/class/net/vxlan.1/address");
    let mac: Vec<_> = mac.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    // As if it came from a container of b.
    let frame = |inside| {
        let ends = [&other, &pod].map(|pod| pod.address(inside).parse().unwrap());
        frame(1, mac.clone().try_into().unwrap(), ends[0], ends[1])
    };
    let frames = [frame(false), frame(true)];
    let vtep = fabric.vtep("a");
    // Of which families inside they arrive.
    let arrives = |sender: &Host| frames.each_ref().map(|bytes| arrives(sender, &vtep, &pod, bytes));
    let stranger = fabric.host("stranger");
    assert_eq!(arrives(fabric.host("b")), [true; 2], "a peer's own");
    assert_eq!(arrives(stranger), [false; 2], "a stranger's");
    // It is the rule that keeps it out, and nothing else.
    let family = if ipv6 { 6 } else { 4 };
    fabric.host("a").sh(&format!("nft flush chain inet groundwork vxlan{family}_4789_1"));
    assert_eq!(arrives(stranger), [true; 2], "without the guard");
    fabric.sync("a").success("sync");
    assert_eq!(arrives(stranger), [false; 2], "with the guard again");
    // Who was a peer and is none any more is a stranger.
    fabric.write_peers(&records[..1]);
    fabric.sync("a").success("sync");
    assert_eq!(arrives(fabric.host("b")), [false; 2], "a former peer's");
    fabric.write_peers(&records);
    fabric.sync("a").success("sync");
    assert_eq!(arrives(stranger), [true; 2], "a stranger that became a peer");
}

#[test]
fn a_strangers_frame_never_reaches_a_container_ipv4() {
    strangers(false);
}

#[test]
fn a_strangers_frame_never_reaches_a_container_ipv6() {
    strangers(true);
}

/// Others who use the same port with another number are none of our business.
#[test]
fn other_overlays_on_the_port_pass() {
    let fabric = Fabric::new(&["a", "b", "stranger"], false);
    fabric.write_peers(&fabric.records()[..2]);
    fabric.sync("a").success("sync");
    let (host, stranger) = (fabric.host("a"), fabric.host("stranger"));
    host.sh("ip link add other type vxlan id 2 dstport 4789 local 192.0.2.1 remote 192.0.2.3
             ip address add 198.51.100.1/24 dev other; ip link set other up");
    stranger.sh("ip link add other type vxlan id 2 dstport 4789 local 192.0.2.3 remote 192.0.2.1
                 ip address add 198.51.100.3/24 dev other; ip link set other up");
    stranger.sh("ping -n -c 1 -W 3 198.51.100.1");
}

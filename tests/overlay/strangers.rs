//! What comes from who is no peer never reaches a container.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use crate::{
    fabric::{Fabric, Pod},
    support::Host,
};

/// An encapsulated frame: for a vxlan device of this hardware address, from one container to port 7777 of another.
pub(crate) fn frame(vni: u32, mac: [u8; 6], from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let text = b"let me in";
    let udp_len = u16::try_from(8 + text.len()).unwrap();
    let mut ip = vec![0x45, 0];
    ip.extend((20 + udp_len).to_be_bytes());
    ip.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    ip.extend(from.octets());
    ip.extend(to.octets());
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    ip[10..12].copy_from_slice(&(!folded).to_be_bytes());
    let mut bytes = vec![8, 0, 0, 0];
    bytes.extend(&vni.to_be_bytes()[1..]);
    bytes.push(0);
    bytes.extend(mac);
    bytes.extend([2, 0, 0, 0, 0, 0x66, 8, 0]);
    bytes.extend(ip);
    bytes.extend([4000u16, 7777, udp_len, 0].into_iter().flat_map(u16::to_be_bytes));
    bytes.extend(text);
    bytes
}

/// Whether what a host sends to another's VTEP arrives in a container there.
pub(crate) fn arrives(sender: &Host, vtep: &str, pod: &Pod<'_>, bytes: &[u8]) -> bool {
    let server = pod.sandbox.inside(|| UdpSocket::bind("0.0.0.0:7777").unwrap());
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
    let _peer = fabric.pod("b", "other");
    let mac = fabric.host("a").sh("cat /sys/class/net/vxlan.1/address");
    let mac: Vec<_> = mac.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    // As if it came from a container of b.
    let to = pod.address(false).parse().unwrap();
    let bytes = frame(1, mac.try_into().unwrap(), Ipv4Addr::new(10, 244, 2, 2), to);
    let vtep = fabric.vtep("a");
    let stranger = fabric.host("stranger");
    assert!(arrives(fabric.host("b"), &vtep, &pod, &bytes), "a peer's own");
    assert!(!arrives(stranger, &vtep, &pod, &bytes), "a stranger's");
    // It is the rule that keeps it out, and nothing else.
    let family = if ipv6 { 6 } else { 4 };
    fabric.host("a").sh(&format!("nft flush chain inet groundwork vxlan{family}_4789_1"));
    assert!(arrives(stranger, &vtep, &pod, &bytes), "without the guard");
    fabric.sync("a").success("sync");
    assert!(!arrives(stranger, &vtep, &pod, &bytes), "with the guard again");
    // Who was a peer and is none any more is a stranger.
    fabric.write_peers(&records[..1]);
    fabric.sync("a").success("sync");
    assert!(!arrives(fabric.host("b"), &vtep, &pod, &bytes), "a former peer's");
    fabric.write_peers(&records);
    fabric.sync("a").success("sync");
    assert!(arrives(stranger, &vtep, &pod, &bytes), "a stranger that became a peer");
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

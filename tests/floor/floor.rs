//! The floor: the kernel's work of an ADD and a DEL, and nothing else.
//!
//! No configuration, no addresses of its own choosing, no state, no checks: what is left is what the
//! kernel costs. It shares no code with groundwork, so that one can be measured by the other.
//!
//! ```text
//! floor add NETNS BRIDGE LINK ADDRESS PREFIX GATEWAY HOSTPORT CONTAINERPORT
//! floor del LINK ADDRESS HOSTPORT
//! floor del-early LINK ADDRESS HOSTPORT       returns when the link is gone
//! floor peak FILE PROGRAM [ARGUMENT...]       runs a program and appends its peak memory in KiB to the file
//! ```
//! ADD: a veth pair with one end on the bridge, up and in hairpin mode; in the sandbox loopback up, no router
//! advertisements, no duplicate address detection, an address and a default route; masquerade, a TCP host port and the
//! firewall's leave to be forwarded. Bridge, tables and rules are there already (`ruleset.nft`).
#![allow(unsafe_code, reason = "fork: this program stands outside the library and its rules")]

mod netlink;

use netlink::{ACK, Batch, CREATE, EXCL, Socket, nest, put, put_text};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{ForkResult, fork};
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const NEWROUTE: u16 = 24;
const NFT_NEWSETELEM: u16 = 10 << 8 | 12;
const NFT_DELSETELEM: u16 = 10 << 8 | 14;
const UP: u32 = 1;
/// Where this is, a bridge's packets go through iptables, and its ports reflect what comes back rewritten.
const BRIDGE_NETFILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["add", netns, bridge, link, address, prefix, gateway, host_port, container_port] => {
            let address = address.parse()?;
            let elements = elements(address, host_port.parse()?, Some(container_port.parse()?));
            add(netns, bridge, link, address, prefix.parse()?, gateway.parse()?)?.send(&elements)?;
            Ok(())
        }
        ["del", link, address, host_port] => del(link, &elements(address.parse()?, host_port.parse()?, None)),
        ["del-early", link, address, host_port] => {
            del_early(link, &elements(address.parse()?, host_port.parse()?, None))
        }
        ["peak", file, program, arguments @ ..] => peak(file, program, arguments),
        _ => Err("see the source for its arguments".into()),
    }
}

/// The links, the address and the route; returns a socket for the host's tables, which is closed last.
fn add(netns: &str, bridge: &str, link: &str, address: Ipv4Addr, prefix: u8, gateway: Ipv4Addr) -> Result<Socket> {
    let sandbox = File::open(netns)?;
    let bridge = if_nametoindex(bridge)?;
    let host = Socket::route()?;
    let tables = Socket::netfilter()?;
    let mut pair = Batch::default();
    pair.message(NEWLINK, ACK | CREATE | EXCL, &link_header(UP), |bytes| {
        put_text(bytes, 3, link);
        put(bytes, 10, &bridge.to_ne_bytes());
        nest(bytes, 18, |bytes| {
            put_text(bytes, 1, "veth");
            nest(bytes, 2, |bytes| {
                nest(bytes, 1, |bytes| {
                    bytes.extend(link_header(0));
                    put_text(bytes, 3, "eth0");
                    put(bytes, 28, &sandbox.as_raw_fd().to_ne_bytes());
                });
            });
        });
    });
    host.send(&pair)?;
    if Path::new(BRIDGE_NETFILTER).exists() {
        let mut port = Batch::default();
        port.message(SETLINK, ACK, &bridge_port_header(if_nametoindex(link)?), |bytes| {
            nest(bytes, 12, |bytes| put(bytes, 4, &[1])); // IFLA_PROTINFO: hairpin mode
        });
        host.send(&port)?;
    }

    setns(&sandbox, CloneFlags::CLONE_NEWNET)?;
    for setting in ["accept_dad", "accept_ra"] {
        File::options().write(true).open(format!("/proc/sys/net/ipv6/conf/eth0/{setting}"))?.write_all(b"0")?;
    }
    let index = if_nametoindex("eth0")?.to_ne_bytes();
    let mut up = Batch::default();
    up.message(NEWLINK, ACK, &link_header(UP), |bytes| put_text(bytes, 3, "lo"));
    up.message(NEWLINK, ACK, &link_header(UP), |bytes| put_text(bytes, 3, "eth0"));
    let header = [2, prefix, 0, 0, index[0], index[1], index[2], index[3]];
    up.message(NEWADDR, ACK | CREATE | EXCL, &header, |bytes| {
        put(bytes, 1, &address.octets());
        put(bytes, 2, &address.octets());
        put(bytes, 4, &(u32::from(address) | (u32::MAX >> prefix)).to_be_bytes());
    });
    let (ipv4, main, boot, unicast) = (2, 254, 3, 1);
    up.message(NEWROUTE, ACK | CREATE | EXCL, &[ipv4, 0, 0, 0, main, boot, 0, unicast, 0, 0, 0, 0], |bytes| {
        put(bytes, 5, &gateway.octets());
        put(bytes, 4, &index);
    });
    Socket::route()?.send(&up)?;
    Ok(tables)
}

/// The elements, then the link; the socket for the tables is closed after both, which is cheapest.
fn del(link: &str, elements: &Batch) -> Result {
    let tables = Socket::netfilter()?;
    tables.send(elements)?;
    del_link(link)
}

/// A child takes what the kernel waits for after the link is gone; this process returns when it is gone.
fn del_early(link: &str, elements: &Batch) -> Result {
    let index = if_nametoindex(link)?;
    let tables = Socket::netfilter()?;
    tables.send(elements)?;
    let links = Socket::route()?;
    links.listen_to_links()?;
    // SAFETY: this process has one thread, so the child may go on as if nothing had happened.
    if let ForkResult::Child = unsafe { fork() }? {
        for descriptor in 0..3 {
            nix::unistd::close(descriptor)?; // nobody who reads these may wait for the child
        }
        return del_link(link);
    }
    let mut gone = false;
    while !gone {
        links.receive(|kind, body| {
            // Family 0: the bridge says in family 7 that it lost a port.
            gone |= kind == DELLINK && body[0] == 0 && body[4..8] == index.to_ne_bytes();
            Ok(())
        })?;
    }
    Ok(())
}

fn del_link(link: &str) -> Result {
    let mut batch = Batch::default();
    batch.message(DELLINK, ACK, &link_header(0), |bytes| put_text(bytes, 3, link));
    Ok(Socket::route()?.send(&batch)?)
}

/// `struct ifinfomsg` with these flags set.
fn link_header(flags: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&flags.to_ne_bytes());
    header
}

/// `struct ifinfomsg` about the port of a bridge.
fn bridge_port_header(index: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[0] = 7; // AF_BRIDGE
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header
}

/// One transaction that adds what the tables hold for one container, or, without the container's port, deletes it.
fn elements(address: Ipv4Addr, host_port: u16, container_port: Option<u16>) -> Batch {
    let (add, address) = (container_port.is_some(), address.octets());
    let mut batch = Batch::default();
    let nftables_subsystem = [0, 0, 0, 10];
    batch.message(0x10, 0, &nftables_subsystem, |_| {});
    element(&mut batch, add, "masq4", &address, None);
    element(&mut batch, add, "fwd4", &address, None);
    let [high, low] = host_port.to_be_bytes();
    let tcp_port = [6, 0, 0, 0, high, low, 0, 0]; // each field of a key fills whole words
    let target = container_port.map(u16::to_be_bytes).map(|[high, low]| [&address[..], &[high, low, 0, 0]].concat());
    element(&mut batch, add, "hp4", &tcp_port, target.as_deref());
    batch.message(0x11, 0, &nftables_subsystem, |_| {});
    batch
}

fn element(batch: &mut Batch, add: bool, set: &str, key: &[u8], value: Option<&[u8]>) {
    let kind = if add { NFT_NEWSETELEM } else { NFT_DELSETELEM };
    let inet = [1, 0, 0, 0];
    batch.message(kind, ACK | if add { CREATE } else { 0 }, &inet, |bytes| {
        put_text(bytes, 1, "groundwork");
        put_text(bytes, 2, set);
        nest(bytes, 3, |bytes| {
            nest(bytes, 1, |bytes| {
                nest(bytes, 1, |bytes| put(bytes, 1, key));
                if let Some(value) = value {
                    nest(bytes, 2, |bytes| put(bytes, 1, value));
                }
            });
        });
    });
}

/// Runs a program and writes down how much memory it or a process that it waited for had at most.
///
/// Whoever starts a program directly counts towards its peak, as the two share their memory for a moment: this program is
/// small.
fn peak(file: &str, program: &str, arguments: &[&str]) -> Result {
    let status = std::process::Command::new(program).args(arguments).status()?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    writeln!(File::options().create(true).append(true).open(file)?, "{}", usage.max_rss())?;
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}").into()) }
}

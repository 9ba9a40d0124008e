//! The floor: the kernel's work of an ADD and a DEL, and nothing else.
//!
//! No configuration, no addresses of its own choosing, no state, no checks: what is left is what the
//! kernel costs. It shares no code with groundwork, so that one can be measured by the other.
//!
//! ```text
//! floor nothing
//! floor add  NETNS BRIDGE LINK ADDRESS PREFIX GATEWAY [HOSTPORT CONTAINERPORT]
//! floor del  LINK ADDRESS [HOSTPORT CONTAINERPORT]
//! floor del-early ...    as del, but returns when the link is gone
//! ```
//! Bridge and tables are there already (`ruleset.nft`).
#![allow(unsafe_code, reason = "fork: this program stands outside the library and its rules")]

mod netlink;

use netlink::{ACK, Batch, CREATE, EXCL, Socket, nest, put, put_text};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use nix::unistd::{ForkResult, fork};
use std::error::Error;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const NEWADDR: u16 = 20;
const NEWROUTE: u16 = 24;
const NFT_NEWSETELEM: u16 = 10 << 8 | 12;
const NFT_DELSETELEM: u16 = 10 << 8 | 14;
const UP: u32 = 1;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["nothing"] => Ok(()),
        ["add", netns, bridge, link, address, prefix, gateway, ports @ ..] => {
            let elements = Elements::parse(address, ports)?;
            add(netns, bridge, link, elements.address, prefix.parse()?, gateway.parse()?)?
                .send(&elements.batch(true))?;
            Ok(())
        }
        ["del", link, address, ports @ ..] => del(link, &Elements::parse(address, ports)?),
        ["del-early", link, address, ports @ ..] => del_early(link, &Elements::parse(address, ports)?),
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

    setns(&sandbox, CloneFlags::CLONE_NEWNET)?;
    let index = if_nametoindex("eth0")?.to_ne_bytes();
    let mut up = Batch::default();
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
fn del(link: &str, elements: &Elements) -> Result {
    let tables = Socket::netfilter()?;
    tables.send(&elements.batch(false))?;
    del_link(link)
}

/// A child takes what the kernel waits for after the link is gone; this process returns when it is gone.
fn del_early(link: &str, elements: &Elements) -> Result {
    let index = if_nametoindex(link)?;
    let tables = Socket::netfilter()?;
    tables.send(&elements.batch(false))?;
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

/// What the tables hold for one container.
struct Elements {
    address: Ipv4Addr,
    /// (host's, container's), TCP.
    ports: Option<(u16, u16)>,
}

impl Elements {
    fn parse(address: &str, ports: &[&str]) -> Result<Self> {
        let ports = match ports {
            [] => None,
            [host, container] => Some((host.parse()?, container.parse()?)),
            _ => return Err("two ports or none".into()),
        };
        Ok(Self { address: address.parse()?, ports })
    }

    /// One transaction that adds or deletes them.
    fn batch(&self, add: bool) -> Batch {
        let mut batch = Batch::default();
        let nftables_subsystem = [0, 0, 0, 10];
        batch.message(0x10, 0, &nftables_subsystem, |_| {});
        element(&mut batch, add, "masq4", &self.address.octets(), None);
        if let Some((host, container)) = self.ports {
            let [high, low] = host.to_be_bytes();
            let tcp_port = [6, 0, 0, 0, high, low, 0, 0]; // each field of a key fills whole words
            let [high, low] = container.to_be_bytes();
            let target = [&self.address.octets()[..], &[high, low, 0, 0]].concat();
            element(&mut batch, add, "hp4", &tcp_port, add.then_some(&target));
        }
        batch.message(0x11, 0, &nftables_subsystem, |_| {});
        batch
    }
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

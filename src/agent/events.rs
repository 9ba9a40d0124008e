//! News of links and addresses from the kernel.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{RouteNetlinkMessage, link::LinkAttribute};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::keeper::Wake;

/// The multicast groups RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR, from linux/rtnetlink.h.
const GROUPS: [u32; 3] = [1, 5, 9];

/// The links whose changes matter: containers' links come and go all the time.
#[derive(Default)]
pub(super) struct Interest(Mutex<BTreeSet<String>>);

impl Interest {
    /// From now on only these.
    pub(super) fn only(&self, underlay: &str, device: Option<String>) {
        let names = device.into_iter().chain([underlay.to_owned()]).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// All matter before any does more than others.
    fn has(&self, name: &str) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.is_empty() || names.contains(name)
    }
}

/// Subscribes to them.
///
/// # Errors
/// The kernel gives no such socket.
pub(super) fn subscribe() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    for group in GROUPS {
        socket.add_membership(group)?;
    }
    Ok(socket)
}

/// Passes them on until nobody takes them any more.
pub(super) fn forward(socket: &Socket, interest: &Arc<Interest>, wakes: &mpsc::Sender<Wake>) {
    loop {
        let matters = match socket.recv_from_full() {
            Ok((datagram, _)) => matters(&datagram, interest),
            // Some were lost: nobody knows which.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
            Err(error) => {
                tracing::warn!(%error, "no more news of links: all is compared every half minute");
                return;
            }
        };
        if matters && wakes.send(Wake::Kernel).is_err() {
            return;
        }
    }
}

fn matters(mut datagram: &[u8], interest: &Interest) -> bool {
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(datagram) {
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
        let is_news = match &message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link)) => {
                link.attributes.iter().any(|one| matches!(one, LinkAttribute::IfName(name) if interest.has(name)))
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_)) => {
                true
            }
            _ => false,
        };
        if is_news {
            return true;
        }
        match datagram.get(length..) {
            Some(rest) if length > 0 && !rest.is_empty() => datagram = rest,
            _ => return false,
        }
    }
    // What cannot be read may be anything.
    true
}

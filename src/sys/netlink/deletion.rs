//! Deleting a link, and being told that it is gone before the kernel is through with it.

use netlink_packet_core::{NLM_F_ACK, NLMSG_ERROR, NetlinkSerializable};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::{
    errno::Errno,
    libc::{RTM_DELLINK, RTMGRP_LINK},
    sys::{
        socket::{setsockopt, sockopt},
        time::TimeVal,
    },
};
use std::os::fd::{AsFd, BorrowedFd};

use super::{
    Refusal,
    channel::{errno, packets, serialize, verdict},
    extend_acks,
};
use crate::sys::deputy::Deputy;

/// How long to wait before looking whether the deputy still lives, in microseconds.
const PATIENCE: i64 = 50_000;
const SEQUENCE: u32 = 1;

/// Has a deputy delete the link of an index in the calling thread's namespace, and returns when nobody can see it any
/// more: it is down, no port of a bridge, and its name is free. A veth's other end is as far by then.
///
/// `held` is a socket whose closing takes as long; the deputy closes it, too, if the caller is faster. None when it
/// cannot be done so, or is not known to have been: delete it without a deputy then.
pub(crate) fn delete_early<M: NetlinkSerializable>(
    request: M,
    index: u32,
    held: Option<BorrowedFd<'_>>,
) -> Option<Result<(), Refusal>> {
    let socket = listener().ok()?;
    let mut bytes = Vec::new();
    serialize(request, NLM_F_ACK, SEQUENCE, &mut bytes);
    let deputy = Deputy::send(socket.as_fd(), &bytes, held).ok()?;
    let mut datagram = Vec::with_capacity(32 * 1024);
    loop {
        datagram.clear();
        match socket.recv(&mut datagram, 0).map_err(errno) {
            Ok(_) => {
                if let Some(outcome) = outcome(&datagram, index) {
                    return Some(outcome);
                }
            }
            Err(Errno::EAGAIN) if deputy.has_ended() => return None,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => return None, // ENOBUFS: others' news were too many to see ours
        }
    }
}

/// A socket that hears of links. The deputy shares it, so that a refusal comes here, too.
fn listener() -> Result<Socket, Errno> {
    let mut socket = Socket::new(NETLINK_ROUTE).map_err(errno)?;
    extend_acks(&socket).map_err(errno)?;
    socket.bind(&SocketAddr::new(0, RTMGRP_LINK.cast_unsigned())).map_err(errno)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, PATIENCE))?;
    Ok(socket)
}

/// What a datagram says of the deletion, if anything.
fn outcome(datagram: &[u8], index: u32) -> Option<Result<(), Refusal>> {
    packets(datagram).find_map(|packet| match packet.message_type() {
        // `struct ifinfomsg`. Of family 7 (AF_BRIDGE) it says that a bridge lost a port.
        RTM_DELLINK => {
            let header = packet.payload().first_chunk::<8>()?;
            (header[0] == 0 && header[4..] == index.to_ne_bytes()).then_some(Ok(()))
        }
        NLMSG_ERROR if packet.sequence_number() == SEQUENCE => verdict(&packet),
        _ => None,
    })
}

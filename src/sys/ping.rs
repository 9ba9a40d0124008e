//! One ICMP echo, for the demonstration.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto, setsockopt, socket,
        sockopt::ReceiveTimeout,
    },
    time::TimeVal,
};

/// Sends echo requests from the calling thread's network namespace until one is answered; how long that one took.
///
/// # Errors
/// EPERM without CAP_NET_RAW; `TimedOut` when no answer came in time.
pub fn echo(to: Ipv4Addr, within: Duration) -> io::Result<Duration> {
    let socket = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(0, 200_000))?;
    let target = SockaddrIn::from(SocketAddrV4::new(to, 0));
    let (begin, id) = (Instant::now(), std::process::id().to_be_bytes());
    for sequence in 0u8..=u8::MAX {
        let mut request = [8, 0, 0, 0, id[2], id[3], 0, sequence];
        let sum = checksum(&request).to_be_bytes();
        request[2..4].copy_from_slice(&sum);
        let sent = Instant::now();
        // ENETUNREACH and friends while a link comes up: the next request may pass.
        if sendto(socket.as_raw_fd(), &request, &target, MsgFlags::empty()).is_ok() {
            let mut answer = [0; 128];
            while let Ok(length) = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty()) {
                let header = usize::from(answer[0] & 0xf) * 4;
                let reply = answer.get(header..length).unwrap_or_default();
                if reply.first() == Some(&0) && reply.get(4..8) == Some(&request[4..8]) {
                    return Ok(sent.elapsed());
                }
                if sent.elapsed() > within {
                    break;
                }
            }
        }
        if begin.elapsed() > within {
            break;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn checksum_of_a_known_request() {
        // ping -c1: type 8, code 0, id 0x1234, sequence 1
        assert_eq!(super::checksum(&[8, 0, 0, 0, 0x12, 0x34, 0, 1]), 0xe5ca);
    }
}

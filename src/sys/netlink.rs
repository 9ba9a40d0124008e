//! What every netlink socket of ours needs: extended acknowledgements, and refusals with their errno kept.

mod channel;
mod deletion;

use std::fmt;

use netlink_packet_core::ErrorMessage;
use netlink_sys::Socket;
use nix::errno::Errno;

pub(crate) use self::{
    channel::{Channel, First, Routed},
    deletion::delete_early,
};

/// The kernel's answer to a request that it refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its errno.
    pub errno: Errno,
    /// Its own words (extended acknowledgement), when it gave any.
    pub text: Option<String>,
}

impl Refusal {
    /// Reads an error message of a socket that [`extend_acks`] prepared; None when it is an acknowledgement.
    #[must_use]
    pub fn of(message: &ErrorMessage) -> Option<Self> {
        let code = message.code?;
        Some(Self { errno: Errno::from_raw(code.get().abs()), text: extended_text(&message.header) })
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, text: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, errno {})", self.errno.desc(), self.errno, self.errno as i32)?;
        match &self.text {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

/// Asks the kernel for its reasons in words, and not to echo our request.
///
/// # Errors
/// The `setsockopt(2)` that failed; kernels before 4.12 lack these options.
pub fn extend_acks(socket: &Socket) -> std::io::Result<()> {
    socket.set_cap_ack(true)?;
    socket.set_ext_ack(true)
}

/// `NLMSGERR_ATTR_MSG`, after the 16-byte header of a capped echo (`struct nlmsghdr`, linux/netlink.h).
fn extended_text(echo: &[u8]) -> Option<String> {
    const HEADER: usize = 16;
    const MSG: u16 = 1;
    let mut rest = echo.get(HEADER..)?;
    while let [l0, l1, k0, k1, ..] = *rest {
        let (len, kind) = (usize::from(u16::from_ne_bytes([l0, l1])), u16::from_ne_bytes([k0, k1]));
        let value = rest.get(4..len)?;
        if kind == MSG {
            let text = value.split(|byte| *byte == 0).next()?;
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_behind_other_attributes_and_garbage_is_survived() {
        let mut echo = vec![0u8; 16];
        echo.extend([8, 0, 2, 0, 1, 2, 3, 4]);
        echo.extend([10, 0, 1, 0]);
        echo.extend(b"oops!\0\0\0");
        assert_eq!(extended_text(&echo).as_deref(), Some("oops!"));
        assert_eq!(extended_text(&echo[..20]), None);
        assert_eq!(extended_text(&[0; 20]), None);
        assert_eq!(extended_text(&[]), None);
    }
}

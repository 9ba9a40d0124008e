//! Requests by `ioctl(2)`.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, OwnedFd};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

mod raw {
    nix::ioctl_readwrite_bad!(siocgifindex, nix::libc::SIOCGIFINDEX, nix::libc::ifreq);
}

/// The longest name of an interface, in bytes: `IFNAMSIZ` less the final NUL.
pub const NAME_MAX: usize = libc::IFNAMSIZ - 1;

/// A socket for questions about interfaces.
#[derive(Debug)]
pub struct InterfaceSocket(OwnedFd);

impl InterfaceSocket {
    /// Opens it.
    ///
    /// # Errors
    /// `socket(2)`'s.
    pub fn open() -> Result<Self, Errno> {
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).map(Self)
    }

    /// `SIOCGIFINDEX`: the index of the interface `name` in this network namespace.
    ///
    /// Asked for a name that no interface has, the kernel may first load the modules `netdev-NAME` and `NAME`.
    ///
    /// # Errors
    /// `ENAMETOOLONG` for a name over [`NAME_MAX`] bytes, which the kernel would cut; else the kernel's, `ENODEV` when
    /// there is no such interface.
    pub fn index(&self, name: &str) -> Result<i32, Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut request =
            libc::ifreq { ifr_name: [0; libc::IFNAMSIZ], ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 } };
        for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *slot = byte.cast_signed() as libc::c_char;
        }
        // SAFETY: the descriptor is open for as long as `self` is; `request` is a whole `struct ifreq` that outlives the
        // call, and its name ends with NUL because at most NAME_MAX of its IFNAMSIZ zeroed bytes were written.
        unsafe { raw::siocgifindex(self.0.as_raw_fd(), &raw mut request) }?;
        // SAFETY: on success SIOCGIFINDEX fills `ifr_ifindex`; every bit pattern is a valid int.
        Ok(unsafe { request.ifr_ifru.ifru_ifindex })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_one_and_a_stranger_is_none() {
        let socket = InterfaceSocket::open().unwrap();
        assert_eq!(socket.index("lo"), Ok(1));
        assert_eq!(socket.index("gw-no-such-if"), Err(Errno::ENODEV));
        assert_eq!(socket.index("sixteen-bytes-ok"), Err(Errno::ENAMETOOLONG));
    }
}

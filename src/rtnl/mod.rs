//! Links, addresses and routes over rtnetlink: thin, one file per kernel object.

mod address;
mod conf;
mod link;
mod neighbour;
mod qdisc;
mod reading;
mod route;
mod rule;
mod single;
pub mod values;
mod vlan;

use std::{cell::RefCell, io};

use netlink_packet_core::{DecodeError, Emitable, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::AddressFamily;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;

pub use self::{
    address::Unsettled,
    link::VethPair,
    single::{Move, NewLink},
    values::{AddressFlags, Link, LinkSettings, PortFlags, RouteEntry, Shaper},
};
use crate::sys::netlink::{Channel, Refusal, Routed};

/// To make what is not there yet.
const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// What rtnetlink refused, and what was being tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No rtnetlink socket could be had.
    #[error("cannot open a rtnetlink socket: {0}")]
    Open(#[source] io::Error),
    /// The kernel refused a request.
    #[error("cannot {doing}: {refusal}")]
    Refused {
        /// The request, in the words of `ip`.
        doing: String,
        /// The kernel's answer.
        refusal: Refusal,
    },
    /// The socket failed: whether the kernel did what was asked is not known.
    #[error("cannot {doing}: the rtnetlink socket failed: {} ({errno:?}, errno {})", errno.desc(), *.errno as i32)]
    Broken {
        /// The request, in the words of `ip`.
        doing: String,
        /// Of `send(2)` or `recv(2)`.
        errno: Errno,
    },
    /// The answer did not come or could not be read.
    #[error("cannot {doing}: {problem}")]
    Garbled {
        /// The request, in the words of `ip`.
        doing: String,
        /// What came instead.
        problem: String,
    },
}

impl Error {
    /// The kernel's errno, when it answered.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.errno),
            Self::Open(error) => error.raw_os_error().map(Errno::from_raw),
            Self::Broken { .. } | Self::Garbled { .. } => None,
        }
    }
}

/// A rtnetlink socket of the network namespace in which it was opened, wherever it is used later.
pub struct Rtnl(RefCell<Channel>);

impl Rtnl {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Open`] with the errno of `socket(2)` or `setsockopt(2)`.
    pub fn open() -> Result<Self, Error> {
        let channel = Channel::open(NETLINK_ROUTE).and_then(Channel::check_strictly);
        Ok(Self(RefCell::new(channel.map_err(|errno| Error::Open(errno.into()))?)))
    }

    /// Has the kernel do something.
    fn run<M: Emitable>(
        &self,
        (kind, message): (u16, M),
        flags: u16,
        doing: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let done = self.0.borrow_mut().ask(Routed(kind, message), flags);
        done.map_err(|refusal| self.failed(refusal, doing()))
    }

    /// Asks for one object.
    fn find<M: Emitable, T>(
        &self,
        (kind, message): (u16, M),
        read: fn(&[u8]) -> Result<T, DecodeError>,
        doing: impl Fn() -> String,
    ) -> Result<T, Error> {
        let found = self.0.borrow_mut().object(Routed(kind, message), read);
        let found = found.map_err(|refusal| self.failed(refusal, doing()))?;
        found.map_err(|error| Error::Garbled { doing: doing(), problem: error.to_string() })
    }

    /// Asks for all objects.
    fn list<M: Emitable, T>(
        &self,
        (kind, message): (u16, M),
        read: fn(&[u8]) -> Result<T, DecodeError>,
        doing: impl Fn() -> String,
    ) -> Result<Vec<T>, Error> {
        let answers = self.0.borrow_mut().dump(Routed(kind, message), read);
        let answers = answers.map_err(|refusal| self.failed(refusal, doing()))?;
        let all: Result<_, _> = answers.into_iter().collect();
        all.map_err(|error| Error::Garbled { doing: doing(), problem: error.to_string() })
    }

    fn failed(&self, refusal: Refusal, doing: String) -> Error {
        match self.0.borrow().broken() {
            Some(errno) => Error::Broken { doing, errno },
            None => Error::Refused { doing, refusal },
        }
    }
}

const fn family(ipv6: bool) -> AddressFamily {
    if ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

/// Turns "it is not there" into None.
fn absent<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if matches!(error.errno(), Some(Errno::ENODEV | Errno::ENOENT)) => Ok(None),
        other => other.map(Some),
    }
}

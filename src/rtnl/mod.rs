//! Links, addresses and routes over rtnetlink: thin, one file per kernel object, blocking for its callers.

mod address;
mod link;
mod neighbour;
mod qdisc;
mod route;
mod rule;
mod single;
mod socket;
pub mod values;
mod vlan;

use std::{future::Future, io};

use futures_util::{Stream, StreamExt};
use netlink_sys::AsyncSocket;
use nix::errno::Errno;
use tokio::task::JoinHandle;

use self::socket::Failure;
pub use self::{
    address::Unsettled,
    link::VethPair,
    single::{Move, NewLink},
    values::{AddressFlags, Link, LinkSettings, PortFlags, RouteEntry, Shaper},
};
use crate::sys::netlink::{Refusal, extend_acks};

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

    fn from_request(doing: String, error: rtnetlink::Error) -> Self {
        if let rtnetlink::Error::NetlinkError(message) = &error
            && let Some(refusal) = Refusal::of(message)
        {
            return Self::Refused { doing, refusal };
        }
        Self::Garbled { doing, problem: error.to_string() }
    }
}

/// A rtnetlink socket of the network namespace in which it was opened, wherever it is used later.
pub struct Rtnl {
    runtime: tokio::runtime::Runtime,
    handle: rtnetlink::Handle,
    failure: Failure,
    connection: JoinHandle<()>,
}

impl Rtnl {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Open`] with the errno of `socket(2)`, `bind(2)` or `epoll_create(2)`.
    pub fn open() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(Error::Open)?;
        let guard = runtime.enter();
        let (mut connection, handle, _) =
            rtnetlink::new_connection_with_socket::<socket::Socket>().map_err(Error::Open)?;
        let failure = connection.socket_mut().failure();
        let socket = connection.socket_mut().socket_mut();
        socket.set_netlink_get_strict_chk(true).and_then(|()| extend_acks(socket)).map_err(Error::Open)?;
        drop(guard);
        let connection = runtime.spawn(connection);
        Ok(Self { runtime, handle, failure, connection })
    }

    fn run<T>(
        &self,
        request: impl Future<Output = Result<T, rtnetlink::Error>>,
        doing: impl FnOnce() -> String,
    ) -> Result<T, Error> {
        let answered = self.runtime.block_on(request);
        // A request whose connection ends before the kernel's answer came passes for one that is done.
        match (self.failure.errno(), self.connection.is_finished()) {
            (Some(errno), _) => Err(Error::Broken { doing: doing(), errno }),
            (None, true) => {
                Err(Error::Garbled { doing: doing(), problem: "the kernel's answer cannot be read".into() })
            }
            (None, false) => answered.map_err(|error| Error::from_request(doing(), error)),
        }
    }

    fn collect<T>(
        &self,
        answers: impl Stream<Item = Result<T, rtnetlink::Error>>,
        doing: impl FnOnce() -> String,
    ) -> Result<Vec<T>, Error> {
        let all = async {
            let mut answers = std::pin::pin!(answers);
            let mut all = Vec::new();
            while let Some(answer) = answers.next().await {
                all.push(answer?);
            }
            Ok(all)
        };
        self.run(all, doing)
    }
}

/// Turns "it is not there" into None.
fn absent<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if matches!(error.errno(), Some(Errno::ENODEV | Errno::ENOENT)) => Ok(None),
        other => other.map(Some),
    }
}

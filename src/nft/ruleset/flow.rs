//! Flows of UDP that the kernel tracks.

use std::net::SocketAddr;

use super::Family;

/// One flow, as connection tracking knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Where it was sent to.
    pub to: SocketAddr,
    /// From where its answers come: elsewhere, if the destination was rewritten.
    pub answered_by: SocketAddr,
}

/// Which flows are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flows {
    /// All that were sent to one address of the host.
    To(SocketAddr),
    /// All that were sent to a port of the host and came to a container.
    Through {
        /// The host's port.
        port: u16,
        /// The container's address.
        to: SocketAddr,
    },
}

impl Flows {
    /// Whether a flow is one of them.
    #[must_use]
    pub fn contain(&self, flow: &Flow) -> bool {
        match self {
            Self::To(address) => flow.to == *address,
            Self::Through { port, to } => flow.to.port() == *port && flow.answered_by == *to,
        }
    }

    /// The port to which they were sent.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::To(address) => address.port(),
            Self::Through { port, .. } => *port,
        }
    }

    /// Their family.
    #[must_use]
    pub const fn family(&self) -> Family {
        let (Self::To(address) | Self::Through { to: address, .. }) = self;
        Family::of(address.ip())
    }
}

//! Flows that the kernel tracks.

use std::net::SocketAddr;

/// One flow, as connection tracking knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Where it was sent to.
    pub to: SocketAddr,
    /// From where its answers come: elsewhere, if the destination was rewritten.
    pub answered_by: SocketAddr,
}

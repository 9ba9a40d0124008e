//! What can go wrong with nf_tables.

use std::io;

use super::ruleset::{Owner, PortName};
use crate::sys::netlink::Refusal;

/// `std::result::Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a transaction or a question failed. A transaction that failed changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No netfilter netlink socket: the kernel has no nfnetlink, or we may not.
    #[error("cannot open a netfilter netlink socket: {0}")]
    Open(#[source] io::Error),
    /// The socket failed while a question or transaction was under way.
    #[error("cannot {tried}: {source}")]
    Socket {
        /// What was tried.
        tried: String,
        /// Of `send(2)` or `recv(2)`.
        source: io::Error,
    },
    /// The kernel has no nf_tables, and none that it could load by itself.
    #[error("the kernel has no nf_tables (module nf_tables): {0}")]
    Absent(Refusal),
    /// The kernel has nf_tables, but lacks what a rule is made of.
    #[error(
        "the kernel lacks {}, which `{needed_by}` needs (module {}): {refusal}",
        lacking.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
        lacking.iter().map(|lacking| lacking.module()).collect::<Vec<_>>().join(" or "),
    )]
    Unsupported {
        /// What it may be, where the kernel leaves that open.
        lacking: Vec<Lacking>,
        /// The nft command.
        needed_by: String,
        /// The kernel's answer: ENOENT.
        refusal: Refusal,
    },
    /// The kernel refused.
    #[error("`{tried}`: {refusal}")]
    Refused {
        /// The nft command that it refused first, or the question.
        tried: String,
        /// Its answer.
        refusal: Refusal,
    },
    /// Somebody else has the host port.
    #[error("{port} belongs to {}", owner.in_words())]
    Taken {
        /// The port.
        port: PortName,
        /// Whose it is: NETWORK/CONTAINER/INTERFACE.
        owner: Owner,
    },
    /// Other programs changed the same table again and again while we tried.
    #[error("cannot {tried}: other programs kept changing the table groundwork")]
    Contended {
        /// What was tried.
        tried: String,
    },
    /// The kernel said something that does not read as nf_tables.
    #[error("cannot read the kernel's answer to {tried}: {reason}")]
    Unreadable {
        /// What was tried.
        tried: String,
        /// What the parser said.
        reason: String,
    },
}

/// A word of the ruleset's language that a kernel can lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lacking {
    /// An expression, as `masq`.
    Expression(&'static str),
    /// A chain type, as `nat`.
    ChainType(&'static str),
}

impl Lacking {
    /// The module that brings it, when it is one.
    #[must_use]
    pub fn module(self) -> String {
        match self {
            Self::Expression(name) => format!("nft_{name}"),
            Self::ChainType(name) => format!("nft_chain_{name}"),
        }
    }
}

impl std::fmt::Display for Lacking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Expression(name) => write!(f, "the nf_tables expression {name}"),
            Self::ChainType(name) => write!(f, "the nf_tables chain type {name}"),
        }
    }
}

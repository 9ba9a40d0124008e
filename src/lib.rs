//! groundwork: a CNI plugin that makes sure the kernel can do the job, then builds the network.
//!
//! A request flows one way, and every room's name says what it may touch:
//!
//! ```text
//! bytes in -> parse -> ensure the kernel -> observe -> plan -> apply -> reply -> bytes out
//! ```
//!
//! Invariants, each with a test in `tests/house`:
//! - Only `main` writes to stdout, and it writes one JSON document, once.
//! - The pure rooms (`cni`, `config`, `plan`, `overlay::plan`, `nft::ruleset`, `ipam::ranges`, `kernel::feature`)
//!   import no room that touches the host.
//! - `unsafe` lives in `sys`.

#[cfg(feature = "agent")]
pub mod agent;
pub mod apply;
pub mod cli;
pub mod cni;
pub mod config;
pub mod delegate;
pub mod error;
pub mod ipam;
pub mod kernel;
pub mod log;
pub mod nft;
pub mod observe;
pub mod overlay;
pub mod plan;
pub mod rtnl;
pub mod store;
pub mod sys;
pub mod verb;

pub use error::{Error, Result};

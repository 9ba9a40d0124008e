//! A network over several hosts: each has a subnet, and a routed vxlan device that knows every other.
//!
//! For each peer the kernel holds three kinds of entries ([`plan::Key`]) and an element of nf_tables: nothing floods,
//! nothing is learned, and frames are taken from peers only. Who the peers are, an engine says ([`crate::config::Engine`]);
//! whatever it says is reviewed ([`plan::review`]), compared with what the kernel holds ([`plan::difference`]) and made so
//! ([`reconcile`]). If the engine fails, all of that stays as it is.
//!
//! ADD needs of all this only the [`HostFile`]: this host's subnets and the MTU.

pub mod engine;
mod error;
mod host_file;
mod join;
mod peer_file;
pub mod plan;
mod reconcile;
pub mod report;
mod underlay;

pub use self::{
    error::Error,
    host_file::HostFile,
    join::{Census, Joined, Part, census, settle},
    plan::{Host, Refused},
    reconcile::{PROTOCOL, Reconciled, admit, apply, expel, observe, observe_entries, prepare, reconcile},
    report::{full_status, status},
    underlay::{Carrier, find_underlay},
};

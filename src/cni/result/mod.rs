//! Results, held in the newest shape and converted to the version asked for.

mod read;
mod write;

pub use write::pass_on;

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Version, json::FieldError, version::UnsupportedVersion};

/// What an ADD answers, in the shape of the newest version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CniResult {
    /// Interfaces made or used.
    pub interfaces: Vec<Interface>,
    /// Addresses assigned.
    pub ips: Vec<IpConfig>,
    /// Routes that the container got.
    pub routes: Vec<Route>,
    /// Name servers, as the IPAM or the configuration said.
    pub dns: Dns,
}

/// One interface of a result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name in its namespace.
    pub name: String,
    /// Hardware address, `aa:bb:cc:dd:ee:ff`, empty when unknown.
    pub mac: String,
    /// MTU in bytes (from 1.1.0).
    pub mtu: Option<u32>,
    /// The namespace's path; empty for an interface of the host.
    pub sandbox: String,
    /// From 1.1.0.
    pub socket_path: String,
    /// From 1.1.0.
    pub pci_id: String,
}

/// One address of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpConfig {
    /// Address with its prefix; host bits are kept.
    pub address: IpNet,
    /// The gateway of its subnet.
    pub gateway: Option<IpAddr>,
    /// Index into `interfaces`.
    pub interface: Option<usize>,
}

/// One route of a result (also the shape of `ipam.routes`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub dst: IpNet,
    /// Next hop; none means the gateway of the address of that family.
    pub gw: Option<IpAddr>,
    /// MTU in bytes (from 1.1.0, as all below).
    pub mtu: Option<u32>,
    /// Advertised MSS in bytes.
    pub advmss: Option<u32>,
    /// Metric.
    pub priority: Option<u32>,
    /// Routing table, 254 (main) when none.
    pub table: Option<u32>,
    /// Scope, as rtnetlink's number (0 universe, 253 link).
    pub scope: Option<u8>,
}

impl Route {
    /// A route of the main table, its next hop left open.
    #[must_use]
    pub const fn to(dst: IpNet) -> Self {
        Self { dst, gw: None, mtu: None, advmss: None, priority: None, table: None, scope: None }
    }
}

/// DNS settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// Servers, in order.
    pub nameservers: Vec<String>,
    /// Local domain.
    pub domain: String,
    /// Search list.
    pub search: Vec<String>,
    /// Resolver options.
    pub options: Vec<String>,
}

impl Dns {
    /// Whether no field is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a result cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// The bytes are not JSON, or no object.
    #[error("the result is no JSON object ({0})")]
    NotAnObject(String),
    /// A key of it cannot be used.
    #[error("in the result, {0}")]
    Field(#[from] FieldError),
    /// It is of a version that groundwork does not speak.
    #[error("the result's {0}")]
    Version(#[from] UnsupportedVersion),
    /// The version asked for has no shape for a result without an address.
    #[error("a result of CNI version {0} needs an IP address, and there is none: use cniVersion 0.3.0 or later")]
    NeedsAddress(Version),
}

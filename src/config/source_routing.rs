//! Routing by source address: the keys of the reference plugin `sbr`.

use std::net::IpAddr;

use super::ConfigError;
use crate::cni::json::{Object, is_blank, parse_ip};

/// The reference plugin that does the same.
pub const PLUGIN: &str = "sbr";

/// Any of them makes groundwork do it, the last unless it is a VRF's.
const KEYS: [&str; 4] = ["sbr", "gateways", "addSourceHints", "table"];

/// Routing by source address, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceRoutingConfig {
    /// `table`: what is sent from the container's addresses goes by it, and its routes are somebody else's to make. Else
    /// each address has a table of its own, into which the link's routes are moved.
    pub table: Option<u32>,
    /// `gateways`: at most one of each family, in place of the addresses' own.
    pub gateways: Vec<IpAddr>,
    /// `addSourceHints`: the networks on the link stay in the main table, with the address to send from.
    pub add_source_hints: bool,
}

impl SourceRoutingConfig {
    /// None when nothing of it is asked for.
    pub(super) fn read(root: &Object<'_>) -> Result<Option<Self>, ConfigError> {
        let is_named = root.string("type")? == Some(PLUGIN);
        let own = if root.value("vrfname").is_some_and(|name| !is_blank(name)) { &KEYS[..3] } else { &KEYS[..] };
        if !is_named && own.iter().all(|key| root.value(key).is_none_or(is_blank)) {
            return Ok(None);
        }
        root.flag("sbr")?;
        let table = root.number("table", 1..=u64::from(u32::MAX), "the number of a routing table, from 1")?;
        let mut gateways: Vec<IpAddr> = Vec::new();
        for item in root.list("gateways")? {
            let gateway = parse_ip(item.string()?).ok_or_else(|| item.fault("an IP address"))?;
            if gateways.iter().any(|other| other.is_ipv4() == gateway.is_ipv4()) {
                return Err(item.fault("at most one gateway of each address family").into());
            }
            gateways.push(gateway);
        }
        Ok(Some(Self {
            table: table.and_then(|table| u32::try_from(table).ok()),
            gateways,
            add_source_hints: root.flag("addSourceHints")?,
        }))
    }
}

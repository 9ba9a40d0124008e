//! Host ports: `runtimeConfig.portMappings`, with the keys of the reference plugin `portmap`.

use std::{net::IpAddr, ops::RangeInclusive};

use super::{
    ConfigError, Destinations,
    runtime::{Capabilities, RuntimeKeys},
};
use crate::{
    cni::json::{FieldError, Object, UnknownKey, is_blank},
    nft::ruleset::Protocol,
};

/// The reference plugin that does the same.
pub const PLUGIN: &str = "portmap";

const PORTS: RangeInclusive<u64> = 1..=65535;
const PORT: &str = "a port, 1 to 65535";

/// Host ports of one attachment, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPortsConfig {
    /// `runtimeConfig.portMappings`, each once; none passes the chain's result through.
    pub mappings: Vec<PortMapping>,
    /// `snat` (true when absent): connections whose answers would miss the host are masqueraded, which 127.0.0.1 needs.
    pub snat: bool,
    /// `masqAll`: all connections are.
    pub masq_all: bool,
    /// `conditionsV4`: which addresses of the host have the ports.
    pub conditions_v4: Destinations,
    /// `conditionsV6`.
    pub conditions_v6: Destinations,
    /// Keys that were given and that have no meaning without iptables.
    pub idle_keys: Vec<&'static str>,
}

/// One mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMapping {
    /// `hostIP`: None is every address of the host, an unspecified one every address of its family.
    pub host_ip: Option<IpAddr>,
    /// `protocol`, in any letter case; tcp when absent.
    pub protocol: Protocol,
    /// `hostPort`.
    pub host_port: u16,
    /// `containerPort`.
    pub container_port: u16,
}

impl HostPortsConfig {
    /// None when neither the plugin's type, nor the capability, nor the runtime asks for host ports.
    pub(super) fn read(
        root: &Object<'_>,
        keys: &RuntimeKeys<'_>,
        unknown: &mut Vec<UnknownKey>,
    ) -> Result<Option<Self>, ConfigError> {
        let mappings = keys.runtime.as_ref().map_or_else(|| Ok(Vec::new()), |runtime| mappings(runtime, unknown))?;
        let capability = Capabilities::read(root)?.port_mappings;
        let config = Self {
            mappings,
            snat: root.value("snat").is_none() || root.flag("snat")?,
            masq_all: root.flag("masqAll")?,
            conditions_v4: Destinations::read(root, "conditionsV4", true)?,
            conditions_v6: Destinations::read(root, "conditionsV6", false)?,
            idle_keys: idle_keys(root)?,
        };
        let asked = capability || !config.mappings.is_empty() || root.string("type")? == Some(PLUGIN);
        Ok(asked.then_some(config))
    }
}

/// What iptables needs and constant rules do not.
fn idle_keys(root: &Object<'_>) -> Result<Vec<&'static str>, ConfigError> {
    let idle = ["externalSetMarkChain", "markMasqBit"];
    let given: Vec<_> = idle.into_iter().filter(|key| root.value(key).is_some_and(|value| !is_blank(value))).collect();
    if given.len() == idle.len() {
        let why = "either chooses how connections to be masqueraded are marked";
        return Err(ConfigError::Conflict { first: idle[0], second: idle[1], why });
    }
    Ok(given)
}

fn mappings(runtime: &Object<'_>, unknown: &mut Vec<UnknownKey>) -> Result<Vec<PortMapping>, FieldError> {
    let mut mappings: Vec<PortMapping> = Vec::new();
    for object in runtime.objects("portMappings")? {
        let mapping = PortMapping::read(&object)?;
        unknown.extend(object.unread(&[]));
        match mappings.iter().find(|earlier| earlier.has_key_of(&mapping)) {
            Some(earlier) if *earlier == mapping => {}
            Some(earlier) => {
                let goes = earlier.container_port;
                let expected = format!("a port that is not mapped twice: it goes to containerPort {goes} already");
                return Err(object.fault("hostPort", expected));
            }
            None => mappings.push(mapping),
        }
    }
    Ok(mappings)
}

impl PortMapping {
    fn read(object: &Object<'_>) -> Result<Self, FieldError> {
        let port = |key| {
            let port = object.number(key, PORTS, PORT)?.and_then(|port| u16::try_from(port).ok());
            object.require(key, port, PORT)
        };
        let protocol = |text: &str| match text.to_ascii_lowercase().as_str() {
            "tcp" => Some(Protocol::Tcp),
            "udp" => Some(Protocol::Udp),
            "sctp" => Some(Protocol::Sctp),
            _ => None,
        };
        Ok(Self {
            host_ip: object.ip("hostIP")?,
            protocol: object.parsed("protocol", "tcp, udp or sctp", protocol)?.unwrap_or(Protocol::Tcp),
            host_port: port("hostPort")?,
            container_port: port("containerPort")?,
        })
    }

    /// Whether one packet could be meant by both, at one address.
    fn has_key_of(&self, other: &Self) -> bool {
        let place = |mapping: &Self| (mapping.host_ip, mapping.protocol, mapping.host_port);
        place(self) == place(other)
    }
}

//! What may reach containers, and that nobody else's firewall keeps them from being reached: the keys of the reference
//! plugin `firewall`.

use super::ConfigError;
use crate::cni::json::{Object, is_blank};

/// The reference plugin that does the same.
pub const PLUGIN: &str = "firewall";

/// Any of them makes groundwork do it.
const KEYS: &[&str] = &["ingressPolicy", "iptablesAdminChainName", "firewalldZone"];

/// The admin's own chain when `iptablesAdminChainName` does not say otherwise.
const ADMIN_CHAIN: &str = "CNI-ADMIN";

/// The firewall of a network, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirewallConfig {
    /// `ingressPolicy`.
    pub ingress: IngressPolicy,
    /// `iptablesAdminChainName`: where it exists in another program's table, it is asked before containers are let
    /// through there.
    pub admin_chain: String,
}

/// Who may open connections to containers of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IngressPolicy {
    /// Whoever can route to them.
    #[default]
    Open,
    /// Of other isolated networks nobody.
    SameBridge,
    /// Nor do they reach each other.
    Isolated,
}

impl FirewallConfig {
    /// None when nothing of it is asked for.
    pub(super) fn read(root: &Object<'_>) -> Result<Option<Self>, ConfigError> {
        let expected = "open, same-bridge or isolated";
        let ingress = root.parsed("ingressPolicy", expected, |text| match text {
            "open" => Some(IngressPolicy::Open),
            "same-bridge" => Some(IngressPolicy::SameBridge),
            "isolated" => Some(IngressPolicy::Isolated),
            _ => None,
        })?;
        let admin_chain = root.string("iptablesAdminChainName")?.unwrap_or(ADMIN_CHAIN).to_owned();
        let asked = KEYS.iter().any(|key| root.value(key).is_some_and(|value| !is_blank(value)))
            || root.string("type")? == Some(PLUGIN);
        Ok(asked.then(|| Self { ingress: ingress.unwrap_or_default(), admin_chain }))
    }
}

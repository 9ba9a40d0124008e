//! Configuration keys to types, without looking at the world. Keys match as Go's JSON does: in any letter case, `null`
//! and `""` the same as absent.
//!
//! Who builds the network, [`Mode`], follows from the keys that are there:
//! - `delegate`: that plugin, and no key of the native network may stand beside it;
//! - groundwork itself, with a link of a kind that is named by `type` (groundwork called under a reference plugin's
//!   name) or by the key `link`: bridge, ptp, macvlan, ipvlan, vlan, dummy, host-device, loopback. The kind's keys are
//!   the reference plugin's, with its meanings. Keys do not tell the kind: most belong to several;
//! - without either, any key that only a native network has (`bridge`, `ipam` with a `type`, `isGateway`, `ipMasq`, ...;
//!   [`bridge::OWN_KEYS`]) means a bridge, `cni0` if `bridge` does not say otherwise;
//! - else nobody here: the plugin is one of a chain. What it is asked to do on the link that an earlier plugin made, it
//!   does: host ports (`type` "portmap", `capabilities.portMappings`), firewall (`type` "firewall", `ingressPolicy`), tuning
//!   (`type` "tuning", `sysctl`, ...) and limits on bandwidth (`type` "bandwidth", `ingressRate`, ...). Under the name of
//!   a reference plugin it does what that does, else all that has keys.

pub mod allow_list;
pub mod bandwidth;
pub mod bridge;
pub mod conditions;
pub mod delegate;
mod error;
pub mod firewall;
pub mod host_device;
pub mod host_local;
pub mod host_ports;
pub mod ipam;
pub mod kernel;
mod keys;
pub mod link;
pub mod native;
pub mod overlay;
mod parse;
pub mod ptp;
mod repeated;
pub mod runtime;
pub mod single;
pub mod source_routing;
#[cfg(test)]
mod tests;
pub mod tuning;
pub mod vlans;
pub mod vrf;

use std::path::PathBuf;

use serde_json::{Map, Value};

pub use self::{
    allow_list::AllowListError,
    bandwidth::{BandwidthConfig, Limit},
    bridge::BridgeConfig,
    conditions::Destinations,
    delegate::DelegateConfig,
    error::ConfigError,
    firewall::{FirewallConfig, IngressPolicy},
    host_device::HostDeviceConfig,
    host_local::{HostLocalConfig, OutsideSubnet, Range, RangeSet},
    host_ports::{HostPortsConfig, PortMapping},
    ipam::{IpamConfig, StaticAddress, StaticConfig},
    kernel::{KernelConfig, LoaderName, LogConfig, LogLevel},
    link::LinkConfig,
    native::NativeConfig,
    overlay::{Engine, OverlayConfig, Underlay},
    ptp::PtpConfig,
    runtime::{ArgsConfig, Capabilities, RuntimeConfig},
    single::{ParentConfig, SingleConfig},
    source_routing::SourceRoutingConfig,
    tuning::{Sysctl, TuningConfig},
    vlans::Vlans,
    vrf::VrfConfig,
};
pub use crate::cni::json::UnknownKey;
use crate::cni::{Version, mac::Mac};

/// A network configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfig {
    /// `cniVersion`; 0.1.0 when absent.
    pub cni_version: Version,
    /// `name`, checked against the spec's character set and at most 200 bytes.
    pub name: String,
    /// `type`: the name under which the runtime called us; empty when absent.
    pub plugin_type: String,
    /// Called by another plugin to give addresses: under which name, `host-local` or `static`. The configuration is
    /// that plugin's then, and of it only `ipam` counts.
    pub as_ipam: Option<&'static str>,
    /// What the kernel must do and how modules are loaded.
    pub kernel: KernelConfig,
    /// Where logs go.
    pub log: LogConfig,
    /// To whom control passes once the kernel is ready.
    pub mode: Mode,
    /// `prevResult`, as it came.
    pub prev_result: Option<Value>,
    /// `capabilities`, the parts that need something of the kernel.
    pub capabilities: Capabilities,
    /// `runtimeConfig`, the parts that groundwork reads.
    pub runtime: RuntimeConfig,
    /// `args.cni`, the parts that groundwork reads.
    pub args: ArgsConfig,
    /// `MAC` of CNI_ARGS, read for the native network.
    pub cni_args_mac: Option<Mac>,
    /// `stateDir`, default `/run/groundwork`.
    pub state_dir: PathBuf,
    /// GC's `cni.dev/valid-attachments` and `cni.dev/attachments` together: None when both are absent; null counts as
    /// an empty list.
    pub valid_attachments: Option<Vec<Attachment>>,
    /// Paths of keys that groundwork does not know, each with the known key it may have meant.
    pub unknown_keys: Vec<UnknownKey>,
    /// DEL only: what is wrong with keys that an ADD needs and a DEL can do without. Their fields hold defaults, and
    /// `mode` is [`Mode::Chained`] when the trouble is there: the ADD never passed, or is known by its record.
    pub flaws: Vec<ConfigError>,
    /// The configuration as it came, for delegates.
    pub raw: Map<String, Value>,
}

impl NetworkConfig {
    /// The plugin's type when it does not make the link: an earlier plugin of the chain did, or the one that asks it for
    /// addresses will. None when it makes the link.
    #[must_use]
    pub fn chained_type(&self) -> Option<&str> {
        if self.as_ipam.is_some() {
            return self.as_ipam;
        }
        match &self.mode {
            Mode::Native(native) if native.link.is_none() => Some(&self.plugin_type),
            Mode::Chained if native::is_later_plugin(&self.plugin_type) => Some(&self.plugin_type),
            _ => None,
        }
    }

    /// The hardware address asked for: CNI_ARGS `MAC`, overridden by `args.cni.mac`, overridden by `runtimeConfig.mac`.
    #[must_use]
    pub fn mac(&self) -> Option<Mac> {
        self.runtime.mac.or(self.args.mac).or(self.cni_args_mac)
    }
}

/// (container, interface), as runtimes name what they attached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attachment {
    /// `containerID`.
    pub container_id: String,
    /// `ifname`.
    pub ifname: String,
}

/// Who builds the network.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Mode {
    /// Nobody here: the next plugin of the chain. The result is `prevResult`, or empty.
    #[default]
    Chained,
    /// `delegate`: another plugin, run by the exec protocol.
    Delegate(DelegateConfig),
    /// Groundwork itself.
    Native(Box<NativeConfig>),
    /// Groundwork itself, with the link that every sandbox has: nothing is on the host, so nothing is recorded.
    Loopback,
}

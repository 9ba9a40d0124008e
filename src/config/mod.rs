//! Configuration keys to types, without looking at the world. Keys match as Go's JSON does: in any letter case.

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::cni::{
    Version,
    result::{Dns, Route},
};

/// A network configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfig {
    /// `cniVersion`; 0.1.0 when absent.
    pub cni_version: Version,
    /// `name`, checked against the spec's character set and at most 200 bytes.
    pub name: String,
    /// `type`: the name under which the runtime called us.
    pub plugin_type: String,
    /// What the kernel must do and how modules are loaded.
    pub kernel: KernelConfig,
    /// Where logs go.
    pub log: LogConfig,
    /// To whom control passes once the kernel is ready.
    pub mode: Mode,
    /// `prevResult`, as it came.
    pub prev_result: Option<Value>,
    /// `runtimeConfig`, the parts that groundwork reads.
    pub runtime: RuntimeConfig,
    /// `args.cni`, the parts that groundwork reads.
    pub args: ArgsConfig,
    /// `stateDir`, default `/run/groundwork`.
    pub state_dir: PathBuf,
    /// GC's `cni.dev/valid-attachments` (or `cni.dev/attachments`): None when absent; null counts as an empty list.
    pub valid_attachments: Option<Vec<Attachment>>,
    /// Paths of keys that groundwork does not know, each with the known key it may have meant.
    pub unknown_keys: Vec<UnknownKey>,
    /// The configuration as it came, for delegates.
    pub raw: Map<String, Value>,
}

/// A key nobody here reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// Its path, as `ipam.rnages`.
    pub path: String,
    /// The known key with nearly the same letters, if any.
    pub meant: Option<&'static str>,
}

/// (container, interface), as runtimes name what they attached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attachment {
    /// `containerID`.
    pub container_id: String,
    /// `ifname`.
    pub ifname: String,
}

/// Keys `modules` and `loaders`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelConfig {
    /// `modules`: features or plain module names, on top of what the configuration needs. None when absent.
    pub modules: Option<Vec<String>>,
    /// `loaders`: which means are tried, in this order. None when absent.
    pub loaders: Option<Vec<LoaderName>>,
}

/// A means of loading a module, by its name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoaderName {
    /// The netlink request that makes the kernel load by itself.
    Netlink,
    /// `ioctl(SIOCGIFINDEX)` with the module's name.
    Ioctl,
    /// The `modprobe` program.
    Modprobe,
    /// `finit_module(2)`: bypasses modprobe.d, so it is never a default.
    Finit,
}

/// Keys `logFile` and `logLevel`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// `logFile`: an absolute path, appended to.
    pub file: Option<PathBuf>,
    /// `logLevel`: error, warn, info, debug or trace.
    pub level: Option<LogLevel>,
}

/// `logLevel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Who builds the network.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// Nobody here: the next plugin of the chain. The result is `prevResult`, or empty.
    Chained,
    /// `delegate`: another plugin, run by the exec protocol.
    Delegate(DelegateConfig),
    /// `bridge`: groundwork itself.
    Bridge(Box<BridgeConfig>),
}

/// The key `delegate`.
#[derive(Debug, Clone, PartialEq)]
pub struct DelegateConfig {
    /// `delegate.type`: a file name, looked up in `CNI_PATH` only.
    pub plugin_type: String,
    /// The whole object.
    pub config: Map<String, Value>,
}

/// The native bridge network: the reference plugin's keys with its meanings.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::struct_excessive_bools)]
pub struct BridgeConfig {
    /// `bridge`, at most 15 bytes.
    pub bridge: String,
    /// `isGateway`, true also with `isDefaultGateway`.
    pub is_gateway: bool,
    /// `isDefaultGateway`.
    pub is_default_gateway: bool,
    /// `forceAddress`.
    pub force_address: bool,
    /// `ipMasq`.
    pub ip_masq: bool,
    /// `mtu` in bytes; the kernel's when none (0 counts as none).
    pub mtu: Option<u32>,
    /// `hairpinMode`; excludes `promiscMode`.
    pub hairpin_mode: bool,
    /// `promiscMode`.
    pub promisc_mode: bool,
    /// `enabledad`: IPv6 duplicate address detection in the container.
    pub enable_dad: bool,
    /// `ipam`; none is a network without addresses (L2 only).
    pub ipam: Option<IpamConfig>,
    /// `dns`, which replaces the IPAM's when any field is set.
    pub dns: Dns,
}

/// Who gives addresses.
#[derive(Debug, Clone, PartialEq)]
pub enum IpamConfig {
    /// `ipam.type` "host-local", in process.
    HostLocal(HostLocalConfig),
    /// `ipam.type` "static", in process.
    Static(StaticConfig),
    /// Any other type: that plugin, by exec.
    Exec {
        /// `ipam.type`: a file name, looked up in `CNI_PATH` only.
        plugin_type: String,
    },
}

/// `ipam` of host-local, checked: no overlap, one family per set, no host bits, room for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLocalConfig {
    /// One address is given from each set. `runtimeConfig.ipRanges`, `subnet`, `ranges`, in this order.
    pub range_sets: Vec<RangeSet>,
    /// `routes`.
    pub routes: Vec<Route>,
    /// `dataDir`, when given; leases otherwise live beside the records and end with the boot.
    pub data_dir: Option<PathBuf>,
    /// `resolvConf`: a file in resolv.conf's form, read when an ADD runs.
    pub resolv_conf: Option<PathBuf>,
    /// Addresses asked for: CNI_ARGS `IP`, `args.cni.ips`, `runtimeConfig.ips` (the last one given wins).
    pub requested: Vec<IpAddr>,
}

/// One set of ranges of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet(pub Vec<Range>);

/// One range, its defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// `subnet`, no host bits.
    pub subnet: IpNet,
    /// `rangeStart`; the first address after the network's when absent.
    pub start: IpAddr,
    /// `rangeEnd`; broadcast - 1 for IPv4, the last address for IPv6 when absent.
    pub end: IpAddr,
    /// `gateway`; network + 1 when absent. Never given to a container.
    pub gateway: IpAddr,
}

/// `ipam` of static.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticConfig {
    /// `addresses`, after CNI_ARGS `IP`/`GATEWAY` (which append) and `args.cni.ips`, `runtimeConfig.ips` (which replace).
    pub addresses: Vec<StaticAddress>,
    /// `routes`.
    pub routes: Vec<Route>,
    /// `dns`.
    pub dns: Dns,
}

/// One address of static.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticAddress {
    /// `address` with its prefix.
    pub address: IpNet,
    /// `gateway`.
    pub gateway: Option<IpAddr>,
}

/// `runtimeConfig`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// `mac`.
    pub mac: Option<[u8; 6]>,
    /// `ips`.
    pub ips: Vec<String>,
}

/// `args.cni`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArgsConfig {
    /// `mac`.
    pub mac: Option<[u8; 6]>,
    /// `ips`.
    pub ips: Vec<String>,
}

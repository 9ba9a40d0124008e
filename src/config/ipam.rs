//! The key `ipam`: who gives addresses, and the in-process `static`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Map;

use super::{ConfigError, HostLocalConfig, RangeSet, bridge::read_dns, parse::plugin_name, runtime::RuntimeKeys};
use crate::cni::{
    CniArgs, Verb, Version,
    json::{Fault, FieldError, Item, Object, UnknownKey, parse_cidr, parse_ip},
    result::{Dns, Route},
};

/// Where the reference plugin host-local keeps its leases unless `dataDir` says otherwise.
pub const REFERENCE_DATA_DIR: &str = "/var/lib/cni/networks";

const HOST_LOCAL: &str = "host-local";
const STATIC: &str = "static";

/// The reference plugins that give addresses, whose work is done here.
pub const PROGRAMS: [&str; 2] = [HOST_LOCAL, STATIC];

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

/// What a runtime asks of an IPAM, and for which request.
pub(super) struct Requests<'a> {
    pub(super) verb: Verb,
    pub(super) version: Version,
    pub(super) env: &'a CniArgs,
    pub(super) keys: &'a RuntimeKeys<'a>,
    /// An overlay gives this host a subnet, from which addresses come when the IPAM names none.
    pub(super) has_overlay: bool,
}

impl<'a> Requests<'a> {
    /// `ips` of `args.cni` and of `runtimeConfig`, in rising precedence.
    pub(super) fn ips(&self) -> Result<[Vec<Item<'a>>; 2], FieldError> {
        let read = |object: Option<&Object<'a>>| object.map_or_else(|| Ok(Vec::new()), |object| object.list("ips"));
        Ok([read(self.keys.args.as_ref())?, read(self.keys.runtime.as_ref())?])
    }
}

impl IpamConfig {
    /// Whether an IPv6 address is sure to be given.
    pub(super) fn has_ipv6(&self) -> bool {
        match self {
            Self::HostLocal(config) => config.range_sets.iter().any(RangeSet::is_ipv6),
            Self::Static(config) => config.addresses.iter().any(|one| one.address.addr().is_ipv6()),
            Self::Exec { .. } => false,
        }
    }

    pub(super) fn read(
        root: &Object<'_>,
        requests: &Requests<'_>,
        unknown: &mut Vec<UnknownKey>,
    ) -> Result<Option<Self>, ConfigError> {
        let given = root.object("ipam")?.filter(|ipam| !ipam.is_blank());
        let none = Map::new();
        let Some(ipam) = given.or_else(|| requests.has_overlay.then(|| Object::at("ipam".into(), &none))) else {
            return Ok(None);
        };
        let plugin = plugin_name(&ipam)?.or_else(|| requests.has_overlay.then(|| HOST_LOCAL.to_owned()));
        let plugin = ipam.require("type", plugin, "host-local, static, or an IPAM plugin's name")?;
        if PROGRAMS.contains(&plugin.as_str()) {
            return Self::read_own(&plugin, &ipam, requests, unknown).map(Some);
        }
        Ok(Some(Self::Exec { plugin_type: plugin })) // its keys are its own
    }

    /// `ipam` of one of [`PROGRAMS`].
    fn read_own(
        plugin: &str,
        ipam: &Object<'_>,
        requests: &Requests<'_>,
        unknown: &mut Vec<UnknownKey>,
    ) -> Result<Self, ConfigError> {
        let config = if plugin == STATIC {
            Self::Static(StaticConfig::read(ipam, requests, unknown)?)
        } else {
            Self::HostLocal(HostLocalConfig::read(ipam, requests, unknown)?)
        };
        unknown.extend(ipam.unread(&["name", "type"]));
        Ok(config)
    }

    /// As the plugin of that name reads the configuration of the plugin that called it: leases lie where that plugin's
    /// lie.
    pub(super) fn read_for_another(
        plugin: &str,
        root: &Object<'_>,
        requests: &Requests<'_>,
        unknown: &mut Vec<UnknownKey>,
    ) -> Result<Self, ConfigError> {
        let ipam = root.require("ipam", root.object("ipam")?, "what addresses to give")?;
        let mut config = Self::read_own(plugin, &ipam, requests, unknown)?;
        if let Self::HostLocal(config) = &mut config {
            config.data_dir.get_or_insert_with(|| REFERENCE_DATA_DIR.into());
        }
        Ok(config)
    }
}

/// `routes` of `ipam`, which must be such as the kernel takes.
pub(super) fn read_routes(ipam: &Object<'_>, unknown: &mut Vec<UnknownKey>) -> Result<Vec<Route>, FieldError> {
    let mut routes = Vec::new();
    for object in ipam.objects("routes")? {
        let route = Route::read(&object)?;
        // The kernel refuses them of IPv4 only.
        if route.dst.addr().is_ipv4() && route.dst != route.dst.trunc() {
            return Err(object.fault("dst", format!("no host bits, as in {}", route.dst.trunc())));
        }
        if route.gw.is_some_and(|gw| gw.is_ipv4() != route.dst.addr().is_ipv4()) {
            return Err(object.fault("gw", "an address of the destination's family"));
        }
        unknown.extend(object.unread(&[]));
        routes.push(route);
    }
    Ok(routes)
}

/// Results of versions before 0.3.0 hold one address of each family.
pub(super) fn check_count(version: Version, is_ipv6: impl Iterator<Item = bool>) -> Result<(), FieldError> {
    let (v6, v4): (Vec<_>, Vec<_>) = is_ipv6.partition(|is_ipv6| *is_ipv6);
    if version >= Version::V0_3_0 || (v4.len() <= 1 && v6.len() <= 1) {
        return Ok(());
    }
    let expected = "0.3.0 or later, as `ipam` gives more than one address of a family".into();
    let fault = Fault::Value { found: format!("\"{version}\""), expected };
    Err(FieldError { path: "cniVersion".to_owned(), fault })
}

impl StaticConfig {
    fn read(ipam: &Object<'_>, requests: &Requests<'_>, unknown: &mut Vec<UnknownKey>) -> Result<Self, ConfigError> {
        let mut addresses = Vec::new();
        for object in ipam.objects("addresses")? {
            addresses.push(StaticAddress::read(&object)?);
            unknown.extend(object.unread(&[]));
        }
        append_from_env(&mut addresses, requests.env)?;
        for ips in requests.ips()? {
            let replacing = ips.iter().map(StaticAddress::read_requested).collect::<Result<Vec<_>, _>>()?;
            if !replacing.is_empty() {
                addresses = replacing;
            }
        }
        check_count(requests.version, addresses.iter().map(|one| one.address.addr().is_ipv6()))?;
        Ok(Self { addresses, routes: read_routes(ipam, unknown)?, dns: read_dns(ipam, unknown)?.unwrap_or_default() })
    }
}

impl StaticAddress {
    fn read(object: &Object<'_>) -> Result<Self, FieldError> {
        let address = object.cidr("address")?;
        let address = object.require("address", address, "an address with its prefix length, such as 10.1.0.5/16")?;
        let gateway = object.ip("gateway")?;
        if gateway.is_some_and(|gateway| gateway.is_ipv4() != address.addr().is_ipv4()) {
            return Err(object.fault("gateway", "an address of the same family"));
        }
        Ok(Self { address, gateway })
    }

    fn read_requested(item: &Item<'_>) -> Result<Self, FieldError> {
        let address = parse_cidr(item.string()?);
        let address = address.ok_or_else(|| item.fault("an address with its prefix length, such as 10.1.0.5/16"))?;
        Ok(Self { address, gateway: None })
    }
}

/// CNI_ARGS: `IP` adds addresses, `GATEWAY` gives a gateway to each address in whose subnet it lies. Both are lists
/// joined by commas.
fn append_from_env(addresses: &mut Vec<StaticAddress>, env: &CniArgs) -> Result<(), ConfigError> {
    for text in list(env, "IP") {
        let expected = "addresses with their prefix lengths, joined by commas";
        let address = parse_cidr(text).ok_or_else(|| argument("IP", text, expected))?;
        addresses.push(StaticAddress { address, gateway: None });
    }
    for text in list(env, "GATEWAY") {
        let expected = "IP addresses, joined by commas";
        let gateway = parse_ip(text).ok_or_else(|| argument("GATEWAY", text, expected))?;
        for one in addresses.iter_mut().filter(|one| one.address.contains(&gateway)) {
            one.gateway = Some(gateway);
        }
    }
    Ok(())
}

fn list<'a>(env: &'a CniArgs, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    env.value(key).into_iter().flat_map(|text| text.split(',')).map(str::trim)
}

/// The error that an item of CNI_ARGS has a value which cannot be.
pub(super) fn argument(key: &'static str, value: &str, expected: impl Into<String>) -> ConfigError {
    ConfigError::Argument { key, value: value.to_owned(), expected: expected.into() }
}

//! `ipam` of host-local: ranges, and the addresses asked for.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use ipnet::IpNet;

use super::{
    ConfigError,
    ipam::{Requests, argument, check_count, read_routes},
    keys::absolute_path,
};
use crate::cni::{
    Verb,
    json::{FieldError, Item, Object, UnknownKey, parse_cidr, parse_ip},
    result::Route,
};

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
    /// Addresses asked for, at most one in each set: CNI_ARGS `IP`, overridden by `args.cni.ips`, overridden by
    /// `runtimeConfig.ips`, set by set; all of them, the last one first in rank, where the sets are not known yet. Empty
    /// for every verb but ADD.
    pub requested: Vec<IpAddr>,
}

/// What is asked of the ranges that cannot be in this host's subnets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum OutsideSubnet {
    #[error("address {0} was asked for, and cannot be given on this host")]
    Address(IpAddr),
    #[error("the range {0} of `ipam` is not inside this host's subnet")]
    Range(Range),
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

impl RangeSet {
    /// Whether it gives IPv6 addresses.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.0.first().is_some_and(|range| range.start.is_ipv6())
    }

    /// Whether `ip` lies in one of its ranges.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(ip))
    }
}

impl Range {
    /// Whether `ip` lies between `start` and `end`, both included.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        // IpAddr orders every IPv4 address before every IPv6 one.
        (self.start..=self.end).contains(&ip)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn read(object: &Object<'_>) -> Result<Self, FieldError> {
        let subnet = object.cidr("subnet")?;
        let subnet = object.require("subnet", subnet, "a network, such as 10.1.0.0/16")?;
        if subnet.addr() != subnet.network() {
            return Err(object.fault("subnet", format!("no host bits, as in {}", subnet.trunc())));
        }
        if subnet.prefix_len() > subnet.max_prefix_len() - 2 {
            return Err(
                object.fault("subnet", "a network with room for addresses, at most a /30 (IPv4) or /126 (IPv6)")
            );
        }
        let whole = Self::from(subnet);
        let range = Self {
            subnet,
            start: object.ip("rangeStart")?.unwrap_or(whole.start),
            end: object.ip("rangeEnd")?.unwrap_or(whole.end),
            gateway: object.ip("gateway")?.unwrap_or(whole.gateway),
        };
        for (key, ip) in [("rangeStart", range.start), ("rangeEnd", range.end)] {
            if !subnet.contains(&ip) {
                return Err(object.fault(key, format!("an address of {subnet}")));
            }
        }
        if range.start > range.end {
            let key = if object.value("rangeEnd").is_some() { "rangeEnd" } else { "rangeStart" };
            return Err(object.fault(key, format!("a range that does not end before it starts ({range})")));
        }
        if range.gateway.is_ipv4() != subnet.addr().is_ipv4() {
            return Err(object.fault("gateway", format!("an address of the family of {subnet}")));
        }
        if range.start == range.end && range.start == range.gateway {
            return Err(object.fault("gateway", format!("an address outside of {range}, which has no other to give")));
        }
        Ok(range)
    }
}

impl From<IpNet> for Range {
    /// All of a network that has room for addresses, with its first address for the gateway.
    fn from(subnet: IpNet) -> Self {
        let start = offset(subnet.network(), 1);
        let end = if subnet.addr().is_ipv4() { offset(subnet.broadcast(), -1) } else { subnet.broadcast() };
        Self { subnet, start, end, gateway: start }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

/// `ip` moved by `by` within its family; an address at the end of its family stays.
fn offset(ip: IpAddr, by: i8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip).saturating_add_signed(by.into())).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip).saturating_add_signed(by.into())).into(),
    }
}

/// A set and where it stands.
type Placed<'a> = (Item<'a>, RangeSet);

impl HostLocalConfig {
    pub(super) fn read(
        ipam: &Object<'_>,
        requests: &Requests<'_>,
        unknown: &mut Vec<UnknownKey>,
    ) -> Result<Self, ConfigError> {
        let mut sets = match &requests.keys.runtime {
            Some(runtime) => read_sets(runtime, "ipRanges", unknown)?,
            None => Vec::new(),
        };
        if let Some(value) = ipam.string("subnet")?.and_then(|_| ipam.value("subnet")) {
            sets.push((ipam.item("subnet", value), RangeSet(vec![Range::read(ipam)?])));
        }
        sets.extend(read_sets(ipam, "ranges", unknown)?);
        if sets.is_empty() && !requests.has_overlay {
            return Err(ipam.missing("subnet", "a network to take addresses from, here or in `ranges`").into());
        }
        check_apart(&sets)?;
        let range_sets: Vec<_> = sets.into_iter().map(|(_, set)| set).collect();
        check_count(requests.version, range_sets.iter().map(RangeSet::is_ipv6))?;
        Ok(Self {
            routes: read_routes(ipam, unknown)?,
            data_dir: absolute_path(ipam, "dataDir")?,
            resolv_conf: absolute_path(ipam, "resolvConf")?,
            requested: requested(&range_sets, requests)?,
            range_sets,
        })
    }
}

impl HostLocalConfig {
    /// Takes addresses from this host's subnets of an overlay when no range is given; one that is given must lie in
    /// them.
    ///
    /// # Errors
    /// What was asked for and is not in them.
    pub fn settle(&mut self, subnets: &[IpNet]) -> Result<(), OutsideSubnet> {
        let mut ranges = self.range_sets.iter().flat_map(|set| &set.0);
        let is_inside =
            |range: &&Range| subnets.iter().any(|subnet| subnet.contains(&range.start) && subnet.contains(&range.end));
        if let Some(range) = ranges.find(|range| !is_inside(range)) {
            return Err(OutsideSubnet::Range(range.clone()));
        }
        if !self.range_sets.is_empty() {
            return Ok(());
        }
        self.range_sets = subnets.iter().map(|subnet| RangeSet(vec![Range::from(*subnet)])).collect();
        let mut chosen = vec![None; subnets.len()];
        for address in std::mem::take(&mut self.requested) {
            let set = self.range_sets.iter().position(|set| set.contains(address) && set.0[0].gateway != address);
            let set = set.ok_or(OutsideSubnet::Address(address))?;
            chosen[set] = Some(address);
        }
        self.requested = chosen.into_iter().flatten().collect();
        Ok(())
    }
}

/// A list of sets, each a list of ranges.
fn read_sets<'a>(
    parent: &Object<'a>,
    key: &'static str,
    unknown: &mut Vec<UnknownKey>,
) -> Result<Vec<Placed<'a>>, FieldError> {
    let mut sets = Vec::new();
    for item in parent.list(key)? {
        let mut ranges: Vec<Range> = Vec::new();
        for object in item.list()?.iter().map(Item::object) {
            let object = object?;
            let range = Range::read(&object)?;
            unknown.extend(object.unread(&[]));
            if let Some(other) = ranges.iter().find(|other| other.overlaps(&range)) {
                return Err(item.fault(format!("ranges that do not overlap, as {other} and {range} do")));
            }
            ranges.push(range);
        }
        let Some(first) = ranges.first() else { return Err(item.fault("at least one range")) };
        if ranges.iter().any(|range| range.start.is_ipv4() != first.start.is_ipv4()) {
            return Err(item.fault("ranges of one address family"));
        }
        sets.push((item, RangeSet(ranges)));
    }
    Ok(sets)
}

/// No range of a set overlaps one of another set.
fn check_apart(sets: &[Placed<'_>]) -> Result<(), FieldError> {
    for (index, (item, set)) in sets.iter().enumerate() {
        for (other_item, other) in &sets[..index] {
            if set.0.iter().any(|range| other.0.iter().any(|before| range.overlaps(before))) {
                return Err(item.fault(format!("no overlap with `{}`", other_item.path)));
            }
        }
    }
    Ok(())
}

/// An address asked for, and where.
enum Asked<'a> {
    Env(&'a str),
    Key(Item<'a>),
}

impl Asked<'_> {
    fn address(&self) -> Result<IpAddr, ConfigError> {
        let text = match self {
            Self::Env(text) => text,
            Self::Key(item) => item.string()?,
        };
        let address = parse_ip(text).or_else(|| parse_cidr(text).map(|net| net.addr()));
        address.ok_or_else(|| self.fault("an IP address, with a prefix length or without"))
    }

    fn fault(&self, expected: impl Into<String>) -> ConfigError {
        match self {
            Self::Env(text) => argument("IP", text, expected),
            Self::Key(item) => item.fault(expected.into()).into(),
        }
    }
}

/// The addresses that an ADD asks for: those of a later source replace those of an earlier one in the same set.
fn requested(sets: &[RangeSet], requests: &Requests<'_>) -> Result<Vec<IpAddr>, ConfigError> {
    if requests.verb != Verb::Add {
        return Ok(Vec::new());
    }
    let is_later = sets.is_empty(); // the host's subnets are not known yet
    let env = requests.env.value("IP").map(Asked::Env).into_iter().collect();
    let [args, runtime] = requests.ips()?.map(|ips| ips.into_iter().map(Asked::Key).collect::<Vec<_>>());
    if is_later {
        let sources: [Vec<Asked<'_>>; 3] = [env, args, runtime];
        return sources.iter().flatten().map(Asked::address).collect();
    }
    let mut chosen = vec![None; sets.len()];
    for source in [env, args, runtime] {
        for (chosen, own) in chosen.iter_mut().zip(choose(sets, &source)?) {
            *chosen = own.or(*chosen);
        }
    }
    Ok(chosen.into_iter().flatten().collect())
}

/// For each set the address that one source asks for.
fn choose(sets: &[RangeSet], source: &[Asked<'_>]) -> Result<Vec<Option<IpAddr>>, ConfigError> {
    let mut chosen = vec![None; sets.len()];
    for asked in source {
        let address = asked.address()?;
        let Some(index) = sets.iter().position(|set| set.contains(address)) else {
            let ranges: Vec<_> = sets.iter().flat_map(|set| &set.0).map(ToString::to_string).collect();
            return Err(asked.fault(format!("an address of the ranges {}", ranges.join(", "))));
        };
        if sets[index].0.iter().any(|range| range.gateway == address) {
            return Err(asked.fault("another address than the gateway's"));
        }
        if chosen[index].replace(address).is_some_and(|other| other != address) {
            return Err(asked.fault("one address of each range set"));
        }
    }
    Ok(chosen)
}

//! Each step as the command that a person would type.

use std::{fmt, ops::RangeInclusive};

use ipnet::IpNet;

use super::{
    host_ports::EndFlows,
    source_routing::Entry,
    step::{Place, Step},
};
use crate::{cni::result::Route, nft::ruleset::gate::MARK};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateBridge { .. } | Self::CreateVeth { .. } | Self::CreateLink { .. } | Self::CreateIfb { .. } => {
                Create(self).fmt(f)
            }
            Self::FilterVlans { bridge } => write!(f, "ip link set {bridge} type bridge vlan_filtering 1"),
            Self::SetUp { place, link } => write!(f, "{}ip link set {link} up", Enter(*place)),
            Self::Sysctl { place, setting, value, .. } => write!(f, "{}sysctl -w {setting}={value}", Enter(*place)),
            Self::DeleteAddress { link, address } => write!(f, "ip addr del {address} dev {link}"),
            Self::AddAddress { place, link, address, flags } => {
                let nodad = if flags.nodad && matches!(address, IpNet::V6(_)) { " nodad" } else { "" };
                let alone = if flags.no_prefix_route { " noprefixroute" } else { "" };
                write!(f, "{}ip addr add {address} dev {link}{nodad}{alone}", Enter(*place))
            }
            Self::AddRule(rule) => {
                let ip = if rule.source.is_ipv6() { "ip -6" } else { "ip" };
                write!(f, "{}{ip} rule add {rule}", Enter(Place::Sandbox))
            }
            Self::ChangeRoute { change, link, route } => {
                write!(f, "{}ip route {change} {}", Enter(Place::Sandbox), Entry(link, route))
            }
            Self::RenameLink { link, name, alias } => {
                write!(f, "{}ip link set {link} name {name} alias {alias}", Enter(Place::Sandbox))
            }
            Self::SetMaster { link, master } => {
                write!(f, "{}ip link set {link} master {master}", Enter(Place::Sandbox))
            }
            Self::MoveLink { link, name } => write!(f, "ip link set {link} netns SANDBOX name {name} alias {link}"),
            Self::SetPort { link, flags } => write!(f, "ip link set {link} type bridge_slave {flags}"),
            Self::SetVlans { link, leave, trunk, native } => {
                if let Some(vlan) = leave {
                    writeln!(f, "bridge vlan del dev {link} vid {vlan}")?;
                }
                for range in trunk {
                    writeln!(f, "bridge vlan add dev {link} vid {}", Ids(range))?;
                }
                write!(f, "bridge vlan add dev {link} vid {native} pvid untagged")
            }
            Self::AddRoute { place, link, route, src } => {
                write!(f, "{}{}", Enter(*place), RouteCommand(link, route))?;
                src.map_or(Ok(()), |src| write!(f, " src {src}"))
            }
            Self::AwaitDetection { link } => write!(
                f,
                "while {}ip -6 addr show dev {link} scope global tentative | grep -q .; do sleep 0.1; done",
                Enter(Place::Sandbox)
            ),
            Self::ChangeLink { place, link, settings } => write!(f, "{}ip link set {link} {settings}", Enter(*place)),
            Self::Shape { link, shaper } => write!(f, "tc qdisc add dev {link} root handle 1: {shaper}"),
            Self::Redirect { link, ifb } => write!(
                f,
                "tc qdisc add dev {link} ingress\ntc filter add dev {link} parent ffff: prio 1 protocol all u32 \
                 match u8 0 0 action mirred egress redirect dev {ifb}"
            ),
            Self::AddElements(elements) => {
                let lines: Vec<_> = elements.iter().map(|element| format!("nft {element}")).collect();
                f.write_str(&lines.join("\n"))
            }
            Self::OpenGates { admin_chain } => write!(
                f,
                "# in each chain of another program that drops what is forwarded (after {admin_chain}, where that is):\n\
                 # nft insert rule FAMILY TABLE CHAIN 'meta mark & {MARK:#x} == {MARK:#x} accept'"
            ),
            Self::EndFlows(ports) => {
                let lines: Vec<_> = ports.iter().map(|port| EndFlows(port).to_string()).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

/// What makes a link.
struct Create<'a>(&'a Step);

impl fmt::Display for Create<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Step::CreateBridge { name, mac, mtu, vlan_filtering } => {
                let filtering = if *vlan_filtering { " vlan_filtering 1" } else { "" };
                write!(f, "ip link add {name} address {mac}{} type bridge{filtering}", Mtu(*mtu))
            }
            Step::CreateVeth { host, host_mac, bridge, place, peer, peer_mac, mtu } => {
                let mtu = Mtu(*mtu);
                let master = bridge.as_ref().map(|bridge| format!(" master {bridge}")).unwrap_or_default();
                let netns = if *place == Place::Sandbox { " netns SANDBOX" } else { "" };
                write!(f, "ip link add {host} address {host_mac}{mtu}{master} up type veth ")?;
                write!(f, "peer name {peer} address {peer_mac}{mtu}{netns}")
            }
            Step::CreateLink { place, name, parent, kind, mac, mtu } => {
                let parent = parent.as_ref().map(|parent| format!("link {parent} ")).unwrap_or_default();
                let mac = mac.map(|mac| format!(" address {mac}")).unwrap_or_default();
                let netns = if *place == Place::Host { " netns SANDBOX" } else { "" };
                let (enter, mtu) = (Enter(*place), Mtu(*mtu));
                write!(f, "{enter}ip link add {parent}name {name}{mac}{mtu}{netns} type {kind}")
            }
            Step::CreateIfb { name, mac, mtu } => {
                write!(f, "ip link add {name} address {mac} mtu {mtu} up type ifb")
            }
            _ => Ok(()),
        }
    }
}

/// Steps as a script, one command a line.
pub struct Script<'a>(pub &'a [Step]);

impl fmt::Display for Script<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

struct Enter(Place);

impl fmt::Display for Enter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place::Host => Ok(()),
            Place::Sandbox => f.write_str("ip netns exec SANDBOX "),
        }
    }
}

struct Mtu(Option<u32>);

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |mtu| write!(f, " mtu {mtu}"))
    }
}

struct Ids<'a>(&'a RangeInclusive<u16>);

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.0.start(), self.0.end());
        if start == end { write!(f, "{start}") } else { write!(f, "{start}-{end}") }
    }
}

struct RouteCommand<'a>(&'a str, &'a Route);

impl fmt::Display for RouteCommand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(link, route) = self;
        write!(f, "ip route add {}", route.dst)?;
        let parts = [
            ("via", route.gw.map(|gw| gw.to_string())),
            ("dev", Some((*link).to_owned())),
            ("metric", route.priority.map(|number| number.to_string())),
            ("table", route.table.map(|number| number.to_string())),
            ("scope", route.scope.map(|number| number.to_string())),
            ("mtu", route.mtu.map(|number| number.to_string())),
            ("advmss", route.advmss.map(|number| number.to_string())),
        ];
        parts.into_iter().try_for_each(|(word, value)| value.map_or(Ok(()), |value| write!(f, " {word} {value}")))
    }
}

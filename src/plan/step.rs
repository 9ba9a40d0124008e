//! The steps of an ADD, each printable as the command that a person would type.

use std::{borrow::Cow, fmt, net::IpAddr, ops::RangeInclusive};

use ipnet::IpNet;

use super::host_ports::EndFlows;
use crate::{
    cni::{mac::Mac, result::Route},
    nft::ruleset::{Element, Owned, gate::MARK},
    rtnl::values::{AddressFlags, LinkKind, LinkSettings, PortFlags, Shaper},
};

/// In which network namespace a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where the plugin was called.
    Host,
    /// The container's.
    Sandbox,
}

/// A kernel setting, by its path below /proc/sys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Setting(pub String);

impl Setting {
    /// `net/FAMILY/conf/LINK/NAME`.
    #[must_use]
    pub fn conf(family: &str, link: &str, name: &str) -> Self {
        Self(format!("net/{family}/conf/{link}/{name}"))
    }
}

impl fmt::Display for Setting {
    /// As sysctl(8) writes it: dots between the components, a slash for a dot inside one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let swap = |letter| match letter {
            '/' => '.',
            '.' => '/',
            other => other,
        };
        self.0.chars().map(swap).try_for_each(|letter| write!(f, "{letter}"))
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make the bridge, up, unless somebody was faster.
    CreateBridge {
        /// Its name.
        name: String,
        /// Its pinned hardware address.
        mac: Mac,
        /// In bytes.
        mtu: Option<u32>,
        /// It tells VLANs apart.
        vlan_filtering: bool,
    },
    /// Make a bridge that is there tell VLANs apart.
    FilterVlans {
        /// Its name.
        bridge: String,
    },
    /// Set a link up.
    SetUp {
        /// Where it is.
        place: Place,
        /// Its name.
        link: String,
    },
    /// Turn promiscuous mode on, on the host.
    SetPromisc {
        /// Its name.
        link: String,
    },
    /// Write a kernel setting.
    Sysctl {
        /// Whose setting.
        place: Place,
        /// Which.
        setting: Setting,
        /// Its new value.
        value: Cow<'static, str>,
        /// A kernel without this setting is no failure.
        optional: bool,
    },
    /// Take an address from a link of the host.
    DeleteAddress {
        /// The link's name.
        link: String,
        /// The address.
        address: IpNet,
    },
    /// Give a link an address.
    AddAddress {
        /// Where it is.
        place: Place,
        /// The link's name.
        link: String,
        /// The address.
        address: IpNet,
        /// How.
        flags: AddressFlags,
    },
    /// Make a veth pair: the host's end up, the other born down where it belongs.
    CreateVeth {
        /// Name of the host's end.
        host: String,
        /// Its hardware address.
        host_mac: Mac,
        /// The bridge whose port it is.
        bridge: Option<String>,
        /// Where the other end is born.
        place: Place,
        /// Its name.
        peer: String,
        /// Its hardware address.
        peer_mac: Mac,
        /// Of both, in bytes.
        mtu: Option<u32>,
    },
    /// Make a link without an end elsewhere, down, in the sandbox.
    CreateLink {
        /// Where its parent is.
        place: Place,
        /// Its name for now, which is nobody's.
        name: String,
        /// The link on which it stands.
        parent: Option<String>,
        /// What it is.
        kind: LinkKind,
        /// Its hardware address; the kernel's choice when None.
        mac: Option<Mac>,
        /// In bytes.
        mtu: Option<u32>,
    },
    /// Give a link of the sandbox its name, and write whose it is.
    RenameLink {
        /// Its name for now.
        link: String,
        /// Its name.
        name: String,
        /// Whose it is.
        alias: String,
    },
    /// Move a link of the host into the sandbox.
    MoveLink {
        /// Its name on the host, which is written down as its alias.
        link: String,
        /// Its name there.
        name: String,
    },
    /// Change the settings of a bridge's port.
    SetPort {
        /// The port's name.
        link: String,
        /// All of them.
        flags: PortFlags,
    },
    /// Put a bridge's port into VLANs.
    SetVlans {
        /// The port's name.
        link: String,
        /// The VLAN that it leaves.
        leave: Option<u16>,
        /// Those whose frames are tagged.
        trunk: Vec<RangeInclusive<u16>>,
        /// That of untagged frames.
        native: u16,
    },
    /// Add a route.
    AddRoute {
        /// Where.
        place: Place,
        /// The outgoing link's name.
        link: String,
        /// The route, its next hop filled in.
        route: Route,
        /// The address from which what takes it is sent.
        src: Option<IpAddr>,
    },
    /// Wait until no other machine was found to have an IPv6 address of a link in the sandbox.
    AwaitDetection {
        /// The link's name.
        link: String,
    },
    /// Change settings of a link in the sandbox.
    ChangeLink {
        /// The link's name.
        link: String,
        /// Its new settings.
        settings: LinkSettings,
    },
    /// Make the ifb from which what a container sends goes on, up.
    CreateIfb {
        /// Its name.
        name: String,
        /// Its hardware address.
        mac: Mac,
        /// In bytes.
        mtu: u32,
    },
    /// Shape what a link of the host sends.
    Shape {
        /// The link's name.
        link: String,
        /// How.
        shaper: Shaper,
    },
    /// Redirect what a link of the host receives.
    Redirect {
        /// The link's name.
        link: String,
        /// The ifb's name.
        ifb: String,
    },
    /// One nf_tables transaction.
    AddElements(Vec<Owned>),
    /// Make other programs' chains that drop what is forwarded let containers through.
    OpenGates {
        /// The administrator's own chain, asked before where it exists.
        admin_chain: String,
    },
    /// End flows to host ports that began before these led to the container.
    EndFlows(Vec<Element>),
}

impl Step {
    /// In which namespace it runs.
    #[must_use]
    pub const fn place(&self) -> Place {
        match self {
            Self::SetUp { place, .. }
            | Self::Sysctl { place, .. }
            | Self::AddAddress { place, .. }
            | Self::CreateLink { place, .. }
            | Self::AddRoute { place, .. } => *place,
            Self::RenameLink { .. } | Self::AwaitDetection { .. } | Self::ChangeLink { .. } => Place::Sandbox,
            _ => Place::Host,
        }
    }

    /// The setting of the host that it changes and that cannot be done without, with its value.
    #[must_use]
    pub fn setting(&self) -> Option<(String, String)> {
        match self {
            Self::Sysctl { place: Place::Host, setting, value, optional: false } => {
                Some((setting.0.clone(), value.clone().into_owned()))
            }
            _ => None,
        }
    }

    /// The elements of nf_tables that it adds.
    #[must_use]
    pub fn elements(&self) -> &[Owned] {
        match self {
            Self::AddElements(elements) => elements,
            _ => &[],
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateBridge { name, mac, mtu, vlan_filtering } => {
                let filtering = if *vlan_filtering { " vlan_filtering 1" } else { "" };
                write!(f, "ip link add {name} address {mac}{} up type bridge{filtering}", Mtu(*mtu))
            }
            Self::FilterVlans { bridge } => write!(f, "ip link set {bridge} type bridge vlan_filtering 1"),
            Self::SetUp { place, link } => write!(f, "{}ip link set {link} up", Enter(*place)),
            Self::SetPromisc { link } => write!(f, "ip link set {link} promisc on"),
            Self::Sysctl { place, setting, value, .. } => write!(f, "{}sysctl -w {setting}={value}", Enter(*place)),
            Self::DeleteAddress { link, address } => write!(f, "ip addr del {address} dev {link}"),
            Self::AddAddress { place, link, address, flags } => {
                let nodad = if flags.nodad && matches!(address, IpNet::V6(_)) { " nodad" } else { "" };
                let alone = if flags.no_prefix_route { " noprefixroute" } else { "" };
                write!(f, "{}ip addr add {address} dev {link}{nodad}{alone}", Enter(*place))
            }
            Self::CreateVeth { host, host_mac, bridge, place, peer, peer_mac, mtu } => {
                let mtu = Mtu(*mtu);
                let master = bridge.as_ref().map(|bridge| format!(" master {bridge}")).unwrap_or_default();
                let netns = if *place == Place::Sandbox { " netns SANDBOX" } else { "" };
                write!(f, "ip link add {host} address {host_mac}{mtu}{master} up type veth ")?;
                write!(f, "peer name {peer} address {peer_mac}{mtu}{netns}")
            }
            Self::CreateLink { place, name, parent, kind, mac, mtu } => {
                let parent = parent.as_ref().map(|parent| format!("link {parent} ")).unwrap_or_default();
                let mac = mac.map(|mac| format!(" address {mac}")).unwrap_or_default();
                let netns = if *place == Place::Host { " netns SANDBOX" } else { "" };
                let (enter, mtu) = (Enter(*place), Mtu(*mtu));
                write!(f, "{enter}ip link add {parent}name {name}{mac}{mtu}{netns} type {kind}")
            }
            Self::RenameLink { link, name, alias } => {
                write!(f, "{}ip link set {link} name {name} alias {alias}", Enter(Place::Sandbox))
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
            Self::ChangeLink { link, settings } => write!(f, "{}ip link set {link} {settings}", Enter(Place::Sandbox)),
            Self::CreateIfb { name, mac, mtu } => {
                write!(f, "ip link add {name} address {mac} mtu {mtu} up type ifb")
            }
            Self::Shape { link, shaper } => write!(f, "tc qdisc add dev {link} root handle 1: {shaper}"),
            Self::Redirect { link, ifb } => write!(
                f,
                "tc qdisc add dev {link} ingress\ntc filter add dev {link} parent ffff: prio 1 protocol all u32 \
                 match u8 0 0 action mirred egress redirect dev {ifb}"
            ),
            Self::AddElements(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    write!(f, "{}nft {element}", if index == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
            Self::OpenGates { admin_chain } => write!(
                f,
                "# in each chain of another program that drops what is forwarded (after {admin_chain}, where that is):\n\
                 # nft insert rule FAMILY TABLE CHAIN 'meta mark & {MARK:#x} == {MARK:#x} accept'"
            ),
            Self::EndFlows(ports) => {
                for (index, port) in ports.iter().enumerate() {
                    write!(f, "{}{}", if index == 0 { "" } else { "\n" }, EndFlows(port))?;
                }
                Ok(())
            }
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

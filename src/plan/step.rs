//! The steps of an ADD, each printable as the command that a person would type.

use std::{borrow::Cow, fmt, net::IpAddr, ops::RangeInclusive};

use ipnet::IpNet;

use super::source_routing::RouteChange;
use crate::{
    cni::{mac::Mac, result::Route},
    nft::ruleset::{Element, Owned},
    rtnl::values::{AddressFlags, Ipv4Setting, LinkKind, LinkSettings, PortFlags, RouteEntry, Shaper, SourceRule},
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

    /// The link whose setting it is, and which, where rtnetlink can turn it on.
    #[must_use]
    pub fn of_ipv4(&self) -> Option<(&str, Ipv4Setting)> {
        let (link, name) = self.0.strip_prefix("net/ipv4/conf/")?.rsplit_once('/')?;
        let setting =
            [Ipv4Setting::ArpNotify, Ipv4Setting::RouteLocalnet].into_iter().find(|one| one.to_string() == name);
        setting.filter(|_| !matches!(link, "all" | "default")).map(|setting| (link, setting))
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
    /// Make the bridge, unless somebody was faster.
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
    /// Make a link of the sandbox the port of another.
    SetMaster {
        /// Its name.
        link: String,
        /// The other's name.
        master: String,
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
    /// Change settings of a link.
    ChangeLink {
        /// Where it is.
        place: Place,
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
    /// Let what is sent from an address of the sandbox go by a table.
    AddRule(SourceRule),
    /// Change a route of the sandbox.
    ChangeRoute {
        /// How.
        change: RouteChange,
        /// The outgoing link's name.
        link: String,
        /// The route.
        route: RouteEntry,
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
            | Self::ChangeLink { place, .. }
            | Self::AddRoute { place, .. } => *place,
            Self::RenameLink { .. }
            | Self::SetMaster { .. }
            | Self::AwaitDetection { .. }
            | Self::AddRule(_)
            | Self::ChangeRoute { .. } => Place::Sandbox,
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

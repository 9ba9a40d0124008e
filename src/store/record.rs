//! One attachment as it is remembered: all that DEL, CHECK, GC and repair need.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::BootId;
use crate::{
    cni::mac::Mac,
    config::Attachment,
    nft::ruleset::{Element, Owned, Owner},
    plan::source_routing::SourceRouting,
    rtnl::{Link, LinkSettings},
    sys::netns::NetnsId,
};

/// The newest format that this version reads and writes. A record has the lowest whose readers can undo all that it
/// stands for, so that after a downgrade the others are still served; what they cannot undo they refuse.
///
/// 1. A link with an end on the host, addresses, leases, elements, settings, another plugin.
/// 2. A link without such an end, VRF, tuning, routing by source, limits on bandwidth.
///
/// A field or kind of element that must be undone raises it; one that can be left out does not.
pub const FORMAT: u32 = 2;

/// One attachment. Written as an intent before anything is touched, again when the addresses are known, and again
/// when all is done. A reader skips fields that it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The network's name.
    pub network: String,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// How far the ADD came.
    pub state: State,
    /// The network's configuration as the ADD had it, without prevResult; for repair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Map<String, Value>>,
    /// The boot in which it was made.
    pub boot_id: BootId,
    /// The sandbox.
    pub netns: Netns,
    /// The host's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_link: Option<HostLink>,
    /// Hardware address of the sandbox's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_mac: Option<Mac>,
    /// The sandbox's link, when it has no end on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_link: Option<SandboxLink>,
    /// The VRF in which it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<String>,
    /// Addresses of the sandbox's end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNet>,
    /// Which of them are leases of the embedded host-local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leases: Option<Leases>,
    /// Settings of the sandbox's end as they were before they were changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned: Option<LinkSettings>,
    /// What routing by source changed in the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_routing: Option<SourceRouting>,
    /// The host's link of which the traffic is limited, where another plugin made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shaped: Option<Shaped>,
    /// The ifb by which what the container sends is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifb: Option<HostLink>,
    /// Elements in the sets and maps of our nftables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<Element>,
    /// Settings of the host that it needs, by their paths below /proc/sys, and their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<(String, String)>,
    /// The administrator's own chain, when other programs' firewalls are to let it through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_chain: Option<String>,
    /// The IPAM plugin that was run, to be run again by DEL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipam: Option<Plugin>,
    /// The plugin to which control was passed, to be run again by DEL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate: Option<Plugin>,
    /// The result that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// How far an ADD came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It began. Whoever reads this while holding the lock knows that it was killed.
    Adding,
    /// It succeeded.
    Added,
}

/// A sandbox: where it was, and which it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netns {
    /// `CNI_NETNS`.
    pub path: PathBuf,
    /// Its identity.
    #[serde(flatten)]
    pub id: NetnsId,
}

impl Netns {
    /// Nothing, or another namespace, lies at its path now. It may live on without a name (or at another path).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        NetnsId::at(&self.path) != Some(self.id)
    }

    /// As [`Netns::is_gone`], for who must not be wrong: a path below /proc ends with a process, which need not be the
    /// container's last, and of a path that never led to a namespace nothing is known.
    #[must_use]
    pub fn is_gone_for_good(&self) -> bool {
        self.id != NetnsId::UNKNOWN && !self.path.starts_with("/proc") && self.is_gone()
    }
}

/// A link of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLink {
    /// Its name.
    pub name: String,
    /// Its hardware address, chosen at random: it tells this link from another that got the name later.
    pub mac: Mac,
}

/// A link of the host of which the traffic is limited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shaped {
    /// The link.
    #[serde(flatten)]
    pub link: HostLink,
    /// What it sends is.
    pub sends: bool,
    /// What it receives is.
    pub receives: bool,
}

impl HostLink {
    /// A link that is there; None for one without hardware address.
    #[must_use]
    pub fn of(link: &Link) -> Option<Self> {
        Some(Self { name: link.name.clone(), mac: link.mac? })
    }
}

/// A link of a sandbox without an end on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SandboxLink {
    /// It was made for it, and goes with it.
    Made {
        /// Its name until it got the interface's. Since then its alias is the owner's.
        temporary: String,
    },
    /// It was the host's, and becomes that again.
    Moved {
        /// Its name on the host, and its alias in the sandbox.
        name: String,
        /// Its hardware address.
        mac: Option<Mac>,
        /// Its alias on the host.
        alias: Option<String>,
        /// It was up on the host.
        up: bool,
    },
}

/// Leases and where they lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leases {
    /// `ipam.dataDir`; None when they lie beside the records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
}

/// Another plugin, and all that it takes to run it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its file name.
    #[serde(rename = "type")]
    pub plugin_type: String,
    /// The configuration that it was given.
    pub config: Map<String, Value>,
}

impl Record {
    /// What is written before anything is touched.
    #[must_use]
    pub fn intent(network: &str, attachment: &Attachment, netns: Netns, boot_id: BootId) -> Self {
        Self {
            network: network.into(),
            container_id: attachment.container_id.clone(),
            ifname: attachment.ifname.clone(),
            state: State::Adding,
            config: None,
            boot_id,
            netns,
            host_link: None,
            sandbox_mac: None,
            sandbox_link: None,
            vrf: None,
            addresses: Vec::new(),
            leases: None,
            tuned: None,
            source_routing: None,
            shaped: None,
            ifb: None,
            elements: Vec::new(),
            settings: Vec::new(),
            admin_chain: None,
            ipam: None,
            delegate: None,
            result: None,
        }
    }

    /// As it is written.
    pub(super) const fn versioned(&self) -> impl Serialize {
        let is_of_first = self.sandbox_link.is_none()
            && self.vrf.is_none()
            && self.tuned.is_none()
            && self.source_routing.is_none()
            && self.shaped.is_none()
            && self.ifb.is_none();
        Versioned { format: if is_of_first { 1 } else { FORMAT }, record: self }
    }

    /// Nothing of it lives, as far as its sandbox tells: an address is given again only for good reason.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        if self.leases.is_some() && self.host_link.is_none() {
            return self.netns.is_gone_for_good();
        }
        self.netns.is_gone()
    }

    /// Whose record it is.
    #[must_use]
    pub fn attachment(&self) -> Attachment {
        Attachment { container_id: self.container_id.clone(), ifname: self.ifname.clone() }
    }

    /// The owner of its elements.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::attachment(&self.network, &self.container_id, &self.ifname)
    }

    /// Its elements, as nf_tables has them.
    #[must_use]
    pub fn owned(&self) -> Vec<Owned> {
        self.elements.iter().map(|element| Owned::new(*element, &self.owner())).collect()
    }

    /// Where its leases lie, if it has any beside `ipam.dataDir`.
    #[must_use]
    pub fn data_dir(&self) -> Option<&Path> {
        self.leases.as_ref()?.data_dir.as_deref()
    }

    /// Another plugin holds something for it that outlives the boot. Nothing of our own does.
    pub(super) const fn outlives_boot(&self) -> bool {
        self.ipam.is_some() || self.delegate.is_some()
    }
}

/// What every format has: it tells a record from other JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "that they are there is what counts")]
pub(super) struct Head {
    pub(super) format: u32,
    network: String,
    container_id: String,
    ifname: String,
}

#[derive(Serialize)]
struct Versioned<'a> {
    format: u32,
    #[serde(flatten)]
    record: &'a Record,
}

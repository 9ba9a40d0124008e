//! One attachment as it is remembered: all that DEL, CHECK, GC and repair need.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::BootId;
use crate::{cni::mac::Mac, config::Attachment, sys::netns::NetnsId};

/// The format that this version writes. It rises when an older version could not undo what a record stands for.
pub const FORMAT: u32 = 1;

/// One attachment. Written as an intent before anything is touched, again when the addresses are known, and again
/// when all is done. A reader skips fields that it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// See [`FORMAT`].
    pub format: u32,
    /// The network's name.
    pub network: String,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// How far the ADD came.
    pub state: State,
    /// The boot in which it was made.
    pub boot_id: BootId,
    /// The sandbox.
    pub netns: Netns,
    /// The bridge whose port it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// The host's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_link: Option<HostLink>,
    /// Hardware address of the sandbox's end.
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub sandbox_mac: Option<Mac>,
    /// Addresses of the sandbox's end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNet>,
    /// Which of them are leases of the embedded host-local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leases: Option<Leases>,
    /// Elements in the sets and maps of our nftables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<Element>,
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
}

/// A link of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLink {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its hardware address.
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
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

/// One element in a set or map of our nftables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Element {
    /// What leaves this address for other networks is masqueraded.
    Masquerade {
        /// The container's address.
        address: IpAddr,
    },
    /// Of a newer version.
    #[serde(other)]
    Unknown,
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
            format: FORMAT,
            network: network.into(),
            container_id: attachment.container_id.clone(),
            ifname: attachment.ifname.clone(),
            state: State::Adding,
            boot_id,
            netns,
            bridge: None,
            host_link: None,
            sandbox_mac: None,
            addresses: Vec::new(),
            leases: None,
            elements: Vec::new(),
            ipam: None,
            delegate: None,
            result: None,
        }
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

/// `Option<T>` as its text, or nothing.
mod optional_text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::ref_option)] // the signature is serde's
    pub(super) fn serialize<T: Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

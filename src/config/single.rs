//! Links without an end on the host: the keys of the reference plugins `macvlan`, `ipvlan`, `vlan` and `dummy`.

use super::{ConfigError, bridge::mtu};
use crate::{
    cni::{
        json::{FieldError, Object},
        name,
    },
    rtnl::values::{IpvlanMode, LinkKind, MacvlanMode},
};

/// A link without an end on the host, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleConfig {
    /// What it is, with `mode` or `vlanId`.
    pub kind: LinkKind,
    /// The link on which it stands; a dummy stands on none.
    pub parent: Option<ParentConfig>,
    /// `mtu` in bytes; the parent's when none.
    pub mtu: Option<u32>,
}

/// `master` and `linkInContainer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentConfig {
    /// Its name; None is the link of the default route.
    pub name: Option<String>,
    /// It is in the sandbox already.
    pub in_sandbox: bool,
}

impl SingleConfig {
    /// Whether a hardware address is drawn for it: the others have their parent's.
    #[must_use]
    pub const fn draws_mac(&self) -> bool {
        match self.kind {
            LinkKind::Dummy => true,
            LinkKind::Macvlan { mode, .. } => !matches!(mode, MacvlanMode::Passthru),
            LinkKind::Ipvlan { .. } | LinkKind::Vlan { .. } | LinkKind::Vrf { .. } | LinkKind::Vxlan { .. } => false,
        }
    }

    /// Whether it can be given a hardware address.
    #[must_use]
    pub const fn takes_mac(&self) -> bool {
        matches!(self.kind, LinkKind::Dummy | LinkKind::Macvlan { .. })
    }

    pub(super) fn macvlan(root: &Object<'_>) -> Result<Self, ConfigError> {
        let mode = mode(root, &MacvlanMode::ALL)?.unwrap_or_default();
        let kind = LinkKind::Macvlan { mode, broadcast_queue: root.u32("bcqueuelen")?.filter(|length| *length != 0) };
        Ok(Self { kind, parent: Some(ParentConfig::read(root)?), mtu: mtu(root)? })
    }

    pub(super) fn ipvlan(root: &Object<'_>) -> Result<Self, ConfigError> {
        let kind = LinkKind::Ipvlan { mode: mode(root, &IpvlanMode::ALL)?.unwrap_or_default() };
        Ok(Self { kind, parent: Some(ParentConfig::read(root)?), mtu: mtu(root)? })
    }

    pub(super) fn vlan(root: &Object<'_>) -> Result<Self, ConfigError> {
        let expected = "a VLAN's number, 0 to 4094";
        let id = root.number("vlanId", 0..=4094, expected)?.and_then(|id| u16::try_from(id).ok());
        let kind = LinkKind::Vlan { id: root.require("vlanId", id, expected)? };
        let parent = ParentConfig::read(root)?;
        root.require("master", parent.name.as_ref(), "the name of the link whose frames are tagged")?;
        Ok(Self { kind, parent: Some(parent), mtu: mtu(root)? })
    }

    pub(super) fn dummy(root: &Object<'_>) -> Result<Self, ConfigError> {
        Ok(Self { kind: LinkKind::Dummy, parent: None, mtu: mtu(root)? })
    }
}

impl ParentConfig {
    fn read(root: &Object<'_>) -> Result<Self, FieldError> {
        let named = |text: &str| name::is_interface(text).then(|| text.to_owned());
        Ok(Self { name: root.parsed("master", name::INTERFACE, named)?, in_sandbox: root.flag("linkInContainer")? })
    }
}

/// `mode`, by its name.
fn mode<T: Copy>(root: &Object<'_>, all: &[(&'static str, T)]) -> Result<Option<T>, FieldError> {
    let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    root.parsed("mode", names.join(", "), |text| all.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode))
}

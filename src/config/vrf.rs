//! A routing table of the container's own: the keys of the reference plugin `vrf`.

use crate::cni::{
    json::{FieldError, Object},
    name,
};

/// The reference plugin that does the same.
pub(super) const PLUGIN: &str = "vrf";

/// The VRF of a container's link, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VrfConfig {
    /// `vrfname`: several links of a container may be in one.
    pub name: String,
    /// `table`; None is that of the VRF that is there, or the first that none has.
    pub table: Option<u32>,
}

impl VrfConfig {
    /// None when neither the plugin's type nor `vrfname` asks for it.
    pub(super) fn read(root: &Object<'_>) -> Result<Option<Self>, FieldError> {
        let named = |text: &str| name::is_interface(text).then(|| text.to_owned());
        let name = root.parsed("vrfname", name::INTERFACE, named)?;
        if name.is_none() && root.string("type")? != Some(PLUGIN) {
            return Ok(None);
        }
        let name = root.require("vrfname", name, "the name of the VRF")?;
        Ok(Some(Self { name, table: root.u32("table")?.filter(|table| *table != 0) }))
    }
}

//! A veth pair without a bridge: the keys of the reference plugin `ptp`.

use super::bridge::mtu;
use crate::cni::json::{FieldError, Object};

/// A point-to-point network, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PtpConfig {
    /// `ipMasq`.
    pub ip_masq: bool,
    /// `mtu` in bytes; the kernel's when none.
    pub mtu: Option<u32>,
}

impl PtpConfig {
    pub(super) fn read(root: &Object<'_>) -> Result<Self, FieldError> {
        Ok(Self { ip_masq: root.flag("ipMasq")?, mtu: mtu(root)? })
    }
}

//! `conditionsV4` and `conditionsV6` of the reference plugin `portmap`: matches of iptables. What they say of the host's
//! own addresses, constant rules can keep; the rest is refused by name.

use std::net::IpAddr;

use super::ConfigError;
use crate::cni::json::{Object, shortened};

/// Which of the host's addresses of one family have the mapped ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Destinations {
    /// Every one.
    #[default]
    Any,
    /// `-d ADDRESS[,ADDRESS ...]`: only these.
    Only(Vec<IpAddr>),
    /// `! -d ADDRESS`: every one but this.
    Except(IpAddr),
}

impl Destinations {
    pub(super) fn read(root: &Object<'_>, key: &'static str, ipv4: bool) -> Result<Self, ConfigError> {
        let words = root.strings(key)?;
        let kept = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => Some(Self::Any),
            ["-d" | "--dst" | "--destination", list] => {
                list.split(',').map(|text| single(text, ipv4)).collect::<Option<_>>().map(Self::Only)
            }
            ["!", "-d" | "--dst" | "--destination", text] => single(text, ipv4).map(Self::Except),
            _ => None,
        };
        let value = || root.value(key).map_or_else(String::new, shortened);
        kept.ok_or_else(|| ConfigError::Condition { path: root.path_of(key), value: value() })
    }
}

/// One address of the family, as iptables takes it.
fn single(text: &str, ipv4: bool) -> Option<IpAddr> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let whole = if ipv4 { "32" } else { "128" };
    (address.is_ipv4() == ipv4 && length.is_none_or(|length| length == whole)).then_some(address)
}

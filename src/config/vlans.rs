//! Keys `vlan`, `vlanTrunk` and `preserveDefaultVlan`: which VLANs (802.1Q) a container sees at its port of a bridge.

use std::ops::RangeInclusive;

use super::ConfigError;
use crate::cni::json::{FieldError, Object};

/// The numbers that a VLAN can have.
const ID: RangeInclusive<u64> = 1..=4094;
const ID_WORDS: &str = "a VLAN's number, 1 to 4094";

/// The VLAN of untagged frames when only `vlanTrunk` is set.
const NATIVE: u16 = 1;

/// The VLANs of a port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vlans {
    /// `vlan`: that of untagged frames.
    pub untagged: Option<u16>,
    /// `vlanTrunk`: those whose frames are tagged, in rising order, no two touching.
    pub trunk: Vec<RangeInclusive<u16>>,
    /// `preserveDefaultVlan`: the port stays in the bridge's default VLAN too.
    pub preserve_default: bool,
}

impl Vlans {
    /// Whether the bridge has to tell VLANs apart.
    #[must_use]
    pub fn are_used(&self) -> bool {
        self.untagged.is_some() || !self.trunk.is_empty()
    }

    /// The VLAN of untagged frames, if VLANs are told apart.
    #[must_use]
    pub fn native(&self) -> Option<u16> {
        self.untagged.or_else(|| self.are_used().then_some(NATIVE))
    }

    pub(super) fn read(root: &Object<'_>) -> Result<Self, ConfigError> {
        let untagged = root.number("vlan", 0..=*ID.end(), "0 (none) or 1 to 4094")?.filter(|id| *id != 0);
        let mut trunk = Vec::new();
        for object in root.objects("vlanTrunk")? {
            trunk.extend(read_range(&object)?);
        }
        let preserve_default = root.flag("preserveDefaultVlan")?;
        Ok(Self { untagged: untagged.map(narrow), trunk: merged(trunk), preserve_default })
    }
}

/// An item of `vlanTrunk`: `minID` to `maxID`, `id`, or both.
fn read_range(item: &Object<'_>) -> Result<Vec<RangeInclusive<u16>>, FieldError> {
    let number = |key| Ok(item.number(key, ID, ID_WORDS)?.map(narrow));
    let (min, max, id) = (number("minID")?, number("maxID")?, number("id")?);
    let range = match (min, max) {
        (Some(min), Some(max)) if min <= max => Some(min..=max),
        (Some(min), Some(_)) => return Err(item.fault("maxID", format!("a number that is not below `minID`, {min}"))),
        (Some(_), None) => return Err(item.missing("maxID", ID_WORDS)),
        (None, Some(_)) => return Err(item.missing("minID", ID_WORDS)),
        (None, None) => None,
    };
    Ok(range.into_iter().chain(id.map(|id| id..=id)).collect())
}

/// Within [`ID`].
fn narrow(id: u64) -> u16 {
    u16::try_from(id).unwrap_or(u16::MAX)
}

fn merged(mut ranges: Vec<RangeInclusive<u16>>) -> Vec<RangeInclusive<u16>> {
    ranges.sort_unstable_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<u16>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if *range.start() <= last.end() + 1 => *last = *last.start()..=*last.end().max(range.end()),
            _ => merged.push(range),
        }
    }
    merged
}

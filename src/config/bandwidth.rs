//! Limits on what a container receives and sends: the keys of the reference plugin `bandwidth`.

use super::{ConfigError, runtime::RuntimeKeys};
use crate::cni::json::{FieldError, Object, UnknownKey};

/// The reference plugin that does the same.
pub const PLUGIN: &str = "bandwidth";

/// (rate, burst) of what the container receives, and of what it sends.
const KEYS: [(&str, &str); 2] = [("ingressRate", "ingressBurst"), ("egressRate", "egressBurst")];

/// The queueing discipline counts a burst in bytes, of 32 bits.
const MAX_BURST: u64 = u32::MAX as u64 * 8 - 1;

/// Limits on bandwidth, checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BandwidthConfig {
    /// `ingressRate` and `ingressBurst`: on what the container receives.
    pub ingress: Option<Limit>,
    /// `egressRate` and `egressBurst`: on what it sends.
    pub egress: Option<Limit>,
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// In bits a second, at least 8.
    pub rate: u64,
    /// In bits, at least 8 and less than 2^35.
    pub burst: u64,
}

impl BandwidthConfig {
    /// None when nothing is limited. `runtimeConfig.bandwidth` counts when the configuration itself has no such key.
    pub(super) fn read(
        root: &Object<'_>,
        keys: &RuntimeKeys<'_>,
        unknown: &mut Vec<UnknownKey>,
    ) -> Result<Option<Self>, ConfigError> {
        let inline = KEYS.iter().any(|(rate, burst)| root.value(rate).is_some() || root.value(burst).is_some());
        let runtime = keys.runtime.as_ref().map_or(Ok(None), |runtime| runtime.object("bandwidth"))?;
        let config = match runtime {
            Some(runtime) if !inline => {
                let config = Self::of(&runtime)?;
                unknown.extend(runtime.unread(&[]));
                config
            }
            _ => Self::of(root)?,
        };
        Ok(Some(config).filter(|config| *config != Self::default()))
    }

    fn of(object: &Object<'_>) -> Result<Self, FieldError> {
        let [ingress, egress] = KEYS.map(|(rate, burst)| Limit::read(object, rate, burst));
        Ok(Self { ingress: ingress?, egress: egress? })
    }
}

impl Limit {
    /// None when both are 0 or absent.
    fn read(object: &Object<'_>, rate_key: &'static str, burst_key: &'static str) -> Result<Option<Self>, FieldError> {
        let rate = object.number(rate_key, 0..=u64::MAX, "a number of bits a second")?.unwrap_or(0);
        let burst = object.number(burst_key, 0..=u64::MAX, "a number of bits")?.unwrap_or(0);
        match (rate, burst) {
            (0, 0) => Ok(None),
            (0..8, _) => Err(object.fault(rate_key, format!("at least 8 bits a second, as `{burst_key}` is set"))),
            (_, 0..8) => Err(object.fault(burst_key, format!("at least 8 bits, as `{rate_key}` is set"))),
            (_, burst) if burst > MAX_BURST => Err(object.fault(burst_key, "less than 4 GB, 34359738360 bits")),
            (rate, burst) => Ok(Some(Self { rate, burst })),
        }
    }
}

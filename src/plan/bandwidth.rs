//! Limits on bandwidth. The host's end of the veth sends what the container receives, so it is shaped there; what the
//! container sends is redirected to an ifb, which is shaped in the same way.

use sha2::{Digest, Sha512};

use super::{
    add::{Attach, PlanError},
    check::{Differences, Expected, ObservedAttachment},
    step::Step,
};
use crate::{
    config::{Attachment, BandwidthConfig, Limit, LinkConfig},
    rtnl::values::{Qdisc, Shaper},
};

/// How long a packet may wait, in milliseconds, as in the reference plugin.
const LATENCY: u64 = 25;

/// The kernel's MTU of a veth, in bytes.
const DEFAULT_MTU: u32 = 1500;

/// Bytes of an Ethernet header, which count against a burst.
const HEADER: u32 = 14;

/// Names for an ifb, in the order in which they are tried. The first is the reference plugin's, whose DEL so finds ours
/// and ours its; as it does not tell a container's interfaces apart, there are others.
pub fn ifb_names(network: &str, attachment: &Attachment) -> impl Iterator<Item = String> {
    let Attachment { container_id, ifname } = attachment;
    let others = (0..8).map(move |salt| format!("{network}/{container_id}/{ifname}/{salt}"));
    std::iter::once(format!("{network}{container_id}")).chain(others).map(|text| {
        let hash = Sha512::digest(text.as_bytes());
        hash.iter().take(6).fold("bwp".to_owned(), |name, byte| format!("{name}{byte:02x}"))
    })
}

impl From<Limit> for Shaper {
    fn from(limit: Limit) -> Self {
        let (rate, burst) = (limit.rate / 8, limit.burst / 8);
        let waiting = (rate / 1000).saturating_mul(LATENCY) + (rate % 1000) * LATENCY / 1000;
        let fit = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self { rate, burst: fit(burst), limit: fit(waiting.saturating_add(burst)) }
    }
}

/// Shapes both directions, as far as they are limited.
pub(super) fn steps(attach: &Attach<'_>, config: &BandwidthConfig, steps: &mut Vec<Step>) -> Result<(), PlanError> {
    let link = attach.host_link;
    if link.is_empty() {
        return Err(PlanError::NoHostLink { ifname: attach.ifname.into() });
    }
    let in_the_way = |qdisc: &&Qdisc| if qdisc.receives { config.egress.is_some() } else { config.ingress.is_some() };
    if let Some(qdisc) = attach.qdiscs.iter().find(in_the_way) {
        return Err(PlanError::Arranged { link: link.into(), kind: qdisc.kind.clone() });
    }
    let made_with = attach.config.link.as_ref().and_then(LinkConfig::mtu);
    let mtu = attach.host_mtu.or(made_with).unwrap_or(DEFAULT_MTU);
    for (what, limit) in [("ingressBurst", config.ingress), ("egressBurst", config.egress)] {
        if let Some(shaper) = limit.map(Shaper::from).filter(|shaper| shaper.burst < mtu + HEADER) {
            tracing::warn!("{what} is {} bytes, and packets of {mtu} bytes will not pass", shaper.burst);
        }
    }
    if let Some(limit) = config.ingress {
        steps.push(Step::Shape { link: link.into(), shaper: limit.into() });
    }
    if let Some(limit) = config.egress {
        steps.push(Step::CreateIfb { name: attach.ifb.into(), mac: attach.ifb_mac, mtu });
        steps.push(Step::Shape { link: attach.ifb.into(), shaper: limit.into() });
        steps.push(Step::Redirect { link: link.into(), ifb: attach.ifb.into() });
    }
    Ok(())
}

/// Compares the limits. The kernel rounds a burst, which is no difference.
pub(super) fn compare(
    config: &BandwidthConfig,
    expected: &Expected<'_>,
    observed: &ObservedAttachment,
    found: &mut Differences,
) {
    let mut shaper = |link: &str, limit: Limit, present: Option<Shaper>| {
        let wanted = Shaper::from(limit);
        let same = present.is_some_and(|shaper| {
            let tolerance = wanted.burst / 1000 + u32::try_from(wanted.rate / 1_000_000).unwrap_or(u32::MAX) + 1;
            shaper.rate == wanted.rate
                && shaper.limit == wanted.limit
                && (shaper.burst.abs_diff(wanted.burst) <= tolerance || overflows(wanted))
        });
        if !same {
            let present = present.map_or("none".into(), |shaper| shaper.to_string());
            found.add(format!("limit on what link {link} sends"), wanted, present);
        }
    };
    if let Some(limit) = config.ingress {
        shaper(expected.host_link, limit, observed.shaper);
    }
    if let Some(limit) = config.egress {
        shaper(expected.ifb, limit, observed.ifb_shaper);
        if !observed.redirected {
            let what = format!("redirection of what link {} receives", expected.host_link);
            found.add(what, format!("to {}", expected.ifb), "missing");
        }
    }
}

/// Whether the kernel's account of the burst, in 32 bits of 64 nanoseconds, runs over.
fn overflows(shaper: Shaper) -> bool {
    u128::from(shaper.burst) * 1_000_000_000 / u128::from(shaper.rate.max(1)) / 64 > u128::from(u32::MAX)
}

//! Plans of what works on a link that is there.

use super::*;
use crate::{
    config::{Attachment, BandwidthConfig, Limit, TuningConfig},
    rtnl::{LinkSettings, values::Qdisc},
};

/// A plugin of a chain, its host's end known.
fn later(tuning: Option<TuningConfig>, bandwidth: Option<BandwidthConfig>) -> NativeConfig {
    NativeConfig { link: None, tuning, bandwidth, ..network(&bridge()) }
}

fn script(attach: &Attach<'_>) -> Result<Vec<String>, PlanError> {
    let steps = plan_add(attach, &ips(&["10.1.0.2/24"]), &[], &ObservedHost::default())?;
    Ok(Script(&steps).to_string().lines().map(str::to_owned).collect())
}

fn limit(rate: u64, burst: u64) -> Option<Limit> {
    Some(Limit { rate, burst })
}

#[test]
fn a_link_that_is_there_is_tuned_as_a_whole() {
    let settings = LinkSettings {
        mac: Some(Mac::local(5 << 8)),
        mtu: Some(1400),
        promisc: Some(true),
        all_multicast: Some(false),
        tx_queue_len: Some(0),
    };
    let config = later(Some(TuningConfig { link: settings, ..TuningConfig::default() }), None);
    let inside = Link { name: "eth0".into(), ..Link::default() };
    let there = Attach { inside: Some(&inside), ..attach(&config) };
    let mac = Mac::local(5 << 8);
    let line = format!(
        "ip netns exec SANDBOX ip link set eth0 address {mac} mtu 1400 promisc on allmulticast off txqueuelen 0"
    );
    assert_eq!(script(&there).unwrap(), [line]);
    assert_eq!(script(&attach(&config)).unwrap_err(), PlanError::NoLink { ifname: "eth0".into() });
}

#[test]
fn a_link_that_is_made_here_has_its_hardware_address_from_the_start() {
    let link = LinkSettings { mac: Some(Mac::local(5 << 8)), promisc: Some(true), ..LinkSettings::default() };
    let config = NativeConfig { tuning: Some(TuningConfig { link, ..TuningConfig::default() }), ..network(&bridge()) };
    let lines = script(&attach(&config)).unwrap();
    assert_eq!(lines.last().unwrap(), "ip netns exec SANDBOX ip link set eth0 promisc on");
}

#[test]
fn both_directions_are_limited() {
    let config =
        later(None, Some(BandwidthConfig { ingress: limit(8_000_000, 800_000), egress: limit(16_007, 96_001) }));
    let there = Attach { host_mtu: Some(1400), ..attach(&config) };
    assert_eq!(
        script(&there).unwrap(),
        [
            "tc qdisc add dev veth00000001 root handle 1: tbf rate 1000000bps burst 100000b limit 125000b",
            "ip link add bwp0 address 02:04:00:00:00:00 mtu 1400 up type ifb",
            "tc qdisc add dev bwp0 root handle 1: tbf rate 2000bps burst 12000b limit 12050b",
            "tc qdisc add dev veth00000001 ingress",
            "tc filter add dev veth00000001 parent ffff: prio 1 protocol all u32 match u8 0 0 action mirred egress redirect dev bwp0",
        ]
    );
    assert!(matches!(script(&Attach { host_link: "", ..there }), Err(PlanError::NoHostLink { .. })));
}

#[test]
fn a_limit_of_any_size_fits() {
    let config = later(None, Some(BandwidthConfig { ingress: limit(u64::MAX, 34_359_738_359), egress: None }));
    let lines = script(&attach(&config)).unwrap();
    assert!(lines[0].ends_with("rate 2305843009213693951bps burst 4294967294b limit 4294967295b"), "{lines:?}");
}

/// 25 ms at 1999 bytes a second.
#[test]
fn what_may_wait_is_counted_in_bytes() {
    let config = later(None, Some(BandwidthConfig { ingress: limit(15_992, 96_000), egress: None }));
    let lines = script(&attach(&config)).unwrap();
    assert!(lines[0].ends_with("rate 1999bps burst 12000b limit 12049b"), "{lines:?}");
}

#[test]
fn what_somebody_else_arranges_stays() {
    let qdisc = |kind: &str, receives| Qdisc { kind: kind.into(), receives };
    let of = |ingress: bool, egress: bool| {
        let one = |on: bool| limit(8_000_000, 800_000).filter(|_| on);
        later(None, Some(BandwidthConfig { ingress: one(ingress), egress: one(egress) }))
    };
    for (present, ingress, egress, refused) in [
        (qdisc("fq", false), true, false, true),
        (qdisc("fq", false), false, true, false),
        (qdisc("clsact", true), true, false, false),
        (qdisc("clsact", true), false, true, true),
    ] {
        let (config, qdiscs) = (of(ingress, egress), [present]);
        let plan = script(&Attach { qdiscs: &qdiscs, ..attach(&config) });
        assert_eq!(matches!(plan, Err(PlanError::Arranged { .. })), refused, "{qdiscs:?} {ingress} {egress}");
    }
}

/// As the reference plugin computes it: the first 12 digits of the SHA-512 of network and container.
#[test]
fn the_ifb_has_the_name_that_the_reference_would_give() {
    let web = Attachment { container_id: "web".into(), ifname: "eth0".into() };
    let names: Vec<_> = bandwidth::ifb_names("net", &web).collect();
    assert_eq!(names[0], "bwp437252eec243");
    assert!(names.len() > 4 && names.iter().all(|name| name.len() == 15), "{names:?}");
    assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len());
}

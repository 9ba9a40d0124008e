//! The same of what works on a link that is there.

use super::{Left, bridge, bridged, ip, link};
use crate::{
    cni::Request,
    config::{BandwidthConfig, Limit, Mode, NetworkConfig, VrfConfig},
    plan::source_routing::SourceRouting,
    rtnl::{
        Link,
        values::{LinkKind, RouteEntry, Shaper, SourceRule},
    },
};

/// A plugin of a chain, of this configuration.
fn later(keys: &str) -> Left {
    let vars = |name: &str| match name {
        "CNI_COMMAND" => Some("ADD".into()),
        _ => Some("eth0".into()),
    };
    let request =
        Request { args: Ok(Default::default()), ..Request::parse(&vars).unwrap_or_else(|error| panic!("{error}")) };
    let text = format!(r#"{{ "cniVersion": "1.0.0", "name": "n", {keys} }}"#);
    let config = NetworkConfig::parse(text.as_bytes(), &request).unwrap();
    let Mode::Native(native) = config.mode else { panic!("{:?}", config.mode) };
    let mut left = bridged(bridge());
    left.config = *native;
    left
}

#[test]
fn a_chained_plugin_leaves_the_link_to_who_made_it() {
    let mut left = later(r#""type": "tuning", "mtu": 1400"#);
    (left.there.addresses, left.there.routes) = (Vec::new(), Vec::new());
    left.sandbox_link().mtu = 1400;
    left.sandbox_link().up = false;
    left.tells(&[]);
}

#[test]
fn what_was_tuned() {
    let mut left = later(
        r#""type": "tuning", "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1", "net.ipv4.ping_group_range": "0 10" },
           "mtu": 1400, "promisc": true, "allmulti": false, "txQLen": 5"#,
    );
    left.there.sysctls = vec![Some("1".into()), Some("0\t10".into())];
    let own = left.sandbox_link();
    (own.mtu, own.promisc, own.all_multicast, own.tx_queue_len) = (1400, true, false, 5);
    left.tells(&[
        (
            |left| left.there.sysctls[0] = Some("0".into()),
            "setting net.ipv4.conf.eth0.arp_filter in the container: expected 1, found 0",
        ),
        (
            |left| left.there.sysctls[1] = None,
            "setting net.ipv4.ping_group_range in the container: expected 0 10, found missing",
        ),
        (|left| left.sandbox_link().mtu = 1500, "MTU of eth0 in the container: expected 1400, found 1500"),
        (
            |left| left.sandbox_link().promisc = false,
            "promiscuous mode of eth0 in the container: expected on, found off",
        ),
        (
            |left| left.sandbox_link().all_multicast = true,
            "all-multicast mode of eth0 in the container: expected off, found on",
        ),
        (
            |left| left.sandbox_link().tx_queue_len = 6,
            "transmit queue length of eth0 in the container: expected 5, found 6",
        ),
    ]);
}

#[test]
fn a_vrf() {
    let mut left = bridged(bridge());
    left.config.vrf = Some(VrfConfig { name: "blue".into(), table: Some(7) });
    left.there.master = Some(Link { detail: Some(LinkKind::Vrf { table: 7 }), ..link("blue", "vrf") });
    left.there.routes[2].table = 7;
    left.tells(&[
        (
            |left| {
                left.there.master = None;
                left.there.routes[2].table = 254;
            },
            "VRF of eth0 in the container: expected blue, found none",
        ),
        (
            |left| left.there.master.as_mut().unwrap().name = "red".into(),
            "VRF of eth0 in the container: expected blue, found red",
        ),
        (
            |left| {
                left.there.master.as_mut().unwrap().detail = Some(LinkKind::Vrf { table: 8 });
                left.there.routes[2].table = 8;
            },
            "VRF blue in the container: expected table 7, found table 8",
        ),
    ]);
    left.config.vrf.as_mut().unwrap().table = None;
    left.tells(&[]);
}

#[test]
fn limits_on_bandwidth() {
    let limit = |rate, burst| Some(Limit { rate, burst });
    let mut left = bridged(bridge());
    left.config.bandwidth = Some(BandwidthConfig { ingress: limit(8_000_000, 800_000), egress: limit(16_000, 96_000) });
    left.there.shaper = Some(Shaper { rate: 1_000_000, burst: 99_898, limit: 125_000 });
    left.there.ifb_shaper = Some(Shaper { rate: 2000, burst: 12_000, limit: 12_050 });
    left.there.redirected = true;
    let wrong = |found: &str| {
        format!(
            "limit on what link veth1 sends: expected tbf rate 1000000bps burst 100000b limit 125000b, found {found}"
        )
    };
    left.tells(&[
        (|left| left.there.shaper = None, &wrong("none")),
        (
            |left| left.there.shaper.as_mut().unwrap().rate = 999_999,
            &wrong("tbf rate 999999bps burst 99898b limit 125000b"),
        ),
        (
            |left| left.there.shaper.as_mut().unwrap().limit = 125_001,
            &wrong("tbf rate 1000000bps burst 99898b limit 125001b"),
        ),
        (
            |left| left.there.shaper.as_mut().unwrap().burst = 99_897, // the kernel rounds, but not as much
            &wrong("tbf rate 1000000bps burst 99897b limit 125000b"),
        ),
        (
            |left| left.there.ifb_shaper = None,
            "limit on what link bwp0 sends: expected tbf rate 2000bps burst 12000b limit 12050b, found none",
        ),
        (
            |left| left.there.redirected = false,
            "redirection of what link veth1 receives: expected to bwp0, found missing",
        ),
    ]);
}

/// The kernel keeps it in 32 bits of 64 nanoseconds.
#[test]
fn a_burst_differs_only_where_the_kernel_can_account_for_it() {
    for (rate, burst, differs) in [(1, 4_294_967_294, false), (15_624_000, 4_294_692_418, true)] {
        let limit = Limit { rate: rate * 8, burst: burst * 8 };
        let mut left = bridged(bridge());
        left.config.bandwidth = Some(BandwidthConfig { ingress: Some(limit), egress: None });
        left.there.shaper = Some(Shaper { burst: 1, ..Shaper::from(limit) });
        assert_eq!(!left.differences().is_empty(), differs, "{rate} {burst}");
    }
}

#[test]
fn routing_by_source() {
    let mut left = bridged(bridge());
    let of_table = |entry: RouteEntry| RouteEntry { table: 100, ..entry };
    let rule = SourceRule { source: ip("10.1.0.2"), table: 100 };
    let added: Vec<_> = left.there.routes.iter().cloned().map(of_table).collect();
    left.moved = Some(SourceRouting { rules: vec![rule], added: added.clone(), removed: left.there.routes.clone() });
    (left.there.routes, left.there.rules) = (added, vec![(Some(rule.source), rule.table)]);
    const NO_RULE: &str = "rule from 10.1.0.2 table 100 in the container: expected present, found missing";
    left.tells(&[(|left| left.there.rules[0].1 = 101, NO_RULE), (|left| left.there.rules[0].0 = None, NO_RULE)]);
    left.routes[0].table = Some(254); // where it was
    left.tells(&[]);
    let mut changed = left.clone();
    changed.there.routes[2].gw = None;
    let route = "route 0.0.0.0/0 via 10.1.0.1 dev eth0 of table 100 in the container: expected present, found missing";
    assert_eq!(changed.differences()[1..], [route], "{:?}", changed.differences());
    left.there.routes[2].table = 101;
    assert_eq!(left.differences(), [route], "it is somewhere, but not where the rule leads");
}

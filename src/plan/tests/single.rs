//! Plans of links without an end on the host.

use super::{attach, bridge, ips, link, network};
use crate::{
    cni::{mac::Mac, result::Route},
    config::{HostDeviceConfig, LinkConfig, NativeConfig, ParentConfig, SingleConfig},
    plan::{Attach, ObservedHost, PlanError, Script, plan_add, resolve},
    rtnl::{
        Link,
        values::{IpvlanMode, LinkKind, MacvlanMode},
    },
};

const MACVLAN: LinkKind = LinkKind::Macvlan { mode: MacvlanMode::Bridge, broadcast_queue: None };

fn single(kind: LinkKind, in_sandbox: bool) -> SingleConfig {
    let parent = ParentConfig { name: Some("ens3".into()), in_sandbox };
    SingleConfig { kind, parent: Some(parent), mtu: None }
}

fn on_ens3() -> ObservedHost {
    let source = Link { mtu: 1500, alias: Some("to the world".into()), ..link("ens3", "veth") };
    ObservedHost { source: Some(source), ..ObservedHost::default() }
}

fn planned(
    link: LinkConfig,
    addresses: &[&str],
    mac: Option<Mac>,
    host: &ObservedHost,
) -> Result<Vec<String>, PlanError> {
    let network = NativeConfig { link: Some(link), ..network(&bridge()) };
    let (mut ips, mut routes) = (ips(addresses), vec![Route::to("198.51.100.0/24".parse().unwrap())]);
    resolve(&network, &mut ips, &mut routes)?;
    let attach = Attach { requested_mac: mac, sandbox_mac: mac.unwrap_or(Mac::local(2 << 8)), ..attach(&network) };
    let steps = plan_add(&attach, &ips, &routes, host)?;
    Ok(Script(&steps).to_string().lines().map(str::to_owned).collect())
}

#[test]
fn a_macvlan_is_made_under_a_name_that_is_nobodys() {
    let script =
        planned(LinkConfig::Single(single(MACVLAN, false)), &["10.1.0.2/24", "fd00::2/64"], None, &on_ens3()).unwrap();
    let expected = [
        "ip link add link ens3 name gw05ad559c address 02:02:00:00:00:00 netns SANDBOX type macvlan mode bridge",
        "ip netns exec SANDBOX ip link set gw05ad559c name eth0 alias net/ctr/eth0",
        "ip netns exec SANDBOX sysctl -w net.ipv6.conf.eth0.disable_ipv6=0",
        "ip netns exec SANDBOX sysctl -w net.ipv6.conf.eth0.keep_addr_on_down=1",
        "ip netns exec SANDBOX sysctl -w net.ipv4.conf.eth0.arp_notify=1",
        "ip netns exec SANDBOX sysctl -w net.ipv6.conf.eth0.ndisc_notify=1",
        "ip netns exec SANDBOX ip link set eth0 up",
        "ip netns exec SANDBOX ip addr add 10.1.0.2/24 dev eth0",
        "ip netns exec SANDBOX ip addr add fd00::2/64 dev eth0 nodad",
        "ip netns exec SANDBOX ip route add 198.51.100.0/24 dev eth0",
    ];
    assert_eq!(script, expected, "the host is no gateway, and forwards nothing");
}

#[test]
fn each_kind_is_made_in_its_words() {
    let asked = Some(Mac::local(9 << 8));
    let passthru = LinkKind::Macvlan { mode: MacvlanMode::Passthru, broadcast_queue: Some(500) };
    let (inside, outside) = ("ip netns exec SANDBOX ", "");
    for (config, mac, enter, words) in [
        (single(MACVLAN, true), None, inside, "link ens3 name NAME address 02:02:00:00:00:00 type macvlan mode bridge"),
        (
            single(MACVLAN, false),
            asked,
            outside,
            "link ens3 name NAME address 02:09:00:00:00:00 netns SANDBOX type macvlan mode bridge",
        ),
        (single(passthru, true), None, inside, "link ens3 name NAME type macvlan mode passthru bcqueuelen 500"),
        (
            single(passthru, true),
            asked,
            inside,
            "link ens3 name NAME address 02:09:00:00:00:00 type macvlan mode passthru bcqueuelen 500",
        ),
        (
            SingleConfig { mtu: Some(1400), ..single(LinkKind::Ipvlan { mode: IpvlanMode::L3s }, true) },
            asked,
            inside,
            "link ens3 name NAME mtu 1400 type ipvlan mode l3s",
        ),
        (single(LinkKind::Vlan { id: 42 }, false), None, outside, "link ens3 name NAME netns SANDBOX type vlan id 42"),
        (
            SingleConfig { parent: None, ..single(LinkKind::Dummy, false) },
            None,
            inside,
            "name NAME address 02:02:00:00:00:00 type dummy",
        ),
    ] {
        let host = if config.parent.is_some() { on_ens3() } else { ObservedHost::default() };
        let script = planned(LinkConfig::Single(config), &[], mac, &host).unwrap();
        assert_eq!(script[0], format!("{enter}ip link add {}", words.replace("NAME", "gw05ad559c")));
    }
}

#[test]
fn only_what_shares_its_parents_network_announces_its_addresses() {
    for (kind, announces) in
        [(MACVLAN, true), (LinkKind::Ipvlan { mode: IpvlanMode::L2 }, true), (LinkKind::Vlan { id: 42 }, false)]
    {
        let config = SingleConfig { mtu: Some(1500), ..single(kind, false) };
        let script = planned(LinkConfig::Single(config), &["10.1.0.2/24"], None, &on_ens3()).unwrap();
        assert_eq!(script.iter().any(|line| line.contains("notify=1")), announces, "{kind}");
    }
}

#[test]
fn what_it_cannot_stand_on() {
    let on = |config: &SingleConfig, host: &ObservedHost| {
        planned(LinkConfig::Single(config.clone()), &[], None, host).unwrap_err()
    };
    let nowhere = ObservedHost::default();
    let named = single(MACVLAN, false);
    assert_eq!(on(&named, &nowhere), PlanError::NoParent { name: Some("ens3".into()), in_sandbox: false });
    let mut by_route = single(MACVLAN, true);
    by_route.parent.as_mut().unwrap().name = None;
    let error = on(&by_route, &nowhere);
    assert_eq!(
        error.to_string(),
        "\"master\" is not set, and in the container no default route tells which link is meant"
    );
    let wide = SingleConfig { mtu: Some(1501), ..named.clone() };
    assert_eq!(on(&wide, &on_ens3()), PlanError::MtuAboveParent { mtu: 1501, parent: "ens3".into(), limit: 1500 });
    let taken = ObservedHost { taken: true, ..on_ens3() };
    assert_eq!(on(&named, &taken), PlanError::Taken { ifname: "eth0".into() });
}

#[test]
fn a_device_of_the_host_is_moved_with_its_name_written_down() {
    let device = || LinkConfig::HostDevice(HostDeviceConfig::Name("ens3".into()));
    let script = planned(device(), &["10.1.0.2/24"], None, &on_ens3()).unwrap();
    let expected = [
        "ip link set ens3 netns SANDBOX name eth0 alias ens3",
        "ip netns exec SANDBOX ip link set eth0 up",
        "ip netns exec SANDBOX ip addr add 10.1.0.2/24 dev eth0",
        "ip netns exec SANDBOX ip route add 198.51.100.0/24 dev eth0",
    ];
    assert_eq!(script, expected);
    assert_eq!(planned(device(), &[], None, &ObservedHost::default()), Err(PlanError::NoDevice));
}

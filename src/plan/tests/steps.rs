//! Steps and names, one by one.

use super::*;
use crate::{
    config::Attachment,
    nft::ruleset::{Element, Owned},
    plan::name::{fnv1a, veth},
    rtnl::values::{Ipv4Setting, SourceRule},
};

#[test]
fn settings_that_rtnetlink_can_turn_on() {
    for (path, found) in [
        ("net/ipv4/conf/br0/route_localnet", Some(("br0", Ipv4Setting::RouteLocalnet))),
        ("net/ipv4/conf/eth0.5/arp_notify", Some(("eth0.5", Ipv4Setting::ArpNotify))),
        ("net/ipv4/conf/all/route_localnet", None),
        ("net/ipv4/conf/default/arp_notify", None),
        ("net/ipv4/conf/br0/arp_filter", None),
        ("net/ipv6/conf/br0/route_localnet", None),
    ] {
        assert_eq!(Setting(path.into()).of_ipv4(), found, "{path}");
    }
}

#[test]
fn what_a_step_changes_of_the_host() {
    let sysctl = |place, optional| Step::Sysctl {
        place,
        setting: Setting("net/ipv4/ip_forward".into()),
        value: "1".into(),
        optional,
    };
    let forward = Some(("net/ipv4/ip_forward".to_owned(), "1".to_owned()));
    assert_eq!(sysctl(Place::Host, false).setting(), forward);
    assert_eq!((sysctl(Place::Host, true).setting(), sysctl(Place::Sandbox, false).setting()), (None, None));
    assert_eq!(
        (sysctl(Place::Host, true).place(), sysctl(Place::Sandbox, false).place()),
        (Place::Host, Place::Sandbox)
    );
    let rule = Step::AddRule(SourceRule { source: "10.1.0.2".parse().unwrap(), table: 100 });
    assert_eq!((rule.place(), rule.setting(), rule.elements()), (Place::Sandbox, None, &[][..]));
    let owned = Owned::new(Element::Forwarded("10.1.0.2".parse().unwrap()), &"net/ctr/eth0".into());
    let elements = Step::AddElements(vec![owned.clone()]);
    assert_eq!((elements.place(), elements.elements()), (Place::Host, &[owned][..]));
}

#[test]
fn names_are_the_same_on_every_machine() {
    // The reference vectors of FNV, draft-eastlake-fnv.
    assert_eq!((fnv1a(b""), fnv1a(b"foobar")), (0x811c_9dc5, 0xbf9c_f968));
    let web = Attachment { container_id: "web".into(), ifname: "eth0".into() };
    assert_eq!(veth("net", &web, 0), format!("veth{:08x}", fnv1a(b"net/web/eth0/0")));
    assert_ne!(veth("net", &web, 0), veth("net", &web, 1));
}

#[test]
fn a_bridge_is_made_promiscuous_once() {
    let config = BridgeConfig { promisc_mode: true, ..bridge() };
    let mut host = standing(&["10.1.0.1/24"]);
    let is_set = |host: &ObservedHost| {
        planned(&config, &["10.1.0.3/24"], host).unwrap().contains(&"ip link set br0 promisc on".to_owned())
    };
    assert!(is_set(&host));
    host.bridge.as_mut().unwrap().promisc = true;
    assert!(!is_set(&host));
}

#[test]
fn a_bridge_that_somebody_made_keeps_its_hardware_address_once_it_is_a_gateway() {
    let pinned = |config: &BridgeConfig, host: &ObservedHost| {
        let script = planned(config, &["10.1.0.3/24"], host).unwrap();
        script.into_iter().find(|line| line.starts_with("ip link set br0 address "))
    };
    let mut host = standing(&[]);
    for (mac, kept) in [
        (None, "02:03:00:00:00:00"),
        (Some(Mac([0; 6])), "02:03:00:00:00:00"),
        (Some(Mac([2, 0, 0, 0, 0, 7])), "02:00:00:00:00:07"),
    ] {
        host.bridge.as_mut().unwrap().mac = mac;
        assert_eq!(pinned(&bridge(), &host), Some(format!("ip link set br0 address {kept}")));
    }
    assert_eq!(pinned(&in_vlan(Some(100), &[]), &host), None, "the gateway is another link");
    assert_eq!(pinned(&bridge(), &standing(&["10.1.0.1/24"])), None, "it was one before");
}

#[test]
fn duplicate_address_detection_is_turned_on_where_it_is_wanted() {
    let script = planned(&BridgeConfig { enable_dad: true, ..bridge() }, &["fd00::2/64"], &standing(&[])).unwrap();
    for line in [
        "sysctl -w net.ipv6.conf.eth0.enhanced_dad=1",
        "sysctl -w net.ipv6.conf.eth0.accept_dad=1",
        "ip addr add fd00::2/64 dev eth0",
    ] {
        assert!(script.contains(&format!("ip netns exec SANDBOX {line}")), "{line}: {script:?}");
    }
}

#[test]
fn routes_differ_by_table_and_metric_and_those_on_the_link_have_no_next_hop() {
    let to = |dst: &str| Route::to(dst.parse().unwrap());
    let given = [
        Route { scope: Some(253), ..to("10.7.0.0/16") },
        Route { scope: Some(0), ..to("10.8.0.0/16") },
        Route { table: Some(7), ..to("10.8.0.0/16") },
        Route { priority: Some(7), ..to("10.8.0.0/16") },
    ];
    let mut routes = given.to_vec();
    let config = BridgeConfig { is_default_gateway: false, ..bridge() };
    resolve(&network(&config), &mut ips(&["10.1.0.2/24"]), &mut routes).unwrap();
    let gateway = Some("10.1.0.1".parse().unwrap());
    let [on_link, others @ ..] = given;
    assert_eq!(routes[0], on_link);
    assert_eq!(routes[1..], others.map(|route| Route { gw: gateway, ..route }));
}

#[test]
fn a_port_sends_from_its_addresses_only() {
    let config = BridgeConfig { ip_spoof_check: true, ..bridge() };
    let script = planned(&config, &["10.1.0.3/24"], &standing(&["10.1.0.1/24"])).unwrap();
    let expected = [
        "nft add element bridge groundwork spoof_ip '{ \"veth00000001\" comment \"net/ctr/eth0\" }'",
        "nft add element bridge groundwork spoof_ip4_ok '{ \"veth00000001\" . 10.1.0.3 comment \"net/ctr/eth0\" }'",
    ];
    assert_eq!(script[..2], expected);
}

#[test]
fn the_gateway_of_a_vlan_has_hardware_addresses_beside_the_bridges() {
    let network = network(&in_vlan(Some(100), &[]));
    let mut ips = ips(&["10.1.0.2/24"]);
    resolve(&network, &mut ips, &mut Vec::new()).unwrap();
    let attach = Attach { bridge_mac: Mac([2, 3, 0, 0, 0, 3]), ..attach(&network) };
    let script = Script(&plan_add(&attach, &ips, &[], &ObservedHost::default()).unwrap()).to_string();
    let pair = "address 02:03:00:00:00:02 master br0 up type veth peer name br0.100 address 02:03:00:00:00:01";
    assert!(script.contains(pair), "{script}");
}

#[test]
fn a_host_forwards_the_families_that_it_is_a_gateway_of() {
    let of = |address: &str, (forwarding_v4, forwarding_v6)| {
        let host = ObservedHost { forwarding_v4, forwarding_v6, ..standing(&["10.1.0.1/24", "fd00::1/64"]) };
        let script = planned(&bridge(), &[address], &host).unwrap();
        script.into_iter().filter(|line| line.contains("forward")).collect::<Vec<_>>().join("; ")
    };
    let (v4, v6) = ("sysctl -w net.ipv4.ip_forward=1", "sysctl -w net.ipv6.conf.all.forwarding=1");
    assert_eq!((of("10.1.0.2/24", (false, false)), of("10.1.0.2/24", (true, false))), (v4.into(), "".into()));
    assert_eq!((of("fd00::2/64", (false, false)), of("fd00::2/64", (false, true))), (v6.into(), "".into()));
}

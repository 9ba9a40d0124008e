//! Plans of whole ADDs, as a person would read them.

use super::*;
use crate::{
    cni::{
        mac::Mac,
        result::{Dns, IpConfig, Route},
    },
    config::{BridgeConfig, LinkConfig, NativeConfig},
    rtnl::Link,
};

fn bridge() -> BridgeConfig {
    BridgeConfig {
        bridge: "br0".into(),
        is_gateway: true,
        is_default_gateway: true,
        force_address: false,
        ip_masq: false,
        mtu: None,
        hairpin_mode: false,
        promisc_mode: false,
        enable_dad: false,
    }
}

fn network(bridge: &BridgeConfig) -> NativeConfig {
    NativeConfig { link: Some(LinkConfig::Bridge(bridge.clone())), ipam: None, dns: Dns::default() }
}

fn attach(config: &NativeConfig) -> Attach<'_> {
    Attach {
        config,
        ifname: "eth0",
        host_link: "veth00000001",
        host_mac: Mac::local(1 << 8),
        sandbox_mac: Mac::local(2 << 8),
        bridge_mac: Mac::local(3 << 8),
        owner: "net/ctr/eth0".into(),
    }
}

fn ips(addresses: &[&str]) -> Vec<IpConfig> {
    let ip = |address: &&str| IpConfig { address: address.parse().unwrap(), gateway: None, interface: None };
    addresses.iter().map(ip).collect()
}

fn planned(config: &BridgeConfig, addresses: &[&str], host: &ObservedHost) -> Result<Vec<String>, PlanError> {
    let (mut ips, mut routes) = (ips(addresses), Vec::new());
    let network = network(config);
    resolve(&network, &mut ips, &mut routes)?;
    let steps = plan_add(&attach(&network), &ips, &routes, host)?;
    Ok(Script(&steps).to_string().lines().map(str::to_owned).collect())
}

fn standing(addresses: &[&str]) -> ObservedHost {
    ObservedHost {
        bridge: Some(Link { name: "br0".into(), kind: Some("bridge".into()), up: true, ..Link::default() }),
        bridge_addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        forwarding_v4: true,
        forwarding_v6: true,
        advertised: Vec::new(),
    }
}

#[test]
fn first_container_of_a_dual_stack_network() {
    let host = ObservedHost { advertised: vec!["ens3.7".into()], ..ObservedHost::default() };
    let config = BridgeConfig { ip_masq: true, mtu: Some(1400), ..bridge() };
    let script = planned(&config, &["10.1.0.2/24", "fd00::2/64"], &host).unwrap();
    let expected = [
        "ip link add br0 address 02:03:00:00:00:00 mtu 1400 up type bridge",
        "sysctl -w net.ipv6.conf.br0.accept_ra=0",
        "ip addr add 10.1.0.1/24 dev br0",
        "ip addr add fd00::1/64 dev br0 nodad",
        "sysctl -w net.ipv4.ip_forward=1",
        "sysctl -w net.ipv6.conf.ens3/7.accept_ra=2",
        "sysctl -w net.ipv6.conf.all.forwarding=1",
        "ip link add veth00000001 address 02:01:00:00:00:00 mtu 1400 master br0 up type veth \
         peer name eth0 address 02:02:00:00:00:00 mtu 1400 netns SANDBOX",
        "ip netns exec SANDBOX sysctl -w net.ipv6.conf.eth0.disable_ipv6=0",
        "ip netns exec SANDBOX sysctl -w net.ipv6.conf.eth0.keep_addr_on_down=1",
        "ip netns exec SANDBOX sysctl -w net.ipv6.conf.eth0.accept_dad=0",
        "ip netns exec SANDBOX sysctl -w net.ipv6.conf.eth0.accept_ra=0",
        "ip netns exec SANDBOX sysctl -w net.ipv4.conf.eth0.arp_notify=1",
        "ip netns exec SANDBOX ip link set eth0 up",
        "ip netns exec SANDBOX ip addr add 10.1.0.2/24 dev eth0",
        "ip netns exec SANDBOX ip addr add fd00::2/64 dev eth0 nodad",
        "ip netns exec SANDBOX ip route add 0.0.0.0/0 via 10.1.0.1 dev eth0",
        "ip netns exec SANDBOX ip route add ::/0 via fd00::1 dev eth0",
    ];
    assert_eq!(script[..expected.len()], expected);
    let elements = &script[expected.len()..];
    assert!(elements.iter().all(|line| line.starts_with("nft add element inet groundwork ")), "{elements:?}");
    for needle in ["masq4_24 '{ 10.1.0.2 comment \"net/ctr/eth0\"", "masq6_64 '{ fd00::2 comment \"net/ctr/eth0\""] {
        assert!(elements.iter().any(|line| line.contains(needle)), "{needle} in {elements:?}");
    }
}

#[test]
fn duplicate_address_detection_is_waited_for_where_it_is_wanted() {
    let detecting = BridgeConfig { enable_dad: true, ..bridge() };
    let wait =
        "while ip netns exec SANDBOX ip -6 addr show dev eth0 scope global tentative | grep -q .; do sleep 0.1; done";
    let last_of = |config: &BridgeConfig, ips: &[&str]| {
        let script = planned(config, ips, &ObservedHost::default()).unwrap();
        script.into_iter().rfind(|line| !line.starts_with("nft ")).unwrap()
    };
    assert_eq!(last_of(&detecting, &["10.1.0.2/24", "fd00::2/64"]), wait);
    assert_ne!(last_of(&detecting, &["10.1.0.2/24"]), wait);
    assert_ne!(last_of(&bridge(), &["fd00::2/64"]), wait);
}

#[test]
fn second_container_touches_nothing_of_the_network() {
    let script = planned(&bridge(), &["10.1.0.3/24"], &standing(&["10.1.0.1/24"])).unwrap();
    assert!(script[0].starts_with("ip link add veth00000001"), "{script:?}");
}

#[test]
fn another_address_on_the_bridge_is_kept_unless_forced() {
    let host = standing(&["10.9.0.1/24", "fd00::9/64", "fd01::1/64"]);
    let error = planned(&bridge(), &["10.1.0.2/24"], &host).unwrap_err();
    assert!(error.to_string().contains("has address 10.9.0.1/24, the network's gateway is 10.1.0.1/24"), "{error}");
    let error = planned(&bridge(), &["fd00::2/64"], &host).unwrap_err();
    assert!(error.to_string().contains("fd00::9/64"), "{error}");

    let forced = BridgeConfig { force_address: true, ..bridge() };
    let script = planned(&forced, &["10.1.0.2/24", "fd00::2/64"], &host).unwrap();
    assert_eq!(
        script[..4],
        [
            "ip addr del 10.9.0.1/24 dev br0",
            "ip addr add 10.1.0.1/24 dev br0",
            "ip addr del fd00::9/64 dev br0",
            "ip addr add fd00::1/64 dev br0 nodad",
        ]
    );
}

#[test]
fn two_networks_of_one_configuration_do_not_contradict_each_other() {
    let host = standing(&["10.1.0.1/24", "10.2.0.1/24"]);
    let script = planned(&bridge(), &["10.1.0.2/24", "10.2.0.2/24"], &host).unwrap();
    assert!(script[0].starts_with("ip link add veth"), "{script:?}");
}

#[test]
fn a_link_of_another_kind_is_left_alone() {
    let mut host = standing(&[]);
    host.bridge.as_mut().unwrap().kind = Some("vxlan".into());
    let error = planned(&bridge(), &["10.1.0.2/24"], &host).unwrap_err();
    assert_eq!(error, PlanError::NotBridge { name: "br0".into(), kind: Some("vxlan".into()) });
}

#[test]
fn routes_get_next_hops_and_no_second_default() {
    let route =
        |dst: &str, gw: Option<&str>| Route { gw: gw.map(|gw| gw.parse().unwrap()), ..Route::to(dst.parse().unwrap()) };
    let mut ips = ips(&["10.1.0.2/24", "fd00::2/64"]);
    let mut routes = vec![route("0.0.0.0/0", None), route("10.8.0.0/16", Some("10.1.0.9")), route("10.8.0.0/16", None)];
    resolve(&network(&bridge()), &mut ips, &mut routes).unwrap();
    let expected =
        [route("0.0.0.0/0", Some("10.1.0.1")), route("10.8.0.0/16", Some("10.1.0.9")), route("::/0", Some("fd00::1"))];
    assert_eq!(routes, expected);
    let again = (ips.clone(), routes.clone());
    resolve(&network(&bridge()), &mut ips, &mut routes).unwrap();
    assert_eq!((ips, routes), again);
}

#[test]
fn without_a_gateway_there_is_no_default_route() {
    let config = BridgeConfig { is_gateway: false, ..bridge() };
    let error = resolve(&network(&config), &mut ips(&["10.1.0.2/24"]), &mut Vec::new()).unwrap_err();
    assert_eq!(error, PlanError::NoGateway { address: "10.1.0.2/24".parse().unwrap() });
}

#[test]
fn a_network_without_addresses_is_links_only() {
    let config = BridgeConfig { is_gateway: false, is_default_gateway: false, hairpin_mode: true, ..bridge() };
    let script = planned(&config, &[], &ObservedHost::default()).unwrap();
    assert!(!script.iter().any(|line| line.contains(" addr add ") || line.contains("nft")), "{script:?}");
    assert!(script.contains(&"ip link set veth00000001 type bridge_slave hairpin on".to_owned()), "{script:?}");
}

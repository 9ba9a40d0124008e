//! Plans of whole ADDs, as a person would read them.

mod chained;
mod check;
mod exposure;
mod needs;
mod ptp;
mod single;
mod source_routing;
mod steps;
mod vrf;

use super::*;
use crate::{
    cni::{
        mac::Mac,
        result::{IpConfig, Route},
    },
    config::{BridgeConfig, LinkConfig, NativeConfig, Vlans},
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
        vlans: Vlans::default(),
        mac_spoof_check: false,
        ip_spoof_check: false,
        port_isolation: false,
        disable_container_interface: false,
    }
}

fn network(bridge: &BridgeConfig) -> NativeConfig {
    NativeConfig {
        link: Some(LinkConfig::Bridge(bridge.clone())),
        ipam: None,
        dns: None,
        host_ports: None,
        firewall: None,
        tuning: None,
        source_routing: None,
        bandwidth: None,
        vrf: None,
        overlay: None,
    }
}

fn attach(config: &NativeConfig) -> Attach<'_> {
    Attach {
        config,
        ifname: "eth0",
        host_link: "veth00000001",
        host_mac: Mac::local(1 << 8),
        sandbox_mac: Mac::local(2 << 8),
        requested_mac: None,
        bridge_mac: Mac::local(3 << 8),
        gateway_link: "br0",
        host_mtu: None,
        qdiscs: &[],
        inside: None,
        ifb: "bwp0",
        ifb_mac: Mac::local(4 << 8),
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

fn link(name: &str, kind: &str) -> Link {
    Link { name: name.into(), kind: Some(kind.into()), up: true, default_vlan: 1, ..Link::default() }
}

fn standing(addresses: &[&str]) -> ObservedHost {
    ObservedHost {
        port: None,
        bridge_nf: false,
        bridge: Some(link("br0", "bridge")),
        gateway: None,
        gateway_addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        forwarding_v4: true,
        forwarding_v6: true,
        ..ObservedHost::default()
    }
}

#[test]
fn first_container_of_a_dual_stack_network() {
    let host = ObservedHost { advertised: vec!["ens3.7".into()], ..ObservedHost::default() };
    let config = BridgeConfig { ip_masq: true, mtu: Some(1400), ..bridge() };
    let script = planned(&config, &["10.1.0.2/24", "fd00::2/64"], &host).unwrap();
    let expected = [
        "ip link add br0 address 02:03:00:00:00:00 mtu 1400 type bridge",
        "sysctl -w net.ipv6.conf.br0.accept_ra=0",
        "sysctl -w net.ipv6.conf.br0.accept_dad=0",
        "ip link set br0 up",
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
    let (elements, others): (Vec<String>, Vec<String>) =
        script.iter().cloned().partition(|line| line.starts_with("nft "));
    assert_eq!(others, expected);
    assert_eq!(script[..elements.len()], elements, "a port that is another's is refused before anything is made");
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
    for other in ["fd00::9/64", "fd00:0:0:1::9/48", "fd00::1:0:0:9/80"] {
        let error = planned(&bridge(), &["fd00::2/64"], &standing(&[other])).unwrap_err();
        assert!(error.to_string().contains(other), "{error}");
    }

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
    let hairpin = "ip link set veth00000001 type bridge_slave hairpin on isolated off".to_owned();
    assert!(script.contains(&hairpin), "{script:?}");
}

/// The steps of an ADD that put links into VLANs.
fn vlan_steps(config: &BridgeConfig, host: &ObservedHost) -> Vec<String> {
    let script = planned(config, &["10.1.0.2/24"], host).unwrap();
    script.into_iter().filter(|line| ["vlan", "br0.100", "br0/100"].iter().any(|word| line.contains(word))).collect()
}

fn in_vlan(untagged: Option<u16>, trunk: &[std::ops::RangeInclusive<u16>]) -> BridgeConfig {
    let vlans = Vlans { untagged, trunk: trunk.into(), preserve_default: false };
    BridgeConfig { is_default_gateway: false, vlans, ..bridge() }
}

#[test]
fn a_vlan_has_a_gateway_of_its_own() {
    let config = in_vlan(Some(100), &[200..=210, 300..=300]);
    let create = "ip link add br0 address 02:03:00:00:00:00 type bridge vlan_filtering 1";
    let gateway = [
        "ip link add vethe88cdb46 address 02:03:00:00:00:01 master br0 up type veth \
         peer name br0.100 address 02:03:00:00:00:02",
        "sysctl -w net.ipv6.conf.br0/100.accept_ra=0",
        "sysctl -w net.ipv6.conf.br0/100.accept_dad=0",
        "bridge vlan del dev vethe88cdb46 vid 1",
        "bridge vlan add dev vethe88cdb46 vid 100 pvid untagged",
        "ip link set br0.100 up",
        "ip addr add 10.1.0.1/24 dev br0.100",
    ];
    let port = [
        "bridge vlan del dev veth00000001 vid 1",
        "bridge vlan add dev veth00000001 vid 200-210",
        "bridge vlan add dev veth00000001 vid 300",
        "bridge vlan add dev veth00000001 vid 100 pvid untagged",
    ];
    let all = [&[create][..], &gateway, &port].concat();
    assert_eq!(vlan_steps(&config, &ObservedHost::default()), all);

    let mut host = standing(&["10.1.0.1/24"]);
    host.gateway = Some(link("br0.100", "veth"));
    let filter = "ip link set br0 type bridge vlan_filtering 1";
    assert_eq!(vlan_steps(&config, &host), [&[filter][..], &port].concat(), "the gateway stands");

    host.bridge.as_mut().unwrap().vlan_filtering = true;
    host.gateway.as_mut().unwrap().up = false;
    assert_eq!(vlan_steps(&config, &host), [&gateway[1..6], &port].concat(), "a killed ADD made it half");
}

#[test]
fn without_a_vlan_a_trunk_is_in_vlan_1() {
    let network = BridgeConfig { is_gateway: false, ..in_vlan(None, &[5..=6]) };
    let mut host = standing(&[]);
    host.bridge.as_mut().unwrap().vlan_filtering = true;
    let of = |config: &BridgeConfig, host: &ObservedHost| vlan_steps(config, host).join("; ");
    let add = "bridge vlan add dev veth00000001 vid 5-6; bridge vlan add dev veth00000001 vid 1 pvid untagged";
    assert_eq!(of(&network, &host), add);
    host.bridge.as_mut().unwrap().default_vlan = 7;
    assert_eq!(of(&network, &host), format!("bridge vlan del dev veth00000001 vid 7; {add}"));
    let mut kept = network;
    kept.vlans.preserve_default = true;
    assert_eq!(of(&kept, &host), add);
    host.bridge.as_mut().unwrap().default_vlan = 0;
    kept.vlans.preserve_default = false;
    assert_eq!(of(&kept, &host), add, "the bridge puts no port anywhere");
}

#[test]
fn a_port_can_be_isolated_and_checked() {
    let config = BridgeConfig { port_isolation: true, mac_spoof_check: true, ..bridge() };
    let script = planned(&config, &["10.1.0.3/24"], &standing(&["10.1.0.1/24"])).unwrap();
    let expected = [
        "nft add element bridge groundwork spoof '{ \"veth00000001\" comment \"net/ctr/eth0\" }'",
        "nft add element bridge groundwork spoof_ok \
         '{ \"veth00000001\" . 02:02:00:00:00:00 comment \"net/ctr/eth0\" }'",
    ];
    assert_eq!(script[..2], expected, "before the container can send anything");
    assert_eq!(script[3], "ip link set veth00000001 type bridge_slave hairpin off isolated on");
}

#[test]
fn a_disabled_interface_stays_down() {
    let config = BridgeConfig { is_gateway: false, disable_container_interface: true, ..in_vlan(None, &[]) };
    let script = planned(&config, &[], &standing(&[])).unwrap();
    assert!(script.iter().all(|line| line.starts_with("ip link add veth")), "{script:?}");
    assert_eq!(script.len(), 1);
}

//! Plans of veth pairs without a bridge.

use super::{attach, bridge, ips, network};
use crate::{
    cni::result::Route,
    config::{LinkConfig, NativeConfig, PtpConfig},
    plan::{ObservedHost, Script, plan_add, resolve},
};

fn planned(addresses: &[&str], mut routes: Vec<Route>, host: &ObservedHost) -> Vec<String> {
    let link = LinkConfig::Ptp(PtpConfig { ip_masq: false, mtu: Some(1400) });
    let network = NativeConfig { link: Some(link), ..network(&bridge()) };
    let mut ips = ips(addresses);
    resolve(&network, &mut ips, &mut routes).unwrap();
    let steps = plan_add(&attach(&network), &ips, &routes, host).unwrap();
    Script(&steps).to_string().lines().map(str::to_owned).collect()
}

#[test]
fn the_host_is_the_gateway_of_each_container() {
    let expected = [
        "sysctl -w net.ipv4.ip_forward=1",
        "sysctl -w net.ipv6.conf.all.forwarding=1",
        "ip link add veth00000001 address 02:01:00:00:00:00 mtu 1400 up type veth \
         peer name eth0 address 02:02:00:00:00:00 mtu 1400 netns SANDBOX",
        "sysctl -w net.ipv6.conf.veth00000001.accept_ra=0",
        "sysctl -w net.ipv6.conf.veth00000001.accept_dad=0",
        "ip addr add 10.1.0.1/32 dev veth00000001",
        "ip route add 10.1.0.2/32 dev veth00000001 scope 254",
        "ip addr add fd00::1/128 dev veth00000001 nodad",
        "ip route add fd00::2/128 dev veth00000001 scope 254",
    ];
    let inside = [
        "ip link set eth0 up",
        "ip addr add 10.1.0.2/24 dev eth0 noprefixroute",
        "ip addr add fd00::2/64 dev eth0 nodad noprefixroute",
        "ip route add 10.1.0.1/32 dev eth0 scope 253 src 10.1.0.2",
        "ip route add 10.1.0.0/24 via 10.1.0.1 dev eth0 src 10.1.0.2",
        "ip route add fd00::1/128 dev eth0 scope 253 src fd00::2",
        "ip route add fd00::/64 via fd00::1 dev eth0 src fd00::2",
        "ip route add 0.0.0.0/0 via 10.1.0.1 dev eth0",
    ];
    let routes = vec![Route::to("0.0.0.0/0".parse().unwrap())];
    let script = planned(&["10.1.0.2/24", "fd00::2/64"], routes, &ObservedHost::default());
    assert_eq!(script[..expected.len()], expected);
    let up = script.iter().position(|line| line.ends_with("eth0 up")).unwrap();
    let rest: Vec<_> =
        script[up..].iter().map(|line| line.strip_prefix("ip netns exec SANDBOX ").unwrap().to_owned()).collect();
    assert_eq!(rest, inside);
}

#[test]
fn a_single_address_has_no_network_behind_the_gateway() {
    let host = ObservedHost { forwarding_v4: true, forwarding_v6: true, ..ObservedHost::default() };
    let script = planned(&["10.1.0.2/32"], Vec::new(), &host);
    assert!(script.last().unwrap().ends_with("ip route add 10.1.0.3/32 dev eth0 scope 253 src 10.1.0.2"), "{script:?}");
    assert!(script[0].starts_with("ip link add"), "{script:?}");
}

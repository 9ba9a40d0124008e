//! The key `overlay`: what it asks for, and what is refused.

use serde_json::{Value, json};

use super::{broken::each_is_refused, native_of, parse, with};
use crate::config::{Engine, IpamConfig, LinkConfig, NetworkConfig, OutsideSubnet, OverlayConfig, Underlay};

fn overlaid(overlay: Value) -> Value {
    json!({ "cniVersion": "1.0.0", "name": "pods", "type": "groundwork", "bridge": "cni0", "overlay": overlay })
}

fn of(config: &NetworkConfig) -> &OverlayConfig {
    native_of(config).overlay.as_ref().unwrap()
}

#[test]
fn a_network_is_enough() {
    let config = parse(&overlaid(json!({ "network": "10.244.0.0/16" }))).unwrap();
    let overlay = of(&config);
    assert_eq!((overlay.vni, overlay.port, overlay.engine), (1, 4789, Engine::None));
    assert_eq!((overlay.mtu, &overlay.underlay), (None, &Underlay::DefaultRoute));
    assert_eq!(overlay.own_subnets(), Some(vec!["10.244.0.0/24".parse().unwrap()]));
    assert_eq!(overlay.device(), "vxlan.1");
    let native = native_of(&config);
    assert!(matches!(&native.link, Some(LinkConfig::Bridge(bridge)) if bridge.is_gateway));
    let Some(IpamConfig::HostLocal(ipam)) = &native.ipam else { panic!("{:?}", native.ipam) };
    assert!(ipam.range_sets.is_empty());
    assert!(config.unknown_keys.is_empty(), "{:?}", config.unknown_keys);
}

#[test]
fn every_key_is_read() {
    let config = parse(&overlaid(json!({
        "network": ["10.244.0.0/16", "fd00:244::/48"], "subnetLen": [26, 64], "vni": 16_777_215, "port": 8472, "mtu": 1400,
        "subnet": ["10.244.0.64/26", "fd00:244:0:7::/64"], "node": "a", "underlay": "192.0.2.1", "engine": "static",
        "peers": [{ "node": "b", "subnets": "10.244.0.128/26", "vtep": "192.0.2.2", "mac": "02:00:00:00:00:02" }],
        "peerFile": "/etc/groundwork/peers.json",
    })))
    .unwrap();
    let overlay = of(&config);
    assert_eq!((overlay.vni, overlay.port, overlay.mtu), (16_777_215, 8472, Some(1400)));
    assert_eq!((overlay.device().as_str(), overlay.node.as_deref()), ("vxlan.16777215", Some("a")));
    assert_eq!(overlay.underlay, Underlay::Address("192.0.2.1".parse().unwrap()));
    assert_eq!(overlay.subnet_len, [26, 64]);
    assert_eq!((overlay.peers.len(), overlay.peers[0].mac.to_string()), (1, "02:00:00:00:00:02".to_owned()));
    assert_eq!(overlay.peer_file.as_deref(), Some(std::path::Path::new("/etc/groundwork/peers.json")));
    assert!(config.unknown_keys.is_empty(), "{:?}", config.unknown_keys);
    let named = parse(&overlaid(json!({ "network": "10.244.0.0/16", "underlay": "eth1", "netwrok": 1 }))).unwrap();
    assert_eq!(of(&named).underlay, Underlay::Interface("eth1".into()));
    assert_eq!(named.unknown_keys[0].path, "overlay.netwrok");
}

#[test]
fn keys_that_cannot_be_are_refused() {
    let base = overlaid(json!({
        "network": ["10.244.0.0/16", "fd00:244::/48"], "engine": "static", "subnet": ["10.244.1.0/24", "fd00:244::/64"],
        "peers": [{ "node": "b", "subnets": ["10.244.2.0/24"], "vtep": "192.0.2.2" }],
    }));
    each_is_refused(
        &base,
        &[
            ("/overlay", json!("10.244.0.0/16"), 6, "`overlay`"),
            ("/overlay/network", Value::Null, 7, "`overlay.network` is missing"),
            ("/overlay/network/0", json!("10.244.1.0/16"), 7, "without host bits"),
            ("/overlay/network/1", json!("10.245.0.0/16"), 7, "one network of each family"),
            ("/overlay/vni", json!(0), 7, "1 to 16777215"),
            ("/overlay/vni", json!(16_777_216), 7, "1 to 16777215"),
            ("/overlay/port", json!(65536), 7, "1 to 65535"),
            ("/overlay/mtu", json!(60), 7, "`overlay.mtu`"),
            ("/overlay/engine", json!("consul"), 7, "none, static, etcd, evpn"),
            ("/overlay/engine", json!("none"), 7, "`overlay.peers`"),
            ("/overlay/underlay", json!("a/b"), 7, "an interface's name, or an address"),
            ("/overlay/subnetLen", json!(24), 7, "as many lengths"),
            ("/overlay/subnetLen", json!([8, 64]), 7, "`overlay.subnetLen[0]`"),
            ("/overlay/subnetLen", json!([31, 64]), 7, "16 to 30"),
            ("/overlay/subnet", json!(["10.244.1.0/24"]), 7, "one for each family"),
            ("/overlay/subnet/0", json!("10.99.1.0/24"), 7, "a part of `network`"),
            ("/overlay/subnet/0", json!("10.244.1.0/25"), 7, "`subnetLen` long"),
            ("/overlay/peerFile", json!("peers.json"), 7, "an absolute path"),
            ("/overlay/peers/0/vtep", Value::Null, 7, "`overlay.peers[0].vtep` is missing"),
            ("/overlay/peers/0/subnets", json!(["all"]), 7, "`overlay.peers[0].subnets[0]`"),
            ("/overlay/peers/0/mac", json!("01:00:5e:00:00:01"), 7, "`overlay.peers[0].mac`"),
            ("/link", json!("ptp"), 7, "`overlay` and `link` exclude each other"),
        ],
    );
    let agents = overlaid(json!({ "network": "10.244.0.0/16", "engine": "etcd", "subnet": "10.244.1.0/24" }));
    assert!(parse(&agents).unwrap_err().to_string().contains("the agent claims the subnet"));
}

#[test]
fn addresses_come_from_this_hosts_subnets() {
    let subnets = ["10.244.1.0/24".parse().unwrap(), "fd00:244:1::/64".parse().unwrap()];
    let settled = |config: &Value| {
        let config = parse(config).unwrap();
        let Some(IpamConfig::HostLocal(mut ipam)) = native_of(&config).ipam.clone() else { panic!("{config:?}") };
        ipam.settle(&subnets).map(|()| ipam)
    };
    let base = overlaid(json!({ "network": ["10.244.0.0/16", "fd00:244::/32"], "engine": "etcd" }));
    let ipam = settled(&base).unwrap();
    assert_eq!(ipam.range_sets.len(), 2);
    assert_eq!(ipam.range_sets[0].0[0].to_string(), "10.244.1.1-10.244.1.254");
    assert_eq!(ipam.range_sets[1].0[0].gateway.to_string(), "fd00:244:1::1");
    // Asked for by a runtime: inside, or nowhere.
    let asked = |address: &str| with(&base, "/runtimeConfig/ips", json!([address]));
    assert_eq!(settled(&asked("10.244.1.9")).unwrap().requested, ["10.244.1.9".parse::<std::net::IpAddr>().unwrap()]);
    for elsewhere in ["10.244.2.9", "10.244.1.1"] {
        assert_eq!(settled(&asked(elsewhere)).unwrap_err(), OutsideSubnet::Address(elsewhere.parse().unwrap()));
    }
    let ranged = |start: &str| with(&base, "/ipam", json!({ "type": "host-local", "subnet": start }));
    assert_eq!(settled(&ranged("10.244.1.128/25")).unwrap().range_sets.len(), 1);
    for outside in ["10.244.2.0/24", "10.244.0.0/23"] {
        assert!(matches!(settled(&ranged(outside)), Err(OutsideSubnet::Range(_))), "{outside}");
    }
}

#[test]
fn the_whole_overlay_is_not_masqueraded() {
    let config = parse(&overlaid(json!({ "network": "10.244.0.0/16" }))).unwrap();
    let reach = |address: &str| native_of(&config).reach(address.parse().unwrap()).to_string();
    assert_eq!(reach("10.244.1.5/24"), "10.244.1.5/16");
    assert_eq!(reach("10.99.1.5/24"), "10.99.1.5/24");
}

#[test]
fn each_engine_has_its_name_and_frames_come_by_its_device() {
    for (engine, comes_by) in [("none", "vxlan.7"), ("static", "vxlan.7"), ("etcd", "vxlan.7"), ("evpn", "vxbr.7")] {
        let config = parse(&overlaid(json!({ "network": "10.244.0.0/16", "vni": 7, "engine": engine }))).unwrap();
        assert_eq!((of(&config).engine.name(), of(&config).device_in().as_str()), (engine, comes_by));
    }
}

//! Keys of the kinds of links beside the bridge.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{broken::each_is_refused, native_of, parse, with};
use crate::{
    cni::mac::Mac,
    config::{HostDeviceConfig, LinkConfig, Mode, ParentConfig, SingleConfig, VrfConfig},
    rtnl::values::{IpvlanMode, LinkKind, MacvlanMode},
};

fn network(kind: &str, keys: Value) -> Value {
    let mut config = json!({ "cniVersion": "1.0.0", "name": "n", "type": kind });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn link_of(config: &Value) -> LinkConfig {
    let config = parse(config).unwrap();
    assert_eq!(config.unknown_keys, []);
    native_of(&config).link.clone().unwrap()
}

fn single_of(config: &Value) -> SingleConfig {
    let LinkConfig::Single(single) = link_of(config) else { panic!("{config}") };
    single
}

#[test]
fn by_type_or_by_the_key_link() {
    let ptp = |config: Value| matches!(link_of(&config), LinkConfig::Ptp(ptp) if ptp.ip_masq && ptp.mtu == Some(1300));
    let keys = json!({ "ipMasq": true, "mtu": 1300 });
    assert!(ptp(network("ptp", keys.clone())));
    assert!(ptp(with(&network("groundwork", keys.clone()), "/link", json!("ptp"))));
    assert!(ptp(with(&network("ptp", keys), "/link", json!("ptp"))));
    for config in [network("loopback", json!({ "ipam": {} })), network("groundwork", json!({ "link": "loopback" }))] {
        assert_eq!(parse(&config).unwrap().mode, Mode::Loopback);
    }
    each_is_refused(
        &network("ptp", json!({ "ipMasq": true, "mtu": 1300 })),
        &[
            (
                "/link",
                json!("veth"),
                7,
                "`link` is \"veth\": expected bridge, ptp, macvlan, ipvlan, vlan, dummy, host-device",
            ),
            ("/link", json!(1), 6, "`link`"),
            ("/link", json!("bridge"), 7, "`link` is \"bridge\": expected what `type` says already"),
            ("/ipMasq", json!(1), 6, "`ipMasq`"),
            ("/mtu", json!(67), 7, "`mtu`"),
        ],
    );
    let small = json!({ "mtu": 1279, "ipam": { "type": "static", "addresses": [{ "address": "fd00::2/64" }] } });
    assert!(parse(&network("ptp", small)).unwrap_err().to_string().contains("at least 1280"));
    for key in ["master", "device", "hwaddr", "kernelpath", "pciBusID"] {
        let error = parse(&with(&network("groundwork", json!({})), &format!("/{key}"), json!("x"))).unwrap_err();
        assert!(error.to_string().contains("`link` is missing"), "{key}: {error}");
    }
}

#[test]
fn links_on_others() {
    let parent = |name: Option<&str>, in_sandbox| Some(ParentConfig { name: name.map(str::to_owned), in_sandbox });
    let keys = json!({ "master": "ens3", "mode": "vepa", "mtu": 1400, "bcqueuelen": 500, "mac": "02:00:00:00:00:07" });
    let expected = SingleConfig {
        kind: LinkKind::Macvlan { mode: MacvlanMode::Vepa, broadcast_queue: Some(500) },
        parent: parent(Some("ens3"), false),
        mtu: Some(1400),
    };
    assert_eq!(single_of(&network("macvlan", keys.clone())), expected);
    let configured = native_of(&parse(&network("macvlan", keys)).unwrap()).configured_mac();
    assert_eq!(configured, Some(Mac([2, 0, 0, 0, 0, 7])));
    let plain = LinkKind::Macvlan { mode: MacvlanMode::Bridge, broadcast_queue: None };
    let config = single_of(&network("macvlan", json!({ "linkInContainer": true, "bcqueuelen": 0 })));
    assert_eq!((config.kind, config.parent), (plain, parent(None, true)));
    let config = single_of(&network("ipvlan", json!({ "mode": "l3s" })));
    assert_eq!((config.kind, config.parent), (LinkKind::Ipvlan { mode: IpvlanMode::L3s }, parent(None, false)));
    let config = single_of(&network("vlan", json!({ "master": "ens3", "vlanId": 0 })));
    assert_eq!((config.kind, config.parent), (LinkKind::Vlan { id: 0 }, parent(Some("ens3"), false)));
    assert_eq!(single_of(&network("dummy", json!({ "mtu": 9000 }))).parent, None);
    each_is_refused(
        &network("macvlan", json!({ "master": "ens3", "mode": "bridge", "mac": "02:00:00:00:00:07" })),
        &[
            ("/master", json!("a/b"), 7, "`master` is \"a/b\": expected 1 to 15 bytes"),
            ("/master", json!(3), 6, "`master`"),
            ("/mode", json!("l2"), 7, "`mode` is \"l2\": expected bridge, private, vepa, passthru"),
            ("/mtu", json!(-1), 7, "`mtu`"),
            ("/mac", json!("ff:ff:ff:ff:ff:ff"), 7, "`mac`"),
            ("/linkInContainer", json!("yes"), 6, "`linkInContainer`"),
            ("/bcqueuelen", json!(-1), 7, "`bcqueuelen`"),
        ],
    );
    each_is_refused(
        &network("vlan", json!({ "master": "ens3", "vlanId": 5 })),
        &[
            ("/master", Value::Null, 7, "`master` is missing: expected the name of the link"),
            ("/vlanId", Value::Null, 7, "`vlanId` is missing"),
            ("/vlanId", json!(4095), 7, "`vlanId` is 4095: expected a VLAN's number, 0 to 4094"),
            ("/vlanId", json!("5"), 6, "`vlanId`"),
        ],
    );
    each_is_refused(
        &network("ipvlan", json!({ "mode": "l2" })),
        &[("/mode", json!("bridge"), 7, "expected l2, l3, l3s")],
    );
}

#[test]
fn which_links_have_a_host_end_and_choose_their_hardware_address() {
    for (kind, keys, ends) in [
        ("bridge", json!({}), (true, true)),
        ("ptp", json!({}), (true, true)),
        ("macvlan", json!({ "master": "ens3" }), (false, true)),
        ("ipvlan", json!({ "master": "ens3" }), (false, false)),
        ("host-device", json!({ "device": "ens3" }), (false, false)),
    ] {
        let link = link_of(&network(kind, keys));
        assert_eq!((link.has_host_end(), link.is_born_with_mac()), ends, "{kind}");
    }
}

#[test]
fn devices_of_the_host() {
    let mut keys = json!({
        "device": "ens3", "hwaddr": "02:00:00:00:00:01", "kernelpath": "/sys/devices/pci0000:00/0000:00:1f.6",
        "runtimeConfig": { "deviceID": "0000:00:1f.5" }, "pciBusID": "0000:00:1f.4",
    });
    let folder = |paths: &[&str]| HostDeviceConfig::Folder(paths.iter().map(PathBuf::from).collect());
    for (key, expected) in [
        ("device", HostDeviceConfig::Name("ens3".into())),
        ("hwaddr", HostDeviceConfig::Mac(Mac([2, 0, 0, 0, 0, 1]))),
        ("kernelpath", folder(&["/sys/devices/pci0000:00/0000:00:1f.6"])),
        ("runtimeConfig", folder(&["/sys/bus/pci/devices/0000:00:1f.5", "/sys/bus/auxiliary/devices/0000:00:1f.5"])),
        ("pciBusID", folder(&["/sys/bus/pci/devices/0000:00:1f.4"])),
    ] {
        assert_eq!(first_device(&keys), expected, "{key}");
        keys.as_object_mut().unwrap().remove(key);
    }
    link_of(&network("host-device", json!({ "device": "ens3" })));
    each_is_refused(
        &network("host-device", json!({ "device": "ens3" })),
        &[
            ("/device", Value::Null, 7, "`device` is missing: expected the link's name, or `hwaddr`"),
            ("/device", json!("a/b"), 7, "`device`"),
        ],
    );
    for (key, value) in [
        ("hwaddr", json!("02:00")),
        ("kernelpath", json!("/sys/class/net/ens3")),
        ("kernelpath", json!("/sys/devices/../class")),
        ("pciBusID", json!("../x")),
        ("pciBusID", json!("a/b")),
    ] {
        let error = parse(&network("host-device", json!({ key: value }))).unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}` is")), "{error}");
    }
}

/// Of several ways to name a device the first counts; the others are not even read.
fn first_device(keys: &Value) -> HostDeviceConfig {
    let config = parse(&network("host-device", keys.clone())).unwrap();
    match &native_of(&config).link {
        Some(LinkConfig::HostDevice(device)) => device.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_vrf_of_a_chain_or_of_ones_own_link() {
    let vrf = |config: Value| native_of(&parse(&config).unwrap()).vrf.clone().unwrap();
    let chained = parse(&network("vrf", json!({ "vrfname": "blue", "table": 42 }))).unwrap();
    assert_eq!(chained.chained_type(), Some("vrf"));
    assert_eq!(native_of(&chained).vrf, Some(VrfConfig { name: "blue".into(), table: Some(42) }));
    assert_eq!(vrf(network("vrf", json!({ "vrfname": "blue", "table": 0 }))).table, None);
    let own = parse(&network("groundwork", json!({ "bridge": "br0", "vrfname": "blue" }))).unwrap();
    assert!(native_of(&own).link.is_some() && native_of(&own).vrf.is_some());
    assert_eq!(native_of(&parse(&network("groundwork", json!({ "bridge": "br0" }))).unwrap()).vrf, None);
    // `table` is the VRF's then; elsewhere it asks for routing by source.
    let with_table = parse(&network("groundwork", json!({ "bridge": "br0", "vrfname": "blue", "table": 7 }))).unwrap();
    assert_eq!(native_of(&with_table).vrf.as_ref().unwrap().table, Some(7));
    assert_eq!(native_of(&with_table).source_routing, None);
    for key in ["sbr", "addSourceHints"] {
        let mut both = network("groundwork", json!({ "bridge": "br0", "vrfname": "blue" }));
        both[key] = json!(true);
        let error = parse(&both).unwrap_err().to_string();
        assert!(error.starts_with("`vrfname` and `sbr` exclude each other"), "{error}");
    }
    each_is_refused(
        &network("vrf", json!({ "vrfname": "blue" })),
        &[
            ("/vrfname", Value::Null, 7, "`vrfname` is missing"),
            ("/vrfname", json!("a/b"), 7, "`vrfname` is \"a/b\""),
            ("/vrfname", json!(1), 6, "`vrfname`"),
            ("/table", json!(-1), 7, "`table`"),
            ("/table", json!("blue"), 6, "`table`"),
        ],
    );
}

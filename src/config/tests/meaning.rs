//! What keys mean: defaults, precedence, modes.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    bridge_of, fixed, host_local_of, native, native_of, parse, parse_for, request, request_with, static_of, with,
};
use crate::{
    cni::{Verb, Version, mac::Mac},
    config::{Attachment, IpamConfig, LoaderName, LogLevel, Mode, NetworkConfig, Range, UnknownKey, Vlans},
    kernel::feature::FeatureRef,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A network with nothing but `ipam`: its ranges, filled in.
fn ranges(ipam: Value) -> Vec<Range> {
    let mut config = json!({ "cniVersion": "0.3.0", "name": "n", "ipam": ipam });
    config["ipam"]["type"] = "host-local".into();
    host_local_of(&parse(&config).unwrap()).range_sets.iter().flat_map(|set| set.0.clone()).collect()
}

#[test]
fn every_key_is_read() {
    let config = parse(&native()).unwrap();
    assert_eq!(config.unknown_keys, []);
    assert_eq!(config.flaws, []);
    assert_eq!((config.cni_version, config.name.as_str()), (Version::V1_0_0, "net1"));
    assert_eq!(config.plugin_type, "groundwork");
    let modules = ["br_netfilter", "sch_fq"].map(|name| FeatureRef::new(name).unwrap());
    assert!(matches!(&modules, [FeatureRef::Known(_), FeatureRef::Module(_)]));
    assert_eq!(config.kernel.modules.as_deref(), Some(&modules[..]));
    assert_eq!(config.kernel.loaders, Some(vec![LoaderName::Ioctl, LoaderName::Modprobe]));
    assert_eq!(config.log.file.as_deref(), Some("/var/log/groundwork.log".as_ref()));
    assert_eq!(config.log.level, Some(LogLevel::Debug));
    assert_eq!(config.state_dir, std::path::Path::new("/run/gw"));
    assert_eq!(config.prev_result, Some(native()["prevResult"].clone()));
    assert_eq!(config.valid_attachments, None);
    assert_eq!(Value::Object(config.raw.clone()), native());
    let bridge = bridge_of(&config);
    assert_eq!(bridge.bridge, "br0");
    assert!(bridge.is_gateway && !bridge.is_default_gateway && bridge.force_address && bridge.ip_masq);
    assert!(bridge.hairpin_mode && !bridge.promisc_mode && bridge.enable_dad);
    assert!(
        bridge.mac_spoof_check && bridge.ip_spoof_check && bridge.port_isolation && !bridge.disable_container_interface
    );
    assert_eq!(bridge.vlans, Vlans { untagged: Some(100), trunk: vec![20..=31, 40..=40], preserve_default: true });
    assert_eq!(bridge.gateway_link(), "br0.100");
    assert_eq!(bridge.mtu, Some(1400));
    assert_eq!(native_of(&config).dns.as_ref().unwrap().nameservers, ["10.1.0.1", "fe80::1%eth0"]);
    let ipam = host_local_of(&config);
    let sets: Vec<Vec<String>> =
        ipam.range_sets.iter().map(|set| set.0.iter().map(ToString::to_string).collect()).collect();
    let expected: [Vec<&str>; 3] = [
        vec!["10.9.0.5-10.9.0.9"],
        vec!["10.1.3.10-10.1.3.20"],
        vec!["fd00:1::1-fd00:1::ffff:ffff:ffff:ffff", "fd00:2::1-fd00:2::ffff:ffff:ffff:ffff"],
    ];
    assert_eq!(sets, expected);
    assert_eq!(ipam.requested, [ip("10.1.3.15"), ip("fd00:1::5")]);
    assert_eq!(ipam.data_dir.as_deref(), Some("/run/leases".as_ref()));
    assert_eq!(ipam.resolv_conf.as_deref(), Some("/etc/resolv.conf".as_ref()));
    let [route] = &ipam.routes[..] else { panic!() };
    assert_eq!((route.mtu, route.advmss, route.priority), (Some(1300), Some(1200), Some(7)));
    assert_eq!((route.table, route.scope, route.gw), (Some(100), Some(0), Some(ip("10.1.3.254"))));
}

#[test]
fn ranges_get_their_defaults() {
    let v4 = &ranges(json!({ "subnet": "10.1.2.0/24" }))[0];
    assert_eq!((v4.start, v4.end, v4.gateway), (ip("10.1.2.1"), ip("10.1.2.254"), ip("10.1.2.1")));
    let v6 = &ranges(json!({ "subnet": "fd00::/120" }))[0];
    assert_eq!((v6.start, v6.end, v6.gateway), (ip("fd00::1"), ip("fd00::ff"), ip("fd00::1")));
    let smallest = &ranges(json!({ "subnet": "10.1.2.4/30", "gateway": "", "rangeEnd": null }))[0];
    assert_eq!((smallest.start, smallest.end), (ip("10.1.2.5"), ip("10.1.2.6")));
    let all = &ranges(json!({ "ranges": [[{ "subnet": "0.0.0.0/0" }], [{ "subnet": "::/0" }]] }));
    assert_eq!((all[0].end, all[1].start), (ip("255.255.255.254"), ip("::1")));
    let mapped = &ranges(json!({ "subnet": "10.1.2.0/24", "rangeStart": "::ffff:10.1.2.9" }))[0];
    assert_eq!(mapped.start, ip("10.1.2.9"), "an IPv4 address in IPv6 clothes is an IPv4 address");
}

#[test]
fn neighbours_do_not_overlap() {
    let half = |start: &str, end: &str| json!({ "subnet": "10.1.2.0/24", "rangeStart": start, "rangeEnd": end });
    let set = json!([half("10.1.2.10", "10.1.2.19"), half("10.1.2.20", "10.1.2.29")]);
    assert_eq!(ranges(json!({ "ranges": [set] })).len(), 2);
    assert_eq!(ranges(json!({ "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "10.1.3.0/24" }]] })).len(), 2);
}

#[test]
fn a_later_source_replaces_requests_set_by_set() {
    let requested =
        |config: &Value, args: &str| host_local_of(&parse_for(config, &request_with(args)).unwrap()).requested.clone();
    let mut config = native();
    config["runtimeConfig"].take();
    config["args"].take();
    assert_eq!(requested(&config, "IP=10.1.3.11"), [ip("10.1.3.11")]);
    assert_eq!(requested(&config, "IP=fd00:2::9/64"), [ip("fd00:2::9")]);
    let config = with(&config, "/args", json!({ "cni": { "ips": ["10.1.3.12", "10.1.3.12"] } }));
    assert_eq!(requested(&config, "IP=10.1.3.11"), [ip("10.1.3.12")]);
    assert_eq!(requested(&config, "IP=fd00:1::9"), [ip("10.1.3.12"), ip("fd00:1::9")]);
    let config = with(&config, "/runtimeConfig", json!({ "ips": ["10.1.3.13"] }));
    assert_eq!(requested(&config, "IP=10.1.3.11"), [ip("10.1.3.13")]);
    let check = parse_for(&with(&config, "/prevResult", json!({})), &request(Verb::Check)).unwrap();
    assert_eq!(host_local_of(&check).requested, [] as [IpAddr; 0], "only an ADD asks");
}

#[test]
fn static_addresses_append_and_replace() {
    let addresses = |config: &Value, args: &str| -> Vec<String> {
        let config = parse_for(config, &request_with(args)).unwrap();
        let text = |ip: Option<IpAddr>| ip.map_or_else(String::new, |ip| format!(" via {ip}"));
        static_of(&config).addresses.iter().map(|one| format!("{}{}", one.address, text(one.gateway))).collect()
    };
    assert_eq!(addresses(&fixed(), ""), ["10.1.0.5/16 via 10.1.0.1", "fd00::5/64"]);
    let args = "IP=10.1.0.9/16, 10.3.0.1/24;GATEWAY=10.1.0.254,fd00::1";
    let appended =
        ["10.1.0.5/16 via 10.1.0.254", "fd00::5/64 via fd00::1", "10.1.0.9/16 via 10.1.0.254", "10.3.0.1/24"];
    assert_eq!(addresses(&fixed(), args), appended);
    let config = with(&fixed(), "/args", json!({ "cni": { "ips": ["10.4.0.1/24"] } }));
    assert_eq!(addresses(&config, args), ["10.4.0.1/24"]);
    let config = with(&config, "/runtimeConfig", json!({ "ips": ["10.5.0.1/24", "fd05::1/64"] }));
    assert_eq!(addresses(&config, args), ["10.5.0.1/24", "fd05::1/64"]);
}

#[test]
fn the_hardware_address_by_its_source() {
    let mac = |config: &Value, args: &str| parse_for(config, &request_with(args)).unwrap().mac();
    let mut config = native();
    let args = "MAC=02-00-00-00-00-09";
    assert_eq!(mac(&config, args), Some(Mac([2, 0x42, 0xac, 0x11, 0, 2])));
    config["runtimeConfig"]["mac"] = "".into();
    assert_eq!(mac(&config, args), Some(Mac([2, 0x42, 0xac, 0x11, 0, 3])));
    config["args"]["cni"]["mac"].take();
    assert_eq!(mac(&config, args), Some(Mac([2, 0, 0, 0, 0, 9])));
    assert_eq!(mac(&config, "MAC="), None);
}

#[test]
fn who_builds_the_network() {
    let base = json!({ "name": "n" });
    let mode = |key: &str, value: Value| parse(&with(&base, &format!("/{key}"), value)).unwrap();
    assert_eq!(parse(&base).unwrap().mode, Mode::Chained);
    assert_eq!(mode("modules", json!(["overlay"])).mode, Mode::Chained);
    assert_eq!(mode("type", json!("groundwork")).mode, Mode::Chained);
    assert_eq!(mode("ipam", json!({})).mode, Mode::Chained);
    for (key, value) in [
        ("type", json!("bridge")),
        ("bridge", json!("cni0")),
        ("ipam", json!({ "type": "dhcp" })),
        ("isGateway", json!(false)),
        ("isDefaultGateway", json!(true)),
        ("forceAddress", json!(true)),
        ("ipMasq", json!(true)),
        ("hairpinMode", json!(true)),
        ("promiscMode", json!(true)),
        ("enabledad", json!(true)),
        ("vlan", json!(7)),
        ("vlanTrunk", json!([{ "id": 7 }])),
        ("macspoofchk", json!(true)),
        ("portIsolation", json!(true)),
        ("disableContainerInterface", json!(true)),
    ] {
        assert_eq!(bridge_of(&mode(key, value)).bridge, "cni0", "{key}");
    }
    assert!(bridge_of(&mode("isDefaultGateway", json!(true))).is_gateway);
    assert!(native_of(&mode("bridge", json!("b"))).ipam.is_none());
    let l2 = json!({ "name": "n", "bridge": "b", "ipam": { "type": "" } });
    assert!(native_of(&parse(&l2).unwrap()).ipam.is_none(), "as the reference: no IPAM type, no addresses");
    let dhcp = mode("ipam", json!({ "type": "dhcp" }));
    let Some(IpamConfig::Exec { plugin_type }) = &native_of(&dhcp).ipam else { panic!() };
    assert_eq!(plugin_type, "dhcp");
}

#[test]
fn who_makes_the_link_or_does_nothing_is_no_later_plugin() {
    let idle = json!({ "name": "net1", "type": "groundwork" });
    for config in [native(), idle] {
        assert_eq!(parse(&config).unwrap().chained_type(), None, "{config}");
    }
}

#[test]
fn families_are_told_apart() {
    let network = |version: &str, subnets: &[&str]| {
        let ranges: Vec<_> = subnets.iter().map(|subnet| json!([{ "subnet": subnet }])).collect();
        json!({ "cniVersion": version, "name": "n", "mtu": 1000, "ipam": { "type": "host-local", "ranges": ranges } })
    };
    parse(&network("1.0.0", &["10.1.0.0/16"])).expect("only IPv6 needs an MTU of 1280");
    let both = with(&network("0.2.0", &["10.1.0.0/16", "fd00::/64"]), "/mtu", json!(1280));
    parse(&both).expect("old results hold one address of each family");
}

#[test]
fn log_levels_in_any_letter_case() {
    let levels = ["Error", "WARN", "info", "debug", "trace"].map(LogLevel::parse);
    let all = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace].map(Some);
    assert_eq!(levels, all);
}

#[test]
fn zero_values_mean_not_wanted() {
    let quiet = json!({
        "name": "n", "type": "bridge", "mtu": 0, "vlan": 0, "vlanTrunk": [], "macspoofchk": false, "sysctl": {},
        "runtimeConfig": { "portMappings": [], "bandwidth": { "IngressRate": 0 } }, "loaders": [],
    });
    let config = parse(&quiet).unwrap();
    assert_eq!(bridge_of(&config).mtu, None);
    assert!(!bridge_of(&config).vlans.are_used());
    assert_eq!(config.kernel.loaders, Some(Vec::new()), "no loader at all is not the default ones");
    assert_eq!(config.kernel.modules, None);
    assert_eq!(config.cni_version, Version::V0_1_0);
    assert_eq!(config.state_dir, std::path::Path::new("/run/groundwork"));
}

#[test]
fn attachments_that_are_valid() {
    let gc = |keys: Value| -> Result<NetworkConfig, _> {
        let mut config = json!({ "cniVersion": "1.1.0", "name": "n" });
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        parse_for(&config, &request(Verb::Gc))
    };
    let named = |id: &str| Attachment { container_id: id.to_owned(), ifname: "eth0".to_owned() };
    let (one, two) =
        (json!({ "containerID": "c1", "ifname": "eth0" }), json!({ "ContainerId": "c2", "IFNAME": "eth0" }));
    let (valid, other) = ("cni.dev/valid-attachments", "cni.dev/attachments");
    for (keys, expected) in [
        (json!({}), None),
        (json!({ valid: null }), Some(vec![])),
        (json!({ valid: null, other: null }), Some(vec![])),
        (json!({ other: [] }), Some(vec![])),
        (json!({ valid: [one], other: null }), Some(vec![named("c1")])),
        (json!({ valid: [one], other: [one, two] }), Some(vec![named("c1"), named("c2")])),
    ] {
        assert_eq!(gc(keys.clone()).unwrap().valid_attachments, expected, "{keys}");
    }
    for broken in [json!({ valid: {} }), json!({ valid: [{}] }), json!({ other: [{ "containerID": "c1" }] })] {
        gc(broken.clone()).expect_err(&broken.to_string());
    }
}

#[test]
fn unknown_keys_are_reported_with_what_they_may_mean() {
    let unknown = |config: &Value| parse(config).unwrap().unknown_keys;
    let key = |path: &str, meant| UnknownKey { path: path.to_owned(), meant };
    let known = json!({
        "name": "n", "type": "groundwork", "capabilities": { "x": true }, "cni.dev/new": 1, "ipMasqBackend": "nftables",
        "backend": "", "firewalldZone": "z", "iptablesAdminChainName": "c", "cniVersions": ["1.0.0"], "dns": {},
    });
    assert_eq!(unknown(&known), []);
    let mut typo = native();
    typo["hairpinMod"] = true.into();
    typo["colour"] = "red".into();
    typo["ipam"]["rnages"] = json!([]);
    typo["ipam"]["ranges"][0][1]["gatway"] = "fd00:2::1".into();
    typo["ipam"]["routes"][0]["prioritty"] = 1.into();
    typo["dns"]["server"] = json!([]);
    let mut found = unknown(&typo);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(
        found,
        [
            key("colour", None),
            key("dns.server", None),
            key("hairpinMod", Some("hairpinMode")),
            key("ipam.ranges[0][1].gatway", Some("gateway")),
            key("ipam.rnages", Some("ranges")),
            key("ipam.routes[0].prioritty", Some("priority")),
        ]
    );
    let stray = json!({ "name": "n", "ipam": { "type": "host-local", "gateway": "10.1.2.9", "ranges": [[{ "subnet": "10.1.2.0/24" }]] } });
    assert_eq!(unknown(&stray), [key("ipam.gateway", None)], "a gateway without its subnet is not read");
}

/// What is written down wins over what the IPAM says, be it that there are none.
#[test]
fn name_servers_of_the_configuration() {
    let dns = |dns: Value| {
        native_of(&parse(&json!({ "cniVersion": "1.0.0", "name": "net", "type": "ptp", "dns": dns })).unwrap())
            .dns
            .clone()
    };
    for none in [json!(null), json!({}), json!({ "domain": "" }), json!({ "search": null })] {
        assert_eq!(dns(none.clone()), None, "{none}");
    }
    for empty in [json!({ "nameservers": [] }), json!({ "search": [] }), json!({ "options": [], "domain": "" })] {
        assert_eq!(dns(empty.clone()), Some(crate::cni::result::Dns::default()), "{empty}");
    }
    assert_eq!(dns(json!({ "domain": "here" })).unwrap().domain, "here");
}

/// The kernel takes them of IPv6, and cuts them off.
#[test]
fn host_bits_of_a_route() {
    let config = |dst: &str| {
        json!({
            "cniVersion": "1.0.0", "name": "net", "type": "ptp",
            "ipam": { "type": "static", "addresses": [{ "address": "fd00::5/64" }], "routes": [{ "dst": dst }] },
        })
    };
    let parsed = parse(&config("fd01::1/64")).unwrap();
    assert_eq!(static_of(&parsed).routes[0].dst.to_string(), "fd01::1/64");
}

//! Results: shapes of each version, and ways between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::{option, prelude::*};
use serde_json::{Value, json};

use crate::cni::{
    CniResult, ResultError, Version,
    result::{Dns, Interface, IpConfig, Route, pass_on},
};

/// Two families, two addresses of one, and every field.
fn rich() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            { "name": "br0", "mac": "02:00:00:00:00:01" },
            { "name": "eth0", "mac": "02:00:00:00:00:02", "mtu": 1400, "sandbox": "/run/netns/c1", "socketPath": "/s", "pciID": "0000:00:01.0" },
        ],
        "ips": [
            { "address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 1 },
            { "address": "10.2.0.5/16", "interface": 1 },
            { "address": "fd00::5/64", "gateway": "fd00::1", "interface": 1 },
        ],
        "routes": [
            { "dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1300, "advmss": 1200, "priority": 5, "table": 0, "scope": 0 },
            { "dst": "::/0" },
        ],
        "dns": { "nameservers": ["10.1.0.1"], "domain": "local", "search": ["a.b"], "options": ["ndots:1"] },
    })
}

fn read(value: &Value) -> CniResult {
    CniResult::from_json(value, Version::V1_0_0).unwrap()
}

#[test]
fn the_newest_shape_holds_all() {
    assert_eq!(read(&rich()).to_json(Version::V1_1_0), Ok(rich()));
    assert_eq!(CniResult::default().to_json(Version::V1_1_0), Ok(json!({ "cniVersion": "1.1.0" })));
}

#[test]
fn older_shapes() {
    let dns = rich()["dns"].clone();
    let interfaces = json!([
        { "name": "br0", "mac": "02:00:00:00:00:01" },
        { "name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/c1" },
    ]);
    let routes = json!([{ "dst": "0.0.0.0/0", "gw": "10.1.0.1" }, { "dst": "::/0" }]);
    let of_1_0 =
        json!({ "cniVersion": "1.0.0", "interfaces": interfaces, "ips": rich()["ips"], "routes": routes, "dns": dns });
    assert_eq!(read(&rich()).to_json(Version::V1_0_0), Ok(of_1_0));
    for version in [Version::V0_3_0, Version::V0_3_1, Version::V0_4_0] {
        let expected = json!({
            "cniVersion": version.as_str(),
            "interfaces": interfaces,
            "ips": [
                { "version": "4", "address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 1 },
                { "version": "4", "address": "10.2.0.5/16", "interface": 1 },
                { "version": "6", "address": "fd00::5/64", "gateway": "fd00::1", "interface": 1 },
            ],
            "routes": routes,
            "dns": dns,
        });
        assert_eq!(read(&rich()).to_json(version), Ok(expected));
        assert_eq!(CniResult::default().to_json(version), Ok(json!({ "cniVersion": version.as_str(), "dns": {} })));
    }
    for version in [Version::V0_1_0, Version::V0_2_0] {
        let expected = json!({
            "cniVersion": version.as_str(),
            "ip4": { "ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{ "dst": "0.0.0.0/0", "gw": "10.1.0.1" }] },
            "ip6": { "ip": "fd00::5/64", "gateway": "fd00::1", "routes": [{ "dst": "::/0" }] },
            "dns": dns,
        });
        assert_eq!(read(&rich()).to_json(version), Ok(expected));
        assert_eq!(CniResult::default().to_json(version), Err(ResultError::NeedsAddress(version)));
    }
}

#[test]
fn what_plugins_and_runtimes_send() {
    let podman = json!({ "ips": [{ "version": "4", "interface": 0, "address": "10.88.0.2/16", "gateway": "10.88.0.1" }], "dns": {} });
    let result = CniResult::from_json(&podman, Version::V0_4_0).unwrap();
    assert_eq!(result.ips[0].gateway, Some("10.88.0.1".parse().unwrap()));
    let capital =
        json!({ "CNIVersion": "0.2.0", "IP4": { "IP": "10.88.0.2/16", "Routes": [{ "Dst": "0.0.0.0/0", "GW": "" }] } });
    let result = CniResult::from_json(&capital, Version::V1_0_0).unwrap();
    assert_eq!((result.ips.len(), result.routes[0].gw), (1, None));
    let nothing = json!({ "interfaces": null, "ips": null, "routes": null, "dns": null });
    assert_eq!(CniResult::from_json(&nothing, Version::V1_0_0), Ok(CniResult::default()));
    assert_eq!(CniResult::from_output(b"{}", Version::V1_0_0), Ok(CniResult::default()));
}

#[test]
fn what_is_no_result() {
    let error = |value: Value| CniResult::from_json(&value, Version::V1_0_0).unwrap_err().to_string();
    assert!(error(json!([])).contains("no JSON object"));
    assert!(error(json!({ "cniVersion": "3.0.0" })).contains("the result's CNI version \"3.0.0\" is not supported"));
    assert!(error(json!({ "ips": [{ "address": "10.0.0.1" }] })).contains("`ips[0].address` is \"10.0.0.1\""));
    assert!(error(json!({ "ips": [{}] })).contains("`ips[0].address` is missing"));
    assert!(error(json!({ "cniVersion": "0.1.0", "ip6": {} })).contains("`ip6.ip` is missing"));
    assert!(error(json!({ "routes": [{ "dst": "::/0", "mtu": "1" }] })).contains("`routes[0].mtu`"));
    let output = CniResult::from_output(b"panic: runtime error", Version::V1_0_0).unwrap_err();
    assert!(matches!(output, ResultError::NotAnObject(_)));
}

#[test]
fn passing_on_changes_nothing_but_the_version() {
    let own = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.0.0.1/8", "extra": 1 }], "more": true });
    assert_eq!(pass_on(&own, Version::V1_0_0), Ok(own.clone()));
    let none = json!({ "CNIVersion": "", "ips": [{ "address": "10.0.0.1/8", "extra": 1 }] });
    let filled = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.0.0.1/8", "extra": 1 }] });
    assert_eq!(pass_on(&none, Version::V1_0_0), Ok(filled));
    let older = json!({ "cniVersion": "0.4.0", "ips": [{ "version": "4", "address": "10.0.0.1/8" }], "dns": {} });
    let converted = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.0.0.1/8" }] });
    assert_eq!(pass_on(&older, Version::V1_0_0), Ok(converted));
    pass_on(&json!({ "ips": 1 }), Version::V1_0_0).unwrap_err();
}

fn any_net() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<u32>(), 0_u8..=32).prop_map(|(ip, prefix)| IpNet::new(Ipv4Addr::from(ip).into(), prefix).unwrap()),
        // The top bit set: never an IPv4 address in IPv6 clothes.
        (any::<u128>(), 0_u8..=128)
            .prop_map(|(ip, prefix)| IpNet::new(Ipv6Addr::from(ip | 1 << 127).into(), prefix).unwrap()),
    ]
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    any_net().prop_map(|net| net.addr())
}

prop_compose! {
    fn any_interface()(
        name in "[a-z]{1,8}", mac in "([0-9a-f]{2}:){0,5}", mtu in option::of(1_u32..), sandbox in "(/[a-z]{1,4}){0,2}",
        socket_path in "(/s)?", pci_id in "[0-9:.]{0,4}",
    ) -> Interface {
        Interface { name, mac, mtu, sandbox, socket_path, pci_id }
    }
}

prop_compose! {
    fn any_address()(
        address in any_net(), gateway in option::of(any_ip()), interface in option::of(0_usize..9),
    ) -> IpConfig {
        IpConfig { address, gateway, interface }
    }
}

prop_compose! {
    fn any_route()(
        dst in any_net(), gw in option::of(any_ip()), mtu in option::of(1_u32..), advmss in option::of(1_u32..),
        priority in option::of(1_u32..), table in option::of(any::<u32>()), scope in option::of(any::<u8>()),
    ) -> Route {
        Route { dst, gw, mtu, advmss, priority, table, scope }
    }
}

prop_compose! {
    fn any_result()(
        interfaces in proptest::collection::vec(any_interface(), 0..4),
        ips in proptest::collection::vec(any_address(), 0..5),
        routes in proptest::collection::vec(any_route(), 0..5),
        nameservers in proptest::collection::vec("[0-9.]{0,9}", 0..3),
        domain in "[a-z.]{0,6}",
        search in proptest::collection::vec(any::<String>(), 0..3),
    ) -> CniResult {
        CniResult { interfaces, ips, routes, dns: Dns { nameservers, domain, search, options: Vec::new() } }
    }
}

/// What `version` can hold of `result`.
fn held(mut result: CniResult, version: Version) -> CniResult {
    if version < Version::V1_1_0 {
        for interface in &mut result.interfaces {
            *interface =
                Interface { mtu: None, socket_path: String::new(), pci_id: String::new(), ..interface.clone() };
        }
        for route in &mut result.routes {
            *route = Route { mtu: None, advmss: None, priority: None, table: None, scope: None, ..route.clone() };
        }
    }
    if version < Version::V0_3_0 {
        let (v4, v6): (Vec<_>, Vec<_>) = result.ips.into_iter().partition(|ip| ip.address.addr().is_ipv4());
        let firsts = v4.into_iter().take(1).chain(v6.into_iter().take(1));
        result.ips = firsts.map(|ip| IpConfig { interface: None, ..ip }).collect();
        let has = |is_v4: bool| result.ips.iter().any(|ip| ip.address.addr().is_ipv4() == is_v4);
        let (v4, v6): (Vec<_>, Vec<_>) = result.routes.into_iter().partition(|route| route.dst.addr().is_ipv4());
        let v4 = v4.into_iter().filter(|_| has(true));
        result.routes = v4.chain(v6.into_iter().filter(|_| has(false))).collect();
        result.interfaces.clear();
    }
    result
}

proptest! {
    /// Written in a version and read again, a result is what the version can hold of it; and so it stays.
    #[test]
    fn there_and_back(result in any_result(), version in proptest::sample::select(&Version::SUPPORTED[..])) {
        let written = result.to_json(version);
        if version < Version::V0_3_0 && result.ips.is_empty() {
            prop_assert_eq!(written, Err(ResultError::NeedsAddress(version)));
            return Ok(());
        }
        let written = written.unwrap();
        // The version it was written in goes with it, whatever the configuration's is.
        let again = CniResult::from_json(&written, Version::V1_1_0).unwrap();
        prop_assert_eq!(&again, &held(result, version));
        prop_assert_eq!(again.to_json(version), Ok(written.clone()));
        prop_assert_eq!(pass_on(&written, version), Ok(written.clone()));
        prop_assert_eq!(CniResult::from_output(written.to_string().as_bytes(), version), Ok(again));
    }

    /// Through a newer version and back nothing is lost.
    #[test]
    fn through_a_newer_version(
        result in any_result(),
        mut versions in proptest::array::uniform2(proptest::sample::select(&Version::SUPPORTED[..])),
    ) {
        versions.sort_unstable();
        let Ok(old) = result.to_json(versions[0]) else { return Ok(()) };
        let new = pass_on(&old, versions[1]).unwrap();
        prop_assert_eq!(pass_on(&new, versions[0]), Ok(old));
    }
}

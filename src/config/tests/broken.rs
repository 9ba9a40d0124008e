//! A configuration with an error in each key: one clear error, with the right code and the key's path.

use serde_json::{Value, json};

use super::{ConfigError, delegated, fixed, native, parse, parse_for, request, request_with, with};
use crate::{
    Error,
    cni::{ErrorDocument, Verb, Version},
    config::NetworkConfig,
};

pub(super) fn document(error: ConfigError) -> ErrorDocument {
    Error::from(error).document(Version::V1_0_0)
}

/// Puts each value in its place in turn, and looks at the code and the path of the error.
pub(super) fn each_is_refused(base: &Value, cases: &[(&str, Value, u32, &str)]) {
    parse(base).unwrap();
    for (pointer, value, code, says) in cases {
        let error = parse(&with(base, pointer, value.clone())).expect_err(&format!("{pointer} = {value}"));
        let document = document(error);
        assert_eq!(document.code, *code, "{pointer} = {value}: {}", document.msg);
        assert!(document.msg.contains(says), "{pointer} = {value}: {} does not say {says}", document.msg);
    }
}

#[test]
fn keys_of_every_mode() {
    each_is_refused(
        &native(),
        &[
            ("/cniVersion", json!("2.0.0"), 1, "\"2.0.0\""),
            ("/cniVersion", json!("1.0"), 1, "0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"),
            ("/cniVersion", json!(1), 6, "`cniVersion` is 1, a number: expected a string"),
            ("/name", Value::Null, 7, "`name` is missing"),
            ("/name", json!(""), 7, "`name` is missing"),
            ("/name", json!("a/b"), 7, "`name` is \"a/b\": expected a letter or digit"),
            ("/name", json!("../x"), 7, "`name`"),
            ("/name", json!("n".repeat(201)), 7, "`name`"),
            ("/name", json!(["n"]), 6, "`name` is [\"n\"], a list"),
            ("/type", json!("a/b"), 7, "`type`"),
            ("/type", json!(true), 6, "`type`"),
            ("/modules", json!("bridge"), 6, "`modules`"),
            ("/modules/1", json!(7), 6, "`modules[1]`"),
            ("/modules/0", json!("--remove"), 7, "`modules[0]`"),
            ("/modules/0", json!("a b"), 7, "`modules[0]`"),
            ("/modules/0", json!("../evil"), 7, "`modules[0]`"),
            ("/modules/0", json!(""), 7, "`modules[0]`"),
            ("/modules/0", json!("m".repeat(56)), 7, "`modules[0]`"),
            ("/loaders", json!({}), 6, "`loaders`"),
            (
                "/loaders/1",
                json!("insmod"),
                7,
                "`loaders[1]` is \"insmod\": expected netlink, ioctl, modprobe or finit",
            ),
            ("/loaders/1", json!("ioctl"), 7, "`loaders[1]`"),
            ("/logFile", json!("groundwork.log"), 7, "`logFile` is \"groundwork.log\": expected an absolute path"),
            ("/logFile", json!(1), 6, "`logFile`"),
            ("/logLevel", json!("loud"), 7, "`logLevel` is \"loud\": expected error, warn"),
            ("/stateDir", json!("run"), 7, "`stateDir`"),
            ("/prevResult", json!([]), 6, "`prevResult`"),
            ("/prevResult/cniVersion", json!("9.9.9"), 1, "9.9.9"),
            ("/prevResult/ips/0/address", json!("10.7.0.2"), 7, "`prevResult.ips[0].address`"),
            ("/prevResult/ips/0/interface", json!(-1), 7, "`prevResult.ips[0].interface`"),
            ("/prevResult/interfaces/0/name", json!(0), 6, "`prevResult.interfaces[0].name`"),
            ("/prevResult/routes/0/dst", Value::Null, 7, "`prevResult.routes[0].dst` is missing"),
            ("/prevResult/dns/search", json!("a"), 6, "`prevResult.dns.search`"),
            ("/runtimeConfig", json!(0), 6, "`runtimeConfig`"),
            ("/runtimeConfig/mac", json!("02:42"), 7, "`runtimeConfig.mac`"),
            ("/runtimeConfig/mac", json!("01:00:5e:00:00:01"), 7, "`runtimeConfig.mac`"),
            ("/runtimeConfig/mac", json!("00:00:00:00:00:00"), 7, "`runtimeConfig.mac`"),
            ("/runtimeConfig/ips", json!("10.1.3.15"), 6, "`runtimeConfig.ips`"),
            ("/args", json!("x"), 6, "`args`"),
            ("/args/cni", json!("x"), 6, "`args.cni`"),
            ("/args/cni/mac", json!("ff:ff:ff:ff:ff:ff"), 7, "`args.cni.mac`"),
            ("/args/cni/ips", json!([1]), 6, "`args.cni.ips[0]`"),
            ("/delegate", json!({ "type": "ptp" }), 7, "`delegate` and `bridge` exclude each other"),
        ],
    );
}

#[test]
fn keys_of_the_bridge() {
    each_is_refused(
        &native(),
        &[
            ("/bridge", json!("sixteen-bytes-xx"), 7, "`bridge` is \"sixteen-bytes-xx\": expected 1 to 15 bytes"),
            ("/bridge", json!("br/0"), 7, "`bridge`"),
            ("/bridge", json!("br%d"), 7, "`bridge`"),
            ("/bridge", json!("all"), 7, "`bridge`"),
            ("/bridge", json!(0), 6, "`bridge`"),
            ("/isGateway", json!("true"), 6, "`isGateway` is \"true\", a string: expected true or false"),
            ("/isDefaultGateway", json!(1), 6, "`isDefaultGateway`"),
            ("/forceAddress", json!([]), 6, "`forceAddress`"),
            ("/ipMasq", json!("yes"), 6, "`ipMasq`"),
            ("/hairpinMode", json!(0), 6, "`hairpinMode`"),
            ("/promiscMode", json!({}), 6, "`promiscMode`"),
            ("/promiscMode", json!(true), 7, "`hairpinMode` and `promiscMode` exclude each other"),
            ("/enabledad", json!("no"), 6, "`enabledad`"),
            ("/vlan", json!(4095), 7, "`vlan` is 4095: expected 0 (none) or 1 to 4094"),
            ("/vlan", json!("100"), 6, "`vlan`"),
            ("/vlanTrunk", json!(5), 6, "`vlanTrunk`"),
            ("/vlanTrunk/0", json!(5), 6, "`vlanTrunk[0]`"),
            ("/vlanTrunk/0/id", json!(0), 7, "`vlanTrunk[0].id` is 0: expected a VLAN's number, 1 to 4094"),
            ("/vlanTrunk/1/minID", json!(-5), 7, "`vlanTrunk[1].minID`"),
            ("/vlanTrunk/1/minID", json!(31), 7, "`vlanTrunk[1].maxID` is 30: expected a number that is not below"),
            ("/vlanTrunk/1/minID", Value::Null, 7, "`vlanTrunk[1].minID` is missing"),
            ("/vlanTrunk/1/maxID", Value::Null, 7, "`vlanTrunk[1].maxID` is missing"),
            ("/preserveDefaultVlan", json!(0), 6, "`preserveDefaultVlan`"),
            ("/macspoofchk", json!("on"), 6, "`macspoofchk`"),
            ("/ipspoofchk", json!(1), 6, "`ipspoofchk`"),
            ("/portIsolation", json!(1), 6, "`portIsolation`"),
            ("/disableContainerInterface", json!("x"), 6, "`disableContainerInterface`"),
            ("/disableContainerInterface", json!(true), 7, "`disableContainerInterface` and `ipam` exclude each other"),
            ("/bridge", json!("longbridge12"), 7, "as with `vlan` the gateway is the link longbridge12.100"),
            ("/mtu", json!(67), 7, "`mtu` is 67: expected 0 (the kernel's choice) or 68 to 65535"),
            ("/mtu", json!(65536), 7, "`mtu`"),
            ("/mtu", json!(-1), 7, "`mtu`"),
            ("/mtu", json!(1e30), 6, "`mtu`"),
            ("/mtu", json!(1500.5), 6, "`mtu`"),
            ("/mtu", json!("1500"), 6, "`mtu`"),
            ("/mtu", json!(1279), 7, "at least 1280"),
            ("/dns", json!("10.1.0.1"), 6, "`dns`"),
            ("/dns/nameservers", json!("10.1.0.1"), 6, "`dns.nameservers`"),
            ("/dns/nameservers/1", json!("ns.local"), 7, "`dns.nameservers[1]`"),
            ("/dns/domain", json!(1), 6, "`dns.domain`"),
            ("/dns/search/0", json!(false), 6, "`dns.search[0]`"),
            ("/dns/options", json!(1), 6, "`dns.options`"),
            ("/ipam", json!("host-local"), 6, "`ipam`"),
            ("/ipam/type", Value::Null, 7, "`ipam.type` is missing"),
            ("/ipam/type", json!("/bin/sh"), 7, "`ipam.type` is \"/bin/sh\": expected a plain file name"),
            ("/ipam/type", json!(".."), 7, "`ipam.type`"),
            ("/ipam/type", json!(1), 6, "`ipam.type`"),
        ],
    );
}

#[test]
fn keys_of_host_local() {
    let small = json!({ "subnet": "10.1.0.0/30", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.1" });
    each_is_refused(
        &native(),
        &[
            ("/ipam/subnet", json!("10.1.0.0"), 7, "`ipam.subnet`"),
            ("/ipam/subnet", json!("10.1.0.0/33"), 7, "`ipam.subnet`"),
            (
                "/ipam/subnet",
                json!("10.1.0.1/16"),
                7,
                "`ipam.subnet` is \"10.1.0.1/16\": expected no host bits, as in 10.1.0.0/16",
            ),
            ("/ipam/subnet", json!("10.1.0.0/31"), 7, "`ipam.subnet`"),
            ("/ipam/subnet", json!("10.1.0.0/32"), 7, "`ipam.subnet`"),
            ("/ipam/subnet", json!("fd00::/127"), 7, "`ipam.subnet`"),
            ("/ipam/subnet", json!("::ffff:10.1.0.0/112"), 7, "`ipam.subnet`"),
            ("/ipam/subnet", json!(10), 6, "`ipam.subnet`"),
            (
                "/ipam/rangeStart",
                json!("10.2.0.1"),
                7,
                "`ipam.rangeStart` is \"10.2.0.1\": expected an address of 10.1.0.0/16",
            ),
            ("/ipam/rangeStart", json!("fd00::1"), 7, "`ipam.rangeStart`"),
            ("/ipam/rangeStart", json!("x"), 7, "`ipam.rangeStart`"),
            ("/ipam/rangeEnd", json!("10.0.255.255"), 7, "`ipam.rangeEnd`"),
            (
                "/ipam/rangeEnd",
                json!("10.1.3.9"),
                7,
                "`ipam.rangeEnd` is \"10.1.3.9\": expected a range that does not end before",
            ),
            ("/ipam/gateway", json!("10.1.3.300"), 7, "`ipam.gateway`"),
            ("/ipam/gateway", json!("fd00::1"), 7, "`ipam.gateway`"),
            ("/ipam/ranges", json!({}), 6, "`ipam.ranges`"),
            ("/ipam/ranges/0", json!({}), 6, "`ipam.ranges[0]`"),
            ("/ipam/ranges/0", json!([]), 7, "`ipam.ranges[0]` is []: expected at least one range"),
            ("/ipam/ranges/0/1", json!("fd00::/64"), 6, "`ipam.ranges[0][1]`"),
            ("/ipam/ranges/0/1", json!({}), 7, "`ipam.ranges[0][1].subnet` is missing"),
            ("/ipam/ranges/0/1/subnet", json!("fd00:1::1/64"), 7, "`ipam.ranges[0][1].subnet`"),
            ("/ipam/ranges/0/1/subnet", json!("fd00::/16"), 7, "expected ranges that do not overlap, as fd00:1::1-"),
            ("/ipam/ranges/0/1", json!({ "subnet": "fd00:1::/65" }), 7, "`ipam.ranges[0]`"),
            ("/ipam/ranges/0/1", json!({ "subnet": "10.3.0.0/24" }), 7, "ranges of one address family"),
            ("/ipam/ranges/0", json!([{ "subnet": "10.1.3.0/24" }]), 7, "`ipam.ranges[0]`"),
            (
                "/ipam/ranges/0",
                json!([{ "subnet": "10.9.0.0/16" }]),
                7,
                "expected no overlap with `runtimeConfig.ipRanges[0]`",
            ),
            ("/ipam/ranges/0", json!([small]), 7, "`ipam.ranges[0][0].gateway`"),
        ],
    );
    let mut empty = native();
    for key in ["subnet", "ranges"] {
        empty["ipam"][key].take();
    }
    empty["runtimeConfig"].take();
    let error = parse(&empty).unwrap_err().to_string();
    assert!(error.contains("`ipam.subnet` is missing"), "{error}");
    let old = with(&with(&native(), "/cniVersion", json!("0.2.0")), "/prevResult", Value::Null);
    let error = parse(&old).unwrap_err().to_string();
    assert!(error.contains("`cniVersion` is \"0.2.0\": expected 0.3.0 or later"), "{error}");
}

#[test]
fn routes_files_and_requests_of_host_local() {
    each_is_refused(
        &native(),
        &[
            ("/ipam/routes", json!("0.0.0.0/0"), 6, "`ipam.routes`"),
            ("/ipam/routes/0/dst", json!("default"), 7, "`ipam.routes[0].dst`"),
            (
                "/ipam/routes/0/dst",
                json!("10.0.0.1/8"),
                7,
                "`ipam.routes[0].dst` is \"10.0.0.1/8\": expected no host bits, as in 10.0.0.0/8",
            ),
            ("/ipam/routes/0/gw", json!("fd00::1"), 7, "`ipam.routes[0].gw`"),
            ("/ipam/routes/0/gw", json!("here"), 7, "`ipam.routes[0].gw`"),
            ("/ipam/routes/0/mtu", json!(-1), 7, "`ipam.routes[0].mtu`"),
            ("/ipam/routes/0/advmss", json!("1"), 6, "`ipam.routes[0].advmss`"),
            ("/ipam/routes/0/priority", json!(4_294_967_296_u64), 7, "`ipam.routes[0].priority`"),
            ("/ipam/routes/0/table", json!(1.5), 6, "`ipam.routes[0].table`"),
            ("/ipam/routes/0/scope", json!(256), 7, "`ipam.routes[0].scope`"),
            ("/ipam/dataDir", json!("leases"), 7, "`ipam.dataDir`"),
            ("/ipam/resolvConf", json!("resolv.conf"), 7, "`ipam.resolvConf`"),
            ("/runtimeConfig/ipRanges", json!("10.9.0.0/24"), 6, "`runtimeConfig.ipRanges`"),
            ("/runtimeConfig/ipRanges/0/0/subnet", json!("10.9.0.1/24"), 7, "`runtimeConfig.ipRanges[0][0].subnet`"),
            ("/runtimeConfig/ipRanges/0/0/rangeEnd", json!("10.9.1.1"), 7, "`runtimeConfig.ipRanges[0][0].rangeEnd`"),
            ("/runtimeConfig/ips/0", json!("web"), 7, "`runtimeConfig.ips[0]` is \"web\": expected an IP address"),
            (
                "/runtimeConfig/ips/0",
                json!("10.1.3.21"),
                7,
                "`runtimeConfig.ips[0]` is \"10.1.3.21\": expected an address of the ranges",
            ),
            ("/runtimeConfig/ips/0", json!("10.9.0.10"), 7, "`runtimeConfig.ips[0]`"),
            ("/runtimeConfig/ips", json!(["10.1.3.15", "10.1.3.16"]), 7, "`runtimeConfig.ips[1]`"),
            (
                "/args/cni/ips/0",
                json!("fd00:2::ff"),
                7,
                "`args.cni.ips[0]` is \"fd00:2::ff\": expected another address than the gateway's",
            ),
        ],
    );
}

#[test]
fn keys_of_static() {
    each_is_refused(
        &fixed(),
        &[
            ("/ipam/addresses", json!("10.1.0.5/16"), 6, "`ipam.addresses`"),
            ("/ipam/addresses/0", json!("10.1.0.5/16"), 6, "`ipam.addresses[0]`"),
            ("/ipam/addresses/0/address", json!("10.1.0.5"), 7, "`ipam.addresses[0].address`"),
            ("/ipam/addresses/1/address", Value::Null, 7, "`ipam.addresses[1].address` is missing"),
            ("/ipam/addresses/1/gateway", json!("10.1.0.1"), 7, "`ipam.addresses[1].gateway`"),
            ("/ipam/addresses/0/gateway", json!("gw"), 7, "`ipam.addresses[0].gateway`"),
            ("/ipam/routes/0/dst", json!("192.168.0.1/16"), 7, "`ipam.routes[0].dst`"),
            ("/ipam/dns/nameservers/0", json!("x"), 7, "`ipam.dns.nameservers[0]`"),
            ("/ipam/dns/domain", json!({}), 6, "`ipam.dns.domain`"),
            ("/ipam/dns/search", json!(0), 6, "`ipam.dns.search`"),
            ("/runtimeConfig/ips", json!(["10.1.0.5"]), 7, "`runtimeConfig.ips[0]`"),
            ("/args/cni/ips", json!(["10.1.0.5"]), 7, "`args.cni.ips[0]`"),
            ("/mtu", json!(1000), 7, "`mtu`"),
        ],
    );
    let old = with(&fixed(), "/cniVersion", json!("0.2.0"));
    parse(&old).unwrap();
    let two = json!([{ "address": "10.1.0.5/16" }, { "address": "10.1.0.6/16" }]);
    let error = parse(&with(&old, "/ipam/addresses", two)).unwrap_err().to_string();
    assert!(error.contains("expected 0.3.0 or later"), "{error}");
}

#[test]
fn keys_of_a_delegate() {
    each_is_refused(
        &delegated(),
        &[
            ("/delegate", json!("ptp"), 6, "`delegate`"),
            ("/delegate/type", Value::Null, 7, "`delegate.type` is missing"),
            ("/delegate/type", json!("../ptp"), 7, "`delegate.type` is \"../ptp\": expected a plain file name"),
            ("/bridge", json!("br0"), 7, "`delegate` and `bridge` exclude each other"),
            ("/ipam", json!({ "type": "dhcp" }), 7, "`delegate` and `ipam` exclude each other"),
            ("/ipMasq", json!(false), 7, "`delegate` and `ipMasq` exclude each other"),
        ],
    );
    let mut blind = request(Verb::Add);
    blind.path.clear();
    let other = with(&native(), "/ipam/type", json!("dhcp"));
    for (config, key) in [(delegated(), "`delegate.type`"), (other, "`ipam.type`")] {
        let document = document(parse_for(&config, &blind).unwrap_err());
        assert_eq!(document.code, 4);
        assert!(document.msg.contains("CNI_PATH") && document.msg.contains(key), "{}", document.msg);
    }
    parse_for(&native(), &blind).unwrap();
}

#[test]
fn values_of_cni_args() {
    let cases = [
        (native(), "IP=10.1.3.300", "CNI_ARGS has IP=10.1.3.300: expected an IP address"),
        (native(), "IP=10.1.3.15,10.1.3.16", "CNI_ARGS has IP="),
        (native(), "IP=10.1.9.1", "expected an address of the ranges 10.9.0.5-10.9.0.9, 10.1.3.10-10.1.3.20"),
        (native(), "MAC=02", "CNI_ARGS has MAC=02: expected the hardware address"),
        (native(), "MAC=01:00:00:00:00:00", "CNI_ARGS has MAC="),
        (native(), "POD=web;IP=10.1.3.15;N=1", "CNI_ARGS has unknown keys: POD, N"),
        (fixed(), "IP=10.1.0.7", "CNI_ARGS has IP=10.1.0.7: expected addresses with their prefix lengths"),
        (fixed(), "GATEWAY=10.1.0.1,x", "CNI_ARGS has GATEWAY=x"),
    ];
    for (config, args, says) in cases {
        let document = document(parse_for(&config, &request_with(args)).expect_err(args));
        assert_eq!(document.code, 4, "{args}");
        assert!(document.msg.contains(says), "{args}: {}", document.msg);
    }
}

#[test]
fn what_is_no_configuration() {
    let cases: [(&[u8], u32, &str); 9] = [
        (b"", 6, "it is empty"),
        (b" \n", 6, "it is empty"),
        (b"{", 6, "not JSON"),
        (b"{}x", 6, "not JSON"),
        (b"\xff\xfe", 6, "not JSON"),
        (b"[]", 6, "expected a JSON object"),
        (b"null", 6, "expected a JSON object"),
        (b"{}", 7, "`name` is missing"),
        (b"{\"nmae\":\"net1\"}", 7, "`name` is missing (is `nmae` a misspelling of it?)"),
    ];
    for (stdin, code, says) in cases {
        let document = document(NetworkConfig::parse(stdin, &request(Verb::Add)).unwrap_err());
        assert_eq!(document.code, code, "{stdin:?}");
        assert!(document.msg.contains(says), "{stdin:?}: {}", document.msg);
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(NetworkConfig::parse(deep.as_bytes(), &request(Verb::Add)), Err(ConfigError::NotJson(_))));
}

#[test]
fn verbs_of_later_versions() {
    for (verb, version, needs) in
        [(Verb::Check, "0.3.1", "0.4.0"), (Verb::Gc, "1.0.0", "1.1.0"), (Verb::Status, "1.0.0", "1.1.0")]
    {
        let document =
            document(parse_for(&with(&native(), "/cniVersion", json!(version)), &request(verb)).unwrap_err());
        assert_eq!(document.code, 1);
        assert!(document.msg.starts_with(&format!("{verb} exists from CNI version {needs}")), "{}", document.msg);
        parse_for(&with(&native(), "/cniVersion", json!(needs)), &request(verb)).unwrap();
    }
    let document = document(parse_for(&fixed(), &request(Verb::Check)).unwrap_err());
    assert_eq!(document.code, 7);
    assert!(document.msg.contains("`prevResult` is missing"), "{}", document.msg);
}

#[test]
fn a_long_value_is_shortened_in_the_error() {
    let error = parse(&with(&native(), "/logLevel", json!("ü".repeat(1000)))).unwrap_err().to_string();
    assert!(error.len() < 400 && error.contains("..."), "{error}");
}

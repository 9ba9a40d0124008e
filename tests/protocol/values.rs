//! Every key of every kind of configuration, with a value that cannot be.

use serde_json::{Value, json};

use crate::caller::{
    Caller, chained, collecting, delegated, failure, fixed, guarded, native, overlaid, path, pointers, put, tuned, vars,
};

/// A key, a value of the right type that cannot be, and the code.
type Case = (&'static str, Value, u64);

/// Keys whose every value of the right type can be: switches and free texts.
const ANY_VALUE: [&str; 24] = [
    "/isGateway",
    "/promisc",
    "/allmulti",
    "/preserveDefaultVlan",
    "/macspoofchk",
    "/ipspoofchk",
    "/portIsolation",
    "/disableContainerInterface",
    "/snat",
    "/masqAll",
    "/iptablesAdminChainName",
    "/hairpinMode",
    "/interfaces/0/name",
    "/isDefaultGateway",
    "/forceAddress",
    "/ipMasq",
    "/enabledad",
    "/domain",
    "/search",
    "/options",
    "/prevResult/dns/nameservers",
    "/capabilities",
    "/interfaces/0/mac",
    "/interfaces/0/sandbox",
];

/// Each value in its place: one error document that names the key.
fn each_value_is_refused(config: &Value, verb: &str, cases: &[Case]) {
    let caller = Caller::new();
    for (pointer, value, code) in cases {
        let document = failure(&caller.call(&vars(verb), put(config, pointer, value.clone()).to_string()));
        assert_eq!(document["code"], *code, "{pointer} = {value}: {document}");
        let msg = document["msg"].as_str().unwrap();
        assert!(msg.contains(&format!("`{}", path(pointer))), "{pointer} = {value}: {msg}");
    }
    caller.untouched();
    let covered = |pointer: &String| {
        let within = |(case, ..): &Case| pointer.starts_with(case);
        ANY_VALUE.iter().any(|key| format!("{pointer}/").contains(&format!("{key}/"))) || cases.iter().any(within)
    };
    let is_leaf = |pointer: &str| config.pointer(pointer).is_some_and(|value| !value.is_object() && !value.is_array());
    let left: Vec<_> = pointers(config).into_iter().filter(|pointer| is_leaf(pointer) && !covered(pointer)).collect();
    assert!(left.is_empty(), "no case for {left:?}");
}

#[test]
fn of_a_native_network() {
    let overlapping = json!([{ "subnet": "10.1.3.0/24" }]);
    each_value_is_refused(
        &native(),
        "ADD",
        &[
            ("/cniVersion", json!("2.0.0"), 1),
            ("/name", json!("../x"), 7),
            ("/type", json!("a/b"), 7),
            ("/bridge", json!("sixteen-bytes-xx"), 7),
            ("/link", json!("tunnel"), 7),
            ("/mtu", json!(67), 7),
            ("/mtu", json!(1279), 7),
            ("/promiscMode", json!(true), 7),
            ("/dns/nameservers/0", json!("ns.local"), 7),
            ("/dns/nameservers/1", json!("fe80::zz"), 7),
            ("/ipam/type", json!("/bin/sh"), 7),
            ("/ipam/subnet", json!("10.1.0.1/16"), 7),
            ("/ipam/subnet", json!("10.1.0.0/31"), 7),
            ("/ipam/rangeStart", json!("10.2.0.1"), 7),
            ("/ipam/rangeEnd", json!("10.1.3.9"), 7),
            ("/ipam/gateway", json!("fd00::1"), 7),
            ("/ipam/ranges/0", json!([]), 7),
            ("/ipam/ranges/0", overlapping, 7),
            ("/ipam/ranges/0/0/subnet", json!("fd00:1::/127"), 7),
            ("/ipam/ranges/0/1/subnet", json!("fd00:2::1/64"), 7),
            ("/ipam/ranges/0/1/gateway", json!("10.1.0.1"), 7),
            ("/ipam/routes/0/dst", json!("10.0.0.1/8"), 7),
            ("/ipam/routes/0/gw", json!("fd00::1"), 7),
            ("/ipam/routes/0/mtu", json!(-1), 7),
            ("/ipam/routes/0/advmss", json!(4_294_967_296_u64), 7),
            ("/ipam/routes/0/priority", json!(-1), 7),
            ("/ipam/routes/0/table", json!(-1), 7),
            ("/ipam/routes/0/scope", json!(256), 7),
            ("/ipam/dataDir", json!("leases"), 7),
            ("/ipam/resolvConf", json!("resolv.conf"), 7),
            ("/modules/0", json!("--remove"), 7),
            ("/modules/1", json!("../evil"), 7),
            ("/loaders/0", json!("insmod"), 7),
            ("/loaders/1", json!("ioctl"), 7),
            ("/logFile", json!("groundwork.log"), 7),
            ("/logLevel", json!("loud"), 7),
            ("/stateDir", json!("run"), 7),
            ("/runtimeConfig/mac", json!("01:00:5e:00:00:01"), 7),
            ("/runtimeConfig/ips/0", json!("10.1.3.21"), 7),
            ("/args/cni/mac", json!("02:42"), 7),
            ("/args/cni/ips/0", json!("fd00:2::ff"), 7),
        ],
    );
}

#[test]
fn of_vlans_host_ports_and_a_firewall() {
    each_value_is_refused(
        &guarded(),
        "ADD",
        &[
            ("/cniVersion", json!("1.1"), 1),
            ("/name", json!("a/"), 7),
            ("/type", json!("a/b"), 7),
            ("/bridge", json!("br/0"), 7),
            ("/vlan", json!(4095), 7),
            ("/vlanTrunk/0/minID", json!(0), 7),
            ("/vlanTrunk/0/maxID", json!(199), 7),
            ("/vlanTrunk/1/id", json!(0), 7),
            ("/ingressPolicy", json!("closed"), 7),
            ("/ipam/type", json!("a/b"), 7),
            ("/ipam/subnet", json!("10.1.0.0/40"), 7),
            ("/runtimeConfig/portMappings/0/hostPort", json!(0), 7),
            ("/runtimeConfig/portMappings/0/containerPort", json!(65536), 7),
            ("/runtimeConfig/portMappings/0/protocol", json!("icmp"), 7),
            ("/runtimeConfig/portMappings/0/hostIP", json!("localhost"), 7),
            ("/runtimeConfig/portMappings/1/hostPort", json!(-1), 7),
            ("/runtimeConfig/portMappings/1/containerPort", Value::Null, 7),
            ("/runtimeConfig/portMappings/1/protocol", json!("UD"), 7),
            ("/runtimeConfig/bandwidth/ingressRate", json!(7), 7),
            ("/runtimeConfig/bandwidth/ingressBurst", json!(0), 7),
            ("/runtimeConfig/bandwidth/egressRate", json!(-1), 7),
            ("/runtimeConfig/bandwidth/egressBurst", json!(34_359_738_361_u64), 7),
        ],
    );
}

#[test]
fn of_tuning_and_bandwidth() {
    each_value_is_refused(
        &tuned(),
        "ADD",
        &[
            ("/cniVersion", json!("1.0.0 "), 1),
            ("/name", json!("a\n"), 7),
            ("/type", json!("./a"), 7),
            ("/bridge", json!("default"), 7),
            ("/mtu", json!(65536), 7),
            ("/sysctl", json!({ "kernel.hostname": "x" }), 7),
            ("/sysctl", json!({ "net.ipv4.../../kernel/hostname": "x" }), 7),
            ("/mac", json!("02:42"), 7),
            ("/txQLen", json!(-1), 7),
            ("/ingressRate", json!(1), 7),
            ("/ingressBurst", json!(0), 7),
            ("/egressRate", json!(0), 7),
            ("/egressBurst", json!(34_359_738_361_u64), 7),
            ("/ipam/type", json!("."), 7),
            ("/ipam/subnet", json!("10.1/16"), 7),
            ("/args/cni/sysctl", json!({ "vm.swappiness": "1" }), 7),
            ("/args/cni/mac", json!("ff:ff:ff:ff:ff:ff"), 7),
            ("/args/cni/txQLen", json!(4_294_967_296_u64), 7),
            ("/args/cni/mtu", json!(1), 7),
        ],
    );
}

#[test]
fn of_static_addresses() {
    each_value_is_refused(
        &fixed(),
        "ADD",
        &[
            ("/cniVersion", json!("1"), 1),
            ("/name", json!("n".repeat(201)), 7),
            ("/type", json!(".."), 7),
            ("/bridge", json!("br%d"), 7),
            ("/ipam/type", json!("a/b"), 7),
            ("/ipam/addresses/0/address", json!("10.1.0.5"), 7),
            ("/ipam/addresses/0/gateway", json!("fd00::1"), 7),
            ("/ipam/addresses/1/address", json!("fd00::5/129"), 7),
            ("/ipam/routes/0/dst", json!("192.168.0.1/16"), 7),
            ("/ipam/dns/nameservers/0", json!("x"), 7),
        ],
    );
}

#[test]
fn of_a_chain_a_delegate_and_gc() {
    each_value_is_refused(
        &chained(),
        "ADD",
        &[
            ("/cniVersion", json!("0.5.0"), 1),
            ("/name", json!("a b"), 7),
            ("/type", json!("a\u{0}"), 7),
            ("/modules/0", json!("m".repeat(56)), 7),
            ("/prevResult/cniVersion", json!("9.9.9"), 1),
            ("/prevResult/ips/0/address", json!("10.7.0.2"), 7),
            ("/prevResult/ips/0/gateway", json!("here"), 7),
            ("/prevResult/ips/0/interface", json!(-1), 7),
            ("/prevResult/routes/0/dst", json!("default"), 7),
            ("/prevResult/routes/0/gw", json!("x"), 7),
        ],
    );
    each_value_is_refused(
        &delegated(),
        "ADD",
        &[
            ("/cniVersion", json!("v1.0.0"), 1),
            ("/name", json!("-"), 7),
            ("/type", json!("/"), 7),
            ("/delegate/type", json!("../ptp"), 7),
        ],
    );
    each_value_is_refused(
        &collecting(),
        "GC",
        &[
            ("/cniVersion", json!("1.2.0"), 1),
            ("/name", json!("."), 7),
            ("/type", json!("."), 7),
            ("/bridge", json!("all"), 7),
            ("/cni.dev~1valid-attachments/0/containerID", Value::Null, 7),
            ("/cni.dev~1valid-attachments/0/ifname", Value::Null, 7),
            ("/cni.dev~1attachments/0/containerID", Value::Null, 7),
            ("/cni.dev~1attachments/0/ifname", Value::Null, 7),
        ],
    );
}

/// Keys that others have and groundwork does not serve would be left undone in silence.
#[test]
fn what_is_not_served_is_refused() {
    let caller = Caller::new();
    for key in ["conditionsV4", "conditionsV6"] {
        let mut config = guarded();
        config[key] = json!(["-s", "192.0.2.0/24"]);
        let document = failure(&caller.call(&vars("ADD"), config.to_string()));
        assert_eq!(document["code"], 2, "{document}");
        assert!(document["msg"].as_str().unwrap().contains(&format!("`{key}`")), "{document}");
    }
    caller.untouched();
}

/// A runtime that was refused its ADD sends a DEL of the same configuration, which must not stop the clean-up.
#[test]
fn a_del_is_served_whatever_the_configuration_says() {
    let caller = Caller::new();
    for (pointer, value) in [
        ("/bridge", json!(7)),
        ("/mtu", json!(-1)),
        ("/ipam/subnet", json!("x")),
        ("/ipam", json!([])),
        ("/runtimeConfig/mac", json!("x")),
        ("/modules", json!("x")),
        ("/logLevel", json!("loud")),
    ] {
        let config = put(&put(&native(), "/logFile", Value::Null), pointer, value.clone());
        let output = caller.call(&vars("DEL"), config.to_string());
        // Whoever is not root may not ask nf_tables.
        let served = output.status.success() && output.stdout.is_empty();
        assert!(served || caller.host.is_none() && failure(&output)["code"] == 101, "{pointer} = {value}: {output:?}");
        assert!(!output.stderr.contains("does not know"), "{}", output.stderr);
        assert!(output.stderr.contains(&path(pointer)), "the log tells: {}", output.stderr);
    }
    for pointer in ["/name", "/cniVersion", "/stateDir"] {
        let document = failure(&caller.call(&vars("DEL"), put(&native(), pointer, json!("\u{1}")).to_string()));
        assert!(document["msg"].as_str().unwrap().contains(&pointer[1..]), "{document}");
    }
    caller.untouched();
}

#[test]
fn of_an_overlay() {
    each_value_is_refused(
        &overlaid(),
        "ADD",
        &[
            ("/cniVersion", json!("2.0.0"), 1),
            ("/name", json!("../x"), 7),
            ("/type", json!("a/b"), 7),
            ("/overlay/network", json!("10.244.0.1/16"), 7),
            ("/overlay/network", json!(["10.244.0.0/16", "10.245.0.0/16"]), 7),
            ("/overlay/subnetLen", json!(31), 7),
            ("/overlay/subnet", json!("10.245.1.0/24"), 7),
            ("/overlay/vni", json!(0), 7),
            ("/overlay/port", json!(65536), 7),
            ("/overlay/mtu", json!(67), 7),
            ("/overlay/node", json!("x".repeat(256)), 7),
            ("/overlay/underlay", json!("a/b"), 7),
            ("/overlay/engine", json!("consul"), 7),
            ("/overlay/peerFile", json!("peers.json"), 7),
            ("/overlay/peers/0/node", json!(""), 7),
            ("/overlay/peers/0/subnets", json!("everything"), 7),
            ("/overlay/peers/0/vtep", json!("b.example"), 7),
            ("/overlay/peers/0/mac", json!("01:00:5e:00:00:01"), 7),
        ],
    );
}

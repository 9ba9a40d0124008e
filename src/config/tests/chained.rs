//! What works on a link that is there.

use serde_json::{Value, json};

use super::{native, native_of, parse, parse_for, request, request_with};
use crate::{
    cni::{Verb, error::Coded},
    config::{
        BandwidthConfig, ConfigError, Limit, Mode, Sysctl, TuningConfig,
        allow_list::{self, AllowListError},
    },
};

fn tuning(keys: Value) -> Value {
    with_keys(json!({ "name": "n", "type": "tuning" }), keys)
}

fn with_keys(mut config: Value, keys: Value) -> Value {
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn tuned(config: &Value) -> TuningConfig {
    native_of(&parse(config).unwrap()).tuning.clone().unwrap()
}

fn limits(config: &Value) -> Option<BandwidthConfig> {
    match &parse(config).unwrap().mode {
        Mode::Native(native) => native.bandwidth,
        _ => None,
    }
}

fn refused(config: &Value) -> (u32, String) {
    let error = parse(config).unwrap_err();
    (error.code(), error.to_string())
}

#[test]
fn a_setting_is_named_as_sysctl_names_it() {
    for (name, path) in [
        ("net.ipv4.conf.IFNAME.arp_filter", "net/ipv4/conf/eth0.5/arp_filter"),
        ("net/ipv4/conf/IFNAME/arp_filter", "net/ipv4/conf/eth0.5/arp_filter"),
        ("net/ipv4/conf/eth1.7/arp_filter", "net/ipv4/conf/eth1.7/arp_filter"),
        ("net.ipv4.conf.eth1/7.arp_filter", "net/ipv4/conf/eth1.7/arp_filter"),
        ("net.ipv4.conf.IFNAME.IFNAME", "net/ipv4/conf/eth0.5/IFNAME"),
        ("net.core.somaxconn", "net/core/somaxconn"),
    ] {
        let config = tuned(&tuning(json!({ "sysctl": { name: "1" } })));
        assert_eq!(config.sysctls[0].path("eth0.5"), path, "{name}");
    }
    for name in [
        "kernel.hostname",
        "net",
        "net.",
        "net.core",
        "net..core.x",
        "net/../kernel/x",
        "net/./x/y",
        ".net.core.x",
        "/net/core/x",
        "network.core.x",
        "net.core.x/..",
        "net/core/x/",
        "Net.core.x",
        "",
        "net.core.\0",
    ] {
        let (code, text) = refused(&tuning(json!({ "sysctl": { name: "1" } })));
        assert!(code == 7 && text.contains("expected a setting of the network"), "{name:?}: {text}");
    }
}

#[test]
fn a_setting_has_one_value() {
    let twice =
        br#"{"name": "n", "type": "tuning", "sysctl": {"net.core.x": "1", "net.core.y": "1", "net.core.x": "2"}}"#;
    let nested = br#"{"name": "n", "type": "tuning", "args": {"cni": {"SysCtl": {"net.a.b": "1", "net.a.b": "1"}}}}"#;
    for (text, says) in
        [(&twice[..], "`sysctl` is \"net.core.x\" twice"), (&nested[..], "`args.cni.sysctl` is \"net.a.b\" twice")]
    {
        let error = super::NetworkConfig::parse(text, &request(Verb::Add)).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(super::NetworkConfig::parse(text, &request(Verb::Del)).is_ok(), "DEL can do without");
    }
    let same = json!({ "sysctl": { "net.core.x": "1", "net/core/x": "2" } });
    assert!(refused(&tuning(same)).1.contains("which \"net.core.x\" names too"));
    let unrelated = br#"{"name": "n", "ipam": {}, "x": [{"a": 1, "a": 2}]}"#;
    assert!(super::NetworkConfig::parse(unrelated, &request(Verb::Add)).is_ok());
}

#[test]
fn args_override_setting_by_setting() {
    let config = tuned(&tuning(json!({
        "sysctl": { "net.a.b": "1", "net.a.c": "2" }, "mtu": 1400, "allmulti": true, "txQLen": 5, "promisc": true,
        "args": { "cni": { "sysctl": { "net/a/b": "3" }, "mtu": 0, "allmulti": false } },
    })));
    let mut values: Vec<_> =
        config.sysctls.iter().map(|Sysctl { name, value, .. }| (name.as_str(), value.as_str())).collect();
    values.sort_unstable();
    assert_eq!(values, [("net.a.c", "2"), ("net/a/b", "3")]);
    let link = config.link;
    assert_eq!(
        (link.mtu, link.all_multicast, link.tx_queue_len, link.promisc),
        (Some(1400), Some(false), Some(5), Some(true))
    );
}

#[test]
fn the_last_hardware_address_counts() {
    let mac = |last: &str| format!("02:00:00:00:00:{last}");
    let mut config = tuning(json!({ "mac": mac("01") }));
    let of = |config: &Value, env: &str| {
        let parsed = parse_for(config, &request_with(env)).unwrap();
        native_of(&parsed).tuning.as_ref().unwrap().link.mac.unwrap().to_string()
    };
    assert_eq!(of(&config, ""), mac("01"));
    assert_eq!(of(&config, "MAC=02:00:00:00:00:02"), mac("02"));
    config["runtimeConfig"] = json!({ "mac": mac("03") });
    assert_eq!(of(&config, "MAC=02:00:00:00:00:02"), mac("03"));
    config["args"] = json!({ "cni": { "mac": mac("04") } });
    assert_eq!(of(&config, "MAC=02:00:00:00:00:02"), mac("04"));
}

/// A runtime sends CNI_ARGS and `args.cni` to every plugin of a chain.
#[test]
fn a_runtime_alone_tunes_only_by_the_plugin_of_that_name() {
    let asked = json!({ "args": { "cni": { "mtu": 1400, "sysctl": { "net.a.b": "1" } } } });
    assert!(matches!(parse(&tuning(asked.clone())).unwrap().mode, Mode::Native(_)));
    for other in ["groundwork", "bandwidth", ""] {
        let config = with_keys(json!({ "name": "n", "type": other }), asked.clone());
        let parsed = parse_for(&config, &request_with("MAC=02:00:00:00:00:02")).unwrap();
        assert_eq!(parsed.mode, Mode::Chained, "{other}");
    }
    let network = parse(&with_keys(native(), asked)).unwrap();
    assert_eq!(native_of(&network).tuning, None);
}

#[test]
fn a_network_is_tuned_by_its_own_keys() {
    let keys = json!({ "promisc": true, "mac": "02:00:00:00:00:05", "mtu": 1450 });
    let config = parse(&with_keys(native(), keys)).unwrap();
    let link = native_of(&config).tuning.as_ref().unwrap().link;
    assert_eq!((link.promisc, link.mtu), (Some(true), None), "the link is made with its MTU");
    assert_eq!(native_of(&config).link.as_ref().unwrap().mtu(), Some(1450));
}

#[test]
fn under_the_name_of_a_reference_plugin_it_does_what_that_does() {
    let all = json!({ "mtu": 1400, "ingressRate": 8000, "ingressBurst": 8000 });
    for (name, tunes, limits) in [("tuning", true, false), ("bandwidth", false, true), ("groundwork", true, true)] {
        let config = parse(&with_keys(json!({ "name": "n", "type": name }), all.clone())).unwrap();
        assert_eq!(
            (native_of(&config).tuning.is_some(), native_of(&config).bandwidth.is_some()),
            (tunes, limits),
            "{name}"
        );
        assert_eq!(config.chained_type(), Some(name));
    }
    let idle = parse(&json!({ "name": "n", "type": "bandwidth" })).unwrap();
    assert_eq!((idle.chained_type(), &idle.mode), (Some("bandwidth"), &Mode::Chained));
}

#[test]
fn limits_are_inline_or_a_runtimes() {
    let limit = |rate, burst| Some(Limit { rate, burst });
    let runtime = json!({ "runtimeConfig": { "bandwidth": { "IngressRate": 1000, "IngressBurst": 4_294_967_295u64, "EgressRate": 8, "EgressBurst": 9 } } });
    let of = |keys: Value| limits(&with_keys(json!({ "name": "n", "type": "bandwidth" }), keys));
    assert_eq!(of(runtime.clone()), Some(BandwidthConfig { ingress: limit(1000, 4_294_967_295), egress: limit(8, 9) }));
    let both = with_keys(runtime.clone(), json!({ "egressRate": 16, "egressBurst": 17 }));
    assert_eq!(of(both), Some(BandwidthConfig { ingress: None, egress: limit(16, 17) }));
    assert_eq!(of(with_keys(runtime, json!({ "egressRate": 0 }))), None, "as the reference has it");
    assert_eq!(of(json!({})), None);
    assert_eq!(of(json!({ "runtimeConfig": { "bandwidth": {} } })), None);
    assert!(of(json!({ "ingressRate": u64::MAX, "ingressBurst": 34_359_738_359u64 })).is_some());
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (keys, code, says) in [
        (json!({ "mtu": 67 }), 7, "`mtu`"),
        (json!({ "mac": "02:00" }), 7, "`mac`"),
        (json!({ "mac": "01:00:00:00:00:00" }), 7, "`mac`"),
        (json!({ "promisc": "on" }), 6, "`promisc`"),
        (json!({ "allmulti": 1 }), 6, "`allmulti`"),
        (json!({ "txQLen": -1 }), 7, "`txQLen`"),
        (json!({ "sysctl": { "net.a.b": 1 } }), 6, "`sysctl.net.a.b` is 1, a number: expected a string"),
        (json!({ "sysctl": ["net.a.b"] }), 6, "`sysctl`"),
        (json!({ "args": { "cni": { "txQLen": "x" } } }), 6, "`args.cni.txQLen`"),
        (json!({ "args": { "cni": { "sysctl": { "vm.x.y": "1" } } } }), 7, "`args.cni.sysctl.vm.x.y`"),
    ] {
        let (found, text) = refused(&tuning(keys.clone()));
        assert!(found == code && text.contains(says), "{keys}: {found} {text}");
    }
    for (keys, code, says) in [
        (json!({ "ingressRate": 8000 }), 7, "`ingressBurst`"),
        (json!({ "egressBurst": 8000 }), 7, "`egressRate`"),
        (json!({ "egressBurst": 8000, "egressRate": 7 }), 7, "at least 8 bits a second"),
        (json!({ "egressBurst": 7, "egressRate": 8000 }), 7, "at least 8 bits"),
        (json!({ "egressRate": 8, "egressBurst": 34_359_738_360u64 }), 7, "less than 4 GB"),
        (json!({ "egressRate": -8, "egressBurst": 8 }), 7, "`egressRate`"),
        (json!({ "egressRate": "8M", "egressBurst": 8 }), 6, "`egressRate`"),
        (json!({ "runtimeConfig": { "bandwidth": 8 } }), 6, "`runtimeConfig.bandwidth`"),
        (json!({ "runtimeConfig": { "bandwidth": { "egressRate": 8 } } }), 7, "`runtimeConfig.bandwidth.egressBurst`"),
    ] {
        let (found, text) = refused(&with_keys(json!({ "name": "n", "type": "bandwidth" }), keys.clone()));
        assert!(found == code && text.contains(says), "{keys}: {found} {text}");
    }
    let bad = request_with("MAC=zz");
    assert!(matches!(parse_for(&tuning(json!({})), &bad), Err(ConfigError::Argument { key: "MAC", .. })));
}

#[test]
fn an_allow_list_of_expressions() {
    let config = tuned(&tuning(json!({ "sysctl": { "net.core.x": "1", "net.ipv4.conf.IFNAME.y": "1" } })));
    assert_eq!(allow_list::check("core\n\n  ^net.ipv4.conf.IFNAME.[a-z]*$ \n", &config), Ok(()));
    let error = allow_list::check("^net.core.[a-z]+$\n^y$", &config).unwrap_err();
    assert!(error.to_string().contains("\"net.ipv4.conf.IFNAME.y\" is not allowed"), "{error}");
    assert!(allow_list::check("", &config).unwrap_err().to_string().ends_with("allows none"));
    assert!(matches!(allow_list::check("(", &config), Err(AllowListError::Broken { .. })));
}

#[test]
fn a_program_called_as_an_ipam_reads_nothing_else() {
    let ipam = json!({ "type": "host-local", "subnet": "10.1.0.0/24" });
    let theirs = json!({ "name": "n", "type": "flannel", "master": "eth0", "mtu": 12, "ipam": ipam });
    let called = |program: &str| {
        let request = request(Verb::Add).called_as(std::ffi::OsStr::new(program));
        parse_for(&theirs, &request)
    };
    let config = called("/opt/cni/bin/host-local").unwrap();
    assert_eq!((config.as_ipam, config.chained_type()), (Some("host-local"), Some("host-local")));
    assert_eq!(config.unknown_keys, []);
    let leases = super::host_local_of(&config).data_dir.as_deref();
    assert_eq!(leases, Some(std::path::Path::new("/var/lib/cni/networks")));
    let refused = called("/opt/cni/bin/flannel").unwrap_err();
    assert!(refused.code() == 2 && refused.to_string().contains("`type` is \"flannel\""), "{refused}");
    let request = request(Verb::Del).called_as(std::ffi::OsStr::new("flannel"));
    assert!(parse_for(&theirs, &request).is_ok(), "DEL passes");
}

#[test]
fn a_program_is_the_plugin_by_whose_name_it_is_called_unless_its_type_is_one() {
    let request = request(Verb::Add).called_as(std::ffi::OsStr::new("/opt/cni/bin/bandwidth"));
    for (declared, is) in [("theirs", "bandwidth"), ("", "bandwidth"), ("groundwork2", "groundwork2"), ("sbr", "sbr")] {
        let config = parse_for(&json!({ "name": "n", "type": declared }), &request).unwrap();
        assert_eq!(config.plugin_type, is, "{declared}");
    }
}

#[test]
fn source_routing_is_asked_for_by_name_or_by_key() {
    let of = |keys: Value| match &parse(&with_keys(json!({ "name": "n", "type": "groundwork" }), keys)).unwrap().mode {
        Mode::Native(native) => native.source_routing.clone(),
        _ => None,
    };
    assert_eq!(of(json!({})), None);
    assert_eq!(of(json!({ "sbr": false, "gateways": [] })), None);
    assert!(of(json!({ "type": "sbr" })).is_some());
    let config =
        of(json!({ "sbr": true, "table": 7, "gateways": ["10.0.0.1", "fd00::1"], "addSourceHints": true })).unwrap();
    assert_eq!((config.table, config.gateways.len(), config.add_source_hints), (Some(7), 2, true));
    for (keys, code, says) in [
        (json!({ "table": 0 }), 7, "`table`"),
        (json!({ "table": "main" }), 6, "`table`"),
        (json!({ "gateways": "10.0.0.1" }), 6, "`gateways`"),
        (json!({ "gateways": ["ten"] }), 7, "`gateways[0]`"),
        (json!({ "gateways": ["10.0.0.1", "10.0.0.2"] }), 7, "`gateways[1]` is \"10.0.0.2\": expected at most one"),
        (json!({ "addSourceHints": 1 }), 6, "`addSourceHints`"),
    ] {
        let (found, text) = refused(&with_keys(json!({ "name": "n", "type": "sbr" }), keys.clone()));
        assert!(found == code && text.contains(says), "{keys}: {found} {text}");
    }
}

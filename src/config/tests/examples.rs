//! The configurations in `cni/`: each one parses, and says what its name says.

use serde_json::Value;

use super::{bridge_of, parse};
use crate::{
    config::{IpamConfig, Mode, NetworkConfig},
    kernel::feature::FeatureRef,
};

/// The plugins of a list, as a runtime hands each to its plugin; those of `groundwork` parsed.
fn groundwork_of(list: &str) -> Vec<NetworkConfig> {
    let list: Value = serde_json::from_str(list).unwrap();
    let plugins = list["plugins"].as_array().unwrap().iter().filter(|plugin| plugin["type"] == "groundwork");
    let configs: Vec<_> = plugins
        .map(|plugin| {
            let mut plugin = plugin.clone();
            plugin["cniVersion"] = list["cniVersion"].clone();
            plugin["name"] = list["name"].clone();
            plugin.as_object_mut().unwrap().remove("capabilities");
            parse(&plugin).unwrap()
        })
        .collect();
    assert!(!configs.is_empty());
    for config in &configs {
        assert_eq!(config.unknown_keys, []);
        assert_eq!(config.cni_version.as_str(), "1.0.0", "older runtimes do not know later ones");
    }
    configs
}

fn ranges_of(config: &NetworkConfig) -> Vec<String> {
    let Mode::Native(native) = &config.mode else { panic!("{:?}", config.mode) };
    let bridge = bridge_of(config);
    assert!(bridge.is_default_gateway && bridge.is_gateway && bridge.ip_masq && bridge.hairpin_mode);
    let Some(IpamConfig::HostLocal(ipam)) = &native.ipam else { panic!("{:?}", native.ipam) };
    ipam.range_sets.iter().flat_map(|set| &set.0).map(|range| format!("{range} {}", range.gateway)).collect()
}

#[test]
fn chained() {
    let [config] = &groundwork_of(include_str!("../../../cni/10-chained.conflist"))[..] else { panic!() };
    assert_eq!(config.mode, Mode::Chained);
    let modules = ["bridge", "veth"].map(|name| FeatureRef::new(name).unwrap());
    assert_eq!(config.kernel.modules.as_deref(), Some(&modules[..]));
}

#[test]
fn delegate() {
    let [config] = &groundwork_of(include_str!("../../../cni/20-delegate.conflist"))[..] else { panic!() };
    let Mode::Delegate(delegate) = &config.mode else { panic!("{:?}", config.mode) };
    assert_eq!(delegate.plugin_type, "bridge");
    assert_eq!(delegate.config["ipam"]["subnet"], "10.210.20.0/24");
}

#[test]
fn native_single_stack() {
    let [config] = &groundwork_of(include_str!("../../../cni/30-bridge.conflist"))[..] else { panic!() };
    assert_eq!(ranges_of(config), ["10.210.30.1-10.210.30.254 10.210.30.1"]);
}

#[test]
fn native_dual_stack() {
    let [config] = &groundwork_of(include_str!("../../../cni/40-bridge-dual-stack.conflist"))[..] else { panic!() };
    let v6 = "fd10:210:40::1-fd10:210:40:0:ffff:ffff:ffff:ffff fd10:210:40::1";
    assert_eq!(ranges_of(config), ["10.210.40.1-10.210.40.254 10.210.40.1", v6]);
}

#[test]
fn overlay() {
    let [config] = &groundwork_of(include_str!("../../../cni/50-overlay.conflist"))[..] else { panic!() };
    let Mode::Native(native) = &config.mode else { panic!("{:?}", config.mode) };
    let overlay = native.overlay.as_ref().unwrap();
    assert_eq!(overlay.own_subnets(), Some(vec!["10.210.50.0/24".parse().unwrap()]));
    assert!(native.ip_masq() && bridge_of(config).is_default_gateway);
}

//! Configurations as runtimes send them, whole and broken.

mod broken;
mod chained;
mod examples;
mod exposure;
mod lenient;
mod links;
mod meaning;
mod overlay;
mod properties;

use serde_json::{Value, json};

use super::{
    BridgeConfig, ConfigError, HostLocalConfig, IpamConfig, LinkConfig, Mode, NativeConfig, NetworkConfig, StaticConfig,
};
use crate::cni::{Request, Verb, args::CniArgs};

/// A request of `verb` with the variables that its specification asks for.
fn request(verb: Verb) -> Request {
    let vars = |name: &str| {
        let value = match name {
            "CNI_COMMAND" => verb.as_str(),
            "CNI_CONTAINERID" => "c1",
            "CNI_NETNS" => "/run/netns/c1",
            "CNI_IFNAME" => "eth0",
            "CNI_PATH" => "/opt/cni/bin",
            _ => return None,
        };
        Some(value.into())
    };
    Request::parse(&vars).unwrap()
}

/// An ADD with `CNI_ARGS`.
fn request_with(args: &str) -> Request {
    Request { args: CniArgs::parse(args), ..request(Verb::Add) }
}

/// `config` parsed for an ADD.
fn parse(config: &Value) -> Result<NetworkConfig, ConfigError> {
    parse_for(config, &request(Verb::Add))
}

fn parse_for(config: &Value, request: &Request) -> Result<NetworkConfig, ConfigError> {
    NetworkConfig::parse(config.to_string().as_bytes(), request)
}

/// `config` with `value` at `pointer`, whose parents are made.
fn with(config: &Value, pointer: &str, value: Value) -> Value {
    let mut config = config.clone();
    let mut place = &mut config;
    for key in pointer.split('/').skip(1) {
        place = match key.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[key.replace("~1", "/")],
        };
    }
    *place = value;
    config
}

/// A native network that sets every key of host-local.
fn native() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "net1",
        "type": "groundwork",
        "bridge": "br0",
        "isGateway": true,
        "isDefaultGateway": false,
        "forceAddress": true,
        "ipMasq": true,
        "mtu": 1400,
        "hairpinMode": true,
        "promiscMode": false,
        "enabledad": true,
        "vlan": 100,
        "vlanTrunk": [{ "id": 31 }, { "minID": 20, "maxID": 30 }, { "minID": 25, "maxID": 28, "id": 40 }],
        "preserveDefaultVlan": true,
        "macspoofchk": true,
        "ipspoofchk": true,
        "portIsolation": true,
        "disableContainerInterface": false,
        "dns": { "nameservers": ["10.1.0.1", "fe80::1%eth0"], "domain": "local", "search": ["a.b"], "options": ["ndots:1"] },
        "ipam": {
            "type": "host-local",
            "subnet": "10.1.0.0/16",
            "rangeStart": "10.1.3.10",
            "rangeEnd": "10.1.3.20",
            "gateway": "10.1.3.254",
            "ranges": [[{ "subnet": "fd00:1::/64" }, { "subnet": "fd00:2::/64", "gateway": "fd00:2::ff" }]],
            "routes": [{
                "dst": "0.0.0.0/0", "gw": "10.1.3.254", "mtu": 1300, "advmss": 1200, "priority": 7, "table": 100, "scope": 0,
            }],
            "dataDir": "/run/leases",
            "resolvConf": "/etc/resolv.conf",
        },
        "modules": ["br_netfilter", "sch_fq"],
        "loaders": ["ioctl", "modprobe"],
        "logFile": "/var/log/groundwork.log",
        "logLevel": "debug",
        "stateDir": "/run/gw",
        "runtimeConfig": {
            "mac": "02:42:ac:11:00:02",
            "ips": ["10.1.3.15/16"],
            "ipRanges": [[{ "subnet": "10.9.0.0/24", "rangeStart": "10.9.0.5", "rangeEnd": "10.9.0.9", "gateway": "10.9.0.1" }]],
        },
        "args": { "cni": { "mac": "02:42:ac:11:00:03", "ips": ["fd00:1::5"] } },
        "prevResult": {
            "cniVersion": "1.0.0",
            "interfaces": [{ "name": "eth9", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/c1" }],
            "ips": [{ "address": "10.7.0.2/24", "gateway": "10.7.0.1", "interface": 0 }],
            "routes": [{ "dst": "0.0.0.0/0", "gw": "10.7.0.1" }],
            "dns": { "nameservers": ["10.7.0.1"] },
        },
    })
}

/// A native network with addresses from static.
fn fixed() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "net1",
        "type": "groundwork",
        "bridge": "br0",
        "ipam": {
            "type": "static",
            "addresses": [{ "address": "10.1.0.5/16", "gateway": "10.1.0.1" }, { "address": "fd00::5/64" }],
            "routes": [{ "dst": "192.168.0.0/16" }],
            "dns": { "nameservers": ["10.1.0.1"], "domain": "local", "search": ["a.b"], "options": ["ndots:1"] },
        },
    })
}

/// A delegate's network.
fn delegated() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "net1",
        "type": "groundwork",
        "delegate": { "type": "ptp", "ipam": { "type": "dhcp" } },
    })
}

fn native_of(config: &NetworkConfig) -> &NativeConfig {
    let Mode::Native(native) = &config.mode else { panic!("{:?}", config.mode) };
    native
}

fn bridge_of(config: &NetworkConfig) -> &BridgeConfig {
    let Some(LinkConfig::Bridge(bridge)) = &native_of(config).link else { panic!("{:?}", config.mode) };
    bridge
}

fn host_local_of(config: &NetworkConfig) -> &HostLocalConfig {
    let Some(IpamConfig::HostLocal(ipam)) = &native_of(config).ipam else { panic!("{:?}", config.mode) };
    ipam
}

fn static_of(config: &NetworkConfig) -> &StaticConfig {
    let Some(IpamConfig::Static(ipam)) = &native_of(config).ipam else { panic!("{:?}", config.mode) };
    ipam
}

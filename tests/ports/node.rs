//! A node: a host with an uplink to a world that does not know its containers' addresses.

use serde_json::{Value, json};

use crate::support::{Host, Sandbox};

/// A network of groundwork's own on bridge `gw0`, of both families.
pub(crate) fn network(name: &str) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": name, "type": "groundwork", "bridge": format!("gw{name}"),
        "isDefaultGateway": true, "ipMasq": true,
        "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.44.0.0/24" }], [{ "subnet": "fd00:44::/64" }]] },
    })
}

/// `config` with these port mappings, as runtimes send them.
pub(crate) fn publishing(config: &Value, mappings: Value) -> Value {
    let mut config = config.clone();
    config["capabilities"] = json!({ "portMappings": true });
    config["runtimeConfig"]["portMappings"] = mappings;
    config
}

/// One mapping of every address.
pub(crate) fn mapping(host_port: u16, container_port: u16, protocol: &str) -> Value {
    json!({ "hostPort": host_port, "containerPort": container_port, "protocol": protocol })
}

/// The container's address of a family, as a result has it.
pub(crate) fn address(result: &Value, ipv6: bool) -> String {
    let all = result["ips"].as_array().unwrap().iter().map(|ip| ip["address"].as_str().unwrap());
    let own = all.map(|cidr| cidr.split('/').next().unwrap()).find(|address| address.contains(':') == ipv6).unwrap();
    own.to_owned()
}

/// `address:port`.
pub(crate) fn at(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Gives the host 192.0.2.1 and 192.0.2.3, 2001:db8::1 and 2001:db8::3, and connects sandbox `world` at .2.
pub(crate) fn world(host: &Host) -> Sandbox<'_> {
    let world = host.sandbox("world");
    host.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0
             ip link add up0 type veth peer name eth0 netns world; ip link set up0 up
             ip address add 192.0.2.1/24 dev up0; ip address add 192.0.2.3/24 dev up0
             ip address add 2001:db8::1/64 dev up0 nodad; ip address add 2001:db8::3/64 dev up0 nodad
             ip netns exec world sh -c '
             ip link set lo up; ip link set eth0 up; ip address add 192.0.2.2/24 dev eth0
             ip address add 2001:db8::2/64 dev eth0 nodad'");
    world
}

/// All of our tables, as nft shows them; empty when there is none.
pub(crate) fn elements(host: &Host) -> String {
    host.try_sh("nft list table inet groundwork").stdout
}

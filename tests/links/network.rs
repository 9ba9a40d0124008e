//! Configurations, and hosts with something to stand on.

use serde_json::{Value, json};

use crate::support::{Host, Sandbox, with_prev};

/// `uplink` on the host leads to `eth0` of the sandbox `world`, 192.0.2.1.
pub(crate) const UPLINK: &str = "ip netns add world && ip link add uplink address 02:00:00:00:00:0a type veth \
    peer name eth0 netns world && ip link set uplink up && ip -n world link set lo up && \
    ip -n world addr add 192.0.2.1/24 dev eth0 && ip -n world addr add fd99::1/64 dev eth0 nodad && \
    ip -n world link set eth0 up";

/// A network of the reference plugin `kind` with addresses of 192.0.2.0/24 and fd99::/64, and some keys of its own.
pub(crate) fn network(kind: &str, keys: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": kind,
        "ipam": {
            "type": "host-local",
            "ranges": [
                [{ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.10", "gateway": "192.0.2.1" }],
                [{ "subnet": "fd99::/64", "rangeStart": "fd99::10", "gateway": "fd99::1" }],
            ],
            "routes": [{ "dst": "0.0.0.0/0" }],
        },
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

/// What CHECK finds wrong.
#[track_caller]
pub(crate) fn complaint(sandbox: &Sandbox<'_>, config: &Value, result: &Value) -> String {
    let error = sandbox.verb("CHECK", &with_prev(config, result)).error();
    assert_eq!(error["code"], 102, "{error}");
    error["msg"].as_str().unwrap().to_owned()
}

/// The only record of a network, which is then that of an ADD that was killed.
pub(crate) fn forget_the_end(host: &Host) {
    let script =
        "set -- /run/groundwork/net/attachments/*; tail -n 2 \"$1\" | grep . | sed 's/\"added\"/\"adding\"/' >> \"$1\"";
    host.sh(script);
}

/// The alias of a link in a sandbox, empty when it has none.
pub(crate) fn alias(sandbox: &Sandbox<'_>, link: &str) -> String {
    let found: Value = serde_json::from_str(&sandbox.sh(&format!("ip -j link show {link}"))).unwrap();
    found[0]["ifalias"].as_str().unwrap_or_default().to_owned()
}

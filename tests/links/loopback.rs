//! The link that every sandbox has.

use serde_json::json;

use crate::{
    reference::alike,
    support::{Host, with_prev},
};

#[test]
fn as_the_reference_does() {
    // Before 1.0.0 the reference leaves out the addresses' "version", which the specification asks for.
    alike(&json!({ "cniVersion": "1.0.0", "name": "lo", "type": "loopback" }), "true");
}

#[test]
fn the_chains_result_passes_through_and_nothing_is_recorded() {
    let host = Host::new();
    let before = host.snapshot();
    let mut web = host.sandbox("web");
    web.ifname = "eth7".into();
    let config = json!({ "cniVersion": "1.1.0", "name": "lo", "type": "groundwork", "link": "loopback" });
    let earlier = json!({ "cniVersion": "1.1.0", "ips": [{ "address": "192.0.2.7/24" }] });
    assert_eq!(web.add(&with_prev(&config, &earlier)), earlier);
    let result = web.add(&config);
    assert_eq!(
        result["interfaces"],
        json!([{
            "name": "lo", "mac": "00:00:00:00:00:00", "mtu": 65536, "sandbox": "/run/netns/web",
        }])
    );
    web.sh("ping -n -c 1 -W 2 127.0.0.1 && ping -n -c 1 -W 2 ::1");
    web.check(&config, &result);
    web.sh("ip link set lo down");
    let error = web.verb("CHECK", &with_prev(&config, &result)).error();
    assert_eq!(error["code"], 102);
    assert!(error["msg"].as_str().unwrap().contains("link lo in the container: expected up, found down"), "{error}");
    web.add(&config);
    web.del(&config);
    assert!(web.sh("ip -br link show lo").contains("DOWN"));
    host.gc(&config, &[]).success("GC");
    host.status(&config).success("STATUS");
    for netns in ["", "/run/netns/gone"] {
        web.netns = netns.into();
        web.del(&config);
    }
    before.assert_same(&host.snapshot());
}

/// The host's own loopback is not a container's.
#[test]
fn the_host_is_no_sandbox() {
    let host = Host::new();
    let config = json!({ "cniVersion": "1.0.0", "name": "lo", "type": "loopback" });
    let mut web = host.sandbox("web");
    web.netns = "/proc/self/ns/net".into();
    assert!(web.verb("ADD", &config).error()["msg"].as_str().unwrap().contains("groundwork runs in"));
    web.del(&config);
    assert!(!host.sh("ip -br link show lo").contains("DOWN"));
}

/// It reads nothing of CNI_ARGS; who does refuses what is none.
#[test]
fn a_malformed_argument_is_nothing_to_it() {
    let host = Host::new();
    let mut web = host.sandbox("web");
    web.env = vec![("CNI_ARGS".into(), "none".into())];
    let config = json!({ "cniVersion": "1.0.0", "name": "lo", "type": "loopback" });
    web.add(&config);
    web.sh("ping -n -c 1 -W 2 127.0.0.1");
    web.del(&config);
    let error = web.verb("ADD", &json!({ "cniVersion": "1.0.0", "name": "net", "type": "bridge" })).error();
    assert_eq!(error["code"], 4, "{error}");
}

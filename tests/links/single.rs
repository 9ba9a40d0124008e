//! Links without an end on the host. Where the kernel has no ipvlan, vlan and dummy, the virtual machines try those.

use serde_json::{Value, json};

use crate::{
    network::{UPLINK, complaint, forget_the_end, network},
    reference::alike,
    support::Host,
};

fn macvlan(keys: Value) -> Value {
    let mut config = network("macvlan", json!({ "master": "uplink" }));
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

#[test]
fn macvlan_as_the_reference_does() {
    alike(&macvlan(json!({})), UPLINK);
    alike(&macvlan(json!({ "mode": "private", "mtu": 1400 })), UPLINK);
    alike(&macvlan(json!({ "mode": "passthru" })), UPLINK);
    alike(&macvlan(json!({ "ipam": {}, "mac": "02:42:00:00:00:07" })), UPLINK);
    let by_route = format!("{UPLINK} && ip addr add 192.0.2.2/24 dev uplink && ip route add default via 192.0.2.1");
    alike(&macvlan(json!({ "master": "" })), &by_route);
}

#[test]
fn containers_have_addresses_of_their_own_on_the_hosts_link() {
    let host = Host::new();
    host.sh(UPLINK);
    let before = host.snapshot();
    let (web, mut db) = (host.sandbox("web"), host.sandbox("db"));
    // The host has a link of the interface's name, as most have.
    host.sh("ip link add eth0 type veth peer name eth0peer");
    let config = macvlan(json!({ "runtimeConfig": { "mac": "02:42:00:00:00:08" }, "cniVersion": "1.1.0" }));
    let result = web.add(&config);
    db.add(&macvlan(json!({})));
    assert_eq!(
        result["interfaces"],
        json!([{ "name": "eth0", "mac": "02:42:00:00:00:08", "mtu": 1500, "sandbox": "/run/netns/web" }])
    );
    assert_eq!(result["ips"][1]["interface"], 0);
    for address in ["192.0.2.1", "fd99::1", "192.0.2.11", "fd99::11"] {
        web.ping(address);
    }
    assert!(web.sh("ip -d link show eth0").contains("alias net/web/eth0"));
    web.check(&config, &result);
    let error = web.verb("ADD", &config).error();
    assert!(error["msg"].as_str().unwrap().contains("already has eth0 on network net"), "{error}");
    web.check(&config, &result);
    web.del(&config);
    web.del(&config);
    db.netns = String::new();
    db.del(&config);
    host.sh("ip link del eth0; ip netns del db; rm -rf /run/groundwork");
    before.assert_same(&host.snapshot());
}

#[test]
fn check_names_what_is_not_as_it_was() {
    let host = Host::new();
    host.sh(UPLINK);
    let web = host.sandbox("web");
    let config = macvlan(json!({}));
    let result = web.add(&config);
    web.check(&config, &result);
    web.sh("ip link set eth0 down");
    assert!(complaint(&web, &config, &result).contains("link eth0 in the container: expected up, found down"));
    web.sh("ip link set eth0 up; ip route add default via 192.0.2.1; ip link set eth0 type macvlan mode vepa");
    let mode = complaint(&web, &config, &result);
    assert!(mode.contains("link eth0 in the container: expected mode bridge, found mode vepa"), "{mode}");
    let other = macvlan(json!({ "master": "nowhere" }));
    assert!(complaint(&web, &other, &result).contains("link on which eth0 stands: expected nowhere, found missing"));
    let passthru = macvlan(json!({ "type": "ipvlan" }));
    if host.try_sh("ip link add link uplink name probe type ipvlan && ip link del probe").status.success() {
        assert!(complaint(&web, &passthru, &result).contains("expected ipvlan, found macvlan"));
    }
    web.sh("ip link del eth0");
    assert!(complaint(&web, &config, &result).contains("link eth0 in the container: expected present, found missing"));
    web.del(&config);
}

#[test]
fn what_cannot_be_is_said_before_anything_is_touched() {
    let host = Host::new();
    host.sh(UPLINK);
    let web = host.sandbox("web");
    let before = (host.snapshot(), web.snapshot());
    for (keys, says) in [
        (json!({ "master": "nowhere" }), "there is no link nowhere on the host, which \"master\" names"),
        (json!({ "linkInContainer": true }), "there is no link uplink in the container"),
        (json!({ "master": "" }), "\"master\" is not set, and on the host no default route tells"),
        (json!({ "mtu": 1501 }), "\"mtu\" is 1501, and link uplink has 1500"),
    ] {
        let error = web.verb("ADD", &macvlan(keys)).error();
        assert_eq!(error["code"], 7, "{error}");
        assert!(error["msg"].as_str().unwrap().contains(says), "{error}");
        web.del(&macvlan(json!({})));
    }
    host.sh("rm -rf /run/groundwork");
    before.0.assert_same(&host.snapshot());
    before.1.assert_same(&web.snapshot());
    web.sh("ip link add eth0 type veth peer name other");
    let error = web.verb("ADD", &macvlan(json!({}))).error();
    assert!(error["msg"].as_str().unwrap().contains("the container has a link eth0 already"), "{error}");
    web.del(&macvlan(json!({})));
    web.sh("ip link show eth0");
}

#[test]
fn on_a_link_of_the_container() {
    let host = Host::new();
    let web = host.sandbox("web");
    web.sh("ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up");
    let config = macvlan(json!({ "master": "up0", "linkInContainer": true }));
    let result = web.add(&config);
    assert!(web.sh("ip link show eth0").contains("eth0@up0"));
    web.check(&config, &result);
    web.del(&config);
    assert!(!web.sh("ip -br link").contains("eth0"));
}

#[test]
fn a_failed_add_leaves_nothing() {
    let host = Host::new();
    host.sh(UPLINK);
    let web = host.sandbox("web");
    let before = (host.snapshot(), web.snapshot());
    let mut config = macvlan(json!({}));
    config["ipam"]["routes"] = json!([{ "dst": "198.51.100.0/24", "gw": "203.0.113.1" }]);
    let error = web.verb("ADD", &config).error();
    assert!(error["msg"].as_str().unwrap().contains("ip route add 198.51.100.0/24 via 203.0.113.1"), "{error}");
    host.sh("rm -rf /run/groundwork");
    before.0.assert_same(&host.snapshot());
    before.1.assert_same(&web.snapshot());
}

/// Between the steps: the link is there under its first name, or has its own and nothing else.
#[test]
fn a_killed_add_is_undone_by_del_and_by_the_next_add() {
    let host = Host::new();
    host.sh(UPLINK);
    let web = host.sandbox("web");
    let before = web.snapshot();
    let config = macvlan(json!({ "cniVersion": "1.1.0" }));
    for mend in ["DEL", "ADD", "GC"] {
        for state in
            ["ip link set eth0 down; ip link set eth0 name $(cat /tmp/name) alias ''", "ip addr flush dev eth0"]
        {
            web.add(&config);
            let named = "grep -o 'gw[0-9a-f]*' /run/groundwork/net/attachments/web@eth0 | head -n 1 > /tmp/name";
            host.sh(named);
            web.sh(state);
            forget_the_end(&host);
            match mend {
                "ADD" => web.ping_after_add(&config),
                "GC" => drop(host.gc(&config, &[]).success("GC")),
                _ => {}
            }
            web.del(&config);
            let left = before.difference(&web.snapshot());
            assert!(left.lines().all(|line| line.starts_with("+ file ")), "{mend} after {state}: {left}");
        }
    }
}

impl crate::support::Sandbox<'_> {
    fn ping_after_add(&self, config: &Value) {
        self.add(config);
        self.ping("192.0.2.1");
    }
}

/// Without a list, GC leaves alone what may live.
#[test]
fn gc_keeps_what_lives() {
    let host = Host::new();
    host.sh(UPLINK);
    let (web, db) = (host.sandbox("web"), host.sandbox("db"));
    let config = macvlan(json!({ "cniVersion": "1.1.0" }));
    let (result, _) = (web.add(&config), db.add(&config));
    host.sh("ip netns del db");
    host.verb("GC", &config).success("GC");
    web.check(&config, &result);
    let records = "ls /run/groundwork/net/attachments";
    assert_eq!(host.sh(records).trim(), "web@eth0");
    host.gc(&config, &[("web", "eth0")]).success("GC");
    web.check(&config, &result);
    host.gc(&config, &[]).success("GC");
    assert!(!web.sh("ip -br link").contains("eth0"));
    assert_eq!(host.sh(records).trim(), "");
    host.sh("ip link del uplink");
    let error = host.status(&config).error();
    assert!(error["msg"].as_str().unwrap().contains("there is no link uplink on the host"), "{error}");
}

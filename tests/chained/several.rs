//! Several plugins of one chain, all of them groundwork's: none undoes what another did.

use serde_json::{Value, json};

use crate::{
    chain::{By, Chain},
    network::{Kernel, text, with},
    support::{Host, Sandbox},
};

fn bridge() -> Value {
    json!({
        "type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipMasq": true, "macspoofchk": true,
        "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" },
    })
}

fn ours<'a>(host: &'a Host, plugins: &[Value]) -> Chain<'a> {
    let plugins = std::iter::once(bridge()).chain(plugins.iter().cloned());
    Chain { host, plugins: plugins.map(|plugin| (By::Us, plugin)).collect() }
}

/// What the two plugins of [`two_of_one_type`] tune: MTU and queue length.
fn tuned(web: &Sandbox<'_>) -> (Value, Value) {
    let link = web.link("eth0");
    (link["mtu"].clone(), link["txqlen"].clone())
}

#[test]
fn two_of_one_type() {
    let (first, second) = (json!({ "type": "tuning", "mtu": 1400 }), json!({ "type": "tuning", "txQLen": 77 }));
    let records = "find /run/groundwork -path '*tuning*' -type f";
    for way in ["as it should be", "again", "changed", "collected", "gone"] {
        let host = Host::new();
        let chain = ours(&host, &[first.clone(), second.clone()]);
        let mut web = host.sandbox("web");
        let result = chain.add(&web);
        let both = (json!(1400), json!(77));
        assert_eq!(tuned(&web), both, "{way}");
        chain.check(&web, &result);
        assert_eq!(host.sh(records).lines().count(), 2);
        match way {
            "again" => {
                for number in [1, 2, 1] {
                    chain.call(number, &web, "ADD", Some(&result)).success("ADD");
                    assert_eq!(tuned(&web), both, "{number} once more");
                }
            }
            "changed" => {
                let changed = ours(&host, &[json!({ "type": "tuning", "mtu": 1300 })]);
                changed.call(1, &web, "DEL", Some(&result)).success("DEL");
                assert_eq!(tuned(&web), (json!(1500), json!(1000)), "the list is another by now");
            }
            "collected" => {
                let config = with(&chain.config(1), json!({ "cniVersion": "1.1.0" }));
                host.gc(&config, &[("web", "eth0")]).success("GC");
                assert_eq!(tuned(&web), both, "it lives");
                host.gc(&config, &[]).success("GC");
                assert_eq!(tuned(&web), (json!(1500), json!(1000)));
            }
            "gone" => {
                host.sh("ip netns del web");
                web.netns = String::new();
                chain.del(&web, None);
            }
            _ => {}
        }
        if way != "gone" {
            chain.call(2, &web, "DEL", None).success("DEL");
            if !["changed", "collected"].contains(&way) {
                assert_eq!(tuned(&web), (json!(1400), json!(1000)), "the first one's stays");
            }
            chain.call(1, &web, "DEL", None).success("DEL");
            assert_eq!(tuned(&web), (json!(1500), json!(1000)));
            chain.del(&web, None);
        }
        assert_eq!(host.sh(records), "", "{way}");
    }
}

/// A container that is made anew under the same name finds nothing of the old one in its way.
#[test]
fn two_of_one_type_for_a_container_made_anew() {
    let (first, second) = (json!({ "type": "tuning", "mtu": 1400 }), json!({ "type": "tuning", "txQLen": 77 }));
    let host = Host::new();
    let chain = ours(&host, &[first, second]);
    chain.add(&host.sandbox("web"));
    host.sh("ip netns del web");
    let web = host.sandbox("web");
    let result = chain.add(&web);
    assert_eq!(tuned(&web), (json!(1400), json!(77)));
    chain.check(&web, &result);
    chain.del(&web, None);
    assert_eq!(host.sh("find /run/groundwork -name 'web@*'"), "");
}

/// What a later plugin's record does not tell any more, its name does not either: the rest of the chain stays.
#[test]
fn a_damaged_record_of_a_later_one() {
    let limits =
        json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000 });
    let plugins = [
        with(&limits, json!({ "type": "bandwidth" })),
        json!({ "type": "portmap", "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] } }),
        json!({ "type": "tuning", "mtu": 1400 }),
        json!({ "type": "sbr" }),
    ];
    let host = Host::new();
    let chain = ours(&host, &plugins);
    let web = host.sandbox("web");
    let result = chain.add(&web);
    let standing = || (host.links(), web.links(), host.sh("nft list ruleset"));
    let before = standing();
    for damage in ["'{'", "''"] {
        for number in [3, 4] {
            let plugin = text(&plugins[number - 1], "type");
            host.sh(&format!("printf {damage} > /run/groundwork/net/{plugin}/web@eth0"));
            chain.call(number, &web, "DEL", None).success("DEL");
            assert_eq!(standing(), before, "{plugin}");
            if plugin == "sbr" {
                continue; // what it moved is not known any more, and stays where it is
            }
            host.sh(&format!("printf {damage} > /run/groundwork/net/{plugin}/web@eth0"));
            chain.call(number, &web, "ADD", Some(&result)).success("ADD");
            assert_eq!(standing(), before, "{plugin}");
        }
    }
    for number in [2, 1] {
        let plugin = text(&plugins[number - 1], "type");
        host.sh(&format!("printf '{{' > /run/groundwork/net/{plugin}/web@eth0"));
        chain.call(number, &web, "DEL", None).success("DEL");
        assert!(web.links().contains(&"eth0".to_owned()), "{plugin}");
    }
    let elements = host.sh("nft list ruleset");
    assert!(!elements.contains("8080") && !host.links().iter().any(|link| link.starts_with("bwp")), "{elements}");
    chain.del(&web, None);
}

/// A port that is held to its address is held to the one that the chain gives it in the end.
#[test]
fn a_checked_port_with_another_address() {
    let mac = json!({ "mac": "02:00:00:00:00:42" });
    for plugins in [vec![], vec![with(&mac, json!({ "type": "tuning" }))]] {
        let host = Host::new();
        let mut chain = ours(&host, &plugins);
        if plugins.is_empty() {
            chain.plugins[0].1 = with(&bridge(), mac.clone());
        }
        let web = host.sandbox("web");
        let result = chain.add(&web);
        assert_eq!(web.link("eth0")["address"], "02:00:00:00:00:42");
        web.ping("10.88.0.1");
        chain.check(&web, &result);
        web.sh("ip link set eth0 address 02:00:00:00:00:99");
        assert!(!web.pings("10.88.0.1"));
        web.sh("ip link set eth0 address 02:00:00:00:00:42");
        web.ping("10.88.0.1");
        if !plugins.is_empty() {
            chain.call(1, &web, "DEL", None).success("DEL");
            assert_ne!(web.link("eth0")["address"], "02:00:00:00:00:42");
            web.ping("10.88.0.1");
            web.sh("ip link set eth0 address 02:00:00:00:00:42");
            assert!(!web.pings("10.88.0.1"), "it is nobody's any more");
        }
        chain.del(&web, None);
        assert!(!host.sh("nft list ruleset").contains("elements"));
    }
}

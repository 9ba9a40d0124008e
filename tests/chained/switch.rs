//! A node is switched to groundwork while containers run: DEL undoes what the reference plugins did.

use serde_json::{Value, json};

use crate::{
    chain::{By, Chain},
    network::{Kernel, with},
    support::Host,
};

/// A chain of the bridge and one plugin, before and after the switch.
fn both<'a>(host: &'a Host, plugin: &Value) -> (Chain<'a>, Chain<'a>) {
    let by = |by| Chain::after_bridge(host, vec![(by, plugin.clone())]);
    (by(By::Reference), by(By::Us))
}

#[test]
fn what_was_tuned_is_as_before() {
    for keys in [json!({}), json!({ "dataDir": "/run/backups" })] {
        let host = Host::new();
        let plugin =
            json!({ "type": "tuning", "mac": "02:00:00:00:00:42", "mtu": 1300, "promisc": true, "allmulti": true });
        let (before, after) = both(&host, &with(&plugin, keys));
        let web = host.sandbox("web");
        let bridge = before.call(0, &web, "ADD", None).json("ADD");
        let link = web.link("eth0");
        let result = before.call(1, &web, "ADD", Some(&bridge)).json("ADD");
        assert_ne!((&web.link("eth0")["address"], &web.link("eth0")["mtu"]), (&link["address"], &link["mtu"]));
        after.call(1, &web, "CHECK", Some(&result)).success("CHECK");
        after.call(1, &web, "DEL", Some(&result)).success("DEL");
        for key in ["address", "mtu", "flags"] {
            assert_eq!(web.link("eth0")[key], link[key], "{key}");
        }
        assert_eq!(host.sh("find /run/cni /run/backups -name '*.json' 2>/dev/null || true"), "");
        after.call(1, &web, "DEL", None).success("DEL");
    }
}

#[test]
fn rules_by_source_are_gone() {
    for (keys, kept) in [(json!({}), 1), (json!({ "table": 1234 }), 2)] {
        let host = Host::new();
        let (before, after) = both(&host, &with(&json!({ "type": "sbr" }), keys));
        let web = host.sandbox("web");
        let result = before.add(&web);
        // Debian's is older than the key `table`.
        web.sh("ip rule add from 10.99.0.9 table 77; ip rule del from 10.88.0.2; ip rule add from 10.88.0.2 table 1234
                ip rule add from 10.88.0.2 table 78");
        let rules = || web.sh("ip rule").lines().filter(|line| line.contains("from 10.")).count();
        assert_eq!(rules(), 3);
        after.call(1, &web, "DEL", Some(&result)).success("DEL");
        assert_eq!(rules(), kept, "those of others stay, and with a table those of other tables");
    }
}

/// A container that is gone took all of it along, and no DEL fails for it.
#[test]
fn a_container_that_is_gone() {
    let host = Host::new();
    let (before, after) = both(&host, &json!({ "type": "tuning", "mtu": 1300 }));
    let mut web = host.sandbox("web");
    before.add(&web);
    host.sh("ip netns del web");
    for netns in ["/run/netns/web", ""] {
        web.netns = netns.into();
        after.call(1, &web, "DEL", None).success("DEL");
        assert_eq!(host.sh("find /run/cni -name '*.json'"), "");
    }
    host.sh("mkdir -p /run/cni/tuning; echo damaged > /run/cni/tuning/web_eth0.json");
    after.call(1, &web, "DEL", None).success("DEL");
}

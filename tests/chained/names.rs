//! The name under which groundwork is called says what it is to do.

use serde_json::json;

use crate::{
    chain::{send, under_name},
    network::{Kernel, text},
    support::Host,
};

#[test]
fn a_name_that_is_not_served_is_refused() {
    let host = Host::new();
    let web = host.sandbox("web");
    for name in ["flannel", "bond", "my-plugin"] {
        let plugin = under_name(&host, name);
        let ipam = json!({ "type": "host-local", "subnet": "10.88.0.0/24" });
        let config = json!({ "cniVersion": "1.0.0", "name": "net", "type": name, "master": "lo", "ipam": ipam });
        let refused = send(&host, &plugin, &web, "ADD", &config).error();
        assert_eq!(refused["code"], 2);
        let says = format!("`type` is \"{name}\"");
        assert!(text(&refused, "msg").contains(&says) && text(&refused, "msg").contains("tuning"), "{refused}");
        assert_eq!((web.links(), host.links()), (vec!["lo".to_owned()], vec!["lo".to_owned()]));
        send(&host, &plugin, &web, "DEL", &config).success("DEL");
    }
    let own = under_name(&host, "groundwork-2");
    let config = json!({ "cniVersion": "1.0.0", "name": "net", "type": "groundwork-2", "bridge": "br0" });
    send(&host, &own, &web, "ADD", &config).success("ADD");
}

/// A runtime finds a plugin by its `type`; another program may leave that out, or have a name of its own for it.
#[test]
fn the_name_tells_where_the_type_does_not() {
    let host = Host::new();
    let web = host.sandbox("web");
    let tuning = under_name(&host, "tuning");
    let sandbox = json!({ "name": "eth0", "sandbox": "/run/netns/web" });
    web.sh("ip link add eth0 type bridge");
    for kind in [json!(null), json!(""), json!("iplink")] {
        let config = json!({
            "cniVersion": "1.0.0", "name": "net", "type": kind, "mtu": 1300,
            "prevResult": { "cniVersion": "1.0.0", "interfaces": [sandbox.clone()] },
        });
        send(&host, &tuning, &web, "ADD", &config).success("ADD");
        assert_eq!(web.link("eth0")["mtu"], 1300, "{kind}");
        send(&host, &tuning, &web, "DEL", &config).success("DEL");
        assert_eq!(web.link("eth0")["mtu"], 1500, "{kind}");
    }
    let loopback = under_name(&host, "loopback");
    let result = send(&host, &loopback, &web, "ADD", &json!({ "cniVersion": "1.0.0", "name": "lo" })).json("ADD");
    assert_eq!(result["interfaces"][0]["name"], "lo");
}

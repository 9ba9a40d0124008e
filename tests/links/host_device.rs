//! A link of the host that becomes the container's, and comes back. Where there is a device of a bus, the virtual
//! machines try those.

use serde_json::{Value, json};

use crate::{
    network::{UPLINK, alias, complaint, forget_the_end, network},
    reference::alike,
    support::Host,
};

fn device(keys: Value) -> Value {
    let mut config = network("host-device", json!({ "device": "uplink" }));
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

#[test]
fn as_the_reference_does() {
    for keys in [json!({}), json!({ "device": "", "hwaddr": "02:00:00:00:00:0a" }), json!({ "ipam": {} })] {
        alike(&device(keys), UPLINK);
    }
}

#[test]
fn it_comes_back_as_it_was() {
    let host = Host::new();
    host.sh(UPLINK);
    host.sh("ip link set uplink mtu 1400 alias 'to the world'");
    let before = host.snapshot();
    let web = host.sandbox("web");
    let inside = web.snapshot();
    for version in ["1.0.0", "1.1.0"] {
        let config = device(json!({ "cniVersion": version }));
        let result = web.add(&config);
        assert_eq!(result["interfaces"][0]["mac"], "02:00:00:00:00:0a");
        assert_eq!(result["interfaces"][0]["mtu"], if version == "1.1.0" { json!(1400) } else { Value::Null });
        assert!(!host.sh("ip -br link").contains("uplink"));
        assert_eq!(alias(&web, "eth0"), "uplink");
        web.ping("192.0.2.1");
        web.ping("fd99::1");
        web.check(&config, &result);
        let error = web.verb("ADD", &config).error();
        assert!(error["msg"].as_str().unwrap().contains("already has eth0"), "{error}");
        web.sh("ip link set eth0 down");
        assert!(complaint(&web, &config, &result).contains("link eth0 in the container: expected up, found down"));
        web.del(&config);
        assert!(host.sh("ip link show uplink").contains("alias to the world"));
        assert!(host.sh("ip -br link show uplink").contains("UP"), "it was up");
        web.del(&config);
    }
    let left = before.difference(&host.snapshot());
    assert!(left.lines().all(|line| line.starts_with("+ file ")), "{left}");
    let left = inside.difference(&web.snapshot());
    assert!(left.lines().all(|line| line.starts_with("+ file ")), "{left}");
}

#[test]
fn what_cannot_be_is_said_before_anything_is_touched() {
    let host = Host::new();
    host.sh(UPLINK);
    let (web, db) = (host.sandbox("web"), host.sandbox("db"));
    let refused = |config: &Value, says: &str| {
        let error = db.verb("ADD", config).error();
        assert!(error["msg"].as_str().unwrap().contains(says), "{error}");
        assert_eq!(error["code"], 7, "{error}");
    };
    refused(&device(json!({ "device": "nowhere" })), "the host has no such link");
    refused(&device(json!({ "device": "", "pciBusID": "0000:00:1f.6" })), "the host has no such link");
    refused(&device(json!({ "device": "" })), "`device` is missing");
    refused(&device(json!({ "device": "", "kernelpath": "/sys/devices/../class" })), "`kernelpath` is");
    let config = device(json!({}));
    let result = web.add(&config);
    refused(&config, "the host has no such link");
    web.check(&config, &result);
    web.del(&config);
    db.sh("ip link add eth0 type veth peer name other");
    refused(&config, "the container has a link eth0 already");
    host.sh("ip link show uplink");
    db.del(&config);
    db.sh("ip link show eth0");
}

#[test]
fn a_failed_and_a_killed_add_give_it_back() {
    let host = Host::new();
    host.sh(UPLINK);
    let web = host.sandbox("web");
    let mut config = device(json!({}));
    config["ipam"]["routes"] = json!([{ "dst": "198.51.100.0/24", "gw": "203.0.113.1" }]);
    web.verb("ADD", &config).error();
    let is_back = || host.try_sh("ip -br link show uplink").stdout.contains("UP");
    assert!(is_back());

    let config = device(json!({ "cniVersion": "1.1.0" }));
    for state in ["true", "ip link set eth0 down; ip link set eth0 name uplink alias ''", "ip link set eth0 alias ''"] {
        for mend in ["DEL", "ADD", "GC"] {
            web.add(&config);
            assert!(!is_back());
            web.sh(state);
            forget_the_end(&host);
            match mend {
                "ADD" => drop(web.add(&config)),
                "GC" => drop(host.gc(&config, &[]).success("GC")),
                _ => {}
            }
            web.del(&config);
            assert!(is_back(), "{mend} after {state}");
        }
    }
}

/// A container that could rename its link did.
#[test]
fn it_is_found_under_another_name() {
    let host = Host::new();
    host.sh(UPLINK);
    let web = host.sandbox("web");
    let config = device(json!({}));
    web.add(&config);
    web.sh("ip link set eth0 down; ip link set eth0 name renamed address 02:00:00:00:00:99");
    web.del(&config);
    assert!(host.sh("ip link show uplink").contains("02:00:00:00:00:99"));
}

/// Meanwhile the host got another link of its name: nothing is done by halves.
#[test]
fn its_name_on_the_host_is_taken() {
    let host = Host::new();
    host.sh(UPLINK);
    let web = host.sandbox("web");
    let config = device(json!({}));
    let result = web.add(&config);
    host.sh("ip link add uplink type bridge");
    for _ in 0..2 {
        let error = web.verb("DEL", &config).error();
        assert!(error["msg"].as_str().unwrap().contains("the host has another link of that name"), "{error}");
        web.check(&config, &result);
    }
    host.sh("ip link del uplink");
    web.del(&config);
    assert!(host.sh("ip -br link show uplink").contains("UP"));
}

//! The keys of the bridge, each with what it changes in the kernel.

use serde_json::json;

use crate::{
    network::{Kernel, dual, host_link_of, single, with},
    support::Host,
};

#[test]
fn gateway_without_a_default_route() {
    let host = Host::new();
    let web = host.sandbox("web");
    let result = web.add(&with(&single(), json!({ "isDefaultGateway": null, "isGateway": true, "ipMasq": null })));
    assert_eq!(result["ips"][0]["gateway"], "10.88.0.1");
    assert_eq!(result["routes"], json!(null));
    assert_eq!(host.addresses("br0"), ["10.88.0.1/24"]);
    assert_eq!(host.sysctl("ipv4/ip_forward"), "1");
    assert_eq!(web.routes(), ["10.88.0.0/24 dev eth0"]);
    assert_eq!(host.sh("nft list ruleset"), "", "nobody asked for masquerade");
}

#[test]
fn no_gateway() {
    let host = Host::new();
    let (web, client) = (host.sandbox("web"), host.sandbox("client"));
    let config = with(&single(), json!({ "isDefaultGateway": null, "ipMasq": null }));
    let result = web.add(&config);
    client.add(&config);
    assert!(host.addresses("br0").is_empty());
    assert_eq!(host.sysctl("ipv4/ip_forward"), "0");
    assert_eq!(result["routes"], json!(null));
    assert_eq!(web.routes(), ["10.88.0.0/24 dev eth0"]);
    web.ping("10.88.0.3");
    web.check(&config, &result);
}

#[test]
fn the_default_bridge_is_cni0() {
    let host = Host::new();
    let web = host.sandbox("web");
    let result = web.add(&with(&single(), json!({ "bridge": null })));
    assert_eq!(result["interfaces"][0]["name"], "cni0");
    assert_eq!(host.addresses("cni0"), ["10.88.0.1/24"]);
}

#[test]
fn an_address_that_contradicts_is_replaced_by_force_only() {
    let host = Host::new();
    let web = host.sandbox("web");
    host.sh("ip link add br0 type bridge; ip address add 10.99.0.1/24 dev br0; ip address add fd00:99::1/64 dev br0");
    let before = host.snapshot();
    let refused = web.verb("ADD", &dual()).error();
    assert_eq!((&refused["code"], refused["msg"].as_str().unwrap().contains("10.99.0.1/24")), (&json!(7), true));
    assert!(refused["msg"].as_str().unwrap().contains("forceAddress"), "{refused}");
    let after = host.snapshot();
    assert_eq!(before.difference(&after).lines().filter(|line| !line.contains(" file ")).collect::<Vec<_>>(), [""; 0]);

    let forced = with(&dual(), json!({ "forceAddress": true }));
    let result = web.add(&forced);
    // An IPv6 network that does not overlap may stay beside ours.
    assert_eq!(host.addresses("br0"), ["10.88.0.1/24", "fd00:88::1/64", "fd00:99::1/64"]);
    web.ping("10.88.0.1");
    web.check(&forced, &result);
}

#[test]
fn a_bridge_of_somebody_else_is_used_as_it_is() {
    let host = Host::new();
    let web = host.sandbox("web");
    host.sh("ip link add br0 address 02:00:00:00:00:99 type bridge; ip link set br0 mtu 1450
             ip address add 10.88.0.1/24 dev br0");
    let result = web.add(&single());
    let bridge = host.link("br0");
    assert_eq!((&bridge["address"], &bridge["mtu"]), (&json!("02:00:00:00:00:99"), &json!(1450)));
    assert_eq!(result["interfaces"][0]["mac"], "02:00:00:00:00:99");
    // Its operstate follows its ports' carriers, at which the kernel looks a moment later.
    assert!(bridge["flags"].as_array().unwrap().contains(&json!("UP")), "it was down: {bridge}");
    assert_eq!(host.addresses("br0"), ["10.88.0.1/24"]);
    web.ping("10.88.0.1");
}

#[test]
fn the_bridge_keeps_its_hardware_address() {
    let host = Host::new();
    let first = host.sandbox("first");
    first.add(&single());
    let mac = host.link("br0")["address"].clone();
    // A bridge without one of its own takes the least of its ports.
    for number in 0..3 {
        let config = with(&single(), json!({ "runtimeConfig": { "mac": format!("02:00:00:00:00:0{number}") } }));
        host.sandbox(&format!("web{number}")).add(&config);
    }
    first.del(&single());
    assert_eq!(host.link("br0")["address"], mac);
}

#[test]
fn mtu() {
    let host = Host::new();
    let web = host.sandbox("web");
    let result = web.add(&with(&dual(), json!({ "mtu": 1400 })));
    for link in [host.link("br0"), host.link(&host_link_of(&result)), web.link("eth0")] {
        assert_eq!(link["mtu"], 1400, "{link}");
    }
    web.sh("ping -n -c 1 -W 2 -M do -s 1372 10.88.0.1");
    assert!(!web.try_sh("ping -n -c 1 -W 1 -M do -s 1373 10.88.0.1").status.success());
    let plain = host.sandbox("plain").add(&with(&dual(), json!({ "mtu": 0 })));
    assert_eq!(host.link(&host_link_of(&plain))["mtu"], 1500, "0 is the kernel's choice");
}

#[test]
fn hairpin() {
    let host = Host::new();
    for (name, config, on) in
        [("web", with(&single(), json!({ "hairpinMode": true })), true), ("plain", single(), false)]
    {
        let result = host.sandbox(name).add(&config);
        assert_eq!(host.link(&host_link_of(&result))["linkinfo"]["info_slave_data"]["hairpin"], on, "{name}");
    }
}

#[test]
fn promiscuous_mode() {
    let host = Host::new();
    let config = with(&single(), json!({ "promiscMode": true }));
    let flags = |host: &Host| host.link("br0")["flags"].to_string();
    host.sandbox("plain").add(&single());
    assert!(!flags(&host).contains("PROMISC"), "{}", flags(&host));
    let web = host.sandbox("web");
    let result = web.add(&config);
    assert!(flags(&host).contains("PROMISC"), "{}", flags(&host));
    web.check(&config, &result);
}

#[test]
fn duplicate_address_detection() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = with(&dual(), json!({ "enabledad": true }));
    let result = web.add(&config);
    for (setting, value) in [("accept_dad", "1"), ("enhanced_dad", "1"), ("disable_ipv6", "0")] {
        assert_eq!(web.sysctl(&format!("ipv6/conf/eth0/{setting}")), value, "{setting}");
    }
    assert_eq!(web.sh("ip address show dev eth0 scope global tentative"), "", "ADD ends when they can be used");
    web.ping("fd00:88::1");
    web.check(&config, &result);

    // What is detected: a neighbour has the address already.
    let squatter = host.sandbox("squatter");
    squatter.add(&with(&single(), json!({ "isDefaultGateway": null, "ipam": null, "ipMasq": null })));
    squatter.sh("ip address add fd00:88::66/64 dev eth0 nodad");
    let before = host.snapshot();
    let late = host.sandbox("late");
    let refused = late.verb("ADD", &with(&config, json!({ "runtimeConfig": { "ips": ["fd00:88::66"] } }))).error();
    assert_eq!(refused["code"], 103, "{refused}");
    let msg = refused["msg"].as_str().unwrap();
    assert!(msg.contains("fd00:88::66/64") && msg.contains("another machine"), "{msg}");
    assert_eq!(late.links(), ["lo"]);
    host.sh("ip netns del late; echo 10.88.0.2 > /run/groundwork/net/leases/last_reserved_ip.0");
    before.assert_same(&host.snapshot());
}

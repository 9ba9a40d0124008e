//! Any plan and then its undoing: nothing, on a real kernel.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    everything::{Kind, Scene, assert_same},
    network::with,
    random::{Random, duration, seed},
    support::{Host, with_prev},
};

/// Networks of every kind that this kernel has, and none of what else can be asked for.
fn networks() -> Vec<Value> {
    let dual = json!({ "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]] });
    let fixed = json!({ "type": "static", "addresses": [{ "address": "10.88.0.77/24", "gateway": "10.88.0.1" }] });
    let single = json!({ "type": "host-local", "subnet": "10.88.0.0/24", "routes": [{ "dst": "192.0.2.0/24" }] });
    let dual = with(&dual, json!({ "type": "host-local" }));
    vec![
        json!({ "bridge": "br0", "isDefaultGateway": true, "ipMasq": true, "ipam": dual }),
        json!({ "bridge": "br0", "isGateway": true, "ipam": single }),
        json!({ "bridge": "br0", "ipam": fixed }),
        json!({ "bridge": "br0" }),
        json!({ "link": "ptp", "ipMasq": true, "ipam": dual }),
        json!({ "link": "ptp", "ipam": single }),
        json!({ "link": "macvlan", "master": "up0", "ipam": fixed }),
        json!({ "link": "macvlan", "master": "up0", "mode": "private", "ipam": dual }),
    ]
}

/// What else can be asked for, each by itself. Some do not go with some networks, or with others of these.
fn extras() -> Vec<Value> {
    let ports = json!([
        { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
        { "hostPort": 8080, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1" },
    ]);
    vec![
        json!({ "macspoofchk": true }),
        json!({ "hairpinMode": true }),
        json!({ "portIsolation": true }),
        json!({ "mtu": 1300 }),
        json!({ "mac": "02:00:00:00:00:42" }),
        json!({ "promisc": true, "allmulti": true, "txQLen": 77 }),
        json!({ "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" } }),
        json!({ "ingressRate": 1_000_000, "ingressBurst": 100_000 }),
        json!({ "egressRate": 1_000_000, "egressBurst": 100_000 }),
        json!({ "sbr": true }),
        json!({ "ingressPolicy": "same-bridge" }),
        json!({ "ingressPolicy": "isolated" }),
        json!({ "ingressPolicy": "open" }),
        json!({ "runtimeConfig": { "portMappings": ports } }),
        json!({ "dns": { "nameservers": ["192.0.2.53"] } }),
        json!({ "disableContainerInterface": true }),
    ]
}

fn any_configuration(random: &mut Random) -> Value {
    let (networks, extras) = (networks(), extras());
    let base = json!({ "cniVersion": "1.1.0", "name": "net", "type": "groundwork" });
    let mut config = with(&base, networks[random.below(networks.len())].clone());
    for _ in 0..random.below(6) {
        config = with(&config, extras[random.below(extras.len())].clone());
    }
    config
}

/// What stays of a network when its containers are gone is there after the first time. The second time is to leave
/// nothing, or what is refused is to leave nothing at once.
#[test]
fn whatever_is_planned_is_undone() {
    let seed = seed();
    let (mut random, host) = (Random(seed), Host::new());
    host.sh("ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up");
    let plain = Scene::new(&host, Kind::Plain);
    let (end, mut done, mut refused) = (Instant::now() + duration(10), 0, 0);
    while Instant::now() < end || done < 5 {
        let config = any_configuration(&mut random);
        let what = format!("seed {seed}: {config}");
        let scene = Scene { host: &host, kind: Kind::Native, web: host.named("web"), config: config.clone() };
        let mut settled = plain.held();
        let output = scene.web.verb("ADD", &config);
        if !output.status.success() {
            assert!(output.error()["msg"].as_str().unwrap().len() > 10, "{what}");
            assert_same(&settled, &plain.held(), &what);
            refused += 1;
            continue;
        }
        scene.web.del(&config);
        scene.gc();
        settled = plain.held();
        assert!(!settled.contains("net/web/") && !settled.contains("web@eth0"), "{what}\n{settled}");
        let result = scene.web.add(&config);
        scene.web.verb("CHECK", &with_prev(&config, &result)).success(&what);
        scene.web.del(&config);
        scene.gc();
        assert_same(&settled, &plain.held(), &what);
        done += 1;
    }
    println!("{done} configurations done and undone, {refused} refused");
    assert!(refused < 10 * done, "hardly any configuration was good");
}

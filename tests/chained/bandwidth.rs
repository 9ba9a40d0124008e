//! Limits on bandwidth, in the kernel's words and by a clock.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    chain::{By, Chain},
    network::{Kernel, host_link_of, single, text, with},
    support::{Host, Sandbox},
};

/// 8 Mbit/s in both directions.
fn limits() -> Value {
    json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000 })
}

fn plugin() -> Value {
    with(&limits(), json!({ "type": "bandwidth" }))
}

/// The queueing disciplines of a link, in the words of tc.
fn traffic_control(host: &Host, link: &str) -> String {
    host.sh(&format!("tc qdisc show dev {link}"))
}

/// How long 2 MB take from one place to another.
fn transfer(from: impl FnOnce() -> TcpStream + Send, listener: TcpListener) -> Duration {
    const SIZE: usize = 2_000_000;
    thread::scope(|scope| {
        let received = scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut bytes = vec![0; SIZE];
            stream.read_exact(&mut bytes).unwrap();
        });
        let start = Instant::now();
        let mut stream = from();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&vec![7; SIZE]).unwrap();
        received.join().unwrap();
        start.elapsed()
    })
}

/// Seconds that a transfer takes to the container, and from it.
fn both_ways(host: &Host, web: &Sandbox<'_>, address: &str) -> [f64; 2] {
    let inside = web.inside(|| TcpListener::bind((address, 5000)).unwrap());
    let to = transfer(|| host.inside(|| TcpStream::connect((address, 5000)).unwrap()), inside);
    let outside = host.inside(|| TcpListener::bind(("10.88.0.1", 5001)).unwrap());
    let from = transfer(|| web.inside(|| TcpStream::connect(("10.88.0.1", 5001)).unwrap()), outside);
    [to.as_secs_f64(), from.as_secs_f64()]
}

#[test]
fn traffic_is_held_to_the_limits() {
    let host = Host::new();
    let (web, free) = (host.sandbox("web"), host.sandbox("free"));
    web.add(&with(&single(), limits()));
    free.add(&single());
    for seconds in both_ways(&host, &web, "10.88.0.2") {
        // 2 MB less the burst of 0.1 MB at 1 MB/s take 1.9 s.
        assert!((1.5..10.0).contains(&seconds), "{seconds} s at 8 Mbit/s");
    }
    let unlimited = both_ways(&host, &free, "10.88.0.3");
    assert!(unlimited.iter().all(|seconds| *seconds < 1.5), "{unlimited:?} s without a limit");
}

#[test]
fn in_a_chain_as_the_reference_does() {
    let mut found = Vec::new();
    for by in [By::Us, By::Reference] {
        let host = Host::new();
        let chain = Chain::after_bridge(&host, vec![(by, plugin())]);
        let web = host.sandbox("web");
        let before = host.links();
        let result = chain.add(&web);
        let (end, ifb) = (host_link_of(&result), text(&result["interfaces"][3], "name"));
        assert_eq!(result["interfaces"][3]["mac"], host.link(&ifb)["address"]);
        assert_eq!(result["interfaces"].as_array().unwrap().len(), 4);
        assert!(host.link(&ifb)["linkinfo"]["info_kind"] == "ifb");
        found.push((ifb.clone(), traffic_control(&host, &end), traffic_control(&host, &ifb)));
        web.ping("10.88.0.1");
        chain.check(&web, &result);
        chain.del(&web, Some(&result));
        assert_eq!(
            host.links(),
            [before, vec!["br0".into()]]
                .concat()
                .into_iter()
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
    }
    assert!(
        found[0].1.contains("tbf 1: root") && found[0].1.contains("rate 8Mbit burst 100000b lat 25ms"),
        "{}",
        found[0].1
    );
    assert_eq!(found[0], found[1], "the reference plugin does the same");
}

/// Each takes away what the other made.
#[test]
fn a_node_is_switched_while_containers_run() {
    let host = Host::new();
    let before = host.sandbox("web");
    for (first, second) in [(By::Us, By::Reference), (By::Reference, By::Us)] {
        let (made, taken) =
            (Chain::after_bridge(&host, vec![(first, plugin())]), Chain::after_bridge(&host, vec![(second, plugin())]));
        let result = made.add(&before);
        taken.del(&before, Some(&result));
        made.del(&before, Some(&result));
        assert_eq!(host.links(), ["br0", "lo"]);
    }
}

/// By runtimeConfig, as containerd's CRI writes it, where the configuration has none of its own.
#[test]
fn a_runtime_asks() {
    let host = Host::new();
    let asked = json!({ "IngressRate": 1_000_000, "IngressBurst": 4_294_967_295u64, "EgressRate": 2_000_000, "EgressBurst": 4_294_967_295u64 });
    let capable =
        json!({ "type": "bandwidth", "capabilities": { "bandwidth": true }, "runtimeConfig": { "bandwidth": asked } });
    let chain = Chain::after_bridge(&host, vec![(By::Us, capable.clone())]);
    let web = host.sandbox("web");
    let result = chain.add(&web);
    let (end, ifb) = (host_link_of(&result), text(&result["interfaces"][3], "name"));
    assert!(
        traffic_control(&host, &end).contains("tbf 1: root refcnt")
            && traffic_control(&host, &end).contains("rate 1Mbit")
    );
    assert!(traffic_control(&host, &ifb).contains("rate 2Mbit"));
    chain.check(&web, &result);
    // The runtime asks at ADD only: DEL and GC know by the record.
    let silent = Chain::after_bridge(&host, vec![(By::Us, json!({ "type": "bandwidth" }))]);
    silent.call(1, &web, "DEL", None).success("DEL");
    assert!(!host.links().contains(&ifb));
    assert!(
        !traffic_control(&host, &end).contains("tbf") && !traffic_control(&host, &end).contains("ingress"),
        "{}",
        traffic_control(&host, &end)
    );
    chain.call(1, &web, "ADD", Some(&result)).success("ADD");
    let gc = with(&silent.config(1), json!({ "cniVersion": "1.1.0" }));
    host.gc(&gc, &[("web", "eth0")]).success("GC");
    assert!(host.links().contains(&ifb));
    host.gc(&gc, &[]).success("GC");
    assert!(!host.links().contains(&ifb));

    let both = Chain::after_bridge(
        &host,
        vec![(By::Us, with(&capable, json!({ "ingressRate": 3_000_000, "ingressBurst": 80_000 })))],
    );
    let other = host.sandbox("other");
    let result = both.add(&other);
    assert!(traffic_control(&host, &host_link_of(&result)).contains("rate 3Mbit"), "the configuration's own count");
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 3, "and theirs alone");

    // Nothing is asked for: the result passes through, whatever is in it.
    let result = with(&result, json!({ "dns": { "nameservers": ["10.0.0.1"] } }));
    assert_eq!(silent.call(1, &other, "ADD", Some(&result)).json("ADD"), result);
}

#[test]
fn check_names_what_differs() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = with(&single(), limits());
    let result = web.add(&config);
    web.check(&config, &result);
    let (end, ifb) = (host_link_of(&result), text(&result["interfaces"][3], "name"));
    for (change, what) in [
        (
            format!("tc qdisc change dev {end} handle 1: root tbf rate 4mbit burst 100000 limit 125000"),
            format!("limit on what link {end} sends: expected tbf rate 1000000bps"),
        ),
        (
            format!("tc qdisc del dev {ifb} root"),
            format!(
                "limit on what link {ifb} sends: expected tbf rate 1000000bps burst 100000b limit 125000b, found none"
            ),
        ),
        (
            format!("tc filter del dev {end} ingress"),
            format!("redirection of what link {end} receives: expected to {ifb}, found missing"),
        ),
        (format!("ip link del {ifb}"), format!("redirection of what link {end} receives")),
    ] {
        host.sh(&change);
        let refused = web.verb("CHECK", &with(&config, json!({ "prevResult": result }))).error();
        assert!(text(&refused, "msg").contains(&what), "{change}: {refused}");
    }
    web.del(&config);
    assert_eq!(host.links(), ["br0", "lo"]);
}

/// A failed ADD, and one that was killed, leave nothing.
#[test]
fn nothing_is_left() {
    let host = Host::new();
    let web = host.sandbox("web");
    let chain = Chain::after_bridge(&host, vec![(By::Us, plugin())]);
    let bridge = chain.call(0, &web, "ADD", None).json("ADD");
    let end = host_link_of(&bridge);
    host.sh("mkdir -pm 700 /run/groundwork/net/bandwidth");
    for theirs in ["ingress", "root handle 1: tbf rate 1mbit burst 9000 limit 9000", "root handle 7: pfifo", "clsact"] {
        host.sh(&format!("tc qdisc add dev {end} {theirs}"));
        let before = (host.snapshot(), traffic_control(&host, &end));
        let refused = chain.call(1, &web, "ADD", Some(&bridge)).error();
        let says = format!("link {end} has the queueing discipline ");
        assert!(refused["code"] == 7 && text(&refused, "msg").contains(&says), "{refused}");
        before.0.assert_same(&host.snapshot());
        assert_eq!(before.1, traffic_control(&host, &end));
        host.sh(&format!("tc qdisc del dev {end} {}", theirs.split(' ').next().unwrap()));
    }
    // What stands in the way of one direction is no matter for the other.
    host.sh(&format!("tc qdisc add dev {end} clsact"));
    let one = Chain::after_bridge(&host, vec![(By::Us, with(&plugin(), json!({ "egressRate": 0, "egressBurst": 0 })))]);
    one.call(1, &web, "ADD", Some(&bridge)).success("ADD");
    one.call(1, &web, "DEL", None).success("DEL");
    assert!(traffic_control(&host, &end).contains("clsact") && !traffic_control(&host, &end).contains("tbf"));

    let none = Chain { host: &host, plugins: vec![(By::Us, plugin())] };
    let refused = none.call(0, &web, "ADD", None).error();
    assert!(text(&refused, "msg").contains("put it later"), "{refused}");
    let other = host.sandbox("other");
    other.sh("ip link add eth0 type bridge");
    let refused = none.call(0, &other, "ADD", Some(&bridge)).error();
    assert!(text(&refused, "msg").contains("eth0 is no end of a veth pair"), "{refused}");
}

/// Two interfaces of one container have an ifb each; the reference plugin fails there.
#[test]
fn two_interfaces_of_one_container() {
    let host = Host::new();
    let config = with(&single(), limits());
    let mut web = host.sandbox("web");
    let first = web.add(&config);
    web.ifname = "eth1".into();
    let second = web.add(&config);
    let ifbs = [&first, &second].map(|result| text(&result["interfaces"][3], "name"));
    assert_ne!(ifbs[0], ifbs[1]);
    web.del(&config);
    assert!(host.links().contains(&ifbs[0]) && !host.links().contains(&ifbs[1]));
    web.del(&config);
    assert!(host.links().contains(&ifbs[0]), "a repeated DEL is none of the other's");
    web.ifname = "eth0".into();
    web.del(&config);
    assert_eq!(host.links(), ["br0", "lo"]);
}

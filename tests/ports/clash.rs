//! One port of the host, and more than one who asks for it.

use std::thread;

use serde_json::json;

use crate::{
    net::tcp,
    node::{address, at, elements, mapping, network, publishing, world},
    support::Host,
};

#[test]
fn the_second_is_told_of_the_first_and_leaves_nothing() {
    let host = Host::new();
    let (one, two) = (host.sandbox("one"), host.sandbox("two"));
    let config = publishing(&network("a"), json!([mapping(8080, 80, "tcp")]));
    one.add(&config);
    let before = host.snapshot();
    let error = two.verb("ADD", &config).error();
    assert_eq!(error["code"], 107, "{error}");
    let said = "host port 8080/tcp of IPv4 belongs to container one (eth0 on network a)";
    assert!(error["msg"].as_str().unwrap().contains(said), "{error}");
    before.assert_same(&host.snapshot());
    // Another protocol, or one address before all, is another port.
    two.add(&publishing(
        &network("a"),
        json!([
            mapping(8080, 80, "udp"),
            { "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1" },
        ]),
    ));
    one.del(&config);
    two.del(&config);
    two.add(&config);
}

#[test]
fn of_two_at_once_exactly_one_gets_it() {
    let host = Host::new();
    let names: Vec<String> = (0..4).map(|number| format!("c{number}")).collect();
    let sandboxes: Vec<_> = names.iter().map(|name| host.sandbox(name)).collect();
    host.sandbox("first").add(&network("a"));
    for round in 0..4 {
        let config = publishing(&network("a"), json!([mapping(9000 + round, 80, "tcp")]));
        let outputs: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> =
                sandboxes.iter().map(|sandbox| scope.spawn(|| sandbox.verb("ADD", &config))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winners: Vec<_> = (0..4).filter(|index| outputs[*index].status.success()).collect();
        let [winner] = winners[..] else { panic!("{winners:?} won: {outputs:?}") };
        for output in outputs.iter().filter(|output| !output.status.success()) {
            let error = output.error();
            assert_eq!(error["code"], 107, "{error}");
            assert!(error["msg"].as_str().unwrap().contains(&format!("container c{winner} ")), "{error}");
        }
        sandboxes.iter().for_each(|sandbox| sandbox.del(&config));
    }
}

#[test]
fn a_dead_container_does_not_keep_its_port() {
    let host = Host::new();
    let world = world(&host);
    let config = publishing(&network("a"), json!([mapping(8080, 80, "tcp")]));
    host.sandbox("dead").add(&config);
    host.sh("ip netns del dead; until ! ip -br link | grep -q ^veth; do sleep 0.05; done");
    let alive = host.sandbox("alive");
    let own = at(&address(&alive.add(&config), false), 80);
    assert!(tcp(&alive, &own, &world, "192.0.2.1:8080").is_some());
    assert_eq!(host.sh("ls /run/groundwork/a/attachments"), "alive@eth0\n");
}

#[test]
fn an_element_that_somebody_typed_is_respected() {
    let host = Host::new();
    let (one, two) = (host.sandbox("one"), host.sandbox("two"));
    one.add(&publishing(&network("a"), json!([mapping(8081, 80, "tcp")])));
    host.sh("nft add element inet groundwork hp4 '{ tcp . 8080 : 10.44.0.99 . 80 }'");
    let error = two.verb("ADD", &publishing(&network("a"), json!([mapping(8080, 80, "tcp")]))).error();
    assert!(error["msg"].as_str().unwrap().contains("that nobody signed"), "{error}");
    assert!(elements(&host).contains("10.44.0.99"));
}

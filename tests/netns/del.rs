//! DEL: whatever is there goes, whatever the runtime knows, and nothing else.

use serde_json::{Value, json};

use crate::{
    network::{Kernel, addresses_of, dual, host_link_of, single, text, with},
    support::{GROUNDWORK, Host, REFERENCE_PLUGINS, Sandbox, Snapshot, run, with_prev},
};

/// A host with one container on `net` that stays, another network's, and what the host held before `web` came.
fn inhabited(host: &Host) -> Snapshot {
    host.sandbox("stays").add(&dual());
    let other = with(&dual(), json!({ "name": "net2", "bridge": "br1" }));
    let ranges = json!([[{ "subnet": "10.89.0.0/24" }]]);
    host.sandbox("elsewhere").add(&with(&other, json!({ "ipam": { "ranges": ranges } })));
    host.sh("nft add table inet own; nft add set inet own s '{ type ipv4_addr; elements = { 10.88.0.3 } ; }'");
    let first = host.sandbox("first");
    first.add(&dual());
    first.del(&dual());
    host.sh("ip netns del first");
    forget_hints(host);
    host.snapshot()
}

/// The search for a free address goes on where it was: no state that anybody holds.
fn forget_hints(host: &Host) {
    host.sh("rm -f /run/groundwork/*/leases/last_reserved_ip.*");
}

/// One way to come to a DEL: what happens between ADD and DEL.
type Story = (&'static str, fn(&Host, &mut Sandbox<'_>, &Value));

const STORIES: [Story; 9] = [
    ("as it should be", |_, web, result| web.del(&with_prev(&dual(), result))),
    ("without prevResult", |_, web, _| web.del(&dual())),
    ("with an empty prevResult", |_, web, _| web.del(&with_prev(&dual(), &json!({})))),
    ("with a broken prevResult", |_, web, _| web.del(&with_prev(&dual(), &json!({ "ips": "?" })))),
    ("without a netns", |_, web, _| {
        web.netns = String::new();
        web.del(&dual());
    }),
    ("with a netns that is gone", |host, web, result| {
        host.sh("ip netns del web");
        web.del(&with_prev(&dual(), result));
    }),
    ("with a netns that another has by now", |host, web, _| {
        host.sh("ip netns del web; ip netns add web");
        web.sh("ip link add eth0 type dummy 2>/dev/null || ip link add eth0 type veth peer name eth0p");
        web.del(&dual());
        assert!(web.links().contains(&"eth0".to_owned()), "another container's eth0 is gone");
    }),
    ("with another configuration by now", |_, web, _| {
        web.del(&json!({ "cniVersion": "1.0.0", "name": "net", "type": "groundwork", "bridge": "br7", "mtu": "?" }));
    }),
    ("when all of it is gone already", |host, web, result| {
        host.sh(&format!("ip link del {}", host_link_of(result)));
        host.sh(
            "nft delete element inet groundwork masq4_24 { 10.88.0.3 }; rm -f /run/groundwork/net/leases/10.88.0.3",
        );
        web.del(&dual());
    }),
];

#[test]
fn everything_of_the_container_goes_and_nothing_else() {
    let host = Host::new();
    let before = inhabited(&host);
    for (story, del) in STORIES {
        let mut web = host.sandbox("web");
        let result = web.add(&dual());
        assert!(!before.difference(&host.snapshot()).is_empty());
        del(&host, &mut web, &result);
        forget_hints(&host);
        let after = host.snapshot();
        assert!(before == after, "{story}:\n{}", before.difference(&after));
        web.del(&dual()); // a second time
        before.assert_same(&host.snapshot());
        host.sh("ip netns del web 2>/dev/null || true");
    }
}

#[test]
fn of_one_of_two_interfaces() {
    let host = Host::new();
    let before = inhabited(&host);
    let mut web = host.sandbox("web");
    web.add(&dual());
    let one = host.snapshot();
    web.ifname = "eth1".into();
    web.add(&with(&dual(), json!({ "isDefaultGateway": false, "isGateway": true })));
    assert_eq!(web.links(), ["eth0", "eth1", "lo"]);
    web.del(&dual());
    assert_eq!(web.links(), ["eth0", "lo"]);
    forget_hints(&host);
    let leases =
        |snapshot: &Snapshot| snapshot.difference(&one).lines().filter(|line| !line.contains("last_reserved")).count();
    assert_eq!(leases(&host.snapshot()), 0, "{}", host.snapshot().difference(&one));
    web.ifname = "eth0".into();
    web.del(&dual());
    before.assert_same(&host.snapshot());
}

#[test]
fn of_a_container_that_never_was() {
    let host = Host::new();
    let ghost = host.sandbox("ghost");
    let empty = host.snapshot();
    ghost.del(&dual());
    empty.assert_same(&host.snapshot());
    let before = inhabited(&host);
    ghost.del(&dual());
    ghost.del(&with(&dual(), json!({ "name": "net3" })));
    before.assert_same(&host.snapshot());
}

#[test]
fn when_the_records_are_gone() {
    let host = Host::new();
    let web = host.sandbox("web");
    web.add(&dual());
    host.sh("rm -r /run/groundwork");
    web.del(&dual());
    assert_eq!(host.links(), ["br0", "lo"]);
    assert!(host.snapshot().mentions("element").is_empty(), "{:?}", host.snapshot().mentions("element"));
    // The next ADD finds everything free.
    assert_eq!(host.sandbox("next").add(&dual())["ips"][0]["address"], "10.88.0.2/24");
}

#[test]
fn when_its_record_is_garbage() {
    let host = Host::new();
    let before = inhabited(&host);
    for garbage in ["", "{", "null", "{\"format\":1}", "\\0\\0\\0\\0", "{\"format\":\"x\",\"network\":[]}"] {
        let web = host.sandbox("web");
        web.add(&dual());
        host.sh(&format!("printf '{garbage}' > /run/groundwork/net/attachments/web@eth0"));
        web.del(&dual());
        forget_hints(&host);
        let after = host.snapshot();
        assert!(before == after, "{garbage:?}:\n{}", before.difference(&after));
        host.sh("ip netns del web");
    }
}

/// What a later version recorded and this one cannot read is left alone: it cannot be undone here.
#[test]
fn when_its_record_is_of_a_later_version() {
    let host = Host::new();
    let web = host.sandbox("web");
    web.add(&dual());
    host.sh("sed -i 's/\"format\":1/\"format\":999/; s/\"elements\":\\[/&{\"tunnel\":1},/' /run/groundwork/net/attachments/web@eth0");
    let before = host.snapshot();
    let refused = web.verb("DEL", &dual()).error();
    assert!(text(&refused, "msg").contains("999") && text(&refused, "msg").contains("newer"), "{refused}");
    before.assert_same(&host.snapshot());
}

#[test]
fn after_an_add_that_failed() {
    let host = Host::new();
    let before = inhabited(&host);
    for (name, spoil, config) in [
        ("the interface's name is taken", "ip netns exec web ip link add eth0 type veth peer name eth0p", dual()),
        (
            "a route cannot be",
            "true",
            with(&dual(), json!({ "ipam": { "routes": [{ "dst": "198.51.100.0/24", "gw": "192.0.2.99" }] } })),
        ),
        ("no such IPAM plugin", "true", with(&dual(), json!({ "ipam": { "type": "absent", "ranges": null } }))),
    ] {
        let web = host.sandbox("web");
        host.sh(spoil);
        let inside = web.snapshot();
        web.verb("ADD", &config).error();
        forget_hints(&host);
        let after = host.snapshot();
        assert!(before == after, "{name}: not undone:\n{}", before.difference(&after));
        inside.assert_same(&web.snapshot());
        web.del(&config);
        before.assert_same(&host.snapshot());
        host.sh("ip netns del web");
    }
}

/// The firewall's other users may have removed our table, or the kernel may have none.
#[test]
fn without_our_table() {
    let host = Host::new();
    let web = host.sandbox("web");
    web.add(&single());
    host.sh("nft flush ruleset");
    web.del(&single());
    assert_eq!((host.links(), host.sh("nft list ruleset")), (vec!["br0".into(), "lo".into()], String::new()));
}

/// The last address of the pool goes from a container that is gone to the next one. What the runtime then sends for the
/// dead one takes nothing from its heir.
#[test]
fn of_the_dead_whose_address_has_an_heir() {
    let small =
        |masquerade: bool| with(&single(), json!({ "ipMasq": masquerade, "ipam": { "subnet": "10.88.0.0/30" } }));
    for masquerade in [true, false] {
        let host = Host::new();
        let mut dead = host.sandbox("dead");
        dead.add(&small(true));
        host.sh("ip netns del dead; while ip link | grep -q veth; do sleep 0.02; done");
        let heir = host.sandbox("heir");
        let result = heir.add(&small(masquerade));
        assert_eq!(result["ips"][0]["address"], "10.88.0.2/30");
        let elements = |host: &Host| host.snapshot().mentions("element").len();
        assert_eq!(
            elements(&host),
            if masquerade { 2 } else { 0 },
            "of the dead one nothing may stay: {:?}",
            host.snapshot().mentions("element")
        );
        heir.check(&small(masquerade), &result);
        dead.netns = String::new();
        dead.del(&small(true));
        heir.check(&small(masquerade), &result);
        heir.ping("10.88.0.1");
        host.gc(&small(masquerade), &[("heir", "eth0")]).success("GC");
        heir.check(&small(masquerade), &result);
        heir.del(&small(masquerade));
        assert_eq!((elements(&host), host.sh("ls /run/groundwork/net/attachments")), (0, String::new()));
    }
}

/// Runtimes clean up after a container that ended by itself without their own environment.
#[test]
fn nothing_but_the_protocols_environment() {
    let host = Host::new();
    let limits =
        json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000 });
    let ports = json!({ "portMappings": [{ "hostPort": 53, "containerPort": 53, "protocol": "udp" }] });
    let native =
        with(&dual(), with(&limits, json!({ "runtimeConfig": ports, "ingressPolicy": "isolated", "txQLen": 7 })));
    let delegate = json!({ "type": "bridge", "bridge": "br9", "isGateway": true, "ipam": { "type": "host-local", "subnet": "10.89.0.0/24" } });
    let delegate = json!({ "cniVersion": "1.0.0", "name": "other", "type": "groundwork", "delegate": delegate });
    for (config, path) in [(native, None), (delegate, Some(REFERENCE_PLUGINS))] {
        let web = host.sandbox("web");
        let call = |verb: &str, config: &Value| {
            let path = path.map(|path| ("CNI_PATH".to_owned(), path.to_owned()));
            let mut command = host.command("env");
            command
                .arg("-i")
                .args(web.variables(verb).into_iter().chain(path).map(|(name, value)| format!("{name}={value}")));
            run(command.arg(GROUNDWORK), config.to_string())
        };
        let result = call("ADD", &config).json("ADD");
        web.ping(addresses_of(&result)[0].replace(".2", ".1").as_str());
        call("CHECK", &with_prev(&config, &result)).success("CHECK");
        call("DEL", &config).success("DEL");
        assert_eq!(
            (web.links(), host.links().iter().filter(|link| !link.starts_with("br")).count()),
            (vec!["lo".into()], 1)
        );
        assert!(!host.sh("nft list ruleset").contains(&addresses_of(&result)[0]));
        host.sh("ip netns del web");
    }
}

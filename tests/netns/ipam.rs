//! Where addresses, routes and name servers come from.

use serde_json::{Value, json};

use crate::{
    network::{Kernel, addresses_of, dual, single, text, with},
    support::{Host, Sandbox},
};

#[test]
fn fixed_addresses() {
    let host = Host::new();
    let web = host.sandbox("web");
    let ipam = json!({
        "type": "static", "subnet": null,
        "addresses": [{ "address": "10.88.0.7/24", "gateway": "10.88.0.254" }, { "address": "fd00:88::7/64" }],
        "routes": [{ "dst": "198.51.100.0/24" }],
        "dns": { "nameservers": ["10.88.0.53"], "domain": "example" },
    });
    let config = with(&single(), json!({ "ipam": ipam }));
    let result = web.add(&config);
    assert_eq!(
        result["ips"],
        json!([
            { "address": "10.88.0.7/24", "gateway": "10.88.0.254", "interface": 2 },
            { "address": "fd00:88::7/64", "gateway": "fd00:88::1", "interface": 2 },
        ])
    );
    assert_eq!(result["dns"], json!({ "nameservers": ["10.88.0.53"], "domain": "example" }));
    assert_eq!(host.addresses("br0"), ["10.88.0.254/24", "fd00:88::1/64"]);
    assert_eq!(web.addresses("eth0"), ["10.88.0.7/24", "fd00:88::7/64"]);
    assert_eq!(
        web.routes(),
        [
            "10.88.0.0/24 dev eth0",
            "198.51.100.0/24 via 10.88.0.254 dev eth0",
            "default via 10.88.0.254 dev eth0",
            "default via fd00:88::1 dev eth0",
            "fd00:88::/64 dev eth0",
        ]
    );
    web.ping("10.88.0.254");
    web.check(&config, &result);
    web.del(&config);
    assert_eq!(web.links(), ["lo"]);
}

#[test]
fn an_ipam_by_exec() {
    let host = Host::new();
    // The reference plugin under another name, so that it is not the one inside.
    let (config, leases) = (by_exec(&host, "leases", "/usr/lib/cni/host-local"), "/var/lib/cni/networks/net");
    let (web, client) = (in_plugins(host.sandbox("web")), in_plugins(host.sandbox("client")));
    let result = web.add(&config);
    assert_eq!(result["ips"], json!([{ "address": "10.88.0.2/24", "gateway": "10.88.0.1", "interface": 2 }]));
    assert_eq!(addresses_of(&client.add(&config)), ["10.88.0.3"]);
    let held = || host.sh(&format!("cd {leases} && ls | grep -v -e lock -e last_reserved || true"));
    assert_eq!(held(), "10.88.0.2\n10.88.0.3\n");
    web.ping("10.88.0.3");
    web.check(&config, &result);
    host.sh(&format!("rm {leases}/10.88.0.2"));
    let refused = web.verb("CHECK", &with(&config, json!({ "prevResult": result }))).error();
    assert!(text(&refused, "msg").contains("web"), "the plugin's own words: {refused}");
    web.del(&config);
    assert_eq!(held(), "10.88.0.3\n");
    // Its record knows the plugin and its configuration when DEL comes with less.
    let mut blind = client;
    blind.netns = String::new();
    blind.del(&with(&config, json!({ "ipam": null })));
    assert_eq!((held(), host.links().join(" ")), (String::new(), "br0 lo".into()));
}

#[test]
fn an_ipam_by_exec_that_fails() {
    let host = Host::new();
    let web = in_plugins(host.sandbox("web"));
    let script = "#!/bin/sh\ncat > /dev/null; echo from the plugin >&2\necho $CNI_COMMAND >> /run/calls
        [ $CNI_COMMAND = DEL ] || { echo '{\"cniVersion\":\"1.0.0\",\"code\":42,\"msg\":\"no lease\",\"details\":\"why\"}'; exit 1; }";
    host.sh(&format!(
        "mkdir -p /run/plugins; cat > /run/plugins/dhcp2 <<'END'\n{script}\nEND\nchmod +x /run/plugins/dhcp2"
    ));
    let config = with(&single(), json!({ "ipam": { "type": "dhcp2" } }));
    let before = (host.links(), host.snapshot().mentions("nft").len());
    let output = web.verb("ADD", &config);
    let expected = json!({ "cniVersion": "1.1.0", "code": 42, "msg": "no lease", "details": "why" });
    assert_eq!(output.error(), expected, "the plugin's own error document");
    assert!(output.stderr.contains("from the plugin"), "its stderr is passed through: {:?}", output.stderr);
    assert_eq!(before, (host.links(), host.snapshot().mentions("nft").len()));
    assert_eq!(host.sh("cat /run/calls"), "ADD\nDEL\n", "it may have done half of it");
    assert_eq!(host.sh("ls /run/groundwork/net/attachments"), "");
    assert_eq!(web.links(), ["lo"]);
    web.del(&config);
}

fn by_exec(host: &Host, name: &str, plugin: &str) -> Value {
    host.sh(&format!("mkdir -p /run/plugins; cp {plugin} /run/plugins/{name}"));
    with(&single(), json!({ "cniVersion": "1.0.0", "ipam": { "type": name } })) // older ones do not speak 1.1.0
}

fn in_plugins(mut sandbox: Sandbox<'_>) -> Sandbox<'_> {
    sandbox.env.push(("CNI_PATH".into(), "/run/plugins".into()));
    sandbox
}

#[test]
fn routes_with_everything() {
    let host = Host::new();
    let web = host.sandbox("web");
    let routes = json!([
        { "dst": "198.51.100.0/24" },
        { "dst": "198.51.101.0/24", "gw": "10.88.0.9", "mtu": 1300, "advmss": 1200, "priority": 7 },
        { "dst": "198.51.102.0/24", "table": 100 },
        { "dst": "198.51.103.0/24", "scope": 253 },
        { "dst": "2001:db8::/32" },
        { "dst": "0.0.0.0/0", "gw": "10.88.0.8" },
    ]);
    let config = with(&dual(), json!({ "ipam": { "routes": routes } }));
    let result = web.add(&config);
    let lines = web.sh("ip route show table all; ip -6 route show table all");
    for line in [
        "198.51.100.0/24 via 10.88.0.1 dev eth0 proto static",
        "198.51.101.0/24 via 10.88.0.9 dev eth0 proto static metric 7 mtu 1300 advmss 1200",
        "198.51.102.0/24 via 10.88.0.1 dev eth0 table 100 proto static",
        "198.51.103.0/24 dev eth0 proto static scope link",
        "2001:db8::/32 via fd00:88::1 dev eth0 proto static metric 1024",
        "default via 10.88.0.8 dev eth0 proto static",
        "default via fd00:88::1 dev eth0 proto static metric 1024",
    ] {
        assert!(lines.lines().any(|found| found.trim().starts_with(line)), "{line:?} is not in\n{lines}");
    }
    assert!(!lines.contains("default via 10.88.0.1"), "the IPAM gave a default route:\n{lines}");
    web.check(&config, &result);
}

#[test]
fn name_servers() {
    let host = Host::new();
    host.sh("printf 'nameserver 10.88.0.53\\nnameserver fd00::53\\ndomain d.example\\nsearch a.example b.example\\noptions ndots:2\\n' > /run/resolv");
    let ipam = json!({ "ipam": { "resolvConf": "/run/resolv" } });
    let result = host.sandbox("web").add(&with(&single(), ipam.clone()));
    let read = json!({
        "nameservers": ["10.88.0.53", "fd00::53"], "domain": "d.example",
        "search": ["a.example", "b.example"], "options": ["ndots:2"],
    });
    assert_eq!(result["dns"], read);
    let own = json!({ "dns": { "nameservers": ["192.0.2.53"] } });
    let result = host.sandbox("own").add(&with(&with(&single(), ipam), own.clone()));
    assert_eq!(result["dns"], own["dns"], "one field of our own replaces all of them");
    let missing = with(&single(), json!({ "ipam": { "resolvConf": "/run/none" } }));
    let late = host.sandbox("late");
    let refused = late.verb("ADD", &missing).error();
    assert!(text(&refused, "msg").contains("/run/none"), "{refused}");
    assert_eq!((refused["code"].clone(), late.links()), (json!(5), vec!["lo".to_owned()]));
    assert_eq!(host.sh("ls /run/groundwork/net/leases").matches("10.88.0.").count(), 2);
}

/// One set gives its addresses round-robin; several sets, one address each.
#[test]
fn addresses_go_round() {
    let host = Host::new();
    let config = with(&single(), json!({ "ipam": { "rangeStart": "10.88.0.5", "rangeEnd": "10.88.0.7" } }));
    let mut seen = Vec::new();
    for number in 0..5 {
        let web = host.sandbox(&format!("web{number}"));
        seen.extend(addresses_of(&web.add(&config)));
        web.del(&config);
    }
    assert_eq!(seen, ["10.88.0.5", "10.88.0.6", "10.88.0.7", "10.88.0.5", "10.88.0.6"]);
}

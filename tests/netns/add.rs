//! What an ADD answers and what it leaves in the kernel.

use serde_json::{Value, json};

use crate::{
    network::{Kernel, dual, host_link_of, single, text, with},
    support::{Host, LIMIT, eventually, with_prev},
};

#[test]
fn single_stack() {
    let host = Host::new();
    let web = host.sandbox("web");
    let result = web.add(&single());

    let (bridge, veth, eth0) = (host.link("br0"), host.link(&host_link_of(&result)), web.link("eth0"));
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                { "name": "br0", "mac": bridge["address"], "mtu": 1500 },
                { "name": veth["ifname"], "mac": veth["address"], "mtu": 1500 },
                { "name": "eth0", "mac": eth0["address"], "mtu": 1500, "sandbox": "/run/netns/web" },
            ],
            "ips": [{ "address": "10.88.0.2/24", "gateway": "10.88.0.1", "interface": 2 }],
            "routes": [{ "dst": "0.0.0.0/0", "gw": "10.88.0.1" }],
        })
    );
    assert_eq!(bridge["linkinfo"]["info_kind"], "bridge");
    assert_eq!(host.addresses("br0"), ["10.88.0.1/24"]);
    assert_eq!((&veth["master"], &veth["linkinfo"]["info_kind"]), (&json!("br0"), &json!("veth")));
    assert_eq!(eth0["linkinfo"]["info_kind"], "veth");
    assert_eq!((&eth0["link_index"], &veth["link_index"]), (&veth["ifindex"], &eth0["ifindex"]), "the ends are a pair");
    // The kernel looks at carriers a moment later.
    let links = || [host.link("br0"), host.link(&host_link_of(&result)), web.link("eth0")];
    assert!(eventually(LIMIT, || links().iter().all(|link| link["operstate"] == "UP")), "{:?}", links());
    assert_eq!(web.addresses("eth0"), ["10.88.0.2/24"]);
    assert_eq!(web.routes(), ["10.88.0.0/24 dev eth0", "default via 10.88.0.1 dev eth0"]);
    assert_eq!(host.sysctl("ipv4/ip_forward"), "1");
    assert_eq!(host.sysctl("ipv6/conf/all/forwarding"), "0", "nobody asked for IPv6");
    assert_eq!(host.sysctl("ipv6/conf/br0/accept_ra"), "0");
    assert_eq!(web.sysctl("ipv4/conf/eth0/arp_notify"), "1");
    assert_eq!(web.sysctl("ipv6/conf/eth0/accept_dad"), "0");
    web.ping("10.88.0.1");
    host.sh("ping -n -c 1 -W 2 10.88.0.2");
}

#[test]
fn dual_stack() {
    let host = Host::new();
    let (web, client) = (host.sandbox("web"), host.sandbox("client"));
    web.sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1"); // as some runtimes do
    let result = web.add(&dual());
    assert_eq!(
        result["ips"],
        json!([
            { "address": "10.88.0.2/24", "gateway": "10.88.0.1", "interface": 2 },
            { "address": "fd00:88::2/64", "gateway": "fd00:88::1", "interface": 2 },
        ])
    );
    assert_eq!(
        result["routes"],
        json!([{ "dst": "0.0.0.0/0", "gw": "10.88.0.1" }, { "dst": "::/0", "gw": "fd00:88::1" }])
    );
    assert_eq!(host.addresses("br0"), ["10.88.0.1/24", "fd00:88::1/64"]);
    assert_eq!(web.addresses("eth0"), ["10.88.0.2/24", "fd00:88::2/64"]);
    assert_eq!(
        web.routes(),
        [
            "10.88.0.0/24 dev eth0",
            "default via 10.88.0.1 dev eth0",
            "default via fd00:88::1 dev eth0",
            "fd00:88::/64 dev eth0",
        ]
    );
    assert_eq!(host.sysctl("ipv6/conf/all/forwarding"), "1");
    for (setting, value) in [("disable_ipv6", "0"), ("keep_addr_on_down", "1"), ("accept_dad", "0"), ("accept_ra", "0")]
    {
        assert_eq!(web.sysctl(&format!("ipv6/conf/eth0/{setting}")), value, "{setting}");
    }
    assert_eq!(web.sh("ip address show dev eth0 scope global tentative"), "", "they can be used at once");
    web.ping("10.88.0.1");
    web.ping("fd00:88::1");
    client.add(&dual());
    for address in ["10.88.0.2", "fd00:88::2"] {
        client.ping(address);
    }
}

#[test]
fn links_only() {
    let host = Host::new();
    let config = with(&single(), json!({ "isDefaultGateway": null, "ipMasq": null, "ipam": null }));
    let (web, client) = (host.sandbox("web"), host.sandbox("client"));
    let result = web.add(&config);
    client.add(&config);
    assert_eq!((&result["ips"], &result["routes"]), (&Value::Null, &Value::Null));
    assert_eq!(result["interfaces"][2]["mac"], web.link("eth0")["address"]);
    assert!(host.addresses("br0").is_empty() && web.addresses("eth0").is_empty());
    assert_eq!(host.sysctl("ipv4/ip_forward"), "0");
    web.check(&config, &result);
    web.sh("ip address add 192.0.2.1/24 dev eth0");
    client.sh("ip address add 192.0.2.2/24 dev eth0");
    web.ping("192.0.2.2");
    web.del(&config);
    client.del(&config);
    assert_eq!(host.links(), ["br0", "lo"]);
}

/// The document of each version, in its own shape.
#[test]
fn results_of_every_version() {
    let host = Host::new();
    let extras = json!({
        "runtimeConfig": { "mac": "02:42:00:00:00:07" },
        "dns": { "nameservers": ["10.88.0.53"], "search": ["a.example"] },
        "ipam": { "routes": [{ "dst": "198.51.100.0/24", "mtu": 1300, "priority": 7 }] },
    });
    for (version, number) in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"].into_iter().zip(0..) {
        let web = host.sandbox(&format!("web{number}"));
        let config = with(&with(&dual(), extras.clone()), json!({ "cniVersion": version }));
        let result = web.add(&config);
        let [v4, v6] = [web.addresses("eth0")[0].clone(), web.addresses("eth0")[1].clone()];
        let expected = match version {
            "0.1.0" | "0.2.0" => old_shape(version, &v4, &v6),
            _ => shape(&host, &result, version, [&v4, &v6]),
        };
        assert_eq!(result, expected, "{version}");
        if version >= "0.4.0" {
            web.check(&config, &result);
        }
        web.del(&config);
    }
    let undeclared = host.sandbox("undeclared");
    let result = undeclared.add(&with(&single(), json!({ "cniVersion": null })));
    assert_eq!(result["cniVersion"], "0.1.0");
}

fn old_shape(version: &str, v4: &str, v6: &str) -> Value {
    json!({
        "cniVersion": version,
        "ip4": {
            "ip": v4, "gateway": "10.88.0.1",
            "routes": [{ "dst": "198.51.100.0/24", "gw": "10.88.0.1" }, { "dst": "0.0.0.0/0", "gw": "10.88.0.1" }],
        },
        "ip6": { "ip": v6, "gateway": "fd00:88::1", "routes": [{ "dst": "::/0", "gw": "fd00:88::1" }] },
        "dns": { "nameservers": ["10.88.0.53"], "search": ["a.example"] },
    })
}

fn shape(host: &Host, result: &Value, version: &str, [v4, v6]: [&str; 2]) -> Value {
    let veth = host.link(&host_link_of(result));
    let sandbox = text(&result["interfaces"][2], "sandbox");
    let mut ips = json!([
        { "address": v4, "gateway": "10.88.0.1", "interface": 2 },
        { "address": v6, "gateway": "fd00:88::1", "interface": 2 },
    ]);
    if version < "1.0.0" {
        ips[0]["version"] = "4".into();
        ips[1]["version"] = "6".into();
    }
    let mut interfaces = json!([
        { "name": "br0", "mac": host.link("br0")["address"] },
        { "name": veth["ifname"], "mac": veth["address"] },
        { "name": "eth0", "mac": "02:42:00:00:00:07", "sandbox": sandbox },
    ]);
    let mut first = json!({ "dst": "198.51.100.0/24", "gw": "10.88.0.1" });
    if version == "1.1.0" {
        first["mtu"] = 1300.into();
        first["priority"] = 7.into();
        interfaces.as_array_mut().unwrap().iter_mut().for_each(|one| one["mtu"] = 1500.into());
    }
    json!({
        "cniVersion": version,
        "interfaces": interfaces,
        "ips": ips,
        "routes": [first, { "dst": "0.0.0.0/0", "gw": "10.88.0.1" }, { "dst": "::/0", "gw": "fd00:88::1" }],
        "dns": { "nameservers": ["10.88.0.53"], "search": ["a.example"] },
    })
}

#[test]
fn stdout_has_the_document_and_stderr_nothing() {
    let host = Host::new();
    let web = host.sandbox("web");
    let added = web.verb("ADD", &dual());
    assert_eq!(added.stderr, "");
    assert!(added.stdout.ends_with("}\n") && added.stdout.lines().count() == 1, "{:?}", added.stdout);
    let result = added.json("ADD");
    for (verb, config) in [("CHECK", with_prev(&dual(), &result)), ("DEL", dual()), ("DEL", dual())] {
        let output = web.verb(verb, &config);
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""), "{verb}");
        assert!(output.status.success(), "{verb}");
    }
    for output in [host.gc(&dual(), &[]), host.status(&dual())] {
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
        assert!(output.status.success());
    }
}

/// As Go's JSON does, keys are matched in any letter case.
#[test]
fn keys_in_any_case() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = json!({
        "CNIVersion": "1.0.0", "NAME": "net", "Type": "groundwork", "Bridge": "br0", "ISDEFAULTGATEWAY": true,
        "IPAM": { "TYPE": "host-local", "Ranges": [[{ "Subnet": "10.88.0.0/24", "RangeStart": "10.88.0.9" }]] },
    });
    let result = web.add(&config);
    assert_eq!(result["ips"][0]["address"], "10.88.0.9/24");
    web.ping("10.88.0.1");
    web.check(&config, &result);
}

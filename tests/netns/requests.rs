//! Addresses that a runtime asks for, by each of its ways.

use serde_json::{Value, json};

use crate::{
    network::{Kernel, dual, single, text, with},
    support::{Host, Sandbox},
};

/// CNI_ARGS, changes to the configuration, and what eth0 then has.
type Case = (&'static str, Value, &'static [&'static str]);

fn each(host: &Host, config: &Value, cases: &[Case]) {
    for (number, (args, changes, expected)) in cases.iter().enumerate() {
        let web = asking(host.sandbox(&format!("web{number}")), args);
        let config = with(config, changes.clone());
        let result = web.add(&config);
        let link = web.link("eth0");
        let found = web.addresses("eth0");
        for wanted in *expected {
            let there = found.iter().any(|address| address == wanted) || link["address"] == *wanted;
            assert!(there, "{args} {changes}: {wanted} is not in {found:?}, {}", link["address"]);
        }
        assert_eq!(result["interfaces"][2]["mac"], link["address"]);
        web.check(&config, &result);
        web.del(&config);
    }
}

fn asking<'a>(mut sandbox: Sandbox<'a>, args: &str) -> Sandbox<'a> {
    sandbox.env.push(("CNI_ARGS".into(), args.into()));
    sandbox
}

#[test]
fn hardware_addresses() {
    let args = || json!({ "args": { "cni": { "mac": "02:00:00:00:00:02" } } });
    let runtime = || json!({ "runtimeConfig": { "mac": "02:00:00:00:00:03" } });
    each(
        &Host::new(),
        &single(),
        &[
            ("MAC=02:00:00:00:00:01", json!({}), &["02:00:00:00:00:01"]),
            ("", args(), &["02:00:00:00:00:02"]),
            ("", runtime(), &["02:00:00:00:00:03"]),
            ("MAC=02:00:00:00:00:01", args(), &["02:00:00:00:00:02"]),
            (
                "MAC=02:00:00:00:00:01;IgnoreUnknown=1;K8S_POD_NAME=web",
                with(&args(), runtime()),
                &["02:00:00:00:00:03"],
            ),
        ],
    );
}

#[test]
fn addresses_of_host_local() {
    let args = || json!({ "args": { "cni": { "ips": ["10.88.0.21"] } } });
    let runtime = || json!({ "runtimeConfig": { "ips": ["10.88.0.31/24", "fd00:88::31"] } });
    each(
        &Host::new(),
        &dual(),
        &[
            ("IP=10.88.0.11", json!({}), &["10.88.0.11/24"]),
            ("IP=fd00:88::11", json!({}), &["fd00:88::11/64"]),
            ("", args(), &["10.88.0.21/24"]),
            ("", runtime(), &["10.88.0.31/24", "fd00:88::31/64"]),
            ("IP=10.88.0.11", args(), &["10.88.0.21/24"]),
            ("IP=10.88.0.11", with(&args(), runtime()), &["10.88.0.31/24", "fd00:88::31/64"]),
            ("IP=fd00:88::11", args(), &["10.88.0.21/24", "fd00:88::11/64"]),
            (
                "",
                json!({ "runtimeConfig": { "ipRanges": [[{ "subnet": "10.99.0.0/24", "rangeStart": "10.99.0.40" }]] },
                        "ipam": { "ranges": null }, "forceAddress": true }),
                &["10.99.0.40/24"],
            ),
        ],
    );
}

#[test]
fn addresses_of_static() {
    let ipam = json!({ "type": "static", "addresses": [{ "address": "10.88.0.7/24" }] });
    let config = with(&single(), json!({ "ipam": { "subnet": null } }));
    let args = || json!({ "args": { "cni": { "ips": ["10.88.0.21/24"] } } });
    let runtime = || json!({ "runtimeConfig": { "ips": ["10.88.0.31/24", "fd00:88::31/64"] } });
    each(
        &Host::new(),
        &with(&config, json!({ "ipam": ipam })),
        &[
            ("IP=10.88.0.11/24", json!({}), &["10.88.0.7/24", "10.88.0.11/24"]),
            ("IP=10.88.0.11/24,fd00:88::11/64;GATEWAY=10.88.0.1", json!({}), &["10.88.0.11/24", "fd00:88::11/64"]),
            ("", args(), &["10.88.0.21/24"]),
            ("IP=10.88.0.11/24", with(&args(), runtime()), &["10.88.0.31/24", "fd00:88::31/64"]),
        ],
    );
}

#[test]
fn what_cannot_be_given() {
    let host = Host::new();
    let holder = asking(host.sandbox("holder"), "IP=10.88.0.11");
    holder.add(&single());
    let before = host.snapshot();
    let late = |args: &str, changes: Value| {
        let name = "late";
        let sandbox = asking(host.sandbox(name), args);
        let refused = sandbox.verb("ADD", &with(&single(), changes)).error();
        assert_eq!(sandbox.links(), ["lo"]);
        host.sh("ip netns del late");
        before.assert_same(&host.snapshot());
        (refused["code"].as_u64().unwrap(), text(&refused, "msg"))
    };
    let (code, msg) = late("IP=10.88.0.11", json!({}));
    assert!(code == 103 && msg.contains("10.88.0.11") && msg.contains("holder"), "{code} {msg}");
    for (args, changes, code, says) in [
        ("IP=10.89.0.11", json!({}), 4, "10.89.0.11"),
        ("IP=10.88.0.1", json!({}), 4, "gateway"),
        ("IP=ten", json!({}), 4, "IP=ten"),
        ("IP", json!({}), 4, "KEY=VALUE"),
        ("MAC=02:00", json!({}), 4, "MAC=02:00"),
        ("K8S_POD_NAME=web", json!({}), 4, "K8S_POD_NAME"),
        ("IgnoreUnknown=maybe", json!({}), 4, "maybe"),
        ("", json!({ "runtimeConfig": { "ips": ["10.88.0.300"] } }), 7, "`runtimeConfig.ips[0]`"),
        ("", json!({ "args": { "cni": { "mac": "zz" } } }), 7, "`args.cni.mac`"),
    ] {
        let (found, msg) = late(args, changes.clone());
        assert!(found == code && msg.contains(says), "{args} {changes}: {found} {msg}");
    }
}

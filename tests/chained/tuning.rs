//! Kernel settings of the container and settings of its link.

use serde_json::{Value, json};

use crate::{
    chain::{By, Chain},
    network::{Kernel, single, text, with},
    support::Host,
};

/// Everything that can be tuned.
fn everything() -> Value {
    json!({
        "type": "tuning", "mac": "02:00:00:00:00:42", "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 77,
        "sysctl": { "net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.log_martians": "1", "net.ipv4.ip_local_port_range": "2000 3000" },
    })
}

/// What of it can be seen: hardware address, MTU, queue length, modes, settings.
fn seen(sandbox: &crate::support::Sandbox<'_>) -> (Value, Value, Value, bool, bool, Vec<String>) {
    let link = sandbox.link(&sandbox.ifname);
    let flag = |name: &str| link["flags"].as_array().unwrap().iter().any(|flag| flag == name);
    let settings =
        ["core/somaxconn", &format!("ipv4/conf/{}/log_martians", sandbox.ifname)].map(|path| sandbox.sysctl(path));
    (
        link["address"].clone(),
        link["mtu"].clone(),
        link["txqlen"].clone(),
        flag("PROMISC"),
        flag("ALLMULTI"),
        settings.into(),
    )
}

#[test]
fn in_a_chain_as_the_reference_does() {
    let mut found = Vec::new();
    for by in [By::Us, By::Reference] {
        let host = Host::new();
        let chain = Chain::after_bridge(&host, vec![(by, everything())]);
        let web = host.sandbox("web");
        let result = chain.add(&web);
        assert_eq!(text(&result["interfaces"][2], "mac"), "02:00:00:00:00:42");
        let tuned = seen(&web);
        if matches!(by, By::Us) {
            chain.check(&web, &result);
        }
        chain.call(1, &web, "DEL", Some(&result)).success("DEL");
        let (mac, mtu, queue, promisc, allmulti, _) = seen(&web);
        let before = chain.call(0, &web, "DEL", None);
        before.success("DEL");
        assert_ne!(mac, "02:00:00:00:00:42");
        found.push((tuned, mtu, queue, promisc, allmulti));
    }
    let settings = vec!["500".to_owned(), "1".to_owned()];
    let tuned = (json!("02:00:00:00:00:42"), json!(1400), json!(77), true, true, settings);
    assert_eq!(found[0], (tuned, json!(1500), Value::Null, false, false));
    found.iter_mut().for_each(|found| found.0.2 = Value::Null); // Debian's knows no `txQLen` yet
    assert_eq!(found[0], found[1], "the reference plugin does the same");
}

#[test]
fn a_name_with_a_dot() {
    let host = Host::new();
    let chain = Chain::after_bridge(&host, vec![(By::Us, everything())]);
    let mut web = host.sandbox("web");
    web.ifname = "eth0.5".into();
    let result = chain.add(&web);
    assert_eq!(web.sysctl("ipv4/conf/eth0.5/log_martians"), "1");
    chain.call(1, &web, "CHECK", Some(&result)).success("CHECK");
    for name in ["net/ipv4/conf/eth0.5/arp_notify", "net.ipv4.conf.eth0/5.arp_notify"] {
        let config = json!({ "type": "tuning", "sysctl": { name: "0" } });
        let chain = Chain { host: &host, plugins: vec![(By::Us, config)] };
        web.sh("echo 1 > /proc/sys/net/ipv4/conf/eth0.5/arp_notify");
        chain.call(0, &web, "ADD", Some(&result)).success("ADD");
        assert_eq!(web.sysctl("ipv4/conf/eth0.5/arp_notify"), "0", "{name}, as sysctl(8) reads it");
    }
}

#[test]
fn in_one_configuration_with_the_network() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = with(&single(), with(&everything(), json!({ "type": "groundwork" })));
    let result = web.add(&config);
    let own = &result["interfaces"][2];
    assert_eq!((text(own, "mac"), own["mtu"].clone()), ("02:00:00:00:00:42".into(), json!(1400)));
    let (mac, mtu, queue, promisc, allmulti, settings) = seen(&web);
    assert_eq!((mac, mtu, queue, promisc, allmulti), (json!("02:00:00:00:00:42"), json!(1400), json!(77), true, true));
    assert_eq!(settings, ["500", "1"]);
    web.ping("10.88.0.1");
    web.check(&config, &result);
    web.del(&config);
    assert_eq!(web.links(), ["lo"]);
}

/// Each difference is named, and nothing else.
#[test]
fn check_names_what_differs() {
    let host = Host::new();
    let chain = Chain::after_bridge(&host, vec![(By::Us, everything())]);
    let web = host.sandbox("web");
    let result = chain.add(&web);
    for (change, back, what) in [
        (
            "sysctl -qw net.core.somaxconn=9",
            "sysctl -qw net.core.somaxconn=500",
            "setting net.core.somaxconn in the container: expected 500, found 9",
        ),
        (
            "ip link set eth0 mtu 1300",
            "ip link set eth0 mtu 1400",
            "MTU of eth0 in the container: expected 1400, found 1300",
        ),
        (
            "ip link set eth0 promisc off",
            "ip link set eth0 promisc on",
            "promiscuous mode of eth0 in the container: expected on, found off",
        ),
        (
            "ip link set eth0 allmulticast off",
            "ip link set eth0 allmulticast on",
            "all-multicast mode of eth0 in the container: expected on, found off",
        ),
        (
            "ip link set eth0 txqueuelen 5",
            "ip link set eth0 txqueuelen 77",
            "transmit queue length of eth0 in the container: expected 77, found 5",
        ),
        (
            "ip link set eth0 address 02:00:00:00:00:01",
            "ip link set eth0 address 02:00:00:00:00:42",
            "hardware address of eth0: expected 02:00:00:00:00:42, found 02:00:00:00:00:01",
        ),
    ] {
        web.sh(change);
        let refused = chain.call(1, &web, "CHECK", Some(&result)).error();
        assert_eq!(text(&refused, "msg"), format!("the attachment is not as it was left: {what}"));
        web.sh(back);
    }
    chain.check(&web, &result);
}

/// Who asks last is heard: the configuration, CNI_ARGS, runtimeConfig, args.cni.
#[test]
fn a_runtime_overrides() {
    let mac = |last: &str| format!("02:00:00:00:00:{last}");
    let runtime = json!({ "runtimeConfig": { "mac": mac("03") } });
    let args = json!({ "args": { "cni": { "mac": mac("04"), "mtu": 1300, "promisc": false, "txQLen": 5, "sysctl": { "net.core.somaxconn": "9" } } } });
    for (number, (env, changes, expected)) in [
        ("", json!({}), "01"),
        ("MAC=02:00:00:00:00:02;IgnoreUnknown=1;A=b", json!({}), "02"),
        ("MAC=02:00:00:00:00:02", runtime.clone(), "03"),
        ("MAC=02:00:00:00:00:02", with(&runtime, args), "04"),
    ]
    .into_iter()
    .enumerate()
    {
        let host = Host::new();
        let config = with(&with(&everything(), json!({ "mac": mac("01") })), changes.clone());
        let chain = Chain::after_bridge(&host, vec![(By::Us, config)]);
        let mut web = host.sandbox("web");
        let bridge = chain.call(0, &web, "ADD", None).json("ADD");
        web.env.push(("CNI_ARGS".into(), env.into()));
        let result = chain.call(1, &web, "ADD", Some(&bridge)).json("ADD");
        assert_eq!(text(&result["interfaces"][2], "mac"), mac(expected), "{number}");
        assert_eq!(web.link("eth0")["address"], mac(expected));
        let (_, mtu, queue, promisc, _, settings) = seen(&web);
        let overridden = (json!(1300), json!(5), false, vec!["9".to_owned(), "1".to_owned()]);
        let own = (json!(1400), json!(77), true, vec!["500".to_owned(), "1".to_owned()]);
        assert_eq!((mtu, queue, promisc, settings), if expected == "04" { overridden } else { own });
        chain.call(1, &web, "CHECK", Some(&result)).success("CHECK");
    }
}

/// What is refused leaves everything as it was.
#[test]
fn what_cannot_be_tuned() {
    let host = Host::new();
    let web = host.sandbox("web");
    let bridge = Chain::after_bridge(&host, Vec::new()).call(0, &web, "ADD", None).json("ADD");
    host.sh("mkdir -pm 700 /run/groundwork/net/tuning");
    let before = (seen(&web), host.snapshot());
    for (config, code, says) in [
        (json!({ "sysctl": { "kernel.hostname": "x" } }), 7, "kernel.hostname"),
        (json!({ "sysctl": { "net.ipv4.conf.no_such": "1" }, "mtu": 1300 }), 101, "no_such"),
        (json!({ "sysctl": { "net.core.somaxconn": "never" }, "mtu": 1300 }), 101, "never"),
        (
            json!({ "mtu": 1300, "txQLen": 3, "mac": "02:00:00:00:00:01", "sysctl": { "net.ipv4.conf.eth9.arp_filter": "1" } }),
            101,
            "eth9",
        ),
    ] {
        let chain = Chain { host: &host, plugins: vec![(By::Us, with(&config, json!({ "type": "tuning" })))] };
        let refused = chain.call(0, &web, "ADD", Some(&bridge)).error();
        assert!(refused["code"] == code && text(&refused, "msg").contains(says), "{config}: {refused}");
        assert_eq!(seen(&web), before.0);
        assert_eq!(host.sh("find /run -path '*groundwork*' -type f"), "");
    }
    before.1.assert_same(&host.snapshot());
    let chain = Chain { host: &host, plugins: vec![(By::Us, everything())] };
    let alone = chain.call(0, &web, "ADD", None).error();
    assert!(text(&alone, "msg").contains("put it later"), "{alone}");
    let mut other = host.sandbox("other");
    other.ifname = "eth1".into();
    let absent = chain.call(0, &other, "ADD", Some(&bridge)).error();
    assert!(text(&absent, "msg").contains("no link eth1"), "{absent}");
}

#[test]
fn an_administrator_says_what_may_be_tuned() {
    let host = Host::new();
    let chain = Chain::after_bridge(&host, vec![(By::Us, everything())]);
    let web = host.sandbox("web");
    let bridge = chain.call(0, &web, "ADD", None).json("ADD");
    host.sh("mount -t tmpfs etc /etc; mkdir -p /etc/cni/tuning");
    let list = |text: &str| host.sh(&format!("printf '{text}' > /etc/cni/tuning/allowlist.conf"));
    list("^net.core.somaxconn$\\n\\n ^net.ipv4.conf.IFNAME.[a-z_]*$ \\n");
    let refused = chain.call(1, &web, "ADD", Some(&bridge)).error();
    assert!(text(&refused, "msg").contains("\"net.ipv4.ip_local_port_range\" is not allowed"), "{refused}");
    list("^net.core.somaxconn$\\n(");
    let broken = chain.call(1, &web, "ADD", Some(&bridge)).error();
    assert!(text(&broken, "msg").contains("\"(\", which is no regular expression"), "{broken}");
    list("somaxconn\\nIFNAME\\nlocal_port");
    chain.call(1, &web, "ADD", Some(&bridge)).success("ADD");
}

/// DEL gives back what there is to give back, and never fails.
#[test]
fn del_and_gc() {
    let host = Host::new();
    let chain = Chain::after_bridge(&host, vec![(By::Us, everything())]);
    let records = || host.sh("find /run -path '*groundwork*' -type f");
    let web = host.sandbox("web");
    let bridge = chain.call(0, &web, "ADD", None).json("ADD");
    chain.call(1, &web, "ADD", Some(&bridge)).success("ADD");
    chain.call(1, &web, "DEL", None).success("DEL");
    chain.call(1, &web, "DEL", None).success("DEL");
    assert_eq!((web.link("eth0")["mtu"].clone(), records()), (json!(1500), String::new()));

    // Without the link, without the sandbox.
    chain.call(1, &web, "ADD", Some(&bridge)).success("ADD");
    web.sh("ip link del eth0");
    chain.call(1, &web, "DEL", None).success("DEL");
    assert_eq!(records(), "");
    let mut gone = host.sandbox("gone");
    let result = chain.add(&gone);
    host.sh("ip netns del gone");
    gone.netns = String::new();
    chain.del(&gone, Some(&result));
    assert_eq!(records(), "");

    let stale = host.sandbox("stale");
    chain.add(&stale);
    let config = with(&chain.config(1), json!({ "cniVersion": "1.1.0" }));
    host.gc(&config, &[("stale", "eth0")]).success("GC");
    assert_ne!(records(), "");
    host.gc(&with(&config, json!({ "sysctl": null, "mtu": null, "mac": null })), &[]).success("GC");
    assert_eq!((records(), stale.link("eth0")["mtu"].clone()), (String::new(), json!(1500)));
    host.status(&config).success("STATUS");
}

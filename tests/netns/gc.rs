//! GC: what is stale and only ours goes, of this network only.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    network::{Kernel, dual, host_link_of, single, with},
    support::{Host, Output, eventually},
};

fn succeeds(output: Output) {
    output.success("GC");
}

/// Three containers: `lives`, `listed` (dead, and the runtime says that it is valid), and `dead`, whose netns is gone
/// and whose elements, lease and record stayed.
fn host_with_dead() -> Host {
    let host = Host::new();
    for name in ["lives", "listed", "dead"] {
        host.sandbox(name).add(&dual());
    }
    host.sh("ip netns del dead; ip netns del listed");
    assert!(eventually(Duration::from_secs(5), || host.links().len() == 3), "the kernel takes the veths with them");
    host
}

/// The containers of which something is left: records, leases, elements.
fn left(host: &Host) -> [String; 3] {
    let words = |script: &str| host.sh(script).split_whitespace().collect::<Vec<_>>().join(" ");
    [
        words("cd /run/groundwork/net/attachments && ls | sed s/@eth0//"),
        words("cd /run/groundwork/net/leases && ls | grep '^10' || true"),
        words(
            "nft list set inet groundwork masq4_24 | grep -o 'net/[a-z0-9]*/' | sed 's,net/,,; s,/,,' | sort || true",
        ),
    ]
}

#[test]
fn what_is_not_on_the_list_goes() {
    let host = host_with_dead();
    let all = ["dead listed lives", "10.88.0.2 10.88.0.3 10.88.0.4", "dead listed lives"];
    assert_eq!(left(&host), all);
    succeeds(host.gc(&dual(), &[("lives", "eth0"), ("listed", "eth0"), ("dead", "eth0"), ("unknown", "eth9")]));
    assert_eq!(left(&host), all);
    succeeds(host.gc(&dual(), &[("lives", "eth0"), ("listed", "eth0"), ("dead", "eth1")]));
    assert_eq!(left(&host), ["listed lives", "10.88.0.2 10.88.0.3", "listed lives"]);
    // The one that lives works, and goes when the runtime says that it is not valid.
    assert_eq!(host.sh("ip netns exec lives ping -n -c 1 -W 2 10.88.0.1 | grep -c 'bytes from'"), "1\n");
    succeeds(host.gc(&dual(), &[("listed", "eth0")]));
    assert_eq!(left(&host), ["listed", "10.88.0.3", "listed"]);
    assert_eq!(host.links(), ["br0", "lo"]);
}

#[test]
fn an_empty_list_or_null_means_all() {
    for list in [json!([]), Value::Null] {
        let host = host_with_dead();
        host.sandbox("other").add(&with(&single(), json!({ "name": "net2" })));
        let mut config = dual();
        config["cni.dev/valid-attachments"] = list;
        succeeds(host.verb("GC", &config));
        assert_eq!(left(&host), ["", "", ""]);
        assert_eq!(host.links().len(), 3, "of another network: {:?}", host.links());
        assert_eq!(host.sh("ls /run/groundwork/net2/attachments"), "other@eth0\n");
        host.sh("nft list ruleset | grep net2/other");
    }
}

#[test]
fn without_a_list_only_the_dead_go() {
    let host = host_with_dead();
    succeeds(host.verb("GC", &dual()));
    assert_eq!(left(&host), ["lives", "10.88.0.2", "lives"]);
    let older = with(&dual(), json!({ "cniVersion": "1.0.0" }));
    let refused = host.verb("GC", &older).error();
    assert_eq!(refused["code"], 1, "{refused}");
}

/// The older of the two keys that libcni sends.
#[test]
fn the_key_attachments_counts_too() {
    let host = host_with_dead();
    let mut config = dual();
    config["cni.dev/attachments"] = json!([{ "containerID": "lives", "ifname": "eth0" }]);
    succeeds(host.verb("GC", &config));
    assert_eq!(left(&host), ["lives", "10.88.0.2", "lives"]);
}

#[test]
fn what_half_an_add_left_goes() {
    let host = Host::new();
    let web = host.sandbox("web");
    let result = web.add(&dual());
    host.sandbox("lives").add(&dual());
    // As killed before the end.
    host.sh("sed -i 's/\"state\":\"added\"/\"state\":\"adding\"/' /run/groundwork/net/attachments/web@eth0
             printf '' > /run/groundwork/net/attachments/begun@eth0; echo '{' > /run/groundwork/net/attachments/damaged@eth0");
    succeeds(host.gc(&dual(), &[("lives", "eth0")]));
    assert_eq!(left(&host), ["lives", "10.88.0.3", "lives"]);
    assert!(!host.links().contains(&host_link_of(&result)));
}

#[test]
fn a_lists_error_is_the_runtimes() {
    let host = host_with_dead();
    let before = host.snapshot();
    for (list, says) in [
        (json!("all"), "cni.dev/valid-attachments"),
        (json!([{ "containerID": "lives" }]), "ifname"),
        (json!([{ "containerID": 7, "ifname": "eth0" }]), "containerID"),
    ] {
        let mut config = dual();
        config["cni.dev/valid-attachments"] = list;
        let refused = host.verb("GC", &config).error();
        assert!(refused["msg"].as_str().unwrap().contains(says), "{refused}");
    }
    before.assert_same(&host.snapshot());
}

/// A network that was never used, and one whose kernel has nothing of ours.
#[test]
fn of_nothing() {
    let host = Host::new();
    let before = host.snapshot();
    succeeds(host.gc(&dual(), &[]));
    succeeds(host.verb("GC", &dual()));
    before.assert_same(&host.snapshot());
}

/// While ADDs run, a GC without a list takes nothing of theirs.
#[test]
fn beside_adds() {
    let host = Host::new();
    let names: Vec<_> = (0..12).map(|number| format!("web{number}")).collect();
    let sandboxes: Vec<_> = names.iter().map(|name| host.sandbox(name)).collect();
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| (0..15).for_each(|_| succeeds(host.verb("GC", &dual()))));
        for chunk in sandboxes.chunks(4) {
            scope.spawn(|| chunk.iter().for_each(|sandbox| drop(sandbox.add(&dual()))));
        }
        collector.join().unwrap();
    });
    for sandbox in &sandboxes {
        sandbox.ping("10.88.0.1");
    }
    let alive: Vec<_> = names.iter().map(|name| (name.as_str(), "eth0")).collect();
    succeeds(host.gc(&dual(), &alive));
    assert_eq!(left(&host).map(|words| words.split_whitespace().count()), [12, 12, 12]);
}

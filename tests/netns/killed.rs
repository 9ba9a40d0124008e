//! Killed right before each system call that changes something: what the next verb finds, it takes away or mends.
#![allow(clippy::print_stdout, reason = "how many points there were")]

use serde_json::{Value, json};

use crate::{
    network::{Kernel, dual, with},
    strike::strike,
    support::{Host, Sandbox, with_prev},
};

/// What host and container hold, but the hint where to go on with the search.
fn held(host: &Host, web: &Sandbox<'_>) -> String {
    web.sh("ip -o link; ip -o -4 address; ip -o -6 address show scope global")
        + &host.sh(
            "ip -br link | awk '{ print $1, $3 }'; ip -o address | grep -v fe80: | sort; nft list ruleset
             cat /proc/sys/net/ipv6/conf/br0/accept_ra /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
             cd /run/groundwork/net && find . -type f ! -name 'last_reserved_ip.*'",
        )
}

/// A host with a container that stays, and one that will be struck.
fn inhabited(host: &Host) -> Sandbox<'_> {
    host.sandbox("stays").add(&dual());
    let web = host.sandbox("web");
    web.add(&dual());
    web.del(&dual());
    web
}

/// Strikes the ADD at each change, and lets `mend` set it right.
fn add_struck_anywhere(mend: fn(&Host, &Sandbox<'_>)) {
    let host = Host::new();
    let web = inhabited(&host);
    let before = held(&host, &web);
    let all = strike(&host, &web, "ADD", &dual(), usize::MAX);
    assert!(!all.killed && all.changes.len() > 30, "{all:?}");
    web.del(&dual());
    assert_eq!(held(&host, &web), before);
    for at in 0..all.changes.len() {
        let struck = strike(&host, &web, "ADD", &dual(), at);
        assert!(struck.killed && struck.changes == all.changes[..=at], "{at}: {struck:?}");
        mend(&host, &web);
        assert_eq!(held(&host, &web), before, "struck before change {at}, system call {}", all.changes[at]);
    }
    println!("ADD: killed before each of {} changes", all.changes.len());
}

#[test]
fn add_then_del() {
    add_struck_anywhere(|_, web| web.del(&dual()));
}

#[test]
fn add_then_gc() {
    add_struck_anywhere(|host, _| drop(host.gc(&dual(), &[("stays", "eth0")]).success("GC")));
}

#[test]
fn add_then_add() {
    add_struck_anywhere(|_, web| {
        let result = add_anew(web);
        web.check(&dual(), &result);
        web.del(&dual());
    });
}

#[test]
fn add_then_del_without_netns() {
    add_struck_anywhere(|host, web| {
        let mut gone = host.sandbox("gone");
        gone.container = web.container.clone();
        gone.netns = String::new();
        gone.del(&with(&dual(), json!({ "ipam": { "ranges": [[{ "subnet": "10.99.0.0/24" }]] } })));
        host.sh("ip netns del gone");
    });
}

/// ADD after one that was killed. When all of that was done but its answer, it takes a DEL first, as runtimes send.
fn add_anew(web: &Sandbox<'_>) -> Value {
    let output = web.verb("ADD", &dual());
    if output.status.success() {
        return output.json("ADD");
    }
    assert_eq!(output.error()["code"], 4);
    web.ping("10.88.0.1");
    web.del(&dual());
    web.add(&dual())
}

/// The first ADD of all makes the bridge, the table and the folders: none of them is left half made.
#[test]
fn the_first_add_then_add() {
    let settled = |host: &Host, web: &Sandbox<'_>| {
        let result = add_anew(web);
        web.check(&dual(), &result);
        web.ping("fd00:88::1");
        web.del(&with_prev(&dual(), &result));
        held(host, web).replace(host.link("br0")["address"].as_str().unwrap(), "MAC")
    };
    let host = Host::new();
    let web = host.sandbox("web");
    let all = strike(&host, &web, "ADD", &dual(), usize::MAX);
    assert!(!all.killed && all.changes.len() > 40, "{all:?}");
    web.del(&dual());
    let expected = settled(&host, &web);
    for at in 0..all.changes.len() {
        let host = Host::new();
        let web = host.sandbox("web");
        let struck = strike(&host, &web, "ADD", &dual(), at);
        assert!(struck.killed, "{at}: {struck:?}");
        assert_eq!(settled(&host, &web), expected, "struck before change {at}, system call {}", all.changes[at]);
    }
    println!("the first ADD: killed before each of {} changes", all.changes.len());
}

#[test]
fn del_then_del_or_gc() {
    let host = Host::new();
    let web = inhabited(&host);
    let before = held(&host, &web);
    web.add(&dual());
    let all = strike(&host, &web, "DEL", &dual(), usize::MAX);
    assert!(!all.killed && all.changes.len() > 5, "{all:?}");
    assert_eq!(held(&host, &web), before);
    for (at, with_gc) in (0..all.changes.len()).flat_map(|at| [(at, false), (at, true)]) {
        web.add(&dual());
        let struck = strike(&host, &web, "DEL", &dual(), at);
        assert!(struck.killed, "{at}: {struck:?}");
        if with_gc {
            host.gc(&dual(), &[("stays", "eth0")]).success("GC");
        } else {
            web.del(&dual());
        }
        assert_eq!(held(&host, &web), before, "struck before change {at}, system call {}", all.changes[at]);
    }
    println!("DEL: killed before each of {} changes", all.changes.len());
}

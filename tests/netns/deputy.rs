//! DEL returns when the link is gone; who waits for the rest of the kernel's work may be killed at any time.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use nix::net::if_::if_nametoindex;

use crate::{
    network::{dual, host_link_of},
    support::{GROUNDWORK, Host, LIMIT, Output, Sandbox, Snapshot, eventually},
};

/// DEL under strace, which does to system calls what `inject` says. What it saw is in /run/trace.
fn del_with(host: &Host, web: &Sandbox<'_>, inject: &[&str]) -> Output {
    let inject: String = inject.iter().map(|what| format!(" -e inject={what}")).collect();
    host.sh(&format!(
        "printf '#!/bin/sh\\nexec strace -f -qqq -o /run/trace {inject} {GROUNDWORK}\\n' > /run/traced; chmod +x /run/traced"
    ));
    web.verb_of(Path::new("/run/traced"), "DEL", &dual())
}

/// The host, without what only says which address was given last.
fn emptied(host: &Host) -> Snapshot {
    host.sh("rm -f /run/groundwork/*/leases/last_reserved_ip.* /run/trace* /run/traced");
    host.snapshot()
}

/// The deputy's processes: who made no call but these.
fn deputies(host: &Host) -> Vec<BTreeSet<String>> {
    let trace = host.sh("cat /run/trace");
    let mut calls = BTreeMap::<&str, BTreeSet<String>>::new();
    for line in trace.lines() {
        let (pid, what) = line.split_once(' ').unwrap();
        let name = what.trim_start().trim_start_matches("<... ").split(['(', ' ']).next().unwrap();
        calls.entry(pid).or_default().insert(name.to_owned());
    }
    calls.into_values().filter(|calls| !calls.contains("execve") && calls.contains("close_range")).collect()
}

#[test]
fn after_del_nobody_sees_the_link_and_its_name_is_free() {
    let host = Host::new();
    let web = host.sandbox("web");
    let stays = host.sandbox("stays");
    stays.add(&dual());
    for _ in 0..20 {
        let link = host_link_of(&web.add(&dual()));
        web.del(&dual());
        assert!(host.inside(|| if_nametoindex(link.as_str())).is_err(), "the host sees {link}");
        assert!(web.inside(|| if_nametoindex("eth0")).is_err(), "the container sees eth0");
    }
    stays.ping("10.88.0.1");
    // Who is through is init's to bury, which this host's does not.
    let at_work = || host.try_sh("ps -C groundwork -o stat= | grep -v Z").stdout;
    assert!(eventually(LIMIT, || at_work().is_empty()), "deputies stay: {}", at_work());
}

#[test]
fn the_deputy_holds_nothing_and_does_nothing_else() {
    let host = Host::new();
    let web = host.sandbox("web");
    web.add(&dual());
    del_with(&host, &web, &[]).success("DEL");
    let expected = ["close_range", "exit_group", "sendto"].map(str::to_owned).into();
    assert!(eventually(LIMIT, || deputies(&host) == [BTreeSet::clone(&expected)]), "{:?}", deputies(&host));
    let trace = host.sh("grep close_range /run/trace");
    assert!(trace.contains("close_range(0, ") && trace.contains("2147483647"), "{trace}");
}

#[test]
fn without_the_deputy_del_does_it_alone() {
    let host = Host::new();
    let web = host.sandbox("web");
    web.add(&dual());
    web.del(&dual());
    let before = emptied(&host);
    for inject in ["clone:error=EAGAIN", "close_range:error=ENOSYS", "close_range:signal=KILL"] {
        web.add(&dual());
        del_with(&host, &web, &[inject]).success(inject);
        before.assert_same(&emptied(&host));
    }
}

/// The deputy dies before it has done anything, and who waits for it dies, too.
#[test]
fn when_both_are_killed_del_and_gc_mend_it() {
    let host = Host::new();
    let web = host.sandbox("web");
    web.add(&dual());
    web.del(&dual());
    let before = emptied(&host);
    for with_gc in [false, true] {
        let link = host_link_of(&web.add(&dual()));
        // The first look for children is before there is a deputy.
        let killed = del_with(&host, &web, &["close_range:signal=KILL", "wait4:signal=KILL:when=2"]);
        assert!(!killed.status.success(), "it lived");
        assert!(host.inside(|| if_nametoindex(link.as_str())).is_ok(), "the link is gone, so nothing was tried here");
        if with_gc {
            host.gc(&dual(), &[]).success("GC");
        } else {
            web.del(&dual());
        }
        before.assert_same(&emptied(&host));
    }
}

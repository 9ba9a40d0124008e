//! Many containers, one after the other and at once.

use std::{collections::BTreeSet, thread};

use serde_json::Value;

use crate::{
    network::{Kernel, addresses_of, dual},
    support::{Host, Sandbox, Snapshot},
};

/// A host whose network has been used once: what a DEL leaves is there.
fn used(host: &Host) -> Snapshot {
    let first = host.sandbox("first");
    first.add(&dual());
    first.del(&dual());
    host.sh("ip netns del first");
    host.snapshot()
}

/// Nothing is left but the hint where to go on with the search.
#[track_caller]
fn nothing_left(before: &Snapshot, host: &Host) {
    before.assert_same(&host.snapshot());
    assert_eq!(host.links(), ["br0", "lo"]);
    assert_eq!(host.sh("cd /run/groundwork/net && find . -type f ! -name 'last_reserved_ip.*' ! -name lock"), "");
}

fn no_duplicates(results: &[Value]) {
    let addresses: Vec<_> = results.iter().flat_map(addresses_of).collect();
    let distinct: BTreeSet<_> = addresses.iter().collect();
    assert_eq!((distinct.len(), addresses.len()), (results.len() * 2, results.len() * 2), "{addresses:?}");
}

#[test]
fn two_hundred_in_a_row() {
    let host = Host::new();
    let before = used(&host);
    let web = host.sandbox("web");
    let mut results = Vec::new();
    for _ in 0..200 {
        results.push(web.add(&dual()));
        web.del(&dual());
    }
    no_duplicates(&results); // the search goes round
    assert_eq!(web.links(), ["lo"]);
    nothing_left(&before, &host);
}

#[test]
fn fifty_at_once() {
    let host = Host::new();
    let before = used(&host);
    let names: Vec<_> = (0..50).map(|number| format!("web{number}")).collect();
    let sandboxes: Vec<_> = names.iter().map(|name| host.sandbox(name)).collect();
    for round in 0..2 {
        let results: Vec<Value> = at_once(&sandboxes, |sandbox| sandbox.add(&dual()));
        no_duplicates(&results);
        for (sandbox, result) in sandboxes.iter().zip(&results) {
            let own = sandbox.addresses("eth0");
            assert_eq!(own.iter().map(|one| one.split('/').next().unwrap()).collect::<Vec<_>>(), addresses_of(result));
        }
        sandboxes[0].ping(&addresses_of(&results[49])[0]);
        sandboxes[49].ping("fd00:88::1");
        let elements = host.sh("nft list set inet groundwork masq4_24").matches("comment").count();
        assert_eq!((elements, host.links().len()), (50, 52), "round {round}");
        at_once(&sandboxes, |sandbox| sandbox.del(&dual()));
        nothing_left(&before, &host);
    }
}

fn at_once<'a, T: Send>(sandboxes: &'a [Sandbox<'a>], work: impl Fn(&'a Sandbox<'a>) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = sandboxes.iter().map(|sandbox| scope.spawn(move || work(sandbox))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The first ADDs of all: bridge, table and folders are made by whoever comes first.
#[test]
fn twenty_at_once_on_a_fresh_host() {
    let host = Host::new();
    let names: Vec<_> = (0..20).map(|number| format!("web{number}")).collect();
    let sandboxes: Vec<_> = names.iter().map(|name| host.sandbox(name)).collect();
    no_duplicates(&at_once(&sandboxes, |sandbox| sandbox.add(&dual())));
    assert_eq!(host.addresses("br0"), ["10.88.0.1/24", "fd00:88::1/64"]);
    for sandbox in &sandboxes {
        sandbox.check(&dual(), &record_of(&host, sandbox));
    }
    at_once(&sandboxes, |sandbox| sandbox.del(&dual()));
    assert_eq!(host.links(), ["br0", "lo"]);
}

fn record_of(host: &Host, sandbox: &Sandbox<'_>) -> Value {
    let text = host.sh(&format!("tail -n 1 /run/groundwork/net/attachments/{}@eth0", sandbox.container));
    let record: Value = serde_json::from_str(&text).unwrap();
    record["result"].clone()
}

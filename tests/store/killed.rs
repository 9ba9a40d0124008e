//! Killed before, and refused at, each system call that changes something.

use std::{collections::HashMap, fs, os::unix::process::ExitStatusExt, process::Output};

use libtest_mimic::Trial;

use crate::{
    trial,
    worker::{NETWORK, Place, indexes, outcome},
};

/// One address in all: what leaks shows at the next ADD.
const ONLY: &str = "2";

/// What changes files or waits for locks. `?` where an architecture may lack it.
const CHANGES: &str = "?open,openat,?mkdir,mkdirat,?link,linkat,?unlink,unlinkat,?rename,?renameat,renameat2,?rmdir,\
                       write,pwrite64,ftruncate,fdatasync,flock";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (kind, shared) in [("own", false), ("shared", true)] {
        let mut add = |name: &str, verb, how, mend: fn(&Place)| {
            trials.push(trial(&format!("{name}::{kind}"), move || strike(shared, verb, how, mend)));
        };
        add("add_killed_anywhere_then_del", "add", "signal=KILL", del);
        add("add_killed_anywhere_and_its_address_wanted", "add_and_end", "signal=KILL", want_then_del);
        add("add_killed_anywhere_after_a_reboot", "add_after_reboot", "signal=KILL", del);
        add("add_killed_anywhere_while_it_takes_from_the_dead", "add_from_the_dead", "signal=KILL", del_both);
        add("del_killed_anywhere_then_del", "del", "signal=KILL", del);
        for errno in ["ENOSPC", "EIO", "EROFS"] {
            let how = format!("error={errno}");
            add(&format!("add_refused_anywhere_{errno}_then_del"), "add", how.clone().leak(), del);
            add(&format!("del_refused_anywhere_{errno}_then_del"), "del", how.leak(), del);
        }
    }
    trials
}

fn del(place: &Place) {
    place.run("del", "c1", ONLY).unwrap();
}

fn want_then_del(place: &Place) {
    assert_eq!(place.run("add", "other", ONLY).as_deref(), Ok("10.1.0.2"));
    place.run("del", "other", ONLY).unwrap();
    del(place);
}

fn del_both(place: &Place) {
    place.run("del", "dead", ONLY).unwrap();
    del(place);
}

/// Strikes the verb at each change that it makes, each time in a new place; then mends, and sees that nothing is left
/// and that the only address can be had again.
fn strike(shared: bool, verb: &str, how: &str, mend: fn(&Place)) {
    let points = changes(&prepared(shared, verb), verb);
    assert!((10..100).contains(&points.len()), "{points:?}");
    let mut ignored = Vec::new();
    for (call, occurrence) in &points {
        let place = prepared(shared, verb);
        let struck = strace(&place, verb, &format!("inject={call}:{how}:when={occurrence}"));
        let at = format!("{verb}, {how} at {call} number {occurrence}: {:?}", outcome(&struck));
        if how == "signal=KILL" {
            assert_eq!(struck.status.signal(), Some(9), "{at}");
        } else if struck.status.success() {
            ignored.push(format!("{call} number {occurrence}"));
        } else {
            let words = String::from_utf8_lossy(&struck.stderr).into_owned();
            if words.contains("cannot lock") {
                // The file stays: who has no lock may not remove it.
            } else if words.contains("cannot ") {
                assert!(verb == "del" || place.left().is_empty(), "it did not undo {:?}; {at}", place.left());
            } else {
                assert!(words.contains("failed printing"), "{at}"); // the answer itself
            }
        }
        mend(&place);
        if verb != "add_after_reboot" {
            assert_eq!(place.left(), [] as [String; 0], "{at}");
        } // else what the older boot left may be there until the next ADD
        assert_eq!(place.run("add", "next", ONLY).as_deref(), Ok("10.1.0.2"), "{at}");
        place.run("del", "next", ONLY).unwrap();
        assert_eq!(place.left(), [] as [String; 0], "{at}");
    }
    println!("{verb} {how}: {} points, of no importance: {ignored:?}", points.len());
    assert!(ignored.len() < 4, "{ignored:?}");
}

fn prepared(shared: bool, verb: &str) -> Place {
    let place = Place::new(shared);
    match verb {
        "del" => drop(place.run("add", "c1", ONLY).unwrap()),
        "add_from_the_dead" => drop(place.run("add_and_end", "dead", ONLY).unwrap()),
        "add_after_reboot" => {
            place.run("add", "before", ONLY).unwrap();
            let index = indexes(&place.leases()).remove(0);
            fs::rename(&index, index.with_file_name(".groundwork-0-0")).unwrap();
            fs::remove_file(place.state().join(NETWORK).join("attachments/before@eth0")).unwrap();
        }
        _ => {}
    }
    place
}

/// The changes that the verb makes when nobody disturbs it: each call's name, and its number among those of this name.
fn changes(place: &Place, verb: &str) -> Vec<(String, usize)> {
    let log = place.state().with_extension("strace");
    let command = ["strace", "-qqq", "-o", log.to_str().unwrap(), "-e", &format!("trace={CHANGES}")];
    outcome(&place.command(&command, verb, "c1", ONLY).output().unwrap()).unwrap();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let count = |line: &str| {
        let call = line.split('(').next().unwrap().to_owned();
        let occurrence = seen.entry(call.clone()).or_default();
        *occurrence += 1;
        (call, *occurrence)
    };
    fs::read_to_string(log).unwrap().lines().map(count).collect()
}

fn strace(place: &Place, verb: &str, inject: &str) -> Output {
    let trace = format!("trace={CHANGES}");
    let command = ["strace", "-qqq", "-o", "/dev/null", "-e", &trace, "-e", inject];
    place.command(&command, verb, "c1", ONLY).output().unwrap()
}

//! The reference plugin host-local, at work in the same folder.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    os::unix::fs::MetadataExt,
    process::{Child, Command, Stdio},
};

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    trial,
    worker::{Gate, NETWORK, Place, indexes, outcome},
};

const PLUGIN: &str = "/usr/lib/cni/host-local";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("reference::leases_look_the_same_and_are_respected_by_both", both_respect),
        trial("reference::each_releases_what_the_other_made", both_release),
        trial("reference::at_once_they_give_distinct_addresses", at_once),
        trial("reference::its_lock_is_ours", one_lock),
    ]
}

fn start(place: &Place, verb: &str, container: &str, last: &str) -> Child {
    let config = json!({
        "cniVersion": "1.0.0", "name": NETWORK, "type": "host-local",
        "ipam": {
            "type": "host-local", "dataDir": place.data_dir(),
            "ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.2", "rangeEnd": format!("10.1.0.{last}")}]],
        },
    });
    let mut command = Command::new(PLUGIN);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs([("CNI_COMMAND", verb), ("CNI_CONTAINERID", container), ("CNI_IFNAME", "eth0")]);
    command.envs([("CNI_NETNS", "/nowhere"), ("CNI_PATH", "/usr/lib/cni")]);
    let mut child = command.spawn().expect("the package containernetworking-plugins");
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    child
}

/// The address it gave.
fn end(child: Child) -> Result<String, String> {
    let output = child.wait_with_output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if !output.status.success() {
        return Err(document["msg"].to_string());
    }
    let address = document["ips"][0]["address"].as_str().unwrap_or_default();
    Ok(address.trim_end_matches("/24").to_owned())
}

fn reference(place: &Place, verb: &str, container: &str, last: &str) -> Result<String, String> {
    end(start(place, verb, container, last))
}

fn both_respect() {
    let place = Place::new(true);
    assert_eq!(reference(&place, "ADD", "theirs", "4").as_deref(), Ok("10.1.0.2"));
    assert_eq!(place.run("add", "ours", "4").as_deref(), Ok("10.1.0.3"));
    let lease = |address: &str| {
        let path = place.leases().join(address);
        (fs::read_to_string(&path).unwrap().replace("theirs", "ours"), fs::metadata(path).unwrap().mode())
    };
    let (theirs, ours) = (lease("10.1.0.2"), lease("10.1.0.3"));
    assert_eq!(theirs.0, ours.0);
    // The packaged version writes 0644, current ones 0600.
    assert_eq!(theirs.1 | 0o044, ours.1 | 0o044);
    assert_eq!(ours.1 & 0o7777, 0o600);
    assert!(reference(&place, "ADD", "ours", "4").unwrap_err().contains("duplicate allocation"));
    assert_eq!(reference(&place, "ADD", "third", "4").as_deref(), Ok("10.1.0.4"));
    assert!(reference(&place, "ADD", "fourth", "4").unwrap_err().contains("no IP addresses available"));
    let error = place.run("add", "fourth", "4").unwrap_err();
    assert!(error.contains("1 by groundwork's attachments, 2 by host-local's"), "{error}");
    assert!(reference(&place, "CHECK", "ours", "4").is_ok());
}

fn both_release() {
    let place = Place::new(true);
    place.run("add", "ours", "4").unwrap();
    reference(&place, "ADD", "theirs", "4").unwrap();
    reference(&place, "DEL", "ours", "4").unwrap();
    assert!(!place.leases().join("10.1.0.2").exists());
    assert_eq!(fs::read_dir(&indexes(&place.leases())[0]).unwrap().count(), 0, "our index entry went with the lease");
    place.run("del", "ours", "4").unwrap();
    place.run("unrecorded", "theirs", "4").unwrap();
    assert_eq!(place.left(), [] as [String; 0]);
    assert_eq!(place.run("add", "next", "4").as_deref(), Ok("10.1.0.4"), "round robin goes on where theirs ended");
}

fn at_once() {
    let place = Place::new(true);
    let gate = Gate::new();
    let ours: Vec<_> = (0..30).map(|n| gate.before(place.command(&[], "add", &format!("o{n}"), "61"))).collect();
    drop(gate);
    let theirs: Vec<_> = (0..30).map(|n| start(&place, "ADD", &format!("t{n}"), "61")).collect();
    let ours = ours.into_iter().map(|child| outcome(&child.wait_with_output().unwrap()).unwrap());
    let theirs = theirs.into_iter().map(|child| end(child).unwrap());
    let addresses: BTreeSet<_> = ours.chain(theirs).collect();
    assert_eq!(addresses.len(), 60, "{addresses:?}");
}

/// While somebody holds the folder's lock as the reference does, neither comes through.
fn one_lock() {
    let place = Place::new(true);
    place.run("add", "c1", "9").unwrap();
    let lock = fs::File::open(place.leases().join("lock")).unwrap();
    lock.lock().unwrap(); // flock(2)
    let mut ours = place.command(&[], "add", "c2", "9").spawn().unwrap();
    let mut theirs = start(&place, "ADD", "c3", "9");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(ours.try_wait().unwrap().is_none() && theirs.try_wait().unwrap().is_none(), "one did not wait");
    drop(lock);
    outcome(&ours.wait_with_output().unwrap()).unwrap();
    end(theirs).unwrap();
}

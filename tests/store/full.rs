//! A disk that is full, and one that cannot be written.

use std::{fs, path::Path};

use groundwork::store::Store;
use libtest_mimic::Trial;
use nix::{
    mount::{MsFlags, mount, umount},
    sched::{CloneFlags, unshare},
};

use crate::{
    trials_in_both,
    worker::{NETWORK, Place, Worker},
};

pub(crate) fn trials() -> Vec<Trial> {
    trials_in_both("a_full_or_read_only_disk_is_said_and_leaves_nothing", |place: Place| {
        let said = place.run("full", "c1", "9").unwrap();
        println!("{said}");
    })
    .into()
}

/// In a mount namespace of this process: a small file system in the place of the folders, with one more inode each
/// time, until there is room.
pub(crate) fn run(worker: &mut Worker) -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    let root = worker.state.parent().unwrap().to_owned();
    let mut refusals = 0;
    for inodes in 2.. {
        let size = format!("size=64k,nr_inodes={inodes}");
        mount(Some("small"), &root, Some("tmpfs"), MsFlags::empty(), Some(&*size)).unwrap();
        let outcome = worker.add("self");
        if let Err(words) = &outcome {
            assert!(words.contains("No space left on device") && words.contains("free some space"), "{words}");
            refusals += 1;
            worker.del().unwrap();
        } else {
            read_only(worker, &root);
        }
        assert_eq!(left(&root), [] as [String; 0], "with {inodes} inodes: {outcome:?}");
        umount(&root).unwrap();
        if outcome.is_ok() {
            break;
        }
        assert!(inodes < 50, "never room");
    }
    assert!(refusals > 8, "only {refusals} refusals");
    Ok(())
}

/// What is there is read; what must be written is refused with words, and works when the disk can be written again.
fn read_only(worker: &Worker, root: &Path) {
    let again = |flags| mount(None::<&str>, root, None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>).unwrap();
    again(MsFlags::MS_RDONLY);
    let store = Store::existing(&worker.state, NETWORK).unwrap().unwrap();
    assert!(store.read(&worker.attachment).unwrap().is_some());
    for words in [worker.del().unwrap_err(), worker.add("self").unwrap_err()] {
        assert!(words.contains("Read-only file system") && words.contains("mount it writable"), "{words}");
    }
    again(MsFlags::empty());
    worker.del().unwrap();
}

/// Every file under a folder but those that hold no state.
fn left(folder: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            left.extend(self::left(&entry.path()));
        } else if name != "lock" && name != "last_reserved_ip.0" {
            left.push(name);
        }
    }
    left
}

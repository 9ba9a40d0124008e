use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
};

use super::*;
use crate::config::Range;

fn attachment(container_id: &str) -> Attachment {
    Attachment { container_id: container_id.into(), ifname: "eth0".into() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `first` to `last` of 10.1.0.0/16.
fn set(first: &str, last: &str) -> RangeSet {
    let subnet = "10.1.0.0/16".parse().unwrap();
    RangeSet(vec![Range { subnet, start: ip(first), end: ip(last), gateway: ip("10.1.0.1") }])
}

fn set6() -> RangeSet {
    let subnet = "fd00::/64".parse().unwrap();
    RangeSet(vec![Range { subnet, start: ip("fd00::1"), end: ip("fd00::ffff"), gateway: ip("fd00::1") }])
}

fn nobody_is_dead(_: &Attachment) -> Option<Lock> {
    None
}

struct Fixture {
    root: tempfile::TempDir,
    store: Store,
    shared: bool,
}

impl Fixture {
    fn new(shared: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(&root.path().join("state"), "net").unwrap();
        Self { root, store, shared }
    }

    fn data_dir(&self) -> Option<PathBuf> {
        self.shared.then(|| self.root.path().join("data"))
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join(if self.shared { "data/net" } else { "state/net/leases" })
    }

    fn open(&self) -> Reservations {
        let reservations = Reservations::open(&self.store, self.data_dir().as_deref()).unwrap();
        Reservations { reference: None, ..reservations }
    }

    fn reserve(&self, owner: &str, sets: &[RangeSet], requested: &[&str]) -> Result<Vec<String>, Error> {
        let requested: Vec<_> = requested.iter().map(|text| ip(text)).collect();
        let _lock = self.store.lock(&attachment(owner)).unwrap();
        let leases = self.open().reserve(&attachment(owner), sets, &requested, &mut nobody_is_dead)?;
        Ok(leases.iter().map(|lease| lease.address.to_string()).collect())
    }

    fn index(&self) -> PathBuf {
        self.folder().join(format!(".groundwork-{}", self.store.boot()))
    }

    fn leases(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut leases: Vec<_> = names.filter(|name| name.parse::<IpAddr>().is_ok()).collect();
        leases.sort();
        leases
    }
}

fn both(test: impl Fn(Fixture)) {
    test(Fixture::new(false));
    test(Fixture::new(true));
}

#[test]
fn leases_are_in_the_form_of_the_reference_plugin() {
    both(|fixture| {
        assert_eq!(
            fixture.reserve("c1", &[set("10.1.0.1", "10.1.0.9"), set6()], &[]).unwrap(),
            ["10.1.0.2/16", "fd00::2/64"]
        );
        for name in ["10.1.0.2", "fd00::2"] {
            let path = fixture.folder().join(name);
            assert_eq!(fs::read_to_string(&path).unwrap(), "c1\r\neth0");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        }
        assert_eq!(fs::read_to_string(fixture.folder().join("last_reserved_ip.0")).unwrap(), "10.1.0.2");
        assert_eq!(fs::read_to_string(fixture.folder().join("last_reserved_ip.1")).unwrap(), "fd00::2");
    });
}

#[test]
fn release_by_record_frees_all_and_the_search_goes_on_round_robin() {
    both(|fixture| {
        let sets = [set("10.1.0.1", "10.1.0.10")];
        assert_eq!(fixture.reserve("c1", &sets, &[]).unwrap(), ["10.1.0.2/16"]);
        assert!(fixture.open().is_held_by(&attachment("c1"), ip("10.1.0.2")).unwrap());
        assert!(!fixture.open().is_held_by(&attachment("c2"), ip("10.1.0.2")).unwrap());
        assert_eq!(fixture.open().owners().unwrap(), [attachment("c1")]);
        fixture.open().release(&attachment("c1"), &[ip("10.1.0.2")]).unwrap();
        fixture.open().release(&attachment("c1"), &[ip("10.1.0.2")]).unwrap();
        assert!(fixture.leases().is_empty());
        assert_eq!(fs::read_dir(fixture.index()).unwrap().count(), 0);
        for expected in ["10.1.0.3/16", "10.1.0.4/16"] {
            assert_eq!(fixture.reserve(&expected[..8], &sets, &[]).unwrap(), [expected]);
        }
        fs::write(fixture.folder().join("last_reserved_ip.0"), "10.1.0.10").unwrap();
        assert_eq!(fixture.reserve("wrapped", &sets, &[]).unwrap(), ["10.1.0.2/16"]);
        assert_eq!(fs::read_to_string(fixture.folder().join("last_reserved_ip.0")).unwrap(), "10.1.0.2");
        fs::write(fixture.folder().join("last_reserved_ip.0"), b"\xff\0garbage longer than an address").unwrap();
        assert_eq!(fixture.reserve("c5", &sets, &[]).unwrap(), ["10.1.0.5/16"]);
        assert_eq!(fs::read_to_string(fixture.folder().join("last_reserved_ip.0")).unwrap(), "10.1.0.5");
    });
}

#[test]
fn what_another_holds_is_not_released() {
    both(|fixture| {
        fixture.reserve("c1", &[set("10.1.0.1", "10.1.0.9")], &[]).unwrap();
        fixture.open().release(&attachment("c2"), &[ip("10.1.0.2")]).unwrap();
        assert_eq!(fixture.open().release_unrecorded(&attachment("c2")).unwrap(), [] as [IpAddr; 0]);
        assert_eq!(fixture.leases(), ["10.1.0.2"]);
    });
}

#[test]
fn a_second_add_without_del_is_refused_and_changes_nothing() {
    both(|fixture| {
        let sets = [set("10.1.0.1", "10.1.0.9")];
        fixture.reserve("c1", &sets, &[]).unwrap();
        let error = fixture.reserve("c1", &sets, &[]).unwrap_err();
        assert!(matches!(&error, Error::Duplicate { addresses, .. } if *addresses == [ip("10.1.0.2")]), "{error}");
        assert_eq!(fixture.leases(), ["10.1.0.2"]);
    });
}

#[test]
fn requested_addresses_are_all_given_or_none_is() {
    both(|fixture| {
        let sets = [set("10.1.0.1", "10.1.0.9"), set6()];
        let given = fixture.reserve("c1", &sets, &["fd00::7", "::ffff:10.1.0.5"]).unwrap();
        assert_eq!(given, ["10.1.0.5/16", "fd00::7/64"]);

        let error = fixture.reserve("c2", &sets, &["10.1.0.8", "fd00::7"]).unwrap_err();
        assert!(matches!(&error, Error::Held { address, .. } if *address == ip("fd00::7")), "{error}");
        assert!(error.to_string().contains("container c1 (eth0)"), "{error}");
        let error = fixture.reserve("c2", &sets, &["10.1.0.1"]).unwrap_err();
        assert!(matches!(error, Error::Gateway { .. }), "{error}");
        for requested in [["10.1.0.7", "192.0.2.1"], ["10.1.0.7", "10.1.0.8"]] {
            let error = fixture.reserve("c2", &sets, &requested).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
        }
        assert_eq!(fixture.leases(), ["10.1.0.5", "fd00::7"]);
        assert_eq!(fixture.open().owners().unwrap(), [attachment("c1")]);
    });
}

#[test]
fn a_full_set_says_who_holds_it_and_gives_back_the_other_sets_address() {
    both(|fixture| {
        let sets = [set("10.1.0.2", "10.1.0.4")];
        fs::write(fixture.folder_made().join("10.1.0.3"), "other\r\neth9").unwrap();
        fixture.reserve("c1", &sets, &[]).unwrap();
        fixture.reserve("c2", &sets, &[]).unwrap();
        let error = fixture.reserve("c3", &[set6(), sets[0].clone()], &[]).unwrap_err();
        let Error::Exhausted { capacity: 3, held, .. } = &error else { panic!("{error}") };
        assert_eq!((held.ours, held.others, held.unknown, held.reference), (2, 1, 0, 0));
        assert!(error.to_string().contains("10.1.0.2-10.1.0.4") && error.to_string().contains("c1 (eth0)"), "{error}");
        assert_eq!(fixture.leases(), ["10.1.0.2", "10.1.0.3", "10.1.0.4"]);
        let usage = fixture.open().usage(&[sets[0].clone(), set6()]).unwrap();
        assert_eq!(usage, [Usage { capacity: 3, held: 3 }, Usage { capacity: 0xfffe, held: 0 }]);
    });
}

#[test]
fn a_full_set_takes_back_what_the_dead_hold_and_nothing_else() {
    both(|fixture| {
        let sets = [set("10.1.0.2", "10.1.0.4")];
        for owner in ["alive", "dead", "busy"] {
            fixture.reserve(owner, &sets, &[]).unwrap();
        }
        let busy = fixture.store.lock(&attachment("busy")).unwrap();
        let mut dead = |owner: &Attachment| {
            if owner.container_id == "alive" { None } else { fixture.store.try_lock(owner).unwrap() }
        };
        drop(fixture.store.lock(&attachment("new")).unwrap());
        let leases = fixture.open().reserve(&attachment("new"), &sets, &[], &mut dead).unwrap();
        assert_eq!(leases[0].address.to_string(), "10.1.0.3/16");
        drop(busy);
        assert_eq!(fixture.open().reclaim(&sets, &mut dead).unwrap(), 2, "busy and new");
        fixture.reserve("new", &sets, &["10.1.0.3"]).unwrap();
        fixture.reserve("another", &sets, &[]).unwrap();
        fixture.open().release(&attachment("dead"), &[ip("10.1.0.3")]).unwrap();
        assert_eq!(fixture.leases(), ["10.1.0.2", "10.1.0.3", "10.1.0.4"]);
        assert!(fixture.open().is_held_by(&attachment("new"), ip("10.1.0.3")).unwrap());
    });
}

#[test]
fn what_is_given_back_behind_the_search_is_found() {
    both(|fixture| {
        let sets = [set("10.1.0.2", "10.1.0.3")];
        for owner in ["c1", "c2"] {
            fixture.reserve(owner, &sets, &[]).unwrap();
        }
        let mut asked = Vec::new();
        let mut alive = |owner: &Attachment| {
            asked.push(owner.clone());
            if let [first, _] = &asked[..] {
                fixture.open().release(first, &[]).unwrap();
            }
            None
        };
        fixture.open().reserve(&attachment("c3"), &sets, &[], &mut alive).unwrap();
        assert_eq!(asked.len(), 2);
        assert!(fixture.open().owners().unwrap().contains(&attachment("c3")));
    });
}

#[test]
fn a_requested_address_is_taken_from_the_dead_only() {
    both(|fixture| {
        let sets = [set("10.1.0.2", "10.1.0.9")];
        fixture.reserve("dead", &sets, &["10.1.0.5"]).unwrap();
        fixture.reserve("alive", &sets, &["10.1.0.6"]).unwrap();
        let mut dead = |owner: &Attachment| {
            if owner.container_id == "alive" { None } else { fixture.store.try_lock(owner).unwrap() }
        };
        let mut request =
            |owner, address| fixture.open().reserve(&attachment(owner), &sets, &[ip(address)], &mut dead).map(drop);
        request("new", "10.1.0.5").unwrap();
        assert!(matches!(request("another", "10.1.0.6"), Err(Error::Held { .. })));
        assert!(fixture.open().is_held_by(&attachment("new"), ip("10.1.0.5")).unwrap());
        assert!(fixture.open().is_held_by(&attachment("alive"), ip("10.1.0.6")).unwrap());
    });
}

#[test]
fn what_the_dead_gave_back_meanwhile_is_not_taken_from_its_new_holder() {
    both(|fixture| {
        let sets = [set("10.1.0.2", "10.1.0.2")];
        fixture.reserve("dead", &sets, &[]).unwrap();
        // Its DEL comes through, and another gets the address, just before the lock is ours.
        let mut quick = |dead: &Attachment| {
            assert_eq!(dead, &attachment("dead"));
            fixture.open().release(dead, &[]).unwrap();
            fs::write(fixture.folder().join("10.1.0.2"), "quick\r\neth0").unwrap();
            fixture.store.try_lock(dead).unwrap()
        };
        let error = fixture.open().reserve(&attachment("new"), &sets, &[], &mut quick).unwrap_err();
        assert!(matches!(error, Error::Exhausted { .. }), "{error}");
        assert_eq!(fs::read_to_string(fixture.folder().join("10.1.0.2")).unwrap(), "quick\r\neth0");
    });
}

#[test]
fn an_empty_lease_is_kept_until_the_set_is_full() {
    both(|fixture| {
        for name in ["10.1.0.2", "10.1.0.3"] {
            fs::write(fixture.folder_made().join(name), "").unwrap();
        }
        let sets = [set("10.1.0.2", "10.1.0.4")];
        assert_eq!(fixture.reserve("c1", &sets, &[]).unwrap(), ["10.1.0.4/16"]);
        assert_eq!(fixture.reserve("c2", &sets, &[]).unwrap(), ["10.1.0.2/16"]);
    });
}

#[test]
fn what_a_killed_add_left_neither_blocks_nor_leaks() {
    both(|fixture| {
        let sets = [set("10.1.0.2", "10.1.0.9"), set6()];
        fixture.reserve("c1", &sets, &[]).unwrap();
        // Killed after it took the addresses and before they were recorded.
        fixture.open().release(&attachment("c1"), &[]).unwrap();
        assert!(fixture.leases().is_empty());
        // Killed when the index entry was there, half written.
        fs::write(fixture.index().join("c1@eth0"), "c").unwrap();
        fixture.reserve("c1", &sets, &[]).unwrap();
        assert_eq!(fs::read_to_string(fixture.folder().join("fd00::3")).unwrap(), "c1\r\neth0");
    });
}

#[test]
fn leases_of_an_older_boot_are_free_and_those_of_the_reference_are_kept() {
    both(|fixture| {
        let sets = [set("10.1.0.2", "10.1.0.4")];
        fixture.reserve("c1", &sets, &[]).unwrap();
        fixture.reserve("c2", &sets, &[]).unwrap();
        fs::write(fixture.folder().join("10.1.0.4"), "reference\r\neth0").unwrap();
        let older = fixture.folder().join(".groundwork-00000000-aaaa");
        fs::rename(fixture.index(), &older).unwrap();

        let usage = fixture.open().usage(&sets).unwrap();
        assert_eq!(usage, [Usage { capacity: 3, held: 1 }]);
        assert_eq!(fixture.reserve("c1", &sets, &[]).unwrap(), ["10.1.0.2/16"]);
        assert_eq!(fixture.leases(), ["10.1.0.2", "10.1.0.4"]);
        assert!(!older.exists());
    });
}

#[test]
fn leases_of_the_reference_are_found_by_their_content() {
    let fixture = Fixture::new(true);
    for (name, content) in [
        ("10.1.0.2", "c1\r\neth0"),
        ("10.1.0.3", "c1\r\neth1"),
        ("10.1.0.4", "c1"),
        ("10.1.0.5", "c2\n"),
        ("10.1.0.6", "c3\r\neth0"),
    ] {
        fs::write(fixture.folder_made().join(name), content).unwrap();
    }
    assert!(fixture.open().is_held_by(&attachment("c1"), ip("10.1.0.2")).unwrap());
    assert_eq!(fixture.open().holder(ip("10.1.0.6")).unwrap(), Some(Holder::Attachment(attachment("c3"))));
    assert_eq!(fixture.open().holder(ip("10.1.0.7")).unwrap(), None);
    assert_eq!(fixture.open().release_unrecorded(&attachment("c1")).unwrap(), [ip("10.1.0.2")]);
    assert_eq!(fixture.open().release_unrecorded(&attachment("c2")).unwrap(), [ip("10.1.0.5")]);
    fixture.open().release(&attachment("c3"), &[ip("10.1.0.6")]).unwrap();
    assert_eq!(fixture.leases(), ["10.1.0.3", "10.1.0.4"]);
}

#[test]
fn leases_in_the_references_own_folder_are_respected() {
    let fixture = Fixture::new(false);
    let reference = fixture.root.path().join("reference");
    fs::create_dir(&reference).unwrap();
    fs::write(reference.join("10.1.0.2"), "running\r\neth0").unwrap();
    let open = || Reservations { reference: Folder::open(&reference).unwrap(), ..fixture.open() };
    let sets = [set("10.1.0.2", "10.1.0.3")];
    let error = open().reserve(&attachment("c1"), &sets, &[ip("10.1.0.2")], &mut nobody_is_dead).unwrap_err();
    assert!(matches!(&error, Error::Held { folder, .. } if *folder == reference), "{error}");
    let leases = open().reserve(&attachment("c1"), &sets, &[], &mut nobody_is_dead).unwrap();
    assert_eq!(leases[0].address.to_string(), "10.1.0.3/16");
    assert_eq!(open().usage(&sets).unwrap(), [Usage { capacity: 2, held: 2 }]);
    let error = open().reserve(&attachment("c2"), &sets, &[], &mut nobody_is_dead).unwrap_err();
    assert!(matches!(&error, Error::Exhausted { held, .. } if held.reference == 1 && held.ours == 1), "{error}");
}

#[test]
fn a_lost_record_leaves_neither_lease_nor_index_entry() {
    both(|fixture| {
        fixture.reserve("c1", &[set("10.1.0.2", "10.1.0.9"), set6()], &[]).unwrap();
        fixture.open().release_unrecorded(&attachment("c1")).unwrap();
        assert!(fixture.leases().is_empty());
        assert_eq!(fixture.open().owners().unwrap(), []);
    });
}

#[test]
fn nothing_is_made_by_looking() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = root.path().join("data");
    assert!(Reservations::existing(None, "net", Some(&data_dir)).unwrap().is_none());
    assert!(Reservations::existing(None, "net", None).unwrap().is_none());
    assert!(!data_dir.exists());
    fs::create_dir_all(data_dir.join("net")).unwrap();
    let reservations = Reservations::existing(None, "net", Some(&data_dir)).unwrap().unwrap();
    reservations.release(&attachment("c1"), &[ip("10.1.0.2")]).unwrap();
    assert!(!reservations.is_held_by(&attachment("c1"), ip("10.1.0.2")).unwrap());
    assert_eq!(reservations.owners().unwrap(), []);
    assert_eq!(fs::read_dir(data_dir.join("net")).unwrap().count(), 0);
    assert!(Reservations::existing(None, "../net", Some(&data_dir)).is_err());
}

#[test]
fn both_addresses_of_an_attachment_are_one_file() {
    let fixture = Fixture::new(false);
    fixture.reserve("c1", &[set("10.1.0.1", "10.1.0.9"), set6()], &[]).unwrap();
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(fixture.folder().join("10.1.0.2")), inode(fixture.index().join("c1@eth0")));
    assert_eq!(inode(fixture.folder().join("fd00::2")), inode(fixture.index().join("c1@eth0")));
}

impl Fixture {
    /// The folder, made as another program would make it.
    fn folder_made(&self) -> PathBuf {
        fs::create_dir_all(self.folder()).unwrap();
        self.folder()
    }
}

use std::os::unix::fs::{PermissionsExt, chown, symlink};

use super::*;
use crate::{nft::ruleset::Element, plan::source_routing::SourceRouting, rtnl::LinkSettings, sys::netns::NetnsId};

fn attachment(container_id: &str) -> Attachment {
    Attachment { container_id: container_id.into(), ifname: "eth0".into() }
}

fn record(store: &Store, of: &Attachment) -> Record {
    let netns = Netns { path: "/run/netns/a".into(), id: NetnsId { dev: 4, ino: 7 } };
    Record::intent(store.network(), of, netns, store.boot().clone())
}

struct Fixture {
    root: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(&root.path().join("state"), "net").unwrap();
        Self { root, store }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join("state/net").join(below)
    }
}

#[test]
fn a_record_comes_back_as_it_was_and_leaves_nothing_when_removed() {
    let fixture = Fixture::new();
    let (store, one) = (&fixture.store, attachment("c1"));
    let lock = store.lock(&one).unwrap();
    assert_eq!(store.read(&one).unwrap(), None);
    let mut record = record(store, &one);
    store.write(&lock, &record).unwrap();
    assert_eq!(store.read(&one).unwrap().as_ref(), Some(&record));

    record.state = State::Added;
    record.host_link = Some(HostLink { name: "veth1".into(), mac: "02:00:00:00:00:01".parse().unwrap() });
    record.addresses = vec!["10.1.0.2/24".parse().unwrap(), "fd00::2/64".parse().unwrap()];
    record.leases = Some(Leases { data_dir: None, addresses: vec!["10.1.0.2".parse().unwrap()] });
    record.elements = vec![Element::Masquerade("10.1.0.2/24".parse().unwrap())];
    record.ipam = Some(Plugin { plugin_type: "dhcp".into(), config: serde_json::Map::new() });
    record.result = Some(serde_json::json!({"cniVersion": "1.1.0"}));
    store.write(&lock, &record).unwrap();
    assert_eq!(store.read(&one).unwrap(), Some(record));
    assert_eq!(store.list().unwrap(), std::slice::from_ref(&one));

    let mode = |below| fs::metadata(fixture.path(below)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(""), mode("attachments"), mode("attachments/c1@eth0")), (0o700, 0o700, 0o600));

    store.remove(lock).unwrap();
    assert_eq!(store.read(&one).unwrap(), None);
    assert_eq!(fs::read_dir(fixture.path("attachments")).unwrap().count(), 0);
}

#[test]
fn a_record_of_a_later_version_is_refused() {
    let fixture = Fixture::new();
    let (store, one) = (&fixture.store, attachment("c1"));
    let lock = store.lock(&one).unwrap();
    store.write(&lock, &record(store, &one)).unwrap();
    let path = fixture.path("attachments/c1@eth0");

    let whole: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let read = |key: &str, value: serde_json::Value| {
        let mut changed = whole.clone();
        changed[key] = value;
        fs::write(&path, changed.to_string()).unwrap();
        store.read(&one)
    };
    let newer = read("format", (FORMAT + 1).into()).unwrap_err();
    assert!(matches!(newer, Error::Newer { format, .. } if format == FORMAT + 1), "{newer}");
    assert!(newer.to_string().contains("use the newer version that wrote it"), "{newer}");
    // What a later version adds and does not count as to be undone.
    assert_eq!(read("colour", "blue".into()).unwrap(), Some(record(store, &one)));
    // A kind of element that is unknown, although the format is not.
    let unknown = read("elements", serde_json::json!([{"tunnel": 4}])).unwrap_err();
    assert!(matches!(unknown, Error::Unknown { .. }) && unknown.to_string().contains("`tunnel`"), "{unknown}");
}

#[test]
fn a_record_has_the_lowest_format_that_can_undo_it() {
    let fixture = Fixture::new();
    let (store, one) = (&fixture.store, attachment("c1"));
    let lock = store.lock(&one).unwrap();
    let plain = record(store, &one);
    let link = HostLink { name: "veth1".into(), mac: "02:00:00:00:00:01".parse().unwrap() };
    let cases = [
        (1, plain.clone()),
        (1, Record { host_link: Some(link.clone()), ..plain.clone() }),
        (2, Record { vrf: Some("blue".into()), ..plain.clone() }),
        (2, Record { sandbox_link: Some(SandboxLink::Made { temporary: "gw1".into() }), ..plain.clone() }),
        (2, Record { ifb: Some(link.clone()), ..plain.clone() }),
        (2, Record { shaped: Some(Shaped { link, sends: true, receives: false }), ..plain.clone() }),
        (2, Record { tuned: Some(LinkSettings::default()), ..plain.clone() }),
        (2, Record { source_routing: Some(SourceRouting::default()), ..plain }),
    ];
    for (format, record) in cases {
        store.write(&lock, &record).unwrap();
        let content = fs::read(fixture.path("attachments/c1@eth0")).unwrap();
        let Head { format: written, .. } = serde_json::from_slice(last_line(&content)).unwrap();
        assert_eq!((written, store.read(&one).unwrap()), (format, Some(record)));
    }
}

#[test]
fn damaged_records_are_told_apart_from_missing_ones_and_can_be_removed() {
    let fixture = Fixture::new();
    let (store, one) = (&fixture.store, attachment("c1"));
    let lock = store.lock(&one).unwrap();
    store.write(&lock, &record(store, &one)).unwrap();
    let path = fixture.path("attachments/c1@eth0");
    let first = fs::read(&path).unwrap();
    let mut changed = record(store, &one);
    changed.state = State::Added;
    store.write(&lock, &changed).unwrap();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, "").unwrap();
    assert_eq!(store.read(&one).unwrap(), None, "nobody wrote anything yet");
    for cut in 1..first.len() - 1 {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(store.read(&one), Err(Error::Garbled { .. })), "cut at {cut}");
    }
    for cut in first.len()..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        assert_eq!(store.read(&one).unwrap().unwrap().state, State::Adding, "cut at {cut}");
    }
    // What was written half is skipped, whatever comes after it.
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    store.write(&lock, &changed).unwrap();
    drop(lock);
    assert_eq!(store.read(&one).unwrap(), Some(changed));
    for garbage in [&b"\0\0\0\0"[..], b"[]", b"null", b"{\"format\":1}", b"\xff\xfe\n", b"\n"] {
        fs::write(&path, garbage).unwrap();
        assert!(matches!(store.read(&one), Err(Error::Garbled { .. })), "{garbage:?}");
    }
    store.remove(store.lock(&one).unwrap()).unwrap();
    assert_eq!(store.list().unwrap(), []);
}

#[test]
fn a_reader_sees_the_old_record_or_the_new() {
    let fixture = Fixture::new();
    let (store, one) = (&fixture.store, attachment("c1"));
    let lock = store.lock(&one).unwrap();
    let mut record = record(store, &one);
    store.write(&lock, &record).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                store.read(&one).unwrap().unwrap();
            }
        });
        for length in (0..3000).map(|turn| turn % 7 * 100) {
            record.ifname = "b".repeat(length);
            store.write(&lock, &record).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn only_what_is_proven_dead_is_locked_as_dead() {
    let fixture = Fixture::new();
    let (store, one) = (&fixture.store, attachment("c1"));
    let dead = |store: &Store, lives| store.lock_if_dead(&one, |_| lives).unwrap().is_some();
    assert!(!dead(store, false), "of this one nothing is known");
    assert_eq!(store.list().unwrap(), []);

    let lock = store.lock(&one).unwrap();
    let mut record = record(store, &one);
    store.write(&lock, &record).unwrap();
    assert!(!dead(store, false), "somebody works on it");
    drop(lock);
    assert!(dead(store, true), "its namespace is gone, and it had no link");

    let mut becomes = |change: &dyn Fn(&mut Record)| {
        change(&mut record);
        store.write(&store.lock(&one).unwrap(), &record).unwrap();
    };
    becomes(&|record| {
        record.host_link = Some(HostLink { name: "veth1".into(), mac: "02:00:00:00:00:01".parse().unwrap() })
    });
    assert!(!dead(store, true), "its link lives");
    assert!(dead(store, false));
    becomes(&|record| {
        record.netns = Netns { path: "/proc/self/ns/net".into(), id: NetnsId::own().unwrap() };
    });
    assert!(!dead(store, false), "its namespace lives");
    becomes(&|record| record.boot_id = BootId::parse("0-0").unwrap());
    assert!(dead(store, true), "it is of an older boot");
    fs::write(fixture.path("attachments/c1@eth0"), "{").unwrap();
    assert!(store.lock_if_dead(&one, |_| false).is_err(), "of a damaged record nothing is known");
}

#[test]
fn a_lock_is_had_by_one_and_survives_the_removal_of_its_file() {
    let fixture = Fixture::new();
    let (store, one) = (&fixture.store, attachment("c1"));
    let lock = store.lock(&one).unwrap();
    assert!(store.try_lock(&one).unwrap().is_none());
    assert!(store.try_lock(&attachment("c2")).unwrap().is_none(), "it is not there");
    assert!(store.lock_existing(&attachment("c2")).unwrap().is_none(), "it is not there");
    drop(store.lock(&attachment("c2")).unwrap());
    assert!(store.try_lock(&attachment("c2")).unwrap().is_some());

    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.lock(&one).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(50));
        store.remove(lock).unwrap();
        let second = waiting.join().unwrap();
        assert!(fixture.path("attachments/c1@eth0").exists(), "whoever comes now locks another file");
        assert!(store.try_lock(&one).unwrap().is_none(), "two hold the lock of one attachment");
        let waiting = scope.spawn(|| store.lock_existing(&one).unwrap().is_some());
        std::thread::sleep(std::time::Duration::from_millis(50));
        store.remove(second).unwrap();
        assert!(!waiting.join().unwrap(), "a lock without a file is none");
    });
}

#[test]
fn what_killed_processes_left_is_listed() {
    let fixture = Fixture::new();
    drop(fixture.store.lock(&attachment("locked")).unwrap());
    fs::write(fixture.path("attachments/foreign"), "").unwrap();
    fs::write(fixture.path("attachments/.hidden@eth0"), "").unwrap();
    assert_eq!(fixture.store.list().unwrap(), [attachment("locked")]);
}

#[test]
fn a_state_folder_that_others_can_write_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let refused = |expected: Unsafe| {
        for outcome in [Store::open(&dir, "net").map(Some), Store::existing(&dir, "net")] {
            assert!(matches!(outcome, Err(Error::Unsafe { reason, .. }) if reason == expected), "{outcome:?}");
        }
    };
    assert!(Store::existing(&dir, "net").unwrap().is_none());
    assert!(!dir.exists());

    symlink(root.path(), &dir).unwrap();
    refused(Unsafe::NotFolder);
    fs::remove_file(&dir).unwrap();
    fs::write(&dir, "").unwrap();
    refused(Unsafe::NotFolder);
    fs::remove_file(&dir).unwrap();

    Store::open(&dir, "net").unwrap();
    assert_eq!(networks(&dir).unwrap(), ["net"]);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o770)).unwrap();
    refused(Unsafe::Mode(0o770));
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    Store::open(&dir, "net").unwrap();
    chown(&dir, Some(12345), None).unwrap();
    refused(Unsafe::Owner(12345));
}

#[test]
fn names_cannot_leave_the_folder() {
    let fixture = Fixture::new();
    let state = fixture.root.path().join("state");
    for network in ["", ".", "..", "a/b", "../a", ".a", "a@b", "a b", "a\0b", &"n".repeat(201)] {
        assert!(matches!(Store::open(&state, network), Err(Error::Name { .. })), "{network:?}");
        let container = attachment(network);
        assert!(matches!(fixture.store.lock(&container), Err(Error::Name { .. })), "{network:?}");
        assert!(matches!(fixture.store.read(&container), Err(Error::Name { .. })), "{network:?}");
    }
    for ifname in ["", ".", "..", "a/b", "a b", "a\nb", "sixteen-bytes-xx", "a\0"] {
        let wrong = Attachment { container_id: "c1".into(), ifname: ifname.into() };
        assert!(matches!(fixture.store.lock(&wrong), Err(Error::Name { .. })), "{ifname:?}");
    }
    let longest = Attachment { container_id: "c".repeat(200), ifname: "eth@fifteenbyte".into() };
    let lock = fixture.store.lock(&longest).unwrap();
    fixture.store.write(&lock, &record(&fixture.store, &longest)).unwrap();
    assert_eq!(fixture.store.list().unwrap(), [longest]);
}

proptest::proptest! {
    #[test]
    fn no_content_of_a_record_is_more_than_an_error(content: Vec<u8>, cut in 0usize..700, at in 0usize..700, by: u8) {
        let fixture = Fixture::new();
        let (store, one) = (&fixture.store, attachment("c1"));
        let lock = store.lock(&one).unwrap();
        store.write(&lock, &record(store, &one)).unwrap();
        let path = fixture.path("attachments/c1@eth0");
        let mut changed = fs::read(&path).unwrap();
        changed.truncate(cut);
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= by;
        }
        for content in [content, changed] {
            fs::write(&path, &content).unwrap();
            let _ = store.read(&one);
            store.write(&lock, &record(store, &one)).unwrap();
            proptest::prop_assert!(store.read(&one).unwrap().is_some(), "what came before {content:?} still counts");
        }
    }
}

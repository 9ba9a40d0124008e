//! Each system call that changes something refused: said with its errno and undone, or of no importance.

use nix::errno::Errno;
use serde_json::Value;

use crate::{
    everything::{INSIDE, Kind, Scene, assert_same},
    strike::{Blow, Change, Struck},
    support::Host,
};

const ERRNOS: [Errno; 5] = [Errno::EPERM, Errno::ENOMEM, Errno::EBUSY, Errno::ENOSPC, Errno::EIO];

/// Each change is refused for all of these.
fn is_thorough() -> bool {
    std::env::var_os("LOST_THOROUGH").is_some()
}

/// For how many of these each change is refused: all, or two that take turns.
fn turns() -> usize {
    if is_thorough() { ERRNOS.len() } else { 2 }
}

/// What came of the blows.
#[derive(Debug, Default)]
struct Tally {
    changes: usize,
    said: usize,
    warned: usize,
    of_no_importance: Vec<String>,
}

/// How things are after a blow.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// As before.
    Whole,
    /// As before but in the container, of which a warning tells.
    Warned,
}

/// Refuses each change of a verb. `judge` sees to it that all is well, and as before, after each.
fn refused_anywhere(kind: Kind, verb: &str, judge: fn(&Scene<'_>, &str, &Struck, &str) -> State) {
    let (mut tally, mut next) = (Tally::default(), Some(0));
    while let Some(from) = next {
        let host = Host::new();
        let scene = Scene::new(&host, kind);
        next = refused_from(from, &scene, verb, judge, &mut tally);
    }
    println!("{kind:?}: {verb} refused: {tally:#?}");
    assert!(tally.changes > 5 && tally.said > 5, "{tally:?}");
}

/// Goes on with this blow, each change being dealt [`turns`] of them, until there is no other change; or says where to go
/// on with a new container, when this one is spoiled.
fn refused_from(
    from: usize,
    scene: &Scene<'_>,
    verb: &str,
    judge: fn(&Scene<'_>, &str, &Struck, &str) -> State,
    tally: &mut Tally,
) -> Option<usize> {
    let before = scene.held();
    for blow in from.. {
        let (at, turn) = (blow / turns(), blow % turns());
        let errno = ERRNOS[(at + 2 * turn) % ERRNOS.len()];
        if verb == "DEL" {
            scene.web.add(&scene.config);
        }
        let struck = scene.strike(verb, Blow::Refuse(at, errno));
        let Some(change) = struck.changes.get(at) else {
            assert!(struck.output.status.success(), "{struck:?}");
            tally.changes = at;
            scene.web.del(&scene.config);
            assert_same(&before, &scene.held(), "at the end");
            return None;
        };
        let what = format!("{kind:?} {verb}, {errno:?} at change {at}, {change:?}", kind = scene.kind);
        tally.count(&struck, errno, &what);
        if judge(scene, &before, &struck, &what) == State::Warned {
            tally.warned += 1;
            return Some(if is_thorough() { blow + 1 } else { (at + 1) * turns() });
        }
        if turn + 1 == turns() {
            scene.works();
        }
    }
    None
}

impl Tally {
    fn count(&mut self, struck: &Struck, errno: Errno, what: &str) {
        if struck.output.status.success() {
            self.of_no_importance.push(what.into());
        } else if !refused_its_answer(struck) {
            says(struck, errno, what);
            self.said += 1;
        }
    }
}

/// All was done, but nobody could be told.
fn refused_its_answer(struck: &Struck) -> bool {
    struck.output.stdout.is_empty() && struck.changes.last() == Some(&Change::WRITE) && struck.output.stderr.is_empty()
}

/// One document, with what was tried and the errno.
fn says(struck: &Struck, errno: Errno, what: &str) {
    let document: Value =
        serde_json::from_str(&struck.output.stdout).unwrap_or_else(|error| panic!("{what}: {error} in {struck:?}"));
    let said = document["msg"].as_str().unwrap_or_default();
    let number = errno as i32;
    let named = [format!("os error {number})"), format!("errno {number})")].iter().any(|words| said.contains(words));
    assert!(said.contains("cannot ") && named, "{what}: it is not said what was tried, or the errno: {said}");
    assert!(!said.contains("defect"), "{what}: {said}");
}

/// An ADD that passed left all as it must be; one that failed left nothing.
fn all_or_nothing(scene: &Scene<'_>, before: &str, struck: &Struck, what: &str) -> State {
    if struck.output.status.success() {
        let result = serde_json::from_str(&struck.output.stdout).unwrap();
        scene.web.check(&scene.config, &result);
        scene.web.del(&scene.config);
    } else if refused_its_answer(struck) {
        scene.web.del(&scene.config);
    }
    assert_same(before, &scene.held(), what);
    State::Whole
}

/// A DEL that passed left nothing; after one that failed, the next one does.
fn gone_now_or_next(scene: &Scene<'_>, before: &str, struck: &Struck, what: &str) -> State {
    if !struck.output.status.success() {
        scene.web.del(&scene.config);
    }
    let held = scene.held();
    if struck.output.stderr.contains("are not as before: ") {
        let on_host = |held: &str| held.split_once(INSIDE).unwrap().0.to_owned();
        assert_same(&on_host(before), &on_host(&held), what);
        return State::Warned;
    }
    assert_same(before, &held, what);
    State::Whole
}

#[test]
fn native_add() {
    refused_anywhere(Kind::Native, "ADD", all_or_nothing);
}

#[test]
fn chained_add() {
    refused_anywhere(Kind::Chained, "ADD", all_or_nothing);
}

#[test]
fn native_del() {
    refused_anywhere(Kind::Native, "DEL", gone_now_or_next);
}

#[test]
fn chained_del() {
    refused_anywhere(Kind::Chained, "DEL", gone_now_or_next);
}

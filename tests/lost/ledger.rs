//! Who surely holds which address, as far as a caller of the plugin can know.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use serde_json::Value;

use crate::network::addresses_of;

/// What is known of each sandbox.
#[derive(Default)]
struct Entry {
    /// The result of its ADD, when surely nothing has been taken from it since.
    result: Option<Value>,
    /// How many calls began that may take something from it, and how many of them have not ended.
    begun: u64,
    running: u64,
}

impl Entry {
    fn undisturbed(&self, before: &Before) -> bool {
        before.quiet && self.begun == before.begun && self.running == 0
    }
}

/// The sandboxes by their numbers.
pub(crate) struct Ledger(Mutex<Vec<Entry>>);

/// What was known when a call began.
pub(crate) struct Before {
    begun: u64,
    quiet: bool,
    /// The result that the sandbox surely had.
    pub(crate) result: Option<Value>,
}

impl Ledger {
    pub(crate) fn new(sandboxes: usize) -> Self {
        Self(Mutex::new((0..sandboxes).map(|_| Entry::default()).collect()))
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A call begins that takes nothing from the sandbox.
    pub(crate) fn look(&self, sandbox: usize) -> Before {
        let entry = &self.entries()[sandbox];
        Before { begun: entry.begun, quiet: entry.running == 0, result: entry.result.clone() }
    }

    /// Whether nothing was taken from a sandbox since.
    pub(crate) fn undisturbed(&self, sandbox: usize, before: &Before) -> bool {
        self.entries()[sandbox].undisturbed(before)
    }

    /// Runs a call that may take what these sandboxes have.
    pub(crate) fn while_taking<T>(&self, sandboxes: &[usize], call: impl FnOnce() -> T) -> T {
        for sandbox in sandboxes {
            let entry = &mut self.entries()[*sandbox];
            (entry.result, entry.begun, entry.running) = (None, entry.begun + 1, entry.running + 1);
        }
        let done = call();
        for sandbox in sandboxes {
            self.entries()[*sandbox].running -= 1;
        }
        done
    }

    /// An ADD passed that began when `before` was known. Panics when another sandbox surely has one of its addresses.
    pub(crate) fn added(&self, sandbox: usize, before: &Before, result: Value) {
        let mut entries = self.entries();
        if !entries[sandbox].undisturbed(before) {
            return; // it may have been taken away since
        }
        entries[sandbox].result = Some(result);
        let mut holders = BTreeMap::new();
        for (number, entry) in entries.iter().enumerate() {
            for address in entry.result.iter().flat_map(addresses_of) {
                if let Some(other) = holders.insert(address.clone(), number) {
                    panic!("sandboxes {other} and {number} were both given {address}");
                }
            }
        }
    }
}

#[test]
fn two_holders_of_an_address_are_found() {
    let result = |last: u8| serde_json::json!({ "ips": [{ "address": format!("10.0.0.{last}/24") }] });
    let ledger = Ledger::new(3);
    ledger.added(0, &ledger.look(0), result(1));
    ledger.added(1, &ledger.look(1), result(2));
    let before = ledger.look(2);
    ledger.while_taking(&[2], || {});
    assert!(!ledger.undisturbed(2, &before));
    ledger.added(2, &before, result(2)); // nobody knows whether it still has that
    let before = ledger.while_taking(&[2], || ledger.look(2));
    ledger.added(2, &before, result(2));
    let twice = || ledger.added(2, &ledger.look(2), result(2));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(twice)).is_err());
}

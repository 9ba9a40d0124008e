//! One table of scenarios, each run by the reference plugins and by groundwork under their names, and where it makes
//! sense by groundwork with everything in one configuration: results, exit statuses, error codes, files and what the
//! kernel then holds and lets through must be the same, but for the deliberate differences ([`differences`]).
//!
//! `cargo test --test reference NAME` shows what differs in the scenarios of that name; a line with `-` is the
//! reference's alone, one with `+` groundwork's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "part of several suites")]
#[path = "../netns/network.rs"]
mod network;

mod compare;
mod differences;
mod kernel;
mod names;
mod probe;
mod run;
mod scenario;
mod scenarios;

use std::{
    process::ExitCode,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use libtest_mimic::{Arguments, Trial};

use compare::Compared;
use run::Side;
use scenario::Scenario;

/// Most of a trial is waiting: for the answers that do not come, and for IPv6.
const AT_ONCE: usize = 6;

static SCENARIOS: OnceLock<Vec<(Scenario, OnceLock<Vec<Compared>>)>> = OnceLock::new();

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(AT_ONCE));
    let scenarios = SCENARIOS.get_or_init(|| scenarios::all().into_iter().map(|one| (one, OnceLock::new())).collect());
    let mut trials: Vec<_> = (0..scenarios.len())
        .map(|number| Trial::test(scenarios[number].0.name.clone(), move || alike(number)))
        .collect();
    trials.push(Trial::test("names_are_used_once", || Ok(names_are_used_once()?)));
    trials.push(Trial::test("every_difference_still_differs", || Ok(every_difference_still_differs()?)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The comparisons of one scenario, made when they are first asked for.
fn compared(number: usize) -> &'static [Compared] {
    let (scenario, compared) = &SCENARIOS.get().unwrap()[number];
    compared.get_or_init(|| {
        let reference = run::run(scenario, Side::Reference);
        let mut sides = vec![Side::Names];
        sides.extend(scenario.together.then_some(Side::Together));
        sides.into_iter().map(|side| Compared::new(scenario, side, &reference, &run::run(scenario, side))).collect()
    })
}

fn alike(number: usize) -> Result<(), libtest_mimic::Failed> {
    let unlisted: String = compared(number).iter().map(Compared::unlisted).collect();
    if unlisted.is_empty() { Ok(()) } else { Err(unlisted.into()) }
}

/// Each pattern of the table is the only reason why some scenario passes: one that is not must go.
fn every_difference_still_differs() -> Result<(), String> {
    let (next, count) = (AtomicUsize::new(0), SCENARIOS.get().unwrap().len());
    let compare_all =
        || while Some(next.fetch_add(1, Ordering::Relaxed)).filter(|one| *one < count).map(compared).is_some() {};
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(compare_all))));
    let all: Vec<_> = (0..count).flat_map(compared).collect();
    let stale: String = differences::all().flat_map(|difference| difference.stale(&all)).collect();
    if stale.is_empty() { Ok(()) } else { Err(format!("these no longer differ:\n{stale}")) }
}

/// A name says which scenario is meant.
fn names_are_used_once() -> Result<(), String> {
    let mut names: Vec<_> = SCENARIOS.get().unwrap().iter().map(|(scenario, _)| scenario.name.as_str()).collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    if twice.is_empty() { Ok(()) } else { Err(format!("{twice:?}")) }
}

//! Many processes at once.

use std::{collections::BTreeSet, thread::sleep, time::Duration};

use libtest_mimic::Trial;

use crate::{
    trials_in_both,
    worker::{Gate, Place, outcome},
};

pub(crate) fn trials() -> Vec<Trial> {
    let distinct = trials_in_both("two_hundred_at_once_get_two_hundred_addresses", two_hundred);
    let churn = trials_in_both("no_address_is_taken_from_the_living_while_others_are_killed", churn);
    distinct.into_iter().chain(churn).collect()
}

/// The range has exactly as many addresses.
#[allow(clippy::needless_pass_by_value, reason = "the place ends with the trial")]
fn two_hundred(place: Place) {
    const LAST: &str = "201"; // 10.1.0.2 is the first
    let names: Vec<_> = (0..200).map(|number| format!("c{number}")).collect();
    let all = |verb: &str| {
        let gate = Gate::new();
        let running: Vec<_> = names.iter().map(|name| gate.before(place.command(&[], verb, name, LAST))).collect();
        drop(gate);
        running.into_iter().map(|child| outcome(&child.wait_with_output().unwrap())).collect::<Result<Vec<_>, _>>()
    };
    let addresses: BTreeSet<_> = all("add").unwrap().into_iter().collect();
    assert_eq!(addresses.len(), 200, "{addresses:?}");
    assert!(place.run("add", "late", LAST).unwrap_err().contains("no free address"), "the range was full");
    all("del").unwrap();
    assert_eq!(place.left(), [] as [String; 0]);
}

/// No more addresses than processes, and every third process ends in the middle of something. Its namespace is
/// gone by then, so others may take what it held.
#[allow(clippy::needless_pass_by_value, reason = "the place ends with the trial")]
fn churn(place: Place) {
    const LAST: &str = "21";
    let mut running = Vec::new();
    for number in 0..20 {
        running.push((number, place.command(&[], "churn", &format!("c{number}"), LAST).spawn().unwrap()));
    }
    let mut killed = 0;
    for (number, child) in &mut running {
        if *number % 3 == 0 {
            sleep(Duration::from_millis(60));
            child.kill().unwrap();
            killed += 1;
        }
    }
    let mut rounds = 0;
    for (number, child) in running {
        let ended = outcome(&child.wait_with_output().unwrap());
        if number % 3 != 0 {
            rounds += ended.unwrap().parse::<u32>().unwrap();
        }
        place.run("del", &format!("c{number}"), LAST).unwrap();
    }
    println!("{rounds} rounds, {killed} killed");
    assert!(rounds > 20, "hardly anything was tried: {rounds} rounds");
    assert_eq!(place.left(), [] as [String; 0]);
}

//! Two sides of one scenario, line by line.

use std::collections::BTreeMap;

use crate::{
    differences::{self, Difference},
    run::{ASIDE, Side},
    scenario::Scenario,
};

/// What one side of groundwork's does otherwise than the reference.
pub(crate) struct Compared {
    /// The scenario's name, with ` together` behind it when all was in one configuration.
    name: String,
    /// Lines of the reference alone, with `- ` before them, and of groundwork alone, with `+ `.
    lines: Vec<String>,
}

impl Compared {
    pub(crate) fn new(scenario: &Scenario, side: Side, reference: &[String], ours: &[String]) -> Self {
        let name = scenario.name.clone() + if side == Side::Together { " together" } else { "" };
        let only = only_one_added(reference, ours);
        let [reference, ours] = [reference, ours].map(|lines| beside(&only, lines));
        let mut lines: Vec<_> = without(&reference, &ours).map(|line| format!("- {line}")).collect();
        lines.extend(without(&ours, &reference).map(|line| format!("+ {line}")));
        Self { name, lines }
    }

    /// What no entry of the table explains, as a text for people.
    pub(crate) fn unlisted(&self) -> String {
        let explained = |line: &String| differences::all().any(|difference| difference.explains(&self.name, line));
        let lines: String =
            self.lines.iter().filter(|line| !explained(line)).map(|line| format!("  {line}\n")).collect();
        if lines.is_empty() { lines } else { format!("{} differs from the reference:\n{lines}", self.name) }
    }
}

/// The containers that one of the two could add and the other not.
fn only_one_added(one: &[String], other: &[String]) -> Vec<String> {
    let succeeds = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| line.starts_with("ADD of ") && line.ends_with(": succeeds"))
            .cloned()
            .collect::<Vec<_>>()
    };
    let (one, other) = (succeeds(one), succeeds(other));
    without(&one, &other)
        .chain(without(&other, &one))
        .map(|line| line["ADD of ".len()..].trim_end_matches(": succeeds").to_owned())
        .collect()
}

/// The lines but what such containers came to have: that one has it and the other not is said once.
fn beside(only: &[String], lines: &[String]) -> Vec<String> {
    let is_detail = |line: &&String| {
        only.iter().any(|name| {
            let outcome = [": succeeds", ": fails", ": code "]
                .iter()
                .any(|word| line.starts_with(&format!("ADD of {name}{word}")));
            let looks =
                ["with", "after the failed ADD of"].iter().any(|when| line.starts_with(&format!("{when} {name}, ")));
            looks || line.starts_with(&format!("ADD of {name}: ")) && !outcome
        })
    };
    lines.iter().filter(|line| !is_detail(line)).cloned().collect()
}

/// A line without what is only for people.
fn compared(line: &str) -> &str {
    line.split(ASIDE).next().unwrap_or(line)
}

/// Lines of one that the other has not, or not as often.
fn without<'a>(one: &'a [String], other: &[String]) -> impl Iterator<Item = &'a String> {
    let mut there: BTreeMap<&str, usize> = BTreeMap::new();
    other.iter().for_each(|line| *there.entry(compared(line)).or_default() += 1);
    let left = |line: &&String| match there.get_mut(compared(line)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    one.iter().filter(left).collect::<Vec<_>>().into_iter()
}

impl Difference {
    fn explains(&self, scenario: &str, line: &str) -> bool {
        self.scenarios.iter().any(|pattern| glob(pattern, scenario))
            && self.lines.iter().any(|pattern| glob(pattern, compared(line)))
    }

    /// The patterns that match nothing any more.
    pub(crate) fn stale(&self, all: &[&Compared]) -> Vec<String> {
        let of = |scenarios: &str| all.iter().filter(|compared| glob(scenarios, &compared.name)).collect::<Vec<_>>();
        let differs = |pattern: &str, found: &Compared| found.lines.iter().any(|line| glob(pattern, compared(line)));
        let idle_line = |pattern: &&&str| {
            !self.scenarios.iter().any(|scenarios| of(scenarios).iter().any(|compared| differs(pattern, compared)))
        };
        let idle_scenario = |scenarios: &&&str| {
            !of(scenarios).iter().any(|compared| self.lines.iter().any(|pattern| differs(pattern, compared)))
        };
        let lines = self.lines.iter().filter(idle_line);
        let scenarios = self.scenarios.iter().filter(idle_scenario);
        lines.chain(scenarios).map(|pattern| format!("  {pattern}   ({})\n", self.why)).collect()
    }
}

/// Whether the text is of this pattern, where `*` is anything.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

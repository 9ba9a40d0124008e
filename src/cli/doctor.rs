//! `groundwork doctor`: what the kernel has, what a configuration needs of it, and what to do about the rest.

use std::{collections::HashSet, fmt::Write as _};

use serde_json::{Value, json};

use crate::{
    config::LoaderName,
    kernel::{
        EnsureError, FeatureRef, Need, Provided, Provision, Source,
        cause::Cause,
        ensure, feature,
        loader::{self, Attempt, Outcome},
        modules::Modules,
        provision,
    },
};

/// How wide a report may be, in characters.
const WIDTH: usize = 96;
/// Where the third column of the table begins.
const COLUMN: usize = 36;

/// What is wanted of the doctor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The report as JSON.
    pub json: bool,
    /// Load what is needed and missing, as an ADD would.
    pub load: bool,
    /// The configuration's `loaders`.
    pub loaders: Option<Vec<LoaderName>>,
}

/// The doctor's finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The report, for people or as JSON, with a newline at its end.
    pub report: String,
    /// Whether everything that is needed is there or may be loaded.
    pub works: bool,
}

/// Examines the kernel for `needs`, the features of a configuration; for all that we know when there are none. Loads
/// nothing unless [`Options::load`] says so, and then only what `needs` name.
#[must_use]
pub fn doctor(needs: &[Need], options: &Options) -> Diagnosis {
    let loading = options.load.then(|| ensure(needs, options.loaders.as_deref()));
    let rows = rows(needs, options, loading.as_ref());
    let works = rows.iter().all(|row| !row.needed || row.works());
    let report = if options.json { as_json(&rows, works) } else { as_text(&rows, works, needs.is_empty()) };
    Diagnosis { report, works }
}

/// One feature.
struct Row {
    feature: FeatureRef,
    why: String,
    needed: bool,
    provision: Provision,
    /// How it came to be there, when we just loaded it.
    loaded: Option<Provided>,
    /// What was tried in vain just now, and why it did not help.
    failed: Option<(Vec<Attempt>, Vec<Cause>)>,
}

fn rows(needs: &[Need], options: &Options, loading: Option<&Result<crate::kernel::Ready, EnsureError>>) -> Vec<Row> {
    let mut features = match needs {
        [] => feature::ALL.iter().map(|feature| FeatureRef::Known(feature)).collect(),
        needs => needs.iter().map(|need| need.feature.clone()).collect::<Vec<_>>(),
    };
    let mut seen = HashSet::new();
    features.retain(|feature| seen.insert(feature.name().to_owned()));
    let (provided, missing) = match loading {
        None => (&[][..], &[][..]),
        Some(Ok(ready)) => (ready.provided(), &[][..]),
        Some(Err(error)) => (&error.provided[..], &error.missing[..]),
    };
    let row = |(feature, provision): (FeatureRef, Provision)| {
        let whys: Vec<&str> =
            needs.iter().filter(|need| need.feature == feature).map(|need| need.why.as_str()).collect();
        let loaded = provided.iter().find(|provided| provided.feature == feature);
        let failed = missing.iter().find(|missing| missing.feature == feature);
        Row {
            needed: !whys.is_empty(),
            why: if whys.is_empty() { feature.needed_for().to_owned() } else { whys.join("; ") },
            loaded: loaded.filter(|provided| provided.source != Source::There).cloned(),
            failed: failed.map(|missing| (missing.attempts.clone(), missing.causes.clone())),
            feature,
            provision,
        }
    };
    provision(&features, options.loaders.as_deref()).into_iter().map(row).collect()
}

impl Row {
    fn works(&self) -> bool {
        self.failed.is_none() && self.provision.is_possible()
    }

    fn state(&self) -> &'static str {
        match &self.provision {
            _ if self.failed.is_some() => "MISSING",
            Provision::BuiltIn => "built in",
            Provision::Loaded => "loaded",
            Provision::Loadable(_) => "loadable",
            Provision::Missing(_) if self.needed => "MISSING",
            Provision::Missing(_) => "missing",
            Provision::Unknown(_) => "unknown",
        }
    }

    fn causes(&self) -> &[Cause] {
        match (&self.failed, &self.provision) {
            (Some((_, causes)), _) | (None, Provision::Missing(causes)) => causes,
            _ => &[],
        }
    }

    fn attempts(&self) -> &[Attempt] {
        match (&self.failed, &self.loaded) {
            (Some((attempts, _)), _) => attempts,
            (None, Some(loaded)) => &loaded.attempts,
            (None, None) => &[],
        }
    }

    /// How it was just loaded, in words.
    fn arrival(&self) -> Option<String> {
        let Provided { source, micros, .. } = self.loaded.as_ref()?;
        Some(match source {
            Source::There => return None,
            Source::Loaded(loader) => {
                format!("loaded just now by {} in {} ms", loader::name(*loader), micros.div_ceil(1000))
            }
            Source::CameAlong { loader, with } => {
                format!("loaded just now by {}, along with {with}", loader::name(*loader))
            }
            Source::Unverified => "nothing tells whether it is there".to_owned(),
        })
    }

    fn as_json(&self) -> Value {
        let means = if let Provision::Loadable(means) = &self.provision { names(means) } else { Vec::new() };
        let attempt = |attempt: &Attempt| {
            json!({
                "loader": loader::name(attempt.loader),
                "module": attempt.module.as_str(),
                "skipped": matches!(attempt.outcome, Outcome::Skipped(_)),
                "outcome": attempt.outcome.to_string(),
            })
        };
        let cause = |cause: &Cause| json!({ "cause": cause.to_string(), "next": cause.next_step(&self.feature) });
        json!({
            "name": self.feature.name(),
            "module": self.feature.telling_module(),
            "needed": self.needed,
            "neededFor": self.why,
            "state": self.state().to_lowercase(),
            "loaders": means,
            "loaded": self.loaded.as_ref().map(arrival),
            "attempts": self.attempts().iter().map(attempt).collect::<Vec<_>>(),
            "causes": self.causes().iter().map(cause).collect::<Vec<_>>(),
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.arrival().into_iter().collect();
        if self.failed.is_some() {
            notes.extend(self.attempts().iter().map(Attempt::to_string));
        }
        match &self.provision {
            Provision::Loadable(means) if self.needed && self.failed.is_none() => {
                notes.push(format!(
                    "an ADD loads {} by {}",
                    self.feature.telling_module(),
                    names(means).join(", else ")
                ));
            }
            Provision::Unknown(why) => notes.push(why.clone()),
            _ => {}
        }
        if self.needed || self.failed.is_some() {
            let steps =
                |cause: &Cause| [format!("cause: {cause}"), format!("next: {}", cause.next_step(&self.feature))];
            notes.extend(self.causes().iter().flat_map(steps));
        }
        notes
    }
}

fn arrival(Provided { source, micros, .. }: &Provided) -> Value {
    let (by, with) = match source {
        Source::Loaded(loader) => (Some(*loader), None),
        Source::CameAlong { loader, with } => (Some(*loader), Some(with.name())),
        Source::There | Source::Unverified => (None, None),
    };
    json!({ "by": by.map(loader::name), "with": with, "micros": micros })
}

fn names(loaders: &[LoaderName]) -> Vec<&'static str> {
    loaders.iter().map(|name| loader::name(*name)).collect()
}

/// The report for programs:
///
/// ```text
/// { "kernel": RELEASE, "works": BOOL, "features": [ {
///     "name", "module": STRING, "needed": BOOL, "neededFor": STRING,
///     "state": "built in" | "loaded" | "loadable" | "missing" | "unknown",
///     "loaders": [NAME...]            which may bring it, when it is loadable
///     "loaded": null | { "by": NAME | null, "with": FEATURE | null, "micros": NUMBER }
///     "attempts": [ { "loader": NAME, "module": STRING, "skipped": BOOL, "outcome": STRING } ]
///     "causes": [ { "cause": STRING, "next": STRING } ] } ] }
/// ```
fn as_json(rows: &[Row], works: bool) -> String {
    let features: Vec<Value> = rows.iter().map(Row::as_json).collect();
    let document = json!({ "kernel": Modules::default().release(), "works": works, "features": features });
    format!("{document:#}\n")
}

fn as_text(rows: &[Row], works: bool, nothing_needed: bool) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(text, "kernel {}\n", Modules::default().release());
    for row in rows {
        let head = format!("  {:<21} {:<9} ", row.feature.name(), row.state());
        text.push_str(&wrapped(&head, &row.why));
        for note in row.notes() {
            text.push_str(&wrapped(&" ".repeat(COLUMN - 2), &note));
        }
    }
    text.push('\n');
    text.push_str(&verdict(rows, works, nothing_needed));
    text
}

fn verdict(rows: &[Row], works: bool, nothing_needed: bool) -> String {
    let count = |state: &str| rows.iter().filter(|row| row.needed && row.state() == state).count();
    match (nothing_needed, works, count("loadable"), count("MISSING")) {
        (true, ..) => "With --config FILE: what that configuration needs, and what to do about the rest.\n".to_owned(),
        (false, true, 0, _) => "This can work: the kernel has everything.\n".to_owned(),
        (false, true, count, _) => {
            format!("This can work: {count} to be loaded when first needed, or now by --load.\n")
        }
        (false, false, _, count) => format!("This cannot work: {count} missing.\n"),
    }
}

/// `head`, then `words` in lines of at most [`WIDTH`], indented to where they began.
fn wrapped(head: &str, words: &str) -> String {
    let indent = head.chars().count();
    let mut text = head.to_owned();
    let mut used = indent;
    for (index, word) in words.split_whitespace().enumerate() {
        let length = word.chars().count();
        if index > 0 && used + 1 + length > WIDTH {
            let _ = write!(text, "\n{:indent$}", "");
            used = indent;
        } else if index > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += length;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_of_the_kernel_are_wrapped_under_their_column() {
        let text = wrapped("  name    state  ", &"seven77 ".repeat(30));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() >= 3 && lines.iter().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(lines[1..].iter().all(|line| line.starts_with(&format!("{:17}seven77", ""))), "{text}");
    }

    fn features(needs: &[Need]) -> Vec<Value> {
        let Diagnosis { report, .. } = doctor(needs, &Options { json: true, ..Options::default() });
        let document: Value = serde_json::from_str(&report).unwrap();
        document["features"].as_array().unwrap().clone()
    }

    #[test]
    fn a_report_is_of_what_is_needed_once_or_else_of_everything() {
        let needs = [Need::new(&feature::VETH, "the container"), Need::new(&feature::VETH, "the host")];
        let [veth] = &features(&needs)[..] else { panic!() };
        assert_eq!((&veth["name"], &veth["neededFor"]), (&json!("veth"), &json!("the container; the host")));
        let all = features(&[]);
        assert_eq!(all.len(), feature::ALL.len());
        assert!(all.iter().all(|feature| feature["needed"] == false));
    }

    #[test]
    fn what_cannot_be_had_is_an_unhappy_diagnosis_and_says_what_to_do() {
        static NONE: feature::Feature = feature::Feature {
            name: "gw-none",
            probe: feature::Probe::Link("gw-none"),
            modules: &["gw-none"],
            request: None,
            ..feature::BRIDGE
        };
        for load in [false, true] {
            let options = Options { load, ..Options::default() };
            let Diagnosis { report, works } = doctor(&[Need::new(&NONE, "this test")], &options);
            assert!(!works, "{report}");
            assert!(
                report.contains("MISSING") && report.contains("next: ") && report.contains("cannot work"),
                "{report}"
            );
            assert_eq!(report.contains("tried ioctl"), load, "{report}");
            assert!(report.lines().all(|line| line.chars().count() <= WIDTH), "{report}");
        }
    }
}

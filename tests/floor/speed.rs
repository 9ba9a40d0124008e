//! How long each verb takes: the kernel's own floor, groundwork, the reference plugins.
//!
//! One run, interleaved; wall time from the caller's side and the CPU time of what it started. `make bench` runs it, and
//! docs/performance.md says what it does. `ROUNDS=n` makes it shorter or longer (40), and writes target/performance.md;
//! `REFERENCE_BIN=FOLDER` adds the reference plugins that lie there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a program for people")]

mod document;
mod figures;
mod node;
mod page;
mod plot;
mod program;
#[path = "../support/mod.rs"]
mod support;
mod variant;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use figures::{Account, Figures, What};
use node::{Kind, Node, connect, populate};
use page::{AT_ONCE, CONNECTED, PRESENT, VERBS};
use program::{Sample, cpu_of_children};
use serde_json::Value;
use support::{GROUNDWORK, REFERENCE_PLUGINS, run_within, sh};
use variant::{Outcome, Variant, Way, list};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const ROUNDS: usize = 40;
const WARM_UP: usize = 2;

/// The container that comes and goes while others stay.
const PROBE: usize = 1_010;

/// What the kernel does after a caller has its answer is over by then.
const SETTLE: Duration = Duration::from_millis(40);

fn main() {
    let chosen = std::env::var("ROUNDS").ok().map(|rounds| rounds.parse().expect("ROUNDS is a number"));
    let rounds: usize = chosen.unwrap_or(ROUNDS);
    let (start, load) = (Instant::now(), document::load());
    let folder = tempfile::tempdir().unwrap();
    let newer = std::env::var_os("REFERENCE_BIN").map(PathBuf::from);
    let kinds = [Kind::Floor, Kind::Groundwork, Kind::Reference].into_iter();
    let nodes: Vec<Node> = kinds.chain(newer.iter().map(|_| Kind::Reference)).map(Node::new).collect();
    let mut variants = variants(&nodes, folder.path(), newer.as_deref());
    let names: Vec<String> = variants.iter().map(|variant| variant.name.clone()).collect();
    let mut figures = Figures::default();

    println!("programs, system calls, memory");
    for variant in &variants {
        account(variant, &mut figures);
    }
    for at_once in AT_ONCE {
        println!("{at_once} at once");
        for _ in 0..(rounds * 3).div_ceil(at_once) {
            variants.iter().for_each(|variant| together(variant, at_once, &mut figures));
        }
    }
    let node_names: Vec<String> = first_of(&variants, &nodes).map(|variant| variant.name.clone()).collect();
    let mut present = 0;
    for wanted in [0, 1, 100, 500, 1_000] {
        println!("{wanted} attachments present");
        first_of(&variants, &nodes).for_each(|variant| populate(variant, present, wanted));
        present = wanted;
        if PRESENT.contains(&present) {
            let rounds = if present == 0 { rounds } else { (rounds / 4).max(2) };
            one_by_one(&mut variants, present, rounds, &mut figures);
        }
        if CONNECTED.contains(&present) {
            for (node, name) in nodes.iter().zip(&node_names) {
                let what = What::of(name, "connect", present, 1);
                let samples = connect(node, present).into_iter().map(|wall| Sample { wall, ..Sample::default() });
                figures.samples.extend(samples.map(|sample| (what.clone(), sample)));
            }
        }
    }
    let with = format!("Reference: {}", reference(newer.as_deref()));
    let machine = format!("{rounds} rounds, {}", document::machine(&load, start.elapsed(), &with));
    let measured = page::measured(&figures, &names, &node_names, &machine);
    println!("\n{measured}");
    let picture = page::picture(&figures, &names, &node_names);
    let page = Path::new(ROOT).join("docs/performance.md");
    let to = if chosen.is_none() { page.clone() } else { Path::new(ROOT).join("target/performance.md") };
    page::write(&page, &to, &measured, &picture);
    println!("written to {} and .svg", to.display());
}

fn variants<'a>(nodes: &'a [Node], folder: &Path, newer: Option<&Path>) -> Vec<Variant<'a>> {
    let examples = Path::new(GROUNDWORK).with_file_name("examples");
    let (floor, empty) = (examples.join("floor"), examples.join("empty"));
    assert!(floor.exists() && empty.exists(), "cargo build --release --example floor --example empty comes first");
    assert!(Path::new(REFERENCE_PLUGINS).join("bridge").exists(), "apt-get install containernetworking-plugins");
    let tool = run_within(Duration::from_secs(240), &mut Command::new(format!("{ROOT}/tests/cnitool/build")), "");
    let tool = PathBuf::from(tool.success("tests/cnitool/build").trim());
    let named = |name: &str, node, way| Variant { name: name.into(), node, way };
    let mut variants = vec![
        named("floor", &nodes[0], Way::Floor { program: floor.clone(), waits: false }),
        named("floor, DEL waits", &nodes[0], Way::Floor { program: floor, waits: true }),
        named("nothing", &nodes[0], Way::Nothing(empty)),
    ];
    let own = Path::new(GROUNDWORK).parent().unwrap();
    let plugins = [("groundwork", own), ("reference", Path::new(REFERENCE_PLUGINS))];
    let newer = newer.map(|plugins| ("reference, newer", plugins));
    for ((name, plugins), node) in plugins.into_iter().chain(newer).zip(&nodes[1..]) {
        let (plugins, list, lists) = (PathBuf::from(plugins), list(node.kind), folder.join(name));
        std::fs::create_dir(&lists).unwrap();
        std::fs::write(lists.join("bench.conflist"), list.to_string()).unwrap();
        let by_tool = Way::Cnitool { tool: tool.clone(), plugins: plugins.clone(), lists };
        variants.push(named(name, node, Way::Exec { plugins, list }));
        variants.push(named(&format!("{name}, cnitool"), node, by_tool));
    }
    variants
}

/// The first variant of each node: that which attaches its containers.
fn first_of<'a>(variants: &'a [Variant<'_>], nodes: &'a [Node]) -> impl Iterator<Item = &'a Variant<'a>> {
    nodes.iter().filter_map(|node| variants.iter().find(|variant| std::ptr::eq(variant.node, node)))
}

/// Every verb in turn, each variant after the other, none always after the slowest.
fn one_by_one(variants: &mut [Variant<'_>], present: usize, rounds: usize, figures: &mut Figures) {
    for round in 0..WARM_UP + rounds {
        let first = round % variants.len();
        variants.rotate_left(first);
        for variant in variants.iter() {
            let mut result = Value::Null;
            for verb in ["ADD", "CHECK", "STATUS", "DEL", "VERSION"] {
                let Some((sample, said)) = variant.measure(verb, PROBE, &result) else { continue };
                if verb == "ADD" {
                    result = said;
                }
                if round >= WARM_UP && variant.measures(verb) {
                    figures.samples.push((What::of(&variant.name, verb, present, 1), sample));
                }
                std::thread::sleep(SETTLE);
            }
        }
        variants.rotate_right(first);
    }
}

/// That many containers' ADDs at once, then their DELs.
fn together(variant: &Variant<'_>, at_once: usize, figures: &mut Figures) {
    if !matches!(variant.way, Way::Exec { .. } | Way::Floor { .. }) {
        return;
    }
    let mut results = vec![Value::Null; at_once];
    for verb in ["ADD", "DEL"] {
        let what = What::of(&variant.name, verb, 0, at_once);
        let (begin, cpu) = (Barrier::new(at_once), cpu_of_children());
        let done: Vec<(Instant, Instant, Outcome)> = std::thread::scope(|scope| {
            let one = |(index, result): (usize, &Value)| {
                let (begin, result) = (&begin, result.clone());
                scope.spawn(move || {
                    variant.node.host.starting(|| {
                        begin.wait();
                        let start = Instant::now();
                        let outcome = variant.perform(verb, index + 1, &result, &[]).unwrap();
                        (start, Instant::now(), outcome)
                    })
                })
            };
            let threads: Vec<_> = results.iter().enumerate().map(one).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (start, end) = (done.iter().map(|done| done.0).min(), done.iter().map(|done| done.1).max());
        let sample = Sample { wall: end.unwrap() - start.unwrap(), cpu: cpu_of_children().saturating_sub(cpu) };
        if variant.measures(verb) {
            figures.samples.push((what.clone(), sample));
        }
        for (result, (.., outcome)) in results.iter_mut().zip(done) {
            match outcome {
                Ok((_, said)) => *result = said,
                Err(said) => {
                    println!("{}: {verb}, {at_once} at once: {said}", variant.name);
                    figures.failures.push(what.clone());
                }
            }
        }
        std::thread::sleep(SETTLE * 10);
    }
}

/// Counts programs and system calls under strace, and asks for the peak memory, apart from what is timed.
fn account(variant: &Variant<'_>, figures: &mut Figures) {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let floor = Path::new(GROUNDWORK).with_file_name("examples").join("floor").display().to_string();
    let trace = words(&["strace", "-f", "-c", "-U", "name,calls,errors", "-A", "-o", "/run/trace"]);
    let peak = words(&[&floor, "peak", "/run/peak"]);
    let mut results = [Value::Null, Value::Null];
    for verb in ["ADD", "CHECK", "STATUS", "DEL", "VERSION"] {
        let mut notes = [String::new(), String::new()];
        for (pass, (wrapper, file)) in [(&trace, "/run/trace"), (&peak, "/run/peak")].into_iter().enumerate() {
            // Each pass has a container of its own.
            let perform = || variant.perform(verb, PROBE + pass, &results[pass], wrapper);
            let Some(outcome) = variant.node.host.starting(perform) else { continue };
            let (_, said) = outcome.unwrap_or_else(|said| panic!("{}: {verb}: {said}", variant.name));
            if verb == "ADD" {
                results[pass] = said;
            }
            notes[pass] = variant.node.host.sh(&format!("cat {file} && rm {file}"));
        }
        let [trace, peak] = notes;
        if trace.is_empty() || !variant.measures(verb) {
            continue;
        }
        let sum = |name, errors| trace.lines().filter_map(|line| row(line, name, errors)).sum();
        figures.accounts.push(Account {
            variant: variant.name.clone(),
            verb: VERBS.into_iter().find(|own| *own == verb).unwrap(),
            programs: sum("execve", false),
            calls: sum("total", true),
            peak_kib: peak.lines().filter_map(|line| line.parse().ok()).max().unwrap_or(0),
        });
    }
}

/// The calls of that name in a line of strace's summary, those that failed counted or not.
fn row(line: &str, name: &str, errors: bool) -> Option<usize> {
    let mut words = line.split_whitespace();
    words.next().filter(|word| *word == name)?;
    let calls: usize = words.next()?.parse().ok()?;
    let failed: usize = words.next().map_or(0, |word| word.parse().unwrap_or(0));
    Some(if errors { calls } else { calls - failed })
}

/// The versions of the reference plugins.
fn reference(newer: Option<&Path>) -> String {
    let debian = sh("dpkg-query -W -f '${Package} ${Version}' containernetworking-plugins");
    let newer = newer.map_or_else(String::new, |folder| {
        let said = sh(&format!("'{}/bridge' 2>&1 < /dev/null | head -n 1 || true", folder.display()));
        format!(" and {}", said.trim())
    });
    format!("{debian}{newer}")
}

//! The layout's own rules, as ARCHITECTURE.md and CONTRIBUTING.md state them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod rules;
mod samples;
mod source;

use source::{Source, sources};
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Panics with every line that breaks a rule, in these folders.
#[track_caller]
fn nothing_breaks(folders: &[&str], rule: impl Fn(&Source) -> Vec<String>) {
    let sources = sources(Path::new(ROOT), folders);
    assert!(!sources.is_empty());
    nothing(sources.iter().flat_map(rule).collect());
}

#[track_caller]
fn nothing(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn pure_rooms_touch_nothing() {
    let (crates, _) = rules::dependencies(&text("Cargo.toml"));
    let there = sources(Path::new(ROOT), &["src"]);
    for room in rules::PURE {
        assert!(there.iter().any(|source| source::module_of(&source.path) == room), "there is no {room}");
    }
    nothing_breaks(&["src"], |source| rules::pure_rooms_touch_nothing(source, &crates));
}

#[test]
fn only_the_door_prints() {
    nothing_breaks(&["src"], rules::only_the_door_prints);
}

#[test]
fn unsafe_is_argued_in_sys() {
    nothing_breaks(&["src", "tests"], rules::unsafe_is_argued_in_sys);
}

#[test]
fn files_are_short() {
    nothing_breaks(&["src", "tests"], rules::files_are_short);
}

#[test]
fn names_say_something() {
    nothing_breaks(&["src"], rules::names_say_something);
}

#[test]
fn the_map_names_every_room() {
    let lib = Source::parse("src/lib.rs", &text("src/lib.rs"));
    nothing(rules::rooms_not_on_the_map(&lib, &text("ARCHITECTURE.md")));
}

#[test]
fn the_readme_mentions_everything_that_help_offers() {
    let help = Command::new(env!("CARGO_BIN_EXE_groundwork")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(rules::offers(&help).len() > 3, "--help offers little:\n{help}");
    nothing(rules::offers_not_mentioned(&help, &text("README.md")));
    nothing(rules::offers_not_mentioned(&help, &text("CHANGELOG.md")));
    let verbs = "Commands:\n  add\n  del\n  check\n  gc\n  status\n  version\n";
    nothing(rules::offers_not_mentioned(verbs, &text("README.md").to_lowercase()));
}

/// It runs in any mount namespace: no dynamic loader is asked for.
#[test]
fn the_binary_is_static() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_groundwork")).unwrap();
    assert!(!rules::asks_for_a_loader(&binary));
    assert!(rules::asks_for_a_loader(&std::fs::read("/bin/sh").unwrap()), "the rule sees no loader in /bin/sh");
}

#[test]
fn dependencies_say_why_and_are_permissive() {
    nothing(rules::dependencies(&text("Cargo.toml")).1);
    let metadata = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 20);
    let licensed = |package: &&serde_json::Value| rules::is_permissive(package["license"].as_str().unwrap_or_default());
    nothing(packages.iter().filter(|package| !licensed(package)).map(|package| package["id"].to_string()).collect());
}

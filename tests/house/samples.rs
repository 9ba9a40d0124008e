//! Each rule on code that breaks it and on code that does not: a rule that can't fail is no rule.

use crate::rules::*;
use crate::source::Source;

fn pure(path: &str, text: &str) -> Vec<String> {
    pure_rooms_touch_nothing(&Source::parse(path, text), &["nix".into(), "serde".into(), "tokio".into()])
}

#[test]
fn a_pure_room_that_touches_the_host_is_found() {
    for (text, what) in [
        ("use std::fs;", "std::fs"),
        ("use std::{fmt, fs::File};", "std::fs::File"),
        ("use std::fs as disk; fn f() {}", "std::fs"),
        ("use std::{self}; fn f() { let x = std::env::var(\"A\"); }", "std::env::var"),
        ("use std::io; fn f() { io::stdin(); }", "std::io::stdin"),
        ("fn f() -> String { format!(\"{:?}\", std::process::id()) }", "std::process::id"),
        ("fn f(a: &std::path::Path) -> bool { a.exists() }", "exists"),
        ("use std::net::TcpStream;", "TcpStream"),
        ("use nix::sched;", "nix::sched"),
        ("fn f() { nix::sched::unshare(); }", "nix::sched::unshare"),
        ("use tokio::net::*;", "tokio::net"),
        ("use crate::sys::netns;", "crate::sys::netns"),
        ("use crate::{cni, rtnl::link};", "crate::rtnl::link"),
        ("use super::sys::netns;", "crate::sys::netns"),
        ("use crate::nft; fn f() { nft::socket::open(); }", "crate::nft::socket::open"),
        ("use crate::nft::{self, ruleset}; fn f() -> nft::wire::Batch { todo() }", "crate::nft::wire::Batch"),
        ("use crate::nft::Socket;", "crate::nft::Socket"),
        ("use crate::{Error, Result};", "crate::Error"),
        ("fn f() { fn g() { use crate::store; } }", "crate::store"),
    ] {
        let found = pure("src/config/mod.rs", text);
        assert!(found.iter().any(|line| line.contains(what)), "{text}: {found:?}");
        assert!(pure("src/sys/mod.rs", text).is_empty(), "{text}");
    }
    assert_eq!(pure("src/plan/add.rs", "use super::super::sys;").len(), 1);
    assert_eq!(pure("src/kernel/feature.rs", "use super::probe::Probe;").len(), 1);
    assert_eq!(
        pure("src/nft/ruleset.rs", "\n\nuse super::socket;"),
        ["src/nft/ruleset.rs:3: crate::nft::socket: a pure room uses a room that touches the host"]
    );
}

#[test]
fn a_pure_room_that_is_pure_is_not_found() {
    for text in [
        "use std::{fmt, net::IpAddr, path::PathBuf, time::Duration}; use serde::Serialize; use super::cni;",
        "use crate::{cni::result::Route, nft::ruleset::Element, rtnl::values::Link};",
        "fn f(fs: u8) -> u8 { fs + fs }",
        "#[cfg(test)] mod tests { use std::fs; use crate::sys; fn f() { fs::read(); } }",
        "#[cfg(test)] use std::fs;",
    ] {
        assert!(pure("src/config/mod.rs", text).is_empty(), "{text}: {:?}", pure("src/config/mod.rs", text));
    }
    assert!(pure("src/plan/add.rs", "use super::step; use super::super::config;").is_empty());
}

#[test]
fn printing_outside_the_door_is_found() {
    for text in [
        "fn f() { println!(\"x\"); }",
        "fn f() { if true { print!(\"x\") } }",
        "use std::io; fn f() { io::stdout(); }",
        "use std::io::stdout as out; fn f() { out(); }",
        "fn f() { write(nix::libc::STDOUT_FILENO); }",
    ] {
        assert!(!only_the_door_prints(&Source::parse("src/verb/add.rs", text)).is_empty(), "{text}");
        assert!(only_the_door_prints(&Source::parse("src/main.rs", text)).is_empty());
    }
    assert!(only_the_door_prints(&Source::parse("src/verb/add.rs", "fn f() { write!(x, \"println\"); }")).is_empty());
}

#[test]
fn unsafe_out_of_place_or_not_argued_is_found() {
    let of = |path, text| unsafe_is_argued_in_sys(&Source::parse(path, text));
    assert_eq!(of("src/rtnl/link.rs", "fn f() {\n unsafe { g() } }"), ["src/rtnl/link.rs:2: unsafe outside src/sys"]);
    assert_eq!(of("src/store/mod.rs", "#[cfg(test)] mod t { unsafe fn f() {} }").len(), 1);
    assert_eq!(of("src/sys/x.rs", "fn f() {\n    // SAFETY: it is fine\n    unsafe { g() } }").len(), 1);
    assert!(of("src/sys/x.rs", "// SAFETY: the pointer comes from\n// the reference one line above.\n").is_empty());
    assert!(of("src/rtnl/link.rs", "// unsafe\nfn f() { let x = \"unsafe\"; }").is_empty());
}

#[test]
fn long_files_are_found() {
    let of = |lines: usize| files_are_short(&Source::parse("src/x.rs", &"\n".repeat(lines)));
    assert!(of(FILE_LINES).is_empty());
    assert_eq!(of(FILE_LINES + 1).len(), 1);
}

#[test]
fn names_that_say_nothing_are_found() {
    let of = |text| names_say_something(&Source::parse("src/x.rs", text)).len();
    for text in [
        "fn get_link() {}",
        "impl A { fn do_it(&self) {} }",
        "trait A { fn handle_add(&self); }",
        "mod utils;",
        "mod util {}",
        "struct LinkManager;",
        "enum LinkInfo {}",
        "trait SomeData {}",
    ] {
        assert_eq!(of(text), 1, "{text}");
    }
    assert_eq!(of("fn getter() {} fn dot() {} mod utility_of_it {} struct Information; fn forget_it() {}"), 0);
}

#[test]
fn offers_that_no_document_mentions_are_found() {
    let help = "usage: x\n\nCommands:\n  doctor  looks; with --json for programs\n          (loads nothing)\n  groundwork plan --config FILE\n\nOptions:\n  -h, --help\n";
    assert_eq!(offers(help), ["--config", "--help", "--json", "doctor", "plan"]);
    assert_eq!(offers_not_mentioned(help, "`doctor --json`, `plan --config-file`, --help"), ["--config"]);
    assert_eq!(offers_not_mentioned(help, "planning, --helper"), offers(help));
}

#[test]
fn rooms_that_the_map_lacks_are_found() {
    let lib = Source::parse("src/lib.rs", "pub mod cni; mod sys; #[cfg(test)] mod tests {}");
    assert_eq!(rooms_not_on_the_map(&lib, "`cni`, `system`"), ["sys"]);
}

#[test]
fn dependencies_that_do_not_say_why_are_found() {
    let manifest =
        "[package]\nname = \"x\"\n[dependencies]\na-b = \"1\" # why\nc = \"2\"\n[profile.release]\nlto = 1\n";
    let (names, unexplained) = dependencies(manifest);
    assert_eq!(names, ["a_b", "c"]);
    assert_eq!(unexplained, ["Cargo.toml does not say why: c = \"2\""]);
}

#[test]
fn licences_with_no_way_round_the_gpl_are_found() {
    for (license, permissive) in [
        ("MIT OR Apache-2.0", true),
        ("MIT OR Apache-2.0 OR LGPL-2.1-or-later", true),
        ("GPL-3.0-only", false),
        ("LGPL-2.1", false),
        ("GPL-2.0 OR GPL-3.0", false),
        ("", false),
    ] {
        assert_eq!(is_permissive(license), permissive, "{license}");
    }
}

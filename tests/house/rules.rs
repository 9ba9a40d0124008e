//! The rules, each from a source to what breaks it.

use crate::source::{Kind, Named, Source};

/// Rooms that touch nothing: what they import is pure too.
pub(crate) const PURE: [&str; 8] = [
    "crate::cni",
    "crate::config",
    "crate::plan",
    "crate::overlay::plan",
    "crate::nft::ruleset",
    "crate::rtnl::values",
    "crate::ipam::ranges",
    "crate::kernel::feature",
];

/// Crates that a pure room may use; any other dependency may reach the host.
const PURE_CRATES: [&str; 8] = ["ipnet", "regex_lite", "serde", "serde_json", "sha2", "strsim", "thiserror", "tracing"];

/// The parts of std that reach the host.
const HOST_STD: [&str; 13] = [
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "std::os",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::time::SystemTime",
];

/// Methods of `Path` that ask the file system.
const HOST_METHODS: [&str; 9] = [
    "exists",
    "try_exists",
    "is_file",
    "is_dir",
    "is_symlink",
    "canonicalize",
    "symlink_metadata",
    "read_dir",
    "read_link",
];

/// The only places that print: the door for the protocol's document and for people's.
pub(crate) const DOOR: &str = "src/main.rs";

/// Lines that a file may have.
pub(crate) const FILE_LINES: usize = 400;

/// Files that may be longer, and why.
pub(crate) const LONG_FILES: [(&str, &str); 0] = [];

fn within(path: &str, room: &str) -> bool {
    path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_pure(path: &str) -> bool {
    PURE.iter().any(|room| within(path, room))
}

fn findings<'a>(
    source: &'a Source,
    names: impl IntoIterator<Item = &'a Named>,
    breaks: impl Fn(&str) -> Option<&'static str>,
) -> Vec<String> {
    let say = |named: &Named, why| format!("{}:{}: {}: {why}", source.path, named.line, named.name);
    names.into_iter().filter_map(|named| breaks(&named.name).map(|why| say(named, why))).collect()
}

/// A pure room imports no room, crate or part of std that touches the host. `crates`: the dependencies.
pub(crate) fn pure_rooms_touch_nothing(source: &Source, crates: &[String]) -> Vec<String> {
    if !is_pure(&crate::source::module_of(&source.path)) {
        return Vec::new();
    }
    let mut found = findings(source, &source.uses, |path| {
        let first = path.split("::").next().unwrap_or_default();
        // `crate::nft` on the way to `crate::nft::ruleset` is no import of the whole room.
        let on_the_way = PURE.iter().any(|room| within(room, path));
        if first == "crate" && !is_pure(path) && !on_the_way {
            Some("a pure room uses a room that touches the host")
        } else if HOST_STD.iter().any(|part| within(path, part)) {
            Some("a pure room uses a part of std that touches the host")
        } else if path.contains("::") && crates.iter().any(|name| name == first) && !PURE_CRATES.contains(&first) {
            Some("a pure room uses a crate that may touch the host")
        } else {
            None
        }
    });
    found.extend(findings(source, &source.calls, |method| {
        HOST_METHODS.contains(&method).then_some("a pure room asks the file system")
    }));
    found
}

/// Only the door prints.
pub(crate) fn only_the_door_prints(source: &Source) -> Vec<String> {
    if source.path == DOOR {
        return Vec::new();
    }
    findings(source, &source.uses, |path| {
        let last = path.rsplit("::").next().unwrap_or_default();
        let prints = within(path, "std::io::stdout") || matches!(last, "print" | "println" | "dbg" | "STDOUT_FILENO");
        prints.then_some("stdout belongs to the protocol, and src/main.rs writes it")
    })
}

/// `unsafe` lives in `src/sys`, and each SAFETY comment argues something.
///
/// That each block has one is clippy's `undocumented_unsafe_blocks`.
pub(crate) fn unsafe_is_argued_in_sys(source: &Source) -> Vec<String> {
    let say = |line: usize, what: &str| format!("{}:{line}: {what}", source.path);
    if source.path.starts_with("src/") && !source.path.starts_with("src/sys/") {
        return source.unsafes.iter().map(|line| say(*line, "unsafe outside src/sys")).collect();
    }
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(argument) = line.strip_prefix("// SAFETY:") else { continue };
        let more = lines[index + 1..].iter().take_while(|line| line.starts_with("//"));
        let argued = argument.split_whitespace().count()
            + more.map(|line| line.trim_start_matches('/').split_whitespace().count()).sum::<usize>();
        if argued < 6 {
            found.push(say(index + 1, "a SAFETY comment that argues nothing"));
        }
    }
    found
}

/// A file is at most [`FILE_LINES`] long, but for [`LONG_FILES`].
pub(crate) fn files_are_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let excused = LONG_FILES.iter().any(|(path, _)| *path == source.path);
    match lines > FILE_LINES {
        true if !excused => vec![format!("{}: {lines} lines, more than {FILE_LINES}", source.path)],
        false if excused => vec![format!("{}: short enough now, take it off the list", source.path)],
        _ => Vec::new(),
    }
}

/// No name that says nothing.
pub(crate) fn names_say_something(source: &Source) -> Vec<String> {
    const PREFIXES: [&str; 3] = ["get_", "do_", "handle_"];
    const WORDS: [&str; 7] = ["manager", "util", "utils", "helper", "helpers", "info", "data"];
    const SUFFIXES: [&str; 5] = ["Manager", "Info", "Data", "Util", "Helper"];
    let breaks = |kind: Kind, name: &str| match kind {
        Kind::Function => PREFIXES.iter().any(|prefix| name.starts_with(prefix)),
        Kind::Module => WORDS.contains(&name),
        Kind::Type => SUFFIXES.iter().any(|suffix| name.ends_with(suffix)),
    };
    let say = |named: &Named| format!("{}:{}: {}: a name that says nothing", source.path, named.line, named.name);
    source.gives.iter().filter(|(kind, named)| breaks(*kind, &named.name)).map(|(_, named)| say(named)).collect()
}

/// What `--help` offers and the document does not mention: options, and the commands under "Commands:".
pub(crate) fn offers_not_mentioned(help: &str, document: &str) -> Vec<String> {
    offers(help).into_iter().filter(|offer| !mentions(document, offer)).collect()
}

/// The options and commands of a `--help` text.
pub(crate) fn offers(help: &str) -> Vec<String> {
    let mut offers = Vec::new();
    let mut in_commands = false;
    for line in help.lines() {
        if !line.starts_with(' ') {
            in_commands = line.to_lowercase().starts_with("commands");
        } else if let (true, Some(command)) = (in_commands, line.split_whitespace().find(|word| *word != "groundwork"))
        {
            let indent = line.len() - line.trim_start().len();
            if indent <= 4 && command.chars().all(|letter| letter.is_ascii_lowercase()) {
                offers.push(command.to_owned());
            }
        }
        let words = line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
        offers.extend(words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned));
    }
    offers.sort();
    offers.dedup();
    offers
}

/// Whether the text has this word with no letter, digit or hyphen beside it.
fn mentions(text: &str, word: &str) -> bool {
    let apart = |letter: Option<char>| !letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    text.match_indices(word)
        .any(|(at, _)| apart(text[..at].chars().next_back()) && apart(text[at + word.len()..].chars().next()))
}

/// Top-level modules of `lib.rs` that the document does not name in backquotes.
pub(crate) fn rooms_not_on_the_map(lib: &Source, map: &str) -> Vec<String> {
    let rooms = lib.gives.iter().filter(|(kind, _)| *kind == Kind::Module).map(|(_, named)| &named.name);
    rooms.filter(|room| !mentions(map, room)).cloned().collect()
}

/// The names of the dependencies in a Cargo.toml, and the lines that don't say why.
pub(crate) fn dependencies(manifest: &str) -> (Vec<String>, Vec<String>) {
    let (mut names, mut unexplained) = (Vec::new(), Vec::new());
    let mut inside = false;
    for line in manifest.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('[') {
            inside = line.starts_with("[dependencies]") || line.starts_with("[dev-dependencies]");
        } else if let (true, Some((name, _))) = (inside, line.split_once('=')) {
            names.push(name.trim().replace('-', "_"));
            if !line.contains('#') {
                unexplained.push(format!("Cargo.toml does not say why: {line}"));
            }
        }
    }
    (names, unexplained)
}

/// Whether one of the alternatives of a licence expression is free of the GPL.
pub(crate) fn is_permissive(license: &str) -> bool {
    !license.is_empty() && license.split(" OR ").any(|one| !one.contains("GPL"))
}

/// Whether a 64-bit ELF file has a `PT_INTERP` header: the kernel would start a dynamic loader for it.
pub(crate) fn asks_for_a_loader(elf: &[u8]) -> bool {
    const INTERPRETER: [u8; 4] = 3_u32.to_ne_bytes();
    let word = |at: usize| usize::from(u16::from_ne_bytes([elf[at], elf[at + 1]]));
    let headers = usize::try_from(u64::from_ne_bytes(*elf[32..].first_chunk().unwrap())).unwrap();
    let (size, count) = (word(54), word(56));
    (0..count).any(|index| elf[headers + index * size..].starts_with(&INTERPRETER))
}

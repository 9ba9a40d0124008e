//! Whatever is read: inputs of a committed corpus, changed at random. Nothing panics, and what is understood stays the
//! same when it is written and read again.
//!
//! An input that failed once belongs into the corpus.

use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Instant,
};

use groundwork::{
    cni::{CniResult, Request, Verb, Version, args::CniArgs},
    config::NetworkConfig,
    plan,
    store::Record,
};

use crate::random::{Random, duration, seed};

/// Always the same changes first, then others for a while.
const FIXED: u64 = 2000;

fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lost/corpus").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// What has a meaning somewhere, or is on an edge.
const WORDS: [&str; 28] = [
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "0",
    "-1",
    "65536",
    "4294967296",
    "1e308",
    "\\u0000",
    "\\ud800",
    "\"10.0.0.0/0\"",
    "\"::/0\"",
    "\"255.255.255.255/32\"",
    "\"eth0\"",
    "\"..\"",
    "\"1.1.0\"",
    "\"0.1.0\"",
    "\"host-local\"",
    ",",
    ":",
    "\"",
    "=",
    ";",
    "[[",
    "{\"a\":",
    "\u{fffd}",
];

fn changed(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=[0, 0, 0, 1, 4][random.below(5)] {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below((bytes.len() - at).min(40) + 1);
        match random.below(10) {
            0 if at < bytes.len() => bytes[at] = random.next().to_le_bytes()[0],
            1 => drop(bytes.drain(at..end)),
            2 => bytes.truncate(at),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len());
                let part = &other[from..other.len().min(from + 60)];
                bytes.splice(at..end, part.iter().copied());
            }
            _ => {
                // In the place of a value, so that the document often stays one.
                let starts: Vec<_> = bytes.iter().enumerate().filter(|(_, byte)| b":,[=;".contains(byte)).collect();
                let from = if starts.is_empty() { at } else { starts[random.below(starts.len())].0 + 1 };
                let length = bytes[from..].iter().position(|byte| b",]};".contains(byte)).unwrap_or(0);
                bytes.splice(from..from + length, WORDS[random.below(WORDS.len())].bytes());
            }
        }
    }
    bytes
}

/// Feeds a reader for some seconds; it says whether it understood. It must understand some of it, and refuse some.
fn feed(folder: &str, read: impl Fn(&[u8]) -> bool) {
    let corpus = corpus(folder);
    assert!(corpus.iter().all(|bytes| read(bytes) || folder == "args"), "the corpus itself is understood");
    let (others, end) = (seed(), Instant::now() + duration(3));
    let (mut understood, mut refused) = (0_u64, 0_u64);
    let seeds = (0..FIXED).chain((0..).map(|number| others.wrapping_add(number)).take_while(|_| Instant::now() < end));
    for seed in seeds {
        let bytes = changed(&corpus, &mut Random(seed));
        match catch_unwind(AssertUnwindSafe(|| read(&bytes))) {
            Ok(true) => understood += 1,
            Ok(false) => refused += 1,
            Err(_) => panic!("{folder}, seed {seed}: {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    println!("{folder}: {understood} understood, {refused} refused");
    assert!(understood > FIXED / 100 && refused > FIXED / 100);
}

fn request(verb: Verb, args: &str) -> Request {
    let vars = |name: &str| {
        let value = match name {
            "CNI_COMMAND" => verb.as_str(),
            "CNI_CONTAINERID" => "web",
            "CNI_NETNS" => "/run/netns/web",
            "CNI_IFNAME" => "eth0",
            "CNI_PATH" => "/opt/cni/bin",
            "CNI_ARGS" => args,
            _ => return None,
        };
        Some(value.into())
    };
    Request::parse(&vars).unwrap()
}

#[track_caller]
fn same<T: PartialEq + Debug>(first: &T, again: &T) {
    assert_eq!(first, again, "it is not the same when it is written and read again");
}

/// For every verb; and what an ADD needs of the kernel can be told.
#[test]
fn configurations() {
    feed("config", |bytes| {
        for verb in Verb::ALL {
            let _ = NetworkConfig::parse(bytes, &request(verb, ""));
        }
        let parsed = NetworkConfig::parse(bytes, &request(Verb::Add, "IgnoreUnknown=1"));
        parsed.as_ref().map(plan::needs).is_ok()
    });
}

#[test]
fn arguments() {
    feed("args", |bytes| {
        let text = String::from_utf8_lossy(bytes).replace('\0', "");
        let Ok(args) = CniArgs::parse(&text) else { return false };
        let native = br#"{"cniVersion":"1.1.0","name":"net","type":"bridge","ipam":{"type":"host-local","subnet":"10.88.0.0/16"}}"#;
        let _ = NetworkConfig::parse(native, &request(Verb::Add, &text));
        let pairs: Vec<_> = args.pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        same(&args, &CniArgs::parse(&pairs.join(";")).unwrap());
        true
    });
}

#[test]
fn previous_results() {
    feed("result", |bytes| {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return false };
        let mut understood = false;
        for version in Version::SUPPORTED {
            let Ok(result) = CniResult::from_json(&value, version) else { continue };
            understood = true;
            for other in Version::SUPPORTED {
                let Ok(told) = result.to_json(other) else { continue };
                // What an older version cannot say is gone after the first time.
                let read = CniResult::from_json(&told, other).unwrap();
                same(&read, &CniResult::from_json(&read.to_json(other).unwrap(), other).unwrap());
            }
        }
        understood
    });
}

#[test]
fn records() {
    feed("record", |bytes| {
        let Ok(record) = serde_json::from_slice::<Record>(bytes) else { return false };
        same(&record, &serde_json::from_slice(&serde_json::to_vec(&record).unwrap()).unwrap());
        let _ = (record.owned(), record.owner(), record.is_gone(), record.attachment());
        true
    });
}

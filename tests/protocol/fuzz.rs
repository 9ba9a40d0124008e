//! Random requests, made of good ones: whatever comes, one document or none, and no panic.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    caller::{Caller, Vars, chained, collecting, delegated, failure, fixed, guarded, native, tuned, vars},
    support::Output,
};

/// Always the same requests, then others for a while.
const FIXED: std::ops::Range<u64> = 0..250;
const WHILE: Duration = Duration::from_secs(5);

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn one<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn odds(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// Values that have a meaning somewhere, or are on an edge.
fn interesting(random: &mut Random) -> Value {
    let texts = [
        "",
        "br0",
        "eth0",
        "..",
        "/",
        "a/b",
        "10.1.0.0/16",
        "0.0.0.0/0",
        "::/0",
        "fd00::/64",
        "10.1.0.1",
        "fd00::1",
        "255.255.255.255/32",
        "host-local",
        "static",
        "bridge",
        "groundwork",
        "1.1.0",
        "0.1.0",
        "02:00:00:00:00:01",
        "%s%n",
        "\u{0}",
        "\u{ffff}",
        "all",
        "netlink",
    ];
    match random.below(8) {
        0 => Value::Null,
        1 => random.odds(2).into(),
        2 => (*random.one(&[0_i64, 1, -1, 68, 1500, 65535, 65536, 4_294_967_295, 4_294_967_296, i64::MAX, i64::MIN]))
            .into(),
        3 => json!(*random.one(&[0.5, 1e308, -0.0])),
        4 => "x".repeat(random.below(70)).into(),
        5 => json!([interesting(random)]),
        6 => json!({ *random.one(&texts): interesting(random) }),
        _ => (*random.one(&texts)).into(),
    }
}

/// Changes a node of the document somewhere.
fn change(document: &mut Value, random: &mut Random) {
    match document {
        Value::Object(map) if !map.is_empty() && !random.odds(5) => {
            let keys: Vec<_> = map.keys().cloned().collect();
            let key = random.one(&keys).clone();
            match random.below(8) {
                0 => drop(map.remove(&key)),
                1 => {
                    let value = map.remove(&key).unwrap();
                    map.insert(key.to_uppercase(), value);
                }
                2 => drop(map.insert(random.one(&keys).clone() + "x", interesting(random))),
                _ => change(map.get_mut(&key).unwrap(), random),
            }
        }
        Value::Array(list) if !list.is_empty() && !random.odds(5) => {
            let index = random.below(list.len());
            match random.below(6) {
                0 => drop(list.remove(index)),
                1 => list.push(list[index].clone()),
                _ => change(&mut list[index], random),
            }
        }
        place => *place = interesting(random),
    }
}

/// Changes bytes somewhere.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        let byte = u8::try_from(random.below(256)).unwrap();
        match random.below(5) {
            0 if !bytes.is_empty() => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => bytes.truncate(at),
            3 if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => {
                let end = at + random.below(bytes.len() - at);
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

/// The request of a seed.
fn request(seed: u64) -> (Vars, Vec<u8>) {
    let mut random = Random(seed);
    let corpus = [native(), fixed(), guarded(), tuned(), chained(), delegated(), collecting()];
    let mut document = random.one(&corpus).clone();
    for _ in 0..random.below(4) {
        change(&mut document, &mut random);
    }
    let mut stdin = document.to_string().into_bytes();
    if random.odds(4) {
        damage(&mut stdin, &mut random);
    }
    let verb = *random.one(&["ADD", "ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"]);
    let mut vars = vars(verb);
    if random.odds(4) {
        let index = random.below(vars.len());
        let mut value = vars[index].1.clone().into_vec();
        damage(&mut value, &mut random);
        value.retain(|byte| *byte != 0);
        vars[index].1 = OsString::from_vec(value);
    }
    if random.odds(4) {
        vars.push((
            "CNI_ARGS",
            (*random.one(&["IP=10.1.0.9", "MAC=02:00:00:00:00:09;A=1", "=", "IgnoreUnknown=1;;"])).into(),
        ));
    }
    (vars, stdin)
}

/// What must hold of every answer.
fn judge(output: &Output) {
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    match output.status.code() {
        Some(0) if output.stdout.is_empty() || output.stdout.contains("Commands for people") => {}
        Some(0) => drop(serde_json::from_str::<Value>(&output.stdout).expect("one document")),
        Some(1) => drop(failure(output)),
        _ => panic!("it ended with {}", output.status),
    }
}

/// Whatever the requests say, only the host's own folders can be written to.
fn only_its_own_can_be_written(caller: &Caller) {
    let Some(host) = &caller.host else { return };
    host.sh("for mount in $(findmnt -rno TARGET | grep -Ev '^/(proc|sys|dev|run|var/lib)(/|$)'); do
                mount -o remount,bind,ro $mount
             done
             ! touch /file 2> /dev/null && ! touch /tmp/file 2> /dev/null");
}

#[test]
fn no_request_is_too_strange() {
    let caller = Caller::new();
    only_its_own_can_be_written(&caller);
    let start = Instant::now();
    let random = start.elapsed().as_nanos() as u64 ^ u64::from(std::process::id()) << 32;
    let others = (0..).map(|number| random.wrapping_add(number)).take_while(|_| start.elapsed() < WHILE);
    let mut codes = std::collections::BTreeMap::<_, usize>::new();
    for seed in FIXED.chain(others) {
        let (vars, stdin) = request(seed);
        let output = caller.call(&vars, &stdin);
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(&output)));
        assert!(judged.is_ok(), "seed {seed}: {vars:?}\n{}\n{output:?}", String::from_utf8_lossy(&stdin));
        let document: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        *codes.entry(document["code"].as_u64().unwrap_or(0)).or_default() += 1;
    }
    // Strange in many ways, and not all alike.
    for code in [0, 1, 4, 6, 7] {
        assert!(codes.contains_key(&code), "{codes:?}");
    }
}

/// A seed stands for one request: a failure can be seen again.
#[test]
fn seeds_repeat() {
    for seed in FIXED {
        assert_eq!(request(seed), request(seed));
    }
    assert_ne!(request(0), request(1));
}

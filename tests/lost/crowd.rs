//! Two hundred calls at once about fifty sandboxes, and some of them are killed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io::{Seek, Write},
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    ifaddrs::getifaddrs,
    sched::{CloneFlags, setns},
};
use serde_json::{Value, json};

use crate::{
    everything::{Kind, Scene, assert_same},
    ledger::Ledger,
    network::{dual, with},
    random::{Random, duration, seed},
    support::{Host, Output, with_prev},
};

const CALLERS: usize = 200;
const SANDBOXES: usize = 50;
/// Fewer than sandboxes: at times there is none left.
const ADDRESSES: usize = 45;
/// An address of theirs is one of the kernel's own.
const LINK_LOCAL: &str = "fe80:";

/// Two sandboxes ask for each host port.
fn config(sandbox: usize) -> Value {
    let ranges = json!([
        [{ "subnet": "10.88.0.0/24", "rangeEnd": format!("10.88.0.{}", ADDRESSES + 1) }], [{ "subnet": "fd00:88::/64" }]
    ]);
    let port = json!({ "hostPort": 8000 + sandbox / 2, "containerPort": 80, "protocol": "tcp" });
    with(
        &dual(),
        json!({
            "ipam": { "ranges": ranges }, "ingressPolicy": "same-bridge", "runtimeConfig": { "portMappings": [port] },
        }),
    )
}

/// The fifty, and what is known of them.
struct Crowd<'a> {
    host: &'a Host,
    ledger: Ledger,
    over: AtomicBool,
    tally: Mutex<BTreeMap<String, usize>>,
    /// `ip netns` is not made for two that make and end the same one.
    one_ends: Mutex<()>,
}

#[test]
fn two_hundred_at_once() {
    let (seed, length) = (seed(), duration(20));
    let host = Host::new();
    let scene = Scene { config: config(0), ..Scene::new(&host, Kind::Plain) };
    scene.works();
    scene.gc();
    host.sh(&format!("for i in $(seq 0 {}); do ip netns add s$i; done", SANDBOXES - 1));
    let before = scene.held();
    let (over, tally) = (AtomicBool::new(false), Mutex::new(BTreeMap::new()));
    let crowd = Crowd { host: &host, ledger: Ledger::new(SANDBOXES), over, tally, one_ends: Mutex::new(()) };
    let rounds = thread::scope(|scope| {
        let monitor = scope.spawn(|| host.inside(|| crowd.monitor()));
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| Random(seed ^ (u64::try_from(number).unwrap() << 32)))
            .map(|random| scope.spawn(|| host.starting(|| crowd.call_again_and_again(random))))
            .collect();
        let end = Instant::now() + length;
        while Instant::now() < end && !crowd.over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
        }
        crowd.over.store(true, Ordering::Relaxed);
        let patience = Instant::now() + Duration::from_secs(60);
        while callers.iter().any(|caller| !caller.is_finished()) {
            if Instant::now() > patience {
                host.try_sh("kill -KILL -1"); // of this host's processes
            }
            thread::sleep(Duration::from_millis(50));
        }
        let ended: Vec<_> = callers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        assert!(ended.iter().all(Result::is_ok), "seed {seed}");
        assert!(Instant::now() < patience, "some call hung");
        monitor.join().unwrap()
    });
    let tally = crowd.tally.into_inner().unwrap();
    println!("monitored {rounds} times; {tally:#?}");
    for what in ["ADD passed", "ADD killed", "CHECK passed", "DEL passed", "DEL killed", "GC passed", "sandbox ended"] {
        assert!(tally.contains_key(what), "none {what}: {tally:?}");
    }
    assert!(rounds > 5);
    scene.gc();
    assert_same(&before, &scene.held(), "after the crowd and GC");
    let all = host.sh(&format!("for i in $(seq 0 {}); do ip -n s$i -br link; done", SANDBOXES - 1));
    assert!(all.lines().all(|line| line.starts_with("lo ")), "{all}");
    scene.works();
}

impl Crowd<'_> {
    fn call_again_and_again(&self, mut random: Random) {
        while !self.over.load(Ordering::Relaxed) {
            let fatal = OnPanic(&self.over);
            self.call(&mut random);
            drop(fatal);
        }
    }

    fn call(&self, random: &mut Random) {
        let sandbox = random.below(SANDBOXES);
        let patience = (random.below(6) == 0).then(|| Duration::from_micros(random.next() % 60_000));
        // Some are left alone for longer: it can be told what they surely have.
        let calm = sandbox < SANDBOXES / 3;
        match random.below(if calm { 200 } else { 20 }) {
            0..12 | 20.. => self.check_or_add(sandbox, patience),
            12..18 => self.del(sandbox, patience),
            18 => self.gc([sandbox, SANDBOXES - 1 - random.below(SANDBOXES / 2)], patience),
            _ => self.sandbox_ends(sandbox),
        }
    }

    fn check_or_add(&self, sandbox: usize, patience: Option<Duration>) {
        let before = self.ledger.look(sandbox);
        if let Some(result) = &before.result {
            let config = with_prev(&config(sandbox), result);
            let Some(output) = self.send("CHECK", sandbox, &config, patience) else { return };
            assert!(output.status.success() || !self.ledger.undisturbed(sandbox, &before), "CHECK: {output:?}");
            return;
        }
        let Some(output) = self.send("ADD", sandbox, &config(sandbox), patience) else { return };
        if output.status.success() {
            self.ledger.added(sandbox, &before, output.json("ADD"));
            return;
        }
        // It has one, no address is left, another has the port; or its sandbox has just ended.
        let code = output.error()["code"].as_u64().unwrap();
        assert!([4, 103, 107].contains(&code) || !self.ledger.undisturbed(sandbox, &before), "ADD: {output:?}");
    }

    fn del(&self, sandbox: usize, patience: Option<Duration>) {
        let output = self.ledger.while_taking(&[sandbox], || self.send("DEL", sandbox, &config(sandbox), patience));
        output.map(|output| output.success("DEL"));
    }

    /// All but two are valid.
    fn gc(&self, stale: [usize; 2], patience: Option<Duration>) {
        let stale: Vec<_> = BTreeSet::from(stale).into_iter().collect();
        let valid: Vec<_> = (0..SANDBOXES)
            .filter(|number| !stale.contains(number))
            .map(|number| format!("s{number}"))
            .chain(["stays".into()])
            .map(|id| json!({ "containerID": id, "ifname": "eth0" }))
            .collect();
        let config = with(&config(0), json!({ "cni.dev/valid-attachments": valid }));
        let output = self.ledger.while_taking(&stale, || self.send("GC", stale[0], &config, patience));
        output.map(|output| output.success("GC"));
    }

    /// The sandbox ends, and another of its name begins: its address may be given to others.
    fn sandbox_ends(&self, sandbox: usize) {
        self.ledger.while_taking(&[sandbox], || {
            let script = format!("ip netns del s{sandbox} && ip netns add s{sandbox}");
            let mut command = Command::new("sh");
            let _alone = self.one_ends.lock().unwrap();
            assert!(command.args(["-c", &script]).status().unwrap().success());
        });
        self.count("sandbox ended");
    }

    fn count(&self, what: &str) {
        *self.tally.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    /// Calls the plugin; None when patience was too short and it was killed.
    fn send(&self, verb: &str, sandbox: usize, config: &Value, patience: Option<Duration>) -> Option<Output> {
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(config.to_string().as_bytes()).unwrap();
        stdin.rewind().unwrap();
        let mut command = Command::new(&self.host.plugin);
        command.envs(self.host.named(&format!("s{sandbox}")).variables(verb));
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().unwrap();
        if let Some(patience) = patience {
            thread::sleep(patience);
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        let how = match (output.status.signal(), output.status.code()) {
            (Some(_), _) => "killed",
            (None, Some(0)) => "passed",
            _ => "refused",
        };
        self.count(&format!("{verb} {how}"));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (how != "killed" || patience.is_none()).then(|| Output {
            status: output.status,
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            elapsed: start.elapsed(),
        })
    }

    /// Looks again and again which sandbox has which address, and panics when two have the same; says how often.
    fn monitor(&self) -> usize {
        let mut rounds = 0;
        while !self.over.load(Ordering::Relaxed) {
            let fatal = OnPanic(&self.over);
            let mut seen: HashMap<String, (usize, String)> = HashMap::new();
            for number in 0..SANDBOXES {
                for (address, link) in addresses(number) {
                    let Some((other, its_link)) = seen.insert(address.clone(), (number, link)) else { continue };
                    // It had the address before and has it after, on the same link: so it had it meanwhile.
                    let still = addresses(other).get(&address) == Some(&its_link);
                    assert!(!still, "sandboxes {other} and {number} have {address} at once");
                }
            }
            rounds += 1;
            thread::sleep(Duration::from_millis(50));
            drop(fatal);
        }
        rounds
    }
}

/// The addresses of a sandbox, each with the hardware address of its link, which is another for each link.
fn addresses(sandbox: usize) -> HashMap<String, String> {
    let Ok(netns) = File::open(format!("/run/netns/s{sandbox}")) else { return HashMap::new() };
    if setns(netns, CloneFlags::CLONE_NEWNET).is_err() {
        return HashMap::new(); // the file of one that is just being made
    }
    let (mut links, mut found) = (HashMap::new(), Vec::new());
    for entry in getifaddrs().unwrap().filter(|entry| entry.interface_name != "lo") {
        let Some(address) = entry.address else { continue };
        match address.as_link_addr() {
            Some(link) => drop(links.insert(entry.interface_name, link.to_string())),
            None => found.push((entry.interface_name, without_port(&address.to_string()))),
        }
    }
    found.retain(|(_, address)| !address.starts_with(LINK_LOCAL));
    found.into_iter().filter_map(|(link, address)| Some((address, links.get(&link)?.clone()))).collect()
}

/// `10.0.0.2:0` and `[fd00::2]:0` without their ports.
fn without_port(text: &str) -> String {
    text.rsplit_once(':').map_or(text, |(address, _)| address).trim_matches(['[', ']']).to_owned()
}

/// Lets all end when one panics.
struct OnPanic<'a>(&'a AtomicBool);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

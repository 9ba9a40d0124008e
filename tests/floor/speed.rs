//! How long ADD and DEL take: the kernel's own floor, groundwork, the reference plugins.
//!
//! One run, interleaved, each variant on a host of its own; wall time from the caller's side and the
//! CPU time of what it started. `ROUNDS=n` sets how often (40). `make bench` runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a program for people")]

#[path = "../support/mod.rs"]
mod support;

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{GROUNDWORK, Host, REFERENCE_PLUGINS, run_within, sh};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const OPERATIONS: [&str; 4] = ["ADD", "CHECK", "DEL", "VERSION"];
const NETNS: &str = "/run/netns/web";
const WARM_UP: usize = 3;

/// What the kernel does after a caller has its answer is over by then.
const SETTLE: Duration = Duration::from_millis(40);

fn main() {
    let rounds: usize = std::env::var("ROUNDS").map_or(40, |rounds| rounds.parse().expect("ROUNDS is a number"));
    let folder = tempfile::tempdir().unwrap();
    let machine = sh("uname -sr; nproc; cut -d ' ' -f 1 /proc/loadavg");
    let mut variants = variants(folder.path());
    for round in 0..WARM_UP + rounds {
        let first = round % variants.len();
        variants.rotate_left(first); // none is always the one after the slowest
        for variant in &mut variants {
            variant.round(round, round >= WARM_UP);
        }
        variants.rotate_right(first);
    }
    let machine: Vec<&str> = machine.lines().collect();
    println!("\n{rounds} rounds, interleaved; {}, {} CPUs, load before {}", machine[0], machine[1], machine[2]);
    if machine[2].parse::<f64>().unwrap() > machine[1].parse::<f64>().unwrap() / 2.0 {
        println!("The machine was busy: waiting hides the differences of medians. Look at the lowest and at CPU.");
    }
    report(&variants);
}

/// A way to do the same thing.
struct Variant {
    name: &'static str,
    host: Host,
    call: MakeCall,
    result: Value,
    samples: Vec<(&'static str, Sample)>,
}

/// The process for an operation in this round, if the variant has one.
type MakeCall = Box<dyn Fn(&str, usize) -> Option<Call>>;

/// One process of a variant.
struct Call {
    command: Command,
    config: Option<Value>,
}

/// What one process took.
#[derive(Clone, Copy)]
struct Sample {
    wall: Duration,
    cpu: Duration,
}

fn variants(folder: &Path) -> Vec<Variant> {
    let floor = floor();
    let tool = run_within(Duration::from_secs(240), &mut Command::new(format!("{ROOT}/tests/cnitool/build")), "");
    let tool = tool.success("tests/cnitool/build").trim().to_owned();
    let native = network("groundwork");
    let reference = network("bridge");
    let mut chain = json!({"cniVersion": "1.0.0", "name": "bench", "plugins": [reference.clone(), {"type": "portmap",
        "capabilities": {"portMappings": true}}, {"type": "firewall"}]});
    chain["plugins"][0].as_object_mut().unwrap().retain(|key, _| key != "name" && key != "cniVersion");
    std::fs::write(folder.join("bench.conflist"), chain.to_string()).unwrap();

    let (one, two) = (floor.clone(), floor);
    let folder = folder.to_owned();
    vec![
        variant("floor", true, move |operation, _| floor_call(&one, "del-early", operation)),
        variant("floor, DEL waits", true, move |operation, _| floor_call(&two, "del", operation)),
        variant("groundwork", false, move |verb, round| plugin_call(GROUNDWORK.into(), &native, verb, round)),
        variant("reference bridge", false, move |verb, round| {
            plugin_call(Path::new(REFERENCE_PLUGINS).join("bridge"), &reference, verb, round)
        }),
        variant("reference chain, cnitool", false, move |verb, _| cnitool_call(&tool, &folder, verb)),
    ]
}

fn variant(name: &'static str, bare: bool, call: impl Fn(&str, usize) -> Option<Call> + 'static) -> Variant {
    let host = Host::new();
    host.sh("ip netns add web; sysctl -qw net.ipv4.ip_forward=1");
    if bare {
        host.sh("ip link add br0 type bridge; ip address add 10.88.0.1/16 dev br0; ip link set br0 up");
        host.sh(&format!("nft -f {ROOT}/tests/floor/ruleset.nft"));
    }
    Variant { name, host, call: Box::new(call), result: Value::Null, samples: Vec::new() }
}

fn network(plugin: &str) -> Value {
    json!({"cniVersion": "1.0.0", "name": "bench", "type": plugin, "bridge": "br0", "isGateway": true, "ipMasq": true,
        "ipam": {"type": "host-local", "subnet": "10.88.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}})
}

/// Where cargo put the floor program: beside the binary under test.
fn floor() -> PathBuf {
    let path = Path::new(GROUNDWORK).with_file_name("examples").join("floor");
    assert!(path.exists(), "cargo build --release --example floor comes first");
    path
}

fn floor_call(floor: &Path, del: &str, operation: &str) -> Option<Call> {
    let mut command = Command::new(floor);
    match operation {
        "ADD" => command.args(["add", NETNS, "br0", "vethbench", "10.88.0.2", "16", "10.88.0.1"]),
        "DEL" => command.args([del, "vethbench", "10.88.0.2"]),
        "VERSION" => command.arg("nothing"),
        _ => return None,
    };
    Some(Call { command, config: None })
}

fn plugin_call(plugin: PathBuf, config: &Value, verb: &str, round: usize) -> Option<Call> {
    let mut command = Command::new(plugin);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CNI_PATH", REFERENCE_PLUGINS);
    command.env("CNI_COMMAND", verb).env("CNI_CONTAINERID", format!("c{round}"));
    command.env("CNI_NETNS", NETNS).env("CNI_IFNAME", "eth0");
    Some(Call { command, config: Some(config.clone()) })
}

fn cnitool_call(tool: &str, folder: &Path, verb: &str) -> Option<Call> {
    if matches!(verb, "VERSION" | "CHECK") {
        return None; // its portmap's CHECK fails where there is no IPv6
    }
    let mut command = Command::new(tool);
    command.args([&verb.to_lowercase(), "bench", NETNS]);
    command.env("NETCONFPATH", folder).env("CNI_PATH", REFERENCE_PLUGINS);
    command.env("CAP_ARGS", r#"{"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}"#);
    Some(Call { command, config: None })
}

impl Variant {
    fn round(&mut self, round: usize, counts: bool) {
        for operation in OPERATIONS {
            let Some(mut call) = (self.call)(operation, round) else { continue };
            if let (Some(config), "CHECK" | "DEL") = (&mut call.config, operation) {
                config["prevResult"] = self.result.clone();
            }
            let (sample, stdout) = self.host.starting(|| call.run(&format!("{}: {operation}", self.name)));
            if operation == "ADD" {
                self.result = serde_json::from_str(&stdout).unwrap_or_default();
            }
            if counts {
                self.samples.push((operation, sample));
            }
            std::thread::sleep(SETTLE);
        }
    }

    fn of(&self, operation: &str) -> Vec<Sample> {
        self.samples.iter().filter(|(of, _)| *of == operation).map(|(_, sample)| *sample).collect()
    }
}

impl Call {
    /// Runs it where this thread is. The caller bounds the whole run.
    fn run(&mut self, what: &str) -> (Sample, String) {
        let text = self.config.as_ref().map(Value::to_string).unwrap_or_default();
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (start, cpu) = (Instant::now(), children_cpu());
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes()); // the floor reads nothing
        let output = child.wait_with_output().unwrap();
        let sample = Sample { wall: start.elapsed(), cpu: children_cpu() - cpu };
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{what}: {}\n{stdout}{stderr}", output.status);
        (sample, stdout.into_owned())
    }
}

/// The CPU time of all processes that this one has waited for, and of theirs.
fn children_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = |time: nix::sys::time::TimeVal| u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap();
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

/// The value at this part of the way through the sorted times, in milliseconds.
fn quantile(samples: &[Sample], part: f64, time: impl Fn(&Sample) -> Duration) -> f64 {
    let mut times: Vec<f64> = samples.iter().map(|sample| time(sample).as_secs_f64() * 1000.0).collect();
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * part).round() as usize]
}

fn report(variants: &[Variant]) {
    println!(
        "\n{:8} {:26} {:>9} {:>8} {:>9} {:>15} {:>8}",
        "", "", "median ms", "x floor", "lowest", "quartiles", "CPU ms"
    );
    for operation in OPERATIONS {
        let mut floor = None;
        for variant in variants {
            let samples = variant.of(operation);
            if samples.is_empty() {
                continue;
            }
            let wall = |part| quantile(&samples, part, |sample| sample.wall);
            let median = wall(0.5);
            if variant.name == "floor" {
                floor = Some(median);
            }
            let ratio = floor.map_or_else(|| "-".to_owned(), |floor| format!("{:.2}", median / floor));
            let (lowest, spread) = (wall(0.0), format!("{:.2} - {:.2}", wall(0.25), wall(0.75)));
            let cpu = quantile(&samples, 0.5, |sample| sample.cpu);
            println!("{operation:8} {:26} {median:9.2} {ratio:>8} {lowest:9.2} {spread:>15} {cpu:8.2}", variant.name);
        }
    }
}

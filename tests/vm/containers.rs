//! Containers on the networks of `cni/`, by cnitool, on kernels without a module.

use std::{fs, path::Path, process::Command, sync::Arc};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{
    initrd::{Initrd, Storage},
    kernels::{KERNELS, Kernel, Unpacked},
    loader::{self, DEFAULT, Loader, seen},
    machine::Boot,
    matrix,
    report::Report,
    run,
};
use Loader::{Ioctl, Modprobe, Netlink};

/// An example, on a host.
struct Case {
    /// The file's name in `cni/`.
    example: &'static str,
    /// The prefix of its functions in guest/cases.sh or guest/containers.sh.
    host: &'static str,
    loaders: &'static [Loader],
    /// The loaders that are tried: the last one does it.
    tried: &'static [Loader],
}

const MOBY: &[Loader] = &[Ioctl, Modprobe];
const MODPROBE_FIRST: &[Loader] = &[Modprobe, Ioctl];

const fn case(example: &'static str, host: &'static str, loaders: &'static [Loader], tried: &'static [Loader]) -> Case {
    Case { example, host, loaders, tried }
}

static CASES: &[Case] = &[
    case("10-chained", "ordinary", DEFAULT, &[Netlink]),
    case("20-delegate", "ordinary", DEFAULT, &[Netlink]),
    case("30-bridge", "ordinary", DEFAULT, &[Netlink]),
    case("40-bridge-dual-stack", "ordinary", DEFAULT, &[Netlink]),
    case("10-chained", "ordinary", MOBY, &[Ioctl]),
    case("30-bridge", "ordinary", MOBY, &[Ioctl]),
    case("10-chained", "modprobe_in_path_only", MOBY, &[Ioctl, Modprobe]),
    case("30-bridge", "modprobe_in_path_only", MOBY, &[Ioctl, Modprobe]),
    case("10-chained", "no_modprobe_here", MODPROBE_FIRST, &[Modprobe, Ioctl]),
    case("30-bridge", "no_modprobe_here", MODPROBE_FIRST, &[Modprobe, Ioctl]),
    case("10-chained", "nested", DEFAULT, &[Netlink]),
    case("30-bridge", "nested", DEFAULT, &[Netlink]),
    case("30-bridge", "nested", MOBY, &[Ioctl]),
];

/// What the examples, and the reference plugins in them, need.
const MODULES: [&str; 8] =
    ["bridge", "veth", "nf_tables", "nft_chain_nat", "nft_masq", "nft_ct", "nft_fib_inet", "nft_reject_inet"];

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cni");

/// A boot of each kernel.
pub(crate) fn trials() -> Vec<Trial> {
    KERNELS.iter().flat_map(on).collect()
}

fn on(kernel: &'static Kernel) -> Vec<Trial> {
    let plan = plan().unwrap_or_else(|problem| format!("section plan echo '{problem}'"));
    let boot = Arc::new(Boot::new(kernel, "", plan, fill));
    let whole = Arc::clone(&boot);
    let boots = Trial::test(format!("{}::containers::boots", kernel.name), move || {
        whole.report().map(drop).map_err(Failed::from)
    });
    let trial = |case: &'static Case| {
        let boot = Arc::clone(&boot);
        Trial::test(format!("{}::containers::{}", kernel.name, step(case)), move || {
            boot.report().and_then(|report| judge(report, case)).map_err(Failed::from)
        })
    };
    std::iter::once(boots).chain(CASES.iter().map(trial)).collect()
}

fn step(case: &Case) -> String {
    format!("{}-{}-{}", case.example, case.host, loader::list(case.loaders))
}

/// The example as it stands in `cni/`.
fn example(case: &Case) -> Result<Value, String> {
    let file = Path::new(EXAMPLES).join(case.example).with_extension("conflist");
    let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
}

/// The first address of each network in it, which is its gateway's.
fn gateways(example: &Value) -> Vec<String> {
    let text = example.to_string();
    let subnets = text.split("\"subnet\":\"").skip(1).filter_map(|rest| rest.split('/').next());
    let gateway = |subnet: &str| match subnet.strip_suffix('0') {
        Some(network) => format!("{network}1"),
        None => format!("{subnet}1"),
    };
    subnets.map(gateway).collect()
}

fn plan() -> Result<String, String> {
    let mut plan = String::from(". /cases.sh\n. /containers.sh\n");
    for case in CASES {
        let example = example(case)?;
        let name = example["name"].as_str().ok_or("an example has no name")?;
        plan += &format!("container {} {} {name} {}\n", step(case), case.host, gateways(&example).join(" "));
    }
    Ok(plan)
}

fn fill(initrd: &Initrd, kernel: &Unpacked) -> Result<(), String> {
    matrix::program(initrd)?;
    initrd.link("/bin/groundwork", "/usr/lib/cni/groundwork")?;
    for plugin in ["bridge", "host-local", "portmap"] {
        let path = format!("/usr/lib/cni/{plugin}");
        initrd.program(&path, &path)?;
    }
    initrd.program("nft", "/usr/sbin/nft")?;
    initrd.program(&cnitool()?, "/bin/cnitool")?;
    initrd.modules(kernel, "/trees/shipped", &MODULES, Storage::Shipped)?;
    for case in CASES {
        let mut example = example(case)?;
        let plugins = example["plugins"].as_array_mut().into_iter().flatten();
        for plugin in plugins.filter(|plugin| plugin["type"] == "groundwork") {
            plugin["logFile"] = json!("/log/groundwork");
            plugin["logLevel"] = json!("debug");
            if case.loaders != DEFAULT {
                plugin["loaders"] = case.loaders.iter().map(|loader| loader.name()).collect();
            }
        }
        initrd.text(&format!("/cni/{}/example.conflist", step(case)), &example.to_string())?;
    }
    Ok(())
}

/// `CNITOOL`, or the one that the suite `cnitool` builds.
fn cnitool() -> Result<String, String> {
    if let Ok(path) = std::env::var("CNITOOL") {
        return Ok(path);
    }
    let built = run(&mut Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cnitool/build")))?;
    Ok(built.trim().into())
}

/// The container came up on a kernel that had nothing, and the log says who brought what.
fn judge(report: &Report, case: &Case) -> Result<(), String> {
    let step = step(case);
    let part = |name: &str| report.stdout(&format!("{step}/{name}"));
    if !part("before")?.is_empty() {
        return Err("modules were loaded before".into());
    }
    let result: Value = serde_json::from_str(part("add")?).map_err(|e| format!("{e}: {:?}", report.section(&step)))?;
    if result["ips"].as_array().is_none_or(Vec::is_empty) {
        return Err(format!("no address: {result}"));
    }
    for gateway in gateways(&example(case)?) {
        part(&format!("ping/{gateway}"))?;
    }
    part("check")?;
    part("del")?;
    if part("links")?.lines().any(|link| link.contains("eth0")) {
        return Err("DEL left the container's link".into());
    }
    log_names(part("log")?, case)?;
    let asked = seen(part("asked")?);
    let by = case.tried.last();
    if asked.iter().all(|loader| case.tried.contains(loader)) && by.is_some_and(|by| asked.contains(by)) {
        Ok(())
    } else {
        Err(format!("modprobe was called by {asked:?}"))
    }
}

/// ADD's line says of each feature that the last of the loaders brought it; the others were tried before.
fn log_names(log: &str, case: &Case) -> Result<(), String> {
    let done = log
        .lines()
        .find(|line| line.contains(" INFO done ") && line.contains("verb=ADD"))
        .ok_or_else(|| format!("no ADD in the log:\n{log}"))?;
    let features =
        done.split_once("kernel=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(features, _)| features);
    let features: Vec<_> = features.unwrap_or_default().split(", ").collect();
    let by = case.tried.last().map_or("", |loader| loader.name());
    let expected = if case.example.starts_with("10") || case.example.starts_with("20") { 2 } else { 4 };
    if features.len() < expected || !features.iter().all(|feature| feature.ends_with(&format!(" by {by}"))) {
        return Err(format!("the log says: {done}"));
    }
    let tries = log.lines().filter(|line| line.contains("tried to load a module") && line.contains("module=bridge"));
    let tried: Vec<_> = tries.filter_map(|line| line.split_once("loader=\"")?.1.split('"').next()).collect();
    let names: Vec<_> = case.tried.iter().map(|loader| loader.name()).collect();
    if tried == names { Ok(()) } else { Err(format!("the log says that {tried:?} were tried:\n{log}")) }
}

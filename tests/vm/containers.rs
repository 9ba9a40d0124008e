//! Containers on the networks of `cni/`, by cnitool, on kernels without a module.

use std::{fs, path::Path, process::Command, sync::Arc};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{
    hosts,
    initrd::{Initrd, Storage},
    kernels::{KERNELS, Kernel, Unpacked},
    loader::{self, DEFAULT, Loader, seen},
    machine::Boot,
    matrix,
    report::Report,
    run,
};
use Loader::{Ioctl, Modprobe, Netlink};

/// A network, on a host.
struct Case {
    /// The file's name in `cni/` or in `networks/`.
    network: &'static str,
    /// The prefix of its functions in guest/cases.sh or guest/containers.sh.
    host: &'static str,
    loaders: &'static [Loader],
    /// The loaders that are tried: the last one does it.
    tried: &'static [Loader],
}

const MOBY: &[Loader] = &[Ioctl, Modprobe];
const MODPROBE: &[Loader] = &[Modprobe];
const MODPROBE_FIRST: &[Loader] = &[Modprobe, Ioctl];

const fn case(network: &'static str, host: &'static str, loaders: &'static [Loader], tried: &'static [Loader]) -> Case {
    Case { network, host, loaders, tried }
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
    // What the kernel had to load by itself would be something that groundwork does not know it needs.
    case("everything", "ordinary", MODPROBE, MODPROBE),
    case("vlan", "ordinary", MODPROBE, MODPROBE),
    case("ptp", "ordinary", MODPROBE, MODPROBE),
    case("dummy", "ordinary", MODPROBE, MODPROBE),
    case("overlay", hosts::HOST, DEFAULT, &[Netlink]),
    case("overlay", "ordinary", MODPROBE, MODPROBE),
];

/// The modules that they need.
const MODULES: [&str; 18] = [
    "bridge",
    "veth",
    "dummy",
    "vxlan",
    "ifb",
    "nf_tables",
    "nft_chain_nat",
    "nft_masq",
    "nft_nat",
    "nft_ct",
    "nft_fib_inet",
    "nft_reject_inet",
    "nft_meta_bridge",
    "nf_conntrack_netlink",
    "sch_tbf",
    "sch_ingress",
    "act_mirred",
    "cls_u32",
];

/// What the runtime gives to networks that declare the capability, examples aside: what follows in them may need more.
const ARGUMENTS: &str = r#"{"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
 {"hostPort": 5353, "containerPort": 53, "protocol": "udp"}],
 "bandwidth": {"ingressRate": 8000000, "ingressBurst": 8000000, "egressRate": 8000000, "egressBurst": 8000000}}"#;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A boot of each kernel.
pub(crate) fn trials() -> Vec<Trial> {
    KERNELS.iter().flat_map(on).collect()
}

fn on(kernel: &'static Kernel) -> Vec<Trial> {
    let plan = plan().unwrap_or_else(|problem| format!("section problem echo '{problem}'"));
    let boot = Arc::new(Boot::new(kernel, "", plan, fill));
    let whole = Arc::clone(&boot);
    let boots = Trial::test(format!("{}::containers::boots", kernel.name), move || {
        whole.report().map(drop).map_err(Failed::from)
    });
    let trial = |case: &'static Case| {
        let boot = Arc::clone(&boot);
        Trial::test(format!("{}::containers::{}", kernel.name, step(case)), move || {
            let report = boot.report()?;
            judge(report, case).map_err(|problem| format!("{problem}\n{}", notes(report, case)).into())
        })
    };
    std::iter::once(boots).chain(CASES.iter().map(trial)).collect()
}

fn step(case: &Case) -> String {
    format!("{}-{}-{}", case.network, case.host, loader::list(case.loaders))
}

fn is_example(case: &Case) -> bool {
    case.network.starts_with(char::is_numeric)
}

/// The network as its file has it.
fn network(case: &Case) -> Result<Value, String> {
    let folder = if is_example(case) { "cni" } else { "tests/vm/networks" };
    let file = Path::new(ROOT).join(folder).join(case.network).with_extension("conflist");
    let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
}

/// The first address of each subnet in it, which is its gateway's.
fn gateways(network: &Value) -> Vec<String> {
    match network {
        Value::Object(keys) => {
            keys.iter().flat_map(|(key, value)| if key == "subnet" { firsts(value) } else { gateways(value) }).collect()
        }
        Value::Array(values) => values.iter().flat_map(gateways).collect(),
        _ => Vec::new(),
    }
}

/// Of one subnet, or of several.
fn firsts(subnet: &Value) -> Vec<String> {
    let subnets = subnet.as_array().map_or(std::slice::from_ref(subnet), Vec::as_slice);
    let networks = subnets.iter().filter_map(|subnet| subnet.as_str()?.split('/').next());
    networks.map(|network| format!("{}1", network.strip_suffix('0').unwrap_or(network))).collect()
}

fn plan() -> Result<String, String> {
    let mut plan = String::from(". /cases.sh\n. /containers.sh\n. /hosts.sh\n");
    for case in CASES {
        let network = network(case)?;
        let name = network["name"].as_str().ok_or_else(|| format!("{} has no name", case.network))?;
        plan += &format!("container {} {} {name} {}\n", step(case), case.host, gateways(&network).join(" "));
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
        let mut network = network(case)?;
        let plugins = network["plugins"].as_array_mut().into_iter().flatten();
        for plugin in plugins.filter(|plugin| plugin["type"] == "groundwork") {
            plugin["logFile"] = json!("/log/groundwork");
            plugin["logLevel"] = json!("debug");
            if case.loaders != DEFAULT {
                plugin["loaders"] = case.loaders.iter().map(|loader| loader.name()).collect();
            }
        }
        let folder = format!("/cni/{}", step(case));
        initrd.text(&format!("{folder}/network.conflist"), &network.to_string())?;
        if case.host == hosts::HOST {
            hosts::fill(initrd, &folder, &network)?;
        }
        initrd.text(&format!("{folder}/arguments"), if is_example(case) { "" } else { ARGUMENTS })?;
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
    for gateway in gateways(&network(case)?) {
        part(&format!("ping/{gateway}"))?;
    }
    if case.host == hosts::HOST {
        hosts::judge(report, &step)?;
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

/// What else there is to know of a case.
fn notes(report: &Report, case: &Case) -> String {
    let step = step(case);
    let part = |name: &str| report.stdout(&format!("{step}/{name}")).unwrap_or_default();
    format!("modprobe's log:\n{}groundwork's log:\n{}", part("asked"), part("log"))
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
    if done.contains("kernel=\"\"") || !features.iter().all(|feature| feature.ends_with(&format!(" by {by}"))) {
        return Err(format!("the log says: {done}"));
    }
    let module = features.first().and_then(|feature| feature.split(' ').next()).unwrap_or_default();
    let of_module = format!(" module={module} ");
    let tries = log.lines().filter(|line| line.contains("tried to load a module") && line.contains(&of_module));
    let tried: Vec<_> = tries.filter_map(|line| line.split_once("loader=\"")?.1.split('"').next()).collect();
    let names: Vec<_> = case.tried.iter().map(|loader| loader.name()).collect();
    if tried == names { Ok(()) } else { Err(format!("the log says that {tried:?} were tried:\n{log}")) }
}

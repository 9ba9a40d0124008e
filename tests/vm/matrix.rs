//! Hosts x loaders x features: which loader brings the module, and what is said when none can.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{
    doctor::Said,
    feature::{
        ALL, BRIDGE, CONNTRACK, Feature, GENEVE, NF_TABLES, NFT_MASQ, NFT_META_BRIDGE, OVERLAY, Question, SORTS, TBF,
        VLAN, VRF, VXLAN,
    },
    initrd::{Initrd, Storage},
    kernels::{KERNELS, Kernel, Unpacked},
    loader::{self, DEFAULT, Loader, seen},
    machine::Boot,
    report::Report,
};
use Loader::{Finit, Ioctl, Modprobe, Netlink};

/// A host, in a boot of its kind, and the loaders that groundwork is told to use.
struct Case {
    /// The prefix of its functions in guest/cases.sh.
    host: &'static str,
    loaders: &'static [Loader],
    features: &'static [Feature],
    /// Whether this loader can bring this feature here.
    able: fn(Loader, &Feature, &Kernel) -> bool,
    /// What is said when none of them can.
    cause: &'static str,
}

/// A boot of each kernel.
struct Group {
    name: &'static str,
    options: &'static str,
    fill: fn(&Initrd, &Unpacked) -> Result<(), String>,
    cases: &'static [Case],
}

const MOBY: &[Loader] = &[Ioctl, Modprobe];
const NETLINK: &[Loader] = &[Netlink];
const IOCTL: &[Loader] = &[Ioctl];
const MODPROBE: &[Loader] = &[Modprobe];
const FINIT: &[Loader] = &[Finit];
const MODPROBE_FIRST: &[Loader] = &[Modprobe, Ioctl];
const FINIT_LAST: &[Loader] = &[Netlink, Ioctl, Modprobe, Finit];

const fn case(
    host: &'static str,
    loaders: &'static [Loader],
    features: &'static [Feature],
    able: fn(Loader, &Feature, &Kernel) -> bool,
    cause: &'static str,
) -> Case {
    Case { host, loaders, features, able, cause }
}

/// On an ordinary host: the kernel loads by itself what has a name of its own for it, the ioctl takes 15 bytes.
fn ordinary(loader: Loader, feature: &Feature, _: &Kernel) -> bool {
    match loader {
        Netlink => feature.autoload.is_some(),
        Ioctl => feature.module.len() <= 15,
        Modprobe | Finit => true,
    }
}

fn all_but_modprobe(loader: Loader, feature: &Feature, kernel: &Kernel) -> bool {
    loader != Modprobe && ordinary(loader, feature, kernel)
}

fn modprobe_only(loader: Loader, _: &Feature, _: &Kernel) -> bool {
    loader == Modprobe
}

fn netlink_only(loader: Loader, feature: &Feature, _: &Kernel) -> bool {
    loader == Netlink && feature.autoload.is_some()
}

/// fsopen(2) asks for CAP_SYS_ADMIN.
fn netlink_but_filesystems(loader: Loader, feature: &Feature, kernel: &Kernel) -> bool {
    *feature != OVERLAY && netlink_only(loader, feature, kernel)
}

/// A blacklist counts for aliases; 6.1 asks for sch_tbf by its own name.
fn by_name(loader: Loader, feature: &Feature, kernel: &Kernel) -> bool {
    let asked_by_name = *feature == TBF && kernel.name == "6.1";
    if loader == Netlink { asked_by_name } else { ordinary(loader, feature, kernel) }
}

fn finit_only(loader: Loader, _: &Feature, _: &Kernel) -> bool {
    loader == Finit
}

fn none(_: Loader, _: &Feature, _: &Kernel) -> bool {
    false
}

/// Kernels take plain files, and since 5.17, when they were built so, those of one compression: here .xz from 6.12 on.
fn xz_since_6_12(_: Loader, _: &Feature, kernel: &Kernel) -> bool {
    kernel.name != "6.1"
}

static GROUPS: &[Group] = &[
    Group {
        name: "ordinary",
        options: "",
        fill: all_modules,
        cases: &[
            case("ordinary", DEFAULT, ALL, ordinary, ""),
            case("ordinary", MOBY, ALL, ordinary, ""),
            case("ordinary", MODPROBE_FIRST, SORTS, ordinary, ""),
            case("ordinary", NETLINK, SORTS, ordinary, "the loaders of the configuration leave out "),
            case("ordinary", IOCTL, SORTS, ordinary, "the loaders of the configuration leave out "),
            case("ordinary", FINIT, SORTS, ordinary, ""),
        ],
    },
    Group {
        name: "means",
        options: "",
        fill: all_modules,
        cases: &[
            case("no_modprobe_here", DEFAULT, SORTS, all_but_modprobe, "there is no modprobe program here"),
            case("no_modprobe_here", MOBY, SORTS, all_but_modprobe, "there is no modprobe program here"),
            case("no_modprobe_here", MODPROBE_FIRST, SORTS, all_but_modprobe, "there is no modprobe program here"),
            case("modprobe_in_path_only", DEFAULT, SORTS, modprobe_only, ""),
            case("modprobe_in_path_only", MOBY, SORTS, modprobe_only, ""),
            case("no_environment", MODPROBE, SORTS, modprobe_only, ""),
            case("busybox_modprobe", MODPROBE, SORTS, modprobe_only, ""),
            case("net_admin_only", DEFAULT, SORTS, netlink_but_filesystems, "no CAP_SYS_MODULE"),
            case("net_admin_only", MOBY, SORTS, none, "no CAP_SYS_MODULE"),
            case("user_namespace", DEFAULT, SORTS, netlink_only, "in a user namespace"),
            case("user_namespace", MOBY, SORTS, none, "in a user namespace"),
            case("docker_in_docker", DEFAULT, SORTS, all_but_modprobe, "there is no /lib/modules/"),
            case("docker_in_docker", MOBY, SORTS, all_but_modprobe, "there is no /lib/modules/"),
            case("no_kernel_modprobe", DEFAULT, SORTS, modprobe_only, ""),
            case("no_kernel_modprobe", NETLINK, SORTS, none, "kernel.modprobe is empty"),
            case("ordinary", DEFAULT, &[VRF], ordinary, ""),
        ],
    },
    Group {
        name: "refusals",
        options: "",
        fill: all_modules,
        cases: &[
            case("blacklisted", DEFAULT, SORTS, by_name, ""),
            case(
                "blacklisted",
                NETLINK,
                SORTS,
                by_name,
                "it is blacklisted: /etc/modprobe.d/case.conf says `blacklist ",
            ),
            case("install_false", DEFAULT, SORTS, none, "/etc/modprobe.d/case.conf says `install "),
            case("install_false", FINIT_LAST, SORTS, finit_only, ""),
            case("not_built", DEFAULT, SORTS, none, "came without the module"),
            case("upgraded", DEFAULT, SORTS, none, "the kernel was upgraded to 99.0-later without a reboot"),
            case("ordinary", MOBY, &[VRF], ordinary, ""),
        ],
    },
    Group {
        name: "storage",
        options: "",
        fill: storages,
        cases: &[
            case("plain", DEFAULT, SORTS, ordinary, ""),
            case("plain", FINIT, SORTS, finit_only, ""),
            case("xz", DEFAULT, SORTS, ordinary, ""),
            case("xz", FINIT, SORTS, xz_since_6_12, ""),
            case("zst", DEFAULT, SORTS, ordinary, ""),
            case("zst", FINIT, SORTS, none, ""),
        ],
    },
    Group {
        name: "sealed",
        options: "module_blacklist=geneve",
        fill: all_modules,
        cases: &[
            case("command_line", DEFAULT, &[GENEVE], none, "/proc/cmdline says `module_blacklist=geneve`"),
            case(
                "modules_disabled",
                DEFAULT,
                &[BRIDGE, VXLAN, VLAN, NF_TABLES, NFT_MASQ, NFT_META_BRIDGE, CONNTRACK, TBF, OVERLAY],
                none,
                "kernel.modules_disabled is 1",
            ),
        ],
    },
];

/// Where modules.builtin is not, so nothing tells what is built in.
const WITHOUT_LISTS: [&str; 2] = ["upgraded", "docker_in_docker"];

/// A boot of each group on each kernel, and a trial for each host, list of loaders and feature.
pub(crate) fn trials() -> Vec<Trial> {
    // What 6.12 does otherwise than the kernels before and after it is how it stores modules.
    let due = |kernel: &Kernel, group: &Group| kernel.name != "6.12" || ["ordinary", "storage"].contains(&group.name);
    let boots = KERNELS.iter().flat_map(|kernel| GROUPS.iter().map(move |group| (kernel, group)));
    boots.filter(|(kernel, group)| due(kernel, group)).flat_map(|(kernel, group)| on(kernel, group)).collect()
}

fn on(kernel: &'static Kernel, group: &'static Group) -> Vec<Trial> {
    let boot = Arc::new(Boot::new(kernel, group.options, plan(group, kernel), group.fill));
    let whole = Arc::clone(&boot);
    let boots = Trial::test(format!("{}::{}::boots", kernel.name, group.name), move || {
        whole.report().map(drop).map_err(Failed::from)
    });
    let trial = |(case, feature): (&'static Case, &'static Feature)| {
        let boot = Arc::clone(&boot);
        Trial::test(format!("{}::{}", kernel.name, step(case, feature).replace('/', "::")), move || {
            boot.report().and_then(|report| judge(report, case, feature, kernel)).map_err(Failed::from)
        })
    };
    std::iter::once(boots).chain(tries(group, kernel).map(trial)).collect()
}

/// Each case with each of its features that is a module here.
fn tries(group: &'static Group, kernel: &Kernel) -> impl Iterator<Item = (&'static Case, &'static Feature)> {
    let is_module = move |feature: &&Feature| **feature != NFT_META_BRIDGE || kernel.name == "7";
    let of = move |case: &'static Case| case.features.iter().filter(is_module).map(move |feature| (case, feature));
    group.cases.iter().flat_map(of)
}

fn step(case: &Case, feature: &Feature) -> String {
    format!("{}/{}/{}", case.host, loader::list(case.loaders), feature.name)
}

/// The guest's plan.
fn plan(group: &'static Group, kernel: &Kernel) -> String {
    let line = |(case, feature): (&Case, &Feature)| {
        let config = configuration(case, feature);
        format!("try {} {} {} '{config}'\n", step(case, feature), case.host, feature.module)
    };
    std::iter::once(". /cases.sh\n".to_owned()).chain(tries(group, kernel).map(line)).collect()
}

/// A configuration that needs this feature only.
fn configuration(case: &Case, feature: &Feature) -> Value {
    let mut config = json!({ "cniVersion": "1.0.0", "name": "vm", "type": "groundwork", "modules": [feature.name] });
    if case.loaders != DEFAULT {
        config["loaders"] = case.loaders.iter().map(|loader| loader.name()).collect();
    }
    config
}

/// Groundwork says which loaders it tried and which one did it; modprobe's log and the kernel's list agree.
fn judge(report: &Report, case: &Case, feature: &Feature, kernel: &Kernel) -> Result<(), String> {
    let step = step(case, feature);
    let part = |name: &str| format!("{step}/{name}");
    let run = report.section(&part("run"))?;
    let (before, after) = (report.stdout(&part("before"))?, report.stdout(&part("after"))?);
    let asked = seen(report.stdout(&part("asked"))?);
    let by = case.loaders.iter().copied().find(|loader| (case.able)(*loader, feature, kernel));
    let tried: Vec<Loader> = match by {
        Some(by) => case.loaders.iter().copied().take_while(|loader| *loader != by).chain([by]).collect(),
        None => case.loaders.to_vec(),
    };
    // Whether it is built in cannot be told there without the question that makes the kernel load it.
    let by_asking = WITHOUT_LISTS.contains(&case.host)
        && feature.question == Question::Loading
        && (case.able)(Netlink, feature, kernel);
    let by = by.or(by_asking.then_some(Netlink));
    let said = Said::read(run, feature.name)?;
    let state = match by {
        Some(_) => "loaded",
        None if feature.question == Question::Lists && WITHOUT_LISTS.contains(&case.host) => "unknown",
        None => "missing",
    };
    let checks = [
        ("modules were loaded before", before.is_empty()),
        ("the state is another", said.state == state),
        ("it names other loaders", said.tried == tried),
        ("it names another loader as the one", said.by == by),
        ("its exit status is another", run.status == i32::from(state == "missing")),
        ("the module is not as it says", after.lines().any(|line| line == feature.module) == by.is_some()),
        ("modprobe was called by others", asked.iter().all(|loader| tried.contains(loader) || by == Some(*loader))),
        ("modprobe was not called by the one", by.is_none_or(|by| by == Finit || asked.contains(&by))),
        ("it gives another cause", state != "missing" || said.causes.contains(case.cause)),
    ];
    let wrong: Vec<_> = checks.iter().filter(|(_, holds)| !holds).map(|(what, _)| *what).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let wrong = wrong.join("; ");
    Err(format!(
        "{wrong}\nexpected: {state}, {tried:?} tried, {by:?} did it\nmodprobe's log: {asked:?}\nloaded: {after}\n{said:#?}\n{run:#?}"
    ))
}

/// All modules, as this kernel stores them.
pub(crate) fn all_modules(initrd: &Initrd, kernel: &Unpacked) -> Result<(), String> {
    program(initrd)?;
    let names: Vec<_> = ALL.iter().chain(&[VRF]).map(|feature| feature.module).collect();
    initrd.modules(kernel, "/trees/shipped", &names, Storage::Shipped)?;
    initrd.modules(kernel, "/trees/few", &["dummy"], Storage::Shipped)
}

fn storages(initrd: &Initrd, kernel: &Unpacked) -> Result<(), String> {
    program(initrd)?;
    let names: Vec<_> = SORTS.iter().map(|feature| feature.module).collect();
    for (tree, storage) in [
        ("/trees/shipped", Storage::Shipped),
        ("/trees/plain", Storage::Plain),
        ("/trees/xz", Storage::Xz),
        ("/trees/zst", Storage::Zst),
    ] {
        initrd.modules(kernel, tree, &names, storage)?;
    }
    Ok(())
}

/// groundwork, on the host and in a container's root folder.
pub(crate) fn program(initrd: &Initrd) -> Result<(), String> {
    let program = crate::groundwork()?;
    initrd.copy(program, "/bin/groundwork")?;
    initrd.copy(program, "/container/bin/groundwork")?;
    for folder in ["proc", "sys", "tmp"] {
        initrd.folder(&format!("/container/{folder}"))?;
    }
    Ok(())
}

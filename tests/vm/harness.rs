//! The harness itself: what the guest does is seen, and what it fails to do is seen too.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use crate::{
    feature::{ALL, VRF},
    initrd::{Initrd, Storage},
    kernels::{KERNELS, Kernel, Unpacked},
    machine::Boot,
    report::{Report, Section},
};

/// Each way into the kernel, without groundwork: a netlink request, an ioctl, modprobe.
const PLAN: &str = r"
section netlink/before loaded
section netlink/run ip link add vm0 type bridge
section netlink/asked cat /log/modprobe
section netlink/after loaded
ip link delete vm0
unload
: > /log/modprobe
section ioctl/before loaded
section ioctl/run ip link show vxlan
section ioctl/asked cat /log/modprobe
section ioctl/after loaded
unload
: > /log/modprobe
section modprobe/before loaded
section modprobe/run /sbin/modprobe -va dummy
section modprobe/asked cat /log/modprobe
section modprobe/after loaded
unload
section modprobe/unloaded loaded
section missing/run ip link add vm0 type macvlan
";

type Check = fn() -> Result<(), String>;

/// One boot for each kernel, and what needs one or none.
pub(crate) fn trials() -> Vec<Trial> {
    let others: [(_, Check); 3] = [
        ("every_feature_is_tried", every_feature_is_tried),
        ("a_report_that_is_cut_is_no_report", a_report_that_is_cut_is_no_report),
        ("a_guest_that_dies_is_noticed::boots", a_guest_that_dies_is_noticed),
    ];
    let others = others.map(|(name, check)| Trial::test(format!("harness::{name}"), move || Ok(check()?)));
    others.into_iter().chain(KERNELS.iter().flat_map(on)).collect()
}

fn every_feature_is_tried() -> Result<(), String> {
    let tried = |name: &str| ALL.iter().chain(&[VRF]).any(|feature| feature.name == name);
    match groundwork::kernel::feature::ALL.iter().find(|feature| !tried(feature.name)) {
        None => Ok(()),
        Some(feature) => Err(format!("{} is in no list of feature.rs", feature.name)),
    }
}

fn a_report_that_is_cut_is_no_report() -> Result<(), String> {
    let whole = "@begin one\r\n|@end 0\r\n|@done\r\n!two\r\n@end 7\r\n@done\r\n";
    let expected = Section { stdout: "@end 0\n@done\n".into(), stderr: "two\n".into(), status: 7 };
    if *Report::parse(whole)?.section("one")? != expected {
        return Err("what a step prints is taken for a mark".into());
    }
    let cuts = (0..whole.len() - "@done\r\n".len()).filter(|end| Report::parse(&whole[..*end]).is_ok());
    match cuts.collect::<Vec<_>>()[..] {
        [] => Ok(()),
        ref cuts => Err(format!("cut at {cuts:?} it is still a report")),
    }
}

fn a_guest_that_dies_is_noticed() -> Result<(), String> {
    let boot = Boot::new(&KERNELS[0], "", "section last true\nexit 1".into(), |_, _| Ok(()));
    match boot.report() {
        Err(error) if error.contains("Kernel panic") && error.contains("the guest stopped after 1 steps") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn on(kernel: &'static Kernel) -> Vec<Trial> {
    let boot = Arc::new(Boot::new(kernel, "", PLAN.into(), fill));
    let trial = |name: &str, check: fn(&Report) -> Result<(), String>| {
        let boot = Arc::clone(&boot);
        let name = format!("harness::{}::{name}", kernel.name);
        Trial::test(name, move || boot.report().and_then(check).map_err(Failed::from))
    };
    vec![
        trial("boots", |_| Ok(())),
        trial("netlink", |r| seen(r, "netlink", "bridge", &["/sbin/modprobe -q -- rtnl-link-bridge"])),
        trial("ioctl", |r| {
            seen(r, "ioctl", "vxlan", &["/sbin/modprobe -q -- netdev-vxlan", "/sbin/modprobe -q -- vxlan"])
        }),
        trial("modprobe", |r| seen(r, "modprobe", "dummy", &["/sbin/modprobe -va dummy"])),
        trial("unloads", |r| match r.stdout("modprobe/unloaded")? {
            "" => Ok(()),
            left => Err(format!("still loaded: {left}")),
        }),
        trial("missing", |r| match r.section("missing/run")? {
            section if section.status != 0 && section.stderr.contains("not supported") => Ok(()),
            other => Err(format!("{other:?}")),
        }),
    ]
}

fn fill(initrd: &Initrd, kernel: &Unpacked) -> Result<(), String> {
    initrd.modules(kernel, "", &["bridge", "vxlan", "dummy"], Storage::Shipped)
}

/// Nothing was loaded; then the module was, and modprobe had been called in just this way.
fn seen(report: &Report, step: &str, module: &str, asked: &[&str]) -> Result<(), String> {
    let out = |what| report.stdout(&format!("{step}/{what}"));
    let lines: Vec<_> = out("asked")?.lines().collect();
    if out("before")?.is_empty() && lines == asked && out("after")?.lines().any(|line| line == module) {
        Ok(())
    } else {
        Err(format!("{report:#?}"))
    }
}

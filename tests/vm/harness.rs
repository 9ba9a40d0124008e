//! The harness itself: what the guest does is seen, and what it fails to do is seen too.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use crate::{
    feature::{ALL, VRF},
    initrd::{Initrd, Storage},
    kernels::{KERNELS, Kernel, Unpacked},
    machine::Boot,
    report::Report,
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

/// One boot for each kernel, and that no feature is forgotten.
pub(crate) fn trials() -> Vec<Trial> {
    let known = || groundwork::kernel::feature::ALL.iter().map(|feature| feature.name);
    let tried = |name: &str| ALL.iter().chain(&[VRF]).any(|feature| feature.name == name);
    let complete = Trial::test("harness::every_feature_is_tried", move || match known().find(|name| !tried(name)) {
        None => Ok(()),
        Some(name) => Err(format!("{name} is in no list of feature.rs").into()),
    });
    std::iter::once(complete).chain(KERNELS.iter().flat_map(on)).collect()
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

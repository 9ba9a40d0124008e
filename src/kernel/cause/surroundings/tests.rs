use super::*;
use crate::{
    config::LoaderName,
    kernel::feature::{self, ModuleName},
    sys::netlink::Refusal,
};

const ALL_CAPABILITIES: &str = "Name:\tx\nCapEff:\t000001ffffffffff\n";

/// A modular host that could load everything but lacks the module itself.
fn host(extra: &[(&str, &str)]) -> Surroundings {
    let root = tempfile::tempdir().unwrap();
    let usual = [
        ("proc/modules", ""),
        ("proc/self/status", ALL_CAPABILITIES),
        ("proc/self/uid_map", "         0          0 4294967295\n"),
        ("proc/sys/kernel/modprobe", "/bin/sh\n"),
        ("proc/cmdline", "quiet\n"),
        ("etc/os-release", "NAME=x\nID=ubuntu\n"),
        ("lib/modules/6.1.0/modules.dep", "kernel/drivers/net/vxlan.ko.xz: kernel/net/udp_tunnel.ko.xz\n"),
    ];
    for (path, text) in usual.iter().chain(extra) {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Surroundings::under(root.path(), &Modules::under(root.path().to_owned(), "6.1.0".to_owned()))
}

fn causes(surroundings: &Surroundings, feature: &'static str, attempts: &[Attempt]) -> Vec<Cause> {
    surroundings.causes(&FeatureRef::new(feature).unwrap(), &Answer::Absent(None), attempts)
}

#[test]
fn a_module_that_was_not_shipped_is_named_with_the_package_that_brings_it() {
    let found = causes(&host(&[]), "geneve", &[]);
    let cause = found.first().unwrap();
    assert!(matches!(cause, Cause::NotShipped { module, .. } if module == "geneve"), "{found:?}");
    assert_eq!(cause.next_step(&(&feature::GENEVE).into()), "apt install linux-modules-extra-6.1.0");
}

#[test]
fn a_kernel_upgraded_without_a_reboot_is_recognized() {
    let mut surroundings = host(&[]);
    surroundings.release = "6.0.0".to_owned();
    let found = causes(&surroundings, "vxlan", &[]);
    assert_eq!(found, [Cause::Upgraded { running: "6.0.0".to_owned(), found: vec!["6.1.0".to_owned()] }]);
    assert!(found[0].to_string().contains("without a reboot"));
    surroundings.kernels.clear();
    assert_eq!(causes(&surroundings, "vxlan", &[]), [Cause::NoFiles { running: "6.0.0".to_owned() }]);
}

#[test]
fn lines_that_keep_a_module_out_are_quoted() {
    let surroundings = host(&[
        ("etc/modprobe.d/a.conf", "# blacklist bridge\n blacklist  vxlan\n"),
        ("etc/modprobe.d/b.conf", "install nft-masq /bin/false\n"),
        ("etc/modprobe.d/ignored.bak", "blacklist vxlan\n"),
        ("proc/cmdline", "ro module_blacklist=dummy,ifb\n"),
        ("lib/modules/6.1.0/modules.dep", "a/vxlan.ko:\na/nft_masq.ko:\na/ifb.ko:\n"),
    ]);
    let found = causes(&surroundings, "vxlan", &[]);
    assert!(matches!(&found[..], [Cause::Blacklisted { line, .. }] if line == "blacklist  vxlan"), "{found:?}");
    let found = causes(&surroundings, "nft_masq", &[]);
    assert!(matches!(&found[..], [Cause::Replaced { line, .. }] if line == "install nft-masq /bin/false"), "{found:?}");
    let found = causes(&surroundings, "ifb", &[]);
    assert!(matches!(&found[..], [Cause::Replaced { line, .. }] if line == "module_blacklist=dummy,ifb"), "{found:?}");
}

#[test]
fn missing_rights_are_told_apart() {
    let capable = |bits: u64| ("proc/self/status", format!("CapEff:\t{bits:016x}\n"));
    let without_module = capable(!(1 << CAP_SYS_MODULE));
    let found = causes(&host(&[(without_module.0, &without_module.1)]), "vxlan", &[]);
    assert_eq!(found, [Cause::NoSysModule]);
    let found = causes(&host(&[("proc/self/uid_map", "0 1000 1\n")]), "vxlan", &[]);
    assert_eq!(found, [Cause::UserNamespace]);
    let nothing = capable(0);
    let refused = Answer::Unknown(Some(Refusal::from(Errno::EPERM)));
    let found = host(&[(nothing.0, &nothing.1)]).causes(&(&feature::NF_TABLES).into(), &refused, &[]);
    assert_eq!(found, [Cause::NoNetAdmin]);
}

#[test]
fn settings_and_programs_are_blamed() {
    let found = causes(&host(&[("proc/sys/kernel/modules_disabled", "1\n")]), "vxlan", &[]);
    assert_eq!(found, [Cause::Disabled]);
    let no_program = Attempt {
        loader: LoaderName::Modprobe,
        module: ModuleName::new("vxlan").unwrap(),
        outcome: Outcome::NoProgram,
    };
    let found = causes(&host(&[("proc/sys/kernel/modprobe", "\n")]), "vxlan", &[no_program]);
    assert_eq!(found, [Cause::NoHelper, Cause::NoProgram]);
    let found = causes(&host(&[("proc/sys/kernel/modprobe", "/no/such\n")]), "vxlan", &[]);
    assert_eq!(found, [Cause::HelperMissing("/no/such".into())]);
    assert_eq!(causes(&host(&[]), "vxlan", &[]), [Cause::Unclear]);
}

#[test]
fn a_kernel_without_module_support_says_which_option_it_lacks() {
    let mut surroundings = host(&[]);
    surroundings.supported = false;
    let found = causes(&surroundings, "vlan", &[]);
    assert_eq!(found, [Cause::NoModuleSupport]);
    assert!(found[0].next_step(&(&feature::VLAN).into()).contains("CONFIG_VLAN_8021Q"));
}

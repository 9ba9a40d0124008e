//! The kernel's questions and answers, against the kernel of this machine, each test in a network namespace of its own.
//!
//! Which features it has differs from machine to machine: `ip`, `nft` and `tc` are asked the same and must agree.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use groundwork::kernel::{
    FeatureRef, Need, Source, ensure,
    feature::{self, Feature, Probe},
    probe::{Answer, Prober},
};
use nix::sched::{CloneFlags, unshare};

/// Runs `work` in a fresh network namespace, on a thread that ends with it.
fn in_netns<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: run as root or under unshare -Ur");
            work()
        });
        thread.join().expect("the thread's own panic says why")
    })
}

fn run(program: &str, arguments: &str) -> Result<String, String> {
    let output = Command::new(program).args(arguments.split_ascii_whitespace()).output().expect(program);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Everything in this network namespace that a question could leave behind.
fn traces() -> String {
    ["ip -d link", "ip addr", "tc qdisc", "nft list ruleset", "tc actions ls action mirred"]
        .iter()
        .map(|line| {
            let (program, arguments) = line.split_once(' ').unwrap();
            run(program, arguments).unwrap_or_default()
        })
        .collect()
}

/// Whether the real thing can be made here, by the usual tools.
fn works(feature: &Feature) -> Option<bool> {
    let command = match feature.probe {
        Probe::Link("bridge" | "dummy" | "ifb" | "wireguard" | "bond") => {
            format!("ip link add gwk0 type {}", feature.name)
        }
        Probe::Link("veth") => "ip link add gwk0 type veth peer name gwk1".to_owned(),
        Probe::Link("vxlan") => "ip link add gwk0 type vxlan id 7 dstport 4789".to_owned(),
        Probe::Link("geneve") => "ip link add gwk0 type geneve id 7 remote 192.0.2.1".to_owned(),
        Probe::Link("macvlan" | "ipvlan") => format!("ip link add link gwp0 name gwk0 type {}", feature.name),
        Probe::Link("vlan") => "ip link add link gwp0 name gwk0 type vlan id 7".to_owned(),
        Probe::Link("vrf") => "ip link add gwk0 type vrf table 7".to_owned(),
        Probe::VlanFiltering => "ip link add gwk0 type bridge vlan_filtering 1".to_owned(),
        Probe::NfTables => "nft add table inet gwk".to_owned(),
        Probe::NftExpression { name: "masq", .. } => "nft add rule inet gwk c masquerade".to_owned(),
        Probe::NftExpression { name: "ct", .. } => "nft add rule inet gwk c ct state new".to_owned(),
        Probe::NftExpression { name: "fib", .. } => "nft add rule inet gwk p fib daddr type local".to_owned(),
        Probe::NftExpression { name: "reject", .. } => "nft add rule inet gwk p reject".to_owned(),
        Probe::NftExpression { name: "nat", .. } => "nft add rule inet gwk c snat ip to 192.0.2.1".to_owned(),
        Probe::NftExpression { name: "meta", .. } => "nft add rule bridge gwk s iifname lo drop".to_owned(),
        Probe::NftChain { name: "filter", .. } => {
            "nft add chain bridge gwk c { type filter hook prerouting priority 0 ; }".to_owned()
        }
        Probe::NftChain { name: "nat", .. } => {
            "nft add chain inet gwk n { type nat hook postrouting priority 100 ; }".to_owned()
        }
        Probe::Qdisc("tbf") => "tc qdisc add dev lo root tbf rate 1mbit burst 32k latency 50ms".to_owned(),
        Probe::Qdisc("ingress") => "tc qdisc add dev lo handle ffff: ingress".to_owned(),
        Probe::Action("mirred") => "tc actions add action mirred egress redirect dev lo index 77".to_owned(),
        Probe::Classifier("u32") => "tc filter add dev gwp0 parent ffff: u32 match u8 0 0".to_owned(),
        _ => return None,
    };
    let (program, arguments) = command.split_once(' ').unwrap();
    Some(run(program, arguments).is_ok())
}

/// What some of the real things stand on.
fn stage() {
    run("ip", "link add gwp0 type veth peer name gwp1").unwrap();
    let _ = run("nft", "add table bridge gwk");
    let _ = run("nft", "add table inet gwk");
    let _ = run("nft", "add chain inet gwk c { type nat hook postrouting priority 0 ; }");
    let _ = run("nft", "add chain inet gwk p { type filter hook prerouting priority 0 ; }");
    let _ = run("nft", "add chain bridge gwk s { type filter hook input priority 0 ; }");
    let _ = run("tc", "qdisc add dev gwp0 handle ffff: ingress");
}

#[test]
fn each_answer_agrees_with_making_the_real_thing() {
    let mut compared = 0;
    for feature in feature::ALL {
        let wanted = FeatureRef::Known(feature);
        let (active, passive) = in_netns(|| {
            let active = Prober::new([&wanted]).active(&wanted); // first: it loads what a modular kernel has on disk
            (active, Prober::new([&wanted]).passive(&wanted))
        });
        assert!(!matches!(passive, Answer::Unknown(_)), "{}: {passive:?}", feature.name);
        assert_eq!(active.is_present(), passive.is_present(), "{}: {active:?}, {passive:?}", feature.name);
        let works = in_netns(|| {
            stage();
            works(feature)
        });
        if let Some(works) = works {
            assert_eq!(passive.is_present(), works, "{}: {passive:?}", feature.name);
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared}");
}

#[test]
fn no_question_leaves_anything_behind() {
    let (before, after) = in_netns(|| {
        let features: Vec<FeatureRef> = feature::ALL.iter().map(|feature| FeatureRef::Known(feature)).collect();
        let before = traces();
        let mut prober = Prober::new(&features);
        for feature in &features {
            prober.passive(feature);
            prober.active(feature);
        }
        (before, traces())
    });
    assert_eq!(before, after);
    assert!(before.contains("lo:"), "the listing shows links: {before}");
}

#[test]
fn what_does_not_exist_is_absent() {
    static NO_LINK: Feature = Feature { name: "gw-no-kind", probe: Probe::Link("gw-no-kind"), ..feature::BRIDGE };
    static NO_EXPRESSION: Feature = Feature {
        probe: Probe::NftExpression { family: feature::NftFamily::Inet, name: "gw-none" },
        ..feature::NFT_MASQ
    };
    static NO_CHAIN: Feature =
        Feature { probe: Probe::NftChain { family: feature::NftFamily::Inet, name: "gw-none" }, ..feature::NFT_REJECT };
    static NO_QDISC: Feature = Feature { probe: Probe::Qdisc("gw-none"), ..feature::TBF };
    static NO_ACTION: Feature = Feature { probe: Probe::Action("gw-none"), ..feature::MIRRED };
    static NO_FILESYSTEM: Feature = Feature { probe: Probe::Filesystem("gw-none"), ..feature::OVERLAY };
    for feature in [&NO_LINK, &NO_EXPRESSION, &NO_CHAIN, &NO_QDISC, &NO_ACTION, &NO_FILESYSTEM] {
        let wanted = FeatureRef::Known(feature);
        let answer = in_netns(|| Prober::new([&wanted]).active(&wanted));
        assert!(matches!(answer, Answer::Absent(_)), "{:?}: {answer:?}", feature.probe);
    }
    let wanted = FeatureRef::Known(&NO_LINK);
    assert_eq!(in_netns(|| Prober::new([&wanted]).passive(&wanted)), Answer::Absent(None));
}

#[test]
fn sets_of_our_own_prove_what_their_rules_are_made_of() {
    static FALSE_NAME: Feature = Feature {
        probe: Probe::NftExpression { family: feature::NftFamily::Inet, name: "gw-none" },
        ..feature::NFT_MASQ
    };
    let wanted = FeatureRef::Known(&FALSE_NAME);
    let (without, with) = in_netns(|| {
        let without = Prober::new([&wanted]).passive(&wanted);
        run("nft", "add table inet groundwork").unwrap();
        run("nft", "add set inet groundwork hp4 { type ipv4_addr ; }").unwrap();
        assert!(!Prober::new([&wanted]).passive(&wanted).is_present(), "host ports do not masquerade");
        run("nft", "add set inet groundwork masq4_24 { type ipv4_addr ; }").unwrap();
        (without, Prober::new([&wanted]).passive(&wanted))
    });
    assert!(matches!(without, Answer::Absent(_)), "no kernel has the expression: {without:?}");
    assert!(with.is_present(), "the set was enough: {with:?}");
}

#[test]
fn a_link_kind_is_told_apart_among_many_links() {
    for kind in ["veth", "gw-no-kind"] {
        let answer = in_netns(|| {
            for i in 0..40 {
                run("ip", &format!("link add gwa{i} type veth peer name gwb{i}")).unwrap();
            }
            let feature = Box::leak(Box::new(Feature { name: kind, probe: Probe::Link(kind), ..feature::BRIDGE }));
            let wanted = FeatureRef::Known(feature);
            let mut prober = Prober::new([&wanted]);
            (prober.passive(&wanted), prober.passive(&FeatureRef::Known(&feature::BRIDGE)))
        });
        assert_eq!(answer.0.is_present(), kind == "veth", "{answer:?}");
        assert!(answer.1.is_present(), "the prober still answers after a long dump: {answer:?}");
    }
}

#[test]
fn ensure_merges_needs_and_says_what_was_there() {
    let needs = [
        Need::new(&feature::VETH, "the container"),
        Need::new(&feature::BRIDGE, "the network \"x\""),
        Need::new(&feature::VETH, "the host"),
    ];
    let ready = in_netns(|| ensure(&needs, None)).expect("bridge and veth");
    let names: Vec<_> =
        ready.provided().iter().map(|provided| (provided.feature.name(), provided.why.as_str())).collect();
    assert_eq!(names, [("veth", "the container; the host"), ("bridge", "the network \"x\"")]);
    assert!(ready.provided().iter().all(|provided| provided.source == Source::There), "{ready:?}");
}

#[test]
fn a_missing_feature_is_explained() {
    static NO_LINK: Feature = Feature {
        name: "gw-no-kind",
        probe: Probe::Link("gw-no-kind"),
        modules: &["gw-no-kind"],
        request: Some("rtnl-link-gw-no-kind"),
        ..feature::BRIDGE
    };
    let needs = [Need::new(&NO_LINK, "this test"), Need::new(&feature::VETH, "the container")];
    let error = in_netns(|| ensure(&needs, None)).expect_err("there is no such kind");
    assert_eq!(error.missing.len(), 1);
    assert_eq!(error.provided.len(), 1);
    assert_eq!(error.missing[0].attempts.len(), 3, "netlink, ioctl, modprobe: {error:?}");
    assert!(!error.to_string().contains('\n'), "{error}");
    let details = error.details();
    for words in
        ["gw-no-kind: needed for this test", "Unknown device type", "netlink gw-no-kind", "ioctl", "modprobe", "next: "]
    {
        assert!(details.contains(words), "{words} is not in:\n{details}");
    }
}

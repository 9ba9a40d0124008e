//! STATUS: could an ADD succeed now?

use serde_json::json;

use crate::{
    network::{dual, single, text, with},
    support::{Host, Output},
};

fn refused(output: &Output) -> String {
    let refused = output.error();
    assert_eq!(refused["code"], 50, "{refused}");
    text(&refused, "msg")
}

#[test]
fn works() {
    let host = Host::new();
    let before = host.snapshot();
    for config in [single(), dual(), with(&single(), json!({ "ipam": null }))] {
        host.status(&config).success("STATUS");
    }
    before.assert_same(&host.snapshot());
    host.sandbox("web").add(&dual());
    host.status(&dual()).success("STATUS");
    let older = host.status(&with(&dual(), json!({ "cniVersion": "1.0.0" }))).error();
    assert_eq!(older["code"], 1, "{older}");
}

#[test]
fn an_exhausted_pool() {
    let host = Host::new();
    let config = with(&single(), json!({ "ipam": { "subnet": "10.88.0.0/29" } }));
    for number in 0..5 {
        host.status(&config).success("STATUS");
        host.sandbox(&format!("web{number}")).add(&config);
    }
    let said = refused(&host.status(&config));
    assert!(said.contains("10.88.0.2-10.88.0.6") || said.contains("10.88.0.1-10.88.0.6"), "{said}");
    assert!(said.contains("5 of 5"), "{said}");
    let late = host.sandbox("late").verb("ADD", &config).error();
    assert_eq!(late["code"], 103);
    assert!(text(&late, "msg").contains("no free address"), "{late}");
    let mut web = host.sandbox("again");
    web.container = "web0".into();
    web.del(&config);
    host.status(&config).success("STATUS");
    host.sandbox("next").add(&config);
}

/// In a set of two, the full one is named.
#[test]
fn one_of_two_pools() {
    let host = Host::new();
    let ranges = json!([[{ "subnet": "10.88.0.0/30" }], [{ "subnet": "fd00:88::/64" }]]);
    let config = with(&dual(), json!({ "ipam": { "ranges": ranges } }));
    host.sandbox("web").add(&config);
    let said = refused(&host.status(&config));
    assert!(said.contains("10.88.0.") && !said.contains("fd00"), "{said}");
}

/// Dead containers hold no address that an ADD could not take back: STATUS must not call that exhausted.
#[test]
fn a_pool_of_the_dead() {
    let host = Host::new();
    let config = with(&single(), json!({ "ipam": { "subnet": "10.88.0.0/30" } }));
    host.sandbox("dead").add(&config);
    host.sh("ip netns del dead; while ip link | grep -q veth; do sleep 0.02; done");
    host.status(&config).success("STATUS");
    assert_eq!(host.sandbox("heir").add(&config)["ips"][0]["address"], "10.88.0.2/30");
}

/// What this kernel has not and cannot load.
pub(crate) fn lacking(host: &Host) -> &'static str {
    if std::path::Path::new("/proc/modules").exists() {
        return "no_such_module"; // modules.dep knows none
    }
    let kinds = ["wireguard", "dummy", "ipvlan", "geneve", "vlan"];
    let lacks = |kind: &&str| host.try_sh(&format!("ip link add x type {kind}")).stderr.contains("Unknown device type");
    kinds.into_iter().find(lacks).expect("this kernel has everything")
}

#[test]
fn what_the_kernel_lacks() {
    let host = Host::new();
    let module = lacking(&host);
    let before = host.snapshot();
    let config = with(&single(), json!({ "modules": [module] }));
    let status = host.status(&config);
    let said = refused(&status);
    assert!(said.contains(module) && said.contains("\"modules\""), "{said}");
    let web = host.sandbox("web");
    let added = web.verb("ADD", &config).error();
    assert_eq!(added["code"], 100);
    assert!(text(&added, "msg").contains(module), "{added}");
    assert!(text(&added, "details").contains("tried"), "{added}");
    host.sh("ip netns del web");
    before.assert_same(&host.snapshot());
}

/// It runs no loader, and makes no request of the kind that makes the kernel load something.
#[test]
fn loads_nothing() {
    let host = Host::new();
    host.sandbox("web");
    let config = with(&dual(), json!({ "modules": ["no_such_module"] }));
    let traced = |verb: &str| {
        let script = format!(
            "export CNI_COMMAND={verb} CNI_CONTAINERID=c CNI_NETNS=/run/netns/web CNI_IFNAME=eth0
             strace -f -qq -o /run/trace -e trace=execve,finit_module,init_module,ioctl,sendto,sendmsg {} <<'END'
{config}\nEND
             cat /run/trace",
            host.plugin.display()
        );
        host.try_sh(&script).stdout
    };
    let status = traced("STATUS");
    assert_eq!(status.matches("execve(").count(), 1, "{status}");
    for call in ["init_module(", "SIOCGIFINDEX", "RTM_NEWLINK"] {
        assert!(!status.contains(call), "{call} in\n{status}");
    }
    let add = traced("ADD");
    assert!(add.contains("SIOCGIFINDEX") && add.matches("execve(").count() > 1, "an ADD loads:\n{add}");
}

/// What the network stands on and cannot have limits the containers that stand on it already.
#[test]
fn the_bridge_is_something_else() {
    let host = Host::new();
    host.sh("ip link add cni0 type veth peer name other");
    let config = with(&single(), json!({ "bridge": "cni0" }));
    let said = refused(&host.status(&config));
    assert!(said.contains("link cni0 exists and is a veth, not a bridge"), "{said}");
    host.sh("ip link del cni0");
    host.sandbox("web").add(&config);
    host.sh("ip link del cni0 && ip link add cni0 type veth peer name other");
    let limited = host.status(&config).error();
    assert_eq!(limited["code"], 51, "{limited}");
}

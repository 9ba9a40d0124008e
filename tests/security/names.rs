//! Names that are paths, options or something else.

use serde_json::{Value, json};

use crate::{network, support::Host};

const WRONG: [&str; 9] = ["../x", "a/b", "-rf", ".", "..", "a b", "a\nb", "%n", "$(touch /run/mark)"];

fn changed(pointer: &str, value: Value) -> Value {
    let mut config = network("net", 40);
    *config.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    config
}

#[test]
fn are_refused_before_anything_is_touched() {
    let host = Host::new();
    let mut web = host.sandbox("web");
    let before = host.snapshot();
    for wrong in WRONG {
        // Names of links may begin with a hyphen: no program sees them.
        let pointers: &[_] = if wrong == "-rf" { &["/name"] } else { &["/name", "/bridge", "/ipam/type"] };
        for pointer in pointers {
            let error = web.verb("ADD", &changed(pointer, json!(wrong))).error();
            assert!([5, 7, 104].contains(&error["code"].as_i64().unwrap()), "{pointer} {wrong:?}: {error}");
        }
        let mut config = network("net", 40);
        config["modules"] = json!([wrong]);
        assert_eq!(web.verb("ADD", &config).error()["code"], 7, "modules {wrong:?}");
        let mut config = network("net", 40);
        config["delegate"] = json!({ "type": wrong });
        web.verb("ADD", &config).error();
    }
    for wrong in WRONG {
        let names: &[_] = if wrong == "-rf" { &["container"] } else { &["container", "ifname"] };
        for name in names.iter().copied() {
            let good = if name == "container" { &mut web.container } else { &mut web.ifname };
            let kept = std::mem::replace(good, wrong.into());
            for verb in ["ADD", "DEL", "CHECK"] {
                let error = web.verb(verb, &network("net", 40)).error();
                assert_eq!(error["code"], 4, "{verb} {name} {wrong:?}: {error}");
            }
            *(if name == "container" { &mut web.container } else { &mut web.ifname }) = kept;
        }
    }
    before.assert_same(&host.snapshot());
    assert_eq!(host.sh("ls /run/mark /run/groundwork 2>/dev/null || true"), "");
}

#[test]
fn of_kernel_settings_lead_nowhere_else() {
    let host = Host::new();
    let web = host.sandbox("web");
    let settings = "cat /proc/sys/kernel/core_pattern /proc/sys/net/ipv4/ip_forward /proc/sys/vm/swappiness";
    let before = host.sh(settings);
    for name in [
        "kernel.core_pattern",
        "vm.swappiness",
        "net/../kernel/core_pattern",
        "net.ipv4./../../kernel/core_pattern",
        "net.ipv4.conf.eth0/../../../../kernel/core_pattern",
        "/proc/sys/kernel/core_pattern",
        "",
    ] {
        let mut config = network("net", 40);
        config["sysctl"] = json!({ name: "|/bin/false" });
        let error = web.verb("ADD", &config).error();
        assert!(error["msg"].as_str().unwrap().contains("sysctl"), "{name:?}: {error}");
    }
    // The list of the reference plugin narrows it further.
    host.sh("mkdir -p /run/etc && mount -t tmpfs etc /etc/cni 2>/dev/null || { mkdir -p /etc/cni && mount -t tmpfs etc /etc/cni; }
             mkdir -p /etc/cni/tuning; echo '^net.ipv4.conf.IFNAME.arp_notify$' > /etc/cni/tuning/allowlist.conf");
    let mut config = network("net", 40);
    config["sysctl"] = json!({ "net.ipv4.conf.eth0.rp_filter": "0" });
    let error = web.verb("ADD", &config).error();
    assert!(error.to_string().contains("allowlist.conf"), "{error}");
    assert_eq!(host.sh(settings), before);
}

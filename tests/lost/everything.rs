//! Networks with all that groundwork does, and everything that is held for them.

use serde_json::{Value, json};

use crate::{
    network::{dual, with},
    strike::{Blow, Call, Struck},
    support::{Host, REFERENCE_PLUGINS, Sandbox, with_prev},
};

/// What is done to a container's link beside making it: ports of the host, the firewall, limits, tuning, source routing.
fn all_else(port: u16) -> Value {
    let ports = json!([
        { "hostPort": port, "containerPort": 80, "protocol": "tcp" },
        { "hostPort": port, "containerPort": 53, "protocol": "udp" },
    ]);
    json!({
        "ingressPolicy": "same-bridge", "sbr": true,
        "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" }, "mtu": 1400, "txQLen": 500, "promisc": true,
        "ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000,
        "runtimeConfig": { "portMappings": ports },
    })
}

/// Who makes the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bridge of groundwork's with addresses of both families, and nothing else.
    Plain,
    /// The same with all else in one configuration.
    Native,
    /// The reference plugin does, and groundwork does all else.
    Chained,
}

/// A host with a container that stays, and one that is struck.
pub(crate) struct Scene<'a> {
    pub(crate) host: &'a Host,
    pub(crate) kind: Kind,
    pub(crate) web: Sandbox<'a>,
    pub(crate) config: Value,
}

impl<'a> Scene<'a> {
    /// The network has been used by both: what belongs to it is there.
    pub(crate) fn new(host: &'a Host, kind: Kind) -> Self {
        // A firewall that drops what is forwarded, past which containers are let.
        host.sh("nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'");
        let stays = host.sandbox("stays");
        stays.add(&config(kind, &stays, 8081));
        let web = host.sandbox("web");
        let config = config(kind, &web, 8080);
        host.sh("until ! ip -6 address show dev br0 | grep -q tentative; do sleep 0.1; done");
        let scene = Self { host, kind, web, config };
        scene.web.add(&scene.config);
        scene.web.del(&scene.config);
        let held = scene.held();
        assert!(!held.contains("net/web/") && !held.contains("web@eth0"), "{held}");
        scene
    }

    pub(crate) fn strike(&self, verb: &str, blow: Blow) -> Struck {
        Call::verb(self.host, &self.web, verb, &self.config).strike(blow)
    }

    pub(crate) fn gc(&self) {
        self.host.gc(&self.config, &[("stays", "eth0")]).success("GC");
    }

    /// ADD, CHECK and DEL pass.
    pub(crate) fn works(&self) {
        let result = self.web.add(&self.config);
        self.web.check(&self.config, &result);
        self.web.del(&with_prev_if_made(&self.config, &result));
    }

    /// All that kernel and files hold, but hints where to go on with a search, and that no lock is held.
    pub(crate) fn held(&self) -> String {
        let (host, web) = (self.host.sh(&format!("{KERNEL}; {HOST}")), self.web.sh(KERNEL));
        format!("{host}{INSIDE}{web}")
    }
}

/// Between what the host holds and what the container does.
pub(crate) const INSIDE: &str = "--- in the container\n";

/// Panics with what differs, unless it is the same: `-` is missing, `+` is too much.
#[track_caller]
pub(crate) fn assert_same(expected: &str, found: &str, what: &str) {
    let mut found: Vec<_> = found.lines().collect();
    let mut missing: Vec<_> = expected.lines().collect();
    missing.retain(|line| found.iter().position(|other| other == line).map(|at| found.remove(at)).is_none());
    let differs = !(missing.is_empty() && found.is_empty());
    assert!(!differs, "{what}:\n- {}\n+ {}", missing.join("\n- "), found.join("\n+ "));
}

/// A chained plugin is sent what the chain made before, whatever its own result was.
fn with_prev_if_made(config: &Value, result: &Value) -> Value {
    if config.get("prevResult").is_some() { config.clone() } else { with_prev(config, result) }
}

fn config(kind: Kind, sandbox: &Sandbox<'_>, port: u16) -> Value {
    match kind {
        Kind::Plain => dual(),
        Kind::Native => with(&with(&dual(), json!({ "macspoofchk": true, "hairpinMode": true })), all_else(port)),
        Kind::Chained => {
            let mut bridge = dual();
            bridge["cniVersion"] = json!("1.0.0");
            bridge["type"] = json!("bridge");
            let plugin = format!("{REFERENCE_PLUGINS}/bridge");
            let made = sandbox.verb_of(plugin.as_ref(), "ADD", &bridge).json("ADD of the reference bridge");
            let made = with(&made, json!({ "cniVersion": "1.1.0" }));
            let all_else = with(
                &all_else(port),
                json!({ "mtu": null, "mac": format!("02:00:00:00:{:02x}:{:02x}", port >> 8, port & 0xff) }),
            );
            with(&json!({ "cniVersion": "1.1.0", "name": "net", "type": "groundwork", "prevResult": made }), all_else)
        }
    }
}

/// Links, addresses, routes, rules and queueing disciplines of a namespace. Left out is what comes and goes by itself:
/// numbers, carriers, the kernel's own addresses.
const KERNEL: &str = r"
    ip -o link | sed -E 's/^[0-9]+: //; s/(NO-CARRIER,|,LOWER_UP|,M-DOWN)//g; s/ state [A-Z]+//; s/@if[0-9]+//; s/ qdisc \S+//'
    { ip -o -4 address; ip -o -6 address | grep -v ' fe80:'; } | sed -E 's/^[0-9]+: //' | sort
    { ip -4 route show table all; ip -6 route show table all | grep -Ev '^(fe80|multicast|anycast|local fe80)'; } |
        sed -E 's/ (linkdown|dead)//g' | sort
    ip rule; ip -6 rule
    tc qdisc | sed -E 's/ (noqueue|pfifo_fast) 0: / & /'
    bridge fdb | grep permanent | grep -Ev '33:33:|01:00:5e:' | sort
    cat /proc/sys/net/ipv4/conf/eth0/arp_filter 2>/dev/null; true";

/// What a host alone has: nf_tables, settings, files of the state folder, locks.
const HOST: &str = "
    nft -s list ruleset
    grep -s . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv*/conf/br0/*
    find /run/groundwork /var/lib/cni/* -type f ! -name 'last_reserved_ip.*' -exec sha256sum {} + 2>/dev/null | sort -k 2
    grep FLOCK /proc/locks; true";

//! A runtime that calls the binary.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    process::Command,
};

use nix::unistd::geteuid;
use serde_json::{Value, json};

use crate::support::{GROUNDWORK, Host, Output, Snapshot, run};

/// Calls the binary with an environment of its own making.
pub(crate) struct Caller {
    /// None when we are not root.
    pub(crate) host: Option<Host>,
    before: Option<Snapshot>,
}

/// Variables and their values.
pub(crate) type Vars = Vec<(&'static str, OsString)>;

impl Caller {
    pub(crate) fn new() -> Self {
        let host = geteuid().is_root().then(Host::new);
        if let Some(host) = &host {
            host.sh("ip netns add web");
        }
        let before = host.as_ref().map(Host::snapshot);
        Self { host, before }
    }

    pub(crate) fn call(&self, vars: &[(&'static str, OsString)], stdin: impl AsRef<[u8]>) -> Output {
        let vars = vars.iter().map(|(name, value)| (*name, value.as_os_str()));
        run(self.command(GROUNDWORK).envs(vars), stdin)
    }

    /// A command without our environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.host.as_ref().map_or_else(|| Command::new(program), |host| host.command(program));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Panics unless the host holds what it held at first, and no state folder was made.
    #[track_caller]
    pub(crate) fn untouched(&self) {
        if let (Some(host), Some(before)) = (&self.host, &self.before) {
            before.assert_same(&host.snapshot());
            assert_eq!(host.sh("ls -d /run/groundwork /run/gw* 2>/dev/null || true"), "");
        }
    }
}

/// What a runtime sets for a verb.
pub(crate) fn vars(verb: &str) -> Vars {
    let mut vars = vec![("CNI_COMMAND", verb.into()), ("CNI_PATH", "/usr/lib/cni".into())];
    if ["ADD", "DEL", "CHECK"].contains(&verb) {
        vars.extend([
            ("CNI_CONTAINERID", "web".into()),
            ("CNI_NETNS", "/run/netns/web".into()),
            ("CNI_IFNAME", "eth0".into()),
        ]);
    }
    vars
}

/// The variables with another value for one of them.
pub(crate) fn with_var(vars: &[(&'static str, OsString)], name: &'static str, value: impl AsRef<[u8]>) -> Vars {
    let others = vars.iter().filter(|(other, _)| *other != name).cloned();
    others.chain([(name, OsStr::from_bytes(value.as_ref()).to_owned())]).collect()
}

/// The one error document of a call that failed: exit status 1, one line on stdout with all that the specification
/// asks for, and no defect.
#[track_caller]
pub(crate) fn failure(output: &Output) -> Value {
    let document = output.error();
    assert_eq!(output.status.code(), Some(1), "{document}");
    assert!(output.stdout.ends_with("}\n") && output.stdout.lines().count() == 1, "{:?}", output.stdout);
    let msg = document["msg"].as_str().unwrap();
    assert!(!msg.is_empty() && document["cniVersion"].is_string(), "{document}");
    assert!(document["code"] != 999 && !msg.contains("defect"), "{document}");
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    document
}

/// A native network that sets every key of the bridge and of host-local.
pub(crate) fn native() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net1", "type": "groundwork",
        "link": "bridge", "bridge": "br0", "isGateway": true, "isDefaultGateway": false, "forceAddress": true, "ipMasq": true,
        "mtu": 1400, "hairpinMode": true, "promiscMode": false, "enabledad": false,
        "dns": { "nameservers": ["10.1.0.1", "fe80::1%eth0"], "domain": "local", "search": ["a.b"], "options": ["ndots:1"] },
        "ipam": {
            "type": "host-local", "subnet": "10.1.0.0/16", "rangeStart": "10.1.3.10", "rangeEnd": "10.1.3.20",
            "gateway": "10.1.3.254",
            "ranges": [[{ "subnet": "fd00:1::/64" }, { "subnet": "fd00:2::/64", "gateway": "fd00:2::ff" }]],
            "routes": [{ "dst": "0.0.0.0/0", "gw": "10.1.3.254", "mtu": 1300, "advmss": 1200, "priority": 7, "table": 100, "scope": 0 }],
            "dataDir": "/run/leases", "resolvConf": "/etc/hosts",
        },
        "modules": ["bridge", "veth"], "loaders": ["ioctl", "modprobe"],
        "logFile": "/run/log", "logLevel": "warn", "stateDir": "/run/gw",
        "capabilities": { "ips": true },
        "runtimeConfig": { "mac": "02:42:ac:11:00:02", "ips": ["10.1.3.15/16"] },
        "args": { "cni": { "mac": "02:42:ac:11:00:03", "ips": ["fd00:1::5"] } },
    })
}

/// A native network with addresses from static.
pub(crate) fn fixed() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net1", "type": "groundwork", "bridge": "br0", "isGateway": true,
        "ipam": {
            "type": "static",
            "addresses": [{ "address": "10.1.0.5/16", "gateway": "10.1.0.1" }, { "address": "fd00::5/64" }],
            "routes": [{ "dst": "192.168.0.0/16" }],
            "dns": { "nameservers": ["10.1.0.1"], "domain": "local", "search": ["a.b"], "options": ["ndots:1"] },
        },
    })
}

/// One of a chain, with the result so far.
pub(crate) fn chained() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net1", "type": "groundwork", "modules": ["bridge"],
        "prevResult": {
            "cniVersion": "1.0.0",
            "interfaces": [{ "name": "eth9", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/web" }],
            "ips": [{ "address": "10.7.0.2/24", "gateway": "10.7.0.1", "interface": 0 }],
            "routes": [{ "dst": "0.0.0.0/0", "gw": "10.7.0.1" }],
            "dns": { "nameservers": ["10.7.0.1"], "domain": "d", "search": ["s"], "options": ["o"] },
        },
    })
}

/// A network that another plugin builds.
pub(crate) fn delegated() -> Value {
    json!({ "cniVersion": "1.0.0", "name": "net1", "type": "groundwork", "delegate": { "type": "absent" } })
}

/// What runtimes send with GC.
pub(crate) fn collecting() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "net1", "type": "groundwork", "bridge": "br0",
        "cni.dev/valid-attachments": [{ "containerID": "c1", "ifname": "eth0" }],
        "cni.dev/attachments": [{ "containerID": "c2", "ifname": "eth0" }],
    })
}

/// `config` with `value` at `pointer`.
pub(crate) fn put(config: &Value, pointer: &str, value: Value) -> Value {
    let mut config = config.clone();
    let place = config.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is not there"));
    *place = value;
    config
}

/// The path of a JSON pointer as error messages write it.
pub(crate) fn path(pointer: &str) -> String {
    pointer.split('/').skip(1).fold(String::new(), |path, key| match key.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) if path.is_empty() => key.replace("~1", "/"),
        Err(_) => format!("{path}.{}", key.replace("~1", "/")),
    })
}

/// The pointers of all values within one, itself left out.
pub(crate) fn pointers(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, child)| (key.replace('/', "~1"), child)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
        _ => Vec::new(),
    };
    let within = |(key, child): (String, &Value)| {
        let mut all = vec![format!("/{key}")];
        all.extend(pointers(child).into_iter().map(|rest| format!("/{key}{rest}")));
        all
    };
    children.into_iter().flat_map(within).collect()
}

/// A network over several hosts, with every key of that.
pub(crate) fn overlaid() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net", "type": "groundwork",
        "overlay": {
            "network": "10.244.0.0/16", "subnetLen": 24, "subnet": "10.244.1.0/24", "vni": 7, "port": 8472, "mtu": 1400,
            "node": "a", "underlay": "192.0.2.1", "engine": "static", "peerFile": "/etc/groundwork/peers.json",
            "peers": [
                { "node": "b", "subnets": "10.244.2.0/24", "vtep": "192.0.2.2", "mac": "02:67:c0:00:02:02" },
            ],
        },
    })
}

/// A native network of VLANs with host ports and a firewall.
pub(crate) fn guarded() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "net1", "type": "groundwork", "bridge": "br0", "vlan": 100,
        "vlanTrunk": [{ "minID": 200, "maxID": 210 }, { "id": 300 }], "preserveDefaultVlan": false,
        "macspoofchk": true, "ipspoofchk": true, "portIsolation": true, "disableContainerInterface": false,
        "snat": true, "masqAll": false, "ingressPolicy": "same-bridge", "iptablesAdminChainName": "ADMIN",
        "ipam": { "type": "host-local", "subnet": "10.1.0.0/16" },
        "runtimeConfig": { "portMappings": [
            { "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1" },
            { "hostPort": 53, "containerPort": 53, "protocol": "udp" },
        ], "bandwidth": { "ingressRate": 8000, "ingressBurst": 8000, "egressRate": 9000, "egressBurst": 9000 } },
    })
}

/// A native network whose containers are tuned and held back.
pub(crate) fn tuned() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net1", "type": "groundwork", "bridge": "br0", "mtu": 1400,
        "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" }, "mac": "02:42:ac:11:00:04", "promisc": true,
        "allmulti": true, "txQLen": 500, "ingressRate": 8000, "ingressBurst": 8000, "egressRate": 9000, "egressBurst": 9000,
        "ipam": { "type": "host-local", "subnet": "10.1.0.0/16" },
        "args": { "cni": {
            "sysctl": { "net.ipv4.conf.IFNAME.arp_ignore": "1" }, "mac": "02:42:ac:11:00:05", "promisc": false,
            "allmulti": false, "txQLen": 600, "mtu": 1300,
        } },
    })
}

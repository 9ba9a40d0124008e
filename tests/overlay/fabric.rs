//! Hosts on one wire, and containers on them.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::{
    net::tcp,
    support::{Host, Output, Sandbox, run},
};

/// Hosts by name, all on one wire; a host's address ends in its place, from 1.
pub(crate) struct Fabric {
    wire: Host,
    hosts: Vec<(&'static str, Host)>,
    ipv6: bool,
    folder: tempfile::TempDir,
}

impl Fabric {
    /// `ipv6`: the family of the underlay.
    pub(crate) fn new(names: &[&'static str], ipv6: bool) -> Self {
        let wire = Host::new();
        wire.sh("ip link add wire type bridge; ip link set wire up");
        let folder = tempfile::tempdir().unwrap();
        let mut fabric = Self { wire, hosts: Vec::new(), ipv6, folder };
        names.iter().for_each(|name| fabric.plug(name));
        fabric
    }

    /// One more host.
    pub(crate) fn plug(&mut self, name: &'static str) {
        let (host, number) = (Host::new(), self.hosts.len() + 1);
        let wire = format!("--net=/proc/{}/ns/net", self.wire.pid());
        let netns = host.pid().to_string();
        let port = format!("to-{name}");
        let veth = ["ip", "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &netns];
        run(Command::new("nsenter").arg(wire).args(veth), "").success("a link to the wire");
        self.wire.sh(&format!("ip link set {port} master wire up"));
        let address = self.address_of(number);
        host.sh(&format!(
            "sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.eth0.accept_dad=0; ip link set eth0 up
             ip address add {address}/{} dev eth0; ip route add default via {}",
            if self.ipv6 { 64 } else { 24 },
            self.address_of(254),
        ));
        self.hosts.push((name, host));
    }

    fn address_of(&self, number: usize) -> String {
        if self.ipv6 { format!("2001:db8::{number}") } else { format!("192.0.2.{number}") }
    }

    /// What all hosts are plugged into, by `to-NAME` each; their gateway's address is free.
    pub(crate) fn wire(&self) -> &Host {
        &self.wire
    }

    /// The host of that name.
    pub(crate) fn host(&self, name: &str) -> &Host {
        &self.hosts[self.number(name) - 1].1
    }

    /// Its place.
    pub(crate) fn number(&self, name: &str) -> usize {
        self.hosts.iter().position(|(own, _)| *own == name).unwrap() + 1
    }

    /// Its address in the underlay.
    pub(crate) fn vtep(&self, name: &str) -> String {
        self.address_of(self.number(name))
    }

    /// Its record, with both families inside.
    pub(crate) fn record(&self, name: &str) -> Value {
        let number = self.number(name);
        json!({
            "node": name, "vtep": self.vtep(name),
            "subnets": [format!("10.244.{number}.0/24"), format!("fd00:244:{number}::/64")],
        })
    }

    /// The records of all hosts.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.hosts.iter().map(|(name, _)| self.record(name)).collect()
    }

    /// Where the peer file is, the same for all.
    pub(crate) fn peer_file(&self) -> PathBuf {
        self.folder.path().join("peers.json")
    }

    /// Writes the peer file as a person should: all at once.
    pub(crate) fn write_peers(&self, records: &[Value]) {
        let draft = self.folder.path().join("draft");
        fs::write(&draft, json!(records).to_string()).unwrap();
        fs::rename(draft, self.peer_file()).unwrap();
    }

    /// A host's configuration of engine static, with the peer file.
    pub(crate) fn config(&self, name: &str) -> Value {
        self.config_with(name, &json!({ "engine": "static", "peerFile": self.peer_file() }))
    }

    /// A host's configuration with more keys of `overlay`.
    pub(crate) fn config_with(&self, name: &str, keys: &Value) -> Value {
        let mut overlay = json!({ "network": ["10.244.0.0/16", "fd00:244::/32"], "node": name });
        overlay.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        json!({
            "cniVersion": "1.1.0", "name": "pods", "type": "groundwork", "bridge": "cni0",
            "isDefaultGateway": true, "ipMasq": true, "overlay": overlay,
        })
    }

    /// A container on a host, attached.
    pub(crate) fn pod(&self, name: &str, container: &str) -> Pod<'_> {
        self.pod_by(name, container, &self.config(name))
    }

    /// As [`Fabric::pod`], with this configuration.
    pub(crate) fn pod_by(&self, name: &str, container: &str, config: &Value) -> Pod<'_> {
        let sandbox = self.host(name).sandbox(container);
        let result = sandbox.add(config);
        Pod { sandbox, result }
    }

    /// `groundwork sync` on a host.
    pub(crate) fn sync(&self, name: &str) -> Output {
        self.command(name, &self.config(name), &["sync"])
    }

    /// `groundwork overlay status` on a host, as JSON: that of its network.
    pub(crate) fn status(&self, name: &str) -> Value {
        let output = self.command(name, &self.config(name), &["overlay", "status", "--json"]);
        let all: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_eq!(output.status.success(), all[0]["right"] == true, "{all}");
        all[0].clone()
    }

    /// A command for people on a host, with this configuration.
    pub(crate) fn command(&self, name: &str, config: &Value, words: &[&str]) -> Output {
        let path = self.folder.path().join(format!("{name}.conf"));
        fs::write(&path, config.to_string()).unwrap();
        let host = self.host(name);
        run(host.command(&host.plugin).args(words).arg("--config").arg(path), "")
    }

    /// What one host says about the overlay in the kernel.
    pub(crate) fn kernel(&self, name: &str) -> String {
        self.host(name).sh("ip -d link show type vxlan; ip route show proto 103; ip -6 route show proto 103
             ip neigh show dev vxlan.1 nud permanent; ip -6 neigh show dev vxlan.1 nud permanent
             bridge fdb show dev vxlan.1; nft list table inet groundwork")
    }
}

/// A container that is attached.
pub(crate) struct Pod<'a> {
    pub(crate) sandbox: Sandbox<'a>,
    pub(crate) result: Value,
}

impl Pod<'_> {
    /// Its address of a family.
    pub(crate) fn address(&self, ipv6: bool) -> String {
        let ips = self.result["ips"].as_array().unwrap();
        let all = ips.iter().map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap());
        all.into_iter().find(|address| address.contains(':') == ipv6).unwrap().to_owned()
    }

    /// The families that it has addresses of.
    fn families(&self) -> Vec<bool> {
        let ips = self.result["ips"].as_array().unwrap();
        let is_ipv6 = |ip: &Value| ip["address"].as_str().unwrap().contains(':');
        [false, true].into_iter().filter(|ipv6| ips.iter().any(|ip| is_ipv6(ip) == *ipv6)).collect()
    }

    /// What it may send in one packet, as its kernel has it.
    pub(crate) fn mtu(&self) -> u32 {
        let link = self.sandbox.sh("ip -o link show eth0");
        link.split_whitespace().skip_while(|word| *word != "mtu").nth(1).unwrap().parse().unwrap()
    }

    /// Whether it answers another's ping, at each of its addresses, in a while.
    pub(crate) fn assert_reaches(&self, other: &Pod<'_>) {
        for ipv6 in other.families() {
            self.sandbox.ping(&other.address(ipv6));
        }
    }

    /// It opens a connection to another, who sees it by its own address: nothing is masqueraded.
    pub(crate) fn assert_seen_by(&self, other: &Pod<'_>) {
        for ipv6 in other.families() {
            let to = other.address(ipv6);
            let to = if ipv6 { format!("[{to}]:7000") } else { format!("{to}:7000") };
            let seen = tcp(&other.sandbox, &to, &self.sandbox, &to);
            assert_eq!(seen, Some(self.address(ipv6)), "whom {to} sees");
        }
    }
}

/// Containers of different hosts, which have addresses of these families and no others, reach each other by their own;
/// the largest packet goes as it is, and one byte more is refused where it is sent.
pub(crate) fn assert_all_reach(pods: &[Pod<'_>], families: &[bool], mtu: u32) {
    assert!(pods.len() > 1 && !families.is_empty());
    for (index, one) in pods.iter().enumerate() {
        assert_eq!((one.families(), one.mtu()), (families.to_vec(), mtu));
        for other in pods.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other) {
            one.assert_reaches(other);
            one.assert_seen_by(other);
            for ipv6 in families {
                let headers = if *ipv6 { 48 } else { 28 };
                let ping = |size| format!("ping -n -c 1 -W 2 -M do -s {size} {}", other.address(*ipv6));
                one.sandbox.sh(&ping(mtu - headers));
                assert!(!one.sandbox.try_sh(&ping(mtu - headers + 1)).status.success());
            }
        }
    }
}

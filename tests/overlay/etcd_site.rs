//! Hosts on one underlay with a real etcd in it, and an agent on each; all ends with the test.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::support::{GROUNDWORK, Host, Output, eventually};

/// The agent under test.
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_groundwork-agent");

/// Below which etcd has the keys of the network under test.
pub(crate) const ROOT: &str = "/groundwork/v1/pods";

/// As long as anything may take that is to happen by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// For what an agent does because it was told, and not only since it compares all every half minute.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// A network outside, where etcd is at 10.99.0.254.
pub(crate) struct Site {
    pub(crate) outside: Host,
    /// What etcd and etcdctl are called with, beside the addresses.
    pub(crate) etcd_options: String,
    pub(crate) etcdctl_options: String,
    pub(crate) scheme: &'static str,
    /// Of etcd.
    pub(crate) members: usize,
}

/// One host of it: a network namespace with its own state folder.
pub(crate) struct Node<'a> {
    pub(crate) site: &'a Site,
    pub(crate) name: String,
}

impl Site {
    /// Without etcd and hosts yet.
    pub(crate) fn new() -> Self {
        let outside = Host::new();
        outside.sh("ip link add br0 type bridge; ip link set br0 address 02:00:00:00:00:fe up
                    ip address add 10.99.0.254/16 dev br0");
        Self { outside, etcd_options: String::new(), etcdctl_options: String::new(), scheme: "http", members: 1 }
    }

    /// With etcd, an overlay of both families, and this many hosts with agents: h1, h2, ...
    pub(crate) fn with_agents(count: usize) -> Self {
        let site = Self::new();
        site.start_etcd();
        site.configure(&json!({ "network": ["10.244.0.0/16", "fd00:244::/48"] }));
        for number in 1..=count {
            site.add_node(number);
            site.node(number).start();
        }
        for number in 1..=count {
            site.node(number).await_peers(count - 1);
        }
        site
    }

    /// Lets nothing through between a host and etcd, and stops nothing else.
    pub(crate) fn cut_off(&self, number: usize) {
        self.outside.sh(&format!(
            "nft 'add table inet cut; add chain inet cut in {{ type filter hook input priority 0; }}
             add chain inet cut out {{ type filter hook output priority 0; }}
             add rule inet cut in ip saddr 10.99.0.{number} tcp dport 2379 drop
             add rule inet cut out ip daddr 10.99.0.{number} tcp sport 2379 drop'"
        ));
    }

    pub(crate) fn heal(&self) {
        self.outside.sh("nft delete table inet cut");
    }

    /// A host at 10.99.0.`number`, or 10.99.`number / 200`.`number % 200` for large numbers.
    pub(crate) fn add_node(&self, number: usize) {
        let (third, fourth) = (number / 200, number % 200);
        self.outside.sh(&format!(
            "ip netns add h{number}
             ip link add v{number} type veth peer name eth0 netns h{number}
             ip link set v{number} master br0 up
             ip netns exec h{number} sh -c '
               sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
               ip link set lo up; ip link set eth0 up; ip address add 10.99.{third}.{fourth}/16 dev eth0
               ip route add default via 10.99.0.254'"
        ));
        self.node(number).configure(json!({}));
    }

    /// Switches a host off: nothing of it is left, in the kernel or under /run.
    pub(crate) fn remove_node(&self, number: usize) {
        self.outside.sh(&format!("ip link del v{number}; ip netns del h{number}; rm -rf /run/h{number}"));
    }

    pub(crate) fn node(&self, number: usize) -> Node<'_> {
        Node { site: self, name: format!("h{number}") }
    }

    pub(crate) fn start_etcd(&self) {
        (1..=self.members).for_each(|member| self.start_member(member));
        let is_up = eventually(PATIENCE, || self.try_etcdctl("get nothing").status.success());
        assert!(is_up, "etcd does not start:\n{}", self.outside.sh("tail -n 20 /run/etcd*.log"));
    }

    pub(crate) fn kill_etcd(&self) {
        (1..=self.members).for_each(|member| self.kill_member(member));
    }

    /// Starts one member, which keeps what it knows from before.
    pub(crate) fn start_member(&self, member: usize) {
        let peer = |member: usize| format!("http://127.0.0.1:{}", 3_000 + member);
        let cluster: Vec<_> = (1..=self.members).map(|member| format!("e{member}={}", peer(member))).collect();
        let (url, peer, cluster, options) =
            (self.endpoint(member), peer(member), cluster.join(","), &self.etcd_options);
        self.outside.sh(&format!(
            "etcd --name e{member} --data-dir /var/lib/etcd{member} {options} --listen-client-urls {url} \
             --advertise-client-urls {url} --listen-peer-urls {peer} --initial-advertise-peer-urls {peer} \
             --initial-cluster {cluster} >>/run/etcd{member}.log 2>&1 & echo $! >/run/etcd{member}.pid"
        ));
    }

    pub(crate) fn kill_member(&self, member: usize) {
        // The last of its threads lets go of the ports, some time after the process is a zombie.
        let ports = format!("sport = :{} or sport = :{}", 2_378 + member, 3_000 + member);
        self.outside.sh(&format!(
            "kill -9 $(cat /run/etcd{member}.pid); until [ -z \"$(ss -Hltn '{ports}')\" ]; do sleep 0.05; done"
        ));
    }

    fn endpoint(&self, member: usize) -> String {
        format!("{}://10.99.0.254:{}", self.scheme, 2_378 + member)
    }

    fn endpoints(&self) -> Vec<String> {
        (1..=self.members).map(|member| self.endpoint(member)).collect()
    }

    /// Runs etcdctl with these arguments, which the shell splits.
    pub(crate) fn try_etcdctl(&self, arguments: &str) -> Output {
        let (endpoints, options) = (self.endpoints().join(","), &self.etcdctl_options);
        self.outside.try_sh(&format!(
            "ETCDCTL_API=3 etcdctl --endpoints {endpoints} --command-timeout 3s {options} {arguments}"
        ))
    }

    #[track_caller]
    pub(crate) fn etcdctl(&self, arguments: &str) -> String {
        self.try_etcdctl(arguments).success(arguments)
    }

    pub(crate) fn configure(&self, settings: &Value) {
        self.etcdctl(&format!("put {ROOT}/config '{settings}'"));
    }

    /// The value of a key below the network's root; empty when there is none.
    pub(crate) fn value(&self, key: &str) -> String {
        self.etcdctl(&format!("get --print-value-only {ROOT}/{key}")).trim().to_owned()
    }

    /// The keys below a folder of the network's root, without it.
    pub(crate) fn keys(&self, folder: &str) -> Vec<String> {
        let root = format!("{ROOT}/{folder}/");
        let all = self.etcdctl(&format!("get --prefix --keys-only {root}"));
        all.lines().filter_map(|line| line.strip_prefix(&root)).map(str::to_owned).collect()
    }
}

impl Node<'_> {
    /// Runs a shell script on the host.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        self.try_sh(script).success(script)
    }

    pub(crate) fn try_sh(&self, script: &str) -> Output {
        let net = format!("--net=/run/netns/{}", self.name);
        let mut command = self.site.outside.command("nsenter");
        crate::support::run(command.args([&net, "--", "sh", "-c", script]), "")
    }

    fn state_dir(&self) -> String {
        format!("/run/{}", self.name)
    }

    /// Writes the agent's configuration, with these keys besides.
    pub(crate) fn configure(&self, more: Value) {
        let mut config = json!({
            "network": "pods", "node": self.name, "stateDir": self.state_dir(),
            "etcd": { "endpoints": self.site.endpoints() },
        });
        merge(&mut config, more);
        self.sh(&format!("echo '{config}' >/run/{}.json", self.name));
    }

    pub(crate) fn start(&self) {
        self.start_with("");
    }

    /// Starts the agent with these variables in its environment.
    pub(crate) fn start_with(&self, variables: &str) {
        let Self { name, .. } = self;
        self.sh(&format!(
            "{variables} {AGENT} --config /run/{name}.json >>/run/{name}.log 2>&1 & echo $! >/run/{name}.pid"
        ));
    }

    /// Sends the agent a signal and waits for its end.
    #[track_caller]
    pub(crate) fn end(&self, signal: &str) {
        let pid = self.sh(&format!("cat /run/{}.pid", self.name));
        let pid = pid.trim();
        self.sh(&format!("kill -{signal} {pid}"));
        let is_gone = eventually(PATIENCE, || !self.is_running(pid));
        assert!(is_gone, "the agent does not end:\n{}", self.log());
    }

    fn is_running(&self, pid: &str) -> bool {
        self.try_sh(&format!("readlink /proc/{pid}/exe")).status.success() // not of a zombie
    }

    pub(crate) fn log(&self) -> String {
        self.sh(&format!("cat /run/{}.log", self.name))
    }

    /// What /healthz answers, if anything.
    pub(crate) fn health(&self) -> Option<Value> {
        let answer = self.try_sh("curl -s --max-time 2 http://127.0.0.1:9471/healthz").stdout;
        serde_json::from_str(&answer).ok()
    }

    /// A number of /metrics.
    pub(crate) fn metric(&self, name: &str) -> Option<i64> {
        let answer = self.try_sh("curl -s --max-time 2 http://127.0.0.1:9471/metrics").stdout;
        let line = answer
            .lines()
            .find_map(|line| line.strip_prefix(&format!("groundwork_overlay_{name} ")).map(str::to_owned));
        line.and_then(|number| number.parse().ok())
    }

    #[track_caller]
    pub(crate) fn await_peers(&self, count: usize) {
        let found = || self.health().is_some_and(|health| health["peers"] == count && health["subnets"][0].is_string());
        assert!(eventually(PATIENCE, found), "{} peers are not there: {:?}\n{}", count, self.health(), self.log());
        let routes = || self.routes().len() == count;
        assert!(eventually(PATIENCE, routes), "not {count} routes:\n{}\n{}", self.sh("ip route"), self.log());
    }

    #[track_caller]
    pub(crate) fn await_log(&self, text: &str) {
        assert!(eventually(PATIENCE, || self.log().contains(text)), "no {text:?} in the log:\n{}", self.log());
    }

    /// The subnets that the agent has for the host, as /healthz tells.
    pub(crate) fn subnets(&self) -> Vec<String> {
        let mut health = Value::Null;
        eventually(SOON, || {
            health = self.health().unwrap_or_default(); // curl has not much patience
            health.is_object()
        });
        let subnets = health["subnets"].as_array().cloned().unwrap_or_default();
        subnets.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
    }

    /// IPv4 subnets of other hosts that the host has routes to.
    pub(crate) fn routes(&self) -> Vec<String> {
        let routes = self.try_sh("ip route show dev vxlan.1 proto 103").stdout;
        let mut routes: Vec<_> = routes.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        routes.sort();
        routes
    }

    /// All that the kernel holds of the overlay on the host, with the device's number, for "nothing has changed".
    pub(crate) fn kernel(&self) -> String {
        self.sh("ip -o link show dev vxlan.1 | cut -d' ' -f1-2; ip address show dev vxlan.1 | grep inet
                 ip route show dev vxlan.1 | sort; ip -6 route show dev vxlan.1 proto 103 | sort
                 ip neigh show dev vxlan.1 nud permanent | sort; bridge fdb show dev vxlan.1 | sort
                 nft list ruleset | grep -v '^#'")
    }

    /// The plugin's answer to a verb about the container of this name.
    pub(crate) fn verb(&self, verb: &str, container: &str, overlay: &Value) -> Output {
        let config = json!({
            "cniVersion": "1.1.0", "name": "pods", "type": "groundwork", "stateDir": self.state_dir(),
            "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true, "overlay": overlay,
        });
        let (name, folder) = (&self.name, PathBuf::from(GROUNDWORK));
        let folder = folder.parent().unwrap().display().to_string();
        self.try_sh(&format!(
            "echo '{config}' | CNI_COMMAND={verb} CNI_CONTAINERID={container} CNI_NETNS=/run/netns/{name}-{container} \
             CNI_IFNAME=eth0 CNI_PATH={folder} {GROUNDWORK}"
        ))
    }

    /// Makes a container on the host and returns its addresses.
    #[track_caller]
    pub(crate) fn pod(&self, container: &str) -> Vec<String> {
        self.pod_of(container, &json!({ "network": ["10.244.0.0/16", "fd00:244::/48"], "engine": "etcd" }))
    }

    #[track_caller]
    pub(crate) fn pod_of(&self, container: &str, overlay: &Value) -> Vec<String> {
        self.site.outside.sh(&format!("ip netns add {}-{container}", self.name));
        let result = self.verb("ADD", container, overlay).json("ADD");
        let addresses = result["ips"].as_array().unwrap().iter();
        addresses.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned()).collect()
    }

    /// Whether a container of the host is answered by an address.
    pub(crate) fn pings(&self, container: &str, address: &str) -> bool {
        let name = &self.name;
        let ping = format!("ip netns exec {name}-{container} ping -n -c 1 -W 1 {address}");
        self.site.outside.try_sh(&ping).status.success()
    }

    /// Panics unless it is within [`PATIENCE`].
    #[track_caller]
    pub(crate) fn ping(&self, container: &str, addresses: &[String]) {
        self.ping_within(PATIENCE, container, addresses);
    }

    /// Panics unless it is within [`SOON`].
    #[track_caller]
    pub(crate) fn ping_soon(&self, container: &str, addresses: &[String]) {
        self.ping_within(SOON, container, addresses);
    }

    #[track_caller]
    fn ping_within(&self, limit: Duration, container: &str, addresses: &[String]) {
        for address in addresses {
            let answered = eventually(limit, || self.pings(container, address));
            assert!(answered, "{address} does not answer {}:\n{}\n{}", self.name, self.kernel(), self.log());
        }
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

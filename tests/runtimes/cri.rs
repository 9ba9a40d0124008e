//! containerd, asked by the CRI, as kubelet asks it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
    thread,
    time::Duration,
};

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    calls::Call,
    containerd::{Containerd, IMAGE},
    image,
    machine::{Machine, OUTSIDE, PATIENCE, UPLINK, address_in, until_done, wget, words},
    support::{Output, eventually, run, run_within},
    trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("cri::runs_and_removes_a_pod", runs_and_removes_a_pod),
        trial("cri::refuses_a_pod", refuses_a_pod),
        trial("cri::serves_a_whole_pod_at_once", serves_a_whole_pod_at_once),
        trial("cri::serves_a_whole_pod_by_a_chain", serves_a_whole_pod_by_a_chain),
        trial("cri::runs_pods_at_once", runs_pods_at_once),
        trial("cri::comes_back_from_a_reboot", comes_back_from_a_reboot),
        trial("cri::guards_a_host_port", guards_a_host_port),
        trial("cri::outlives_its_runtime", outlives_its_runtime),
    ]
}

/// Compiles a hundred crates, once.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

/// The client, built the first time: a package apart, so that nobody else has to build it.
fn client() -> &'static Path {
    static CLIENT: OnceLock<PathBuf> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtimes/cri-client/Cargo.toml");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cri-client");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(&target);
        cargo.current_dir("/"); // where the settings of this repository's builds do not apply
        run_within(BUILD_LIMIT, &mut cargo, "").success("the build of cri-client");
        target.join("debug/cri-client")
    })
}

/// A machine with containerd, as a node of Kubernetes.
struct Node {
    containerd: Containerd,
}

impl Node {
    fn new(network: &Value) -> Self {
        let containerd = Containerd::new("k8s.io");
        let machine = &containerd.machine;
        machine
            .install(&["groundwork", "loopback", "bridge", "ptp", "portmap", "bandwidth", "tuning"])
            .network(network);
        let node = Self { containerd };
        node.wait();
        node
    }

    /// Until containerd knows its image and its network.
    fn wait(&self) {
        let known = || self.containerd.ctr("image ls").contains("io.cri-containerd.image=managed");
        assert!(eventually(PATIENCE, known), "the image is not seen");
        assert!(eventually(PATIENCE, || self.say(&["network"]).is_empty()), "{}", self.say(&["network"]));
    }

    #[track_caller]
    fn say(&self, words: &[&str]) -> String {
        self.try_say(words).success(&words.join(" ")).trim().to_owned()
    }

    fn try_say(&self, words: &[&str]) -> Output {
        run(self.containerd.machine.command(client()).arg("/run/containerd/containerd.sock").args(words), "")
    }

    fn pod(&self, name: &str, more: Value) -> String {
        let mut pod = json!({"name": name, "cgroupParent": self.containerd.machine.cgroup});
        pod.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pod.to_string()
    }

    /// Runs a pod with the web server in it; the IDs of the two.
    #[track_caller]
    fn serve(&self, pod: &str) -> (String, String) {
        let id = self.say(&["run-pod", pod]);
        let container = self.say(&[&["run-container", &id, pod, IMAGE], image::SERVER].concat());
        (id, container)
    }

    /// Runs a command in a container, again until it succeeds: the web server in another may only be starting.
    #[track_caller]
    fn exec(&self, container: &str, line: &str) -> String {
        let words = [&["exec", container], words(line).as_slice()].concat();
        until_done(|| self.try_say(&words)).success(line).trim().to_owned()
    }
}

/// A network on 10.210.35.0/`length`.
fn network(length: u8) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "groundwork", "bridge": "gw-pods0", "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true,
            "capabilities": {"portMappings": true},
            "ipam": {"type": "host-local", "subnet": format!("10.210.35.0/{length}")},
        }],
    })
}

/// How the DELs name the pods that they take away from the network.
fn dels(calls: &[Call]) -> Vec<(bool, bool)> {
    calls.iter().filter(|call| call.verb() == "DEL" && call.plugin != "loopback").map(Call::names).collect()
}

fn runs_and_removes_a_pod() {
    let node = Node::new(&network(24));
    node.containerd.machine.leaves_nothing(|machine| {
        let port = json!({"ports": [{"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}]});
        let (one, in_one) = node.serve(&node.pod("one", port));
        let (two, in_two) = node.serve(&node.pod("two", json!({})));
        let [address, other] = [&in_one, &in_two].map(|container| {
            node.exec(container, "ping -c 1 -W 5 10.210.35.1");
            address_in(&node.exec(container, "ip -o -4 address show dev eth0"))
        });
        assert_eq!(node.say(&["pod-ip", &one]), address);
        assert!(node.exec(&in_one, "ip -o link show dev lo").contains("LOWER_UP"), "containerd leaves lo to a plugin");
        assert_eq!(node.exec(&in_two, &wget(&address)), other);
        assert_eq!(node.exec(&in_one, &wget(OUTSIDE)), UPLINK);
        assert_eq!(machine.ask_from_outside(&format!("{UPLINK}:18080")), OUTSIDE);
        machine.ask("127.0.0.1:18080");
        machine.calls();

        node.say(&["stop-pod", &one]);
        assert_eq!(dels(&machine.calls()), [(true, true)]);
        node.say(&["stop-pod", &one]);
        node.say(&["remove-pod", &one]);
        let again = dels(&machine.calls());
        assert!(!again.is_empty() && again.iter().all(|&names| names == (false, false)), "{again:?}");
        node.exec(&in_two, "ping -c 1 -W 5 10.210.35.1"); // the other's is still there
        node.say(&["stop-pod", &two]);
        node.say(&["remove-pod", &two]);
    });
}

/// A pod that can't have an address is refused with the reason, and nothing of it stays.
fn refuses_a_pod() {
    let node = Node::new(&network(30)); // room for one
    node.containerd.machine.leaves_nothing(|machine| {
        let (one, in_one) = node.serve(&node.pod("one", json!({})));
        let before = machine.attachments();
        machine.calls();
        let refused = node.try_say(&["run-pod", &node.pod("two", json!({}))]);
        assert!(!refused.status.success() && refused.stderr.contains("10.210.35.0/30"), "{refused:?}");
        let calls = machine.all_calls();
        let failed: Vec<_> = calls.iter().filter(|call| call.status != Some(0)).map(Call::verb).collect();
        assert_eq!(failed, ["ADD"]);
        assert!(!dels(&calls).is_empty());
        assert_eq!(machine.attachments(), before);
        node.exec(&in_one, "ping -c 1 -W 5 10.210.35.1");
        node.say(&["stop-pod", &one]);
        node.say(&["remove-pod", &one]);
    });
}

/// A pod with everything that its manifest can ask of its network, by one plugin.
fn serves_a_whole_pod_at_once() {
    let capabilities = json!({"portMappings": true, "bandwidth": true, "ips": true, "mac": true});
    let mut network = network(24);
    let plugin = &mut network["plugins"][0];
    plugin["capabilities"] = capabilities;
    plugin["mtu"] = 1400.into();
    plugin["sysctl"] = json!({"net.ipv4.conf.IFNAME.arp_filter": "1"});
    serves_a_whole_pod(&network, "groundwork");
}

/// The same by the list that a node has, with groundwork under each name in it.
fn serves_a_whole_pod_by_a_chain() {
    serves_a_whole_pod(
        &json!({
            "cniVersion": "0.3.1",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true,
                    "mtu": 1400, "ipam": {"type": "host-local", "subnet": "10.210.35.0/24"},
                },
                {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}},
                {"type": "bandwidth", "capabilities": {"bandwidth": true}},
                {"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}},
            ],
        }),
        "bandwidth",
    );
}

fn serves_a_whole_pod(network: &Value, limiter: &str) {
    let node = Node::new(network);
    node.containerd.machine.leaves_nothing(|machine| {
        let pod = node.pod(
            "one",
            json!({
                "annotations": {
                    "kubernetes.io/ingress-bandwidth": "8M",
                    "kubernetes.io/egress-bandwidth": "16M",
                },
                "ports": [{"hostPort": 18080, "containerPort": 80}],
            }),
        );
        let (one, in_one) = node.serve(&pod);
        node.exec(&in_one, "ping -c 1 -W 5 10.210.35.1");
        assert_eq!(node.exec(&in_one, "cat /sys/class/net/eth0/mtu"), "1400");
        assert_eq!(node.exec(&in_one, "cat /proc/sys/net/ipv4/conf/eth0/arp_filter"), "1");
        assert_eq!(machine.ask_from_outside(&format!("{UPLINK}:18080")), OUTSIDE);
        assert_eq!(node.exec(&in_one, &wget(OUTSIDE)), UPLINK);

        let calls = machine.calls();
        let add = calls.iter().find(|call| call.verb() == "ADD" && call.plugin == limiter).unwrap();
        assert_eq!(add.stdin["runtimeConfig"]["bandwidth"]["IngressRate"], 8_000_000); // as containerd writes the keys
        let limits = limits(machine);
        assert_eq!(
            limits.iter().map(|limit| limit["options"]["rate"].as_u64()).collect::<Vec<_>>(),
            [Some(1_000_000), Some(2_000_000)]
        );
        assert!(limits.iter().all(|limit| limit["packets"].as_u64() > Some(0)), "passed by: {limits:?}");

        node.say(&["stop-pod", &one]);
        node.say(&["remove-pod", &one]);
    });
}

/// The queues that limit traffic, that with the smallest rate first.
fn limits(machine: &Machine) -> Vec<Value> {
    let queues: Vec<Value> = serde_json::from_str(&machine.host.sh("tc -s -j qdisc")).unwrap();
    let mut limits: Vec<_> = queues.into_iter().filter(|queue| queue["kind"] == "tbf").collect();
    limits.sort_by_key(|limit| limit["options"]["rate"].as_u64());
    limits
}

/// Kubelet starts and ends many at once.
fn runs_pods_at_once() {
    let node = Node::new(&network(24));
    let at_once = |body: &(dyn Fn(usize) + Sync)| {
        thread::scope(|scope| {
            (0..6).for_each(|number| drop(scope.spawn(move || body(number))));
        })
    };
    node.containerd.machine.leaves_nothing(|machine| {
        let pods = Mutex::new(Vec::new());
        at_once(&|number| {
            let pod = node.say(&["run-pod", &node.pod(&format!("pod{number}"), json!({}))]);
            let address = node.say(&["pod-ip", &pod]);
            machine.host.sh(&format!("ping -n -c 1 -W 5 {address}"));
            pods.lock().unwrap().push((pod, address));
        });
        let pods = pods.into_inner().unwrap();
        let addresses: BTreeSet<_> = pods.iter().map(|(_, address)| address).collect();
        assert_eq!(addresses.len(), 6, "{pods:?}");
        at_once(&|number| {
            node.say(&["stop-pod", &pods[number].0]);
            node.say(&["remove-pod", &pods[number].0]);
        });
    });
}

/// After a reboot the runtime still knows of pods that nothing is left of. Taking them away spares the new pod that has
/// their address by then.
fn comes_back_from_a_reboot() {
    let node = Node::new(&network(30)); // one address
    let machine = &node.containerd.machine;
    let (old, _) = node.serve(&node.pod("old", json!({})));
    let tasks = node.containerd.ctr("task ls");
    let processes: Vec<_> = tasks.lines().skip(1).map(|task| words(task)[1]).collect();
    machine.host.sh(&format!(
        "kill -s KILL $(pidof containerd containerd-shim-runc-v2) {}
         for netns in /run/netns/cni-*; do umount $netns; rm $netns; done
         rm -r /run/containerd /run/groundwork
         ip link del gw-pods0; nft delete table inet groundwork",
        processes.join(" ")
    ));
    node.containerd.start();
    node.wait();
    let (new, in_new) = node.serve(&node.pod("new", json!({})));
    let mut others = machine.attachments();
    others.retain(|line| !line.contains(&old));
    machine.calls();
    node.say(&["stop-pod", &old]);
    node.say(&["remove-pod", &old]);
    let dels = dels(&machine.calls());
    assert_eq!(dels, [(false, true), (false, false)]); // prevResult is in /var/lib
    assert_eq!(machine.attachments(), others);
    assert_eq!(node.exec(&in_new, &wget(OUTSIDE)), UPLINK);
    node.say(&["stop-pod", &new]);
    node.say(&["remove-pod", &new]);
    machine.assert_no_attachment();
}

/// Two pods ask for one port: the second is told whose it is, and has it when the first is gone.
fn guards_a_host_port() {
    let node = Node::new(&network(24));
    node.containerd.machine.leaves_nothing(|machine| {
        let port = json!({"ports": [{"hostPort": 18080, "containerPort": 80, "hostIP": UPLINK}]});
        let first = node.say(&["run-pod", &node.pod("first", port.clone())]);
        let second = node.pod("second", port);
        let refused = node.try_say(&["run-pod", &second]);
        assert!(!refused.status.success(), "two pods have one port: {refused:?}");
        assert!(refused.stderr.contains("18080") && refused.stderr.contains(&first), "{refused:?}");
        machine.all_calls();
        node.say(&["stop-pod", &first]);

        let (second, _) = node.serve(&second);
        assert_eq!(machine.ask_from_outside(&format!("{UPLINK}:18080")), OUTSIDE);
        node.say(&["remove-pod", &first]);
        assert_eq!(machine.ask_from_outside(&format!("{UPLINK}:18080")), OUTSIDE);
        node.say(&["stop-pod", &second]);
        node.say(&["remove-pod", &second]);
    });
}

/// containerd is killed and started again while a pod runs, on a network as many nodes have it.
fn outlives_its_runtime() {
    let node = Node::new(&json!({
        "cniVersion": "0.3.1",
        "name": "pods",
        "plugins": [{"type": "ptp", "ipMasq": true, "ipam": {
            "type": "host-local", "ranges": [[{"subnet": "10.210.36.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
        }}],
    }));
    node.containerd.machine.leaves_nothing(|machine| {
        let (one, in_one) = node.serve(&node.pod("one", json!({})));
        node.exec(&in_one, "ping -c 1 -W 5 10.210.36.1");
        machine.host.sh("kill -s KILL $(pidof containerd)"); // the machine's processes: those of the trial
        node.containerd.start();
        node.wait();
        assert_eq!(machine.ask(&node.say(&["pod-ip", &one])), "10.210.36.1");
        assert_eq!(node.exec(&in_one, &wget(OUTSIDE)), UPLINK);
        machine.calls();
        node.say(&["stop-pod", &one]);
        assert_eq!(dels(&machine.calls()), [(true, false)]); // prevResult came with 0.4.0
        node.say(&["remove-pod", &one]);
    });
}

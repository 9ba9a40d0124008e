//! podman, with the CNI backend.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    calls::{Call, PLUGINS},
    image,
    machine::{Machine, OUTSIDE, OUTSIDE6, UPLINK, UPLINK6, address_in, until_done, wget, words},
    support::{Output, run},
    trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("podman::publishes_ports", publishes_ports),
        trial("podman::joins_two_networks", joins_two_networks),
        trial("podman::connects_and_disconnects", connects_and_disconnects),
        trial("podman::reloads", reloads),
        trial("podman::asks_for_an_address", asks_for_an_address),
        trial("podman::ends_by_itself", ends_by_itself),
        trial("podman::starts_again", starts_again),
        trial("podman::builds_an_image", builds_an_image),
        trial("podman::creates_a_network", creates_a_network),
        trial("podman::isolates_networks", isolates_networks),
        trial("podman::takes_over", takes_over),
        trial("podman::joins_the_network_outside", joins_the_network_outside),
    ]
}

const CONTAINERS: &str = r#"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/usr/lib/cni"]
network_config_dir = "/etc/cni/net.d"
default_network = "web"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"#;

const STORAGE_CONF: &str = "CONTAINERS_STORAGE_CONF";

const STORAGE: &str = r#"
[storage]
driver = "overlay"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
"#;

/// A machine with podman.
struct Podman {
    machine: Machine,
}

impl Podman {
    fn new() -> Self {
        let machine = Machine::new();
        machine.install(&["groundwork"]);
        machine.write("/run/containers.conf", CONTAINERS);
        machine.write("/run/storage.conf", STORAGE);
        let podman = Self { machine };
        podman.say(&format!("pull -q oci-archive:{}", image::archive().display()));
        podman
    }

    #[track_caller]
    fn say(&self, line: &str) -> String {
        self.try_say(line).success(line).trim().to_owned()
    }

    fn try_say(&self, line: &str) -> Output {
        self.run(words(line))
    }

    fn run(&self, words: Vec<&str>) -> Output {
        let mut command = self.machine.command("podman");
        command.env("CONTAINERS_CONF", "/run/containers.conf").env(STORAGE_CONF, "/run/storage.conf");
        run(command.args(words), "")
    }

    /// Runs the web server in a container.
    #[track_caller]
    fn serve(&self, options: &str) {
        let (parent, server) = (&self.machine.cgroup, image::SERVER.join(" "));
        self.say(&format!("run -d --pull never --cgroup-parent {parent} {options} {} {server}", image::NAME));
    }

    /// The address of a container's link, which its gateway answers.
    #[track_caller]
    fn address(&self, container: &str, ifname: &str, gateway: &str) -> String {
        self.say(&format!("exec {container} ping -c 1 -W 5 -I {ifname} {gateway}"));
        address_in(&self.say(&format!("exec {container} ip -o -4 address show dev {ifname}")))
    }

    /// What a web server says to a container, once it answers.
    #[track_caller]
    fn ask(&self, container: &str, address: &str) -> String {
        let line = format!("exec {container} {}", wget(address));
        until_done(|| self.try_say(&line)).success(&line).trim().to_owned()
    }
}

/// A network as a person writes it, on 10.210.`subnet`.0/24.
fn network(name: &str, subnet: u8) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": name,
        "plugins": [{
            "type": "groundwork", "bridge": format!("gw-{name}0"),
            "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true,
            "capabilities": {"ips": true, "mac": true, "portMappings": true},
            "ipam": {"type": "host-local", "subnet": format!("10.210.{subnet}.0/24")},
        }],
    })
}

/// The calls of groundwork with this verb.
fn own<'a>(calls: &'a [Call], verb: &str) -> Vec<&'a Call> {
    calls.iter().filter(|call| call.verb() == verb && call.plugin == "groundwork").collect()
}

fn publishes_ports() {
    let podman = Podman::new();
    podman.machine.network(&network("web", 31));
    podman.machine.leaves_nothing(|machine| {
        podman.serve("--name one -p 18080:80 -p 18053:53/udp");
        podman.serve("--name two -p 127.0.0.1:18081:80");
        let (one, two) = (podman.address("one", "eth0", "10.210.31.1"), podman.address("two", "eth0", "10.210.31.1"));
        assert_eq!(podman.ask("two", &one), two);
        assert_eq!(podman.ask("one", OUTSIDE), UPLINK); // masqueraded

        let published = format!("{UPLINK}:18080");
        assert_eq!(machine.ask_from_outside(&published), OUTSIDE);
        for name in ["one", "two"] {
            assert_eq!(podman.ask(name, &published), "10.210.31.1"); // the bridge: answers come back this way
        }
        machine.ask(&published);
        machine.ask("127.0.0.1:18081");
        let refused = machine.try_from_outside(&format!("{UPLINK}:18081"));
        assert!(!refused.status.success(), "a port of the loopback address answers outside: {refused:?}");
        assert!(machine.passes_datagrams(own(&machine.calls(), "ADD")[0].var("CNI_NETNS"), 18053));

        podman.say("rm -f -t 0 one two");
        let calls = machine.calls();
        let dels: Vec<_> = own(&calls, "DEL").into_iter().map(Call::names).collect();
        assert_eq!(dels, [(true, true); 2]);
    });
}

fn joins_two_networks() {
    let podman = Podman::new();
    podman.machine.network(&network("web", 31)).network(&network("db", 32));
    podman.machine.leaves_nothing(|_| {
        podman.serve("--name both --network web:interface_name=eth0 --network db:interface_name=eth1");
        podman.serve("--name one --network db");
        podman.address("both", "eth0", "10.210.31.1");
        let both = podman.address("both", "eth1", "10.210.32.1");
        let one = podman.address("one", "eth0", "10.210.32.1");
        assert_eq!(podman.ask("both", &one), both);
        podman.say("rm -f -t 0 both one");
    });
}

fn connects_and_disconnects() {
    let podman = Podman::new();
    podman.machine.network(&network("web", 31)).network(&network("db", 32));
    podman.machine.leaves_nothing(|machine| {
        podman.serve("--name one");
        podman.serve("--name two --network db");
        machine.calls();
        podman.say("network connect db one");
        let (one, two) = (podman.address("one", "eth1", "10.210.32.1"), podman.address("two", "eth0", "10.210.32.1"));
        assert_eq!(podman.ask("one", &two), one);
        podman.say("network disconnect db one");
        let calls = machine.calls();
        assert_eq!(own(&calls, "DEL")[0].ifname(), "eth1");
        assert!(!podman.try_say("exec one ip link show eth1").status.success(), "eth1 is left");
        podman.address("one", "eth0", "10.210.31.1");
        podman.say("rm -f -t 0 one two");
    });
}

/// What a firewall's reload takes comes back by podman's means, and by groundwork's.
fn reloads() {
    let podman = Podman::new();
    podman.machine.network(&network("web", 31));
    podman.machine.leaves_nothing(|machine| {
        podman.serve("--name one -p 18080:80");
        let before = podman.address("one", "eth0", "10.210.31.1");
        let reload = || podman.say("network reload one");
        let repair = || machine.host.sh(&format!("{PLUGINS}/groundwork repair"));
        for put_back in [&reload as &dyn Fn() -> String, &repair] {
            assert_eq!(podman.ask("one", OUTSIDE), UPLINK);
            machine.host.sh("nft flush ruleset");
            let lost = podman.try_say(&format!("exec one {}", wget(OUTSIDE)));
            assert!(!lost.status.success(), "a container is masqueraded without rules: {lost:?}");
            put_back();
            assert_eq!(podman.address("one", "eth0", "10.210.31.1"), before);
            assert_eq!(podman.ask("one", OUTSIDE), UPLINK);
            assert_eq!(machine.ask_from_outside(&format!("{UPLINK}:18080")), OUTSIDE);
        }
        podman.say("rm -f -t 0 one");
    });
}

fn asks_for_an_address() {
    let podman = Podman::new();
    podman.machine.network(&network("web", 31));
    podman.machine.leaves_nothing(|machine| {
        podman.serve("--name one --ip 10.210.31.77 --mac-address 02:00:00:00:00:4d");
        assert_eq!(podman.address("one", "eth0", "10.210.31.1"), "10.210.31.77");
        let link = podman.say("exec one ip link show eth0");
        assert!(link.contains("02:00:00:00:00:4d"), "{link}");
        machine.calls();

        let parent = &machine.cgroup;
        let second =
            podman.try_say(&format!("run --rm --pull never --cgroup-parent {parent} --ip 10.210.31.77 web true"));
        assert!(!second.status.success() && second.stderr.contains("10.210.31.77"), "{second:?}");
        assert!(machine.all_calls().iter().any(|call| call.status != Some(0)));
        assert_eq!(podman.address("one", "eth0", "10.210.31.1"), "10.210.31.77");
        podman.say("rm -f -t 0 one");
    });
}

/// The same container, stopped and started again, in a namespace of its own each time.
fn starts_again() {
    let podman = Podman::new();
    podman.machine.network(&network("web", 31));
    podman.machine.leaves_nothing(|machine| {
        podman.serve("--name one -p 18080:80");
        podman.say("stop -t 0 one");
        machine.assert_no_attachment();
        podman.say("start one");
        podman.address("one", "eth0", "10.210.31.1");
        podman.say("restart -t 0 one");
        assert_eq!(machine.ask_from_outside(&format!("{UPLINK}:18080")), OUTSIDE);
        podman.say("rm -f -t 0 one");
    });
}

/// A build's containers have namespaces that are nowhere but in an open file.
fn builds_an_image() {
    let podman = Podman::new();
    podman.machine.network(&network("web", 31));
    let server = wget(OUTSIDE);
    podman.machine.write("/run/Containerfile", &format!("FROM localhost/web\nRUN [ \"$({server})\" = {UPLINK} ]\n"));
    podman.machine.leaves_nothing(|machine| {
        let parent = &machine.cgroup;
        podman.say(&format!("build -q --no-cache --cgroup-parent {parent} -t built -f /run/Containerfile /run/www"));
        podman.say("rmi built");
        let calls = machine.calls();
        for verb in ["ADD", "DEL"] {
            let netns = own(&calls, verb)[0].var("CNI_NETNS");
            assert!(netns.starts_with("/proc/") && netns.contains("/fd/"), "{netns}");
        }
    });
}

/// podman's clean-up then comes by itself, from a process that has next to nothing of the environment podman had.
fn ends_by_itself() {
    let podman = Podman::new();
    podman.machine.network(&network("web", 31));
    podman.machine.leaves_nothing(|machine| {
        let line = format!("run -d --rm --name one --pull never --cgroup-parent {} -p 18080:80 web", machine.cgroup);
        let server = ["sh", "-c", "until [ -e /tmp/end ]; do sleep 0.1; done"];
        podman.run([words(&line), server.to_vec()].concat()).success(&line);
        podman.address("one", "eth0", "10.210.31.1");
        podman.try_say("exec one touch /tmp/end"); // which may fail: the container may end before this does
        machine.assert_no_attachment();
        let calls = machine.calls();
        let (add, del) = (own(&calls, "ADD"), own(&calls, "DEL"));
        assert!(add[0].env.contains_key(STORAGE_CONF) && !del[0].env.contains_key(STORAGE_CONF), "{:?}", del[0].env);
    });
}

/// The list that podman writes, with groundwork under the names that are in it, on a host that drops what it would
/// forward, as Docker leaves it.
fn creates_a_network() {
    let podman = Podman::new();
    podman.machine.install(&["bridge", "portmap", "firewall", "tuning"]);
    podman.machine.host.sh("iptables -P FORWARD DROP; ip6tables -P FORWARD DROP");
    podman.say("network create --ipv6 --subnet 10.210.33.0/24 --subnet fd10:210:33::/64 front");
    podman.machine.leaves_nothing(|machine| {
        podman.serve("--name one --network front -p 18080:80 --ip 10.210.33.33 --mac-address 02:00:00:00:00:21");
        podman.serve("--name two --network front");
        assert_eq!(podman.address("one", "eth0", "10.210.33.1"), "10.210.33.33");
        let two = podman.address("two", "eth0", "10.210.33.1");
        assert_eq!(podman.ask("two", "10.210.33.33"), two);
        podman.say("exec two ping -c 1 -W 5 fd10:210:33::1");
        assert_eq!(podman.ask("one", OUTSIDE), UPLINK);
        assert_eq!(podman.ask("one", &format!("[{OUTSIDE6}]")), UPLINK6);
        assert_eq!(machine.ask_from_outside(&format!("{UPLINK}:18080")), OUTSIDE);
        assert_eq!(machine.ask_from_outside(&format!("[{UPLINK6}]:18080")), OUTSIDE6);
        machine.ask("127.0.0.1:18080");
        podman.say("rm -f -t 0 one two");
    });
}

/// Networks that podman isolates from each other.
fn isolates_networks() {
    let podman = Podman::new();
    podman.machine.install(&["bridge", "portmap", "firewall", "tuning"]);
    podman.say("network create --opt isolate=true --subnet 10.210.33.0/24 front");
    podman.say("network create --opt isolate=true --subnet 10.210.34.0/24 back");
    podman.machine.leaves_nothing(|machine| {
        podman.serve("--name one --network front -p 18080:80");
        podman.serve("--name two --network front");
        podman.serve("--name apart --network back");
        let (one, two) = (podman.address("one", "eth0", "10.210.33.1"), podman.address("two", "eth0", "10.210.33.1"));
        assert_eq!(podman.ask("two", &one), two);
        podman.address("apart", "eth0", "10.210.34.1");
        let reached = podman.try_say(&format!("exec apart timeout 1 wget -q -O - http://{one}{}", image::PEER));
        assert!(!reached.status.success(), "one network reaches another: {reached:?}");
        assert_eq!(podman.ask("apart", OUTSIDE), UPLINK);
        assert_eq!(machine.ask_from_outside(&format!("{UPLINK}:18080")), OUTSIDE);
        podman.say("rm -f -t 0 one two apart");
    });
}

/// Containers that are on the network outside, beside the host.
fn joins_the_network_outside() {
    let podman = Podman::new();
    podman.machine.install(&["macvlan"]);
    podman.say(&format!("network create -d macvlan -o parent=uplink --subnet 192.0.2.0/24 --gateway {OUTSIDE} lan"));
    podman.machine.leaves_nothing(|machine| {
        podman.serve("--name one --network lan --ip 192.0.2.77 --mac-address 02:00:00:00:00:4d");
        assert_eq!(podman.address("one", "eth0", OUTSIDE), "192.0.2.77");
        assert_eq!(podman.ask("one", OUTSIDE), "192.0.2.77");
        assert_eq!(machine.ask_from_outside("192.0.2.77"), OUTSIDE);
        podman.say("rm -f -t 0 one");
    });
}

/// The binaries are exchanged while a container of the reference plugins runs.
fn takes_over() {
    let podman = Podman::new();
    let machine = &podman.machine;
    let mut list = network("web", 31);
    list["plugins"][0]["type"] = "bridge".into();
    machine.network(&list).install_reference(&["bridge", "host-local"]);
    podman.serve("--name old");
    let old = podman.address("old", "eth0", "10.210.31.1");
    machine.install(&["bridge"]);
    podman.serve("--name new");
    let new = podman.address("new", "eth0", "10.210.31.1");
    assert_ne!(new, old);
    assert_eq!(podman.ask("old", &new), old);
    assert_eq!(podman.ask("new", &old), new);
    podman.say("rm -f -t 0 old");
    assert_eq!(podman.ask("new", OUTSIDE), UPLINK);
    podman.say("rm -f -t 0 new");
    machine.calls();
    machine.assert_no_attachment();
}

//! containerd, asked by its own `ctr`.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, JoinHandle},
};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    calls::Call,
    image,
    machine::{Machine, OUTSIDE, PATIENCE, UPLINK, until_done, wget, words},
    support::{Output, eventually, run},
    trial,
};

/// What the image is called here.
pub(crate) const IMAGE: &str = "docker.io/library/web:web";

pub(crate) fn trials() -> Vec<Trial> {
    let examples = examples().into_iter().map(|file| {
        let name = format!("ctr::example_{}", file.file_stem().unwrap().display());
        Trial::test(name, move || {
            example(&file);
            Ok(())
        })
    });
    examples.chain([trial("ctr::detached", detached)]).collect()
}

const CONFIG: &str = r#"
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/web:web"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "/etc/cni/net.d"
"#;

/// A machine with containerd.
pub(crate) struct Containerd {
    pub(crate) machine: Machine,
    /// containerd's own word for a set of images and containers.
    namespace: &'static str,
}

impl Containerd {
    pub(crate) fn new(namespace: &'static str) -> Self {
        let machine = Machine::new();
        machine.write("/run/containerd.toml", CONFIG);
        let containerd = Self { machine, namespace };
        containerd.start();
        containerd.ctr(&format!("image import --base-name docker.io/library/web {}", image::archive().display()));
        containerd
    }

    pub(crate) fn start(&self) {
        self.machine.start("containerd", &["-c", "/run/containerd.toml"]);
        assert!(eventually(PATIENCE, || self.try_ctr("version").status.success()), "containerd does not answer");
    }

    #[track_caller]
    pub(crate) fn ctr(&self, line: &str) -> String {
        self.try_ctr(line).success(line).trim().to_owned()
    }

    fn try_ctr(&self, line: &str) -> Output {
        run(self.machine.command("ctr").args(["-n", self.namespace]).args(words(line)), "")
    }

    /// Runs the web server in a container, in the foreground: only so does ctr take the network down again.
    fn serve(&self, container: &str) -> JoinHandle<Output> {
        let (parent, server) = (&self.machine.cgroup, image::SERVER.join(" "));
        let line = format!("run --cni --rm --cgroup {parent}/{container} {IMAGE} {container} {server}");
        let mut command = self.machine.command("ctr");
        command.args(["-n", self.namespace]).args(words(&line));
        thread::spawn(move || run(&mut command, ""))
    }

    /// Waits for a container's web server: it starts when ADD has passed, and commands can be run before.
    #[track_caller]
    fn served(&self, container: &str) {
        self.exec(container, &wget("127.0.0.1"));
    }

    /// Runs a command in a container, again until it succeeds.
    #[track_caller]
    fn exec(&self, container: &str, line: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let line = || format!("task exec --exec-id exec{} {container} {line}", COUNT.fetch_add(1, Ordering::Relaxed));
        until_done(|| self.try_ctr(&line())).success(&line()).trim().to_owned()
    }
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cni");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "conflist")).collect()
}

/// The addresses of a container's result, each with its gateway.
fn result(calls: &[Call], container: &str) -> Vec<(String, String)> {
    let of_container = |call: &&Call| call.verb() == "ADD" && call.var("CNI_CONTAINERID").ends_with(container);
    let answer = &calls.iter().rfind(of_container).expect("an ADD").stdout;
    let result: Value = serde_json::from_str(answer).unwrap();
    let ips = result["ips"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().split('/').next().unwrap().to_owned();
    ips.map(|ip| (text(&ip["address"]), text(&ip["gateway"]))).collect()
}

/// Two containers on an example's network.
fn example(file: &Path) {
    let list: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let containerd = Containerd::new("default");
    containerd.machine.install(&["groundwork", "host-local", "portmap"]).install_reference(&["bridge"]);
    containerd.machine.network(&list).leaves_nothing(|machine| {
        let (one, two) = (containerd.serve("one"), containerd.serve("two"));
        containerd.served("one");
        containerd.served("two");
        let calls = machine.calls();
        let addresses = containerd.exec("one", "ip -o address show dev eth0");
        for (address, gateway) in result(&calls, "one") {
            assert!(addresses.contains(&format!(" {address}/")), "{address}: {addresses}");
            containerd.exec("one", &format!("ping -c 1 -W 5 {gateway}"));
        }
        let addresses = result(&calls, "two");
        for (two, _) in &addresses {
            containerd.exec("one", &format!("ping -c 1 -W 5 {two}"));
        }
        let from = containerd.exec("two", &wget(&result(&calls, "one")[0].0));
        assert_eq!(from, addresses[0].0);
        if list["plugins"][0]["ipMasq"] == true {
            assert_eq!(containerd.exec("one", &wget(OUTSIDE)), UPLINK);
        }

        for (name, running) in [("one", one), ("two", two)] {
            containerd.ctr(&format!("task kill -s SIGKILL {name}"));
            let ended = running.join().unwrap();
            assert!(!ended.stderr.contains("network"), "{ended:?}");
        }
        let calls = machine.calls();
        let mut dels = calls.iter().filter(|call| call.verb() == "DEL" && call.plugin == "groundwork");
        for _ in ["one", "two"] {
            assert_eq!(dels.next().unwrap().names(), (false, true));
        }
    });
}

/// A detached container's DEL never comes: its address is there for the next one that asks, and GC takes the rest.
fn detached() {
    let containerd = Containerd::new("default");
    containerd.machine.install(&["groundwork"]);
    let machine = &containerd.machine;
    let list: Value = serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "one",
        "plugins": [{
            "type": "groundwork", "bridge": "gw-one0", "isDefaultGateway": true, "ipMasq": true,
            "ipam": {"type": "host-local", "subnet": "10.210.34.0/30"}, // room for one container
        }],
    });
    machine.network(&list);
    let server = image::SERVER.join(" ");
    let run = |name: &str| {
        let parent = &machine.cgroup;
        containerd.ctr(&format!("run -d --cni --cgroup {parent}/{name} {IMAGE} {name} {server}"));
        assert!(containerd.exec(name, "ip -o -4 address show dev eth0").contains(" 10.210.34.2/30 "));
        containerd.exec(name, "ping -c 1 -W 5 10.210.34.1");
        containerd.ctr(&format!("task rm -f {name}"));
        containerd.ctr(&format!("container rm {name}"));
    };
    run("first");
    assert!(!machine.attachments().is_empty());
    run("second"); // has the address of the first
    let calls = machine.calls();
    assert!(calls.iter().all(|call| call.verb() == "ADD"), "{calls:#?}");
    let mut config = list["plugins"][0].clone();
    config["cniVersion"] = "1.1.0".into();
    config["name"] = list["name"].clone();
    machine.host.gc(&config, &[]).success("GC");
    let left = machine.attachments();
    assert!(left.iter().all(|line| line.starts_with("/var/lib/cni/results/")), "left: {left:?}"); // the runtime's own
}

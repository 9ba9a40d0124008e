//! Each example of `cni/`, run by the CNI project's own tool as a user would run it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{GROUNDWORK, Host, Output, REFERENCE_PLUGINS, Sandbox, run, run_within};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Downloads a source package and compiles it, once.
const BUILD_LIMIT: Duration = Duration::from_secs(240);

fn main() {
    let arguments = Arguments::from_args();
    let trials = examples().into_iter().map(|file| {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        Trial::test(format!("example_{name}"), move || {
            Example::read(&file).live_and_leave_nothing();
            Ok(())
        })
    });
    let trials: Vec<_> = trials.collect();
    assert!(!trials.is_empty(), "cni/ has no example");
    libtest_mimic::run(&arguments, trials).exit();
}

fn examples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(ROOT).join("cni")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "conflist")).collect()
}

/// Builds it the first time; the script's own lock keeps parallel trials apart.
fn cnitool() -> String {
    let script = Path::new(ROOT).join("tests/cnitool/build");
    run_within(BUILD_LIMIT, &mut Command::new(script), "").success("tests/cnitool/build").trim().to_owned()
}

/// An example configuration and the tool to run it.
struct Example {
    folder: PathBuf,
    network: String,
    tool: String,
}

impl Example {
    fn read(file: &Path) -> Self {
        let list: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let plugins = list["plugins"].as_array().unwrap();
        assert!(plugins.iter().any(|plugin| plugin["type"] == "groundwork"), "it does not use groundwork");
        let network = list["name"].as_str().unwrap().to_owned();
        Self { folder: file.parent().unwrap().into(), network, tool: cnitool() }
    }

    fn run(&self, host: &Host, sandbox: &Sandbox<'_>, verb: &str) -> Output {
        let own_folder = Path::new(GROUNDWORK).parent().unwrap().display();
        let mut command = host.command(&self.tool);
        command
            .args([verb, &self.network, &sandbox.netns])
            .env("NETCONFPATH", &self.folder)
            .env("CNI_PATH", format!("{own_folder}:{REFERENCE_PLUGINS}"));
        run(&mut command, "")
    }

    /// Two containers up, seen to work, checked, broken, and down; twice, so that the second round shows what it leaves.
    fn live_and_leave_nothing(&self) {
        let host = Host::new();
        self.round(&host);
        let before = host.snapshot();
        self.round(&host);
        before.assert_same(&host.snapshot());
    }

    fn round(&self, host: &Host) {
        let (web, client) = (host.sandbox("web"), host.sandbox("client"));
        let result = self.run(host, &web, "add").json("cnitool add");
        let other = self.run(host, &client, "add").json("cnitool add");
        attached(&web, &result);
        for address in addresses(&other) {
            web.ping(&address);
        }
        self.run(host, &web, "check").success("cnitool check");

        if let Some(address) = result["ips"][0]["address"].as_str() {
            web.sh(&format!("ip address del {address} dev eth0"));
            let broken = self.run(host, &web, "check");
            assert!(!broken.status.success(), "cnitool check passes without {address}: {broken:?}");
            // Without it the reference bridge's DEL would leave a masquerade rule, in chained examples.
            web.sh(&format!("ip address add {address} dev eth0"));
        }
        for sandbox in [&web, &client, &web] {
            self.run(host, sandbox, "del").success("cnitool del"); // of `web` a second time, too
            assert!(!sandbox.try_sh("ip link show eth0").status.success(), "eth0 is left in {}", sandbox.container);
        }
        host.sh("ip netns del web; ip netns del client");
    }
}

/// The addresses of a result, without prefix.
fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().expect("the result has ips");
    let address = |ip: &Value| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
    ips.iter().map(address).collect()
}

/// What the result says is what the sandbox has, and its gateways answer.
fn attached(sandbox: &Sandbox<'_>, result: &Value) {
    let interfaces = result["interfaces"].as_array().expect("the result has interfaces");
    let own = |interface: &Value| interface["name"] == "eth0" && interface["sandbox"] == sandbox.netns.as_str();
    let index = interfaces.iter().position(own).unwrap_or_else(|| panic!("eth0 is not in {interfaces:?}"));
    let link = sandbox.sh("ip -o link show eth0; ip -o address show eth0");
    let mac = interfaces[index]["mac"].as_str().unwrap();
    assert!(link.contains("state UP") && link.contains(mac), "{mac}: {link}");

    let ips = result["ips"].as_array().unwrap();
    assert!(!ips.is_empty(), "no address: {result}");
    for ip in ips {
        assert_eq!(ip["interface"], index);
        let address = ip["address"].as_str().unwrap();
        assert!(link.contains(&format!("{address} ")), "{address}: {link}");
        if let Some(gateway) = ip["gateway"].as_str() {
            sandbox.ping(gateway);
        }
    }
    for route in result["routes"].as_array().into_iter().flatten() {
        let destination = route["dst"].as_str().unwrap();
        let family = if destination.contains(':') { "-6" } else { "-4" };
        let found = sandbox.sh(&format!("ip {family} route show {destination}"));
        assert!(found.contains("eth0"), "no route to {destination}: {found:?}");
    }
}

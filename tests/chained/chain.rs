//! Chains of plugins, run as a runtime runs them.

use serde_json::{Value, json};

use crate::support::{GROUNDWORK, Host, Output, REFERENCE_PLUGINS, Sandbox, run, with_prev};

/// Where a plugin of a chain comes from.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// Groundwork under the name of its type.
    Us,
    /// The reference plugin.
    Reference,
}

/// A list of plugins and where each comes from.
pub(crate) struct Chain<'a> {
    pub(crate) host: &'a Host,
    pub(crate) plugins: Vec<(By, Value)>,
}

impl<'a> Chain<'a> {
    /// A bridge of the reference plugin's, and then these.
    pub(crate) fn after_bridge(host: &'a Host, plugins: Vec<(By, Value)>) -> Self {
        let bridge = json!({
            "type": "bridge", "bridge": "br0", "isDefaultGateway": true,
            "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" },
        });
        Self { host, plugins: [(By::Reference, bridge)].into_iter().chain(plugins).collect() }
    }

    /// The configuration of one plugin as libcni would send it.
    pub(crate) fn config(&self, number: usize) -> Value {
        let mut config = self.plugins[number].1.clone();
        config["cniVersion"] = json!("1.0.0");
        config["name"] = json!("net");
        config
    }

    /// Sends a verb to one plugin.
    pub(crate) fn call(&self, number: usize, sandbox: &Sandbox<'_>, verb: &str, previous: Option<&Value>) -> Output {
        let config = previous.map_or_else(|| self.config(number), |result| with_prev(&self.config(number), result));
        let plugin = self.plugin(number);
        send(self.host, &plugin, sandbox, verb, &config)
    }

    fn plugin(&self, number: usize) -> String {
        let (by, config) = &self.plugins[number];
        let name = config["type"].as_str().unwrap();
        match by {
            By::Reference => format!("{REFERENCE_PLUGINS}/{name}"),
            By::Us => under_name(self.host, name),
        }
    }

    /// ADD of the whole chain.
    pub(crate) fn add(&self, sandbox: &Sandbox<'_>) -> Value {
        let mut result = None;
        for number in 0..self.plugins.len() {
            let what = format!("ADD of {}", self.plugins[number].1);
            result = Some(self.call(number, sandbox, "ADD", result.as_ref()).json(&what));
        }
        result.unwrap()
    }

    /// CHECK of the whole chain.
    pub(crate) fn check(&self, sandbox: &Sandbox<'_>, result: &Value) {
        for number in 0..self.plugins.len() {
            self.call(number, sandbox, "CHECK", Some(result)).success("CHECK");
        }
    }

    /// DEL of the whole chain, in reverse.
    pub(crate) fn del(&self, sandbox: &Sandbox<'_>, result: Option<&Value>) {
        for number in (0..self.plugins.len()).rev() {
            self.call(number, sandbox, "DEL", result).success("DEL");
        }
    }
}

/// Groundwork under another name, as an administrator installs it.
pub(crate) fn under_name(host: &Host, name: &str) -> String {
    let path = format!("/run/plugins/{name}");
    host.sh(&format!("mkdir -p /run/plugins; ln -sf {GROUNDWORK} {path}"));
    path
}

/// Sends a verb to a plugin by its path.
pub(crate) fn send(host: &Host, plugin: &str, sandbox: &Sandbox<'_>, verb: &str, config: &Value) -> Output {
    let mut command = host.command(plugin);
    command
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", &sandbox.container)
        .env("CNI_NETNS", &sandbox.netns)
        .env("CNI_IFNAME", &sandbox.ifname)
        .env("CNI_PATH", REFERENCE_PLUGINS)
        .envs(sandbox.env.iter().map(|(key, value)| (key, value)));
    run(&mut command, config.to_string())
}

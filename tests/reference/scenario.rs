//! What a scenario is: plugins, what a runtime asks of them, and what is then done.

use serde_json::{Value, json};

use crate::{
    network::with,
    probe::{Place, Probe},
};

/// The container that most scenarios are about.
pub(crate) const WEB: &str = "web";

/// What the runtime, the administrator or the world does.
#[derive(Clone)]
pub(crate) enum Step {
    /// ADD of this container, and a look at the kernel and the leases.
    Add(&'static str),
    Check(&'static str),
    Del(&'static str),
    /// A script of the administrator's on the host.
    Host(&'static str),
    /// A script in a container.
    Inside(&'static str, &'static str),
    /// Another value of a variable, or none, from here on.
    Env(&'static str, Option<&'static str>),
    /// Whether something is reachable.
    Try(Probe),
}

/// A row of the table.
pub(crate) struct Scenario {
    /// `group/what`.
    pub(crate) name: String,
    /// `cniVersion`; none when empty.
    pub(crate) version: &'static str,
    /// The chain, each as a conflist has it, without version and name.
    pub(crate) plugins: Vec<Value>,
    /// What a runtime puts into `runtimeConfig` of the plugins that declare the capability.
    pub(crate) runtime: Value,
    /// Keys that are set in every plugin's configuration: `args`, or what breaks `name`.
    pub(crate) everywhere: Value,
    /// The program to call when it is not the one that `type` names: an IPAM.
    pub(crate) program: Option<&'static str>,
    /// Variables that are other than usual, or absent.
    pub(crate) env: Vec<(&'static str, Option<&'static str>)>,
    /// The document to send, when it is none.
    pub(crate) document: Option<&'static str>,
    /// A script on the host, before.
    pub(crate) host: String,
    pub(crate) steps: Vec<Step>,
    /// Whether everything fits into one configuration of groundwork's own.
    pub(crate) together: bool,
}

impl Scenario {
    pub(crate) fn new(name: impl Into<String>, plugins: impl IntoIterator<Item = Value>) -> Self {
        Self {
            name: name.into(),
            version: "1.0.0",
            plugins: plugins.into_iter().collect(),
            runtime: json!({}),
            everywhere: json!({}),
            program: None,
            env: Vec::new(),
            document: None,
            host: String::new(),
            steps: life([]),
            together: false,
        }
    }

    pub(crate) fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    pub(crate) fn runtime(mut self, runtime: Value) -> Self {
        self.runtime = runtime;
        self
    }

    pub(crate) fn everywhere(mut self, keys: Value) -> Self {
        self.everywhere = keys;
        self
    }

    /// `args.cni`.
    pub(crate) fn args(self, cni: Value) -> Self {
        self.everywhere(json!({ "args": { "cni": cni } }))
    }

    pub(crate) fn program(mut self, program: &'static str) -> Self {
        self.program = Some(program);
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<Option<&'static str>>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    pub(crate) fn document(mut self, document: &'static str) -> Self {
        self.document = Some(document);
        self
    }

    pub(crate) fn host(mut self, script: &str) -> Self {
        self.host += script;
        self.host += "\n";
        self
    }

    pub(crate) fn steps(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps = steps.into_iter().collect();
        self
    }

    /// The life of one container, and these while it lives.
    pub(crate) fn tries(self, probes: impl IntoIterator<Item = Probe>) -> Self {
        self.steps(life(probes.into_iter().map(Step::Try)))
    }

    /// ADD fails, and the runtime calls DEL.
    pub(crate) fn fails(self) -> Self {
        self.steps([Step::Add(WEB), Step::Del(WEB)])
    }

    /// CHECK before and after this is done to the host and to the container.
    pub(crate) fn broken(self, host: &'static str, inside: &'static str) -> Self {
        self.steps(life([Step::Host(host), Step::Inside(WEB, inside), Step::Check(WEB)]))
    }

    pub(crate) fn together(mut self) -> Self {
        self.together = true;
        self
    }

    /// All of the chain in one configuration.
    pub(crate) fn merged(&self) -> Value {
        let mut merged = json!({});
        for plugin in &self.plugins {
            merged = with(&merged, with(plugin, json!({ "type": null })));
            match plugin["type"].as_str().unwrap() {
                "sbr" => merged["sbr"] = json!(true),
                "firewall" if plugin["ingressPolicy"].is_null() => merged["ingressPolicy"] = json!("open"),
                link @ ("ptp" | "macvlan" | "host-device" | "loopback") => merged["link"] = json!(link),
                _ => {}
            }
        }
        merged["type"] = json!("groundwork");
        merged
    }
}

/// ADD, CHECK, these, and DEL, which is repeated.
pub(crate) fn life(between: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let born = [Step::Add(WEB), Step::Check(WEB)];
    born.into_iter().chain(between).chain([Step::Del(WEB), Step::Del(WEB)]).collect()
}

/// A bridge with leases in the reference's folder, with these changes (RFC 7396).
pub(crate) fn bridge(changes: Value) -> Value {
    let ipam = json!({ "type": "host-local", "subnet": "10.88.0.0/24", "dataDir": "/var/lib/cni/networks" });
    with(&json!({ "type": "bridge", "bridge": "br0", "ipam": ipam }), changes)
}

/// The usual network of a node.
pub(crate) fn usual(changes: Value) -> Value {
    with(&bridge(json!({ "isDefaultGateway": true })), changes)
}

/// Ranges of both families.
pub(crate) fn dual() -> Value {
    json!({ "ipam": { "subnet": null, "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]] } })
}

/// What the container's first address reaches.
pub(crate) fn ping(from: Place, to: &'static str) -> Probe {
    Probe::Ping { from, to }
}

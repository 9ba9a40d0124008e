//! Ways to do the same: what each starts for an ADD, a DEL and the rest, on a node of its own.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::node::{Kind, Node};
use crate::program::{Program, Sample};

/// The first host port; a container's own follows from its number.
const HOST_PORTS: usize = 20_000;

/// A way to do it, and where.
pub(crate) struct Variant<'a> {
    pub(crate) name: String,
    pub(crate) node: &'a Node,
    pub(crate) way: Way,
}

/// How it is done.
pub(crate) enum Way {
    /// A process that does nothing, for any verb.
    Nothing(PathBuf),
    /// The floor program; whether its DEL waits for all that the kernel does.
    Floor { program: PathBuf, waits: bool },
    /// Each plugin of the list started as runtimes do.
    Exec { plugins: PathBuf, list: Value },
    /// The list in this folder, by the CNI project's own runtime.
    Cnitool { tool: PathBuf, plugins: PathBuf, lists: PathBuf },
}

/// A network on a bridge with addresses, masquerade, host ports and firewall, as the reference's chain or as one plugin.
pub(crate) fn list(kind: Kind) -> Value {
    let mut bridge = json!({
        "type": "groundwork", "bridge": "br0", "isDefaultGateway": true, "ipMasq": true, "ingressPolicy": "open",
        "capabilities": { "portMappings": true }, "ipam": { "type": "host-local", "subnet": "10.88.0.0/16" },
    });
    let mut plugins = Vec::new();
    if kind == Kind::Reference {
        bridge["type"] = json!("bridge");
        bridge["ingressPolicy"].take();
        bridge["capabilities"].take();
        plugins.push(json!({ "type": "portmap", "capabilities": { "portMappings": true } }));
        plugins.push(json!({ "type": "firewall", "ingressPolicy": "open" }));
    }
    bridge.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    plugins.insert(0, bridge);
    json!({ "cniVersion": "1.0.0", "name": "bench", "plugins": plugins })
}

/// `CNI_NETNS` of a container.
pub(crate) fn netns(number: usize) -> String {
    format!("/run/netns/c{number}")
}

/// The host's port that leads to a container.
pub(crate) fn host_port(number: usize) -> usize {
    HOST_PORTS + number
}

/// The address that the floor program gives a container.
pub(crate) fn address(number: usize) -> String {
    format!("10.88.{}.{}", number / 250, number % 250 + 2)
}

impl Variant<'_> {
    /// Does it where this thread is: what it took, and what the last plugin said. None where there is no such thing to do.
    ///
    /// `earlier` is the result of the container's ADD; `wrapper` goes before each program.
    pub(crate) fn perform(&self, verb: &str, number: usize, earlier: &Value, wrapper: &[String]) -> Option<Outcome> {
        let program = match &self.way {
            Way::Exec { plugins, list } => return exec(plugins, list, verb, number, earlier, wrapper),
            Way::Nothing(program) if verb == "VERSION" => Some(bare(program, &[])),
            Way::Nothing(_) => None,
            Way::Floor { program, waits } => floor(program, *waits, verb, number),
            Way::Cnitool { tool, plugins, lists } => cnitool(tool, plugins, lists, verb, number),
        };
        let (sample, said) = program?.run(wrapper);
        Some(said.map(|said| (sample, serde_json::from_str(&said).unwrap_or_default())))
    }

    /// Whether what it takes is worth a line: ADD is the same, whatever DEL waits for.
    pub(crate) fn measures(&self, verb: &str) -> bool {
        verb == "DEL" || !matches!(self.way, Way::Floor { waits: true, .. })
    }

    /// [`Variant::perform`] on its node; panics with what was said if it fails.
    pub(crate) fn measure(&self, verb: &str, number: usize, earlier: &Value) -> Option<(Sample, Value)> {
        let outcome = self.node.host.starting(|| self.perform(verb, number, earlier, &[]));
        outcome.map(|outcome| outcome.unwrap_or_else(|said| panic!("{}: {verb} of c{number}: {said}", self.name)))
    }
}

/// What it took and the result, or what was said.
pub(crate) type Outcome = Result<(Sample, Value), String>;

fn bare(path: &Path, arguments: &[&str]) -> Program {
    let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    Program { path: path.into(), arguments, environment: Vec::new(), stdin: String::new() }
}

fn floor(program: &Path, waits: bool, verb: &str, number: usize) -> Option<Program> {
    let (netns, link, address, port) =
        (netns(number), format!("vethf{number}"), address(number), host_port(number).to_string());
    Some(match verb {
        "ADD" => bare(program, &["add", &netns, "br0", &link, &address, "16", "10.88.0.1", &port, "80"]),
        "DEL" => bare(program, &[if waits { "del" } else { "del-early" }, &link, &address, &port]),
        _ => return None,
    })
}

fn mapping(number: usize) -> Value {
    json!([{ "hostPort": host_port(number), "containerPort": 80, "protocol": "tcp" }])
}

fn cnitool(tool: &Path, plugins: &Path, lists: &Path, verb: &str, number: usize) -> Option<Program> {
    if !matches!(verb, "ADD" | "DEL") {
        return None;
    }
    let mut program = bare(tool, &[&verb.to_lowercase(), "bench", &netns(number)]);
    program.environment = vec![
        ("NETCONFPATH", lists.display().to_string()),
        ("CNI_PATH", plugins.display().to_string()),
        ("CAP_ARGS", json!({ "portMappings": mapping(number) }).to_string()),
    ];
    Some(program)
}

/// As a runtime goes through a list: forward, backward for DEL, one plugin's result to the next.
fn exec(
    plugins: &Path,
    list: &Value,
    verb: &str,
    number: usize,
    earlier: &Value,
    wrapper: &[String],
) -> Option<Outcome> {
    let mut chain: Vec<&Value> = list["plugins"].as_array()?.iter().collect();
    match verb {
        "DEL" => chain.reverse(),
        "VERSION" => chain.truncate(1),
        // Its CHECK asks ip6tables too, and fails where the kernel has no IPv6 for it.
        "CHECK" => chain.retain(|plugin| plugin["type"] != "portmap"),
        _ => {}
    }
    let (mut taken, mut result) = (Vec::new(), earlier.clone());
    for plugin in chain {
        let program = plugin_call(plugins, list, plugin, verb, number, &result);
        let (sample, said) = program.run(wrapper);
        taken.push(sample);
        match said {
            Ok(said) if verb == "ADD" => result = serde_json::from_str(&said).unwrap_or_default(),
            Ok(_) => {}
            Err(_) if verb == "STATUS" => return None, // older builds have none
            Err(said) => return Some(Err(said)),
        }
    }
    Some(Ok((taken.into_iter().sum(), result)))
}

fn plugin_call(plugins: &Path, list: &Value, plugin: &Value, verb: &str, number: usize, result: &Value) -> Program {
    let mut config = plugin.clone();
    config["name"] = list["name"].clone();
    config["cniVersion"] = if verb == "STATUS" { json!("1.1.0") } else { list["cniVersion"].clone() };
    if plugin["capabilities"]["portMappings"] == true {
        config["runtimeConfig"]["portMappings"] = mapping(number);
    }
    if !result.is_null() {
        config["prevResult"] = result.clone();
    }
    let mut program = bare(&plugins.join(plugin["type"].as_str().unwrap()), &[]);
    program.environment = vec![
        ("CNI_COMMAND", verb.into()),
        ("CNI_CONTAINERID", format!("c{number}")),
        ("CNI_NETNS", netns(number)),
        ("CNI_IFNAME", "eth0".into()),
        ("CNI_PATH", plugins.display().to_string()),
    ];
    program.stdin = config.to_string();
    program
}

//! A scenario on a host of its own, by one side; what came of each step, as lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::OnceLock,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    kernel::{Look, flatten, rules},
    names::Names,
    network::with,
    scenario::{Scenario, Step, WEB},
    support::{GROUNDWORK, Host, Output, REFERENCE_PLUGINS, eventually, run as run_command},
};

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// The reference plugins.
    Reference,
    /// Groundwork, once under each of their names.
    Names,
    /// Groundwork, with everything in one configuration.
    Together,
}

/// Whether each IPv6 address is known to be nobody else's, and has its route.
const SETTLED: &str = "test -z \"$(ip -6 address show scope global tentative)\" \
     && test $(ip -6 -o address show scope global | wc -l) -le \
        $(ip -6 route show table local type local | grep -c -v -e fe80: -e '^local ::1 ')";
const LIMIT: Duration = Duration::from_secs(5);
const PLUGINS: &str = "/run/plugins";
const NAMES: &str = "bridge host-local static portmap firewall tuning bandwidth loopback ptp sbr macvlan host-device \
                     ipvlan vlan dummy vrf";

/// Runs it, and says what came of it.
pub(crate) fn run(scenario: &Scenario, side: Side) -> Vec<String> {
    let host = Host::new();
    host.inside(|| {
        fs::create_dir(PLUGINS).unwrap();
        NAMES.split_whitespace().for_each(|name| symlink(GROUNDWORK, format!("{PLUGINS}/{name}")).unwrap());
    });
    if !scenario.host.is_empty() {
        host.sh(&scenario.host);
        eventually(LIMIT, || host.try_sh(SETTLED).status.success());
    }
    let containers: BTreeSet<_> = scenario.steps.iter().filter_map(container).chain([WEB]).collect();
    containers.iter().for_each(|name| drop(host.sandbox(name)));
    let before = At { host: fresh(&host, scenario), container: fresh_container(&host) };
    let (results, env) = (BTreeMap::new(), scenario.env.clone());
    let mut run = Run { host, scenario, side, before, results, env, names: Names::default(), lines: Vec::new() };
    scenario.steps.iter().for_each(|step| run.step(step));
    run.end(&containers);
    run.lines.iter().map(|line| run.names.replace(line)).collect()
}

/// What a host holds before anything is added. Hosts that nothing was done to are alike.
fn fresh(host: &Host, scenario: &Scenario) -> Look {
    static ALIKE: OnceLock<Look> = OnceLock::new();
    match scenario.host.as_str() {
        "" => ALIKE.get_or_init(|| Look::at_host(host)).clone(),
        _ => Look::at_host(host),
    }
}

fn fresh_container(host: &Host) -> Look {
    static ALIKE: OnceLock<Look> = OnceLock::new();
    ALIKE.get_or_init(|| Look::at(&host.named(WEB))).clone()
}

/// What the host and each container held.
struct At {
    host: Look,
    container: Look,
}

/// The container of a step that makes or breaks one.
fn container(step: &Step) -> Option<&'static str> {
    match step {
        Step::Add(name) | Step::Check(name) | Step::Del(name) => Some(name),
        _ => None,
    }
}

struct Run<'a> {
    host: Host,
    scenario: &'a Scenario,
    side: Side,
    before: At,
    /// What ADD of each container answered.
    results: BTreeMap<&'static str, Value>,
    env: Vec<(&'static str, Option<&'static str>)>,
    names: Names,
    lines: Vec<String>,
}

impl Run<'_> {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Add(name) => self.add(name),
            Step::Check(name) => self.check(name),
            Step::Del(name) => self.del(name),
            Step::Host(script) => drop(self.host.sh(script)),
            Step::Inside(name, script) => drop(self.host.named(name).sh(script)),
            Step::Env(name, value) => self.env.push((name, *value)),
            Step::Try(probe) => self.lines.push(probe.attempt(&self.host)),
        }
    }

    fn add(&mut self, name: &'static str) {
        let mut result = None;
        let mut failure = None;
        for plugin in self.plugins() {
            match outcome(&self.call(&plugin, name, "ADD", result.as_ref())) {
                Ok(document) => result = document,
                Err(failed) => {
                    failure = Some(failed);
                    result = None;
                    break;
                }
            }
        }
        self.say("ADD", name, failure);
        let mut fields = Vec::new();
        if let Some(result) = &result {
            flatten("", result, &|_| false, &mut fields);
        }
        self.lines.extend(fields.iter().map(|field| format!("ADD of {name}: {field}")));
        self.look(name, result.is_some());
        self.results.extend(result.map(|result| (name, result)));
    }

    /// What came of a verb, and of a failure its code apart.
    fn say(&mut self, verb: &str, name: &str, failure: Option<Failure>) {
        let Some(Failure { code, says }) = failure else {
            return self.lines.push(format!("{verb} of {name}: succeeds"));
        };
        self.lines.push(format!("{verb} of {name}: fails{ASIDE}{says}"));
        self.lines.push(format!("{verb} of {name}: code {code}{ASIDE}{says}"));
    }

    /// What holds after the ADD of a container; of a failed one in outline.
    fn look(&mut self, name: &str, succeeded: bool) {
        if format!("{:?}{}", self.scenario.plugins, self.scenario.runtime).contains("::") {
            let settled =
                || self.host.try_sh(SETTLED).status.success() && self.host.named(name).try_sh(SETTLED).status.success();
            eventually(LIMIT, settled);
        }
        let (host, inside) = (Look::at_host(&self.host), Look::at(&self.host.named(name)));
        let asked = format!("{:?} {:?} {}", self.scenario.plugins, self.env, self.scenario.host)
            + &format!("{} {}", self.scenario.runtime, self.scenario.everywhere);
        self.names.note(name, &inside, &host, &asked);
        let (when, host, inside) = if succeeded {
            (format!("with {name}"), host.lines, inside.lines)
        } else {
            let (host, inside) = (host.outline(&self.before.host), inside.outline(&self.before.container));
            (format!("after the failed ADD of {name}"), host, inside)
        };
        self.lines.extend(host.iter().map(|line| format!("{when}, host: {line}")));
        self.lines.extend(inside.iter().map(|line| format!("{when}, {name}: {line}")));
        self.lines.extend(self.files("/var/lib/cni").iter().map(|file| format!("{when}, {file}")));
    }

    fn check(&mut self, name: &'static str) {
        let Some(result) = self.results.get(name).cloned() else {
            return self.lines.push(format!("CHECK of {name}: there is no result"));
        };
        let outputs = self.plugins().into_iter().map(|plugin| self.call(&plugin, name, "CHECK", Some(&result)));
        let failure = outputs.map(|output| outcome(&output)).find_map(Result::err);
        self.say("CHECK", name, failure);
    }

    fn del(&mut self, name: &'static str) {
        let result = self.results.get(name).cloned();
        let outputs = self.plugins().into_iter().rev().map(|plugin| self.call(&plugin, name, "DEL", result.as_ref()));
        let failure = outputs.map(|output| outcome(&output)).find_map(Result::err);
        self.say("DEL", name, failure);
    }

    fn plugins(&self) -> Vec<Value> {
        match self.side {
            Side::Together => vec![self.scenario.merged()],
            Side::Reference | Side::Names => self.scenario.plugins.clone(),
        }
    }

    /// Calls one plugin as libcni does.
    fn call(&self, plugin: &Value, container: &str, verb: &str, previous: Option<&Value>) -> Output {
        let folder = if self.side == Side::Reference { REFERENCE_PLUGINS } else { PLUGINS };
        let program = match (self.side, self.scenario.program) {
            (Side::Together, _) => GROUNDWORK.to_owned(),
            (_, Some(program)) => format!("{folder}/{program}"),
            _ => format!("{folder}/{}", plugin["type"].as_str().unwrap()),
        };
        let mut command = self.host.command(program);
        command.envs(self.host.named(container).variables(verb)).env("CNI_PATH", folder);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let document =
            self.scenario.document.map_or_else(|| self.document(plugin, previous).to_string(), str::to_owned);
        run_command(&mut command, document)
    }

    /// The configuration of one plugin as libcni sends it.
    fn document(&self, plugin: &Value, previous: Option<&Value>) -> Value {
        let version = Some(self.scenario.version).filter(|version| !version.is_empty());
        let mut document = with(plugin, json!({ "name": "net", "cniVersion": version }));
        let asked = self.scenario.runtime.as_object().unwrap().iter();
        for (capability, value) in asked.filter(|(capability, _)| plugin["capabilities"][capability] == true) {
            document["runtimeConfig"][capability] = value.clone();
        }
        if let Some(previous) = previous {
            document["prevResult"] = previous.clone();
        }
        with(&document, self.scenario.everywhere.clone())
    }

    /// What is otherwise than it was before: of kernels, rules, and files.
    fn end(&mut self, containers: &BTreeSet<&str>) {
        let mut places = vec![("host".to_owned(), Look::at_host(&self.host), &self.before.host)];
        for name in containers {
            places.push(((*name).to_owned(), Look::at(&self.host.named(name)), &self.before.container));
        }
        for (name, look, before) in places {
            let (before, after): (BTreeSet<_>, BTreeSet<_>) =
                (before.outline(before).into_iter().collect(), look.outline(before).into_iter().collect());
            self.lines.extend(before.difference(&after).map(|line| format!("at the end is gone from {name}: {line}")));
            self.lines.extend(after.difference(&before).map(|line| format!("at the end is left in {name}: {line}")));
        }
        let mut left = rules(&self.host);
        left.extend(["/var/lib/cni", "/run/cni", "/run/groundwork"].into_iter().flat_map(|folder| self.files(folder)));
        self.lines.extend(left.iter().map(|line| format!("at the end is left: {line}")));
    }

    /// Each file with its mode and content.
    fn files(&self, folder: &str) -> Vec<String> {
        let mut lines = Vec::new();
        self.host.inside(|| list(Path::new(folder), &mut lines));
        lines.sort();
        lines
    }
}

fn list(folder: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            list(&path, lines);
        } else if kind.is_file() {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
            let content = fs::read(&path).unwrap_or_default();
            lines.push(format!("file {}: {:?}", path.display(), String::from_utf8_lossy(&content)));
            lines.push(format!("file {}: mode = {mode:o}", path.display()));
        } else {
            lines.push(format!("file {} -> {:?}", path.display(), fs::read_link(&path)));
        }
    }
}

/// What follows it in a line is for people, and not compared.
pub(crate) const ASIDE: &str = "   # ";

/// How a call failed.
struct Failure {
    /// The protocol's code, or what came in its place.
    code: String,
    says: String,
}

/// The document of a success, if there was one.
fn outcome(output: &Output) -> Result<Option<Value>, Failure> {
    let document = serde_json::from_str::<Value>(&output.stdout);
    match (output.status.code(), document) {
        (Some(0), Ok(document)) => Ok(Some(document)),
        (Some(0), Err(_)) if output.stdout.is_empty() => Ok(None),
        (Some(1), Ok(document)) if document["code"].is_u64() && document["msg"].is_string() => {
            let code = document["code"].to_string();
            Err(Failure { code, says: format!("{} {}", document["msg"], document["details"]) })
        }
        (status, _) => {
            let code = format!("none, but exit status {status:?} and what is no document");
            Err(Failure { code, says: format!("{:?} {:?}", output.stdout, output.stderr.lines().next()) })
        }
    }
}

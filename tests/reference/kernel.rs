//! What the kernel holds, as iproute2 and /proc say it, in lines that can be compared.
//!
//! Everything is kept but what counts on, comes and goes by itself, or is a number that the kernel drew.

use std::{fs, process::Command};

use serde_json::Value;

use crate::support::{Host, Sandbox, run};

/// Asked of one namespace each, in the families that they know.
const QUESTIONS: [(&str, &[&str], &str); 3] = [
    ("ip", &["-d", "-j", "-b", "-"], "link\naddress\nroute show table all\nrule\nneigh show nud permanent\n"),
    ("ip", &["-6", "-d", "-j", "rule"], ""),
    ("tc", &["-j", "qdisc"], ""),
];

/// Of each section of the answers, in their order.
const TITLES: [&str; 7] = ["link", "address", "route", "rule", "neighbour", "rule of IPv6", "qdisc"];

/// Settings beside those of each interface.
const SETTINGS: [&str; 3] = ["ipv4/ip_forward", "ipv4/ip_local_port_range", "core/somaxconn"];

const RULES: &str = "nft -s list ruleset";

/// Fields of links that say nothing of what was made.
const LINK_NOISE: [&str; 25] = [
    "ifname",
    "ifindex",
    "link_index",
    "link_netnsid",
    "link",
    "operstate",
    "linkmode",
    "group",
    "qdisc",
    "broadcast",
    "bridge_id",
    "root_id",
    "root_port",
    "root_path_cost",
    "designated_bridge",
    "designated_root",
    "designated_port",
    "designated_cost",
    "no",
    "id",
    "config_pending",
    "topology_change",
    "topology_change_ack",
    "topology_change_detected",
    "state",
];

/// A look at a network namespace.
#[derive(Clone, Default)]
pub(crate) struct Look {
    pub(crate) lines: Vec<String>,
    /// (kind, name, hardware address) of each link, as the kernel numbers them.
    pub(crate) links: Vec<(String, String, String)>,
}

impl Look {
    pub(crate) fn at_host(host: &Host) -> Self {
        host.inside(Self::here)
    }

    pub(crate) fn at(sandbox: &Sandbox<'_>) -> Self {
        sandbox.inside(Self::here)
    }

    /// Looks at the namespace of this thread.
    fn here() -> Self {
        let mut look = Self::default();
        let mut titles = TITLES.into_iter();
        for (program, arguments, input) in QUESTIONS {
            let answer = run(Command::new(program).args(arguments), input).success(program);
            for section in serde_json::Deserializer::from_str(&answer).into_iter::<Vec<Value>>() {
                let title = titles.next().unwrap();
                section.unwrap().iter().for_each(|object| look.object(title, object));
            }
        }
        assert_eq!(titles.next(), None, "a question had no answer");
        for link in look.limited() {
            let answer = run(Command::new("tc").args(["-j", "filter", "show", "dev", &link, "ingress"]), "").json("tc");
            answer.as_array().unwrap().iter().for_each(|object| look.object(&format!("filter of {link}"), object));
        }
        for setting in SETTINGS {
            look.lines.push(format!("sysctl {setting}: {}", read(&format!("/proc/sys/net/{setting}"))));
        }
        for family in ["ipv4", "ipv6"] {
            look.interface_settings(&format!("/proc/sys/net/{family}/conf"), family);
        }
        look
    }

    /// Links with rules on what comes in.
    fn limited(&self) -> Vec<String> {
        let ingress = self.lines.iter().filter(|line| line.starts_with("qdisc: ") && line.contains("kind = ingress"));
        let device = |line: &String| {
            line.split(", ").find_map(|field| {
                Some(field.strip_prefix("qdisc: ").unwrap_or(field).strip_prefix("dev = ")?.to_owned())
            })
        };
        ingress.filter_map(device).collect()
    }

    /// Settings of interfaces, where they are not the namespace's default.
    fn interface_settings(&mut self, folder: &str, family: &str) {
        let names = |folder: &str| -> Vec<String> {
            let mut names: Vec<_> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        for setting in names(&format!("{folder}/default")) {
            let default = read(&format!("{folder}/default/{setting}"));
            self.lines.push(format!("sysctl {family}/default/{setting}: {default}"));
            for interface in names(folder) {
                let value = read(&format!("{folder}/{interface}/{setting}"));
                if value != default && setting != "mtu" {
                    self.lines.push(format!("sysctl {family}/{interface}/{setting}: {value}"));
                }
            }
        }
    }

    /// What is there, without saying how it is set (names, addresses, routes); but all that was there at `before`.
    pub(crate) fn outline(&self, before: &Self) -> Vec<String> {
        let known = |name: &str| before.links.iter().any(|(_, known, _)| known == name);
        let detail_of = |line: &str| -> Option<String> {
            let name = line.strip_prefix("link ").and_then(|rest| rest.split(": ").next());
            let setting = line.strip_prefix("sysctl ipv").filter(|rest| rest.matches('/').count() == 2);
            Some(name.or_else(|| setting?.split('/').nth(1))?.to_owned())
        };
        let own = |name: String| ["default", "all"].contains(&name.as_str()) || known(&name);
        let names =
            self.links.iter().filter(|(_, name, _)| !known(name)).map(|(kind, name, _)| format!("link {name} {kind}"));
        names.chain(self.lines.iter().filter(|line| detail_of(line).is_none_or(own)).cloned()).collect()
    }

    fn object(&mut self, title: &str, object: &Value) {
        let text = |key: &str| text_of(object, key);
        match title {
            "link" => {
                let name = text("ifname");
                let kind = object["linkinfo"]["info_kind"].as_str().unwrap_or_default().to_owned();
                self.links.push((kind, name.clone(), text("address")));
                let mut fields = Vec::new();
                flatten(
                    "",
                    object,
                    &|key| LINK_NOISE.contains(&key) || key.contains("_timer") || key.contains("max_s"),
                    &mut fields,
                );
                self.lines.extend(fields.iter().map(|field| format!("link {name}: {field}")));
            }
            "address" => {
                let addresses = object["addr_info"].as_array().into_iter().flatten();
                let addresses = addresses.filter(|address| !text_of(address, "local").starts_with("fe80:"));
                for address in addresses {
                    self.apart(
                        &format!("address {} of {}", text_of(address, "local"), text("ifname")),
                        address,
                        "nodad",
                    );
                }
            }
            "route" if text("dst").starts_with("fe80:") || text("dst") == "ff00::/8" => {}
            "qdisc" if text("kind") == "noqueue" => {}
            _ if object == &Value::Object(Default::default()) => {}
            "route" => {
                let name = format!("route to {} by {} in {}", text("dst"), text("dev"), text("table"));
                self.apart(&name, object, if text("protocol") == "kernel" { "" } else { "protocol" });
            }
            _ => self.lines.push(format!("{title}: {}", one_line(object))),
        }
    }

    /// An object as a line, and a field of it in a line of its own.
    fn apart(&mut self, name: &str, object: &Value, field: &str) {
        let mut rest = object.clone();
        let value = rest.as_object_mut().unwrap().remove(field);
        self.lines.extend(value.map(|value| format!("{name}: {field} = {value}")));
        self.lines.push(format!("{name}: {}", one_line(&rest)));
    }
}

/// The chains and sets of every table, and the elements of each set.
pub(crate) fn rules(host: &Host) -> Vec<String> {
    let text = host.sh(RULES);
    let mut block: Vec<&str> = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(opened) = line.strip_suffix(" {") {
            block.push(opened);
            lines.push(block.join(", "));
        } else if line == "}" {
            block.pop();
        } else if line.starts_with("elements = ") {
            lines.push(format!("elements of {}: {line}", block.join(", ")));
        }
    }
    lines
}

/// An object in one line, without what counts on.
fn one_line(object: &Value) -> String {
    const NOISE: [&str; 9] =
        ["life_time", "tentative", "handle", "refcnt", "pref", "family", "dadfailed", "used", "ref"];
    let noise = |key: &str| {
        NOISE.contains(&key)
            || key.ends_with("life_time")
            || matches!(key, "installed" | "last_used" | "bind" | "index")
    };
    let mut fields = Vec::new();
    flatten("", object, &noise, &mut fields);
    fields.join(", ")
}

fn text_of(object: &Value, key: &str) -> String {
    object[key].as_str().unwrap_or_default().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().replace('\t', " ")
}

/// The leaves of a document, each with the path to it.
pub(crate) fn flatten(path: &str, value: &Value, is_noise: &dyn Fn(&str) -> bool, lines: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map.iter().filter(|(key, _)| !is_noise(key)) {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{key}"), value, is_noise, lines);
            }
        }
        Value::Array(list) if list.iter().all(Value::is_string) => {
            let mut words: Vec<_> = list.iter().map(|word| word.as_str().unwrap()).collect();
            if path.ends_with("flags") {
                words.retain(|word| !matches!(*word, "LOWER_UP" | "NO-CARRIER" | "M-DOWN" | "linkdown" | "dead"));
                words.sort_unstable();
            }
            if !path.ends_with("flags") || !words.is_empty() {
                lines.push(format!("{path} = {}", words.join(" ")));
            }
        }
        Value::Array(list) => {
            for (number, value) in list.iter().enumerate() {
                flatten(&format!("{path}[{number}]"), value, is_noise, lines);
            }
        }
        Value::String(text) => lines.push(format!("{path} = {text}")),
        other => lines.push(format!("{path} = {other}")),
    }
}

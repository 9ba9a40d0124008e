//! What a kernel and the state folders hold, as lines that can be compared.

use serde_json::Value;
use std::collections::BTreeSet;

/// A network namespace and the state folders, as one set of lines.
///
/// Left out is what comes and goes by itself or counts on: indexes, counters, timers, carrier and the
/// kernel's own link-local addresses and routes.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

/// What to ask, and the fields that make a line. A field with a dot is inside another.
const OBJECTS: [(&str, &str, &[&str]); 7] = [
    (
        "link",
        "ip -j -d link",
        &[
            "ifname",
            "linkinfo.info_kind",
            "address",
            "mtu",
            "master",
            "promiscuity",
            "linkinfo.info_slave_data.hairpin",
        ],
    ),
    ("route", "ip -j -4 route show table all", &["type", "dst", "gateway", "dev", "table", "prefsrc", "metric"]),
    ("route", "ip -j -6 route show table all", &["type", "dst", "gateway", "dev", "table", "prefsrc", "metric"]),
    ("rule", "ip -j rule", &["priority", "src", "dst", "table", "iif", "oif", "fwmark"]),
    ("neighbour", "ip -j neigh show nud permanent", &["dst", "dev", "lladdr"]),
    ("qdisc", "tc -j qdisc", &["kind", "dev", "parent", "options"]),
    ("fdb", "bridge -j fdb", &["mac", "ifname", "dst", "master", "state"]),
];

const SYSCTLS: &str = "cd /proc/sys/net && grep -s . ipv4/ip_forward \
     ipv4/conf/*/forwarding ipv4/conf/*/route_localnet ipv4/conf/*/rp_filter ipv4/conf/*/arp_notify \
     ipv6/conf/*/forwarding ipv6/conf/*/accept_ra ipv6/conf/*/disable_ipv6 ipv6/conf/*/accept_dad";

const FILES: &str = "find /run/groundwork /var/lib/cni -printf '%M %p\\n' 2>/dev/null; true";

impl Snapshot {
    /// Takes one with `sh`, which runs a script in the place to look at and returns its stdout, once the kernel is
    /// through with what was deleted: two in a row are the same.
    pub fn take(sh: impl Fn(&str) -> String) -> Self {
        let mut last = Self::now(&sh);
        for _ in 0..20 {
            let next = Self::now(&sh);
            if next == last {
                break;
            }
            last = next;
        }
        last
    }

    fn now(sh: &impl Fn(&str) -> String) -> Self {
        let mut lines = BTreeSet::new();
        for (what, command, fields) in OBJECTS {
            lines.extend(objects(command, sh).iter().filter_map(|object| line(what, object, fields)));
        }
        for link in objects("ip -j address", sh) {
            lines.extend(link["addr_info"].as_array().into_iter().flatten().filter_map(|found| address(&link, found)));
        }
        for (what, script) in [("nft", "nft -s list ruleset"), ("sysctl", SYSCTLS), ("file", FILES)] {
            lines.extend(numbered(what, &sh(script)));
        }
        Self(lines)
    }

    /// Lines here that speak of `text`: a link's name, an address.
    pub fn mentions(&self, text: &str) -> Vec<&str> {
        self.0.iter().filter(|line| line.contains(text)).map(String::as_str).collect()
    }

    /// What differs: `-` is missing from `later`, `+` is new in it.
    pub fn difference(&self, later: &Self) -> String {
        let gone = self.0.difference(&later.0).map(|line| format!("- {line}\n"));
        let new = later.0.difference(&self.0).map(|line| format!("+ {line}\n"));
        gone.chain(new).collect()
    }

    /// Panics with the difference unless `later` is the same.
    #[track_caller]
    pub fn assert_same(&self, later: &Self) {
        assert!(self == later, "not as it was:\n{}", self.difference(later));
    }
}

/// What a command of iproute2 lists.
fn objects(command: &str, sh: impl Fn(&str) -> String) -> Vec<Value> {
    match sh(command).trim() {
        "" => Vec::new(),
        text => serde_json::from_str(text).unwrap_or_else(|error| panic!("{command}: {error} in {text}")),
    }
}

/// One object as a line, or nothing for what comes and goes by itself.
fn line(what: &str, object: &Value, fields: &[&str]) -> Option<String> {
    let mut line = what.to_owned();
    for field in fields {
        match field.split('.').fold(object, |value, key| &value[key]) {
            Value::Null => {}
            Value::String(text) => line += &format!(" {field}={text}"),
            other => line += &format!(" {field}={other}"),
        }
    }
    let by_itself = line.contains("=fe80::") || line.contains("=ff00::/8") || line.contains("kind=noqueue");
    let multicast = what == "fdb" && (line.contains("mac=33:33:") || line.contains("mac=01:00:5e:"));
    (!by_itself && !multicast).then_some(line)
}

/// An address of a link as a line.
fn address(link: &Value, found: &Value) -> Option<String> {
    let field = |name: &str| found[name].as_str().unwrap_or_default();
    let (local, scope, ifname) = (field("local"), field("scope"), link["ifname"].as_str()?);
    (!local.starts_with("fe80::")).then(|| format!("address {ifname} {local}/{} {scope}", found["prefixlen"]))
}

/// The lines of a text, each with the block of the ruleset it stands in, and each element of a set apart.
fn numbered(what: &str, text: &str) -> Vec<String> {
    let mut block: Vec<&str> = Vec::new();
    let mut lines = Vec::new();
    let mut in_elements = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let first = line.strip_prefix("elements = {").filter(|_| what == "nft");
        if first.is_some() || in_elements {
            let rest = first.unwrap_or(line);
            in_elements = !rest.ends_with('}');
            let elements = rest.trim_end_matches('}').split(',').map(str::trim).filter(|one| !one.is_empty());
            lines.extend(elements.map(|element| format!("{what} {}element {element}", block.concat())));
        } else if line == "}" {
            block.pop();
        } else {
            lines.push(format!("{what} {}{line}", block.concat()));
            if what == "nft" && line.ends_with('{') {
                block.push(line);
            }
        }
    }
    lines
}

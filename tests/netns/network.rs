//! Configurations, and what the kernel says of what came of them.

use serde_json::{Value, json};

use crate::support::{Host, Sandbox};

/// A native network on br0 with everything that is usual, 10.88.0.0/24.
pub(crate) fn single() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "net", "type": "groundwork",
        "bridge": "br0", "isDefaultGateway": true, "ipMasq": true,
        "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" },
    })
}

/// The same with fd00:88::/64 beside it.
pub(crate) fn dual() -> Value {
    let ranges = json!([[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]]);
    with(&single(), json!({ "ipam": { "subnet": null, "ranges": ranges } }))
}

/// `config` with `changes` to its keys, of whatever depth; null takes a key away (RFC 7396).
pub(crate) fn with(config: &Value, changes: Value) -> Value {
    let mut config = config.clone();
    merge(&mut config, changes);
    config
}

fn merge(into: &mut Value, changes: Value) {
    let Value::Object(changes) = changes else {
        *into = changes;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, change) in changes {
        if change.is_null() {
            into.as_object_mut().unwrap().remove(&key);
        } else {
            merge(&mut into[key], change);
        }
    }
}

/// Where commands of iproute2 can be run.
pub(crate) trait Kernel {
    fn script(&self, script: &str) -> String;

    /// What `ip -j -d WORDS` lists.
    fn ip(&self, words: &str) -> Vec<Value> {
        match self.script(&format!("ip -j -d {words}")).trim() {
            "" => Vec::new(),
            text => serde_json::from_str(text).unwrap_or_else(|error| panic!("{words}: {error} in {text}")),
        }
    }

    /// The link of that name.
    fn link(&self, name: &str) -> Value {
        self.ip(&format!("link show dev {name}")).remove(0)
    }

    /// The names of all links, sorted.
    fn links(&self) -> Vec<String> {
        let mut names: Vec<_> = self.ip("link").iter().map(|link| text(link, "ifname")).collect();
        names.sort();
        names
    }

    /// The addresses of a link with their prefixes, but those that the kernel gives.
    fn addresses(&self, link: &str) -> Vec<String> {
        let link = self.ip(&format!("address show dev {link}")).remove(0);
        let addresses = link["addr_info"].as_array().unwrap().iter();
        addresses
            .map(|address| format!("{}/{}", text(address, "local"), address["prefixlen"]))
            .filter(|address| !address.starts_with("fe80::"))
            .collect()
    }

    /// The routes of the main table that nobody but the kernel's link-local ones has, as `ip route` words.
    fn routes(&self) -> Vec<String> {
        let list = |family: &str| self.script(&format!("ip {family} route"));
        let mut routes: Vec<String> = format!("{}{}", list("-4"), list("-6"))
            .lines()
            .filter(|line| !line.starts_with("fe80::"))
            .map(|line| line.split(" proto ").next().unwrap().split(" metric ").next().unwrap().trim().to_owned())
            .collect();
        routes.sort();
        routes
    }

    /// A setting under /proc/sys/net.
    fn sysctl(&self, path: &str) -> String {
        self.script(&format!("cat /proc/sys/net/{path}")).trim().to_owned()
    }
}

impl Kernel for Host {
    fn script(&self, script: &str) -> String {
        self.sh(script)
    }
}

impl Kernel for Sandbox<'_> {
    fn script(&self, script: &str) -> String {
        self.sh(script)
    }
}

/// A string of an object.
pub(crate) fn text(object: &Value, key: &str) -> String {
    object[key].as_str().unwrap_or_else(|| panic!("no {key} in {object}")).to_owned()
}

/// The addresses of a result, without prefix.
pub(crate) fn addresses_of(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().expect("the result has ips");
    ips.iter().map(|ip| text(ip, "address").split('/').next().unwrap().to_owned()).collect()
}

/// The name of the host's end in a result.
pub(crate) fn host_link_of(result: &Value) -> String {
    text(&result["interfaces"][1], "name")
}

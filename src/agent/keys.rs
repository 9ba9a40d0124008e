//! The keys in etcd, all below `<prefix>/<network>/`.
//!
//! | key | value | who writes it |
//! |---|---|---|
//! | `config` | `{"network", "subnetLen", "vni", "port"}` | the administrator |
//! | `alloc/10.244.3.0-24` | the name of the node that has the subnet | once: that node, or the administrator for it |
//! | `nodes/<node>` | `{"node", "subnets", "vtep", "mac"}` | that node |
//! | `alive/<node>` | the agent's version, with a lease | that node |

use ipnet::IpNet;

/// What a key is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The overlay's settings.
    Config,
    /// Whose this subnet is.
    Alloc(IpNet),
    /// The record of the node of this name.
    Node(String),
    /// The sign of life of the node of this name.
    Alive(String),
}

/// The keys of one overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    root: String,
}

impl Keys {
    /// Of a network.
    #[must_use]
    pub fn new(prefix: &str, network: &str) -> Self {
        Self { root: format!("{prefix}/{network}/") }
    }

    /// What all of them begin with; it ends in a slash.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Of the settings.
    #[must_use]
    pub fn config(&self) -> String {
        format!("{}config", self.root)
    }

    /// Of the claim on a subnet.
    #[must_use]
    pub fn alloc(&self, subnet: &IpNet) -> String {
        format!("{}alloc/{}-{}", self.root, subnet.addr(), subnet.prefix_len())
    }

    /// Of a node's record.
    #[must_use]
    pub fn node(&self, node: &str) -> String {
        format!("{}nodes/{node}", self.root)
    }

    /// Of a node's sign of life.
    #[must_use]
    pub fn alive(&self, node: &str) -> String {
        format!("{}alive/{node}", self.root)
    }

    /// What a key is about; None for one that is not of this overlay or not understood.
    #[must_use]
    pub fn parse(&self, key: &[u8]) -> Option<Key> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(&self.root)?;
        match rest.split_once('/') {
            None if rest == "config" => Some(Key::Config),
            Some(("alloc", subnet)) => {
                let (address, length) = subnet.rsplit_once('-')?;
                let subnet = IpNet::new(address.parse().ok()?, length.parse().ok()?).ok()?;
                (subnet == subnet.trunc()).then_some(Key::Alloc(subnet))
            }
            Some(("nodes", node)) => Some(Key::Node(node.to_owned())),
            Some(("alive", node)) => Some(Key::Alive(node.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let keys = Keys::new("/groundwork/v1", "pods");
        assert_eq!(keys.config(), "/groundwork/v1/pods/config");
        assert_eq!(keys.parse(keys.config().as_bytes()), Some(Key::Config));
        for subnet in ["10.244.3.0/24", "fd00:1:0:3::/64"] {
            let subnet = subnet.parse().unwrap();
            assert_eq!(keys.parse(keys.alloc(&subnet).as_bytes()), Some(Key::Alloc(subnet)));
        }
        assert_eq!(keys.alloc(&"10.244.3.0/24".parse().unwrap()), "/groundwork/v1/pods/alloc/10.244.3.0-24");
        assert_eq!(keys.parse(keys.node("a.b").as_bytes()), Some(Key::Node("a.b".into())));
        assert_eq!(keys.parse(keys.alive("a").as_bytes()), Some(Key::Alive("a".into())));
    }

    #[test]
    fn other_keys_are_nobodys() {
        let keys = Keys::new("/groundwork/v1", "pods");
        for key in ["x", "alloc/10.244.3.1-24", "alloc/10.244.3.0", "alloc/10.244.3.0-99", "configs", "nodes"] {
            assert_eq!(keys.parse(format!("/groundwork/v1/pods/{key}").as_bytes()), None, "{key}");
        }
        assert_eq!(keys.parse(b"/groundwork/v1/pods2/config"), None);
        assert_eq!(keys.parse(b"\xff"), None);
    }
}

//! The rules, in parts.

use std::fmt;

use super::{
    Family, Kind, TABLE, Table, chains,
    expression::{Expression, Verdict},
};

/// Sets, chains and rules that stand and fall together. No part refers to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Masquerading of addresses whose networks have prefixes of this length.
    ///
    /// A hash can hold no networks, but a packet's destination masked to a length that the rule knows: so there is
    /// one chain for each length in use, which on most hosts is one for each family.
    Masquerade(Family, u8),
    /// Host ports.
    HostPorts(Family),
    /// Masquerading of connections to host ports, from networks whose prefixes have this length.
    HostPortSources(Family, u8),
    /// Containers that other programs' firewalls are to let through.
    Forwarding(Family),
    /// Containers that they are to let through to whoever comes by a link of ours.
    ForwardingVia(Family),
    /// Bridges whose containers cannot reach each other's.
    Isolation,
    /// Containers that can send from their own hardware address only.
    Spoofing,
    /// Containers that can send from their own addresses only.
    Sources,
    /// Frames of an overlay, which only its hosts can send.
    Vteps {
        /// Of the hosts' addresses.
        family: Family,
        /// The UDP port.
        port: u16,
        /// The overlay's number on the wire.
        vni: u32,
    },
}

/// A hash set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// The fields of its keys.
    pub key: Vec<Kind>,
    /// The fields of what it maps them to; none for a set.
    pub value: Vec<Kind>,
}

/// Where a base chain is hooked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// `filter` or `nat`.
    pub chain_type: &'static str,
    /// nft's name and the kernel's number.
    pub hook: (&'static str, u32),
    /// nft's name and the kernel's number.
    pub priority: (&'static str, i32),
}

/// A rule, for people and for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// As nft prints it.
    pub text: String,
    /// As the kernel takes it.
    pub expressions: Vec<Expression>,
}

/// A chain with its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// None for a chain that others go to.
    pub hook: Option<Hook>,
    /// All of its rules, in order.
    pub rules: Vec<Rule>,
}

impl Part {
    /// The table it is in.
    #[must_use]
    pub const fn table(self) -> Table {
        match self {
            Self::Spoofing | Self::Sources => Table::Bridge,
            _ => Table::Inet,
        }
    }

    /// Its sets and maps.
    #[must_use]
    pub fn sets(self) -> Vec<Set> {
        let set = |name: String, key: &[Kind]| Set { name, key: key.into(), value: vec![] };
        match self {
            Self::Masquerade(family, len) => {
                let address = family.kind();
                vec![
                    set(format!("masq{family}_{len}"), &[address]),
                    set(format!("same{family}_{len}"), &[address, address]),
                ]
            }
            Self::HostPorts(family) => {
                let (address, value) = (family.kind(), vec![family.kind(), Kind::Port]);
                let key = vec![address, Kind::Protocol, Kind::Port];
                vec![
                    Set { name: format!("hp{family}"), key: key[1..].into(), value: value.clone() },
                    Set { name: format!("hp{family}ip"), key, value },
                ]
            }
            Self::HostPortSources(family, len) => {
                vec![set(format!("snat{family}_{len}"), &[family.kind(), family.kind()])]
            }
            Self::Forwarding(family) => vec![set(format!("fwd{family}"), &[family.kind()])],
            Self::ForwardingVia(family) => vec![set(format!("fwdvia{family}"), &[Kind::LinkName, family.kind()])],
            Self::Isolation => vec![
                set("isolated".into(), &[Kind::LinkName]),
                set("same_bridge".into(), &[Kind::LinkName, Kind::LinkName]),
            ],
            Self::Spoofing => {
                vec![set("spoof".into(), &[Kind::LinkName]), set("spoof_ok".into(), &[Kind::LinkName, Kind::Mac])]
            }
            Self::Sources => {
                let known = |family: Family| set(format!("spoof_ip{family}_ok"), &[Kind::LinkName, family.kind()]);
                vec![set("spoof_ip".into(), &[Kind::LinkName]), known(Family::Ipv4), known(Family::Ipv6)]
            }
            Self::Vteps { family, port, vni } => vec![set(format!("vtep{family}_{port}_{vni}"), &[family.kind()])],
        }
    }

    /// Its chains, each behind those that it goes to.
    #[must_use]
    pub fn chains(self) -> Vec<Chain> {
        match self {
            Self::Masquerade(family, len) => vec![chains::masquerade(family, len)],
            Self::HostPorts(family) => chains::host_ports(family),
            Self::HostPortSources(family, len) => vec![chains::host_port_sources(family, len)],
            Self::Forwarding(family) => vec![chains::forwarding(family)],
            Self::ForwardingVia(family) => vec![chains::forwarding_via(family)],
            Self::Isolation => vec![chains::isolation()],
            Self::Spoofing => vec![chains::spoofing()],
            Self::Sources => vec![chains::sources()],
            Self::Vteps { family, port, vni } => vec![chains::vteps(family, port, vni)],
        }
    }

    /// Names of its chains.
    #[must_use]
    pub fn chain_names(self) -> Vec<String> {
        match self {
            Self::Masquerade(family, len) => vec![format!("masq{family}_{len}")],
            Self::HostPorts(family) => chains::host_port_names(family),
            Self::HostPortSources(family, len) => vec![format!("snat{family}_{len}")],
            Self::Forwarding(family) => vec![format!("forwarding{family}")],
            Self::ForwardingVia(family) => vec![format!("forwarding_via{family}")],
            Self::Isolation => vec!["isolation".into()],
            Self::Spoofing => vec!["spoofing".into()],
            Self::Sources => vec!["sources".into()],
            Self::Vteps { family, port, vni } => vec![format!("vxlan{family}_{port}_{vni}")],
        }
    }

    /// Names of the expressions it is made of that a kernel with nf_tables can lack (`masq` is module `nft_masq`).
    #[must_use]
    pub fn expressions(self) -> Vec<&'static str> {
        let chains = self.chains();
        let all = chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.expressions);
        let mut names: Vec<_> = all.filter(|word| word.is_optional()).map(Expression::name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Chain types it is made of that a kernel with nf_tables can lack (`nat` is module `nft_chain_nat`).
    #[must_use]
    pub fn chain_types(self) -> Vec<&'static str> {
        let chains = self.chains();
        let mut types: Vec<_> = chains.iter().filter_map(|chain| chain.hook).map(|hook| hook.chain_type).collect();
        types.retain(|name| *name != "filter");
        types.dedup();
        types
    }
}

impl fmt::Display for Part {
    /// The commands that a person would type, one a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table();
        write!(f, "nft add table {table} {TABLE}")?;
        for Set { name, key, value } in self.sets() {
            let (what, arrow) = if value.is_empty() { ("set", "") } else { ("map", " : ") };
            let (key, value) = (concatenation(&key), concatenation(&value));
            write!(f, "\nnft add {what} {table} {TABLE} {name} '{{ type {key}{arrow}{value}; }}'")?;
        }
        for Chain { name, hook, rules } in self.chains() {
            write!(f, "\nnft add chain {table} {TABLE} {name}")?;
            if let Some(Hook { chain_type, hook, priority }) = hook {
                write!(f, " '{{ type {chain_type} hook {} priority {}; policy accept; }}'", hook.0, priority.0)?;
            }
            for rule in rules {
                write!(f, "\nnft add rule {table} {TABLE} {name} '{}'", rule.text)?;
            }
        }
        Ok(())
    }
}

fn concatenation(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.nft().0).collect::<Vec<_>>().join(" . ")
}

/// A rule that ends in `return`.
pub(super) fn returning(text: impl Into<String>, conditions: impl IntoIterator<Item = Expression>) -> Rule {
    ending(text, conditions, Expression::Verdict(Verdict::Return))
}

/// A rule of conditions and what is done when all hold.
pub(super) fn ending(
    text: impl Into<String>,
    conditions: impl IntoIterator<Item = Expression>,
    end: Expression,
) -> Rule {
    Rule { text: text.into(), expressions: conditions.into_iter().chain([end]).collect() }
}

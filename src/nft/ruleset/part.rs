//! The rules, in parts.

use std::fmt;

use netlink_packet_netfilter::nftables::{Expressions, Verdict};

use super::{Family, TABLE, expression as x, octets};

/// What a set holds in its keys, and a map in its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
}

impl Kind {
    /// (nft's name, nft's number for it in a set's type, bytes).
    pub(crate) const fn nft(self) -> (&'static str, u32, u32) {
        match self {
            Self::Ipv4 => ("ipv4_addr", 7, 4),
            Self::Ipv6 => ("ipv6_addr", 8, 16),
        }
    }
}

/// A hash set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// The fields of its keys.
    pub key: Vec<Kind>,
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
    pub expressions: Vec<Expressions>,
}

/// A chain with its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// None for a chain that others jump to.
    pub hook: Option<Hook>,
    /// All of its rules, in order.
    pub rules: Vec<Rule>,
}

/// Sets, chains and rules that stand and fall together. No part refers to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Masquerading of addresses whose networks have prefixes of this length.
    ///
    /// A hash can hold no networks, but a packet's destination masked to a length that the rule knows: so there is
    /// one chain for each length in use, which on most hosts is one for each family.
    Masquerade(Family, u8),
}

impl Part {
    /// Its sets and maps.
    #[must_use]
    pub fn sets(self) -> Vec<Set> {
        match self {
            Self::Masquerade(family, len) => {
                let (digit, address) = (family.digit(), family.address());
                vec![
                    Set { name: format!("masq{digit}_{len}"), key: vec![address] },
                    Set { name: format!("same{digit}_{len}"), key: vec![address, address] },
                ]
            }
        }
    }

    /// Its chains, in an order in which they can be made.
    #[must_use]
    pub fn chains(self) -> Vec<Chain> {
        match self {
            Self::Masquerade(family, len) => vec![masquerade(family, len)],
        }
    }
}

impl fmt::Display for Part {
    /// The commands that a person would type, one a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nft add table inet {TABLE}")?;
        for Set { name, key } in self.sets() {
            let kinds: Vec<_> = key.iter().map(|kind| kind.nft().0).collect();
            write!(f, "\nnft add set inet {TABLE} {name} '{{ type {}; }}'", kinds.join(" . "))?;
        }
        for Chain { name, hook, rules } in self.chains() {
            write!(f, "\nnft add chain inet {TABLE} {name}")?;
            if let Some(Hook { chain_type, hook, priority }) = hook {
                write!(f, " '{{ type {chain_type} hook {} priority {}; policy accept; }}'", hook.0, priority.0)?;
            }
            for rule in rules {
                write!(f, "\nnft add rule inet {TABLE} {name} '{}'", rule.text)?;
            }
        }
        Ok(())
    }
}

/// What leaves a container for its own network or for many receivers keeps its address; the rest is masqueraded.
fn masquerade(family: Family, len: u8) -> Chain {
    let (digit, ip) = (family.digit(), family.nft_header());
    let name = format!("masq{digit}_{len}");
    let (source, destination, bytes) = family.addresses();
    let mask = family.mask(len);
    let mut inside = x::of_family(family).to_vec();
    inside.extend([
        x::network_header(source, bytes, 0),
        x::network_header(destination, bytes, bytes / 4),
        x::keep(bytes / 4, &octets(mask)),
        x::in_set(&format!("same{digit}_{len}")),
        x::verdict(Verdict::Return),
    ]);
    let mut ours = x::of_family(family).to_vec();
    ours.extend([x::network_header(source, bytes, 0), x::in_set(&name), x::masquerade()]);
    Chain {
        hook: Some(Hook { chain_type: "nat", hook: ("postrouting", 4), priority: ("srcnat", 100) }),
        rules: vec![
            Rule { text: format!("{ip} saddr . {ip} daddr & {mask} @same{digit}_{len} return"), expressions: inside },
            multicast(family),
            Rule { text: format!("{ip} saddr @{name} masquerade"), expressions: ours },
        ],
        name,
    }
}

fn multicast(family: Family) -> Rule {
    let (_, destination, _) = family.addresses();
    let mut expressions = x::of_family(family).to_vec();
    let text = match family {
        Family::Ipv4 => {
            expressions.extend([x::network_header(destination, 4, 0), x::keep(0, &[0xf0, 0, 0, 0])]);
            expressions.push(x::equal(0, &[0xe0, 0, 0, 0]));
            "ip daddr 224.0.0.0/4 return"
        }
        Family::Ipv6 => {
            expressions.extend([x::network_header(destination, 1, 0), x::equal(0, &[0xff])]);
            "ip6 daddr ff00::/8 return"
        }
    };
    expressions.push(x::verdict(Verdict::Return));
    Rule { text: text.into(), expressions }
}

//! Expressions, the words of which rules are made (linux/netfilter/nf_tables.h).
//!
//! A packet's rule works on sixteen 4-byte registers, named here by their index: a key of several fields lies in
//! as many registers as it needs, each field from the start of one.

use super::Family;

/// One step of a rule: it loads something, goes on or ends the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads a property of the packet.
    Meta {
        /// Which.
        key: Meta,
        /// Into this register.
        to: u8,
    },
    /// Loads a property of the packet's connection.
    Connection {
        /// Which.
        key: Connection,
        /// Into this register.
        to: u8,
    },
    /// Loads bytes of the packet.
    Payload {
        /// The header where `offset` begins.
        header: Header,
        /// In bytes.
        offset: u8,
        /// In bytes.
        len: u8,
        /// Into this register and those behind it.
        to: u8,
    },
    /// Loads what kind of address the packet's destination is (`RTN_LOCAL`, ...).
    DestinationType {
        /// Into this register.
        to: u8,
    },
    /// Keeps these bits of a register and those behind it.
    Keep {
        /// The first register.
        register: u8,
        /// As many bytes as are masked.
        mask: Vec<u8>,
    },
    /// Sets bits of a register.
    Raise {
        /// Which register.
        register: u8,
        /// The bits.
        bits: u32,
    },
    /// Gives the packet the mark in a register.
    Mark {
        /// Which register.
        from: u8,
    },
    /// Goes on if a register and those behind it hold these bytes.
    Equal {
        /// The first register.
        register: u8,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Goes on unless they do.
    NotEqual {
        /// The first register.
        register: u8,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Goes on if the set holds the key that begins in register 0.
    In(String),
    /// Goes on unless it does.
    NotIn(String),
    /// Loads what the map holds under the key that begins in register 0 into register 0, or ends the rule.
    Map(String),
    /// Ends the rule.
    Verdict(Verdict),
    /// Ends the rule: the connection takes the address of the link by which it leaves.
    Masquerade,
    /// Ends the rule: the connection goes to the address in register 0 and the port in another.
    Redirect {
        /// Of the address.
        family: Family,
        /// The register of the port.
        port: u8,
    },
}

/// Properties of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    /// Name of the link by which it came, 16 bytes.
    InName,
    /// Name of the link by which it leaves, 16 bytes.
    OutName,
    /// Its mark, 4 bytes.
    Mark,
    /// `ETH_P_*` in network order, 2 bytes.
    EtherType,
    /// `NFPROTO_*`, 1 byte.
    Family,
    /// `IPPROTO_*`, 1 byte.
    Protocol,
}

/// Properties of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// `NF_CT_STATE_*` bits, 4 bytes.
    State,
    /// `IPS_*` bits, 4 bytes.
    Status,
}

/// Parts of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Header {
    Ethernet,
    Network,
    Transport,
}

/// How a rule ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No rule of this hook's chain sees it again; those of other tables do.
    Accept,
    /// No rule of any chain sees it again.
    Drop,
    /// No rule of this chain sees it again.
    Return,
    /// The rules of another chain are asked first.
    Jump(String),
    /// The rules of another chain go on.
    Goto(String),
}

impl Expression {
    /// The kernel's name of it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Meta { .. } | Self::Mark { .. } => "meta",
            Self::Connection { .. } => "ct",
            Self::Payload { .. } => "payload",
            Self::DestinationType { .. } => "fib",
            Self::Keep { .. } | Self::Raise { .. } => "bitwise",
            Self::Equal { .. } | Self::NotEqual { .. } => "cmp",
            Self::In(_) | Self::NotIn(_) | Self::Map(_) => "lookup",
            Self::Verdict(_) => "immediate",
            Self::Masquerade => "masq",
            Self::Redirect { .. } => "nat",
        }
    }

    /// Whether it is an option of the kernel or a module of its own, `nft_<name>`, and not part of nf_tables itself.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        matches!(
            self,
            Self::Connection { .. } | Self::DestinationType { .. } | Self::Masquerade | Self::Redirect { .. }
        )
    }
}

/// Goes on if the packet is of this family.
pub(super) fn of_family(family: Family) -> [Expression; 2] {
    let bytes = vec![family.protocol()];
    [Expression::Meta { key: Meta::Family, to: 0 }, Expression::Equal { register: 0, bytes }]
}

/// Loads the source address.
pub(super) const fn source(family: Family, to: u8) -> Expression {
    let (offset, _, len) = family.addresses();
    Expression::Payload { header: Header::Network, offset, len, to }
}

/// Loads the destination address.
pub(super) const fn destination(family: Family, to: u8) -> Expression {
    let (_, offset, len) = family.addresses();
    Expression::Payload { header: Header::Network, offset, len, to }
}

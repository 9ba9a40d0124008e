//! Other programs' firewalls: Docker's, ufw's, firewalld's, the administrator's.
//!
//! Each table is asked by itself, and a drop in one is final: that our own rules accept a packet does not help it past a
//! `FORWARD` chain whose policy is to drop. So our rules mark what containers may send and receive, and each such chain
//! gets one constant rule at its head that accepts the mark, the same for any number of containers. iptables-nft lists,
//! saves and deletes that rule as one of its own (`-m mark --mark 0x1000/0x1000 -j ACCEPT`), so whoever looks finds it.
//!
//! A [`Gate`] is a filter chain at the hook of what is forwarded, in a table of the families ip, ip6 and inet that is not
//! ours, which drops what no rule of it accepts: by its policy, or by a last rule that drops or rejects everything. Where
//! its table has the administrator's own chain (`iptablesAdminChainName`), that is asked before, and also where nothing
//! drops.
//!
//! What this does not reach: the tables of iptables-legacy, which are not part of nf_tables; a table whose owner keeps it
//! (firewalld from 2.1 unless `NftablesTableOwner=no`); and rules that drop at a hook that comes earlier.

use std::fmt;

use super::expression::{Expression, Meta, Verdict};

/// The bit of a packet's mark. Not one of the usual ones: kube-proxy's are 0x4000 and 0x8000, portmap's is 0x2000,
/// Calico's and Weave's lie from 0x10000 up, Cilium's are 0xf00.
pub const MARK: u32 = 0x1000;
/// The comment of our rules in other programs' chains.
pub(crate) const COMMENT: &str = "groundwork";

/// A chain of another program that lets through only what one of its rules accepts, or is to ask the administrator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Its table's family: ip, ip6 or inet.
    pub family: &'static str,
    /// Its table's name.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// The rules of ours that it lacks, in the order in which they stand at its head.
    pub lacking: Vec<Verdict>,
}

impl Gate {
    /// The rule that accepts what bears the mark, or lets the administrator judge whatever comes.
    pub(crate) fn rule(verdict: Verdict) -> Vec<Expression> {
        if matches!(verdict, Verdict::Jump(_)) {
            return vec![Expression::Verdict(verdict)];
        }
        vec![
            Expression::Meta { key: Meta::Mark, to: 0 },
            Expression::Keep { register: 0, mask: MARK.to_ne_bytes().into() },
            Expression::Equal { register: 0, bytes: MARK.to_ne_bytes().into() },
            Expression::Verdict(verdict),
        ]
    }
}

impl fmt::Display for Gate {
    /// Where it is, as nft has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.chain)
    }
}

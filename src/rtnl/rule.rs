//! Rules of routing: which table is asked.

use std::net::IpAddr;

use netlink_packet_core::Parseable;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use nix::{
    errno::Errno,
    libc::{RTM_DELRULE, RTM_GETRULE, RTM_NEWRULE},
};

use super::{Error, NEW, Rtnl, family, values::SourceRule};

impl Rtnl {
    /// Lets what is sent from an address go by a table.
    ///
    /// # Errors
    /// Any refusal.
    pub fn add_rule(&self, rule: &SourceRule) -> Result<(), Error> {
        let mut message = RuleMessage::default();
        message.header.family = family(rule.source.is_ipv6());
        message.header.action = RuleAction::ToTable;
        message.header.src_len = whole(rule.source);
        message.attributes = vec![RuleAttribute::Source(rule.source), RuleAttribute::Table(rule.table)];
        self.run((RTM_NEWRULE, message), NEW, || format!("ip rule add {rule}"))
    }

    /// The tables that rules of one family name, each with the single address that it is for, if it is.
    ///
    /// # Errors
    /// Any refusal.
    pub fn rules(&self, ipv6: bool) -> Result<Vec<(Option<IpAddr>, u32)>, Error> {
        Ok(self.rule_messages(ipv6)?.iter().map(|message| (source_of(message), table_of(message))).collect())
    }

    /// Takes a rule away; gone already is success.
    ///
    /// # Errors
    /// Any refusal but ENOENT.
    pub fn delete_rule(&self, rule: &SourceRule) -> Result<(), Error> {
        let is_it = |message: &RuleMessage| source_of(message) == Some(rule.source) && table_of(message) == rule.table;
        let Some(message) = self.rule_messages(rule.source.is_ipv6())?.into_iter().find(is_it) else { return Ok(()) };
        match self.run((RTM_DELRULE, message), 0, || format!("ip rule del {rule}")) {
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(()),
            done => done,
        }
    }

    fn rule_messages(&self, ipv6: bool) -> Result<Vec<RuleMessage>, Error> {
        let mut asked = RuleMessage::default();
        asked.header.family = family(ipv6);
        let flag = if ipv6 { "-6" } else { "-4" };
        self.list((RTM_GETRULE, asked), RuleMessage::parse, || format!("ip {flag} rule show"))
    }
}

/// The length of a prefix that is one address.
const fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn source_of(message: &RuleMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Source(address) if message.header.src_len == whole(*address) => Some(*address),
        _ => None,
    })
}

fn table_of(message: &RuleMessage) -> u32 {
    let long = message.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Table(table) => Some(*table),
        _ => None,
    });
    long.unwrap_or(message.header.table.into())
}

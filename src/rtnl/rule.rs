//! Rules of routing: which table is asked.

use std::net::IpAddr;

use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use nix::errno::Errno;
use rtnetlink::IpVersion;

use super::{Error, Rtnl, values::SourceRule};

impl Rtnl {
    /// Lets what is sent from an address go by a table.
    ///
    /// # Errors
    /// Any refusal.
    pub fn add_rule(&self, rule: &SourceRule) -> Result<(), Error> {
        let request = self.handle.rule().add().table_id(rule.table).action(RuleAction::ToTable);
        let doing = || format!("ip rule add {rule}");
        match rule.source {
            IpAddr::V4(source) => self.run(request.v4().source_prefix(source, 32).execute(), doing),
            IpAddr::V6(source) => self.run(request.v6().source_prefix(source, 128).execute(), doing),
        }
    }

    /// The tables that rules of one family name, each with the single address that it is for, if it is.
    ///
    /// # Errors
    /// Any refusal.
    pub fn rules(&self, ipv6: bool) -> Result<Vec<(Option<IpAddr>, u32)>, Error> {
        let (version, flag) = if ipv6 { (IpVersion::V6, "-6") } else { (IpVersion::V4, "-4") };
        let messages = self.collect(self.handle.rule().get(version).execute(), || format!("ip {flag} rule show"))?;
        Ok(messages.iter().map(|message| (source_of(message), table_of(message))).collect())
    }

    /// Takes a rule away; gone already is success.
    ///
    /// # Errors
    /// Any refusal but ENOENT.
    pub fn delete_rule(&self, rule: &SourceRule) -> Result<(), Error> {
        let messages =
            self.collect(self.handle.rule().get(version_of(rule.source)).execute(), || "ip rule show".into())?;
        let is_it = |message: &RuleMessage| source_of(message) == Some(rule.source) && table_of(message) == rule.table;
        let Some(message) = messages.into_iter().find(is_it) else { return Ok(()) };
        match self.run(self.handle.rule().del(message).execute(), || format!("ip rule del {rule}")) {
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(()),
            done => done,
        }
    }
}

const fn version_of(address: IpAddr) -> IpVersion {
    match address {
        IpAddr::V4(_) => IpVersion::V4,
        IpAddr::V6(_) => IpVersion::V6,
    }
}

fn source_of(message: &RuleMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Source(address) if message.header.src_len == if address.is_ipv4() { 32 } else { 128 } => {
            Some(*address)
        }
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

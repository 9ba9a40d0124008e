//! Putting back what others took from attachments that live: rules and elements after a foreign `flush ruleset`, our
//! rules in other programs' chains after these were made anew, settings of the host, and all that an ADD does to links,
//! on the host and in the container.

use std::{fmt, path::Path};

use super::{gc, restore::restore};
use crate::{
    error::Result,
    nft::{Nft, socket::Base},
    rtnl::Rtnl,
    store::{self, Record, State, Store},
};

/// What came of one attachment.
#[derive(Debug)]
pub struct Repaired {
    /// Its network's name.
    pub network: String,
    /// Its container's ID.
    pub container_id: String,
    /// The interface's name in the container.
    pub ifname: String,
    /// What was put back, in words.
    pub put_back: Vec<String>,
    /// What could not be, in words.
    pub failed: Vec<String>,
}

/// Repairs the living attachments of a network, or of all. Only those are told of where something was amiss.
///
/// # Errors
/// When the records cannot be read, or the kernel cannot be asked at all.
pub fn repair(state_dir: &Path, network: Option<&str>) -> Result<Vec<Repaired>> {
    let rtnl = Rtnl::open()?;
    let mut all = Vec::new();
    for store in store::all(state_dir)? {
        if network.is_some_and(|name| name != store.network()) {
            continue;
        }
        for attachment in store.list()? {
            let mut repaired = Repaired {
                network: store.network().into(),
                container_id: attachment.container_id.clone(),
                ifname: attachment.ifname.clone(),
                put_back: Vec::new(),
                failed: Vec::new(),
            };
            repair_one(&store, &attachment, &rtnl, &mut repaired)
                .unwrap_or_else(|error| repaired.failed.push(error.to_string()));
            if !(repaired.put_back.is_empty() && repaired.failed.is_empty()) {
                all.push(repaired);
            }
        }
    }
    Ok(all)
}

fn repair_one(
    store: &Store,
    attachment: &crate::config::Attachment,
    rtnl: &Rtnl,
    repaired: &mut Repaired,
) -> Result<()> {
    // Held while it is repaired: a DEL that is under way takes away what would be put back.
    let Some(_lock) = store.lock_existing(attachment)? else { return Ok(()) };
    let Some(record) = store.read(attachment)? else { return Ok(()) };
    if record.state != State::Added || record.boot_id != *store.boot() || !gc::lives(rtnl, &record) {
        return Ok(());
    }
    let restored = restore(store, &record, rtnl, repaired);
    for part in [restored, repair_elements(&record, repaired)] {
        part.unwrap_or_else(|error| repaired.failed.push(error.to_string()));
    }
    Ok(())
}

fn repair_elements(record: &Record, repaired: &mut Repaired) -> Result<()> {
    if record.elements.is_empty() {
        return Ok(());
    }
    let owned = record.owned();
    let mut nft = Nft::open()?;
    let base = nft.base(&record.elements)?;
    let mut missing = 0;
    for element in &owned {
        missing += usize::from(!nft.contains(element)?);
    }
    if missing > 0 || base != Base::Current {
        nft.add(&owned)?;
        if base != Base::Current {
            repaired.put_back.push("rules of nf_tables".into());
        }
        if missing > 0 {
            repaired.put_back.push(format!("{missing} of {} elements of nf_tables", owned.len()));
        }
    }
    if let Some(admin_chain) = &record.admin_chain {
        let done = nft.open_gates(admin_chain)?;
        let opened = done.opened.iter().map(|gate| format!("the rule of chain {gate}"));
        repaired.put_back.extend(opened);
        let refused = done.refused.iter();
        repaired.failed.extend(refused.map(|(gate, refusal)| format!("the rule of chain {gate}: {refusal}")));
    }
    Ok(())
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network {}, container {} ({})", self.network, self.container_id, self.ifname)?;
        if !self.put_back.is_empty() {
            write!(f, ": put back {}", self.put_back.join(", "))?;
        }
        if !self.failed.is_empty() {
            write!(f, "; could not put back {}", self.failed.join(", "))?;
        }
        Ok(())
    }
}

//! Taking addresses back from attachments that are gone, when a pool has no other left.

use super::attach;
use crate::{
    config::Attachment,
    error::Result,
    nft::{
        Nft,
        ruleset::{Owned, Owner},
    },
    rtnl::Rtnl,
    store::{Lock, Store},
};

/// Finds out who is gone, and makes their addresses free to be given to others.
pub(super) struct Reclaim<'a> {
    store: &'a Store,
    rtnl: &'a Rtnl,
    /// Everybody's elements, listed when the first of the dead is met.
    elements: Option<(Nft, Vec<Owned>)>,
}

impl<'a> Reclaim<'a> {
    pub(super) const fn new(store: &'a Store, rtnl: &'a Rtnl) -> Self {
        Self { store, rtnl, elements: None }
    }

    /// The lock of a holder that is dead for sure, when nothing in nf_tables speaks of its addresses any more: neither
    /// its masquerade nor a port of the host may come to the next holder. One that cannot be asked about lives.
    pub(super) fn lock(&mut self, holder: &Attachment) -> Option<Lock> {
        let lives = |link: &_| attach::stands(self.rtnl, link).unwrap_or(true);
        let lock = self.store.lock_if_dead(holder, lives).ok().flatten()?;
        match self.delete_elements(holder) {
            Ok(()) => Some(lock),
            Err(error) => {
                let (container, ifname) = (&holder.container_id, &holder.ifname);
                tracing::warn!(container, ifname, "it is gone, and its addresses cannot be taken back: {error}");
                None
            }
        }
    }

    fn delete_elements(&mut self, holder: &Attachment) -> Result<()> {
        if self.elements.is_none() {
            let Some(mut nft) = Nft::existing()? else { return Ok(()) };
            let listed = nft.list()?;
            self.elements = Some((nft, listed));
        }
        let Some((nft, listed)) = &mut self.elements else { return Ok(()) };
        let owner = Owner::attachment(self.store.network(), &holder.container_id, &holder.ifname);
        let own: Vec<_> = listed.iter().filter(|owned| owned.owner == owner).cloned().collect();
        if own.is_empty() { Ok(()) } else { Ok(nft.delete(&own)?) }
    }
}

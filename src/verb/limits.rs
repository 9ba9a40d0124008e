//! Taking limits on bandwidth away.

use crate::{
    config::Attachment,
    error::Result,
    plan::bandwidth::ifb_names,
    rtnl::{Link, Rtnl},
    store::{HostLink, Record, Store},
};

/// Takes away what a record names: the shapers of a link that another plugin made, the ifb.
pub(super) fn delete(record: &Record) -> Result<()> {
    if record.shaped.is_none() && record.ifb.is_none() {
        return Ok(());
    }
    let rtnl = Rtnl::open()?;
    if let Some(shaped) = &record.shaped
        && let Some(link) = standing(&rtnl, Some(&shaped.link))?
    {
        shaped.sends.then(|| rtnl.unshape(&link)).transpose()?;
        shaped.receives.then(|| rtnl.unredirect(&link)).transpose()?;
    }
    if let Some(link) = standing(&rtnl, record.ifb.as_ref())? {
        rtnl.delete_link(&link, None)?;
    }
    Ok(())
}

/// Takes away the ifb that bears a container's name, as the reference plugin gave it, or we before the record was lost.
/// The name does not tell the container's interfaces apart: what a record of another one names stays.
pub(super) fn delete_unrecorded(network: &str, attachment: &Attachment, stores: &[Store]) -> Result<()> {
    let rtnl = Rtnl::open()?;
    let mut names = ifb_names(network, attachment);
    let Some(link) = names.next().map(|name| rtnl.link(&name)).transpose()?.flatten() else { return Ok(()) };
    if link.kind.as_deref() != Some("ifb") {
        return Ok(());
    }
    let is_sibling = |other: &Attachment| other.container_id == attachment.container_id && other != attachment;
    for store in stores {
        for other in store.list()?.into_iter().filter(is_sibling) {
            if let Ok(Some(record)) = store.read(&other)
                && record.ifb.is_some_and(|ifb| ifb.name == link.name)
            {
                return Ok(());
            }
        }
    }
    Ok(rtnl.delete_link(&link, None)?)
}

/// The link of that name, if it is still the one that is meant: the hardware address tells.
fn standing(rtnl: &Rtnl, link: Option<&HostLink>) -> Result<Option<Link>> {
    let Some(meant) = link else { return Ok(None) };
    Ok(rtnl.link(&meant.name)?.filter(|link| link.mac == Some(meant.mac)))
}

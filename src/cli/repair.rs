//! `groundwork repair` and `groundwork list`: attachments, from their records.

use std::{fmt::Write as _, path::Path};

use super::Output;
use crate::{
    error::Result,
    nft::ruleset::PortName,
    store::{self, State},
    verb,
};

/// Puts back what is missing; the exit status says whether all stands now.
pub(super) fn repair(state_dir: &Path, network: Option<&str>) -> Output {
    let repaired =
        verb::repair(state_dir, network).and_then(|all| Ok((all, verb::repair_overlays(state_dir, network)?)));
    let (all, overlays) = match repaired {
        Ok((all, overlays)) if all.is_empty() && overlays.is_empty() => return Output::good("nothing is missing"),
        Ok(both) => both,
        Err(error) => return Output::bad(error),
    };
    let attachments = all.iter().map(|repaired| format!("{repaired}\n"));
    let text = attachments.chain(overlays.iter().map(|(name, mended)| format!("network {name}, overlay{mended}\n")));
    let failed = all.iter().any(|one| !one.failed.is_empty()) || overlays.iter().any(|(_, one)| !one.failed.is_empty());
    Output { text: text.collect(), status: u8::from(failed) }
}

/// One line for each attachment of each plugin.
pub(super) fn list(state_dir: &Path, network: Option<&str>) -> Output {
    lines(state_dir, network).map_or_else(Output::bad, Output::good)
}

fn lines(state_dir: &Path, network: Option<&str>) -> Result<String> {
    let mut text = String::new();
    for store in store::all(state_dir)? {
        if network.is_some_and(|name| name != store.network()) {
            continue;
        }
        for attachment in store.list()? {
            // Writing to a String does not fail.
            let _ = write!(text, "{}\t{}\t{}", store.network(), attachment.container_id, attachment.ifname);
            match store.read(&attachment) {
                Ok(Some(record)) => {
                    let _ = write!(text, "\t{}", if record.state == State::Added { "attached" } else { "unfinished" });
                    record.host_link.iter().for_each(|link| _ = write!(text, "\t{}", link.name));
                    record.addresses.iter().for_each(|address| _ = write!(text, "\t{address}"));
                    let ports = record.elements.iter().filter(|element| element.is_kept());
                    ports.for_each(|port| _ = write!(text, "\t{}", PortName(*port)));
                }
                Ok(None) => text.push_str("\tunfinished"),
                Err(error) => _ = write!(text, "\t{error}"),
            }
            text.push('\n');
        }
    }
    Ok(text)
}

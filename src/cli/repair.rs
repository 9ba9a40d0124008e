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
    let all = match verb::repair(state_dir, network) {
        Ok(all) if all.is_empty() => return Output::good("nothing is missing"),
        Ok(all) => all,
        Err(error) => return Output::bad(error),
    };
    let text = all.iter().map(|repaired| format!("{repaired}\n")).collect::<String>();
    Output { text, status: u8::from(all.iter().any(|repaired| !repaired.failed.is_empty())) }
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

//! The file of peers.

use std::{fs, path::Path};

use serde_json::Value;

use super::{
    Error,
    plan::{Host, Reason, Refused},
};

/// The records of a file, those that can be read and those that cannot.
///
/// # Errors
/// No list of records can be read at all.
pub(super) fn read(path: &Path) -> Result<(Vec<Host>, Vec<Refused>), Error> {
    let text =
        fs::read(path).map_err(|source| Error::File { doing: "read \"peerFile\"", path: path.into(), source })?;
    let list: Vec<Value> = serde_json::from_slice(&text)
        .map_err(|error| Error::Garbled { path: path.into(), reason: error.to_string() })?;
    let (mut hosts, mut refused) = (Vec::new(), Vec::new());
    for record in list {
        let node = record["node"].as_str().unwrap_or_default().to_owned();
        match serde_json::from_value(record) {
            Ok(host) => hosts.push(host),
            Err(error) => refused.push(Refused { node, reason: Reason::Unreadable(error.to_string()) }),
        }
    }
    Ok((hosts, refused))
}

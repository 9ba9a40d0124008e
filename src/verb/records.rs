//! Where a plugin's records lie.
//!
//! Of the plugins of one type in a chain, the first has the type's folder, another one of its own: with a hash of its
//! configuration behind the type.

use serde_json::{Map, Value};

use crate::{
    config::{Attachment, NetworkConfig},
    error::Result,
    plan::name::fnv1a,
    store::{self, ATTACHMENTS, Record, State, Store},
};

/// Keys that a runtime sets for one call.
const OF_THE_CALL: [&str; 5] = ["cniVersion", "name", "prevResult", "runtimeConfig", "args"];

/// The store of this configuration's records, made when it is not there.
pub(super) fn open(config: &NetworkConfig) -> Result<Store> {
    Ok(Store::open_of(&config.state_dir, &config.name, folder(config))?)
}

/// As [`open`], for an ADD: where another plugin of this type has its record, or this one had its own, beside that.
pub(super) fn open_beside(config: &NetworkConfig, attachment: &Attachment) -> Result<Store> {
    let store = open(config)?;
    let Some(own) = fingerprint(config) else { return Ok(store) };
    let beside = format!("{}.{own:08x}", folder(config));
    let is_taken = match store.read(attachment) {
        Ok(Some(record)) => record.state == State::Added && !record.netns.is_gone() && is_of_another(&record, own),
        _ => false,
    };
    if is_taken || store.folder().stat(&beside).map_err(store::Error::from)?.is_some() {
        let beside = Store::open_of(&config.state_dir, &config.name, &beside)?;
        if is_taken || !matches!(beside.read(attachment), Ok(None)) {
            return Ok(beside);
        }
    }
    Ok(store)
}

/// The store of this configuration's records, if there is one.
pub(super) fn existing(config: &NetworkConfig) -> Result<Option<Store>> {
    Ok(Store::existing_of(&config.state_dir, &config.name, folder(config))?)
}

/// Every store of this configuration's type, if there are any.
pub(super) fn all(config: &NetworkConfig) -> Result<Vec<Store>> {
    if fingerprint(config).is_none() {
        return Ok(existing(config)?.into_iter().collect());
    }
    let plugin = folder(config);
    let is_own = |name: &str| {
        let beside = name.strip_prefix(plugin).and_then(|rest| rest.strip_prefix('.'));
        name == plugin || beside.is_some_and(|rest| u32::from_str_radix(rest, 16).is_ok())
    };
    Ok(store::of_network(&config.state_dir, &config.name, is_own)?)
}

/// The stores that may hold what this configuration's ADD did for an attachment: the one that says so; or all of its
/// type, as the configuration may have been changed since.
pub(super) fn of(config: &NetworkConfig, attachment: &Attachment) -> Result<Vec<Store>> {
    let mut stores = all(config)?;
    if let (Some(own), 2..) = (fingerprint(config), stores.len()) {
        let is_own = |store: &Store| match store.read(attachment) {
            Ok(record) => record.is_some_and(|record| !is_of_another(&record, own)),
            Err(_) => false,
        };
        if let Some(index) = stores.iter().position(is_own) {
            return Ok(vec![stores.swap_remove(index)]);
        }
    }
    Ok(stores)
}

/// What tells a later plugin of a chain from others of its type: None of one that makes the link, or gives addresses.
fn fingerprint(config: &NetworkConfig) -> Option<u32> {
    (config.as_ipam.is_none() && config.chained_type().is_some()).then(|| hash(&config.raw))
}

/// Of what the administrator wrote, without what a runtime sets for one call.
fn hash(config: &Map<String, Value>) -> u32 {
    let is_of_the_call =
        |key: &str| key.starts_with("cni.dev/") || OF_THE_CALL.iter().any(|one| key.eq_ignore_ascii_case(one));
    let lasting =
        config.iter().filter(|(key, _)| !is_of_the_call(key)).map(|(key, value)| (key.clone(), value.clone()));
    fnv1a(Value::Object(lasting.collect()).to_string().as_bytes())
}

fn is_of_another(record: &Record, own: u32) -> bool {
    record.config.as_ref().is_some_and(|config| hash(config) != own)
}

fn folder(config: &NetworkConfig) -> &str {
    config.chained_type().unwrap_or(ATTACHMENTS)
}

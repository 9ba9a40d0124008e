//! Keys that come twice in one object, of which a reader of JSON keeps the last without a word.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::ConfigError;
use crate::cni::json::{Fault, FieldError};

/// Where two values for one key are a contradiction.
const PLACES: [&[&str]; 2] = [&["sysctl"], &["args", "cni", "sysctl"]];

/// Refuses a kernel setting that is given twice.
pub(super) fn refuse(stdin: &[u8]) -> Result<(), ConfigError> {
    let Ok(document) = serde_json::from_slice::<Keys>(stdin) else { return Ok(()) }; // refused elsewhere
    for place in PLACES {
        let Some(object) = place.iter().try_fold(&document, |object, key| object.get(key)) else { continue };
        let mut names: Vec<_> = object.0.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let fault = Fault::Value { found: format!("{:?} twice", pair[0]), expected: "each setting once".into() };
            return Err(FieldError { path: place.join("."), fault }.into());
        }
    }
    Ok(())
}

/// The keys of an object as they were written, and what keys lie below; none for what is no object.
#[derive(Default)]
struct Keys(Vec<(String, Self)>);

impl Keys {
    fn get(&self, key: &str) -> Option<&Self> {
        self.0.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, keys)| keys)
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Vec::new();
        while let Some(entry) = map.next_entry()? {
            keys.push(entry);
        }
        Ok(Keys(keys))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Keys, A::Error> {
        while list.next_element::<Keys>()?.is_some() {}
        Ok(Keys::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Keys, E> {
        Ok(Keys::default())
    }

    fn visit_unit<E>(self) -> Result<Keys, E> {
        Ok(Keys::default())
    }
}

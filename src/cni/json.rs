//! Typed access to JSON objects as Go's decoder would give it: keys in any letter case, `null` and (for strings) `""`
//! the same as absent. Every error names the path, the value found and what was expected.

use std::{borrow::Cow, cell::RefCell, fmt, net::IpAddr, ops::RangeInclusive};

use ipnet::IpNet;
use serde_json::{Map, Value};

/// A key nobody here reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// Its path, as `ipam.rnages`.
    pub path: String,
    /// The known key with nearly the same letters, if any.
    pub meant: Option<&'static str>,
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "groundwork does not know the key {:?}", self.path)?;
        self.meant.map_or(Ok(()), |meant| write!(f, ": did you mean {meant:?}?"))
    }
}

/// A key whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {fault}")]
pub struct FieldError {
    /// The key's path, as `ipam.ranges[0][1].subnet`.
    pub path: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not there.
    #[error("is missing{}: expected {expected}", instead.as_ref().map(|key| format!(" (is `{key}` a misspelling of it?)")).unwrap_or_default())]
    Missing {
        /// What should be there.
        expected: &'static str,
        /// A key that is there, with nearly the same letters.
        instead: Option<String>,
    },
    /// It is of another JSON type.
    #[error("is {found}, {kind}: expected {expected}")]
    Shape {
        /// The JSON found, shortened.
        found: String,
        /// Its type.
        kind: &'static str,
        /// The type expected.
        expected: &'static str,
    },
    /// It has the right type and a value that cannot be.
    #[error("is {found}: expected {expected}")]
    Value {
        /// The JSON found, shortened.
        found: String,
        /// What could be.
        expected: Cow<'static, str>,
    },
}

type Read<T> = Result<T, FieldError>;

/// One JSON object and where it stands. It remembers which keys were asked for.
#[derive(Debug)]
pub struct Object<'a> {
    path: String,
    map: &'a Map<String, Value>,
    asked: RefCell<Vec<&'static str>>,
}

/// One element of a list and where it stands.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// Its path, as `routes[2]`.
    pub path: String,
    /// The element.
    pub value: &'a Value,
}

impl<'a> Object<'a> {
    /// The document itself: its keys' paths are their names.
    #[must_use]
    pub fn root(map: &'a Map<String, Value>) -> Self {
        Self::at(String::new(), map)
    }

    /// An object at `path`.
    #[must_use]
    pub fn at(path: String, map: &'a Map<String, Value>) -> Self {
        Self { path, map, asked: RefCell::default() }
    }

    /// Whether no key in it says anything.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.map.values().all(is_blank)
    }

    /// The path of `key` in it.
    #[must_use]
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of `key`, `null` included. The exact name is preferred to one in other letter case.
    pub fn raw(&self, key: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(key);
        self.map
            .get(key)
            .or_else(|| self.map.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value))
    }

    /// The value of `key`; none for `null`.
    pub fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.raw(key).filter(|value| !value.is_null())
    }

    /// A string; none when empty.
    pub fn string(&self, key: &'static str) -> Read<Option<&'a str>> {
        let text = self.value(key).map(|value| self.item(key, value).string()).transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// A boolean, false when absent.
    pub fn flag(&self, key: &'static str) -> Read<bool> {
        match self.value(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => Err(self.item(key, value).shape("true or false")),
        }
    }

    /// A whole number within `range`, which `expected` describes.
    pub fn number(&self, key: &'static str, range: RangeInclusive<u64>, expected: &'static str) -> Read<Option<u64>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.as_u64() {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            None if !value.is_i64() => Err(self.item(key, value).shape("a whole number")),
            _ => Err(self.item(key, value).fault(expected)),
        }
    }

    /// A whole number of 32 bits.
    pub fn u32(&self, key: &'static str) -> Read<Option<u32>> {
        let number = self.number(key, 0..=u64::from(u32::MAX), "a number from 0 to 4294967295")?;
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    }

    /// An object.
    pub fn object(&self, key: &'static str) -> Read<Option<Object<'a>>> {
        self.value(key).map(|value| self.item(key, value).object()).transpose()
    }

    /// The keys of an object and what they hold, none when it is absent.
    pub fn entries(&self, key: &'static str) -> Read<Vec<(&'a str, Item<'a>)>> {
        let Some(object) = self.object(key)? else { return Ok(Vec::new()) };
        Ok(object.map.iter().map(|(name, value)| (name.as_str(), object.item(name, value))).collect())
    }

    /// A list, empty when absent.
    pub fn list(&self, key: &'static str) -> Read<Vec<Item<'a>>> {
        self.value(key).map_or_else(|| Ok(Vec::new()), |value| self.item(key, value).list())
    }

    /// A list of objects, empty when absent.
    pub fn objects(&self, key: &'static str) -> Read<Vec<Object<'a>>> {
        self.list(key)?.iter().map(Item::object).collect()
    }

    /// A list of strings, empty when absent.
    pub fn strings(&self, key: &'static str) -> Read<Vec<String>> {
        self.list(key)?.iter().map(|item| item.string().map(str::to_owned)).collect()
    }

    /// A string that `parse` understands; `expected` says what that is.
    pub fn parsed<T>(
        &self,
        key: &'static str,
        expected: impl Into<Cow<'static, str>>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Read<Option<T>> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| self.fault(key, expected))
    }

    /// An IP address. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is an IPv4 address.
    pub fn ip(&self, key: &'static str) -> Read<Option<IpAddr>> {
        self.parsed(key, "an IP address", parse_ip)
    }

    /// An address with its prefix length, host bits kept.
    pub fn cidr(&self, key: &'static str) -> Read<Option<IpNet>> {
        self.parsed(key, "an address with its prefix length, such as 10.1.0.5/16", parse_cidr)
    }

    /// `value`, or the error that `key` is missing.
    pub fn require<T>(&self, key: &'static str, value: Option<T>, expected: &'static str) -> Read<T> {
        value.ok_or_else(|| self.missing(key, expected))
    }

    /// The error that `key` is missing.
    #[must_use]
    pub fn missing(&self, key: &'static str, expected: &'static str) -> FieldError {
        let instead = self.map.keys().find(|name| is_near(name, key) && !name.eq_ignore_ascii_case(key)).cloned();
        FieldError { path: self.path_of(key), fault: Fault::Missing { expected, instead } }
    }

    /// The error that `key` has a value which cannot be.
    pub fn fault(&self, key: &'static str, expected: impl Into<Cow<'static, str>>) -> FieldError {
        self.item(key, self.raw(key).unwrap_or(&Value::Null)).fault(expected)
    }

    /// The keys that were not asked for, `others` and the protocol's own (`cni.dev/`) apart.
    #[must_use]
    pub fn unread(&self, others: &[&'static str]) -> Vec<UnknownKey> {
        let asked = self.asked.borrow();
        let known = || asked.iter().chain(others).copied();
        let unread = self
            .map
            .keys()
            .filter(|name| !name.starts_with("cni.dev/") && !known().any(|key| name.eq_ignore_ascii_case(key)));
        unread
            .map(|name| UnknownKey { path: self.path_of(name), meant: known().find(|key| is_near(name, key)) })
            .collect()
    }

    /// `value` at the path of `key`.
    pub fn item(&self, key: &str, value: &'a Value) -> Item<'a> {
        Item { path: self.path_of(key), value }
    }
}

impl<'a> Item<'a> {
    /// It as a string, which may be empty.
    pub fn string(&self) -> Read<&'a str> {
        self.value.as_str().ok_or_else(|| self.shape("a string"))
    }

    /// It as an object.
    pub fn object(&self) -> Read<Object<'a>> {
        let map = self.value.as_object().ok_or_else(|| self.shape("an object"))?;
        Ok(Object::at(self.path.clone(), map))
    }

    /// It as a list.
    pub fn list(&self) -> Read<Vec<Item<'a>>> {
        let list = self.value.as_array().ok_or_else(|| self.shape("a list"))?;
        let path = |index| format!("{}[{index}]", self.path);
        Ok(list.iter().enumerate().map(|(index, value)| Item { path: path(index), value }).collect())
    }

    /// The error that it has another JSON type.
    #[must_use]
    pub fn shape(&self, expected: &'static str) -> FieldError {
        let kind = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        FieldError { path: self.path.clone(), fault: Fault::Shape { found: shortened(self.value), kind, expected } }
    }

    /// The error that it has a value which cannot be.
    pub fn fault(&self, expected: impl Into<Cow<'static, str>>) -> FieldError {
        let fault = Fault::Value { found: shortened(self.value), expected: expected.into() };
        FieldError { path: self.path.clone(), fault }
    }
}

/// An IP address in its own family.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

/// An address with its prefix length. IPv4 written as IPv6 has no meaning here.
#[must_use]
pub fn parse_cidr(text: &str) -> Option<IpNet> {
    text.parse().ok().filter(|net: &IpNet| net.addr().to_canonical() == net.addr())
}

/// Whether `name` may be a slip of the pen for `key`.
fn is_near(name: &str, key: &str) -> bool {
    if name.len().abs_diff(key.len()) > 2 {
        return false;
    }
    let distance = strsim::osa_distance(&name.to_ascii_lowercase(), &key.to_ascii_lowercase());
    distance <= 2 && distance * 2 < key.len()
}

/// Whether `value` says nothing: `null`, `false`, 0, or empty all the way down. Go cannot tell it from absent.
#[must_use]
pub fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_blank),
    }
}

/// The JSON of `value`, at most some 100 characters of it.
#[must_use]
pub fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(100) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

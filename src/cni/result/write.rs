//! Results to JSON, in the shape of the version asked for.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{CniResult, Dns, Interface, IpConfig, ResultError, Route};
use crate::cni::{Version, json::Object};

/// What a field without a value is left out by, as Go's `omitempty`.
fn put<T: Into<Value>>(map: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    }
}

fn put_list(map: &mut Map<String, Value>, key: &str, list: Vec<Value>) {
    put(map, key, Some(list).filter(|list| !list.is_empty()));
}

fn text(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn ip(ip: Option<IpAddr>) -> Option<String> {
    ip.map(|ip| ip.to_string())
}

impl CniResult {
    /// The document of `version`. What that version has no field for is left out; 0.1.0 and 0.2.0 hold the first
    /// address of each family, and cannot hold a result without one.
    pub fn to_json(&self, version: Version) -> Result<Value, ResultError> {
        let mut map = Map::new();
        map.insert("cniVersion".to_owned(), version.as_str().into());
        if version < Version::V0_3_0 {
            self.write_old(&mut map, version)?;
        } else {
            put_list(
                &mut map,
                "interfaces",
                self.interfaces.iter().map(|interface| interface.write(version)).collect(),
            );
            put_list(&mut map, "ips", self.ips.iter().map(|address| address.write(version)).collect());
            put_list(&mut map, "routes", self.routes.iter().map(|route| route.write(version)).collect());
        }
        if version < Version::V1_0_0 || !self.dns.is_empty() {
            map.insert("dns".to_owned(), self.dns.write());
        }
        Ok(Value::Object(map))
    }

    fn write_old(&self, map: &mut Map<String, Value>, version: Version) -> Result<(), ResultError> {
        for (key, is_v4) in [("ip4", true), ("ip6", false)] {
            let Some(first) = self.ips.iter().find(|ip| ip.address.addr().is_ipv4() == is_v4) else { continue };
            let mut family = Map::new();
            put(&mut family, "ip", Some(first.address.to_string()));
            put(&mut family, "gateway", ip(first.gateway));
            let routes = self.routes.iter().filter(|route| route.dst.addr().is_ipv4() == is_v4);
            put_list(&mut family, "routes", routes.map(|route| route.write(version)).collect());
            map.insert(key.to_owned(), Value::Object(family));
        }
        if self.ips.is_empty() { Err(ResultError::NeedsAddress(version)) } else { Ok(()) }
    }
}

impl Interface {
    fn write(&self, version: Version) -> Value {
        let mut map = Map::new();
        map.insert("name".to_owned(), self.name.as_str().into());
        put(&mut map, "mac", text(&self.mac));
        put(&mut map, "sandbox", text(&self.sandbox));
        if version >= Version::V1_1_0 {
            put(&mut map, "mtu", self.mtu);
            put(&mut map, "socketPath", text(&self.socket_path));
            put(&mut map, "pciID", text(&self.pci_id));
        }
        Value::Object(map)
    }
}

impl IpConfig {
    fn write(&self, version: Version) -> Value {
        let mut map = Map::new();
        if version < Version::V1_0_0 {
            map.insert("version".to_owned(), if self.address.addr().is_ipv4() { "4" } else { "6" }.into());
        }
        put(&mut map, "address", Some(self.address.to_string()));
        put(&mut map, "gateway", ip(self.gateway));
        put(&mut map, "interface", self.interface);
        Value::Object(map)
    }
}

impl Route {
    fn write(&self, version: Version) -> Value {
        let mut map = Map::new();
        put(&mut map, "dst", Some(self.dst.to_string()));
        put(&mut map, "gw", ip(self.gw));
        if version >= Version::V1_1_0 {
            put(&mut map, "mtu", self.mtu);
            put(&mut map, "advmss", self.advmss);
            put(&mut map, "priority", self.priority);
            put(&mut map, "table", self.table);
            put(&mut map, "scope", self.scope);
        }
        Value::Object(map)
    }
}

impl Dns {
    fn write(&self) -> Value {
        let mut map = Map::new();
        put(&mut map, "domain", text(&self.domain));
        for (key, list) in [("nameservers", &self.nameservers), ("search", &self.search), ("options", &self.options)] {
            put(&mut map, key, Some(json!(list)).filter(|_| !list.is_empty()));
        }
        Value::Object(map)
    }
}

/// A result made by another plugin, in the shape of `version`: unchanged, but for a `cniVersion` put in where it has
/// none, when it is of that version already; converted otherwise.
pub fn pass_on(result: &Value, version: Version) -> Result<Value, ResultError> {
    let parsed = CniResult::from_json(result, version)?;
    let mut map = result.as_object().cloned().unwrap_or_default();
    let own = Object::root(&map).string("cniVersion")?.map(str::to_owned);
    match own {
        Some(own) if own != version.as_str() => parsed.to_json(version),
        Some(_) => Ok(Value::Object(map)),
        None => {
            map.retain(|key, _| !key.eq_ignore_ascii_case("cniVersion"));
            map.insert("cniVersion".to_owned(), version.as_str().into());
            Ok(Value::Object(map))
        }
    }
}

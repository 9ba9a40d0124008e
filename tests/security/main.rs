//! The threat model of docs/security.md, line by line.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod capabilities;
mod container;
mod files;
mod model;
mod names;
mod others;
mod programs;

use serde_json::{Value, json};

/// A network with everything that touches the host.
fn network(name: &str, octet: u8) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": name, "type": "groundwork", "bridge": format!("gw{name}"),
        "isDefaultGateway": true, "ipMasq": true, "macspoofchk": true, "ipspoofchk": true, "ingressPolicy": "same-bridge",
        "capabilities": { "portMappings": true },
        "runtimeConfig": {
            "portMappings": [{ "hostPort": 8000 + u16::from(octet), "containerPort": 80, "protocol": "tcp" }],
        },
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": format!("10.{octet}.0.0/24") }], [{ "subnet": format!("fd00:{octet}::/64") }]],
        },
    })
}

//! Networks over several hosts, each host in namespaces of its own, from a configuration to packets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "the suite of nft has a network of its own in it")]
#[path = "../nft/net.rs"]
mod net;

mod changes;
mod device;
mod engines;
#[cfg(feature = "agent")]
mod etcd;
#[cfg(feature = "agent")]
mod etcd_crowd;
#[cfg(feature = "agent")]
mod etcd_families;
#[cfg(feature = "agent")]
mod etcd_faults;
#[cfg(feature = "agent")]
mod etcd_service;
#[cfg(feature = "agent")]
mod etcd_site;
#[cfg(feature = "agent")]
mod etcd_status;
#[cfg(feature = "agent")]
mod etcd_systemd;
#[cfg(feature = "agent")]
mod etcd_trust;
mod evpn;
mod fabric;
mod page;
mod peers;
#[cfg(feature = "agent")]
mod records;
mod status;
mod strangers;

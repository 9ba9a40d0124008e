//! The nf_tables room against the kernel: what nft reads back, what transactions do, what packets see.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod elements;
mod golden;
mod host_ports;
mod isolation;
mod masquerading;
mod net;

use groundwork::nft::{
    Nft,
    ruleset::{Element, Owned, Owner},
};

/// The elements of one masqueraded address.
fn masquerade(address: &str, owner: &str) -> Vec<Owned> {
    let owner = Owner::from(owner);
    Element::masquerade(address.parse().unwrap()).map(|element| Owned { element, owner: owner.clone() }).into()
}

/// Elements of `net/ctr/eth0`, shared ones of `net`.
fn owned(elements: &[Element]) -> Vec<Owned> {
    elements.iter().map(|element| Owned::new(*element, &"net/ctr/eth0".into())).collect()
}

fn nft() -> Nft {
    Nft::open().unwrap()
}

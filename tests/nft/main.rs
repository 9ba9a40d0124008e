//! The nf_tables room against the kernel: what nft reads back, what transactions do, what packets see.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod elements;
mod golden;
mod traffic;

use groundwork::nft::{
    Nft,
    ruleset::{Element, Owned, Owner},
};

/// The elements of one masqueraded address.
fn masquerade(address: &str, owner: &str) -> Vec<Owned> {
    let owner = Owner::from(owner);
    Element::masquerade(address.parse().unwrap()).map(|element| Owned { element, owner: owner.clone() }).into()
}

fn nft() -> Nft {
    Nft::open().unwrap()
}

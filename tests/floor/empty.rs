//! The least that a static binary costs: what `VERSION` is measured against.

fn main() {}

//! The kernel first: what a request needs, whether it is there, and bringing it.

pub mod ensure;
pub mod feature;
pub mod loader;
pub mod probe;

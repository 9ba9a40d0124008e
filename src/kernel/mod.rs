//! The kernel first: what a request needs, whether it is there, and bringing it.
//!
//! ```no_run
//! use groundwork::kernel::{Need, ensure, feature};
//!
//! let ready = ensure(&[Need::new(&feature::VXLAN, "the overlay network")], None)?;
//! assert_eq!(ready.provided().len(), 1);
//! # Ok::<(), groundwork::kernel::EnsureError>(())
//! ```

pub mod cause;
pub mod ensure;
pub mod feature;
pub mod loader;
pub mod modules;
pub mod probe;
pub mod provision;

pub use ensure::{EnsureError, Missing, Provided, Ready, Source, ensure};
pub use feature::{Feature, FeatureRef, Need};
pub use provision::{Provision, provision};

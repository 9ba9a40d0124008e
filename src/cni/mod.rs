//! The CNI protocol, pure: requests, results and errors as documents, every version from 0.1.0 to 1.1.0.

pub mod error;
pub mod mac;
pub mod request;
pub mod result;
pub mod version;

pub use request::{CniArgs, Request, Verb};
pub use result::CniResult;
pub use version::Version;

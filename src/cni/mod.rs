//! The CNI protocol, pure: requests, results and errors as documents, every version from 0.1.0 to 1.1.0.

pub mod args;
pub mod error;
pub mod json;
pub mod mac;
pub mod name;
pub mod request;
pub mod result;
#[cfg(test)]
mod tests;
pub mod version;

pub use args::CniArgs;
pub use error::ErrorDocument;
pub use request::{Request, RequestError, Verb};
pub use result::{CniResult, ResultError};
pub use version::Version;

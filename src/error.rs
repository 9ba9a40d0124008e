//! One error for the crate: each room's own error inside, errno kept, mapped to CNI's codes by `cni::error`'s `Coded`.

use crate::{
    cni::{ErrorDocument, RequestError, ResultError, Version, error::Coded},
    config::ConfigError,
};

/// `std::result::Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that went wrong, by room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The environment is not a request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A result cannot be read or written.
    #[error(transparent)]
    Result(#[from] ResultError),
}

impl Error {
    /// The document that tells a runtime of this error, in answer to a request of `version`.
    #[must_use]
    pub fn document(&self, version: Version) -> ErrorDocument {
        let coded: &dyn Coded = match self {
            Self::Request(error) => error,
            Self::Config(error) => error,
            Self::Result(error) => error,
        };
        ErrorDocument { cni_version: version, code: coded.code(), msg: self.to_string(), details: coded.details() }
    }
}

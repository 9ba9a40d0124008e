//! One error for the crate: each room's own error inside, errno kept, mapped to CNI's codes in `cni::error` only.

/// `std::result::Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that went wrong, by room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

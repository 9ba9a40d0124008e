//! One error for the crate: each room's own error inside, errno kept, given CNI's code here and nowhere else.

use std::{fmt, io, path::PathBuf};

use crate::{
    cni::{
        ErrorDocument, RequestError, ResultError, Version,
        error::{Coded, code},
    },
    config::{self, AllowListError, ConfigError},
    delegate, ipam, kernel, nft, overlay, plan, rtnl, store, sys,
};

/// `std::result::Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that went wrong, by room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Result(#[from] ResultError),
    #[error(transparent)]
    Kernel(#[from] kernel::EnsureError),
    #[error(transparent)]
    Rtnl(#[from] rtnl::Error),
    #[error(transparent)]
    Nft(#[from] nft::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Overlay(#[from] overlay::Error),
    #[error(transparent)]
    Ipam(#[from] ipam::reservations::Error),
    #[error(transparent)]
    Delegate(#[from] delegate::Error),
    #[error(transparent)]
    Plan(#[from] plan::PlanError),
    #[error(transparent)]
    Netns(#[from] sys::netns::Error),
    #[error(transparent)]
    Sysctl(#[from] sys::sysctl::Error),
    /// `ipam.resolvConf` cannot be read.
    #[error("cannot read \"ipam.resolvConf\" {path}: {source}")]
    ResolvConf { path: PathBuf, source: io::Error },
    /// What the reference plugin `tuning` noted of a link.
    #[error("what the reference plugin noted in {path} of the link as it was cannot be used: {source}")]
    Note { path: PathBuf, source: io::Error },
    /// The list of settings that may be tuned cannot be read.
    #[error("cannot read {}, which says what \"sysctl\" may name: {source}", config::allow_list::PATH)]
    AllowListFile { source: io::Error },
    #[error(transparent)]
    AllowList(#[from] AllowListError),
    /// A folder of sysfs that cannot be read.
    #[error("cannot read {path}: {source}")]
    Sysfs { path: PathBuf, source: io::Error },
    /// The sandbox is the host itself.
    #[error(
        "CNI_NETNS {path} is the network namespace that groundwork runs in: a container's network would be built \
         on the host itself (set CNI_NETNS_OVERRIDE=1 if that is what you want)"
    )]
    HostNetns { path: PathBuf },
    /// A chained plugin at the head of the chain.
    #[error(
        "\"{plugin}\" works on what an earlier plugin of the chain made, and there is no prevResult: put it later in \"plugins\""
    )]
    NoPreviousResult { plugin: String, ifname: String },
    /// ADD without DEL before it.
    #[error("container {container_id} already has {ifname} on network {network}: DEL it first")]
    AlreadyAttached { network: String, container_id: String, ifname: String },
    /// Eight names of links, all taken.
    #[error("no name for the host's end of the veth is free: every candidate exists (`ip link show type veth`)")]
    NoFreeName,
    /// The kernel numbers a bridge's ports with ten bits.
    #[error(
        "bridge {bridge} is full: the kernel takes at most 1023 ports for one bridge (EXFULL), so further containers need \
         a network with another \"bridge\" and subnet; `ip link show master {bridge}` lists the ports"
    )]
    FullBridge { bridge: String },
    /// A link that was there a moment ago.
    #[error("link {name} has disappeared while it was being set up")]
    NoLink { name: String },
    /// A link of the host cannot come back to it.
    #[error(
        "the container's link {link} cannot go back to the host as {name}: the host has another link of that name; rename \
         that, and DEL again"
    )]
    HostNameTaken { link: String, name: String },
    /// Duplicate address detection did not clear an address.
    #[error(
        "address {address} cannot be used: {}",
        if *.duplicate {
            "another machine on the network has it, as duplicate address detection (\"enabledad\") found"
        } else {
            "duplicate address detection (\"enabledad\") did not come to an end; is the container's link without carrier?"
        }
    )]
    NotUnique { address: ipnet::IpNet, duplicate: bool },
    /// CHECK found differences.
    #[error("the attachment is not as it was left: {}", List(.0))]
    Changed(Vec<plan::Difference>),
    /// CHECK of something that groundwork never attached.
    #[error("container {container_id} has no {ifname} on network {network}: nothing is recorded of it")]
    NotAttached { network: String, container_id: String, ifname: String },
    /// STATUS: an ADD would fail.
    #[error("an ADD would fail now: {}", List(reasons))]
    NotAvailable {
        reasons: Vec<String>,
        /// What is missing, existing containers need too.
        limited: bool,
    },
    /// Some of several things failed; the others were done.
    #[error("{}", List(.0))]
    Several(Vec<Error>),
    /// An ADD failed, and what it had done could not all be undone; the record stays, so that DEL or GC will.
    #[error("{cause}; not undone yet: {left}")]
    NotUndone { cause: Box<Error>, left: Box<Error> },
}

impl Error {
    /// The document that tells a runtime of this error, in answer to a request of `version`.
    #[must_use]
    pub fn document(&self, version: Version) -> ErrorDocument {
        if let Self::Delegate(error) = self
            && let delegate::Error::Refused { document, .. } = error
        {
            return ErrorDocument { cni_version: version, ..document.clone() };
        }
        ErrorDocument { cni_version: version, code: self.code(), msg: self.to_string(), details: self.details() }
    }

    fn code(&self) -> u32 {
        match self {
            Self::Request(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Result(error) => error.code(),
            Self::Kernel(_) => code::KERNEL_NOT_READY,
            Self::Nft(nft::Error::Taken { .. }) => code::PORT_TAKEN,
            Self::Rtnl(_)
            | Self::Nft(_)
            | Self::Sysctl(_)
            | Self::NoLink { .. }
            | Self::NoFreeName
            | Self::FullBridge { .. }
            | Self::HostNameTaken { .. } => code::KERNEL_REFUSED,
            Self::Store(_) => code::STORE,
            Self::Overlay(error) => overlay_code(error),
            Self::Ipam(_) | Self::NotUnique { .. } => code::NO_ADDRESS,
            Self::Delegate(_) => code::DELEGATE_FAILED,
            Self::Plan(_) | Self::AllowList(_) | Self::NoPreviousResult { .. } => code::INVALID_CONFIG,
            Self::Netns(_) | Self::HostNetns { .. } => code::INVALID_NETNS,
            Self::AlreadyAttached { .. } => code::INVALID_ENVIRONMENT,
            Self::Changed(_) => code::CHECK_FAILED,
            Self::NotAttached { .. } => code::UNKNOWN_CONTAINER,
            Self::NotAvailable { limited: false, .. } => code::NOT_AVAILABLE,
            Self::NotAvailable { limited: true, .. } => code::LIMITED_CONNECTIVITY,
            Self::ResolvConf { .. } | Self::Note { .. } | Self::Sysfs { .. } | Self::AllowListFile { .. } => code::IO,
            Self::Several(errors) => errors.first().map_or(code::INTERNAL, Self::code),
            Self::NotUndone { cause, .. } => cause.code(),
        }
    }

    fn details(&self) -> String {
        match self {
            Self::Request(error) => error.details(),
            Self::Config(error) => error.details(),
            Self::Result(error) => error.details(),
            Self::Kernel(error) => error.details(),
            Self::NotUndone { cause, .. } => cause.details(),
            _ => String::new(),
        }
    }

    /// One error of several; nothing when there are none.
    ///
    /// # Errors
    /// Any error at all.
    pub fn all(mut errors: Vec<Self>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }
}

fn overlay_code(error: &overlay::Error) -> u32 {
    match error {
        error if error.is_passing() => code::TRY_AGAIN_LATER,
        error if error.is_of_configuration() => code::INVALID_CONFIG,
        overlay::Error::Store(_) | overlay::Error::File { .. } | overlay::Error::Garbled { .. } => code::STORE,
        _ => code::KERNEL_REFUSED,
    }
}

struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

//! The means of loading a module, and the chain that tries one after the other.
//!
//! The contract is that of moby's `internal/modprobe`: the question whether it is loaded is the judge, never what a
//! loader says of itself. Unlike there, the attempts are returned.

mod autoload;
mod finit;
mod ioctl;
mod modprobe;

use std::{fmt, path::PathBuf};

use nix::errno::Errno;

pub use self::{autoload::Autoload, finit::Finit, ioctl::Ioctl, modprobe::Modprobe};
use super::feature::ModuleName;
use crate::{config::LoaderName, sys::netlink::Refusal};

/// The loaders and their order when the configuration names none.
pub const DEFAULT: &[LoaderName] = &[LoaderName::Netlink, LoaderName::Ioctl, LoaderName::Modprobe];

/// A means of loading.
pub trait Loader {
    /// Its name.
    fn name(&self) -> LoaderName;
    /// Tries to load `module` and says what came of it, which proves nothing.
    fn load(&mut self, module: &ModuleName) -> Outcome;
}

/// One use of one loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which.
    pub loader: LoaderName,
    /// For which module.
    pub module: ModuleName,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a loader says of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran without complaint.
    Done,
    /// The kernel was asked, in a way whose answer does not tell.
    Asked,
    /// The kernel refused.
    Refused(Refusal),
    /// It was not tried, and why.
    Skipped(&'static str),
    /// No program of that name at the usual places or in PATH.
    NoProgram,
    /// The program could not be started.
    NotStarted {
        /// Which.
        program: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The program ended badly.
    Failed {
        /// Which.
        program: PathBuf,
        /// Its exit status; none when a signal ended it.
        status: Option<i32>,
        /// What it said, on both streams.
        output: String,
    },
    /// The program took too long and was ended.
    TimedOut {
        /// Which.
        program: PathBuf,
        /// After how many seconds.
        seconds: u64,
    },
    /// A file that the loader needs could not be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
}

/// What [`load_modules`] did when the last question was answered with yes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Every attempt, in order. Those of the last loader did it; none when it was loaded from the start.
    pub attempts: Vec<Attempt>,
}

impl Loaded {
    /// The loader after which it was loaded.
    #[must_use]
    pub fn by(&self) -> Option<LoaderName> {
        self.attempts.last().map(|attempt| attempt.loader)
    }
}

/// What [`load_modules`] did when the last question was answered with no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotLoaded<E> {
    /// The last answer.
    pub answer: E,
    /// Every attempt, in order.
    pub attempts: Vec<Attempt>,
}

/// Loads modules if that is necessary.
///
/// `is_loaded` is asked first, and if it holds nothing is loaded. Else each loader in turn is tried for every module, and
/// then `is_loaded` is asked again; the next loader comes when it does not hold. It may thus be called several times.
/// What loaders say of themselves is kept as attempts and decides nothing.
///
/// # Errors
/// The last answer of `is_loaded`, with every attempt.
pub fn load_modules<E>(
    mut is_loaded: impl FnMut() -> Result<(), E>,
    modules: &[ModuleName],
    loaders: &mut [&mut dyn Loader],
) -> Result<Loaded, NotLoaded<E>> {
    let mut attempts = Vec::new();
    let mut answer = is_loaded();
    for loader in loaders {
        if answer.is_ok() {
            break;
        }
        for module in modules {
            let outcome = loader.load(module);
            tracing::debug!(loader = name(loader.name()), %module, %outcome, "tried to load a module");
            attempts.push(Attempt { loader: loader.name(), module: module.clone(), outcome });
        }
        answer = is_loaded();
    }
    match answer {
        Ok(()) => Ok(Loaded { attempts }),
        Err(answer) => Err(NotLoaded { answer, attempts }),
    }
}

/// [`load_modules`] with moby's two loaders: ioctl, then modprobe.
///
/// # Errors
/// The last answer of `is_loaded`, with every attempt.
pub fn load_modules_like_moby<E>(
    is_loaded: impl FnMut() -> Result<(), E>,
    modules: &[ModuleName],
) -> Result<Loaded, NotLoaded<E>> {
    load_modules(is_loaded, modules, &mut [&mut Ioctl::default(), &mut Modprobe::default()])
}

/// A loader's name in the configuration.
#[must_use]
pub fn name(loader: LoaderName) -> &'static str {
    match loader {
        LoaderName::Netlink => "netlink",
        LoaderName::Ioctl => "ioctl",
        LoaderName::Modprobe => "modprobe",
        LoaderName::Finit => "finit",
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if matches!(self.outcome, Outcome::Skipped(_)) { "skipped" } else { "tried" };
        write!(f, "{verb} {} {}: {}", name(self.loader), self.module, self.outcome)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("no complaint"),
            Self::Asked => f.write_str("the kernel was asked; its answer does not tell"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Skipped(reason) => f.write_str(reason),
            Self::NoProgram => f.write_str("there is no such program here"),
            Self::NotStarted { program, errno } => write!(f, "{} could not be started: {errno}", program.display()),
            Self::Failed { program, status, output } => {
                match status {
                    Some(status) => write!(f, "{} ended with status {status}", program.display())?,
                    None => write!(f, "{} was ended by a signal", program.display())?,
                }
                if output.is_empty() { Ok(()) } else { write!(f, ": {output}") }
            }
            Self::TimedOut { program, seconds } => {
                write!(f, "{} was ended after {seconds} s", program.display())
            }
            Self::Unreadable { path, errno } => write!(f, "{}: {errno}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;

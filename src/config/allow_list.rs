//! Which kernel settings may be tuned, as the administrator says it: a file with a regular expression on each line, as
//! the reference plugin reads it. Without the file all of the network's may be.

use regex_lite::Regex;

use super::TuningConfig;

/// Where the list lies.
pub const PATH: &str = "/etc/cni/tuning/allowlist.conf";

/// Why a setting may not be tuned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    /// No expression matches its name.
    #[error("the setting {name:?} is not allowed: {PATH} allows {}", if .allowed.is_empty() { "none".to_owned() } else { .allowed.join(", ") })]
    Refused {
        /// The setting, as the configuration names it.
        name: String,
        /// The expressions.
        allowed: Vec<String>,
    },
    /// A line is no regular expression.
    #[error("{PATH} has {line:?}, which is no regular expression: {problem}")]
    Broken {
        /// The line.
        line: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Checks the settings of a configuration against the list's text. An expression may match any part of a name.
///
/// # Errors
/// The first setting that is not allowed; a line that is no expression.
pub fn check(text: &str, config: &TuningConfig) -> Result<(), AllowListError> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let broken = |line: &str, error: regex_lite::Error| AllowListError::Broken {
        line: line.to_owned(),
        problem: error.to_string(),
    };
    let allowed: Vec<Regex> =
        lines().map(|line| Regex::new(line).map_err(|error| broken(line, error))).collect::<Result<_, _>>()?;
    match config.sysctls.iter().find(|sysctl| !allowed.iter().any(|regex| regex.is_match(&sysctl.name))) {
        None => Ok(()),
        Some(sysctl) => {
            Err(AllowListError::Refused { name: sysctl.name.clone(), allowed: lines().map(str::to_owned).collect() })
        }
    }
}

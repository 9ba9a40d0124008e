//! What a guest says on its second serial port.
//!
//! ```text
//! @begin NAME
//! |a line of stdout
//! !a line of stderr
//! @end EXIT-STATUS
//! @done
//! ```

use std::collections::HashMap;

/// What the steps of one boot printed, by name.
#[derive(Debug, Default)]
pub(crate) struct Report(HashMap<String, Section>);

/// One step.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    /// Its standard output, a newline after each line.
    pub(crate) stdout: String,
    /// Its standard error, likewise.
    pub(crate) stderr: String,
    /// Its exit status.
    pub(crate) status: i32,
}

impl Report {
    /// Reads the whole of a report.
    ///
    /// # Errors
    /// A line that is none of the above, a name used twice, or an end before `@done`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut report = Self::default();
        let mut open: Option<(String, Section)> = None;
        for line in text.lines().map(|line| line.trim_end_matches('\r')) {
            match (&mut open, line.split_at_checked(1)) {
                (Some((_, section)), Some(("|", out))) => section.stdout.extend([out, "\n"]),
                (Some((_, section)), Some(("!", err))) => section.stderr.extend([err, "\n"]),
                (Some(_), _) => {
                    let status = line.strip_prefix("@end ").and_then(|status| status.parse().ok());
                    let (Some(status), Some((name, section))) = (status, open.take()) else {
                        return Err(format!("unexpected in a section: {line}"));
                    };
                    if report.0.insert(name.clone(), Section { status, ..section }).is_some() {
                        return Err(format!("{name} reported twice"));
                    }
                }
                (None, _) if line == "@done" => return Ok(report),
                (None, _) => {
                    let name = line.strip_prefix("@begin ").ok_or(format!("unexpected between sections: {line}"))?;
                    open = Some((name.into(), Section::default()));
                }
            }
        }
        Err(match open {
            Some((name, section)) => format!("the guest stopped in {name}: {section:?}"),
            None => format!("the guest stopped after {} steps", report.0.len()),
        })
    }

    /// The step of this name.
    ///
    /// # Errors
    /// When the guest never came to it.
    pub(crate) fn section(&self, name: &str) -> Result<&Section, String> {
        self.0.get(name).ok_or_else(|| format!("the guest reported no {name}"))
    }

    /// What a step printed, which must have succeeded.
    ///
    /// # Errors
    /// When it failed, or the guest never came to it.
    pub(crate) fn stdout(&self, name: &str) -> Result<&str, String> {
        match self.section(name)? {
            section if section.status == 0 => Ok(&section.stdout),
            failed => Err(format!("{name}: {failed:?}")),
        }
    }
}

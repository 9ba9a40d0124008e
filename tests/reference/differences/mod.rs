//! Where groundwork deliberately does otherwise than Debian's reference plugins (1.1.1), and why.

mod checks;
mod codes;
mod everywhere;
mod left;
mod outcomes;
mod state;

/// Lines that differ, in these scenarios. In patterns `*` is anything. Each pattern must explain something.
pub(crate) struct Difference {
    pub(crate) scenarios: &'static [&'static str],
    /// `- ` begins a line of the reference's, `+ ` one of groundwork's.
    pub(crate) lines: &'static [&'static str],
    pub(crate) why: &'static str,
}

const fn differ(scenarios: &'static [&'static str], lines: &'static [&'static str], why: &'static str) -> Difference {
    Difference { scenarios, lines, why }
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Difference> {
    let parts = [
        everywhere::DIFFERENCES,
        codes::DIFFERENCES,
        outcomes::DIFFERENCES,
        checks::DIFFERENCES,
        state::DIFFERENCES,
        left::DIFFERENCES,
    ];
    parts.into_iter().flatten()
}

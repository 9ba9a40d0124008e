//! What was measured, and the tables that show it.

use std::time::Duration;

use crate::document::Table;
use crate::program::Sample;

/// What was being measured.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct What {
    pub(crate) variant: String,
    /// A verb, or `connect`.
    pub(crate) verb: &'static str,
    /// Attachments that were there.
    pub(crate) present: usize,
    /// How many were under way; the time is until all were done.
    pub(crate) at_once: usize,
}

/// What one verb costs beside time.
pub(crate) struct Account {
    pub(crate) variant: String,
    pub(crate) verb: &'static str,
    pub(crate) programs: usize,
    pub(crate) calls: usize,
    pub(crate) peak_kib: usize,
}

/// All of one run.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) samples: Vec<(What, Sample)>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) failures: Vec<What>,
}

/// Milliseconds: the lowest, the quartiles with the median between them.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) lowest: f64,
    pub(crate) quarter: f64,
    pub(crate) median: f64,
    pub(crate) three_quarters: f64,
}

/// Which time of the samples.
pub(crate) type Time = fn(&Figures, &What) -> Option<Spread>;

impl What {
    pub(crate) fn of(variant: &str, verb: &'static str, present: usize, at_once: usize) -> Self {
        Self { variant: variant.into(), verb, present, at_once }
    }
}

impl Figures {
    fn spread_of(&self, what: &What, time: impl Fn(&Sample) -> Duration) -> Option<Spread> {
        let samples = self.samples.iter().filter(|(of, _)| of == what);
        let mut times: Vec<f64> = samples.map(|(_, sample)| time(sample).as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        let last = times.len().checked_sub(1)?;
        let at = |part: f64| times[(last as f64 * part).round() as usize];
        Some(Spread { lowest: at(0.0), quarter: at(0.25), median: at(0.5), three_quarters: at(0.75) })
    }

    pub(crate) fn wall(&self, what: &What) -> Option<Spread> {
        self.spread_of(what, |sample| sample.wall)
    }

    pub(crate) fn cpu(&self, what: &What) -> Option<Spread> {
        self.spread_of(what, |sample| sample.cpu)
    }

    /// The median of one verb alone, in milliseconds.
    pub(crate) fn median(&self, variant: &str, verb: &'static str, present: usize) -> Option<f64> {
        self.wall(&What::of(variant, verb, present, 1)).map(|spread| spread.median)
    }

    pub(crate) fn account(&self, variant: &str, verb: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.variant == variant && account.verb == verb)
    }

    /// One verb after the other, nothing else attached.
    pub(crate) fn alone(&self, variants: &[String], verbs: &[&'static str]) -> String {
        let mut table = Table::new(&[
            "",
            "",
            "median ms",
            "quartiles",
            "lowest",
            "x floor",
            "CPU ms",
            "programs",
            "system calls",
            "peak MiB",
        ]);
        for verb in verbs {
            let base = if *verb == "VERSION" { "nothing" } else { "floor" };
            for variant in variants {
                let what = What::of(variant, verb, 0, 1);
                let (Some(wall), Some(cpu)) = (self.wall(&what), self.cpu(&what)) else { continue };
                let ratio = self.median(base, verb, 0).map(|base| wall.median / base);
                let account = self.account(variant, verb);
                let counted = |count: fn(&Account) -> String| account.map_or_else(String::new, count);
                table.row([
                    (*verb).into(),
                    variant.clone(),
                    format!("{:.2}", wall.median),
                    format!("{:.2} - {:.2}", wall.quarter, wall.three_quarters),
                    format!("{:.2}", wall.lowest),
                    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                    format!("{:.2}", cpu.median),
                    counted(|account| account.programs.to_string()),
                    counted(|account| account.calls.to_string()),
                    counted(|account| format!("{:.1}", account.peak_kib as f64 / 1024.0)),
                ]);
            }
        }
        table.text()
    }

    /// Medians of wall or CPU time by what the columns vary, and the last against the first.
    pub(crate) fn across(
        &self,
        (variants, verbs): (&[String], &[&'static str]),
        (heads, unit): (&[&str], &str),
        column: impl Fn(&str, &'static str) -> Vec<What>,
        (time, scale): (Time, f64),
    ) -> String {
        let heads: Vec<&str> = ["", ""].iter().chain(heads).chain(&["last / first"]).copied().collect();
        let mut table = Table::new(&heads);
        for verb in verbs {
            for variant in variants {
                let cells: Vec<_> =
                    column(variant, verb).iter().map(|what| (time(self, what), self.lost(what))).collect();
                let medians: Vec<f64> = cells.iter().filter_map(|(wall, _)| wall.map(|wall| wall.median)).collect();
                if medians.is_empty() {
                    continue;
                }
                let shown = |(wall, lost): &(Option<Spread>, usize)| {
                    let failed = if *lost > 0 { format!(", {lost} failed") } else { String::new() };
                    wall.map_or_else(String::new, |wall| {
                        format!("{:.*}{failed}", precision(scale), wall.median * scale)
                    })
                };
                let ratio = medians[medians.len() - 1] / medians[0];
                let row = [format!("{verb}{unit}"), variant.clone()].into_iter().chain(cells.iter().map(shown));
                table.row(row.chain([format!("{ratio:.2}")]));
            }
        }
        table.text()
    }

    fn lost(&self, what: &What) -> usize {
        self.failures.iter().filter(|failure| *failure == what).count()
    }
}

fn precision(scale: f64) -> usize {
    if scale > 1.0 { 0 } else { 2 }
}

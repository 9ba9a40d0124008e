//! A page that runs write parts of: tables, targets, what it was measured on.

use std::{fmt::Write, path::Path, time::Duration};

use crate::support::sh;

/// A table in Markdown that is readable as it is.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new(heads: &[&str]) -> Self {
        Self(vec![heads.iter().map(|head| (*head).to_owned()).collect()])
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }

    pub(crate) fn text(&self) -> String {
        let columns = self.0[0].len();
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (index, row) in self.0.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                let _ = match column {
                    0 | 1 => write!(text, "| {cell:width$} ", width = widths[column]),
                    _ => write!(text, "| {cell:>width$} ", width = widths[column]),
                };
            }
            text += "|\n";
            if index == 0 {
                let rule = |column: usize| {
                    let dashes = "-".repeat(widths[column] + 1);
                    if column < 2 { format!("|{dashes}-") } else { format!("|{dashes}:") }
                };
                text += &(0..columns).map(rule).collect::<String>();
                text += "|\n";
            }
        }
        text
    }
}

/// What is to be reached: its name, whether `limit` is the most (or the least), the limit, its unit, what was found.
pub(crate) type Target<'a> = (&'a str, bool, f64, &'a str, f64);

/// The targets, and which of them were reached.
pub(crate) fn targets(targets: &[Target<'_>]) -> String {
    let mut table = Table::new(&["", "target", "measured", ""]);
    for &(what, at_most, limit, unit, found) in targets {
        let reached = if at_most { found <= limit } else { found >= limit };
        table.row([
            what.into(),
            format!("{} {limit}{unit}", if at_most { "at most" } else { "at least" }),
            format!("{found:.2}{unit}"),
            if reached { "pass" } else { "miss" }.into(),
        ]);
    }
    table.text()
}

/// Writes a page with this text between its marks of that name.
pub(crate) fn write(page: &Path, to: &Path, marks: &str, text: &str) {
    let (begin, end) = (format!("<!-- {marks}: begin -->\n"), format!("<!-- {marks}: end -->\n"));
    let old = std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let (before, rest) = old.split_once(&begin).expect("the page has a place for what is measured");
    let (_, after) = rest.split_once(&end).expect("and that place ends");
    std::fs::write(to, format!("{before}{begin}{text}{end}{after}")).unwrap();
}

/// What it was measured on and what with, in a sentence or two.
pub(crate) fn machine(load_before: &str, took: Duration, with: &str) -> String {
    let cpu = sh("sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1; nproc");
    let (model, count) = cpu.trim().split_once('\n').unwrap_or(("", cpu.trim()));
    let (minutes, kernel) = (took.as_secs_f64() / 60.0, sh("uname -sr"));
    let kernel = kernel.trim();
    let mut text =
        format!("{kernel}, {count} CPUs ({model}), load before {load_before}, {minutes:.1} minutes. {with}.");
    if load_before.parse::<f64>().unwrap() > count.parse::<f64>().unwrap() / 2.0 {
        text += " **The machine was busy**: waiting hides the differences of medians; look at the lowest and at CPU.";
    }
    text
}

pub(crate) fn load() -> String {
    sh("cut -d ' ' -f 1 /proc/loadavg").trim().into()
}

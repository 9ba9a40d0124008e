//! The page that a run writes: targets, tables, picture.

use std::path::Path;

use crate::document;
use crate::figures::{Figures, Time, What};
use crate::plot::{Line, Picture};
use crate::support::GROUNDWORK;

pub(crate) const VERBS: [&str; 5] = ["ADD", "CHECK", "DEL", "STATUS", "VERSION"];
pub(crate) const PRESENT: [usize; 4] = [0, 100, 500, 1_000];
pub(crate) const CONNECTED: [usize; 3] = [1, 100, 1_000];
pub(crate) const AT_ONCE: [usize; 2] = [20, 100];

/// All that a run measured, as Markdown.
pub(crate) fn measured(figures: &Figures, variants: &[String], nodes: &[String], machine: &str) -> String {
    let alone = figures.alone(variants, &VERBS);
    let by_present = |verbs: &[&'static str], unit, time: Time| {
        let column = |variant: &str, verb| PRESENT.map(|present| What::of(variant, verb, present, 1)).into();
        figures.across((variants, verbs), (&["0", "100", "500", "1,000"], unit), column, (time, 1.0))
    };
    let present = by_present(&["ADD", "CHECK", "DEL"], " ms", Figures::wall);
    let present_cpu = by_present(&["ADD", "DEL"], " CPU ms", Figures::cpu);
    let at_once = figures.across(
        (variants, &["ADD", "DEL"]),
        (&["20", "100"], " ms"),
        |variant, verb| AT_ONCE.map(|at_once| What::of(variant, verb, 0, at_once)).into(),
        (Figures::wall, 1.0),
    );
    let connect = figures.across(
        (nodes, &["connect"]),
        (&["1", "100", "1,000"], " us"),
        |node, verb| CONNECTED.map(|present| What::of(node, verb, present, 1)).into(),
        (Figures::wall, 1000.0),
    );
    format!(
        "{machine}\n\n### Targets\n{}\n### One at a time, nothing else attached\n{alone}\n### With so many attachments \
         present\n{present}\n{present_cpu}\n### So many at once, until all are done\n{at_once}\n### A new TCP connection from outside \
         through a host port, so many containers with one each\n{connect}",
        targets(figures)
    )
}

/// What the project wants to reach, and whether it did.
fn targets(figures: &Figures) -> String {
    const OWN: &str = "groundwork";
    let alone = |variant, verb, present| figures.median(variant, verb, present).unwrap_or(f64::NAN);
    let over = |verb, other| alone(OWN, verb, 0) / alone(other, verb, 0);
    let growth = |variant| alone(variant, "ADD", 1_000) / alone(variant, "ADD", 0);
    let size = std::fs::metadata(GROUNDWORK).map_or(f64::NAN, |file| file.len() as f64 / 1e6);
    let own = figures.accounts.iter().filter(|account| account.variant == OWN);
    let peak = own.map(|account| account.peak_kib as f64 * 1024.0 / 1e6).fold(0.0, f64::max);
    document::targets(&[
        ("ADD against the floor", true, 1.4, "x", over("ADD", "floor")),
        ("ADD faster than the reference chain by cnitool", false, 40.0, "x", 1.0 / over("ADD", "reference, cnitool")),
        ("DEL against the floor", true, 1.4, "x", over("DEL", "floor")),
        ("DEL faster than the reference chain by cnitool", false, 40.0, "x", 1.0 / over("DEL", "reference, cnitool")),
        ("the thousandth ADD, growth against the floor's", true, 1.3, "x", growth(OWN) / growth("floor")),
        ("VERSION against a static binary that does nothing", true, 1.5, "x", over("VERSION", "nothing")),
        ("the binary", true, 3.0, " MB", size),
        ("peak memory of any verb", true, 6.0, " MB", peak),
    ])
}

/// The same as a picture.
pub(crate) fn picture(figures: &Figures, variants: &[String], nodes: &[String]) -> String {
    let mut picture = Picture::default();
    for verb in ["ADD", "DEL"] {
        let bar = |variant: &String| Some((variant.clone(), figures.wall(&What::of(variant, verb, 0, 1))?));
        let bars: Vec<_> = variants.iter().filter_map(bar).collect();
        picture.bars(&format!("{verb}: median and quartiles"), &bars);
    }
    let lines = |names: &[String], verb, places: &[usize], scale: f64| -> Vec<Line> {
        let median = |name: &str, present| figures.median(name, verb, present).map(|median| median * scale);
        let all = names.iter().map(|name| (name.clone(), places.iter().map(|place| median(name, *place)).collect()));
        all.filter(|(_, values): &Line| values.iter().any(Option::is_some)).collect()
    };
    picture.lines("ADD, by attachments present", "ms", &PRESENT, &lines(variants, "ADD", &PRESENT, 1.0));
    let connected = lines(nodes, "connect", &CONNECTED, 1000.0);
    picture.lines("New TCP connection through a host port, by containers that have one", "us", &CONNECTED, &connected);
    picture.svg()
}

/// Writes the page with what was measured in its place, and the picture beside it.
pub(crate) fn write(page: &Path, to: &Path, measured: &str, picture: &str) {
    document::write(page, to, "measured", measured);
    std::fs::write(to.with_extension("svg"), picture).unwrap();
}

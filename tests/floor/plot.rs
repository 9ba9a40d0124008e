//! The figures as a picture: SVG, drawn here.

use std::fmt::Write;

use crate::figures::Spread;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 22.0;
const LINES: f64 = 220.0;

/// A picture that grows downwards.
#[derive(Default)]
pub(crate) struct Picture {
    body: String,
    height: f64,
}

/// A line of a panel: its name, and a value for each place on the axis.
pub(crate) type Line = (String, Vec<Option<f64>>);

impl Picture {
    /// Bars on a logarithmic axis in milliseconds, with the quartiles as whiskers.
    pub(crate) fn bars(&mut self, title: &str, bars: &[(String, Spread)]) {
        let values = bars.iter().flat_map(|(_, spread)| [spread.quarter, spread.three_quarters]);
        let axis = Axis::around(values);
        let (top, height) = (self.panel(title), BAR * bars.len() as f64);
        let x = |value: f64| LEFT + axis.part(value) * (WIDTH - LEFT - RIGHT);
        for tick in axis.ticks() {
            let at = x(tick);
            self.line((at, top), (at, top + height), "#ddd", 1.0);
            self.text((at, top + height + 14.0), "middle", &shown(tick));
        }
        for (index, (name, spread)) in bars.iter().enumerate() {
            let (y, end) = (top + BAR * index as f64, x(spread.median));
            let middle = y + BAR / 2.0;
            self.text((LEFT - 8.0, middle + 4.0), "end", name);
            let _ = writeln!(
                self.body,
                r#"<rect x="{LEFT}" y="{:.1}" width="{:.1}" height="{:.1}" fill="{}"/>"#,
                y + 4.0,
                end - LEFT,
                BAR - 8.0,
                colour(name)
            );
            self.line((x(spread.quarter), middle), (x(spread.three_quarters), middle), "#222", 1.5);
            self.text((x(spread.three_quarters) + 6.0, middle + 4.0), "start", &format!("{} ms", shown(spread.median)));
        }
        self.height = top + height + 24.0;
    }

    /// Lines on a logarithmic axis of this unit over these places.
    pub(crate) fn lines(&mut self, title: &str, unit: &str, places: &[usize], lines: &[Line]) {
        let axis = Axis::around(lines.iter().flat_map(|(_, values)| values.iter().flatten().copied()));
        let top = self.panel(title);
        let y = |value: f64| top + LINES * (1.0 - axis.part(value));
        let last = places.last().copied().unwrap_or(1).max(1) as f64;
        let x = |place: usize| LEFT + place as f64 / last * (WIDTH - LEFT - 2.0 * RIGHT);
        for tick in axis.ticks() {
            self.line((LEFT, y(tick)), (x(places[places.len() - 1]), y(tick)), "#ddd", 1.0);
            self.text((LEFT - 8.0, y(tick) + 4.0), "end", &format!("{} {unit}", shown(tick)));
        }
        for place in places {
            self.text((x(*place), top + LINES + 16.0), "middle", &place.to_string());
        }
        let mut ends: Vec<f64> = Vec::new();
        for (name, values) in lines {
            let points: Vec<(f64, f64)> =
                places.iter().zip(values).filter_map(|(place, value)| Some((x(*place), y((*value)?)))).collect();
            let Some(end) = points.last().copied() else { continue };
            let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let colour = colour(name);
            let _ = writeln!(
                self.body,
                r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
                path.join(" ")
            );
            for (x, y) in points {
                let _ = writeln!(self.body, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#);
            }
            let mut label = end.1 + 4.0;
            while let Some(near) = ends.iter().find(|other| (**other - label).abs() < 13.0) {
                label = near - 13.0;
            }
            ends.push(label);
            self.text((end.0 + 8.0, label), "start", name);
        }
        self.height = top + LINES + 30.0;
    }

    /// The document.
    pub(crate) fn svg(&self) -> String {
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#222">
<rect width="{WIDTH}" height="{height}" fill="#fff"/>
{body}</svg>
"##,
            height = self.height,
            body = self.body
        )
    }

    /// Begins a panel; where its content begins.
    fn panel(&mut self, title: &str) -> f64 {
        let y = self.height + 26.0;
        let _ =
            writeln!(self.body, r#"<text x="16" y="{y}" font-size="14" font-weight="bold">{}</text>"#, escaped(title));
        y + 12.0
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        let _ = writeln!(
            self.body,
            r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{colour}" stroke-width="{width}"/>"#,
            from.0, from.1, to.0, to.1
        );
    }

    fn text(&mut self, at: (f64, f64), anchor: &str, text: &str) {
        let text = escaped(text);
        let _ = writeln!(self.body, r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}">{text}</text>"#, at.0, at.1);
    }
}

/// A logarithmic axis: powers of ten.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    fn around(values: impl Iterator<Item = f64> + Clone) -> Self {
        let low = values.clone().fold(f64::MAX, f64::min).log10().floor();
        let high = values.fold(f64::MIN, f64::max).log10().ceil();
        Self { low, high: high.max(low + 1.0) }
    }

    /// Where on the axis, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        (value.log10() - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> Vec<f64> {
        (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power)).collect()
    }
}

fn colour(name: &str) -> &'static str {
    match name {
        _ if name.starts_with("groundwork") => "#2166ac",
        _ if name.starts_with("reference") => "#d6604d",
        _ => "#999",
    }
}

fn shown(value: f64) -> String {
    match value {
        _ if value >= 10.0 => format!("{value:.0}"),
        _ if value >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

//! Figures as pictures, each with the same numbers in a table beside it: SVG made here, styled by classes alone.

use std::fmt::Write as _;

use askama::Template;

/// Height of the plot, and the width of one day with the gap after it, in the picture's own units.
const HEIGHT: i64 = 120;
const STEP: i64 = 20;
const BAR: i64 = 14;
/// Room for the numbers at the left, and for the days below.
const LEFT: i64 = 52;
const BELOW: i64 = 22;

/// Calls of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Such as 2026-01-31.
    pub day: String,
    pub calls: i64,
    /// Those of them that failed or were refused.
    pub failed: i64,
}

/// Calls by day, the oldest first; what failed stands on top in another colour.
#[derive(Template)]
#[template(path = "charts/days.html")]
pub struct Days<'a> {
    pub title: &'a str,
    pub days: &'a [Day],
}

/// One of several things, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub calls: i64,
    pub failed: i64,
}

/// Calls by tool, client or outcome, the most first.
#[derive(Template)]
#[template(path = "charts/rows.html")]
pub struct Rows<'a> {
    pub title: &'a str,
    /// What the rows are: a tool, a client, an outcome.
    pub what: &'a str,
    pub rows: &'a [Row],
}

impl Days<'_> {
    fn most(&self) -> i64 {
        let most = self.days.iter().map(|day| day.calls).max();
        round_up(most.unwrap_or_default())
    }

    fn view_box(&self) -> String {
        format!("0 0 {} {}", self.width(), HEIGHT + BELOW)
    }

    fn width(&self) -> i64 {
        LEFT + STEP * i64::try_from(self.days.len()).unwrap_or_default()
    }

    fn total(&self) -> i64 {
        self.days.iter().map(|day| day.calls).sum()
    }

    fn failed(&self) -> i64 {
        self.days.iter().map(|day| day.failed).sum()
    }

    /// Only numbers and days get into it, so nothing needs escaping.
    fn picture(&self) -> String {
        let most = self.most().max(1);
        let mut svg = String::new();
        for (part, y) in [(most, 0), (most / 2, HEIGHT / 2), (0, HEIGHT)] {
            let (x, width, below) = (LEFT - 6, self.width(), y + if y == 0 { 10 } else { 4 });
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{width}\" y2=\"{y}\"/><text x=\"{x}\" y=\"{below}\" text-anchor=\"end\">{}</text>",
                short(part)
            );
        }
        let every = (self.days.len() / 5).max(1);
        for (index, day) in self.days.iter().enumerate() {
            let x = LEFT + STEP * i64::try_from(index).unwrap_or_default() + (STEP - BAR) / 2;
            let (all, bad) = (scaled(day.calls, most), scaled(day.failed, most));
            let (good, top) = (all - bad, HEIGHT - all);
            let _ = write!(
                svg,
                "<g><title>{}: {} calls, {} failed</title><rect x=\"{x}\" y=\"{}\" width=\"{BAR}\" height=\"{good}\"/>",
                day.day,
                day.calls,
                day.failed,
                top + bad
            );
            if bad > 0 {
                let _ = write!(
                    svg,
                    "<rect class=\"bad\" x=\"{x}\" y=\"{top}\" width=\"{BAR}\" height=\"{bad}\"/>"
                );
            }
            svg.push_str("</g>");
            if index % every == 0 {
                let (middle, base) = (x + BAR / 2, HEIGHT + BELOW - 6);
                let name = day.day.get(5..).unwrap_or_default();
                let anchor = match index {
                    0 => "start",
                    last if last + 1 == self.days.len() => "end",
                    _ => "middle",
                };
                let _ = write!(
                    svg,
                    "<text x=\"{middle}\" y=\"{base}\" text-anchor=\"{anchor}\">{name}</text>"
                );
            }
        }
        svg
    }
}

impl Rows<'_> {
    /// Of the largest, in hundredths; what is there at all is seen.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "a template hands its fields over so"
    )]
    fn share(&self, calls: &i64) -> i64 {
        let most = self.rows.iter().map(|row| row.calls).max();
        (calls * 100 / most.unwrap_or(1).max(1)).clamp(i64::from(*calls > 0), 100)
    }
}

/// Of the plot's height; what is there at all is seen.
fn scaled(calls: i64, most: i64) -> i64 {
    (calls * HEIGHT / most).clamp(i64::from(calls > 0) * 2, HEIGHT)
}

/// To 2, 4, 10, 20, 40, 100 and so on, so that the half is a whole number.
fn round_up(most: i64) -> i64 {
    let mut step: i64 = 2;
    loop {
        for nice in [step, step * 2, step * 5] {
            if nice >= most {
                return nice;
            }
        }
        step = step.saturating_mul(10);
    }
}

/// 1,200 as 1.2k.
fn short(number: i64) -> String {
    match number {
        ..1_000 => number.to_string(),
        1_000..1_000_000 => thousands(number, 1_000, "k"),
        _ => thousands(number, 1_000_000, "M"),
    }
}

fn thousands(number: i64, unit: i64, name: &str) -> String {
    let (whole, tenth) = (number / unit, number % unit * 10 / unit);
    match tenth {
        0 => format!("{whole}{name}"),
        _ => format!("{whole}.{tenth}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: &str, calls: i64, failed: i64) -> Day {
        Day {
            day: day.to_owned(),
            calls,
            failed,
        }
    }

    #[test]
    fn the_scale_ends_at_a_round_number() {
        for (most, end) in [
            (0, 2),
            (2, 2),
            (3, 4),
            (5, 10),
            (11, 20),
            (21, 40),
            (99, 100),
            (101, 200),
            (4_001, 10_000),
        ] {
            assert_eq!(round_up(most), end, "{most}");
        }
        for (number, text) in [
            (999, "999"),
            (1_000, "1k"),
            (1_250, "1.2k"),
            (2_000_000, "2M"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn failures_stand_on_top_and_a_day_without_calls_has_no_bar() {
        let days = [day("2026-11-01", 100, 50), day("2026-11-02", 0, 0)];
        let html = Days {
            title: "Calls",
            days: &days,
        }
        .render()
        .unwrap();
        assert!(
            html.contains("y=\"60\" width=\"14\" height=\"60\"/>"),
            "{html}"
        );
        assert!(
            html.contains("class=\"bad\" x=\"55\" y=\"0\" width=\"14\" height=\"60\"/>"),
            "{html}"
        );
        assert!(html.contains("height=\"0\"/>"), "{html}");
        assert!(html.contains("<td class=\"number\">100</td>"), "{html}");
    }

    #[test]
    fn names_are_escaped_and_nothing_is_styled_inline() {
        let rows = [Row {
            name: "<script>alert(1)</script>".to_owned(),
            calls: 3,
            failed: 1,
        }];
        let html = Rows {
            title: "By client",
            what: "Client",
            rows: &rows,
        }
        .render()
        .unwrap();
        assert!(
            !html.contains("<script>") && !html.contains("style="),
            "{html}"
        );
    }
}

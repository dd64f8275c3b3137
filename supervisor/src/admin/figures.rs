//! Figures of a company as its page shows them.

use std::collections::BTreeMap;

use super::words::{grouped, outcome};
use crate::{
    charts::{Day, Row},
    store::{By, Sum},
    usage::period::day_of,
};

pub(super) const DAY: i64 = 24 * 60 * 60 * 1000;
/// Rows of a table by tool or client; the rest is one more.
const ROWS: usize = 12;

/// How long calls took, in ms, and among how many that was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Latency {
    pub(super) calls: usize,
    pub(super) p50: i64,
    pub(super) p95: i64,
    pub(super) p99: i64,
}

impl Latency {
    pub(super) fn is_empty(&self) -> bool {
        self.calls == 0
    }

    pub(super) fn of(mut durations: Vec<i64>) -> Self {
        durations.sort_unstable();
        // The smallest that so many percent do not exceed.
        let percentile = |percent: usize| {
            let rank = (durations.len() * percent).div_ceil(100).max(1);
            durations.get(rank - 1).copied().unwrap_or_default()
        };
        Self {
            calls: durations.len(),
            p50: percentile(50),
            p95: percentile(95),
            p99: percentile(99),
        }
    }
}

/// The start of the day (UTC).
pub(super) fn day_start(now: i64) -> i64 {
    now - now.rem_euclid(DAY)
}

/// Every day from the start of one up to `last`, also those without calls.
pub(super) fn days(sums: &[Sum], first: i64, last: i64) -> Vec<Day> {
    let known: BTreeMap<&str, &Sum> = sums.iter().map(|sum| (sum.key.as_str(), sum)).collect();
    let mut days = Vec::new();
    let mut start = first;
    while start <= last {
        let sum = known.get(start.to_string().as_str());
        days.push(Day {
            day: day_of(start).to_string(),
            calls: sum.map_or(0, |sum| sum.calls),
            failed: sum.map_or(0, |sum| sum.errors),
        });
        start += DAY;
    }
    days
}

/// The most first.
pub(super) fn rows(by: By, mut sums: Vec<Sum>) -> Vec<Row> {
    sums.sort_by(|one, other| other.calls.cmp(&one.calls).then(one.key.cmp(&other.key)));
    let rest = sums.split_off(sums.len().min(ROWS));
    let mut rows: Vec<Row> = sums
        .into_iter()
        .map(|sum| Row {
            name: named(by, &sum.key),
            calls: sum.calls,
            failed: sum.errors,
        })
        .collect();
    if !rest.is_empty() {
        rows.push(Row {
            name: format!(
                "{} others",
                grouped(i64::try_from(rest.len()).unwrap_or(i64::MAX))
            ),
            calls: rest.iter().map(|sum| sum.calls).sum(),
            failed: rest.iter().map(|sum| sum.errors).sum(),
        });
    }
    rows
}

fn named(by: By, key: &str) -> String {
    match (by, key) {
        (_, "") => "not told".to_owned(),
        (By::Status, status) => outcome(status).to_owned(),
        (_, key) => key.to_owned(),
    }
}

pub(super) fn total(sums: &[Sum]) -> Sum {
    sums.iter().fold(Sum::default(), |mut total, sum| {
        total.calls += sum.calls;
        total.errors += sum.errors;
        total.duration_ms += sum.duration_ms;
        total.bytes += sum.bytes;
        total
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(key: &str, calls: i64) -> Sum {
        Sum {
            key: key.to_owned(),
            calls,
            errors: 1,
            ..Sum::default()
        }
    }

    #[test]
    fn percentiles_are_durations_that_were_measured() {
        let latency = Latency::of((1..=200).rev().collect());
        assert_eq!(
            (latency.p50, latency.p95, latency.p99, latency.calls),
            (100, 190, 198, 200)
        );
        let one = Latency::of(vec![7]);
        assert_eq!((one.p50, one.p99), (7, 7));
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }

    #[test]
    fn a_day_without_calls_is_there() {
        let sums = [sum(&DAY.to_string(), 5)];
        let days = days(&sums, 0, 2 * DAY);
        let calls: Vec<i64> = days.iter().map(|day| day.calls).collect();
        assert_eq!(calls, [0, 5, 0]);
        assert_eq!(days[1].day, "1970-01-02");
    }

    #[test]
    fn the_most_come_first_and_the_rest_is_one() {
        let sums = (0..15).map(|n| sum(&format!("tool_{n:02}"), n)).collect();
        let rows = rows(By::Tool, sums);
        assert_eq!(rows.len(), 13);
        assert_eq!((rows[0].name.as_str(), rows[0].calls), ("tool_14", 14));
        assert_eq!(
            (rows[12].name.as_str(), rows[12].calls, rows[12].failed),
            ("3 others", 3, 3)
        );
    }
}

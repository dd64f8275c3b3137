//! Which days a report is about.

use jiff::{ToSpan, civil::Date, tz::TimeZone};

/// Longest period in days, and longest by hour.
const LONGEST: i64 = 1100;
const LONGEST_BY_HOUR: i64 = 93;

/// Days in UTC, the first and the last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from: Date,
    pub to: Date,
}

/// Why days cannot be reported on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("`{0}` must be a day such as 2026-01-31")]
    NoDay(&'static str),
    #[error("`from` must not be after `to`")]
    Backwards,
    #[error("a report has at most {LONGEST} days, and {LONGEST_BY_HOUR} by hour; ask for fewer")]
    TooLong,
}

impl Period {
    /// Without `to` up to today; without `from` from the first of that month.
    pub fn new(
        from: Option<&str>,
        to: Option<&str>,
        by_hour: bool,
        now: i64,
    ) -> Result<Self, Error> {
        let to = to.map_or_else(|| Ok(day_of(now)), |text| day(text, "to"))?;
        let from = from.map_or_else(|| Ok(to.first_of_month()), |text| day(text, "from"))?;
        let longest = if by_hour { LONGEST_BY_HOUR } else { LONGEST };
        if from > to {
            return Err(Error::Backwards);
        }
        if to.duration_since(from).as_hours() / 24 >= longest {
            return Err(Error::TooLong);
        }
        Ok(Self { from, to })
    }

    /// From the first millisecond to before the last one.
    pub fn milliseconds(self) -> (i64, i64) {
        let end = self.to.checked_add(1.day()).map_or(i64::MAX, start);
        (start(self.from), end)
    }
}

/// The day (UTC) that contains the time.
pub fn day_of(now: i64) -> Date {
    utc(now).date()
}

/// The time as `2026-01-31T13:00:00Z`.
pub fn rfc3339(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at)
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}

fn utc(at: i64) -> jiff::Zoned {
    jiff::Timestamp::from_millisecond(at)
        .unwrap_or_default()
        .to_zoned(TimeZone::UTC)
}

fn day(text: &str, name: &'static str) -> Result<Date, Error> {
    // Only the plain form; jiff reads more.
    let plain = text.len() == 10 && text.bytes().all(|c| c.is_ascii_digit() || c == b'-');
    plain
        .then(|| text.parse().ok())
        .flatten()
        .ok_or(Error::NoDay(name))
}

fn start(day: Date) -> i64 {
    day.to_zoned(TimeZone::UTC)
        .map_or(i64::MAX, |day| day.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-15T08:00:00Z
    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn a_report_is_about_the_current_month_unless_asked() {
        let shown = |from, to| {
            let period = Period::new(from, to, false, NOW).unwrap();
            format!("{} {}", period.from, period.to)
        };
        assert_eq!(shown(None, None), "2027-01-01 2027-01-15");
        assert_eq!(shown(None, Some("2026-02-28")), "2026-02-01 2026-02-28");
        assert_eq!(shown(Some("2026-12-31"), None), "2026-12-31 2027-01-15");
    }

    #[test]
    fn both_days_are_whole() {
        let period = Period::new(Some("2027-01-15"), Some("2027-01-15"), true, NOW).unwrap();
        let (from, to) = period.milliseconds();
        assert_eq!(to - from, 86_400_000);
        assert_eq!(rfc3339(from), "2027-01-15T00:00:00Z");
    }

    #[test]
    fn other_periods_are_refused_with_the_reason() {
        for (from, to, by_hour, problem) in [
            ("2027-1-1", "2027-01-02", false, Error::NoDay("from")),
            ("2027-01-01", "2027-02-30", false, Error::NoDay("to")),
            ("2027-01-02", "2027-01-01", false, Error::Backwards),
            ("2020-01-01", "2027-01-01", false, Error::TooLong),
            ("2026-01-01", "2027-01-01", true, Error::TooLong),
        ] {
            assert_eq!(
                Period::new(Some(from), Some(to), by_hour, NOW),
                Err(problem)
            );
        }
    }
}

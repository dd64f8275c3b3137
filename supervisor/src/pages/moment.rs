//! Times as pages show them: in UTC, and in the person's own time where the script runs.

use jiff::{Timestamp, tz::TimeZone};

/// A `<time>` element; numbers and fixed words alone, so nothing needs escaping.
pub fn moment(at: i64) -> String {
    element(at, "time", "%Y-%m-%d %H:%M UTC")
}

/// As `moment`, or `never`.
pub fn moment_or_never(at: Option<i64>) -> String {
    at.map_or_else(|| "never".to_owned(), moment)
}

/// The day alone.
pub fn day(at: i64) -> String {
    element(at, "date", "%Y-%m-%d")
}

fn element(at: i64, kind: &str, format: &str) -> String {
    let at = Timestamp::from_millisecond(at).unwrap_or_default();
    let machine = at.strftime("%Y-%m-%dT%H:%M:%SZ");
    let shown = at.to_zoned(TimeZone::UTC).strftime(format).to_string();
    format!("<time datetime=\"{machine}\" data-local=\"{kind}\">{shown}</time>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_readable_without_a_script() {
        assert_eq!(
            moment(1_800_000_000_000),
            "<time datetime=\"2027-01-15T08:00:00Z\" data-local=\"time\">2027-01-15 08:00 UTC</time>"
        );
        assert_eq!(moment_or_never(None), "never");
    }
}

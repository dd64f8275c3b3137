//! The zone in which a company's "today" is. Service Fusion's API does not say it, so people do.

use crate::error::Problem;

/// The name as the time zone database spells it, or what to give instead.
pub fn named(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let known = text
        .contains('/')
        .then(|| jiff::tz::TimeZone::get(text).ok())
        .flatten();
    let name = known
        .as_ref()
        .and_then(jiff::tz::TimeZone::iana_name)
        .or((text == "UTC").then_some(text));
    name.map(ToOwned::to_owned).ok_or_else(|| {
        Problem::invalid(
            "`time_zone` must be a name of the time zone database, such as America/Chicago or America/New_York.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_the_database_s_names() {
        assert_eq!(named(" America/Chicago ").unwrap(), "America/Chicago");
        assert_eq!(named("america/chicago").unwrap(), "America/Chicago");
        assert_eq!(named("UTC").unwrap(), "UTC");
        for text in [
            "",
            "CST",
            "Chicago",
            "America/Dallas",
            "../etc/passwd",
            "/etc/localtime",
            "-06:00",
        ] {
            assert_eq!(named(text).unwrap_err().code, "invalid_request", "{text}");
        }
    }
}

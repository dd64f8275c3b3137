//! The company's clock: "now" and "today" in its time zone, and how records write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) time_zone: TimeZone,
    pub(crate) fixed: Option<Timestamp>,
}

impl Clock {
    pub(crate) fn now(&self) -> DateTime {
        let now = self.fixed.unwrap_or_else(Timestamp::now);
        now.to_zoned(self.time_zone.clone()).datetime()
    }

    pub(crate) fn stamp(&self) -> String {
        stamp(self.now())
    }
}

/// The API writes the company's wall clock and calls it UTC.
pub(crate) fn stamp(moment: DateTime) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

pub(crate) fn midnight_stamp(date: Date) -> String {
    format!("{date}T00:00:00+00:00")
}

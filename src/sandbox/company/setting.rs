//! The moment the company is looked at, and dates told from it.

use jiff::ToSpan;
use jiff::civil::{Date, DateTime};

use crate::sandbox::clock::stamp;
use crate::sandbox::company::random::Random;

pub(crate) struct Setting {
    pub(crate) now: DateTime,
    pub(crate) today: Date,
    pub(crate) random: Random,
}

impl Setting {
    pub(crate) fn new(now: DateTime) -> Self {
        Self {
            now,
            today: now.date(),
            random: Random::new(0x5f_c0de),
        }
    }

    pub(crate) fn day(&self, offset: i64) -> Date {
        self.today.saturating_add(offset.days())
    }

    /// A moment in office hours of that day, never later than now.
    pub(crate) fn office_moment(&mut self, offset: i64) -> DateTime {
        let minutes = self.random.between(7 * 60, 18 * 60);
        let seconds = self.random.between(0, 60);
        at_minute(self.day(offset), minutes)
            .saturating_add(seconds.seconds())
            .min(self.now)
    }

    pub(crate) fn stamp_of_day(&mut self, offset: i64) -> String {
        stamp(self.office_moment(offset))
    }

    pub(crate) fn minute_of_day(&self) -> i64 {
        i64::from(self.now.hour()) * 60 + i64::from(self.now.minute())
    }
}

pub(crate) fn at_minute(date: Date, minute: i64) -> DateTime {
    date.to_datetime(jiff::civil::Time::midnight())
        .saturating_add(minute.minutes())
}

pub(crate) fn clock_time(minute: i64) -> String {
    let minute = minute.clamp(0, 24 * 60 - 1);
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

//! What time it is: the system's clock, or one that a test has set.

use std::{sync::OnceLock, time::Instant};

use jiff::{SpanRelativeTo, Timestamp, Zoned, civil::Date, tz::TimeZone};

/// A clock in the company's time zone.
///
/// A set clock starts at the given moment and then runs on, so that intervals stay true.
#[derive(Clone, Debug)]
pub struct Clock {
    set: Option<(Timestamp, Instant)>,
    zone: OnceLock<TimeZone>,
    /// Resolved at first use: finding a zone reads a hundred files, which a start must not.
    name: Option<String>,
}

impl Clock {
    /// `set` is a moment in `zone` to start from; without it the system's clock is used.
    pub fn new(zone: TimeZone, set: Option<Timestamp>) -> Self {
        Self {
            set: set.map(|at| (at, Instant::now())),
            zone: OnceLock::from(zone),
            name: None,
        }
    }

    /// A clock on the system's time, in the zone of that name or in this machine's.
    pub fn system(name: Option<String>) -> Self {
        Self {
            set: None,
            zone: OnceLock::new(),
            name,
        }
    }

    pub fn timestamp(&self) -> Timestamp {
        match &self.set {
            None => Timestamp::now(),
            Some((at, since)) => at
                .checked_add(jiff::SignedDuration::try_from(since.elapsed()).unwrap_or_default())
                .unwrap_or(*at),
        }
    }

    /// Now, as the company's wall clock shows it.
    pub fn now(&self) -> Zoned {
        self.timestamp().to_zoned(self.zone().clone())
    }

    pub fn today(&self) -> Date {
        self.now().date()
    }

    pub fn zone(&self) -> &TimeZone {
        self.zone.get_or_init(|| match &self.name {
            Some(name) => TimeZone::get(name).unwrap_or_else(|_| TimeZone::system()),
            None => TimeZone::system(),
        })
    }

    /// The zone's IANA name, or its offset where it has none.
    pub fn zone_name(&self) -> String {
        self.zone()
            .iana_name()
            .map_or_else(|| self.now().offset().to_string(), ToOwned::to_owned)
    }

    /// Whole days from `earlier` to `later`, negative when they are the other way round.
    pub fn days_between(earlier: Date, later: Date) -> i64 {
        earlier
            .until(later)
            .and_then(|span| span.total((jiff::Unit::Day, SpanRelativeTo::days_are_24_hours())))
            .map_or(0, |days| {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "two dates lie at most some million days apart"
                )]
                let whole = days.round() as i64;
                whole
            })
    }
}

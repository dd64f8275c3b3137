//! Dates as people say them: `today`, `last month`, `2026-11-03..2026-11-09`, resolved in the company's zone.

use jiff::{
    Span, Timestamp, ToSpan,
    civil::{Date, Time, Weekday},
};

use crate::clock::Clock;

/// First and last day, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateRange {
    pub from: Date,
    pub to: Date,
}

/// What is accepted, for the error that names it.
const ACCEPTED: &str = "use `today`, `tomorrow`, `yesterday`, a weekday, `this week`, `next week`, `last month`, \
     `next 7 days`, `last 30 days`, a date `2026-11-22`, a month `2026-11`, or a range `2026-11-01..2026-11-15`";

const MOMENTS: &str = "use `2 hours ago`, `yesterday`, a date `2026-11-22`, or a moment `2026-11-22T08:00` in the company's \
     time zone";

/// Why a date was not understood; the text says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not understood: {accepted}")]
pub struct NotADate {
    text: String,
    accepted: &'static str,
}

impl DateRange {
    pub fn day(date: Date) -> Self {
        Self {
            from: date,
            to: date,
        }
    }

    pub fn contains(&self, date: Date) -> bool {
        self.from <= date && date <= self.to
    }

    /// Number of days, at least 1.
    pub fn days(&self) -> i64 {
        Clock::days_between(self.from, self.to) + 1
    }

    /// Reads a day or a range of days, relative to `today`. Weeks start on Monday.
    pub fn parse(text: &str, today: Date) -> Result<Self, NotADate> {
        let refused = || NotADate {
            text: text.chars().take(60).collect(),
            accepted: ACCEPTED,
        };
        let plain = text.trim().to_lowercase();
        if let Some(day) = american(&plain) {
            return Ok(Self::day(day));
        }
        for separator in ["..", " to ", " until ", " - ", "/"] {
            if let Some((from, to)) = plain.split_once(separator) {
                let from = one(from.trim(), today).ok_or_else(refused)?.from;
                let to = one(to.trim(), today).ok_or_else(refused)?.to;
                return if from <= to {
                    Ok(Self { from, to })
                } else {
                    Err(NotADate {
                        text: text.chars().take(60).collect(),
                        accepted: "the range ends before it starts; write the earlier day first",
                    })
                };
            }
        }
        one(&plain, today).ok_or_else(refused)
    }
}

/// Reads one day, for arguments that take no range.
pub fn parse_day(text: &str, today: Date) -> Result<Date, NotADate> {
    let range = DateRange::parse(text, today)?;
    if range.from == range.to {
        return Ok(range.from);
    }
    Err(NotADate {
        text: text.chars().take(60).collect(),
        accepted: "one single day is needed here, such as `today` or `2026-11-22`",
    })
}

fn one(text: &str, today: Date) -> Option<DateRange> {
    let day = |days: i64| shift(today, days.days()).map(DateRange::day);
    match text {
        "today" | "now" => day(0),
        "tomorrow" => day(1),
        "yesterday" => day(-1),
        _ => relative(text, today)
            .or_else(|| weekday(text, today))
            .or_else(|| calendar(text)),
    }
}

/// `this week`, `next month`, `last 30 days`, `past 2 weeks`.
fn relative(text: &str, today: Date) -> Option<DateRange> {
    let mut words = text.split_whitespace();
    let direction = match words.next()? {
        "this" => 0,
        "next" => 1,
        "last" | "past" | "previous" => -1,
        _ => return None,
    };
    let second = words.next()?;
    if let Ok(count) = second.parse::<i64>() {
        let unit = words.next()?.trim_end_matches('s').to_owned();
        return (words.next().is_none() && direction != 0 && (1..=3660).contains(&count))
            .then(|| counted(&unit, count, direction, today))
            .flatten();
    }
    if words.next().is_some() {
        return None;
    }
    match second {
        "week" => {
            let monday = shift(
                today,
                (-i64::from(today.weekday().to_monday_zero_offset()) + 7 * direction).days(),
            )?;
            Some(DateRange {
                from: monday,
                to: shift(monday, 6.days())?,
            })
        }
        "month" => {
            let first = shift(today.first_of_month(), direction.months())?;
            Some(DateRange {
                from: first,
                to: first.last_of_month(),
            })
        }
        "year" => {
            let first = shift(today.first_of_year(), direction.years())?;
            Some(DateRange {
                from: first,
                to: first.last_of_year(),
            })
        }
        _ => None,
    }
}

/// `next 7 days` starts today; `last 30 days` ends today.
fn counted(unit: &str, count: i64, direction: i64, today: Date) -> Option<DateRange> {
    let span = |n: i64| match unit {
        "day" => Some(n.days()),
        "week" => Some((7 * n).days()),
        "month" => Some(n.months()),
        "year" => Some(n.years()),
        _ => None,
    };
    let far = shift(today, span(direction * count)?)?;
    // n days include today itself, so the far end moves one day closer.
    let far = shift(far, (-direction).days())?;
    Some(if direction > 0 {
        DateRange {
            from: today,
            to: far,
        }
    } else {
        DateRange {
            from: far,
            to: today,
        }
    })
}

/// `friday` is the next one, today included; `next friday` never is today; `last friday` is before today.
fn weekday(text: &str, today: Date) -> Option<DateRange> {
    let (direction, name) = match text.split_once(' ') {
        Some(("next", name)) => (1, name),
        Some(("last", name)) => (-1, name),
        Some(("this", name)) => (0, name),
        Some(_) => return None,
        None => (0, text),
    };
    let wanted = match name {
        "monday" | "mon" => Weekday::Monday,
        "tuesday" | "tue" | "tues" => Weekday::Tuesday,
        "wednesday" | "wed" => Weekday::Wednesday,
        "thursday" | "thu" | "thurs" => Weekday::Thursday,
        "friday" | "fri" => Weekday::Friday,
        "saturday" | "sat" => Weekday::Saturday,
        "sunday" | "sun" => Weekday::Sunday,
        _ => return None,
    };
    let ahead = i64::from(today.weekday().until(wanted));
    let days = match direction {
        1 if ahead == 0 => 7,
        -1 => ahead - 7,
        _ => ahead,
    };
    shift(today, days.days()).map(DateRange::day)
}

/// `11/22/2026`, as it is written where the companies are.
fn american(text: &str) -> Option<Date> {
    let mut parts = text.split('/');
    let (month, day) = (small(parts.next()?)?, small(parts.next()?)?);
    let year = digits(parts.next()?, 4)?.try_into().ok()?;
    let date = Date::new(year, month, day).ok()?;
    parts.next().is_none().then_some(date)
}

/// `2026-11-22`, `2026-11`, `2026`.
fn calendar(text: &str) -> Option<DateRange> {
    // A timestamp's date is taken as it stands: Service Fusion's offsets are not to be trusted.
    let (date_part, time) = text.split_once(['t', ' ']).unwrap_or((text, ""));
    if let Some(date) = strict_date(date_part).filter(|_| is_time_part(time)) {
        return Some(DateRange::day(date));
    }
    let mut parts = text.split('-');
    let year: i16 = digits(parts.next()?, 4)?.try_into().ok()?;
    match (parts.next(), parts.next()) {
        (None, _) => Some(DateRange {
            from: Date::new(year, 1, 1).ok()?,
            to: Date::new(year, 12, 31).ok()?,
        }),
        (Some(month), None) => {
            let first = Date::new(year, digits(month, 2)?.try_into().ok()?, 1).ok()?;
            Some(DateRange {
                from: first,
                to: first.last_of_month(),
            })
        }
        _ => None,
    }
}

/// What may follow the date in a timestamp. A second date may not: it would be passed over in silence.
fn is_time_part(text: &str) -> bool {
    let usual = |c: char| c.is_ascii_digit() || "+-:.z".contains(c);
    text.is_empty() || (text.contains(':') && text.chars().all(usual))
}

fn strict_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let date = Date::new(
        digits(parts.next()?, 4)?.try_into().ok()?,
        digits(parts.next()?, 2)?.try_into().ok()?,
        digits(parts.next()?, 2)?.try_into().ok()?,
    )
    .ok()?;
    parts.next().is_none().then_some(date)
}

fn digits(text: &str, width: usize) -> Option<i32> {
    (text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// One or two digits.
fn small(text: &str) -> Option<i8> {
    digits(text, 1).or_else(|| digits(text, 2))?.try_into().ok()
}

fn shift(date: Date, span: Span) -> Option<Date> {
    date.checked_add(span).ok()
}

/// A date as Service Fusion writes it, or `None` where it writes one that means "not set":
/// null, an empty string, year -0001, year 0000, and anything up to 1970.
pub fn lenient_date(text: &str) -> Option<Date> {
    strict_date(text.trim().get(..10)?).filter(|date| date.year() > 1970)
}

/// A time of day, `14:10` or `14:10:00`, as Service Fusion writes it.
pub fn lenient_time(text: &str) -> Option<Time> {
    let mut parts = text.trim().split(':');
    let hour = parts.next()?.parse().ok()?;
    let minute = parts.next()?.parse().ok()?;
    Time::new(hour, minute, 0, 0).ok()
}

/// A time of day as a person says it: `14:00`, `2 pm`, `2:30pm`, `noon`, `9`.
///
/// A bare hour from 1 to 6 is taken as the afternoon: nobody books a visit at three at night.
pub fn parse_time(text: &str) -> Result<Time, NotADate> {
    let refused = || NotADate {
        text: text.chars().take(60).collect(),
        accepted: "for a time of day use `14:00`, `2 pm` or `noon`",
    };
    let plain = text.trim().to_lowercase();
    match plain.as_str() {
        "noon" | "midday" => return Ok(Time::constant(12, 0, 0, 0)),
        "midnight" => return Ok(Time::midnight()),
        _ => {}
    }
    let halves = [("a.m.", 0), ("p.m.", 12), ("am", 0), ("pm", 12)];
    let (clock, half) = halves
        .into_iter()
        .find_map(|(word, half)| Some((plain.strip_suffix(word)?, Some(half))))
        .unwrap_or((&plain, None));
    let clock = clock.trim_end();
    let clock = clock.strip_suffix("o'clock").unwrap_or(clock).trim_end();
    let (hour, minute) = hour_and_minute(clock).ok_or_else(refused)?;
    let hour = match half {
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        Some(_) => return Err(refused()),
        None if !clock.contains(':') && (1..=6).contains(&hour) => hour + 12,
        None => hour,
    };
    Time::new(hour, minute, 0, 0).map_err(|_| refused())
}

/// `9`, `9:30`, `09:30:00`. Whatever else there is, such as the end of a span, is not passed over.
fn hour_and_minute(clock: &str) -> Option<(i8, i8)> {
    let mut parts = clock.split(':');
    let hour = small(parts.next()?)?;
    let mut two = || match parts.next() {
        Some(part) => digits(part, 2)?.try_into().ok(),
        None => Some(0),
    };
    let (minute, second) = (two()?, two()?);
    let all_read = parts.next().is_none();
    (all_read && (0..60_i8).contains(&second)).then_some((hour, minute))
}

/// A moment in the past, for "changed since": a date range's first instant, a timestamp, or `2 hours ago`.
pub fn parse_moment(text: &str, clock: &Clock) -> Result<Timestamp, NotADate> {
    // The API has no way to write the years before.
    const FIRST: Timestamp = Timestamp::constant(-62_135_596_800, 0);
    let moment = moment(text, clock)?;
    if moment < FIRST {
        return Err(NotADate {
            text: text.chars().take(60).collect(),
            accepted: MOMENTS,
        });
    }
    Ok(moment)
}

fn moment(text: &str, clock: &Clock) -> Result<Timestamp, NotADate> {
    let plain = text.trim().to_lowercase();
    if let Ok(moment) = text.trim().parse::<Timestamp>() {
        return Ok(moment);
    }
    if let Some(moment) = ago(&plain, clock) {
        return Ok(moment);
    }
    // "Since noon" means today's.
    if let Ok(time) = parse_time(&plain)
        && let Ok(today) = clock
            .today()
            .to_datetime(time)
            .to_zoned(clock.zone().clone())
    {
        return Ok(today.timestamp());
    }
    let start = match text.trim().parse::<jiff::civil::DateTime>() {
        Ok(wall) if text.contains(['T', ':']) => wall,
        _ => DateRange::parse(text, clock.today())
            .map_err(|mut problem| {
                problem.accepted = MOMENTS;
                problem
            })?
            .from
            .at(0, 0, 0, 0),
    };
    start
        .to_zoned(clock.zone().clone())
        .map(|zoned| zoned.timestamp())
        .map_err(|_| NotADate {
            text: text.chars().take(60).collect(),
            accepted: ACCEPTED,
        })
}

fn ago(text: &str, clock: &Clock) -> Option<Timestamp> {
    let mut words = text.strip_suffix(" ago")?.split_whitespace();
    let (count, unit, None) = (words.next()?, words.next()?, words.next()) else {
        return None;
    };
    let count: i64 = match count {
        "a" | "an" => 1,
        number => number.parse().ok().filter(|n| (0..=100_000).contains(n))?,
    };
    let span = match unit.trim_end_matches('s') {
        "minute" | "min" => count.minutes(),
        "hour" => count.hours(),
        "day" => count.days(),
        "week" => count.weeks(),
        "month" => count.months(),
        _ => return None,
    };
    clock.now().checked_sub(span).ok().map(|at| at.timestamp())
}

/// The form the API's date-time filters take. The offset is written out because `Z` was seen to fail.
pub fn filter_moment(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

#[cfg(test)]
mod tests {
    use jiff::{civil::date, tz::TimeZone};
    use proptest::prelude::*;

    use super::*;

    const SUNDAY: Date = date(2026, 11, 22);

    fn range(text: &str) -> (String, String) {
        let range = DateRange::parse(text, SUNDAY).unwrap();
        (range.from.to_string(), range.to.to_string())
    }

    #[test]
    fn words_resolve_around_today() {
        for (text, from, to) in [
            ("today", "2026-11-22", "2026-11-22"),
            ("Tomorrow", "2026-11-23", "2026-11-23"),
            ("this week", "2026-11-16", "2026-11-22"),
            ("next week", "2026-11-23", "2026-11-29"),
            ("last month", "2026-10-01", "2026-10-31"),
            ("next 7 days", "2026-11-22", "2026-11-28"),
            ("last 30 days", "2026-10-24", "2026-11-22"),
            ("friday", "2026-11-27", "2026-11-27"),
            ("sunday", "2026-11-22", "2026-11-22"),
            ("next sunday", "2026-11-29", "2026-11-29"),
            ("last friday", "2026-11-20", "2026-11-20"),
            ("2026-02", "2026-02-01", "2026-02-28"),
            ("11/3/2026", "2026-11-03", "2026-11-03"),
            ("2025", "2025-01-01", "2025-12-31"),
            ("2026-11-01..2026-11-15", "2026-11-01", "2026-11-15"),
            ("yesterday to tomorrow", "2026-11-21", "2026-11-23"),
            ("2026-11-01..today", "2026-11-01", "2026-11-22"),
            ("2026-11-22T09:00:00+00:00", "2026-11-22", "2026-11-22"),
        ] {
            assert_eq!(range(text), (from.to_owned(), to.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_date_is_refused_with_examples() {
        for text in [
            "",
            "soon",
            "2026-13-01",
            "2026-02-30",
            "last -3 days",
            "next 99999 days",
            "13/22/2026",
            "+1/1/2026",
            "1/1/-026",
            "2026-11-22 2026-11-25",
            "2026-11-22 or later",
        ] {
            let error = DateRange::parse(text, SUNDAY).unwrap_err().to_string();
            assert!(
                error.contains("2026-11-22") || error.contains("earlier day first"),
                "{text}: {error}"
            );
        }
        assert!(DateRange::parse("tomorrow..yesterday", SUNDAY).is_err());
        assert!(parse_day("this week", SUNDAY).is_err());
    }

    #[test]
    fn service_fusions_broken_dates_mean_not_set() {
        for text in [
            "-0001-11-30T00:00:00+00:00",
            "0000-00-00",
            "1970-01-01T00:00:00+00:00",
            "",
            "x",
            "ñ2026-11-2",
        ] {
            assert_eq!(lenient_date(text), None, "{text}");
        }
        assert_eq!(
            lenient_date("2014-09-08T20:42:04+00:00"),
            Some(date(2014, 9, 8))
        );
    }

    #[test]
    fn times_of_day_are_understood() {
        for (text, hour, minute) in [
            ("14:00", 14, 0),
            ("2 pm", 14, 0),
            ("2:30PM", 14, 30),
            ("12 am", 0, 0),
            ("noon", 12, 0),
            ("9", 9, 0),
            ("2 o'clock", 14, 0),
            ("9 o'clock p.m.", 21, 0),
            ("10:30 A.M.", 10, 30),
            ("14:00:00", 14, 0),
        ] {
            assert_eq!(
                parse_time(text).unwrap(),
                Time::constant(hour, minute, 0, 0),
                "{text}"
            );
        }
        for text in [
            "25:00",
            "13 pm",
            "two",
            "",
            "9:00-11:00",
            "9:00 to 5:00 pm",
            "2:30p",
            "2:3",
            "9.5",
            "1 0",
            "+9",
            "14:00+00:00",
            "14:00:00:00",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_read_in_the_companys_zone() {
        let zone = TimeZone::get("America/Chicago").unwrap();
        let clock = Clock::new(zone, Some("2026-11-22T18:00:00Z".parse().unwrap()));
        let at = |text: &str| parse_moment(text, &clock).map(filter_moment).unwrap();
        assert_eq!(at("2026-11-22"), "2026-11-22T06:00:00+00:00");
        assert_eq!(at("2026-11-22T08:30"), "2026-11-22T14:30:00+00:00");
        assert_eq!(at("2026-11-22T08:30:00Z"), "2026-11-22T08:30:00+00:00");
        assert!(at("2 hours ago").starts_with("2026-11-22T16:00"));
        for text in [
            "whenever",
            "-002026-11-22T08:00:00Z",
            "100000 months ago",
            "2 hours and 30 minutes ago",
        ] {
            assert!(parse_moment(text, &clock).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_a_client_sends_panics(text in any::<String>()) {
            let _ = DateRange::parse(&text, SUNDAY);
            let _ = lenient_date(&text);
            let _ = lenient_time(&text);
            let _ = parse_time(&text);
        }

        #[test]
        fn a_range_never_ends_before_it_starts(from in 1..3000i64, length in 0..400i64) {
            let start = date(2020, 1, 1).checked_add(from.days()).unwrap();
            let end = start.checked_add(length.days()).unwrap();
            let range = DateRange::parse(&format!("{start}..{end}"), SUNDAY).unwrap();
            prop_assert_eq!(range.days(), length + 1);
        }
    }
}

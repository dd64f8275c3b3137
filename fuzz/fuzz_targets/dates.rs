//! Days, ranges, times of day and moments as tools take them. What is understood has a plain spelling that means the
//! same, whatever today is.

#![no_main]

use jiff::{civil::date, tz::TimeZone};
use libfuzzer_sys::fuzz_target;
use sf_mcp::{
    clock::Clock,
    dates::{self, DateRange},
};

fuzz_target!(|text: &str| {
    let today = date(2026, 11, 22);
    if let Ok(range) = DateRange::parse(text, today) {
        assert!(range.from <= range.to && range.days() >= 1);
        assert!(range.contains(range.from) && range.contains(range.to));
        let plain = format!("{}..{}", range.from, range.to);
        // Another day's `today` changes nothing about what is written out.
        let again = DateRange::parse(&plain, date(2031, 2, 28));
        assert_eq!(again, Ok(range), "{plain}");
        assert_eq!(
            dates::parse_day(text, today).is_ok(),
            range.from == range.to
        );
    }
    if let Ok(time) = dates::parse_time(text) {
        let plain = time.strftime("%H:%M").to_string();
        assert_eq!(dates::parse_time(&plain), Ok(time), "{plain}");
        assert_eq!(dates::lenient_time(&plain), Some(time));
        is_all_said(text);
    }
    if let Some(day) = dates::lenient_date(text) {
        assert!(day.year() > 1970 && text.contains(&day.to_string()));
    }
    let clock = Clock::new(
        TimeZone::fixed(jiff::tz::offset(-6)),
        Some("2026-11-22T18:00:00Z".parse().unwrap()),
    );
    if let Ok(moment) = dates::parse_moment(text, &clock) {
        let plain = dates::filter_moment(moment);
        let again = dates::parse_moment(&plain, &clock).map(dates::filter_moment);
        assert_eq!(again.as_ref(), Ok(&plain));
    }
});

/// A time of day is all that the text says: nothing of it, such as a second time, was passed over.
fn is_all_said(text: &str) {
    let text = text.trim().to_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ':');
    let (clock, word) = text.split_at(end.unwrap_or(text.len()));
    assert!(
        clock.len() <= 8 && clock.matches(':').count() <= 2,
        "{text}"
    );
    let word: String = word
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '.')
        .collect();
    let words = [
        "",
        "am",
        "pm",
        "o'clock",
        "o'clockam",
        "o'clockpm",
        "noon",
        "midday",
        "midnight",
    ];
    assert!(words.contains(&word.as_str()), "{text}");
}

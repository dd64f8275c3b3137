//! Events that machines of a company report, as JSON, and the same text as the cells of a sheet and the days of a report.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sf_supervisor::usage::{
    csv,
    event::{AHEAD, OLDEST, STATUSES, judge},
    period::Period,
};

const NOW: i64 = 1_800_000_000_000;

fuzz_target!(|text: &str| {
    if let Ok(sent) = serde_json::from_str::<Value>(text) {
        event(&sent);
    }
    let cells: Vec<&str> = text.split('\u{1f}').collect();
    is_a_sheet(&cells);
    let (from, to) = text.split_once('\n').unwrap_or((text, ""));
    for by_hour in [false, true] {
        let to = Some(to).filter(|to| !to.is_empty());
        if let Ok(period) = Period::new(Some(from), to, by_hour, NOW) {
            assert!(period.from <= period.to && period.from.to_string() == from);
        }
    }
});

/// What is kept has room for nothing that names a customer.
fn event(sent: &Value) {
    let Ok(event) = judge(sent, NOW) else {
        return;
    };
    assert_eq!(sent["id"], event.id);
    assert!((NOW - OLDEST..=NOW + AHEAD).contains(&event.at));
    assert!(STATUSES.contains(&event.status));
    assert!((0..=86_400_000).contains(&event.duration_ms) && (0..=1 << 30).contains(&event.bytes));
    let plain = |text: &str, most: usize, more: &str| {
        text.len() <= most
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    assert!(plain(&event.id, 64, "-_") && plain(event.tool, 64, "_"));
    assert!(plain(&event.endpoint, 100, " /{}-_") && plain(&event.client, 64, " ._-/()+"));
    let digits = event.endpoint.chars().filter(char::is_ascii_digit).count();
    assert_eq!(digits, event.endpoint.matches("/v1").count());
    assert!(plain(&event.era, 10, "-"));
    let again = serde_json::json!({
        "id": event.id, "at": event.at, "tool": event.tool, "endpoint": event.endpoint, "status": event.status,
        "duration_ms": event.duration_ms, "bytes": event.bytes, "client": event.client, "era": event.era,
    });
    assert_eq!(judge(&again, NOW), Ok(event));
}

/// A reader of the sheet finds these cells, none of which a spreadsheet would run.
fn is_a_sheet(cells: &[&str]) {
    let line = csv::line(cells.iter().copied());
    let read = read(line.strip_suffix("\r\n").expect("a line"));
    assert_eq!(read.len(), cells.len());
    for (read, cell) in read.iter().zip(cells) {
        assert!(
            !read.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']),
            "{read:?}"
        );
        assert_eq!(
            read.strip_prefix('\'')
                .filter(|rest| rest == cell)
                .unwrap_or(read),
            *cell
        );
    }
}

/// RFC 4180, one record.
fn read(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let cell = cells.last_mut().unwrap();
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            '\r' | '\n' if !quoted => panic!("a second line in {line:?}"),
            c => cell.push(c),
        }
    }
    assert!(!quoted, "{line:?}");
    cells
}

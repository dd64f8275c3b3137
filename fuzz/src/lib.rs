//! What several targets need. A target's input is text that a person can read and write: seeds are made by hand.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use sf_mcp::{
    auth::session::Session,
    clock::Clock,
    config::Toolset,
    server::call::Company,
    service_fusion::{
        budget::{Budget, ledger::Ledger},
        client::Client,
        journal::Journal,
        reference::Reference,
    },
    usage::Usage,
};
use tokio::runtime::{Builder, Runtime};

/// The lines before the first empty one, and what stands after it.
pub fn head_and_body(input: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut rest = input;
    let mut head = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    (head, rest)
}

/// Lines `name: value` as headers. What can be no header is left out, as a server would have refused it before.
pub fn headers(lines: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.iter().take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// Reads JSON that must stand on one line, whatever ends lines for a reader.
pub fn value(line: &[u8]) -> Value {
    assert!(
        !line.contains(&b'\n') && !line.contains(&b'\r'),
        "one line: {}",
        String::from_utf8_lossy(line)
    );
    serde_json::from_slice(line).expect("JSON")
}

/// Characters that turn the direction of writing (Unicode's `Bidi_Control`), or that are not seen.
pub fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(
            c,
            '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{feff}'
        )
        || matches!(
            c,
            '\u{180e}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{e0000}'
                ..='\u{e007f}'
        )
}

/// All tools there are.
pub const TOOLSETS: [Toolset; 3] = [Toolset::Core, Toolset::Dispatch, Toolset::Extra];

/// A company that nobody is signed in to: calls end before anything is sent.
pub fn company() -> Company {
    let session = Session::new("https://api.servicefusion.com".to_owned(), None, None);
    let budget = Budget::new(Ledger::memory(), Duration::from_mins(1));
    Company {
        usage: Usage::new(session.clone(), None, Duration::from_mins(1)),
        client: Arc::new(Client::new(session, budget)),
        reference: Reference::default(),
        journal: Journal::new(None),
        clock: Clock::new(TimeZone::UTC, Some(Timestamp::UNIX_EPOCH)),
        max_answer: 24_000,
        timeout: Duration::from_secs(30),
        profile: "default".to_owned(),
        demo: false,
        hosted: false,
    }
}

/// Runs one thing to its end. The clock of timers moves when there is nothing else to do.
pub fn wait_for<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(work))
}

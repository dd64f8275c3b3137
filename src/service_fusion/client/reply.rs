//! What an HTTP answer of Service Fusion means, where it is not simply a record.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::{
    auth::oauth::without_address,
    service_fusion::{
        budget::{RateHeaders, reset_ms},
        client::Failure,
        error::{Error, FieldError},
    },
};

/// Whatever an answer asks for, nobody waits longer before the next attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(90);

/// An answer larger than this is refused rather than held in memory.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

pub(super) fn unreadable(creating: bool, path: &str, body: &[u8]) -> Failure {
    let reason = match body.trim_ascii() {
        [] => "an empty answer",
        [b'<', ..] => "a web page instead of data",
        _ => "broken JSON",
    };
    if creating {
        return Failure::Final(Error::UnknownOutcome {
            reason: reason.to_owned(),
        });
    }
    Failure::Again(
        Error::Malformed {
            path: path.split('?').next().unwrap_or_default().to_owned(),
            reason: reason.to_owned(),
        },
        None,
    )
}

pub(super) fn upstream(status: u16, body: Option<&Value>) -> Error {
    let message = body
        .and_then(|body| body.get("message"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    Error::Upstream {
        status,
        message: clean(message),
    }
}

/// Upstream words for people: one line, no control characters, not long.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The only place that says which field is wrong, so it is passed on.
pub(super) fn field_errors(body: Option<&Value>) -> Vec<FieldError> {
    let text = |entry: &Value, name: &str| {
        entry
            .get(name)
            .and_then(Value::as_str)
            .map(clean)
            .unwrap_or_default()
    };
    match body {
        Some(Value::Array(entries)) => entries
            .iter()
            .take(20)
            .map(|entry| FieldError {
                field: text(entry, "field"),
                message: text(entry, "message"),
            })
            .collect(),
        Some(body) => vec![FieldError {
            field: "record".to_owned(),
            message: text(body, "message"),
        }],
        None => vec![FieldError {
            field: "record".to_owned(),
            message: "no reason was given".to_owned(),
        }],
    }
}

pub(super) async fn read_body(mut response: Response) -> Result<Vec<u8>, String> {
    let expected = response.content_length().unwrap_or(0);
    let mut body = Vec::with_capacity(usize::try_from(expected).unwrap_or(0).min(LARGEST_BODY));
    while let Some(chunk) = response.chunk().await.map_err(without_address)? {
        if body.len() + chunk.len() > LARGEST_BODY {
            return Err("the answer is larger than 32 MB".to_owned());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn header_number(response: &Response, name: &str) -> Option<u64> {
    response
        .headers()
        .get(name)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

pub(super) fn rate_headers(response: &Response) -> RateHeaders {
    let small = |name| header_number(response, name).and_then(|number| u32::try_from(number).ok());
    RateHeaders {
        limit: small("x-rate-limit-limit"),
        remaining: small("x-rate-limit-remaining"),
        reset: header_number(response, "x-rate-limit-reset"),
    }
}

/// `Retry-After` is not documented but read where it comes; else the window's reset.
pub(super) fn retry_wait(response: &Response) -> Option<Duration> {
    if let Some(seconds) = header_number(response, "retry-after") {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let reset = header_number(response, "x-rate-limit-reset")?;
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    Some(Duration::from_millis(reset_ms(reset, now).saturating_sub(now).max(250)).min(LONGEST_WAIT))
}

//! What a call's event may say. Every field has a narrow shape, so that no customer's name fits in.

use serde::Deserialize;
use serde_json::Value;
use sf_mcp::tools::listed::listed;

use crate::store::{OTHER, UsageEvent};

/// How far a sender's clock may be ahead, in ms.
pub const AHEAD: i64 = 60 * 60 * 1000;
/// How old an event may be, in ms: a machine that was away longer reports no more.
pub const OLDEST: i64 = 35 * 24 * 60 * 60 * 1000;
/// Longest call and largest answer that are counted in full; more counts as this.
const LONGEST: u64 = 24 * 60 * 60 * 1000;
const LARGEST: u64 = 1 << 30;

/// How a call ended.
pub const STATUSES: [&str; 8] = [
    "ok",
    "refused",
    "rate_limited",
    "signed_out",
    "unreachable",
    "timeout",
    "cancelled",
    "error",
];

#[derive(Deserialize)]
struct Sent {
    id: String,
    at: At,
    tool: String,
    #[serde(default)]
    endpoint: String,
    status: String,
    #[serde(default)]
    duration_ms: u64,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    client: Option<String>,
    #[serde(default)]
    era: Option<String>,
}

/// RFC 3339 or Unix ms.
#[derive(Deserialize)]
#[serde(untagged)]
enum At {
    Milliseconds(i64),
    Text(String),
}

/// The event as it is kept, or why it is not. The reason names the field and repeats nothing of it.
pub fn judge(sent: &Value, now: i64) -> Result<UsageEvent, &'static str> {
    let sent = Sent::deserialize(sent).map_err(|_| {
        "an event needs id, at (RFC 3339 or Unix ms), tool and status, and whole numbers that are not negative"
    })?;
    let at = match &sent.at {
        At::Milliseconds(at) => *at,
        At::Text(text) => text
            .parse::<jiff::Timestamp>()
            .map_err(|_| "at is neither RFC 3339 nor Unix ms")?
            .as_millisecond(),
    };
    let (client, era) = (
        sent.client.unwrap_or_default(),
        sent.era.unwrap_or_default(),
    );
    let status = (STATUSES.iter()).find(|status| **status == sent.status);
    let rules = [
        (
            is_id(&sent.id),
            "id must be 1 to 64 letters, digits, - or _",
        ),
        (at <= now.saturating_add(AHEAD), "at is in the future"),
        (
            at >= now.saturating_sub(OLDEST),
            "at is more than 35 days ago",
        ),
        (
            is_tool(&sent.tool),
            "tool must be 1 to 64 lower-case letters or _",
        ),
        (status.is_some(), "status is none of the known ones"),
        (
            is_endpoint(&sent.endpoint),
            "endpoint must be like `GET /v1/jobs/{id}`",
        ),
        (
            is_client(&client),
            "client must be at most 64 letters, digits, spaces or ._-/()+",
        ),
        (is_era(&era), "era must be a date, such as 2025-11-25"),
    ];
    if let Some((_, why)) = rules.iter().find(|(holds, _)| !holds) {
        return Err(why);
    }
    Ok(UsageEvent {
        id: sent.id,
        at,
        tool: known_tool(&sent.tool),
        endpoint: sent.endpoint,
        status: status.copied().unwrap_or_default(),
        duration_ms: i64::try_from(sent.duration_ms.min(LONGEST)).unwrap_or_default(),
        bytes: i64::try_from(sent.bytes.min(LARGEST)).unwrap_or_default(),
        client,
        era: era.into(),
    })
}

/// Whether a text may be an event's id.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
}

fn is_tool(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_lowercase() || c == b'_')
}

/// What sf-mcp has no tool of that name for counts as one: sums must not grow by whatever somebody sends.
pub fn known_tool(name: &str) -> &'static str {
    let tool = listed().iter().find(|tool| tool.name == name);
    tool.map_or(OTHER, |tool| &tool.name)
}

/// A method and a path of fixed words and placeholders: a number or a name in it would be somebody's record.
pub fn is_endpoint(text: &str) -> bool {
    let word = |part: &str| {
        part.bytes()
            .all(|c| c.is_ascii_lowercase() || c == b'-' || c == b'_')
    };
    let part = |part: &str| {
        let inner = part
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        !part.is_empty() && (part == "v1" || word(inner.unwrap_or(part)))
    };
    let Some((method, path)) = text.split_once(" /") else {
        return text.is_empty();
    };
    text.len() <= 100
        && (3..=7).contains(&method.len())
        && method.bytes().all(|c| c.is_ascii_uppercase())
        && path.split('/').all(part)
}

fn is_client(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b" ._-/()+".contains(&c))
}

fn is_era(text: &str) -> bool {
    text.len() <= 10 && text.bytes().all(|c| c.is_ascii_digit() || c == b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn with(field: &str, value: Value) -> Result<UsageEvent, &'static str> {
        let mut event = json!({
            "id": "0a-Z_9", "at": NOW, "tool": "get_job", "endpoint": "GET /v1/jobs/{id}", "status": "ok",
            "duration_ms": 12, "bytes": 345, "client": "claude-ai/1.2 (mac)", "era": "2025-11-25"
        });
        event[field] = value;
        judge(&event, NOW)
    }

    #[test]
    fn an_event_is_kept_as_it_was_sent() {
        let event = with("id", json!("x")).unwrap();
        assert_eq!((event.at, event.duration_ms, event.bytes), (NOW, 12, 345));
        assert_eq!(event.endpoint, "GET /v1/jobs/{id}");
        let event = with("at", json!("2027-01-15T08:00:00+00:00")).unwrap();
        assert_eq!(event.at, NOW);
        let short = json!({"id": "a", "at": NOW, "tool": "t", "status": "ok"});
        assert_eq!(judge(&short, NOW).unwrap().client, "");
    }

    #[test]
    fn what_could_name_a_customer_is_refused() {
        for (field, value) in [
            ("id", json!("")),
            ("id", json!("a b")),
            ("id", json!("a".repeat(65))),
            ("id", json!(7)),
            ("tool", json!("get_job Ann Smith")),
            ("tool", json!("")),
            ("status", json!("paid by Ann")),
            ("endpoint", json!("GET /v1/jobs/1234")),
            ("endpoint", json!("GET /v1/customers?name=Ann")),
            ("endpoint", json!("/v1/jobs")),
            ("endpoint", json!("GET /v1//jobs")),
            ("client", json!("a@b")),
            ("client", json!("é")),
            ("era", json!("latest")),
            ("duration_ms", json!(-1)),
            ("bytes", json!("many")),
            ("at", json!(NOW + AHEAD + 1)),
            ("at", json!(NOW - OLDEST - 1)),
            ("at", json!(i64::MIN)),
            ("at", json!("yesterday")),
            ("at", json!(null)),
        ] {
            assert!(with(field, value.clone()).is_err(), "{field}: {value}");
        }
        assert!(judge(&json!("text"), NOW).is_err());
    }

    #[test]
    fn a_tool_that_is_none_counts_as_other() {
        assert_eq!(with("tool", json!("get_job")).unwrap().tool, "get_job");
        assert_eq!(with("tool", json!("get_rich")).unwrap().tool, "other");
    }

    #[test]
    fn absurd_figures_count_as_the_most() {
        assert_eq!(with("bytes", json!(u64::MAX)).unwrap().bytes, 1 << 30);
        assert_eq!(
            with("duration_ms", json!(u64::MAX)).unwrap().duration_ms,
            86_400_000
        );
    }
}

//! Faults a test asks for: which request they strike and what goes wrong.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use serde::Deserialize;
use serde_json::json;

use crate::sandbox::payload::{self, Answer};

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Fault {
    #[serde(default, rename = "match")]
    target: Target,
    #[serde(default = "once")]
    times: u32,
    #[serde(flatten)]
    kind: FaultKind,
}

fn once() -> u32 {
    1
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    method: Option<String>,
    path_contains: Option<String>,
    grant: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum FaultKind {
    Latency {
        ms: u64,
    },
    Status {
        status: u16,
        #[serde(default)]
        html: bool,
        retry_after: Option<u64>,
    },
    DropBefore,
    DropAfter,
    Truncate,
    Malformed,
    Empty,
    Html,
    ExpireTokens,
    Hang,
}

impl FaultKind {
    /// An answer that stands in for handling the request.
    pub(crate) fn instead(&self) -> Option<Answer> {
        match self {
            Self::Status {
                status,
                html,
                retry_after,
            } => Some(status_answer(*status, *html, *retry_after)),
            Self::Html => Some(payload::error_page(StatusCode::OK)),
            _ => None,
        }
    }

    /// What is left of the answer to a request that was handled; none closes the connection.
    pub(crate) fn spoil(&self, answer: Answer) -> Option<Answer> {
        match self {
            Self::DropAfter => None,
            Self::Truncate => Some(answer.map(payload::Payload::truncated)),
            Self::Malformed => Some(payload::json_bytes(
                StatusCode::OK,
                b"{\"items\": [{\"id\": 1,".to_vec(),
            )),
            Self::Empty => Some(payload::json_bytes(StatusCode::OK, Vec::new())),
            _ => Some(answer),
        }
    }
}

fn status_answer(status: u16, is_html: bool, retry_after: Option<u64>) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let name = status.canonical_reason().unwrap_or("Error");
    let body = json!({"code": status.as_u16(), "name": format!("{name}."), "message": "Simulated by the sandbox."});
    let mut answer = if is_html {
        payload::error_page(status)
    } else {
        payload::json(status, &body)
    };
    if let Some(seconds) = retry_after {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

#[derive(Debug, Default)]
pub(crate) struct Struck {
    pub(crate) latency: Option<Duration>,
    pub(crate) kind: Option<FaultKind>,
}

impl Faults {
    pub(crate) fn add(&self, faults: Vec<Fault>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(faults);
    }

    pub(crate) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Spends the first matching latency and the first other matching fault.
    pub(crate) fn strike(&self, method: &str, path: &str, grant: Option<&str>) -> Struck {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut struck = Struck::default();
        for fault in faults
            .iter_mut()
            .filter(|fault| fault.times > 0 && fault.target.hits(method, path, grant))
        {
            match fault.kind {
                FaultKind::Latency { ms } if struck.latency.is_none() => {
                    struck.latency = Some(Duration::from_millis(ms));
                }
                FaultKind::Latency { .. } => continue,
                _ if struck.kind.is_none() => struck.kind = Some(fault.kind.clone()),
                _ => continue,
            }
            fault.times -= 1;
        }
        faults.retain(|fault| fault.times > 0);
        struck
    }
}

impl Target {
    fn hits(&self, method: &str, path: &str, grant: Option<&str>) -> bool {
        self.method
            .as_deref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self
                .path_contains
                .as_deref()
                .is_none_or(|part| path.contains(part))
            && self
                .grant
                .as_deref()
                .is_none_or(|wanted| grant == Some(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_what_it_matches_as_often_as_asked() {
        let faults = Faults::default();
        faults.add(
            serde_json::from_value(json!([
                {"match": {"method": "GET", "path_contains": "/jobs"}, "times": 2, "kind": "status", "status": 503},
                {"kind": "latency", "ms": 5},
            ]))
            .unwrap(),
        );

        assert_eq!(faults.strike("POST", "/v1/jobs", None).kind, None);
        assert!(faults.strike("GET", "/v1/jobs", None).kind.is_some());
        assert!(faults.strike("GET", "/v1/jobs/1", None).kind.is_some());
        assert!(faults.strike("GET", "/v1/jobs", None).kind.is_none());
    }

    #[test]
    fn a_latency_adds_to_another_fault() {
        let faults = Faults::default();
        let both = json!([{"kind": "latency", "ms": 5}, {"match": {"grant": "refresh_token"}, "kind": "drop_after"}]);
        faults.add(serde_json::from_value(both).unwrap());

        let struck = faults.strike("POST", "/oauth/access_token", Some("refresh_token"));

        assert_eq!(struck.latency, Some(Duration::from_millis(5)));
        assert_eq!(struck.kind, Some(FaultKind::DropAfter));
    }
}

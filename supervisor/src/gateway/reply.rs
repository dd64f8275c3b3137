//! Answers to clients: one JSON object, or a stream of events when the child speaks before it answers.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::json;
use sf_mcp::{server::endpoint, usage::Status as Outcome};
use tokio::time::Instant;

use crate::{
    child::{Answer, Call, Note, Said},
    gateway::{
        envelope::{Object, write_raw, write_string},
        era::{Refusal, code},
        legacy,
    },
};

/// What an answer's id stands after.
const BEGIN: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
/// Proxies on the way close what is silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Room for the headers of an answer and of most requests: a connection keeps them for the next request.
const HEADERS: usize = 12;

/// What is needed to turn the child's words into the client's.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// The client's id, as it wrote it.
    pub(super) id: String,
    /// The client's progress token, as it wrote it.
    pub(super) progress: Option<String>,
    pub(super) is_modern: bool,
    pub(super) deadline: Instant,
    pub(super) limit: Duration,
}

/// How an exchange ended, for its usage event.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) status: StatusCode,
    pub(super) bytes: usize,
    pub(super) outcome: Outcome,
    /// What the child says it asked Service Fusion for; may be empty.
    pub(super) endpoint: String,
}

impl Exchange {
    /// The child's answer as a message of one line, and the endpoint that it says beside it to this service alone.
    pub(super) fn message(&self, answer: &Answer) -> (Vec<u8>, String) {
        let (name, raw) = match answer {
            Answer::Result(raw) => ("result", raw),
            Answer::Error(raw) => ("error", raw),
        };
        let mut line = Vec::with_capacity(raw.len() + self.id.len() + 40);
        line.extend_from_slice(BEGIN);
        write_raw(&mut line, self.id.as_bytes());
        line.push(b',');
        write_string(&mut line, name);
        line.push(b':');
        let endpoint = if let Some((before, endpoint)) = endpoint::taken_out(raw) {
            write_raw(&mut line, before);
            line.push(b'}');
            endpoint.to_owned()
        } else {
            write_raw(&mut line, raw);
            String::new()
        };
        line.push(b'}');
        (line, endpoint)
    }

    /// The HTTP status of an answer: the newest revision says some errors with it too.
    fn status(&self, answer: &Answer) -> StatusCode {
        let Answer::Error(raw) = answer else {
            return StatusCode::OK;
        };
        match legacy::error_code(raw) {
            Some(code::METHOD_NOT_FOUND) if self.is_modern => StatusCode::NOT_FOUND,
            Some(
                code::PARSE
                | code::INVALID_REQUEST
                | code::HEADER_MISMATCH
                | code::UNSUPPORTED_VERSION
                | -32021,
            ) if self.is_modern => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        }
    }

    /// One JSON object, written at once.
    pub(super) fn json(&self, answer: &Answer) -> (Response, Ended) {
        let (line, endpoint) = self.message(answer);
        let ended = Ended {
            status: self.status(answer),
            bytes: line.len(),
            outcome: outcome(answer),
            endpoint,
        };
        (json_response(ended.status, line), ended)
    }

    /// A message about a call that will have no answer of the child.
    pub(super) fn failure(&self, problem: &Failure) -> Answer {
        let error = json!({
            "code": code::INTERNAL,
            "message": problem.words(self.limit),
            "data": {"reason": problem.reason(), "retry": problem.retry()},
        });
        Answer::Error(error.to_string().into())
    }

    /// A notification with the client's own progress token or id in the place of the child's.
    pub(super) fn note(&self, note: &Note) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(&note.params).ok()?;
        let mut params = Object::parse(text).ok()?;
        let subscription = params.get("_meta").and_then(|raw| {
            let mut meta = Object::parse(raw).ok()?;
            meta.get(SUBSCRIPTION)?;
            meta.set(SUBSCRIPTION, self.id.as_str());
            Some(meta.to_text())
        });
        if let Some(meta) = subscription {
            params.set("_meta", meta);
        }
        if params.get("progressToken").is_some() {
            params.set("progressToken", self.progress.as_deref()?);
        }
        let mut line = b"{\"jsonrpc\":\"2.0\",\"method\":".to_vec();
        write_string(&mut line, &note.method);
        line.extend_from_slice(b",\"params\":");
        params.write(&mut line);
        line.push(b'}');
        Some(line)
    }

    /// What the child says next, or in its place why it says no more.
    pub(super) async fn said(&self, call: &mut Call) -> Said {
        match tokio::time::timeout_at(self.deadline, call.said()).await {
            Ok(Ok(said)) => said,
            Ok(Err(_)) => Said::Answer(self.failure(&Failure::Ended)),
            Err(_) => {
                call.is_late();
                Said::Answer(self.failure(&Failure::Late))
            }
        }
    }

    /// Events as they come, the answer last. Whoever drops the stream drops the call.
    pub(super) fn stream(
        self,
        first: &Note,
        call: Call,
        on_end: impl FnOnce(Ended) + Send + 'static,
    ) -> Response {
        let first = self.note(first).map(|line| event(&line));
        let state = Streaming {
            exchange: self,
            call,
            bytes: 0,
            on_end: Some(on_end),
        };
        let events = futures_util::stream::unfold(Some(state), async |state| {
            let mut state = state?;
            let (event, is_last) = state.next().await;
            Some((Ok::<_, Infallible>(event), (!is_last).then_some(state)))
        });
        let first = futures_util::stream::iter(first.map(Ok));
        let mut response = Response::new(Body::from_stream(futures_util::StreamExt::chain(
            first, events,
        )));
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

/// Why there is no answer, for programs.
const LATE: &str = "timeout";
const ABSENT: &str = "unavailable";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

struct Streaming<F: FnOnce(Ended)> {
    exchange: Exchange,
    call: Call,
    bytes: usize,
    on_end: Option<F>,
}

impl<F: FnOnce(Ended)> Streaming<F> {
    /// The next event, and whether it is the last.
    async fn next(&mut self) -> (Bytes, bool) {
        loop {
            let pause = Instant::now() + KEEP_ALIVE;
            let said = if pause < self.exchange.deadline {
                let said = self.exchange.said(&mut self.call);
                match tokio::time::timeout_at(pause, said).await {
                    Ok(said) => said,
                    Err(_) => return (Bytes::from_static(b":\n\n"), false),
                }
            } else {
                self.exchange.said(&mut self.call).await
            };
            let answer = match said {
                Said::Answer(answer) => answer,
                Said::Note(note) => match self.exchange.note(&note) {
                    Some(line) => return (self.counted(event(&line)), false),
                    None => continue,
                },
            };
            let (line, endpoint) = self.exchange.message(&answer);
            let event = self.counted(event(&line));
            if let Some(on_end) = self.on_end.take() {
                on_end(Ended {
                    status: StatusCode::OK,
                    bytes: self.bytes,
                    outcome: outcome(&answer),
                    endpoint,
                });
            }
            return (event, true);
        }
    }

    fn counted(&mut self, event: Bytes) -> Bytes {
        self.bytes += event.len();
        event
    }
}

/// Why the child gives no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Ended,
    Late,
    NoChild(String),
}

impl Failure {
    fn words(&self, limit: Duration) -> String {
        match self {
            Self::Ended => "The connector of this company stopped before it answered. Reading again is safe; before you \
                            create something again, search whether it exists."
                .to_owned(),
            Self::Late => format!(
                "There was no answer within {} s and the call was cancelled. Ask for less at once; before you create \
                 something again, search whether it exists.",
                limit.as_secs()
            ),
            Self::NoChild(problem) => format!("{problem}. Nothing was sent to Service Fusion; try again in a moment."),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Late => LATE,
            Self::NoChild(_) => ABSENT,
        }
    }

    fn retry(&self) -> &'static str {
        match self {
            Self::NoChild(_) => "safe",
            _ => "reads only",
        }
    }
}

/// How the usage event calls an answer.
fn outcome(answer: &Answer) -> Outcome {
    match answer {
        Answer::Error(raw) => refusal(raw),
        Answer::Result(raw) if ends_well(raw) => Outcome::Ok,
        // The child writes compact JSON; in a text the quotes would be escaped.
        Answer::Result(raw) if !contains(raw, br#""isError":true"#) => Outcome::Ok,
        Answer::Result(raw) => failed(raw),
    }
}

/// Whether a tool's result says at its end, as most do, that it is no error.
fn ends_well(raw: &[u8]) -> bool {
    let before = endpoint::taken_out(raw).map(|(before, _)| before);
    let before = before.or_else(|| raw.strip_suffix(b"}"));
    before.is_some_and(|before| before.ends_with(br#","isError":false"#))
}

/// An error of the protocol, or of ours.
fn refusal(raw: &[u8]) -> Outcome {
    #[derive(serde::Deserialize)]
    struct Error {
        code: i64,
        data: Option<serde_json::Value>,
    }
    let Ok(error) = serde_json::from_slice::<Error>(raw) else {
        return Outcome::Error;
    };
    let reason = error.data.as_ref().and_then(|data| data["reason"].as_str());
    match (error.code, reason) {
        (code::INTERNAL, Some(LATE)) => Outcome::Timeout,
        (code::INTERNAL, Some(ABSENT)) => Outcome::Unreachable,
        (code::INTERNAL, _) => Outcome::Error,
        _ => Outcome::Refused,
    }
}

/// A tool's result that says it is an error, by the error's stable word.
fn failed(raw: &[u8]) -> Outcome {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Result {
        #[serde(default)]
        is_error: bool,
        structured_content: Option<Structured>,
    }
    #[derive(serde::Deserialize)]
    struct Structured {
        code: Option<String>,
    }
    match serde_json::from_slice::<Result>(raw) {
        Ok(result) if !result.is_error => Outcome::Ok,
        Ok(result) => {
            let code = result.structured_content.and_then(|content| content.code);
            code.map_or(Outcome::Error, |code| Outcome::of(&code))
        }
        Err(_) => Outcome::Error,
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(text, word).is_some()
}

pub(super) fn event(line: &[u8]) -> Bytes {
    let mut event = b"data: ".to_vec();
    event.extend_from_slice(line);
    event.extend_from_slice(b"\n\n");
    event.into()
}

/// A refusal that needs no child.
pub(super) fn refused(refusal: &Refusal, id: Option<&str>) -> Response {
    let mut error = json!({"code": refusal.code, "message": refusal.message});
    if let Some(data) = &refusal.data {
        error["data"] = data.clone();
    }
    let mut line = BEGIN.to_vec();
    write_raw(&mut line, id.unwrap_or("null").as_bytes());
    line.extend_from_slice(b",\"error\":");
    line.extend_from_slice(error.to_string().as_bytes());
    line.push(b'}');
    json_response(refusal.status, line)
}

pub(super) fn json_response(status: StatusCode, line: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(line));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line_whatever_stands_between_its_values() {
        let exchange = Exchange {
            id: "\"a\"".to_owned(),
            progress: None,
            is_modern: true,
            deadline: Instant::now(),
            limit: Duration::ZERO,
        };
        for (raw, said) in [
            (
                "{\"a\":\r1,\r\"b\":[2]}",
                r#"{"jsonrpc":"2.0","id":"a","result":{"a": 1, "b":[2]}}"#,
            ),
            (
                "{\"a\":\r1,\"_meta\":{\"com.servicefusion-mcp/endpoint\":\"GET /v1/jobs\"}}",
                r#"{"jsonrpc":"2.0","id":"a","result":{"a": 1}}"#,
            ),
        ] {
            let (line, _) = exchange.message(&Answer::Result(raw.as_bytes().into()));
            assert_eq!(String::from_utf8(line).unwrap(), said);
        }
    }
}

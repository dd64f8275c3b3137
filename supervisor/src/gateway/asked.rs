//! What a client asks: for which company, in which revision, and as part of which trace.

use axum::http::{HeaderMap, HeaderName};
use sf_mcp::trace_context::{TRACEPARENT, TRACESTATE, TraceContext};

use crate::gateway::{access::Grant, envelope::Message, era::Era};

const PARENT: HeaderName = HeaderName::from_static(TRACEPARENT);
const STATE: HeaderName = HeaderName::from_static(TRACESTATE);

pub(super) struct Asked<'a> {
    pub(super) grant: Grant,
    pub(super) era: Era,
    pub(super) message: &'a Message<'a>,
    /// What the child is told of it.
    pub(super) trace: Option<TraceContext>,
}

/// What the child is told beside the message.
pub(super) struct Told<'a> {
    pub(super) version: &'a str,
    pub(super) scopes: &'a str,
    pub(super) trace: Option<&'a TraceContext>,
}

impl Asked<'_> {
    pub(super) fn told(&self) -> Told<'_> {
        Told {
            version: self.era.word(),
            scopes: &self.grant.token.scopes,
            trace: self.trace.as_ref(),
        }
    }
}

/// The trace as the message names it, which is about this call alone, or else the headers that it came with. What is
/// not valid counts as not said.
pub(super) fn trace(message: &Message<'_>, headers: &HeaderMap) -> Option<TraceContext> {
    in_message(message).or_else(|| in_headers(headers))
}

fn in_message(message: &Message<'_>) -> Option<TraceContext> {
    let meta = message.meta.as_ref()?;
    let parent = meta.text(TRACEPARENT)?;
    let state = meta.text(TRACESTATE).unwrap_or_default();
    TraceContext::parse(&parent, &state)
}

fn in_headers(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(PARENT).iter();
    let parent = parents.next()?.to_str().ok()?;
    // Two readers could take different ones.
    if parents.next().is_some() {
        return None;
    }
    let states = headers.get_all(STATE).iter();
    let states: Result<Vec<&str>, _> = states.map(|state| state.to_str()).collect();
    TraceContext::parse(parent, &states.unwrap_or_default().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const THERE: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00";

    /// `traceparent` and `tracestate` as they are found.
    fn found(meta: &str, headers: &[(&'static str, &str)]) -> (String, String) {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"_meta":{meta}}}}}"#);
        let message = Message::parse(body.as_bytes()).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trace = trace(&message, &map);
        let parent = trace.as_ref().map(TraceContext::traceparent);
        let state = trace.as_ref().and_then(TraceContext::tracestate);
        let state = state.unwrap_or_default().to_owned();
        (parent.unwrap_or_default(), state)
    }

    #[test]
    fn the_message_is_believed_before_the_headers() {
        let meta = |parent: &str| format!(r#"{{"traceparent":"{parent}","tracestate":"m=1"}}"#);
        let header = [(TRACEPARENT, THERE), (TRACESTATE, "h=1")];
        let both = |parent: &str, state: &str| (parent.to_owned(), state.to_owned());
        assert_eq!(found(&meta(HERE), &header), both(HERE, "m=1"));
        assert_eq!(found("{}", &header), both(THERE, "h=1"));
        assert_eq!(found(&meta("nonsense"), &header), both(THERE, "h=1"));
        assert_eq!(found(r#"{"traceparent":7}"#, &header), both(THERE, "h=1"));
        assert_eq!(found(&meta("nonsense"), &[]), both("", ""));
        assert_eq!(found("{}", &[]), both("", ""));
    }

    #[test]
    fn headers_that_contradict_each_other_say_nothing() {
        let twice = [(TRACEPARENT, HERE), (TRACEPARENT, THERE)];
        assert_eq!(found("{}", &twice).0, "");
        let states = [
            (TRACEPARENT, HERE),
            (TRACESTATE, "a=1"),
            (TRACESTATE, "b=2"),
        ];
        assert_eq!(found("{}", &states).1, "a=1,b=2");
        assert_eq!(found("{}", &[(TRACESTATE, "a=1")]).1, "");
    }
}

//! One span for each usage event of the hosted endpoint, where traces are sent. Names are those of OpenTelemetry's
//! conventions for MCP.
//!
//! No word of a client's gets into it: methods and tools by their own lists, ids that are ours, how it ended.

use std::borrow::Cow;

use axum::http::StatusCode;
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
        TraceId, TraceState, Tracer,
    },
};
use opentelemetry_sdk::trace::Span as Recorded;
use sf_mcp::{tools::listed::listed, trace_context::TraceContext};

use crate::{
    gateway::{asked::Asked, era},
    store::Token,
    traces::Traces,
};

/// A span that has begun. It ends when it is dropped.
pub(super) struct Span(Box<Recorded>);

impl Span {
    /// Begins below the client's own, where it named one.
    pub(super) fn begin(traces: &Traces, asked: &Asked<'_>) -> Self {
        let method = era::method(&asked.message.method);
        let tool = tool(asked);
        let name: Cow<'static, str> = match tool {
            Some(tool) => format!("{method} {tool}").into(),
            None => method.into(),
        };
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        let parent = asked.trace.as_ref().map(remote);
        let parent = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent)
        });
        let mut span = traces.tracer().build_with_context(builder, &parent);
        if span.is_recording() {
            span.set_attribute(KeyValue::new("mcp.method.name", method));
            span.set_attribute(KeyValue::new("mcp.protocol.version", asked.era.word()));
            if let Some(tool) = tool {
                span.set_attribute(KeyValue::new("gen_ai.operation.name", "execute_tool"));
                span.set_attribute(KeyValue::new("gen_ai.tool.name", tool));
            }
        }
        Self(Box::new(span))
    }

    /// What the child is told: the span is the parent of its requests. `None` once nothing is recorded any more.
    pub(super) fn context(&self) -> Option<TraceContext> {
        let span = self.0.span_context();
        TraceContext::new(
            span.trace_id().to_bytes(),
            span.span_id().to_bytes(),
            span.trace_flags().to_u8(),
            &span.trace_state().header(),
        )
    }

    /// `word` is the usage event's for how it ended.
    pub(super) fn ended(
        mut self,
        token: &Token,
        request_id: &str,
        word: &'static str,
        status: Option<StatusCode>,
    ) {
        let span = &mut self.0;
        if !span.is_recording() {
            return;
        }
        span.set_attribute(KeyValue::new(
            "sf_supervisor.tenant_id",
            token.tenant_id.clone(),
        ));
        span.set_attribute(KeyValue::new(
            "sf_supervisor.request_id",
            request_id.to_owned(),
        ));
        if let Some(status) = status {
            let status = i64::from(status.as_u16());
            span.set_attribute(KeyValue::new("http.response.status_code", status));
        }
        if word != "ok" {
            span.set_attribute(KeyValue::new("error.type", word));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// The tool that is called, if there is one of that name.
fn tool(asked: &Asked<'_>) -> Option<&'static str> {
    if asked.message.method != "tools/call" {
        return None;
    }
    let named = asked.message.params.text("name")?;
    let tool = listed().iter().find(|tool| tool.name == named);
    tool.map(|tool| tool.name.as_str())
}

fn remote(trace: &TraceContext) -> SpanContext {
    let state: Option<TraceState> = trace.tracestate().and_then(|state| state.parse().ok());
    SpanContext::new(
        TraceId::from_bytes(trace.trace_id()),
        SpanId::from_bytes(trace.parent_id()),
        TraceFlags::new(trace.flags()),
        true,
        state.unwrap_or_default(),
    )
}

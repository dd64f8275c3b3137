//! A call's trace: from its client to the company's child and to Service Fusion, and as spans to a collector.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use serde_json::{Value, json};
use sf_supervisor::{config::traces::Traces, store::Store};
use tokio::net::TcpListener;

use super::{
    ask, company, connect, modern, post,
    scripted::{Scripted, call},
};
use crate::support::{
    Around, Replica, Service,
    collector::{Collector, attributes, hexadecimal},
    sf_mcp, until,
    usage::Company,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00";

/// What the child of a scripted service is told of a trace, for a call with that `_meta` and those headers.
async fn told(service: &Service, token: &str, meta: Value, headers: &[(&str, &str)]) -> Value {
    let mut asked = call(1, "line", json!({}));
    asked["params"]["_meta"] = meta;
    let mut request = post(service, token, &asked);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let line = answer["result"]["line"].as_str().unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let meta = &line["params"]["_meta"];
    let mut told = json!({});
    for name in ["traceparent", "tracestate", "baggage"] {
        if !meta[name].is_null() {
            told[name] = meta[name].clone();
        }
    }
    told
}

#[tokio::test]
async fn the_child_is_told_the_trace_of_the_message_or_of_the_headers() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let in_header = [
        ("traceparent", OTHER),
        ("tracestate", "h=1"),
        ("baggage", "customer=Alvarez"),
    ];
    let said = json!({"traceparent": SENT, "tracestate": "m=1", "baggage": "customer=Alvarez"});
    let of_message = json!({"traceparent": SENT, "tracestate": "m=1"});
    let of_header = json!({"traceparent": OTHER, "tracestate": "h=1"});

    assert_eq!(told(service, &token, said.clone(), &[]).await, of_message);
    assert_eq!(told(service, &token, said, &in_header).await, of_message);
    assert_eq!(
        told(service, &token, json!({}), &in_header).await,
        of_header
    );
    let wrong = json!({"traceparent": "Alvarez", "tracestate": "m=1"});
    assert_eq!(told(service, &token, wrong, &in_header).await, of_header);
}

#[tokio::test]
async fn what_is_no_trace_context_does_not_reach_the_child() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let zeros = format!("00-{}-{PARENT}-01", "0".repeat(32));
    let upper = SENT.to_uppercase();
    let twice = [("traceparent", SENT), ("traceparent", OTHER)];

    for meta in [
        json!({}),
        json!({"traceparent": ""}),
        json!({"traceparent": zeros}),
        json!({"traceparent": upper}),
        json!({"traceparent": format!("{SENT}\n")}),
        json!({"traceparent": ["x"]}),
        json!({"tracestate": "m=1"}),
        json!({"baggage": "customer=Alvarez"}),
    ] {
        assert_eq!(told(service, &token, meta, &[]).await, json!({}));
    }
    for headers in [
        &[("traceparent", zeros.as_str())][..],
        &[("traceparent", "nonsense")],
        &[("tracestate", "h=1")],
        &twice,
    ] {
        assert_eq!(told(service, &token, json!({}), headers).await, json!({}));
    }
    let strange_state = json!({"traceparent": SENT, "tracestate": "Not Valid"});
    let without = json!({"traceparent": SENT});
    assert_eq!(told(service, &token, strange_state, &[]).await, without);
}

/// A service that sends its traces there.
async fn traced(endpoint: String) -> Service {
    Service::with(|config| {
        config.child = sf_mcp();
        config.traces = Some(Traces { endpoint });
    })
    .await
}

/// The first company of that owner, connected to the sandbox.
async fn connected(service: &Service, email: &str) -> (String, String) {
    let token = company(service, email).await;
    let memberships = service.app.store.memberships(email).await.unwrap();
    let tenant_id = memberships[0].tenant_id.clone();
    connect(service, &tenant_id).await;
    (token, tenant_id)
}

/// A call that the client says to be part of its trace.
fn in_trace(name: &str, arguments: &Value) -> Value {
    let mut params = json!({"name": name, "arguments": arguments});
    params["_meta"] = json!({
        "traceparent": SENT,
        "tracestate": "vendor=1",
        "baggage": "customer=Alvarez",
    });
    modern(&json!("the client's own id"), "tools/call", params)
}

/// What of a trace each request to Service Fusion's API had with it.
async fn seen(service: &Service) -> Vec<Value> {
    let log = format!("{}/sandbox/log", service.around.sandbox.origin());
    let log = service.http.get(log).send().await.unwrap();
    let log: Vec<Value> = serde_json::from_str(&log.text().await.unwrap()).unwrap();
    let api = |entry: &&Value| entry["path"].as_str().unwrap().starts_with("/v1/");
    let traces = log.iter().filter(api).map(|entry| entry["trace"].clone());
    traces.collect()
}

fn ids(span: &Span) -> (String, String) {
    (
        hexadecimal(&span.trace_id),
        hexadecimal(&span.parent_span_id),
    )
}

#[tokio::test]
async fn a_trace_goes_from_the_client_over_a_span_to_service_fusion() {
    let collector = Collector::start().await;
    let service = traced(collector.endpoint()).await;
    let (token, tenant_id) = connected(&service, "owner@example.com").await;

    let board = in_trace("get_dispatch_board", &json!({}));
    let answer = post(&service, &token, &board).send().await.unwrap();
    let request_id = answer.headers()["x-request-id"].clone();
    let answer = answer.text().await.unwrap();
    assert!(answer.contains("structuredContent"), "{answer}");
    let seen = seen(&service).await;
    service.stop().await;

    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:?}");
    let span = &spans[0];
    assert_eq!(ids(span), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!(span.name, "tools/call get_dispatch_board");
    assert_eq!(span.kind(), SpanKind::Server);
    assert_eq!(span.trace_state, "vendor=1");
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    let own = [
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "get_dispatch_board"),
        ("http.response.status_code", "200"),
        ("mcp.method.name", "tools/call"),
        ("mcp.protocol.version", "2026-07-28"),
        ("sf_supervisor.request_id", request_id.to_str().unwrap()),
        ("sf_supervisor.tenant_id", &tenant_id),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(attributes(&span.attributes), own);

    assert!(!seen.is_empty());
    let own_id = hexadecimal(&span.span_id);
    for trace in seen {
        let parent = trace["traceparent"].as_str().unwrap();
        assert!(parent.starts_with(&format!("00-{TRACE}-")), "{trace}");
        assert!(parent.ends_with("-01"), "{trace}");
        assert!(!parent.contains(PARENT) && !parent.contains(&own_id));
        assert_eq!(trace["tracestate"], "vendor=1");
        assert!(trace["baggage"].is_null(), "{trace}");
    }
}

#[tokio::test]
async fn the_child_is_told_the_spans_id_and_a_call_without_a_trace_begins_one() {
    let collector = Collector::start().await;
    let scripted = Scripted::with(|config| {
        config.traces = Some(Traces {
            endpoint: collector.endpoint(),
        });
    })
    .await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;

    let below = told(service, &token, json!({"traceparent": SENT}), &[]).await;
    let begun = told(service, &token, json!({"baggage": "a=1"}), &[]).await;
    let unsampled = told(service, &token, json!({"traceparent": OTHER}), &[]).await;
    scripted.service.stop().await;

    let spans = collector.spans();
    let of = |told: &Value| {
        let parent = told["traceparent"].as_str().unwrap().to_owned();
        let own = |span: &&Span| parent.contains(&hexadecimal(&span.span_id));
        spans.iter().find(own)
    };
    assert_eq!(spans.len(), 2);
    assert_eq!(ids(of(&below).unwrap()).1, PARENT);
    assert_eq!(ids(of(&begun).unwrap()).1, "");
    // Its client records nothing of it, so nothing is recorded here; the trace goes on.
    assert!(of(&unsampled).is_none());
    let parent = unsampled["traceparent"].as_str().unwrap();
    assert!(parent.starts_with(&OTHER[..36]), "{parent}");
    assert!(parent.ends_with("-00"), "{parent}");
}

#[tokio::test]
async fn how_a_call_ended_is_on_its_span_and_nothing_that_it_was_about() {
    let collector = Collector::start().await;
    let service = traced(collector.endpoint()).await;
    let (token, _) = connected(&service, "owner@example.com").await;

    let arguments = json!({"query": "Maria Alvarez", "phone": "555-0133"});
    ask(&service, &token, &in_trace("search_customers", &arguments)).await;
    let missing = in_trace("get_job", &json!({"id": 987_654_321}));
    ask(&service, &token, &missing).await;
    ask(&service, &token, &in_trace("alvarez", &json!({}))).await;
    let strange = json!({"jsonrpc": "2.0", "id": 1, "method": "alvarez/maria"});
    ask(&service, &token, &strange).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    ask(&service, &token, &list).await;
    service.stop().await;

    let spans = collector.spans();
    let ended = |name: &str| {
        let span = spans.iter().find(|span| span.name == name);
        let span = span.unwrap_or_else(|| panic!("no {name}"));
        let attributes = attributes(&span.attributes);
        let error = attributes.into_iter().find(|(key, _)| key == "error.type");
        let code = span.status.as_ref().map_or(0, |status| status.code);
        (error.map(|(_, word)| word), code)
    };
    assert_eq!(ended("tools/list"), (None, 0));
    let refused = (Some("refused".to_owned()), 2);
    assert_eq!(ended("tools/call get_job"), refused);
    assert_eq!(ended("tools/call").1, 2);
    assert_eq!(ended("_OTHER").1, 2);
    assert_eq!(spans.len(), 5);
    let sent = collector.text().to_lowercase();
    for secret in [
        "alvarez",
        "555-0133",
        "987654321",
        "owner@example.com",
        "acme",
        "the client's own id",
        "bearer",
        &token.to_lowercase(),
    ] {
        assert!(!sent.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_call_that_the_tier_refuses_is_a_span_too() {
    let collector = Collector::start().await;
    let service = traced(collector.endpoint()).await;
    let company = Company::new(&service, "Acme Heating", "owner@example.com").await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let mut refused = 0;
    for _ in 0..25 {
        let (status, _) = ask(&service, &company.bearer, &list).await;
        refused += usize::from(status == 429);
    }
    service.stop().await;

    assert!(refused > 0);
    let spans = collector.spans();
    let limited = |span: &&Span| {
        let attributes = attributes(&span.attributes);
        let has = |name: &str, value: &str| attributes.contains(&(name.into(), value.into()));
        has("error.type", "rate_limited") && has("http.response.status_code", "429")
    };
    assert_eq!(spans.len(), 25);
    assert_eq!(spans.iter().filter(limited).count(), refused);
}

/// Calls so often, and says how long the slowest took.
async fn slowest(service: &Service, token: &str, calls: usize) -> Duration {
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let mut slowest = Duration::ZERO;
    for _ in 0..calls {
        let began = Instant::now();
        assert_eq!(ask(service, token, &list).await.0, 200);
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

#[tokio::test]
async fn a_collector_that_is_gone_or_hangs_or_refuses_costs_nothing_else() {
    let refusing = Collector::answering(StatusCode::SERVICE_UNAVAILABLE).await;
    // Takes connections and never answers.
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let (hangs, refuses, is_gone) = (at(&hanging), refusing.endpoint(), at(&gone));
    drop(gone);
    for endpoint in [is_gone, hangs, refuses] {
        let service = traced(endpoint.clone()).await;
        let token = company(&service, "owner@example.com").await;
        slowest(&service, &token, 1).await;

        // More than one batch, so that the exporter is busy meanwhile.
        let took = slowest(&service, &token, 600).await;
        let memberships = service.app.store.memberships("owner@example.com").await;
        let tenant_id = memberships.unwrap()[0].tenant_id.clone();
        let around = Arc::clone(&service.around);
        let stopping = Instant::now();
        service.stop().await;

        assert!(took < Duration::from_secs(1), "{endpoint}: {took:?}");
        let stopped = stopping.elapsed();
        assert!(stopped < Duration::from_secs(8), "{endpoint}: {stopped:?}");
        let store = Store::connect(&around.database.url).await.unwrap();
        let events = store.events_of(&tenant_id, (0, ""), 1000).await.unwrap();
        assert_eq!(events.len(), 601);
        store.close().await;
    }
}

/// The service as a process of its own with those variables; what it sends when it is stopped after a call.
async fn sent_by_a_process(collector: &Collector, variables: &[(&str, &str)]) -> Value {
    let around = Around::new(sf_mcp::sandbox::Options::default()).await;
    let replica = Replica::with(&around, |command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.origin);
        command.envs(variables.iter().copied());
    });
    let replica = replica.await;
    let store = Store::connect(&around.database.url).await.unwrap();
    let now = around.clock.now();
    let company = Company::within(&store, now, "Acme Heating", "owner@example.com").await;
    store.close().await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let answer = until("answer", async || {
        let asked = reqwest::Client::new().post(format!("{}/mcp", replica.url));
        let asked = asked.bearer_auth(&company.bearer);
        let asked = asked.header("content-type", "application/json");
        let answer = asked.body(list.to_string()).send().await.unwrap();
        (answer.status() == 200).then_some(answer)
    });
    let answer = answer.await.text().await.unwrap();
    assert!(replica.stop().await.success());
    serde_json::from_str(&answer).unwrap()
}

#[tokio::test]
async fn a_process_is_told_by_the_usual_variables_and_sends_the_last_spans_at_its_stop() {
    let collector = Collector::start().await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k3y"),
        ("OTEL_SERVICE_NAME", "office"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        ),
    ];
    let answer = sent_by_a_process(&collector, &variables).await;

    assert!(answer["result"]["tools"].is_array(), "{answer}");
    assert_eq!(collector.spans().len(), 1);
    assert_eq!(collector.headers()[0]["x-key"], "k3y");
    let resource = collector.resource();
    let says = |name: &str, value: &str| resource.contains(&(name.into(), value.into()));
    assert!(says("service.name", "office"), "{resource:?}");
    assert!(says("deployment.environment.name", "test"), "{resource:?}");
    assert!(says("service.version", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_sampler_that_takes_nothing_sends_nothing() {
    let collector = Collector::start().await;
    let sampler = [("OTEL_TRACES_SAMPLER", "always_off")];
    let answer = sent_by_a_process(&collector, &sampler).await;

    assert!(answer["result"]["tools"].is_array(), "{answer}");
    assert_eq!(collector.headers().len(), 0);
}

#[tokio::test]
async fn a_service_without_a_name_has_its_own() {
    let collector = Collector::start().await;
    sent_by_a_process(&collector, &[]).await;

    let resource = collector.resource();
    let name = ("service.name".to_owned(), "sf-supervisor".to_owned());
    assert!(resource.contains(&name), "{resource:?}");
}

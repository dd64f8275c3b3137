//! A call's trace: from its client to the company's child.

use serde_json::{Value, json};

use super::{
    company, post,
    scripted::{Scripted, call},
};
use crate::support::Service;

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

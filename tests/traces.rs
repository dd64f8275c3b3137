//! W3C Trace Context: what a client says of its trace goes on to Service Fusion, and nothing else of it.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{Home, McpClient, Sandbox};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What a client says of its trace with a call.
fn said(traceparent: &str) -> Value {
    json!({
        "traceparent": traceparent,
        "tracestate": "vendor=1, other@system=a:b",
        "baggage": "customer=Alvarez,userId=7",
    })
}

fn send(client: &mut McpClient, tool: &str, arguments: &Value, meta: &Value) -> i64 {
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    client.send("tools/call", params)
}

/// What of a trace each request to the API had with it.
fn seen(sandbox: &Sandbox) -> Vec<Value> {
    let log = sandbox.log().into_iter();
    log.filter(|entry| entry["path"].as_str().unwrap().starts_with("/v1/"))
        .map(|entry| entry["trace"].clone())
        .collect()
}

/// The parent's id of a `traceparent` that belongs to the trace.
#[track_caller]
fn parent(trace: &Value) -> String {
    let text = trace["traceparent"].as_str().unwrap();
    let parts: Vec<&str> = text.split('-').collect();
    assert_eq!(
        (parts.len(), parts[0], parts[1], parts[3]),
        (4, "00", TRACE, "01")
    );
    assert_eq!(
        (parts[2].len(), parts[2] == "00f067aa0ba902b7"),
        (16, false)
    );
    parts[2].to_owned()
}

#[test]
fn a_calls_trace_goes_with_each_of_its_requests() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);

    let id = send(&mut client, "get_dispatch_board", &json!({}), &said(SENT));
    client.called(id);

    let seen = seen(&sandbox);
    assert!(seen.len() > 1, "{seen:?}");
    let parents: HashSet<String> = seen.iter().map(parent).collect();
    assert_eq!(parents.len(), seen.len(), "each request has its own id");
    for trace in seen {
        assert_eq!(trace["tracestate"], "vendor=1,other@system=a:b");
        assert!(trace["baggage"].is_null(), "{trace}");
    }
}

#[test]
fn a_client_with_a_handshake_and_a_create_have_theirs_too() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    client.initialize("2025-06-18");

    let arguments = json!({"name": "Traced Heating"});
    let params = json!({"name": "create_customer", "arguments": arguments, "_meta": said(SENT)});
    let id = client.send_legacy("tools/call", &params);
    client.called(id);

    assert_eq!(sandbox.count("POST", "/v1/customers"), 1);
    for trace in seen(&sandbox) {
        parent(&trace);
        assert!(trace["baggage"].is_null(), "{trace}");
    }
}

#[test]
fn a_read_that_is_tried_again_is_another_request_of_the_trace() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let busy = json!({"kind": "status", "status": 503});
    sandbox.fault("GET", "/v1/jobs", 1, &busy);

    let id = send(
        &mut client,
        "search_jobs",
        &json!({"limit": 3}),
        &said(SENT),
    );
    client.called(id);

    let log = sandbox.log();
    let tried = log.iter().filter(|entry| entry["path"] == "/v1/jobs");
    let parents: HashSet<String> = tried.map(|entry| parent(&entry["trace"])).collect();
    assert_eq!(parents.len(), 2);
}

#[test]
fn what_is_no_trace_context_is_not_passed_on() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    let zeros = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    let strange = [
        json!({}),
        said(""),
        said("Alvarez"),
        said(&zeros),
        said(&SENT.to_uppercase()),
        said(&SENT.replace("00-4bf9", "ff-4bf9")),
        said(&format!("{SENT}\r\nx-injected: 1")),
        json!({"traceparent": 7}),
        json!({"tracestate": "vendor=1"}),
        json!({"baggage": "customer=Alvarez"}),
    ];

    for (limit, meta) in strange.iter().enumerate() {
        let arguments = json!({"limit": limit + 1});
        let id = send(&mut client, "search_jobs", &arguments, meta);
        client.called(id);
    }
    let meta = json!({"traceparent": SENT, "tracestate": "Not Valid"});
    let id = send(&mut client, "search_jobs", &json!({"limit": 40}), &meta);
    client.called(id);

    let mut seen = seen(&sandbox);
    let last = seen.pop().unwrap();
    parent(&last);
    assert!(last["tracestate"].is_null(), "{last}");
    assert!(seen.len() >= strange.len());
    assert!(seen.iter().all(Value::is_null), "{seen:?}");
}

#[test]
fn equal_reads_in_flight_belong_to_the_trace_of_the_first() {
    let sandbox = Sandbox::start();
    let home = Home::new();
    let mut client = McpClient::start(&sandbox, &home);
    client.call("search_jobs", &json!({"limit": 1}));
    let before = seen(&sandbox).len();
    let slow = json!({"kind": "latency", "ms": 300});
    sandbox.fault("GET", "/v1/jobs", 1, &slow);

    let arguments = json!({"limit": 5});
    let first = send(&mut client, "search_jobs", &arguments, &said(SENT));
    sandbox.wait_for(|state| state["in_flight"] == 1);
    let other = said(&SENT.replace("4bf9", "aaaa"));
    let second = send(&mut client, "search_jobs", &arguments, &other);
    client.called(first);
    client.called(second);

    let seen = seen(&sandbox).split_off(before);
    assert_eq!(seen.len(), 1, "{seen:?}");
    parent(&seen[0]);
}

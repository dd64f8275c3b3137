//! A request to the hosted endpoint: lines of headers, an empty one, the body. What is let through is read the same by
//! every reader, and its child sees our id, our token and our word on what the sender may do.

#![no_main]

use std::{collections::HashSet, sync::LazyLock};

use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use rmcp::model::ClientJsonRpcMessage;
use serde_json::{Map, Value, json};
use sf_fuzz::{head_and_body, headers, value};
use sf_mcp::{
    server::SCOPES,
    tools::listed::listed,
    trace_context::{BAGGAGE, TRACEPARENT, TRACESTATE, TraceContext},
};
use sf_supervisor::gateway::{
    envelope::{Message, Object},
    era::{self, CAPABILITIES_KEY, CLIENT_KEY, Era, VERSION_KEY},
    fuzzing::{ID, counted, line},
};

/// What calls are counted as: tools, methods, and one name for all that is neither.
static TOOLS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let tools = listed().iter().map(|tool| tool.name.clone());
    let methods = era::SHARED
        .into_iter()
        .map(|method| method.replace('/', "_"));
    tools.chain(methods).chain(["other".to_owned()]).collect()
});

fuzz_target!(|input: &[u8]| {
    let (head, body) = head_and_body(input);
    let headers = headers(&head);
    let Ok(message) = Message::parse(body) else {
        return;
    };
    let whole: Value = serde_json::from_slice(body).expect("what is taken is JSON");
    is_the_same(&message, &whole);

    let decided = era::decide(&headers, &message);
    let Ok(era) = decided else {
        return;
    };
    match era {
        Era::Modern(version) => mirrors(&headers, &whole, version),
        Era::Handshake(version) => assert!(era::LEGACY.contains(&version)),
        Era::Legacy(version) => {
            assert!(era::LEGACY.contains(&version));
            let said = headers.get("mcp-protocol-version");
            assert!(said.is_none_or(|said| said == version));
        }
    }
    for scopes in ["sf:read", "sf:read sf:write"] {
        let line = line(&message, &headers, era, scopes);
        forwarded(&line, &whole, era.word(), scopes);
    }
    let (tool, client) = counted(&message, &headers, era);
    // Of what a stranger made up nothing is kept but a client's name.
    assert!(TOOLS.contains(tool.as_str()), "{tool}");
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._-/()+".contains(c);
    assert!(client.len() <= 64 && client.chars().all(plain), "{client}");
});

fn is_the_same(message: &Message<'_>, whole: &Value) {
    assert_eq!(whole["jsonrpc"], "2.0");
    assert_eq!(whole["method"], message.method.as_ref());
    let id = message
        .id
        .map(|id| serde_json::from_str::<Value>(id).unwrap());
    assert_eq!(id.as_ref(), whole.get("id"));
    assert!(id.is_none_or(|id| id.is_string() || id.is_number()));

    let text = message.params.to_text();
    assert_eq!(
        value(text.as_bytes()),
        whole.get("params").cloned().unwrap_or(json!({}))
    );
    assert_eq!(Object::parse(&text).unwrap().to_text(), text);
    let meta = message
        .meta
        .as_ref()
        .map(|meta| value(meta.to_text().as_bytes()));
    assert_eq!(meta.as_ref(), whole["params"].get("_meta"));
}

/// What proxies read in the headers is what the body says.
fn mirrors(headers: &HeaderMap, whole: &Value, version: &str) {
    let header = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let text = values.next()?.to_str().unwrap().to_owned();
        assert!(values.next().is_none(), "{name} comes twice");
        let inner = text
            .strip_prefix("=?base64?")
            .and_then(|rest| rest.strip_suffix("?="));
        Some(match inner {
            Some(inner) => String::from_utf8(STANDARD.decode(inner).unwrap()).unwrap(),
            None => text,
        })
    };
    assert_eq!(header("mcp-protocol-version").as_deref(), Some(version));
    assert_eq!(whole["params"]["_meta"][VERSION_KEY], version);
    if whole.get("id").is_none() {
        return;
    }
    assert!(whole["params"]["_meta"][CAPABILITIES_KEY].is_object());
    let method = whole["method"].as_str().unwrap();
    assert_eq!(header("mcp-method").as_deref(), Some(method));
    let name = match method {
        "tools/call" | "prompts/get" => &whole["params"]["name"],
        "resources/read" => &whole["params"]["uri"],
        _ => return,
    };
    if let Some(name) = name.as_str() {
        assert_eq!(header("mcp-name").as_deref(), Some(name));
    }
}

/// What the child gets.
fn forwarded(line: &[u8], whole: &Value, version: &str, scopes: &str) {
    if whole.get("id").is_some() {
        // Its client waits for an answer, which only a request gets.
        let read = serde_json::from_slice::<ClientJsonRpcMessage>(line);
        let is_request = matches!(&read, Ok(ClientJsonRpcMessage::Request(_)));
        assert!(is_request, "{read:?} of {}", String::from_utf8_lossy(line));
    }
    let forwarded = value(line);
    let names: Vec<_> = forwarded.as_object().unwrap().keys().collect();
    assert_eq!(names, ["jsonrpc", "id", "method", "params"]);
    assert_eq!(forwarded["jsonrpc"], "2.0");
    assert_eq!(forwarded["id"], ID);
    assert_eq!(forwarded["method"], whole["method"]);

    let split = |params: &Value| -> (Map<String, Value>, Map<String, Value>) {
        let mut params = params.as_object().cloned().unwrap_or_default();
        let meta = params.remove("_meta");
        let meta = meta.and_then(|meta| meta.as_object().cloned());
        (params, meta.unwrap_or_default())
    };
    let (sent, mut said) = split(&whole["params"]);
    let (params, mut meta) = split(&forwarded["params"]);
    assert_eq!(params, sent);
    assert_eq!(meta.remove(SCOPES), Some(json!(scopes)));
    assert_eq!(meta.remove(VERSION_KEY), Some(json!(version)));
    assert_eq!(
        meta.remove("progressToken"),
        said.remove("progressToken").map(|_| json!(ID))
    );
    traced(meta.remove(TRACEPARENT), meta.remove(TRACESTATE));
    for name in [VERSION_KEY, TRACEPARENT, TRACESTATE, BAGGAGE] {
        said.remove(name);
    }
    said.retain(|name, _| !name.starts_with("com.servicefusion-mcp/"));
    for name in [CAPABILITIES_KEY, CLIENT_KEY] {
        assert!(meta.contains_key(name));
        if !said.contains_key(name) {
            meta.remove(name);
        }
    }
    assert_eq!(meta, said);
}

/// What is said of a trace is what the specification allows, and is read again as it was.
fn traced(parent: Option<Value>, state: Option<Value>) {
    let Some(parent) = parent else {
        return assert_eq!(state, None);
    };
    let (parent, state) = (parent.as_str().unwrap(), state.unwrap_or(json!("")));
    let state = state.as_str().unwrap();
    let digits = |part: &str| part.bytes().all(|c| b"0123456789abcdef".contains(&c));
    let lengths: Vec<_> = parent.split('-').map(str::len).collect();
    assert!(
        lengths == [2, 32, 16, 2] && parent.split('-').all(digits),
        "{parent}"
    );
    assert!(state.len() <= 512 && state.bytes().all(|c| c == b' ' || c.is_ascii_graphic()));
    let again = TraceContext::parse(parent, state).expect("it was valid");
    assert_eq!(again.traceparent(), parent);
    assert_eq!(again.tracestate().unwrap_or_default(), state);
}

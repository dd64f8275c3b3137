//! What a child says beside its answers about what it asked Service Fusion for: counted, and shown to nobody.

use std::sync::Arc;

use serde_json::{Value, json};
use sf_supervisor::store::Store;

use super::{
    company, modern, post,
    scripted::{Scripted, call},
};

/// What a child answers, what the client gets of it, and what is counted.
const ANSWERS: [(&str, &str, &str); 6] = [
    (
        r#"{"big":12345678901234567890123, "content":[],"_meta":{"com.servicefusion-mcp/endpoint":"GET /v1/jobs/{id}"}}"#,
        r#"{"big":12345678901234567890123, "content":[]}"#,
        "GET /v1/jobs/{id}",
    ),
    (
        r#"{"isError":true,"content":[],"_meta":{"com.servicefusion-mcp/endpoint":"POST /v1/customers"}}"#,
        r#"{"isError":true,"content":[]}"#,
        "POST /v1/customers",
    ),
    // It would name a record.
    (
        r#"{"content":[],"_meta":{"com.servicefusion-mcp/endpoint":"GET /v1/jobs/1042"}}"#,
        r#"{"content":[]}"#,
        "",
    ),
    // Nobody's word but its own.
    (
        r#"{"content":[],"_meta":{"x":2.0, "y":"z"}}"#,
        r#"{"content":[],"_meta":{"x":2.0, "y":"z"}}"#,
        "",
    ),
    (
        r#"{"a":{"b":",\"_meta\":{\"com.servicefusion-mcp/endpoint\":\"GET /v1/jobs"}}"#,
        r#"{"a":{"b":",\"_meta\":{\"com.servicefusion-mcp/endpoint\":\"GET /v1/jobs"}}"#,
        "",
    ),
    (r#"{ "content" : [ ] }"#, r#"{ "content" : [ ] }"#, ""),
];

#[tokio::test]
async fn an_endpoint_is_counted_and_the_rest_of_the_answer_keeps_its_bytes() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    for (text, shown, _) in ANSWERS {
        let arguments = json!({"text": text});
        let at_once = post(service, &token, &call(1, "raw", arguments.clone()));
        let said = at_once.send().await.unwrap().text().await.unwrap();
        let message = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{shown}}}"#);
        assert_eq!(said, message);

        let mut params = json!({"name": "raw", "arguments": arguments});
        params["_meta"] = json!({"progressToken": "p"});
        let streamed = post(service, &token, &modern(&json!(1), "tools/call", params));
        let said = streamed.send().await.unwrap().text().await.unwrap();
        assert!(said.ends_with(&format!("data: {message}\n\n")), "{said}");
    }

    let memberships = service.app.store.memberships("owner@example.com").await;
    let tenant_id = memberships.unwrap()[0].tenant_id.clone();
    let Scripted { service, .. } = scripted;
    let around = Arc::clone(&service.around);
    service.stop().await;
    let store = Store::connect(&around.database.url).await.unwrap();
    let events = store.events_of(&tenant_id, (0, ""), 100).await.unwrap();
    let endpoints = events.iter().map(|(_, event)| event["endpoint"].clone());
    let mut endpoints: Vec<Value> = endpoints.collect();
    let mut wanted = ANSWERS
        .map(|(.., endpoint)| [json!(endpoint), json!(endpoint)])
        .concat();
    endpoints.sort_by_key(Value::to_string);
    wanted.sort_by_key(Value::to_string);
    assert_eq!(endpoints, wanted);
    store.close().await;
}

//! The hosted MCP endpoint, over children that play the sandbox company.

use std::sync::Arc;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sf_mcp::{auth::oauth, sandbox};
use sf_supervisor::{
    store::{NewToken, Store},
    tokens::{self, Kind},
    vault::{self, NewCredentials},
};

use crate::support::{Database, Service, offered, sf_mcp};

mod confinement;
mod doors;
mod endpoints;
mod faults;
mod in_flight;
mod proxy;
mod reconnected;
mod scripted;
mod traces;

/// A service whose children need no credentials.
async fn service() -> Service {
    Service::with(|config| {
        config.child = sf_mcp();
        config.child_arguments = vec!["serve".to_owned(), "--demo".to_owned()];
    })
    .await
}

/// A company and its token.
async fn company(service: &Service, email: &str) -> String {
    let now = service.app.clock.now();
    let owner = service
        .app
        .store
        .add_tenant("Acme Heating", email, "unlimited", now)
        .await
        .unwrap();
    let new = tokens::generate(Kind::Bearer).unwrap();
    let token = NewToken {
        tenant_id: &owner.tenant_id,
        member_id: Some(&owner.id),
        kind: Kind::Bearer,
        name: "test",
        hash: &new.hash,
        client: None,
        form: None,
        scopes: &owner.scopes,
        created_at: now,
        expires_at: None,
    };
    service.app.store.add_token(&token).await.unwrap();
    new.token.expose_secret().to_owned()
}

const MODERN: &str = "2026-07-28";

fn modern(id: &Value, method: &str, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn post(service: &Service, token: &str, body: &Value) -> reqwest::RequestBuilder {
    let mut request = service
        .post("/mcp", body)
        .bearer_auth(token)
        .header("accept", "application/json, text/event-stream");
    if body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == MODERN {
        request = request
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", body["method"].as_str().unwrap());
        if let Some(name) = body["params"]["name"].as_str() {
            request = request.header("mcp-name", name);
        }
    }
    request
}

async fn ask(service: &Service, token: &str, body: &Value) -> (u16, Value) {
    let answer = post(service, token, body).send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

#[tokio::test]
async fn a_modern_client_calls_a_tool() {
    let service = service().await;
    let token = company(&service, "owner@example.com").await;
    let (status, answer) = ask(
        &service,
        &token,
        &modern(&json!("a\"b"), "server/discover", json!({})),
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["id"], "a\"b");
    assert!(
        answer["result"]["capabilities"]["tools"].is_object(),
        "{answer}"
    );
    let call = modern(
        &json!(7),
        "tools/call",
        json!({"name": "get_dispatch_board", "arguments": {}}),
    );
    let (status, answer) = ask(&service, &token, &call).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["id"], 7);
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    assert!(answer["result"]["structuredContent"].is_object());
    service.stop().await;
}

#[tokio::test]
async fn a_legacy_client_shakes_hands_and_calls() {
    let service = service().await;
    let token = company(&service, "owner@example.com").await;
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let (status, answer) = ask(&service, &token, &hello).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(answer["result"]["serverInfo"]["name"], "sf-mcp", "{answer}");
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(ask(&service, &token, &ready).await.0, 202);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let (_, answer) = ask(&service, &token, &list).await;
    let tools = answer["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), offered(false));
    assert!(answer["result"].get("resultType").is_none(), "{answer}");
    assert!(answer["result"].get("ttlMs").is_none());
    let ping = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
    assert_eq!(ask(&service, &token, &ping).await.1["result"], json!({}));
}

#[tokio::test]
async fn nobody_comes_in_without_a_token() {
    let service = service().await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    for token in [
        "",
        "nonsense",
        "sfb_0000000000000000000000000000000000000000000",
    ] {
        let answer = post(&service, token, &list).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert!(answer.headers().contains_key("www-authenticate"));
    }
    assert!(service.app.children.list().is_empty());
}

/// Connects the company to the sandbox, as activation does.
async fn connect(service: &Service, tenant_id: &str) {
    let secret = |text: &str| secrecy::SecretString::from(text.to_owned());
    let (id, password) = (sandbox::CLIENT_ID, secret(sandbox::CLIENT_SECRET));
    let origin = service.around.sandbox.origin();
    let grant = oauth::client_credentials(&service.http, &origin, id, &password)
        .await
        .unwrap();
    let new = NewCredentials {
        kind: vault::Kind::ClientCredentials,
        client_id: secret(id),
        client_secret: password,
        grant,
        account: "Carol".to_owned(),
    };
    service.app.vault.replace(tenant_id, &new).await.unwrap();
}

#[tokio::test]
async fn a_hosted_child_gets_its_tokens_over_its_private_line() {
    let service = Service::with(|config| config.child = sf_mcp()).await;
    let token = company(&service, "owner@example.com").await;
    let call = modern(
        &json!(1),
        "tools/call",
        json!({"name": "get_dispatch_board", "arguments": {}}),
    );
    let (status, answer) = ask(&service, &token, &call).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let said = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(said.contains("connect"), "{said}");

    let tenant_id = service
        .app
        .store
        .memberships("owner@example.com")
        .await
        .unwrap()[0]
        .tenant_id
        .clone();
    connect(&service, &tenant_id).await;
    let (status, answer) = ask(&service, &token, &call).await;
    assert_eq!(status, 200, "{answer}");
    assert_ne!(answer["result"]["isError"], true, "{answer}");
    // What it asked for is said to the service alone.
    assert!(answer["result"].get("_meta").is_none(), "{answer}");
    let children = service.app.children.list();
    assert_eq!(children.len(), 1);
    let process = children[0].1;
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{process}/{name}"));
    assert!(read("status").unwrap().contains("NoNewPrivs:\t1"));
    let around = Arc::clone(&service.around);
    service.stop().await;
    assert!(read("status").is_err(), "the child has ended and is reaped");
    let store = Store::connect(&around.database.url).await.unwrap();
    let events = store.events_of(&tenant_id, (0, ""), 10).await.unwrap();
    let of = |status| events.iter().find(|(_, event)| event["status"] == status);
    let (_, event) = of("ok").unwrap();
    assert_eq!(event["endpoint"], "GET /v1/jobs", "{events:?}");
    store.close().await;
}

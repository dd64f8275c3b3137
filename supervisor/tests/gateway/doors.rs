//! Who is let in, how, and what is said to those who are not: verbs, origins, headers, eras, statuses.

use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use super::{company, modern, post, service};
use crate::support::Service;

const V: &str = "mcp-protocol-version";

/// A request with headers of the test's choice.
async fn send(
    service: &Service,
    token: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> (u16, Value) {
    let mut request = service.post("/mcp", body).bearer_auth(token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn meta(version: &str) -> Value {
    json!({"io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {}})
}

fn plain(method: &str, params: impl Into<Value>) -> Value {
    let params = params.into();
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// Headers, body, status, code of the error (0: a result).
type Row<'a> = (Vec<(&'a str, &'a str)>, Value, u16, i64);

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "it is one table")]
async fn the_era_is_decided_by_headers_and_metadata_in_order() {
    let service = service().await;
    let token = company(&service, "owner@example.com").await;
    let now = "2026-07-28";
    let list = |version: &str| plain("tools/list", json!({"_meta": meta(version)}));
    let both = |version| [(V, version), ("mcp-method", "tools/list")];
    let hello = |version: &str| {
        plain(
            "initialize",
            json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}),
        )
    };
    let no_capabilities = plain(
        "tools/list",
        json!({"_meta": {"io.modelcontextprotocol/protocolVersion": now}}),
    );
    let bare = plain("tools/list", json!({}));
    let rows: Vec<Row> = vec![
        (both(now).to_vec(), list(now), 200, 0),
        (vec![], list(now), 400, -32020),
        (vec![(V, now)], list(now), 400, -32020),
        (
            vec![(V, "2025-11-25"), ("mcp-method", "tools/list")],
            list(now),
            400,
            -32020,
        ),
        (
            vec![(V, now), ("mcp-method", "tools/call")],
            list(now),
            400,
            -32020,
        ),
        (
            vec![(V, now), ("mcp-method", "Tools/List")],
            list(now),
            400,
            -32020,
        ),
        (
            vec![(V, now), (V, now), ("mcp-method", "tools/list")],
            list(now),
            400,
            -32020,
        ),
        (both("2099-01-01").to_vec(), list("2099-01-01"), 400, -32022),
        (both("nonsense").to_vec(), list("nonsense"), 400, -32022),
        (both(now).to_vec(), no_capabilities, 400, -32602),
        (
            both(now).to_vec(),
            plain(
                "tools/list",
                json!({"_meta": {"io.modelcontextprotocol/protocolVersion": 7}}),
            ),
            400,
            -32602,
        ),
        (
            vec![(V, now), ("mcp-method", "nothing/known")],
            plain("nothing/known", json!({"_meta": meta(now)})),
            404,
            -32601,
        ),
        (
            vec![(V, now), ("mcp-method", "ping")],
            plain("ping", json!({"_meta": meta(now)})),
            404,
            -32601,
        ),
        (
            vec![(V, now), ("mcp-method", "initialize")],
            plain("initialize", json!({"_meta": meta(now)})),
            404,
            -32601,
        ),
        (both("2025-11-25").to_vec(), list("2025-11-25"), 200, 0),
        (vec![(V, "2025-06-18")], list("2025-06-18"), 200, 0),
        (vec![(V, now)], bare.clone(), 400, -32602),
        (vec![(V, "2027-01-01")], bare.clone(), 400, -32602),
        (vec![], plain("server/discover", json!({})), 400, -32602),
        (vec![(V, now)], plain("initialize", json!({})), 404, -32601),
        (vec![(V, now)], hello(now), 404, -32601),
        (vec![(V, now)], hello("2025-11-25"), 200, 0),
        (vec![], hello("2025-03-26"), 200, 0),
        (vec![], hello("2024-11-05"), 200, 0),
        (vec![], plain("initialize", json!({})), 400, -32602),
        (vec![], bare.clone(), 200, 0),
        (vec![(V, "2025-11-25")], bare.clone(), 200, 0),
        (vec![(V, "2024-11-05")], bare.clone(), 400, -32022),
        (vec![(V, "")], bare.clone(), 400, -32022),
        (vec![], plain("nothing/known", json!({})), 200, -32601),
        (
            vec![],
            json!({"jsonrpc": "2.0", "method": "notifications/whatever"}),
            202,
            0,
        ),
        (
            vec![],
            json!({"jsonrpc": "2.0", "id": 4, "result": {}}),
            400,
            -32600,
        ),
    ];
    for (headers, body, status, code) in rows {
        let (said, answer) = send(&service, &token, &headers, &body).await;
        assert_eq!(said, status, "{headers:?} {body}: {answer}");
        let error = answer["error"]["code"].as_i64().unwrap_or(0);
        assert_eq!(error, code, "{headers:?} {body}: {answer}");
        if code == -32022 {
            assert_eq!(answer["error"]["data"]["supported"][0], now);
            assert!(answer["error"]["data"]["requested"].is_string());
        }
        if status == 200 && body["method"] == "initialize" {
            let asked = body["params"]["protocolVersion"].as_str().unwrap();
            let known = ["2025-11-25", "2025-06-18", "2025-03-26"].contains(&asked);
            assert_eq!(
                answer["result"]["protocolVersion"],
                if known { asked } else { "2025-11-25" }
            );
        }
    }
}

#[tokio::test]
async fn mirrored_names_must_equal_the_body() {
    let service = service().await;
    let token = company(&service, "owner@example.com").await;
    let board = "ui://sf/dispatch-board/v1";
    let tool = json!({"name": "list_technicians", "arguments": {}});
    let read = json!({"uri": board});
    // `list_technicians`, and the same with another letter.
    let (right, wrong) = (
        "=?base64?bGlzdF90ZWNobmljaWFucw==?=",
        "=?base64?bGlzdF90ZWNobmljaWFuc3g=?=",
    );
    for (method, params, name, is_right) in [
        ("tools/call", &tool, Some("list_technicians"), true),
        ("tools/call", &tool, Some(" list_technicians "), true),
        ("tools/call", &tool, Some(right), true),
        ("tools/call", &tool, Some(wrong), false),
        ("tools/call", &tool, Some("=?base64?!!!?="), false),
        ("tools/call", &tool, Some("=?base64?/w==?="), false),
        ("tools/call", &tool, Some("List_Technicians"), false),
        ("tools/call", &tool, Some(""), false),
        ("tools/call", &tool, None, false),
        ("resources/read", &read, Some(board), true),
        (
            "resources/read",
            &read,
            Some("ui://sf/dispatch-board/v2"),
            false,
        ),
        ("resources/read", &read, None, false),
        ("prompts/get", &json!({"name": "x"}), Some("y"), false),
    ] {
        let body = modern(&json!(1), method, params.clone());
        let mut headers = vec![(V, "2026-07-28"), ("MCP-METHOD", method)];
        headers.extend(name.map(|name| ("Mcp-Name", name)));
        let (status, answer) = send(&service, &token, &headers, &body).await;
        let shown = format!("{method} {name:?}: {answer}");
        assert_eq!(status, if is_right { 200 } else { 400 }, "{shown}");
        assert_eq!(answer["error"]["code"] == -32020, !is_right, "{shown}");
    }
}

#[tokio::test]
async fn other_verbs_are_refused_after_the_token() {
    let service = service().await;
    let token = company(&service, "owner@example.com").await;
    for path in ["/mcp", "/mcp/"] {
        for method in [
            Method::GET,
            Method::DELETE,
            Method::PUT,
            Method::PATCH,
            Method::HEAD,
        ] {
            let ask = || {
                service
                    .http
                    .request(method.clone(), format!("{}{path}", service.url))
            };
            let stranger = ask().send().await.unwrap();
            assert_eq!(
                stranger.status(),
                StatusCode::UNAUTHORIZED,
                "{method} {path}"
            );
            assert!(stranger.headers().contains_key("www-authenticate"));
            let known = ask().bearer_auth(&token).send().await.unwrap();
            assert_eq!(
                known.status(),
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
            assert_eq!(known.headers()["allow"], "POST");
        }
    }
    assert!(service.app.children.list().is_empty());
}

#[tokio::test]
async fn the_slash_at_the_end_and_old_sessions_make_no_difference() {
    let service = service().await;
    let token = company(&service, "owner@example.com").await;
    let list = plain("tools/list", json!({}));
    for path in ["/mcp", "/mcp/"] {
        let answer = service
            .post(path, &list)
            .bearer_auth(&token)
            .header("mcp-session-id", "of-another-time")
            .header("last-event-id", "12")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(!answer.headers().contains_key("mcp-session-id"));
        assert_eq!(answer.headers()["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn any_way_to_accept_is_accepted_and_only_json_is_read() {
    let service = service().await;
    let token = company(&service, "owner@example.com").await;
    let list = plain("tools/list", json!({}));
    for accept in [
        "*/*",
        "application/json",
        "text/event-stream",
        "application/json, text/event-stream",
    ] {
        assert_eq!(
            send(&service, &token, &[("accept", accept)], &list).await.0,
            200,
            "{accept}"
        );
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "multipart/form-data",
    ] {
        let request = service
            .http
            .post(format!("{}/mcp", service.url))
            .bearer_auth(&token);
        let answer = request
            .header("content-type", kind)
            .body(list.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 415, "{kind}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_before_anything_else() {
    let service = service().await;
    let token = company(&service, "owner@example.com").await;
    let list = plain("tools/list", json!({}));
    for origin in [
        "https://evil.example.com",
        "null",
        "https://claude.ai.evil.example.com",
        "http://claude.ai",
        "https://claude.ai:8443",
        "http://localhost.evil.example.com",
        "http://127.0.0.1.evil.example.com",
        "file://",
        "",
    ] {
        for token in ["", "nonsense", token.as_str()] {
            let answer = post(&service, token, &list)
                .header("origin", origin)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 403, "{origin} {token}");
            assert!(!answer.headers().contains_key("access-control-allow-origin"));
        }
        let preflight = service
            .http
            .request(Method::OPTIONS, format!("{}/mcp", service.url));
        assert_eq!(
            preflight
                .header("origin", origin)
                .send()
                .await
                .unwrap()
                .status(),
            403,
            "{origin}"
        );
    }
    let twice = post(&service, &token, &list)
        .header("origin", "https://claude.ai")
        .header("origin", "https://evil.example.com");
    assert_eq!(twice.send().await.unwrap().status(), 403);
    assert!(service.app.children.list().is_empty());
}

fn words<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let text = headers[name].to_str().unwrap();
    text.split(',').map(str::trim).collect()
}

#[tokio::test]
async fn pages_of_ai_clients_may_ask_and_read_why_they_are_refused() {
    let service = service().await;
    let token = company(&service, "owner@example.com").await;
    let own = service.url.clone();
    for origin in [
        "https://claude.ai",
        "https://chatgpt.com",
        "http://localhost:6274",
        "http://127.0.0.1:3000",
        "http://[::1]:80",
        &own,
    ] {
        let preflight = service
            .http
            .request(Method::OPTIONS, format!("{}/mcp", service.url));
        let answer = preflight
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,mcp-method")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 204, "{origin}");
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-origin"], origin);
        let sent = words(headers, "access-control-allow-headers");
        for name in [
            "authorization",
            "content-type",
            "accept",
            V,
            "mcp-method",
            "mcp-name",
            "mcp-session-id",
            "last-event-id",
            "traceparent",
            "tracestate",
        ] {
            assert!(sent.contains(&name), "{name}");
        }
        assert!(!headers.contains_key("access-control-allow-credentials"));
        for (token, status) in [("", 401), (token.as_str(), 200)] {
            let list = plain("tools/list", json!({}));
            let answer = post(&service, token, &list)
                .header("origin", origin)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), status, "{origin}");
            assert_eq!(answer.headers()["access-control-allow-origin"], origin);
            assert!(
                words(answer.headers(), "access-control-expose-headers")
                    .contains(&"www-authenticate")
            );
            assert!(
                answer
                    .headers()
                    .get_all("vary")
                    .iter()
                    .any(|vary| vary == "origin")
            );
        }
    }
}

#[tokio::test]
async fn tokens_of_other_kinds_and_places_open_nothing() {
    let service = service().await;
    let token = company(&service, "owner@example.com").await;
    let list = plain("tools/list", json!({}));
    for header in [
        token.clone(),
        format!("Basic {token}"),
        format!("Bearer {token}x"),
        format!("Bearer {}", token.replace("sfb_", "sfd_")),
        "Bearer".to_owned(),
    ] {
        let request = service.post("/mcp", &list).header("authorization", &header);
        assert_eq!(request.send().await.unwrap().status(), 401, "{header}");
    }
    for path in [
        format!("/mcp?access_token={token}"),
        format!("/mcp?token={token}"),
    ] {
        assert_eq!(
            service.post(&path, &list).send().await.unwrap().status(),
            401
        );
    }
    let suspend = "UPDATE tenants SET suspended_at = 1";
    assert_eq!(
        post(&service, &token, &list).send().await.unwrap().status(),
        200
    );
    // What another process writes is noticed within a moment.
    let answered = async |status: u16| {
        crate::support::until("that answer", async || {
            let answer = post(&service, &token, &list).send().await.unwrap();
            (answer.status() == status).then_some(())
        })
        .await;
    };
    service.around.database.run(suspend).await;
    answered(403).await;
    let revoke = "UPDATE tenants SET suspended_at = NULL; UPDATE tokens SET revoked_at = 1";
    service.around.database.run(revoke).await;
    answered(401).await;
}

/// Sends the beginning of something and reads what the service says once it has lost patience.
async fn stalled(service: &Service, beginning: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = service.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(beginning.as_bytes()).await.unwrap();
    let mut said = vec![0; 4096];
    // The paused clock jumps to the next timer whenever everybody waits.
    tokio::time::pause();
    let size = stream.read(&mut said).await.unwrap_or(0);
    tokio::time::resume();
    String::from_utf8(said[..size].to_vec()).unwrap()
}

#[tokio::test]
async fn a_connection_that_never_asks_is_closed() {
    let service = service().await;
    for beginning in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n",
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\n",
    ] {
        let said = stalled(&service, beginning).await;
        assert!(!said.contains("200 OK"), "{beginning}: {said}");
    }
}

#[tokio::test]
async fn a_message_that_does_not_arrive_is_not_waited_for() {
    let service = service().await;
    let token = company(&service, "owner@example.com").await;
    // The first request opens the database's connections; later the clock is paused.
    assert_eq!(
        post(&service, &token, &plain("ping", json!({})))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    let said = stalled(&service, &head).await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(said.contains("incomplete"), "{said}");
}

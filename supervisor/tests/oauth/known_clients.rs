//! What real clients do, each as it was seen.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const CLAUDE_CODE: &str = "https://claude.ai/oauth/claude-code-client-metadata";
const CHATGPT: &str = "https://chatgpt.com/oauth/abc123/client.json";
const VS_CODE: &str = "https://vscode.dev/oauth/client-metadata.json";

#[tokio::test]
async fn every_known_client_gets_as_far_as_the_person() {
    let (service, _) = inhabited().await;
    let slash = format!("{}/", service.app.config.resource());
    let loud = service.app.config.resource().replacen("http", "HTTP", 1);
    for (id, changes) in [
        // It listens where there is room, on either name of this machine.
        (
            CLAUDE_CODE,
            &[("redirect_uri", "http://localhost:51234/callback")][..],
        ),
        (
            CLAUDE_CODE,
            &[
                ("redirect_uri", "http://127.0.0.1:1024/callback"),
                ("resource", &slash),
            ],
        ),
        (
            VS_CODE,
            &[
                ("redirect_uri", "http://127.0.0.1:40000/"),
                ("resource", &loud),
            ],
        ),
        (
            VS_CODE,
            &[("redirect_uri", "https://insiders.vscode.dev/redirect")],
        ),
        // Which of the two it uses depends on whether `iss` is promised.
        (
            CHATGPT,
            &[("redirect_uri", "https://chatgpt.com/connector/oauth/abc123")],
        ),
        (
            CHATGPT,
            &[(
                "redirect_uri",
                "https://chatgpt.com/connector_platform_oauth_redirect",
            )],
        ),
        (
            "https://claude.ai/oauth/mcp-oauth-client-metadata",
            &[
                ("redirect_uri", "https://claude.com/api/mcp/auth_callback"),
                ("scope", "sf:read sf:write offline_access"),
                ("prompt", "consent"),
            ],
        ),
        (
            CLAUDE_CODE,
            &[
                ("redirect_uri", "http://localhost:5/callback"),
                ("scope", ""),
                ("state", ""),
                ("resource", ""),
            ],
        ),
    ] {
        let mut changes = changes.to_vec();
        changes.push(("client_id", id));
        let page = Browser::new(&service)
            .open(&request(&service, id, &changes))
            .await;
        assert_eq!(page.status, 200, "{changes:?}: {}", page.html);
    }
    for (id, redirect) in [
        (CLAUDE_CODE, "http://localhost:51234/callback/x"),
        (CLAUDE_CODE, "http://claude.ai:51234/callback"),
        (CHATGPT, "https://chatgpt.com/connector/oauth/abc124"),
        (VS_CODE, "https://vscode.dev/redirect?x"),
    ] {
        let query = request(&service, id, &[("redirect_uri", redirect)]);
        let page = Browser::new(&service).open(&query).await;
        assert!(page.status >= 400 && page.location.is_none(), "{redirect}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_client_that_registers_twice_can_go_on_with_either() {
    let (service, _) = inhabited().await;
    let callback = "https://claude.ai/api/mcp/auth_callback";
    for (method, is_one) in [("none", true), ("client_secret_post", false)] {
        let said = json!({"client_name": "Claude", "redirect_uris": [callback],
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "token_endpoint_auth_method": method, "scope": "sf:read sf:write"});
        let (first, second) = (
            register(&service, &said).await,
            register(&service, &said).await,
        );
        assert_eq!((first.0, second.0), (201, 201));
        assert_eq!(first.1["client_id"] == second.1["client_id"], is_one);
        for answer in [&first.1, &second.1] {
            let query = request(
                &service,
                text(answer, "client_id"),
                &[("redirect_uri", callback)],
            );
            let page = Browser::new(&service).open(&query).await;
            assert_eq!(page.status, 200, "{}", page.html);
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn programs_get_json_whatever_is_wrong() {
    let (service, _) = inhabited().await;
    let long = "x".repeat(20_000);
    for path in ["/oauth/token", "/token", "/oauth/revoke"] {
        let (status, answer) = post_form(&service, path, &[("client_id", long.as_str())]).await;
        assert_eq!((status, text(&answer, "error")), (413, "invalid_request"));
    }
    let (status, answer) = register(&service, &json!({"client_name": long})).await;
    assert_eq!((status, text(&answer, "error")), (413, "invalid_request"));
    // Addresses that some clients try, and must not take for a page.
    for path in [
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration/mcp",
        "/mcp/.well-known/openid-configuration",
        "/register",
    ] {
        let answer = service.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert!(kind.ends_with("json"), "{path}: {kind}");
    }
    service.stop().await;
}

#[tokio::test]
async fn every_verb_is_told_where_the_token_is_and_may_look_there() {
    let (service, _) = inhabited().await;
    for path in ["/mcp", "/mcp/"] {
        for method in ["GET", "DELETE", "POST", "PUT"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let url = format!("{}{path}", service.url);
            let answer = service.http.request(method, url).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
            assert!(
                challenge.starts_with("Bearer resource_metadata=\"http"),
                "{challenge}"
            );
        }
    }
    for name in [
        "oauth-protected-resource/mcp",
        "oauth-protected-resource",
        "oauth-authorization-server",
        "openid-configuration",
    ] {
        let url = format!("{}/.well-known/{name}", service.url);
        let answer = service.http.head(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
    }
    service.stop().await;
}

/// A client writes head and body apart, and asks for the metadata on the connection that refused it.
#[tokio::test]
async fn a_refusal_does_not_cost_the_connection() {
    let (service, _) = inhabited().await;
    let address = service.url.strip_prefix("http://").unwrap();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // By then the service has read the head.
    for _ in 0..5 {
        assert_eq!(service.get("/readyz").send().await.unwrap().status(), 200);
    }
    stream.write_all(body.as_bytes()).await.unwrap();
    let refused = answer(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let next = format!(
        "GET /.well-known/oauth-protected-resource/mcp HTTP/1.1\r\nhost: {address}\r\n\r\n"
    );
    stream.write_all(next.as_bytes()).await.unwrap();
    let found = answer(&mut stream).await;
    assert!(found.starts_with("HTTP/1.1 200"), "{found}");
    service.stop().await;
}

/// An answer whose head says how long it is.
async fn answer(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    loop {
        let read = stream.read_buf(&mut said).await.unwrap();
        let text = String::from_utf8_lossy(&said).into_owned();
        assert!(read > 0, "the connection was closed: {text}");
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let length = lines.find(|(name, _)| *name == "content-length").unwrap().1;
        if body.len() >= length.parse().unwrap() {
            return text;
        }
    }
}

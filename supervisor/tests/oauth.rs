//! The OAuth server as clients and browsers use it, and what both must not get away with.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sf_mcp::sandbox;
use sf_supervisor::store::Member;
use sha2::{Digest, Sha256};

use self::browser::Browser;
use crate::support::{Service, sf_mcp};

const OWNER: &str = "owner@example.com";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const REDIRECT: &str = "http://127.0.0.1:3118/callback";

mod browser;
mod known_clients;
mod members;
mod refusals;
mod tokens;

async fn service() -> Service {
    let service = Service::with(|config| {
        config.child = sf_mcp();
        config.child_arguments = vec!["serve".to_owned(), "--demo".to_owned()];
    })
    .await;
    service.at_window_start();
    service
}

async fn company(service: &Service, name: &str, email: &str) -> Member {
    let now = service.app.clock.now();
    let store = &service.app.store;
    store.add_tenant(name, email, "free", now).await.unwrap()
}

/// A service with one company and its owner.
async fn inhabited() -> (Service, Member) {
    let service = service().await;
    let owner = company(&service, "Acme Heating", OWNER).await;
    (service, owner)
}

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

async fn register(service: &Service, said: &Value) -> (u16, Value) {
    let answer = service.post("/oauth/register", said).send().await.unwrap();
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    (
        status,
        serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
    )
}

/// A registered client's id.
async fn client(service: &Service) -> String {
    let said = json!({"client_name": "Test <client>", "redirect_uris": [REDIRECT]});
    let (status, answer) = register(service, &said).await;
    assert_eq!(status, 201, "{answer}");
    answer["client_id"].as_str().unwrap().to_owned()
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// The usual request of a client, with some parameters changed (an empty one is left out).
fn request(service: &Service, client_id: &str, changes: &[(&str, &str)]) -> String {
    let (challenge, resource) = (challenge(), service.app.config.resource());
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", REDIRECT),
        ("state", "st&te=1"),
        ("scope", "sf:read"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("resource", &resource),
    ];
    for (name, value) in changes {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    encoded(&pairs)
}

async fn post_form(service: &Service, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let answer = service
        .http
        .post(format!("{}{path}", service.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encoded(form))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
    )
}

async fn exchange(service: &Service, client_id: &str, code: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client_id),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", REDIRECT),
    ];
    post_form(service, "/oauth/token", &form).await
}

async fn refresh(service: &Service, client_id: &str, token: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", client_id),
        ("refresh_token", token),
    ];
    post_form(service, "/oauth/token", &form).await
}

/// The whole way from nothing to tokens.
async fn connected(service: &Service, client_id: &str, email: &str, write: bool) -> Value {
    let mut browser = Browser::new(service);
    let query = request(service, client_id, &[]);
    let page = browser.sign_in(service, &query, email).await;
    let code = browser.allow(&page, write).await;
    let (status, answer) = exchange(service, client_id, &code).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// A call of `/mcp`; returns status, challenge and answer.
async fn call(service: &Service, token: &str, tool: &str) -> (u16, String, Value) {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": tool, "arguments": {}}});
    let answer = service
        .post("/mcp", &body)
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let challenge = answer.headers().get("www-authenticate");
    let challenge = challenge
        .map_or("", |value| value.to_str().unwrap())
        .to_owned();
    let text = answer.text().await.unwrap();
    (
        status,
        challenge,
        serde_json::from_str(&text).unwrap_or(Value::Null),
    )
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    assert!(answer[name].is_string(), "no {name}: {answer}");
    answer[name].as_str().unwrap()
}

#[tokio::test]
async fn a_client_finds_everything_by_the_address_alone() {
    let (service, _) = inhabited().await;
    let resource = format!("{}/mcp", service.url);
    for method in ["GET", "POST", "DELETE", "PUT"] {
        let method = method.parse().unwrap();
        let answer = service
            .http
            .request(method, &resource)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
        let expected = format!(
            "Bearer resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\", scope=\"sf:read\"",
            service.url
        );
        assert_eq!(challenge, expected);
    }
    let (status, challenge, _) = call(&service, "sfo_unknown", "list_jobs").await;
    assert_eq!(status, 401);
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");

    for path in ["", "/mcp"] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        let answer = service.get(&path).send().await.unwrap();
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let document: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(document["resource"], resource);
        assert_eq!(document["authorization_servers"], json!([service.url]));
        assert!(!document.to_string().contains("offline_access"));
    }
    for name in ["oauth-authorization-server", "openid-configuration"] {
        let path = format!("/.well-known/{name}");
        let answer = service.get(&path).send().await.unwrap();
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        let document: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(document["issuer"], service.url);
        assert_eq!(
            document["code_challenge_methods_supported"],
            json!(["S256"])
        );
        let methods = document["token_endpoint_auth_methods_supported"]
            .as_array()
            .unwrap();
        assert!(methods.contains(&json!("none")));
        assert_eq!(document["client_id_metadata_document_supported"], true);
        assert_eq!(
            document["authorization_response_iss_parameter_supported"],
            true
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn a_person_connects_a_client_and_it_calls_tools() {
    let (service, owner) = inhabited().await;
    let client_id = client(&service).await;
    let mut browser = Browser::new(&service);
    let query = request(
        &service,
        &client_id,
        &[("scope", "sf:read sf:write offline_access")],
    );
    let page = browser.sign_in(&service, &query, OWNER).await;
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(
        policy.contains("form-action 'self' http: https:;"),
        "{policy}"
    );
    assert_eq!(page.headers["x-frame-options"], "DENY");
    for shown in [
        "Test &#60;client&#62;",
        "127.0.0.1",
        "Acme Heating",
        OWNER,
        "this computer",
    ] {
        assert!(page.html.contains(shown), "{shown}: {}", page.html);
    }
    assert!(!page.html.contains("<client>"));
    let scripts = page.html.matches("<script").count();
    assert_eq!(scripts, 1, "{}", page.html);
    assert!(page.html.contains("<script src=\"/assets/script."));
    assert!(page.html.contains("value=\"yes\" checked"));

    let tenant = page.field("tenant_id");
    let answer = [
        ("tenant_id", tenant.as_str()),
        ("decision", "allow"),
        ("write", "yes"),
    ];
    let sent = browser.submit(&page, "/oauth/consent", &answer).await;
    assert_eq!(sent.status, 303);
    assert!(sent.location.as_deref().unwrap().starts_with(REDIRECT));
    let sent = sent.sent();
    assert_eq!(sent["state"], "st&te=1");
    assert_eq!(sent["iss"], service.url);

    let (status, tokens) = exchange(&service, &client_id, &sent["code"]).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["scope"], "sf:read sf:write");
    assert_eq!(tokens["expires_in"], 3600);
    let (status, _, answer) = call(
        &service,
        text(&tokens, "access_token"),
        "get_dispatch_board",
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["result"]["content"].is_array(), "{answer}");

    let entries = service
        .app
        .store
        .entries(Some(&owner.tenant_id), 10)
        .await
        .unwrap();
    assert!(
        entries
            .iter()
            .any(|entry| entry.action == "oauth.allow" && entry.actor == OWNER)
    );
    // The token opens /mcp and nothing else, and nothing of it is in the database.
    let answer = service
        .get("/api/usage")
        .bearer_auth(text(&tokens, "access_token"));
    assert_eq!(answer.send().await.unwrap().status(), 401);
    let dump = service.around.database.dump().await;
    for secret in [
        text(&tokens, "access_token"),
        text(&tokens, "refresh_token"),
        &sent["code"],
    ] {
        let found = dump
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "a secret is stored as it is");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_known_vendor_needs_no_registration() {
    let (service, _) = inhabited().await;
    let mut browser = Browser::new(&service);
    let id = "https://claude.ai/oauth/mcp-oauth-client-metadata";
    let redirect = "https://claude.ai/api/mcp/auth_callback";
    let query = request(&service, id, &[("redirect_uri", redirect)]);
    let page = browser.sign_in(&service, &query, OWNER).await;
    assert!(page.html.contains("<dd>claude.ai</dd>"), "{}", page.html);
    assert!(!page.html.contains("this computer"));
    let code = browser.allow(&page, false).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", id),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", redirect),
    ];
    let (status, answer) = post_form(&service, "/oauth/token", &form).await;
    assert_eq!(
        (status, &answer["scope"]),
        (200, &json!("sf:read")),
        "{answer}"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_person_of_several_companies_chooses_one() {
    let (service, _) = inhabited().await;
    let second = company(&service, "Bolt Plumbing", OWNER).await;
    let client_id = client(&service).await;
    let mut browser = Browser::new(&service);
    let query = request(&service, &client_id, &[]);
    let page = browser.sign_in(&service, &query, OWNER).await;
    assert!(page.html.contains("Acme Heating") && page.html.contains("Bolt Plumbing"));
    let more = [("decision", "allow")];
    let nothing = browser.submit(&page, "/oauth/consent", &more).await;
    assert_eq!(nothing.status, 400);
    let foreign = company(&service, "Cool Air", "other@example.com").await;
    let more = [
        ("decision", "allow"),
        ("tenant_id", foreign.tenant_id.as_str()),
    ];
    assert_eq!(
        browser.submit(&page, "/oauth/consent", &more).await.status,
        400
    );
    let more = [
        ("decision", "allow"),
        ("tenant_id", second.tenant_id.as_str()),
    ];
    let sent = browser.submit(&page, "/oauth/consent", &more).await.sent();
    let (status, _) = exchange(&service, &client_id, &sent["code"]).await;
    assert_eq!(status, 200);
    let now = service.app.clock.now();
    let families = service
        .app
        .store
        .families_of(&second.tenant_id, now)
        .await
        .unwrap();
    assert_eq!(families.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let around = crate::support::Around::new(sandbox::Options::default()).await;
    let service = Service::over(around.clone(), |_| {}).await;
    let owner = company(&service, "Acme Heating", OWNER).await;
    let client_id = client(&service).await;
    let tokens = connected(&service, &client_id, OWNER, false).await;
    let public_url = service.url.clone();
    service.stop().await;

    let service = Service::over(around, |config| config.public_url = public_url).await;
    let (status, answer) = refresh(&service, &client_id, text(&tokens, "refresh_token")).await;
    assert_eq!(status, 200, "{answer}");
    let now = service.app.clock.now();
    let families = service
        .app
        .store
        .families_of(&owner.tenant_id, now)
        .await
        .unwrap();
    assert_eq!(families[0].client_name, "Test <client>");
    service.stop().await;
}

//! Pages for people, as their browsers ask for them: who sees what, and what goes over the wire.

use reqwest::{RequestBuilder, Response, header::HeaderMap};
use secrecy::ExposeSecret;
use sf_supervisor::{
    store::{Member, Origin, UsageEvent, UsageSource},
    tokens::{self, Kind},
};

use crate::support::Service;

const OWNER: &str = "owner@example.com";

async fn company(service: &Service, name: &str, email: &str) -> Member {
    let now = service.app.clock.now();
    let store = &service.app.store;
    store.add_tenant(name, email, "free", now).await.unwrap()
}

/// Connected to the sandbox, as far as pages ask.
pub(crate) async fn activate(service: &Service, member: &Member) {
    let connect = format!("/app/{}/reconnect", member.tenant_id);
    let cookie = signed_in(service, &member.email).await;
    let form = [
        ("way", "consumer"),
        ("client_id", sf_mcp::sandbox::CLIENT_ID),
        ("client_secret", sf_mcp::sandbox::CLIENT_SECRET),
        ("time_zone", "America/Chicago"),
    ];
    let answer = post(service, &cookie, &connect, &form).await;
    assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap());
}

/// A browser's cookie after a sign-in.
pub(crate) async fn signed_in(service: &Service, email: &str) -> String {
    let new = tokens::with_prefix("sfs_").unwrap();
    let (store, now) = (&service.app.store, service.app.clock.now());
    let until = now + 8 * 3_600_000;
    let adding = store.add_session(&new.hash, "", email, now, until);
    adding.await.unwrap();
    format!("sf_session={}", new.token.expose_secret())
}

fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    client.no_gzip().build().unwrap()
}

fn asking(service: &Service, cookie: &str, path: &str) -> RequestBuilder {
    let request = client().get(format!("{}{path}", service.url));
    let request = request.header("accept", "text/html");
    request.header("cookie", cookie)
}

pub(crate) async fn get(service: &Service, cookie: &str, path: &str) -> Response {
    asking(service, cookie, path).send().await.unwrap()
}

/// A form as its page would send it.
pub(crate) async fn post(
    service: &Service,
    cookie: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Response {
    let (_, session) = cookie.split_once('=').unwrap();
    let hash = tokens::hash(session);
    let token = service.app.master.form_token(&hash, path);
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("request", path);
    form.append_pair("form_token", &token);
    form.extend_pairs(fields);
    let request = client().post(format!("{}{path}", service.url));
    let request = request
        .header("cookie", cookie)
        .header("origin", &service.url)
        .header("content-type", "application/x-www-form-urlencoded");
    request.body(form.finish()).send().await.unwrap()
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_stranger_is_sent_to_sign_in_and_back() {
    let service = Service::start().await;
    let owner = company(&service, "Acme Heating", OWNER).await;
    let token = tokens::generate(Kind::Bearer).unwrap();

    for path in [
        format!("/app/{}/install", owner.tenant_id),
        format!("/app/{}/install/check", owner.tenant_id),
        format!("/app/{}/reconnect", owner.tenant_id),
        "/sign-up/connect".to_owned(),
    ] {
        let answer = asking(&service, "", &path).bearer_auth(token.token.expose_secret());
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 303, "{path}");
        let location = header(answer.headers(), "location");
        let encoded: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        assert_eq!(location, format!("/sign-in?next={encoded}"));
    }
    service.stop().await;
}

#[tokio::test]
async fn a_company_is_there_for_its_people_alone() {
    let service = Service::start().await;
    let owner = company(&service, "Acme Heating", OWNER).await;
    company(&service, "Bolt Plumbing", "bob@example.com").await;
    let cookie = signed_in(&service, "bob@example.com").await;

    for page in ["install", "install/check", "reconnect"] {
        let path = format!("/app/{}/{page}", owner.tenant_id);
        let answer = get(&service, &cookie, &path).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert!(!answer.text().await.unwrap().contains("Acme"), "{path}");
    }
    for page in ["install/env", "install/mcpb", "reconnect"] {
        let path = format!("/app/{}/{page}", owner.tenant_id);
        let answer = post(&service, &cookie, &path, &[("form", "remote")]).await;
        assert_eq!(answer.status(), 404, "{path}");
    }
    let tokens = service.app.store.tokens_of(&owner.tenant_id, Kind::Bearer);
    assert!(tokens.await.unwrap().is_empty());
    service.stop().await;
}

#[tokio::test]
async fn the_check_turns_green_at_the_first_call_that_goes_well() {
    let service = Service::start().await;
    let owner = company(&service, "Acme Heating", OWNER).await;
    let cookie = signed_in(&service, OWNER).await;
    let path = format!("/app/{}/install/check", owner.tenant_id);
    let check = async || {
        let text = get(&service, &cookie, &path).await.text().await.unwrap();
        let check: serde_json::Value = serde_json::from_str(&text).unwrap();
        (
            check["done"] == true,
            check["text"].as_str().unwrap().to_owned(),
        )
    };
    let called = async |id: &str, status: &'static str| {
        let event = UsageEvent {
            id: id.to_owned(),
            at: service.app.clock.now(),
            tool: "get_dispatch_board",
            endpoint: String::new(),
            status,
            duration_ms: 1,
            bytes: 1,
            client: "claude-ai/1.2".to_owned(),
            era: "".into(),
        };
        let source = UsageSource {
            tenant_id: &owner.tenant_id,
            token_id: None,
            member_id: None,
            origin: Origin::Hosted,
        };
        let now = service.app.clock.now();
        service
            .app
            .store
            .add_usage(source, &[event], now)
            .await
            .unwrap();
    };

    let (done, text) = check().await;
    assert!(!done && text.starts_with("Waiting"), "{text}");
    called("1", "refused").await;
    let (done, text) = check().await;
    assert!(!done && text.contains("did not go well"), "{text}");
    called("2", "ok").await;
    let (done, text) = check().await;
    assert!(done, "{text}");
    assert_eq!(text, "It works: claude-ai called get_dispatch_board.");
    service.stop().await;
}

#[tokio::test]
async fn a_button_makes_a_token_that_is_good_for_what_its_person_may() {
    let service = Service::start().await;
    let owner = company(&service, "Acme Heating", OWNER).await;
    let install = format!("/app/{}/install", owner.tenant_id);
    let cookie = signed_in(&service, OWNER).await;
    let page = get(&service, &cookie, &install).await.text().await.unwrap();
    assert!(
        page.contains("Service Fusion is not connected yet"),
        "{page}"
    );

    activate(&service, &owner).await;
    let tenant = service.app.store.tenant(&owner.tenant_id).await.unwrap();
    let tenant = tenant.unwrap();
    assert!(tenant.activated_at.is_some());
    assert_eq!(tenant.time_zone.as_deref(), Some("America/Chicago"));
    let page = get(&service, &cookie, &install).await.text().await.unwrap();
    assert!(page.contains(&format!("{}/mcp", service.url)), "{page}");
    let bearers = async || {
        let bearers = service.app.store.tokens_of(&owner.tenant_id, Kind::Bearer);
        bearers.await.unwrap().len()
    };
    assert_eq!(bearers().await, 0, "looking makes no token");

    let made = post(
        &service,
        &cookie,
        &format!("{install}/env"),
        &[("form", "remote")],
    )
    .await;
    assert_eq!(made.status(), 200);
    assert_eq!(header(made.headers(), "cache-control"), "no-store");
    let page = made.text().await.unwrap();
    let (_, rest) = page.split_once("SF_MCP_REMOTE_TOKEN=").unwrap();
    let token = &rest[..47];
    let (hash, now) = (tokens::hash(token), service.app.clock.now());
    let stored = service.app.store.live_token(&hash, now);
    let stored = stored.await.unwrap().unwrap();
    assert_eq!(stored.member_id.as_deref(), Some(&*owner.id));
    assert_eq!(bearers().await, 1);

    for (client, fields, status) in [
        ("nothing", vec![], 404),
        ("mcpb", vec![("platform", "beos-x64")], 400),
        ("cursor", vec![("form", "local"), ("command", "-rf")], 400),
    ] {
        let path = format!("{install}/{client}");
        let answer = post(&service, &cookie, &path, &fields).await;
        assert_eq!(answer.status(), status, "{path}");
        let kind = header(answer.headers(), "content-type").to_owned();
        assert!(kind.starts_with("text/html"), "{kind}");
    }
    service.stop().await;
}

#[tokio::test]
async fn credentials_are_not_tried_without_end() {
    let service = Service::start().await;
    company(&service, "Acme Heating", OWNER).await;
    let cookie = signed_in(&service, OWNER).await;
    let wrong = [
        ("client_id", "sandbox-consumer"),
        ("client_secret", "wrong"),
        ("time_zone", "UTC"),
    ];
    let page = get(&service, &cookie, "/sign-up/connect").await;
    let page = page.text().await.unwrap();
    let practice = sf_mcp::sandbox::CLIENT_SECRET;
    assert!(
        !page.contains(practice),
        "only --dev says what to practise with"
    );
    let attempt = async || {
        let answer = post(&service, &cookie, "/sign-up/connect", &wrong).await;
        answer.status().as_u16()
    };
    for _ in 0..20 {
        assert_eq!(attempt().await, 422);
    }
    assert_eq!(attempt().await, 429);
    service.stop().await;
}

#[tokio::test]
async fn an_operator_without_a_company_gets_a_code_and_a_stranger_does_not() {
    let service = Service::with(|config| {
        config.operators = vec!["operator@example.com".to_owned()];
    })
    .await;
    for (email, says) in [
        ("operator@example.com", "your code is"),
        ("stranger@example.com", "nobody has signed up with it"),
    ] {
        let cookie = header(get(&service, "", "/sign-in").await.headers(), "set-cookie").to_owned();
        let cookie = cookie.split(';').next().unwrap();
        let answer = post(&service, cookie, "/sign-in", &[("email", email)]).await;
        assert_eq!(answer.status(), 200);
        let mails = service.mails(email, 1).await;
        assert!(mails[0].contains(says), "{}", mails[0]);
    }
    service.stop().await;
}

#[tokio::test]
async fn pages_are_small_compressed_and_kept_by_nobody() {
    let service = Service::start().await;
    let answer = asking(&service, "", "/").header("accept-encoding", "gzip");
    let answer = answer.send().await.unwrap();
    let headers = answer.headers().clone();
    assert_eq!(header(&headers, "content-encoding"), "gzip");
    assert_eq!(header(&headers, "cache-control"), "no-store");
    let policy = header(&headers, "content-security-policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self';",
        "form-action 'self';",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");

    let page = get(&service, "", "/").await.text().await.unwrap();
    let mut whole = answer.bytes().await.unwrap().len();
    let loaded: Vec<&str> = page
        .split('"')
        .filter(|text| text.starts_with("/assets/"))
        .collect();
    assert_eq!(
        loaded.len(),
        4,
        "the icon twice, the style and the script: {loaded:?}"
    );
    for path in loaded {
        let answer = asking(&service, "", path).header("accept-encoding", "gzip");
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let kept = header(answer.headers(), "cache-control");
        assert!(kept.contains("immutable"), "{path}: {kept}");
        whole += answer.bytes().await.unwrap().len();
    }
    assert!(whole < 60_000, "{whole} bytes");
    assert_eq!(get(&service, "", "/assets/style.css").await.status(), 404);
    service.stop().await;
}

#[tokio::test]
async fn a_strange_address_is_told_in_words_to_a_person() {
    let service = Service::start().await;
    let answer = get(&service, "", "/nothing").await;
    assert_eq!(answer.status(), 404);
    let page = answer.text().await.unwrap();
    assert!(page.contains("There is no such page"), "{page}");
    service.stop().await;
}

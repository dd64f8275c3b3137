//! Credentials are proven, sealed and stored; a company becomes active.

use reqwest::Response;
use serde_json::{Value, json};
use sf_mcp::sandbox::{APP_CLIENT_ID, APP_CLIENT_SECRET, CLIENT_ID, CLIENT_SECRET};

use crate::{
    signup::{code, confirm, value},
    support::Service,
};

const EMAIL: &str = "anna@example.com";

/// An activation token for the address.
pub(crate) async fn confirmed(service: &Service, email: &str) -> String {
    service.at_window_start();
    let seen = service.mails_now(email).len();
    let code = code(service, email, seen + 1).await;
    let confirmed = value(confirm(service, email, &code).await).await;
    confirmed["activation_token"].as_str().unwrap().to_owned()
}

fn activation(service: &Service, token: &str, id: &str, secret: &str) -> reqwest::RequestBuilder {
    let form = json!({"client_id": id, "client_secret": secret});
    service.post("/api/activate", &form).bearer_auth(token)
}

async fn activate(service: &Service, token: &str, id: &str, secret: &str) -> Response {
    activation(service, token, id, secret).send().await.unwrap()
}

/// A company as its activation describes it, through every step.
pub(crate) async fn activated(service: &Service, email: &str) -> Value {
    let token = confirmed(service, email).await;
    let answer = activate(service, &token, CLIENT_ID, CLIENT_SECRET).await;
    assert_eq!(answer.status(), 201);
    value(answer).await
}

#[tokio::test]
async fn proven_credentials_make_a_company_active() {
    let service = Service::start().await;
    let token = confirmed(&service, EMAIL).await;

    let answer = activate(&service, &token, &format!(" {CLIENT_ID}\n"), CLIENT_SECRET).await;

    assert_eq!(answer.status(), 201);
    let active = value(answer).await;
    assert_eq!(active["tenant"]["company"], "Comfort Air");
    assert!(active["token"].as_str().unwrap().starts_with("sfb_"));
    assert_eq!(active["mcp_url"], format!("{}/mcp", service.url));
    let bundles = active["bundles"].as_object().unwrap();
    assert_eq!(bundles.len(), 7);
    assert_eq!(
        bundles["claude-code"],
        format!("{}/api/bundles/claude-code", service.url)
    );
    let tenant = active["tenant"]["id"].as_str().unwrap();
    let head = service.app.vault.head(tenant).await.unwrap().unwrap();
    assert_eq!(head.generation, 1);
    let again = activate(&service, &token, CLIENT_ID, CLIENT_SECRET).await;
    assert_eq!(again.status(), 401, "an activation token works once");
    service.stop().await;
}

#[tokio::test]
async fn refused_credentials_store_nothing_and_leave_the_token_good() {
    let service = Service::start().await;
    let token = confirmed(&service, EMAIL).await;
    for (id, secret) in [
        (CLIENT_ID, "wrong"),
        ("wrong", CLIENT_SECRET),
        (APP_CLIENT_ID, APP_CLIENT_SECRET),
    ] {
        let answer = activate(&service, &token, id, secret).await;
        assert_eq!(answer.status(), 422, "{id}");
        let problem = value(answer).await;
        assert_eq!(problem["code"], "credentials_rejected");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("OAuth Consumer")
        );
        assert!(!problem.to_string().contains(secret), "{problem}");
    }
    for (id, secret) in [("", "x"), ("x", "a\nb"), ("x", " ")] {
        assert_eq!(activate(&service, &token, id, secret).await.status(), 400);
    }
    let owner = service
        .app
        .store
        .owned_tenant(EMAIL)
        .await
        .unwrap()
        .unwrap();
    assert!(owner.activated_at.is_none());
    assert!(service.app.vault.head(&owner.id).await.unwrap().is_none());
    let answer = activate(&service, &token, CLIENT_ID, CLIENT_SECRET).await;
    assert_eq!(answer.status(), 201);
    service.stop().await;
}

#[tokio::test]
async fn without_service_fusion_the_token_stays_good() {
    let service = Service::start().await;
    let token = confirmed(&service, EMAIL).await;
    for path in ["/oauth/access_token", "/v1/me"] {
        fault(
            &service,
            &json!([{"kind": "status", "status": 503, "match": {"path_contains": path}}]),
        )
        .await;
        let answer = activate(&service, &token, CLIENT_ID, CLIENT_SECRET).await;
        assert_eq!(answer.status(), 503, "{path}");
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(value(answer).await["code"], "upstream_unavailable");
    }
    let answer = activate(&service, &token, CLIENT_ID, CLIENT_SECRET).await;
    assert_eq!(answer.status(), 201);
    service.stop().await;
}

async fn fault(service: &Service, faults: &Value) {
    let url = format!("{}/sandbox/faults", service.around.sandbox.origin());
    let request = service
        .http
        .post(url)
        .header("content-type", "application/json");
    let answer = request.body(faults.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap());
}

#[tokio::test]
async fn of_two_activations_at_once_one_wins() {
    let service = Service::start().await;
    let token = confirmed(&service, EMAIL).await;
    let (one, two) = tokio::join!(
        activate(&service, &token, CLIENT_ID, CLIENT_SECRET),
        activate(&service, &token, CLIENT_ID, CLIENT_SECRET)
    );
    let mut statuses = [one.status().as_u16(), two.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 401]);
    service.stop().await;
}

#[tokio::test]
async fn new_credentials_replace_the_old_and_tokens_stay_good() {
    let service = Service::start().await;
    let first = activated(&service, EMAIL).await;
    let second = activated(&service, EMAIL).await;
    assert_eq!(first["tenant"]["id"], second["tenant"]["id"]);
    let tenant = first["tenant"]["id"].as_str().unwrap();
    let head = service.app.vault.head(tenant).await.unwrap().unwrap();
    assert_eq!(head.generation, 2);
    for active in [&first, &second] {
        let request = service.get("/api/devices");
        let token = active["token"].as_str().unwrap();
        let answer = request.bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    service.stop().await;
}

/// The client hangs up while Service Fusion takes its time.
#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_half_stored() {
    let service = Service::start().await;
    let token = confirmed(&service, EMAIL).await;
    for path in ["/oauth/access_token", "/v1/me"] {
        let slow = json!([{"kind": "hang", "match": {"path_contains": path}}]);
        fault(&service, &slow).await;
        let asked = activation(&service, &token, CLIENT_ID, CLIENT_SECRET)
            .timeout(std::time::Duration::from_millis(300))
            .send()
            .await;
        assert!(asked.unwrap_err().is_timeout());
        let owner = service
            .app
            .store
            .owned_tenant(EMAIL)
            .await
            .unwrap()
            .unwrap();
        assert!(owner.activated_at.is_none());
        assert!(service.app.vault.head(&owner.id).await.unwrap().is_none());
    }
    let answer = activate(&service, &token, CLIENT_ID, CLIENT_SECRET).await;
    assert_eq!(answer.status(), 201);
    service.stop().await;
}

/// Asks for a consent, and returns Service Fusion's page's address.
async fn begin(service: &Service, token: &str, secret: &str) -> Response {
    let form = json!({"client_id": APP_CLIENT_ID, "client_secret": secret});
    let request = service.post("/api/activate/browser", &form);
    request.bearer_auth(token).send().await.unwrap()
}

/// What the person decides at Service Fusion; returns the address the browser is sent back to.
async fn decide(authorize_url: &str, decision: &str) -> String {
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let (page, query) = authorize_url.split_once('?').unwrap();
    let answer = http
        .post(page)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("{query}&decision={decision}"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 302);
    answer.headers()["location"].to_str().unwrap().to_owned()
}

async fn progress(service: &Service, token: &str) -> Response {
    let request = service.get("/api/activate").bearer_auth(token);
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_consent_in_the_browser_makes_a_company_active() {
    let service = Service::start().await;
    let token = confirmed(&service, EMAIL).await;
    assert_eq!(
        value(progress(&service, &token).await).await,
        json!({"state": "none"})
    );
    let begun = value(begin(&service, &token, APP_CLIENT_SECRET).await).await;
    assert_eq!(
        begun["redirect_uri"],
        format!("{}/api/activate/callback", service.url)
    );
    assert_eq!(
        value(progress(&service, &token).await).await,
        json!({"state": "pending"})
    );

    let back = decide(begun["authorize_url"].as_str().unwrap(), "allow").await;
    let page = service.http.get(&back).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(
        page.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("'none'")
    );
    assert!(
        page.text()
            .await
            .unwrap()
            .contains("Service Fusion is connected")
    );
    let again = service.http.get(&back).send().await.unwrap();
    assert_eq!(again.status(), 400, "a state works once");

    let active = value(progress(&service, &token).await).await;
    assert_eq!(active["state"], "activated");
    assert!(active["token"].as_str().unwrap().starts_with("sfb_"));
    let tenant = active["tenant"]["id"].as_str().unwrap();
    let head = service.app.vault.head(tenant).await.unwrap().unwrap();
    assert_eq!(head.kind.word(), "authorization_code");
    assert_eq!(
        progress(&service, &token).await.status(),
        401,
        "the result is told once"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_consent_that_fails_stores_nothing_and_can_be_asked_for_again() {
    let service = Service::start().await;
    let token = confirmed(&service, EMAIL).await;
    for (secret, decision, code) in [
        (APP_CLIENT_SECRET, "deny", "access_denied"),
        ("wrong", "allow", "credentials_rejected"),
    ] {
        let begun = value(begin(&service, &token, secret).await).await;
        let back = decide(begun["authorize_url"].as_str().unwrap(), decision).await;
        assert_eq!(service.http.get(&back).send().await.unwrap().status(), 400);
        let told = value(progress(&service, &token).await).await;
        assert_eq!(told, json!({"state": "failed", "code": code}));
        // The newest of two consents is the one that counts, and they are told apart by time.
        service.around.clock.advance(1_000);
    }
    let begun = value(begin(&service, &token, APP_CLIENT_SECRET).await).await;
    let back = decide(begun["authorize_url"].as_str().unwrap(), "allow").await;
    service.around.clock.advance(10 * 60_000);
    assert_eq!(
        service.http.get(&back).send().await.unwrap().status(),
        400,
        "too late"
    );
    let told = value(progress(&service, &token).await).await;
    assert_eq!(told, json!({"state": "failed", "code": "expired"}));

    let owner = service
        .app
        .store
        .owned_tenant(EMAIL)
        .await
        .unwrap()
        .unwrap();
    assert!(service.app.vault.head(&owner.id).await.unwrap().is_none());
    let answer = activate(&service, &token, CLIENT_ID, CLIENT_SECRET).await;
    assert_eq!(answer.status(), 201);
    service.stop().await;
}

#[tokio::test]
async fn a_callback_that_nobody_asked_for_is_refused() {
    let service = Service::start().await;
    for query in ["", "?code=x", "?code=x&state=y", "?state=a&state=b&code=c"] {
        let answer = service
            .get(&format!("/api/activate/callback{query}"))
            .send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 400, "{query}");
        assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_suspended_company_activates_nothing() {
    use sqlx::Connection;
    let service = Service::start().await;
    let token = confirmed(&service, EMAIL).await;
    let url = &service.around.database.url;
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    sqlx::query("UPDATE tenants SET suspended_at = 1")
        .execute(&mut connection)
        .await
        .unwrap();
    let answer = activate(&service, &token, CLIENT_ID, CLIENT_SECRET).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(value(answer).await["code"], "tenant_suspended");
    service.stop().await;
}

/// With the database in hand nobody has a code, a token or a credential.
#[tokio::test]
async fn the_database_holds_no_secret_that_is_readable() {
    let service = Service::start().await;
    let token = confirmed(&service, EMAIL).await;
    value(begin(&service, &token, APP_CLIENT_SECRET).await).await;
    let active = value(activate(&service, &token, CLIENT_ID, CLIENT_SECRET).await).await;
    let code = code(&service, EMAIL, 2).await;
    let store = &service.app.store;
    let tenant = active["tenant"]["id"].as_str().unwrap();
    let mut kept = format!("{:?}", store.credentials(tenant).await.unwrap().unwrap());
    for table in ["codes", "tokens", "browser_grants", "audit", "counters"] {
        kept.push_str(&columns_of(&service, table).await);
    }
    let bearer = active["token"].as_str().unwrap();
    let quoted = format!("\"{code}\"");
    for secret in [
        &*token,
        bearer,
        &quoted,
        CLIENT_SECRET,
        APP_CLIENT_SECRET,
        CLIENT_ID,
    ] {
        assert!(!kept.contains(secret), "a secret is readable");
    }
    service.stop().await;
}

/// Every text of a table, quoted.
async fn columns_of(service: &Service, table: &str) -> String {
    use sqlx::{AnyConnection, Column, Connection, Row};
    let mut connection = AnyConnection::connect(&service.around.database.url)
        .await
        .unwrap();
    let statement = sqlx::AssertSqlSafe(format!("SELECT * FROM {table}"));
    let rows = sqlx::query(statement)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert!(!rows.is_empty(), "{table}");
    let mut all = String::new();
    for row in &rows {
        for column in row.columns() {
            if let Ok(text) = row.try_get::<Option<String>, _>(column.ordinal()) {
                all.extend([format!("{text:?}"), "\n".to_owned()]);
            }
        }
    }
    all
}

//! The OAuth flows.

use serde_json::json;

use super::{Reply, Tested, options};
use crate::sandbox::{APP_CLIENT_ID, APP_CLIENT_SECRET};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

async fn refresh(tested: &Tested, token: &str) -> Reply {
    tested
        .post(
            "/oauth/access_token",
            &json!({"grant_type": "refresh_token", "refresh_token": token}),
        )
        .await
}

#[tokio::test]
async fn a_browser_sign_in_ends_with_tokens() {
    let tested = Tested::start(options()).await;
    let query = format!(
        "response_type=code&client_id={APP_CLIENT_ID}&redirect_uri=http%3A%2F%2F127.0.0.1%3A4567%2Fcb&state=a%22%3Cb"
    );

    let page = tested.get(&format!("/oauth/authorize?{query}")).await;
    assert!(page.body.contains("value=\"a&quot;&lt;b\"") && page.body.contains("Allow"));
    let allowed = tested
        .send(
            "POST",
            "/oauth/authorize",
            FORM,
            &format!("{query}&decision=allow"),
        )
        .await
        .unwrap();
    let location = &allowed.headers["location"];
    let code = location
        .split("code=")
        .nth(1)
        .and_then(|rest| rest.split('&').next())
        .unwrap();
    assert!(allowed.status == 302 && location.ends_with("&state=a%22%3Cb"));
    let exchange = format!(
        "grant_type=authorization_code&client_id={APP_CLIENT_ID}&client_secret={APP_CLIENT_SECRET}&code={code}&redirect_uri=http%3A%2F%2F127.0.0.1%3A4567%2Fcb"
    );
    let first = tested
        .send("POST", "/oauth/access_token", FORM, &exchange)
        .await
        .unwrap();
    let again = tested
        .send("POST", "/oauth/access_token", FORM, &exchange)
        .await
        .unwrap();

    assert_eq!(
        (first.status, &first.json()["token_type"]),
        (200, &json!("Bearer"))
    );
    assert_eq!(
        (again.status, &again.json()["error"]),
        (400, &json!("invalid_grant"))
    );
}

#[tokio::test]
async fn a_denial_and_a_strange_redirect_are_told_apart() {
    let tested = Tested::start(options()).await;
    let query = format!("response_type=code&client_id={APP_CLIENT_ID}&state=s");

    let denied = tested
        .send(
            "POST",
            "/oauth/authorize",
            FORM,
            &format!("{query}&decision=deny"),
        )
        .await
        .unwrap();
    let strange = tested
        .get(&format!(
            "/oauth/authorize?{query}&redirect_uri=https%3A%2F%2Fexample.com%2Fcb"
        ))
        .await;

    assert!(
        denied.headers["location"].contains("error=access_denied")
            && denied.headers["location"].contains("state=s")
    );
    assert_eq!(
        (strange.status, strange.headers.get("location")),
        (400, None)
    );
}

#[tokio::test]
async fn basic_authentication_with_a_form_body_is_accepted() {
    let tested = Tested::start(options()).await;
    // sandbox-consumer:sandbox-consumer-secret
    let basic = format!(
        "Authorization: Basic c2FuZGJveC1jb25zdW1lcjpzYW5kYm94LWNvbnN1bWVyLXNlY3JldA==\r\n{FORM}"
    );

    let reply = tested
        .send(
            "POST",
            "/oauth/access_token",
            &basic,
            "grant_type=client_credentials",
        )
        .await
        .unwrap();

    assert_eq!(
        (reply.status, &reply.json()["expires_in"]),
        (200, &json!(3600))
    );
    assert_eq!(reply.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_lost_rotation_cannot_be_repeated_and_ends_the_family() {
    let tested = Tested::start(options()).await;
    let body = json!({
        "grant_type": "client_credentials", "client_id": crate::sandbox::CLIENT_ID,
        "client_secret": crate::sandbox::CLIENT_SECRET,
    });
    let first = tested.post("/oauth/access_token", &body).await.json();
    let token = first["refresh_token"].as_str().unwrap();
    tested
        .fault(json!([{"match": {"grant": "refresh_token"}, "kind": "drop_after"}]))
        .await;

    let body = json!({"grant_type": "refresh_token", "refresh_token": token}).to_string();
    let lost = tested
        .send(
            "POST",
            "/oauth/access_token",
            "Content-Type: application/json\r\n",
            &body,
        )
        .await;
    let again = refresh(&tested, token).await;

    assert!(lost.is_err());
    assert_eq!(
        (again.status, &again.json()["error"]),
        (400, &json!("invalid_grant"))
    );
    let bearer = format!(
        "Authorization: Bearer {}\r\n",
        first["access_token"].as_str().unwrap()
    );
    assert_eq!(
        tested
            .send("GET", "/v1/me", &bearer, "")
            .await
            .unwrap()
            .status,
        401
    );
    let state = tested.state().await;
    assert_eq!(
        (
            &state["refreshes"],
            &state["refresh_reuse"],
            &state["client_credentials"]
        ),
        (&json!(1), &json!(1), &json!(2))
    );
}

#[tokio::test]
async fn wrong_secrets_and_grants_are_refused() {
    let tested = Tested::start(options()).await;

    let secret = tested.post("/oauth/access_token", &json!({"grant_type": "client_credentials", "client_id": "sandbox-consumer", "client_secret": "no"})).await;
    let app = tested.post("/oauth/access_token", &json!({"grant_type": "client_credentials", "client_id": APP_CLIENT_ID, "client_secret": APP_CLIENT_SECRET})).await;
    let grant = tested
        .post("/oauth/access_token", &json!({"grant_type": "password"}))
        .await;

    assert_eq!(
        (secret.status, &secret.json()["error"]),
        (401, &json!("invalid_client"))
    );
    assert_eq!(
        (app.status, &app.json()["error"]),
        (400, &json!("unauthorized_client"))
    );
    assert_eq!(
        (grant.status, &grant.json()["error"]),
        (400, &json!("unsupported_grant_type"))
    );
}

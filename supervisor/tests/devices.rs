//! Machines of a company, and the company's own export and end.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{
    activation::activated,
    signup::value,
    support::{Service, mailbox::code_in},
};

const EMAIL: &str = "anna@example.com";

async fn sign_in(service: &Service, email: &str) -> Response {
    let form = json!({"email": email});
    service.post("/api/sign-in", &form).send().await.unwrap()
}

async fn enrol(service: &Service, form: &Value) -> Response {
    service.post("/api/devices", form).send().await.unwrap()
}

/// The code of a sign-in, from the newest of then so many mails.
async fn code(service: &Service, mails: usize) -> String {
    assert_eq!(sign_in(service, EMAIL).await.status(), 202);
    let mails = service.mails(EMAIL, mails).await;
    code_in(mails.last().unwrap()).unwrap()
}

async fn call(
    service: &Service,
    method: Method,
    path: &str,
    token: &str,
    body: Option<Value>,
) -> Response {
    let mut request = service
        .http
        .request(method, format!("{}{path}", service.url))
        .bearer_auth(token);
    if let Some(body) = body {
        request = request
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_machine_is_enrolled_listed_and_revoked() {
    let service = Service::start().await;
    let active = activated(&service, EMAIL).await;
    let bearer = active["token"].as_str().unwrap();
    let code = code(&service, 2).await;

    let form = json!({"email": EMAIL, "otp": code, "name": "Anna's laptop"});
    let answer = enrol(&service, &form).await;
    assert_eq!(answer.status(), 201);
    let device = value(answer).await;
    assert!(device["device_token"].as_str().unwrap().starts_with("sfd_"));
    assert_eq!(device["tenant_id"], active["tenant"]["id"]);
    assert_eq!(device["company"], "Comfort Air");
    assert_eq!(
        enrol(&service, &form).await.status(),
        400,
        "a code works once"
    );

    let listed = value(call(&service, Method::GET, "/api/devices", bearer, None).await).await;
    assert_eq!(listed["devices"][0]["name"], "Anna's laptop");
    assert_eq!(listed["devices"].as_array().unwrap().len(), 2, "{listed}");
    let path = format!("/api/devices/{}", device["device_id"].as_str().unwrap());
    let token = device["device_token"].as_str().unwrap();
    let strange = call(&service, Method::DELETE, &path, token, None).await;
    assert_eq!(
        strange.status(),
        401,
        "a machine revokes no machine by its id"
    );
    let revoked = call(&service, Method::DELETE, &path, bearer, None).await;
    assert_eq!(revoked.status(), 204);
    let again = call(&service, Method::DELETE, &path, bearer, None).await;
    assert_eq!(again.status(), 404);
    let gone = call(&service, Method::DELETE, "/api/devices/self", token, None).await;
    assert_eq!(gone.status(), 401);
    service.stop().await;
}

#[tokio::test]
async fn the_token_of_the_activation_is_listed_and_can_be_revoked() {
    let service = Service::start().await;
    let active = activated(&service, EMAIL).await;
    let bearer = active["token"].as_str().unwrap();
    let listed = value(call(&service, Method::GET, "/api/devices", bearer, None).await).await;
    let [own] = listed["devices"].as_array().unwrap().as_slice() else {
        panic!("{listed}");
    };
    assert_eq!(
        (&own["kind"], &own["current"]),
        (&json!("bearer"), &json!(true))
    );
    let path = format!("/api/devices/{}", own["id"].as_str().unwrap());
    let revoked = call(&service, Method::DELETE, &path, bearer, None).await;
    assert_eq!(revoked.status(), 204);
    let gone = call(&service, Method::GET, "/api/devices", bearer, None).await;
    assert_eq!(gone.status(), 401);
    service.stop().await;
}

/// `HEAD` neither makes a token nor hands out what is handed out once.
#[tokio::test]
async fn looking_does_no_work() {
    let service = Service::start().await;
    let active = activated(&service, EMAIL).await;
    let bearer = active["token"].as_str().unwrap();
    for path in [
        "/api/bundles/cursor",
        "/api/activate",
        "/api/activate/callback?code=a&state=b",
        "/api/export",
    ] {
        let answer = call(&service, Method::HEAD, path, bearer, None).await;
        assert_eq!(answer.status(), 405, "{path}");
    }
    let listed = value(call(&service, Method::GET, "/api/devices", bearer, None).await).await;
    assert_eq!(listed["devices"].as_array().unwrap().len(), 1, "{listed}");
    for path in ["/", "/healthz", "/openapi.json"] {
        let answer = call(&service, Method::HEAD, path, bearer, None).await;
        assert_eq!(answer.status(), 200, "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_request_does_not_fail_because_its_time_cannot_be_noted() {
    let service = Service::start().await;
    let active = activated(&service, EMAIL).await;
    let bearer = active["token"].as_str().unwrap();
    let database = &service.around.database;
    let refuse = if database.is_postgres() {
        "CREATE FUNCTION no() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no'; END $$ LANGUAGE plpgsql; \
         CREATE TRIGGER no BEFORE UPDATE ON tokens EXECUTE FUNCTION no()"
    } else {
        "CREATE TRIGGER no BEFORE UPDATE ON tokens BEGIN SELECT RAISE(ABORT, 'no'); END"
    };
    database.run(refuse).await;
    service.around.clock.advance(120_000);
    let listed = call(&service, Method::GET, "/api/devices", bearer, None).await;
    assert_eq!(listed.status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn a_machine_goes_on_working_while_credentials_are_replaced() {
    let service = Service::start().await;
    activated(&service, EMAIL).await;
    let code = code(&service, 2).await;
    let form = json!({"email": EMAIL, "otp": code, "name": "Anna's laptop"});
    let device = value(enrol(&service, &form).await).await;
    let token = device["device_token"].as_str().unwrap();
    let before = call(&service, Method::POST, "/api/token", token, None).await;
    assert_eq!(before.status(), 200);

    activated(&service, EMAIL).await;

    let after = call(&service, Method::POST, "/api/token", token, None).await;
    assert_eq!(after.status(), 200);
    let (before, after) = (value(before).await, value(after).await);
    assert_ne!(before["access_token"], after["access_token"]);
    service.stop().await;
}

#[tokio::test]
async fn a_machine_signs_itself_out() {
    let service = Service::start().await;
    activated(&service, EMAIL).await;
    let code = code(&service, 2).await;
    let form = json!({"email": EMAIL, "otp": code, "name": "Anna's laptop"});
    let device = value(enrol(&service, &form).await).await;
    let token = device["device_token"].as_str().unwrap();
    let left = call(&service, Method::DELETE, "/api/devices/self", token, None).await;
    assert_eq!(left.status(), 204);
    let left = call(&service, Method::DELETE, "/api/devices/self", token, None).await;
    assert_eq!(left.status(), 401);
    service.stop().await;
}

#[tokio::test]
async fn somebody_in_two_companies_chooses_with_the_same_code() {
    let service = Service::start().await;
    let first = activated(&service, EMAIL).await;
    let now = service.around.clock.now();
    let store = &service.app.store;
    let second = store.add_tenant("Elm Plumbing", EMAIL, "free", now).await;
    let second = second.unwrap().tenant_id;
    let code = code(&service, 2).await;

    let form = json!({"email": EMAIL, "otp": code, "name": "laptop"});
    let answer = enrol(&service, &form).await;
    assert_eq!(answer.status(), 409);
    let problem = value(answer).await;
    assert_eq!(problem["code"], "choose_tenant");
    assert_eq!(problem["tenants"][0]["id"], first["tenant"]["id"]);
    assert_eq!(
        problem["tenants"][1],
        json!({"id": second, "company": "Elm Plumbing"})
    );

    let form = json!({"email": EMAIL, "otp": code, "name": "laptop", "tenant_id": second});
    let answer = enrol(&service, &form).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(value(answer).await["company"], "Elm Plumbing");
    assert_eq!(enrol(&service, &form).await.status(), 400);
    service.stop().await;
}

#[tokio::test]
async fn a_wrong_code_tells_nothing_of_companies() {
    let service = Service::start().await;
    activated(&service, EMAIL).await;
    for email in [EMAIL, "nobody@example.com"] {
        let form = json!({"email": email, "otp": "000000", "name": "laptop", "tenant_id": "ten_0"});
        let answer = enrol(&service, &form).await;
        assert_eq!(answer.status(), 400, "{email}");
        assert_eq!(value(answer).await["code"], "invalid_code");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_unknown_address_is_told_so_by_mail_alone() {
    let service = Service::start().await;
    service.at_window_start();
    let answer = sign_in(&service, "nobody@example.com").await;
    assert_eq!(answer.status(), 202);
    let mail = service.mails("nobody@example.com", 1).await.remove(0);
    assert!(mail.contains("has signed up with it"), "{mail}");
    assert_eq!(code_in(&mail), None);
    service.stop().await;
}

#[tokio::test]
async fn a_company_takes_its_data_along_and_ends() {
    let service = Service::start().await;
    let active = activated(&service, EMAIL).await;
    let other = activated(&service, "bert@example.com").await;
    let bearer = active["token"].as_str().unwrap();
    let tenant = active["tenant"]["id"].as_str().unwrap();

    let exported = call(&service, Method::GET, "/api/export", bearer, None).await;
    assert_eq!(exported.status(), 200);
    let text = exported.text().await.unwrap();
    let export: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(export["tenant"]["company"], "Comfort Air");
    assert_eq!(export["members"][0]["email"], EMAIL);
    assert_eq!(export["connection"]["kind"], "client_credentials");
    assert_eq!(export["usage_events"], json!([]));
    assert!(
        !text.contains(bearer) && !text.contains("sandbox-consumer"),
        "{text}"
    );
    assert!(!text.contains("bert"), "{text}");

    let wrong = json!({"confirm": "Discomfort Air"});
    let answer = call(&service, Method::DELETE, "/api/tenant", bearer, Some(wrong)).await;
    assert_eq!(answer.status(), 400);
    let right = json!({"confirm": "Comfort Air"});
    let answer = call(&service, Method::DELETE, "/api/tenant", bearer, Some(right)).await;
    assert_eq!(answer.status(), 204);

    let answer = call(&service, Method::GET, "/api/export", bearer, None).await;
    assert_eq!(answer.status(), 401);
    assert!(service.app.store.tenant(tenant).await.unwrap().is_none());
    assert!(service.app.vault.head(tenant).await.unwrap().is_none());
    let entries = service.app.store.entries(Some(tenant), 10).await.unwrap();
    assert!(entries.iter().any(|entry| entry.action == "tenant.delete"));
    let bearer = other["token"].as_str().unwrap();
    let answer = call(&service, Method::GET, "/api/export", bearer, None).await;
    assert_eq!(answer.status(), 200, "others are not touched");
    service.stop().await;
}

#[tokio::test]
async fn an_export_holds_every_call() {
    use sqlx::Connection;
    let service = Service::start().await;
    let active = activated(&service, EMAIL).await;
    let url = &service.around.database.url;
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    for number in 0..2_500 {
        sqlx::query(
            "INSERT INTO usage_events (tenant_id, id, at, tool, endpoint, status, duration_ms, bytes, client, era, \
             origin, received_at) VALUES ($1, $2, 1, 'get_job', '/jobs', 'ok', 1, 1, '', '', 'local', 1)",
        )
        .bind(active["tenant"]["id"].as_str().unwrap())
        .bind(format!("event-{number:05}"))
        .execute(&mut *transaction)
        .await
        .unwrap();
    }
    transaction.commit().await.unwrap();
    let bearer = active["token"].as_str().unwrap();
    let export = value(call(&service, Method::GET, "/api/export", bearer, None).await).await;
    let events = export["usage_events"].as_array().unwrap();
    assert_eq!(events.len(), 2_500);
    assert_eq!(events[2_499]["id"], "event-02499");
    service.stop().await;
}

//! From an e-mail address to an active company, over HTTP.

use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{Service, mailbox::code_in};

const EMAIL: &str = "anna@example.com";

async fn value(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

async fn register(service: &Service, email: &str) -> Response {
    let form = json!({"company": "Comfort Air", "email": email});
    service.post("/api/register", &form).send().await.unwrap()
}

async fn confirm(service: &Service, email: &str, code: &str) -> Response {
    let form = json!({"email": email, "otp": code});
    service.post("/api/confirm", &form).send().await.unwrap()
}

/// Asks for a code and reads it from the newest of then so many mails.
async fn code(service: &Service, email: &str, mails: usize) -> String {
    assert_eq!(register(service, email).await.status(), 202);
    let mails = service.mails(email, mails).await;
    code_in(mails.last().unwrap()).unwrap()
}

fn other(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

#[tokio::test]
async fn a_code_from_the_mail_proves_the_address_once() {
    let service = Service::start().await;
    service.at_window_start();
    let answer = register(&service, " Anna@Example.COM ").await;
    assert_eq!(answer.status(), 202);
    assert_eq!(
        value(answer).await,
        json!({"status": "code_sent", "expires_in": 600})
    );
    let mail = service.mails(EMAIL, 1).await.remove(0);
    let code = code_in(&mail).unwrap();
    assert!(mail.contains("Comfort Air"), "{mail}");

    let answer = confirm(&service, EMAIL, &code).await;
    assert_eq!(answer.status(), 200);
    let confirmed = value(answer).await;
    assert!(confirmed["tenant_id"].as_str().unwrap().starts_with("ten_"));
    assert!(
        confirmed["activation_token"]
            .as_str()
            .unwrap()
            .starts_with("sfa_")
    );
    assert_eq!(confirmed["expires_in"], 1800);

    let again = confirm(&service, EMAIL, &code).await;
    assert_eq!(again.status(), 400);
    assert_eq!(value(again).await["code"], "invalid_code");
    service.stop().await;
}

#[tokio::test]
async fn an_owner_is_led_to_the_same_company() {
    let service = Service::start().await;
    service.at_window_start();
    let first = code(&service, EMAIL, 1).await;
    let first = value(confirm(&service, EMAIL, &first).await).await;
    let second = code(&service, EMAIL, 2).await;
    let second = value(confirm(&service, EMAIL, &second).await).await;
    assert_eq!(first["tenant_id"], second["tenant_id"]);
    assert_ne!(first["activation_token"], second["activation_token"]);
    let mails = service.mails(EMAIL, 2).await;
    assert!(
        mails[1].contains("You have done that already"),
        "{}",
        mails[1]
    );
    service.stop().await;
}

#[tokio::test]
async fn the_newest_code_counts_and_no_code_outlives_ten_minutes() {
    let service = Service::start().await;
    service.at_window_start();
    let old = code(&service, EMAIL, 1).await;
    let new = code(&service, EMAIL, 2).await;
    if old != new {
        assert_eq!(confirm(&service, EMAIL, &old).await.status(), 400);
    }
    assert_eq!(confirm(&service, EMAIL, &new).await.status(), 200);

    let late = code(&service, EMAIL, 3).await;
    service.around.clock.advance(10 * 60_000);
    assert_eq!(confirm(&service, EMAIL, &late).await.status(), 400);
    service.stop().await;
}

#[tokio::test]
async fn five_wrong_codes_end_a_code_for_this_address_alone() {
    let service = Service::start().await;
    service.at_window_start();
    let right = code(&service, EMAIL, 1).await;
    let neighbour = code(&service, "bert@example.com", 1).await;
    for _ in 0..5 {
        let answer = confirm(&service, EMAIL, other(&right)).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(value(answer).await["code"], "invalid_code");
    }
    assert_eq!(confirm(&service, EMAIL, &right).await.status(), 400);
    let answer = confirm(&service, "bert@example.com", &neighbour).await;
    assert_eq!(answer.status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn of_two_confirmations_at_once_one_wins() {
    let service = Service::start().await;
    service.at_window_start();
    let code = code(&service, EMAIL, 1).await;
    let answers = futures_util::future::join_all((0..5).map(|_| confirm(&service, EMAIL, &code)));
    let statuses: Vec<_> = answers.await.iter().map(Response::status).collect();
    assert_eq!(
        statuses.iter().filter(|s| **s == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|s| **s == 400).count(),
        4,
        "{statuses:?}"
    );
    let members = service.app.store.memberships(EMAIL).await.unwrap();
    assert_eq!(members.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_burst_of_wrong_codes_gets_five_tries() {
    let service = Service::start().await;
    service.at_window_start();
    let right = code(&service, EMAIL, 1).await;
    let wrong = other(&right);
    let answers = futures_util::future::join_all((0..12).map(|_| confirm(&service, EMAIL, wrong)));
    assert!(answers.await.iter().all(|answer| answer.status() == 400));
    assert_eq!(confirm(&service, EMAIL, &right).await.status(), 400);
    service.stop().await;
}

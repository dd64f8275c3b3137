//! Each company has its own "today".

use serde_json::{Value, json};
use sf_mcp::sandbox::{CLIENT_ID, CLIENT_SECRET};

use crate::{
    activation::{activated, confirmed},
    signup::value,
    support::{Service, sf_mcp},
};

const EMAIL: &str = "anna@example.com";

async fn set(service: &Service, token: &str, zone: &Value) -> (u16, Value) {
    let answer = service
        .http
        .patch(format!("{}/api/tenant", service.url))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(json!({"time_zone": zone}).to_string())
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), value(answer).await)
}

#[tokio::test]
async fn a_company_says_its_zone_when_it_connects_or_later() {
    let service = Service::start().await;
    let token = confirmed(&service, EMAIL).await;
    let activate = |zone: &str| {
        let form =
            json!({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "time_zone": zone});
        service.post("/api/activate", &form).bearer_auth(&token)
    };

    let refused = activate("Dallas").send().await.unwrap();
    assert_eq!(refused.status(), 400);
    let detail = value(refused).await["detail"].to_string();
    assert!(detail.contains("America/Chicago"), "{detail}");
    let active = value(activate("america/chicago").send().await.unwrap()).await;
    let (tenant, token) = (
        active["tenant"]["id"].as_str().unwrap(),
        active["token"].as_str().unwrap(),
    );
    let zone = async || {
        let tenant = service.app.store.tenant(tenant).await.unwrap().unwrap();
        tenant.time_zone
    };
    assert_eq!(zone().await.as_deref(), Some("America/Chicago"));

    let (status, answer) = set(&service, token, &json!("Pacific/Auckland")).await;
    assert_eq!(
        (status, &answer["time_zone"]),
        (200, &json!("Pacific/Auckland"))
    );
    assert_eq!(zone().await.as_deref(), Some("Pacific/Auckland"));
    for wrong in [json!("EST5"), json!(""), json!(5), json!(null)] {
        assert_eq!(set(&service, token, &wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(set(&service, "sfb_unknown", &json!("UTC")).await.0, 401);

    let entries = service.app.store.entries(Some(tenant), 10).await.unwrap();
    let change = entries
        .iter()
        .find(|entry| entry.action == "tenant.time_zone")
        .unwrap();
    assert_eq!(change.actor, EMAIL);
    assert!(change.before.as_ref().unwrap().contains("Chicago"));
    assert!(change.after.as_ref().unwrap().contains("Auckland"));
    service.stop().await;
}

async fn board(service: &Service, token: &str) -> Value {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "get_dispatch_board", "arguments": {}},
    });
    let request = service.post("/mcp", &body).bearer_auth(token);
    let request = request
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25");
    value(request.send().await.unwrap()).await["result"]["structuredContent"].clone()
}

#[tokio::test]
async fn today_is_the_companys_and_a_new_zone_holds_at_the_next_call() {
    let service = Service::with(|config| {
        config.child = sf_mcp();
        config.child_arguments = vec!["serve".to_owned(), "--demo".to_owned()];
    })
    .await;
    let active = activated(&service, EMAIL).await;
    let token = active["token"].as_str().unwrap();
    // Between these two it is never the same day.
    for zone in ["Pacific/Kiritimati", "Pacific/Niue", "Pacific/Kiritimati"] {
        assert_eq!(set(&service, token, &json!(zone)).await.0, 200);
        let before = jiff::Zoned::now().in_tz(zone).unwrap().date().to_string();
        let board = board(&service, token).await;
        let after = jiff::Zoned::now().in_tz(zone).unwrap().date().to_string();
        assert_eq!(board["time_zone"], zone, "{board}");
        let from = board["from"].as_str().unwrap_or_default();
        assert!(from == before || from == after, "{zone}: {from}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_confined_child_knows_the_zone() {
    let service = Service::with(|config| config.child = sf_mcp()).await;
    let active = activated(&service, EMAIL).await;
    let token = active["token"].as_str().unwrap();
    for zone in ["Pacific/Auckland", "America/Chicago"] {
        assert_eq!(set(&service, token, &json!(zone)).await.0, 200);
        let board = board(&service, token).await;
        assert_eq!(board["time_zone"], zone, "{board}");
    }
    service.stop().await;
}

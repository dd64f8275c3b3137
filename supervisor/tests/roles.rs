//! What people of a company may do is changed by its owners, and less holds at once.

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sf_supervisor::{
    store::NewToken,
    tokens::{self, Kind},
};

use crate::{activation::activated, signup::value, support::Service};

const ANNA: &str = "anna@example.com";
const BERT: &str = "bert@example.com";

async fn change(service: &Service, token: &str, id: &str, form: &Value) -> (u16, Value) {
    let answer = service
        .http
        .patch(format!("{}/api/members/{id}", service.url))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(form.to_string())
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), value(answer).await)
}

/// Anna's company with Bert in it: her token, her id, his id.
async fn company(service: &Service) -> (String, String, String) {
    let active = activated(service, ANNA).await;
    let token = active["token"].as_str().unwrap().to_owned();
    let form = json!({"email": BERT, "scopes": "sf:read sf:write"});
    let invited = service.post("/api/members", &form).bearer_auth(&token);
    let bert = value(invited.send().await.unwrap()).await;
    let anna = service.app.store.memberships(ANNA).await.unwrap();
    let bert = bert["id"].as_str().unwrap().to_owned();
    (token, anna[0].id.clone(), bert)
}

/// A token of one of its people, with all that this person may do.
async fn token_of(service: &Service, email: &str) -> String {
    let store = &service.app.store;
    let member = store.memberships(email).await.unwrap().remove(0);
    let new = tokens::generate(Kind::Bearer).unwrap();
    let token = NewToken {
        tenant_id: &member.tenant_id,
        member_id: Some(&member.id),
        kind: Kind::Bearer,
        name: "test",
        hash: &new.hash,
        client: None,
        form: None,
        scopes: &member.scopes,
        created_at: service.app.clock.now(),
        expires_at: None,
    };
    store.add_token(&token).await.unwrap();
    new.token.expose_secret().to_owned()
}

async fn create(service: &Service, token: &str) -> u16 {
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "create_customer", "arguments": {"name": "X", "dry_run": true}},
    });
    let request = service
        .post("/mcp", &call)
        .bearer_auth(token)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25");
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn less_holds_at_once_for_every_token_of_a_person() {
    let service = Service::with(|config| {
        config.child = crate::support::sf_mcp();
        config.child_arguments = vec!["serve".to_owned(), "--demo".to_owned()];
    })
    .await;
    let (anna, _, bert) = company(&service).await;
    let token = token_of(&service, BERT).await;
    assert_eq!(create(&service, &token).await, 200);

    let (status, now) = change(&service, &anna, &bert, &json!({"scopes": "sf:read"})).await;

    assert_eq!((status, &now["scopes"]), (200, &json!("sf:read")));
    assert_eq!(now["role"], "member");
    assert_eq!(create(&service, &token).await, 403);
    assert_eq!(create(&service, &anna).await, 200);
    let entries = service.app.store.entries(None, 5).await.unwrap();
    let entry = &entries[0];
    assert_eq!((&*entry.action, &*entry.actor), ("member.change", ANNA));
    assert!(entry.before.as_ref().unwrap().contains("sf:write"));
    assert!(!entry.after.as_ref().unwrap().contains("sf:write"));
    service.stop().await;
}

#[tokio::test]
async fn a_second_owner_can_be_made_and_one_always_stays() {
    let service = Service::start().await;
    let (anna, anna_id, bert) = company(&service).await;
    let member = json!({"role": "member"});
    let (status, problem) = change(&service, &anna, &anna_id, &member).await;
    assert_eq!((status, &problem["code"]), (409, &json!("owner_stays")));

    let token = token_of(&service, BERT).await;
    assert_eq!(change(&service, &token, &anna_id, &member).await.0, 403);
    for (form, status) in [
        (json!({"role": "king"}), 400),
        (json!({"scopes": "everything"}), 400),
        (json!({"name": "x"}), 400),
    ] {
        assert_eq!(change(&service, &anna, &bert, &form).await.0, status);
    }
    assert_eq!(change(&service, &anna, "mem_unknown", &member).await.0, 404);
    let owner = json!({"role": "owner"});
    assert_eq!(change(&service, &anna, &bert, &owner).await.0, 200);

    // Each takes the other's rights away at the same time: one of them comes second, and one owner stays.
    let (one, other) = tokio::join!(
        change(&service, &anna, &bert, &member),
        change(&service, &token, &anna_id, &member)
    );
    let mut statuses = [one.0, other.0];
    statuses.sort_unstable();
    assert!(
        statuses == [200, 403] || statuses == [200, 409],
        "{statuses:?}"
    );
    let tenant = service.app.store.memberships(ANNA).await.unwrap()[0]
        .tenant_id
        .clone();
    let people = service.app.store.members(&tenant).await.unwrap();
    assert_eq!(people.iter().filter(|one| one.is_owner()).count(), 1);
    service.stop().await;
}

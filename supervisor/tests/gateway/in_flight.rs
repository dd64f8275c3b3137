//! How many calls of one company may be under way.

use std::sync::Arc;

use serde_json::{Value, json};
use sf_supervisor::store::{Change, Store};

use super::{
    ask, company, modern, post,
    scripted::{Scripted, call},
};
use crate::support::{Service, until};

/// Lets the company have so many calls under way.
async fn allow(service: &Service, email: &str, most: u32) -> String {
    let store = &service.app.store;
    let tenant_id = store.memberships(email).await.unwrap()[0].tenant_id.clone();
    let limits = json!({"in_flight": most}).to_string();
    let change = Change::Tier {
        tier: "unlimited",
        limits: Some(&limits),
    };
    let changed = store.change_tenant(&tenant_id, change, "test", 0).await;
    changed.unwrap().unwrap();
    tenant_id
}

async fn status(service: &Service, token: &str, name: &str) -> u16 {
    ask(service, token, &call(9, name, json!({}))).await.0
}

#[tokio::test]
async fn one_call_more_than_the_tier_allows_is_refused_in_words() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let other = company(service, "other@example.com").await;
    let tenant_id = allow(service, "owner@example.com", 2).await;
    let held: Vec<_> = (0..2)
        .map(|id| tokio::spawn(post(service, &token, &call(id, "hold", json!({}))).send()))
        .collect();
    scripted.diary.written("held", 2).await;

    let refused = post(service, &token, &call("x", "echo", json!({})));
    let refused = refused.send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(!refused.headers().contains_key("ratelimit"));
    let answer: Value = refused.text().await.unwrap().parse().unwrap();
    assert_eq!(answer["id"], "x");
    let data = &answer["error"]["data"];
    assert_eq!(
        (&data["limit"], &data["in_flight"]),
        (&json!("in_flight"), &json!(2))
    );
    let words = answer["error"]["message"].as_str().unwrap();
    for word in ["2 calls under way", "Wait 1 s", "`unlimited`", "operator"] {
        assert!(words.contains(word), "{words}");
    }
    // What keeps a conversation up goes on, and so do other companies.
    let ping = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
    assert_eq!(ask(service, &token, &ping).await.0, 200);
    assert_eq!(status(service, &other, "echo").await, 200);

    allow(service, "owner@example.com", 3).await;
    assert_eq!(status(service, &token, "release").await, 200);
    for call in held {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    allow(service, "owner@example.com", 1).await;
    assert_eq!(status(service, &token, "echo").await, 200);

    let Scripted { service, .. } = scripted;
    let around = Arc::clone(&service.around);
    service.stop().await;
    let store = Store::connect(&around.database.url).await.unwrap();
    let events = store.events_of(&tenant_id, (0, ""), 100).await.unwrap();
    let of = |status| {
        events
            .iter()
            .filter(|(_, event)| event["status"] == status)
            .count()
    };
    assert_eq!((of("ok"), of("rate_limited"), events.len()), (4, 1, 5));
    store.close().await;
}

#[tokio::test]
async fn a_call_has_its_place_as_long_as_the_child_works_on_it() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    allow(service, "owner@example.com", 1).await;
    // A legacy client that leaves does not end its call.
    let leaving = tokio::spawn(post(service, &token, &call(1, "hold", json!({}))).send());
    scripted.diary.written("held", 1).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    for _ in 0..20 {
        assert_eq!(status(service, &token, "echo").await, 429);
    }
    allow(service, "owner@example.com", 2).await;
    assert_eq!(status(service, &token, "release").await, 200);
    allow(service, "owner@example.com", 1).await;
    assert_eq!(status(service, &token, "echo").await, 200);

    // A modern one does.
    let message = modern(
        &json!(1),
        "tools/call",
        json!({"name": "hold", "arguments": {}}),
    );
    let leaving = tokio::spawn(post(service, &token, &message).send());
    scripted.diary.written("held", 2).await;
    assert_eq!(status(service, &token, "echo").await, 429);
    leaving.abort();
    until("a free place", async || {
        (status(service, &token, "echo").await == 200).then_some(())
    })
    .await;
}

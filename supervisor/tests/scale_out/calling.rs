//! Calls through nginx, whichever replica they meet.

use std::net::Ipv4Addr;

use serde_json::json;
use sf_mcp::sandbox;
use sf_supervisor::store::Change;

use super::{
    LEGACY, MODERN, ScaledOut, asked, is_possible, marked, message, scripted, told, written,
};

#[tokio::test]
async fn both_eras_get_their_answers_from_every_replica() {
    if !is_possible() {
        return;
    }
    let scaled = ScaledOut::start().await;
    let tokens = scaled.connected("owner@example.com", 40).await;
    let calls = tokens.iter().enumerate().map(|(number, token)| {
        let scaled = &scaled;
        async move {
            for (id, era) in (1..).zip([MODERN, LEGACY, MODERN]) {
                let mark = format!("Zq {number} {id}");
                let told = scaled.call(token, &marked(era, id, &mark)).await;
                assert_eq!((told.status, &told.body["id"]), (200, &json!(id)));
                assert!(told.text.contains(&mark), "{}", told.text);
            }
        }
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(scaled.answered_by("/mcp").len(), 3);
}

#[tokio::test]
async fn a_stream_comes_event_by_event_and_a_client_that_leaves_cancels() {
    if !is_possible() {
        return;
    }
    let scaled = ScaledOut::with(sandbox::Options::default(), scripted, "").await;
    let owner = scaled.company("owner@example.com").await;
    let token = &scaled.tokens(&owner, 1).await[0];
    let folder = scaled.folder.path();
    let hold = |id| {
        let mut held = message(MODERN, id, "hold", &json!({}));
        held["params"]["_meta"]["progressToken"] = json!("p");
        asked(&scaled.http, &scaled.url, token, &held).send()
    };
    // The first event is here while the answer is still held.
    let mut first = hold(1).await.unwrap();
    let event = first.chunk().await.unwrap().unwrap();
    let event = String::from_utf8(event.to_vec()).unwrap();
    assert!(event.contains("\"progressToken\":\"p\""), "{event}");
    let release = message(LEGACY, 2, "release", &json!({}));
    assert_eq!(scaled.call(token, &release).await.status, 200);
    let rest = first.text().await.unwrap();
    assert!(rest.contains("\"id\":1,\"result\""), "{rest}");

    let streamed = hold(3).await.unwrap();
    written(folder, "held", 2).await;
    drop(streamed);
    written(folder, "cancelled", 1).await;
    // One that has got no word yet leaves as well.
    let silent = message(MODERN, 4, "hold", &json!({}));
    let silent = asked(&scaled.http, &scaled.url, token, &silent).send();
    let silent = tokio::spawn(silent);
    written(folder, "held", 3).await;
    silent.abort();
    written(folder, "cancelled", 2).await;
}

#[tokio::test]
async fn a_tier_is_exact_over_all_replicas() {
    const LET_IN: usize = 30;
    if !is_possible() {
        return;
    }
    let scaled = ScaledOut::start().await;
    let owner = scaled.company("owner@example.com").await;
    let limits = json!({"per_minute": 6000, "burst": 6000, "per_day": LET_IN, "in_flight": 100});
    let limits = limits.to_string();
    let change = Change::Tier {
        tier: "free",
        limits: Some(&limits),
    };
    let changed = scaled
        .store
        .change_tenant(&owner.tenant_id, change, "test", 0);
    changed.await.unwrap().unwrap();
    let tokens = scaled.tokens(&owner, 15).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let calls = tokens.iter().cycle().take(90);
    let calls = calls.map(|token| told(asked(&scaled.http, &scaled.url, token, &list)));
    let all = futures_util::future::join_all(calls).await;
    let let_in = all.iter().filter(|told| told.status == 200).count();
    assert_eq!(let_in, LET_IN);
    for told in all.iter().filter(|told| told.status != 200) {
        assert_eq!(told.status, 429, "{}", told.text);
        assert_eq!(told.body["error"]["data"]["limit"], "per_day");
        assert!(told.headers.contains_key("retry-after"));
    }
    assert!(scaled.answered_by("/mcp").len() > 1);
}

#[tokio::test]
async fn many_callers_at_all_replicas_cost_one_refresh() {
    if !is_possible() {
        return;
    }
    let scaled = ScaledOut::start().await;
    let tokens = scaled.connected("owner@example.com", 40).await;
    let database = &scaled.around.database;
    database.run("UPDATE credentials SET expires_at = 1").await;
    let slow = json!([{"match": {"path_contains": "access_token"}, "kind": "latency", "ms": 500}]);
    scaled.faults(&slow).await;
    let before = scaled.seen("/token_requests").await;
    let technicians = message(LEGACY, 1, "list_technicians", &json!({}));
    let calls = tokens.iter().map(|token| scaled.call(token, &technicians));
    for told in futures_util::future::join_all(calls).await {
        assert_eq!(told.status, 200, "{}", told.text);
        assert_ne!(told.body["result"]["isError"], true, "{}", told.text);
    }
    assert_eq!(scaled.seen("/token_requests").await - before, 1);
    assert_eq!(scaled.answered_by("/mcp").len(), 3);
}

#[tokio::test]
async fn limits_count_the_clients_address_and_not_what_it_says() {
    if !is_possible() {
        return;
    }
    let scaled = ScaledOut::start().await;
    for last in 2..18 {
        let client = scaled.nginx.client(Ipv4Addr::new(127, 0, 0, last));
        let form = json!({"company": "Comfort Air", "email": format!("owner{last}@example.com")});
        let request = client
            .post(format!("{}/api/register", scaled.url))
            .header("content-type", "application/json")
            .header("x-forwarded-for", "203.0.113.9")
            .body(form.to_string());
        assert_eq!(told(request).await.status, 202);
    }
    let counted = String::from_utf8(scaled.around.database.dump().await).unwrap();
    for last in [2, 17] {
        assert!(counted.contains(&format!("mails/source/127.0.0.{last}")));
    }
    assert!(!counted.contains("mails/source/127.0.0.1,"));
    assert!(!counted.contains("203.0.113.9"));
    assert!(scaled.answered_by("/api/register").len() > 1);
}

//! Children of a company that connects another account: the former one's token and records go with them.

use std::time::Duration;

use serde_json::{Value, json};
use sf_supervisor::store::Setup;

use super::{
    ask, company, connect,
    scripted::{Diary, Scripted, call, gone, keep, runs},
};
use crate::support::Service;

async fn tenant(service: &Service, email: &str) -> String {
    let memberships = service.app.store.memberships(email).await.unwrap();
    memberships[0].tenant_id.clone()
}

/// The process that answers the company's calls.
async fn process(service: &Service, token: &str) -> u32 {
    let (status, answer) = ask(service, token, &call(1, "echo", json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    u32::try_from(answer["result"]["process"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn the_next_call_has_a_child_of_its_own() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let other = company(service, "other@example.com").await;
    let tenant = tenant(service, "owner@example.com").await;
    let unconnected = process(service, &token).await;
    let others = process(service, &other).await;
    assert_eq!(process(service, &token).await, unconnected);
    let mut before = unconnected;
    // More often than a child may fail in a row.
    for _ in 0..6 {
        connect(service, &tenant).await;
        let now = process(service, &token).await;
        assert_ne!(now, before);
        assert_eq!(process(service, &token).await, now);
        gone(before).await;
        before = now;
    }
    assert_eq!(process(service, &other).await, others);
    scripted.service.stop().await;
}

#[tokio::test]
async fn so_it_is_on_every_replica() {
    let scripted = Scripted::start().await;
    if !scripted.service.around.database.is_postgres() {
        return;
    }
    let replicas = [scripted.replica().await, scripted.replica().await];
    let token = company(&scripted.service, "owner@example.com").await;
    let tenant = tenant(&scripted.service, "owner@example.com").await;
    for connecting in [&scripted.service, &replicas[0]] {
        let mut before = Vec::new();
        for replica in &replicas {
            before.push(process(replica, &token).await);
        }
        connect(connecting, &tenant).await;
        for (replica, former) in replicas.iter().zip(before) {
            assert_ne!(process(replica, &token).await, former);
            gone(former).await;
        }
    }
    for replica in replicas {
        replica.stop().await;
    }
}

/// A request of the scripted child, as one line.
fn line(id: u64, name: &str) -> Vec<u8> {
    let mut line = call(id, name, json!({}));
    line["params"]["_meta"] = json!({});
    line.to_string().into_bytes()
}

fn setup(number: i64) -> Setup<'static> {
    Setup {
        number,
        ..Setup::default()
    }
}

#[tokio::test]
async fn calls_in_flight_end_in_the_child_that_has_them() {
    let diary = Diary::new();
    let children = diary.children(&[], keep(10, Duration::from_mins(10)));
    let former = children.get("ten_1", setup(4)).await.unwrap();
    let mut held = former
        .call(None, None, |id| line(id, "hold"))
        .await
        .unwrap();
    diary.written("held", 1).await;
    let next = children.get("ten_1", setup(5)).await.unwrap();
    assert_ne!(next.process(), former.process());
    // A caller who was admitted just before the change may have the new one.
    let late = children.get("ten_1", setup(4)).await.unwrap();
    assert_eq!(late.process(), next.process());
    assert!(runs(former.process()));
    let mut release = former
        .call(None, None, |id| line(id, "release"))
        .await
        .unwrap();
    release.answer().await.unwrap();
    let answer = held.answer().await.unwrap();
    assert!(matches!(answer, sf_supervisor::child::Answer::Result(_)));
    gone(former.process()).await;
    assert!(runs(next.process()));
    children.drain().await;
}

#[tokio::test]
async fn no_call_is_lost_while_children_are_replaced() {
    let scripted = Scripted::start().await;
    let service = &scripted.service;
    let token = company(service, "owner@example.com").await;
    let tenant = tenant(service, "owner@example.com").await;
    let calling = async |number: u64| {
        let mut answers = Vec::new();
        for round in 0..40 {
            let id = number * 1000 + round;
            answers.push(ask(service, &token, &call(id, "echo", json!({"id": id}))).await);
        }
        answers
    };
    let connecting = async {
        for _ in 0..8 {
            connect(service, &tenant).await;
            process(service, &token).await;
        }
    };
    let calls = futures_util::future::join_all((0..8).map(calling));
    let (answers, ()) = tokio::join!(calls, connecting);
    for (status, answer) in answers.into_iter().flatten() {
        assert_eq!(status, 200, "{answer}");
        let wanted: Value = answer["id"].clone();
        assert_eq!(answer["result"]["said"]["id"], wanted, "{answer}");
    }
    assert!(scripted.diary.who("started").len() > 2);
    scripted.service.stop().await;
}

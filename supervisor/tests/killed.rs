//! A service that is killed at any moment leaves nothing half done.

use std::{sync::Arc, time::Duration};

use secrecy::ExposeSecret;
use serde_json::json;
use sf_mcp::sandbox::{self, CLIENT_ID, CLIENT_SECRET};
use sf_supervisor::{
    store::{NewToken, Store},
    tokens::{self, Kind},
    vault::Vault,
};

use crate::support::{Around, Replica};

/// Moments up to `latest`, other ones in every run.
fn moments(count: u32, latest: Duration) -> impl Iterator<Item = Duration> {
    let chance = std::hash::RandomState::new();
    let latest = u64::try_from(latest.as_micros()).unwrap();
    (0..count).map(move |round| {
        let chance = std::hash::BuildHasher::hash_one(&chance, round);
        Duration::from_micros(chance % latest)
    })
}

#[tokio::test]
async fn a_migration_that_is_killed_is_finished_at_the_next_start() {
    for moment in moments(12, Duration::from_millis(120)) {
        let around = Around::new(sandbox::Options::default()).await;
        let (killed, address) = Replica::spawn(&around);
        // It may be ready by then; that is one of the moments.
        let _ = tokio::time::timeout(moment, address).await;
        drop(killed);
        let replica = Replica::start(&around).await;
        let ready = reqwest::get(format!("{}/readyz", replica.url)).await;
        assert_eq!(ready.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn replicas_that_start_at_once_migrate_once() {
    let around = Around::new(sandbox::Options::default()).await;
    if !around.database.is_postgres() {
        return;
    }
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let around = Arc::clone(&around);
        starting.spawn(async move { Replica::start(&around).await });
    }
    for replica in starting.join_all().await {
        let ready = reqwest::get(format!("{}/readyz", replica.url)).await;
        assert_eq!(ready.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn an_activation_that_is_killed_is_whole_or_can_be_repeated() {
    let around = Around::new(sandbox::Options::default()).await;
    let mut replica = Replica::start(&around).await;
    let http = reqwest::Client::new();
    let mut repeated = 0;
    for (round, moment) in moments(16, Duration::from_millis(40)).enumerate() {
        let store = Store::connect(&around.database.url).await.unwrap();
        let (tenant_id, token) = confirmed(&store, &format!("owner{round}@example.com")).await;
        let activate = |url: &str| {
            let form = json!({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET});
            http.post(format!("{url}/api/activate"))
                .bearer_auth(&token)
                .header("content-type", "application/json")
                .body(form.to_string())
                .send()
        };
        let _ = tokio::time::timeout(moment, activate(&replica.url)).await;
        replica.kill();
        replica = Replica::start(&around).await;

        let vault = Vault::new(store.clone(), around.master.clone(), around.clock.clone());
        let has_credentials = vault.head(&tenant_id).await.unwrap().is_some();
        let answer = activate(&replica.url).await.unwrap();
        if has_credentials {
            assert_eq!(answer.status(), 401, "the activation token was used up");
            let tenant = store.tenant(&tenant_id).await.unwrap().unwrap();
            assert!(tenant.activated_at.is_some());
        } else {
            assert_eq!(answer.status(), 201, "nothing was used up");
            repeated += 1;
        }
        assert_eq!(
            vault.account(&tenant_id).await.unwrap().as_deref(),
            Some("Carol Jennings <carol@lonestarcomfort.example.com>")
        );
        store.close().await;
    }
    assert!(repeated > 0, "no kill came before the end");
}

/// A company that has confirmed its address, and its activation token.
async fn confirmed(store: &Store, email: &str) -> (String, String) {
    let now = jiff::Timestamp::now().as_millisecond();
    let owner = store.add_tenant("Acme", email, "free", now).await.unwrap();
    let new = tokens::generate(Kind::Activation).unwrap();
    let token = NewToken {
        tenant_id: &owner.tenant_id,
        member_id: Some(&owner.id),
        kind: Kind::Activation,
        name: "activation",
        hash: &new.hash,
        client: None,
        form: None,
        scopes: "",
        created_at: now,
        expires_at: Some(now + 600_000),
    };
    store.add_token(&token).await.unwrap();
    (owner.tenant_id, new.token.expose_secret().to_owned())
}

//! Tenants without a sign-up, and calls to count.

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sf_supervisor::{
    store::{NewToken, Store},
    tokens::{self, Kind},
};

use super::Service;

/// A company with one machine and one person's token.
#[derive(Clone, Debug)]
pub(crate) struct Company {
    pub(crate) tenant_id: String,
    pub(crate) device: String,
    pub(crate) device_id: String,
    pub(crate) bearer: String,
}

impl Company {
    pub(crate) async fn new(service: &Service, name: &str, owner: &str) -> Self {
        Self::within(&service.app.store, service.app.clock.now(), name, owner).await
    }

    pub(crate) async fn within(store: &Store, now: i64, name: &str, owner: &str) -> Self {
        let owner = store.add_tenant(name, owner, "free", now).await.unwrap();
        let add = async |kind, name| {
            let new = tokens::generate(kind).unwrap();
            let token = NewToken {
                tenant_id: &owner.tenant_id,
                member_id: Some(&owner.id),
                kind,
                name,
                hash: &new.hash,
                client: None,
                form: None,
                scopes: "sf:read",
                created_at: now,
                expires_at: None,
            };
            let id = store.add_token(&token).await.unwrap();
            (id, new.token.expose_secret().to_owned())
        };
        let (device_id, device) = add(Kind::Device, "front desk").await;
        let (_, bearer) = add(Kind::Bearer, "reports").await;
        Self {
            tenant_id: owner.tenant_id,
            device,
            device_id,
            bearer,
        }
    }

    /// Sends a batch and returns status and answer.
    pub(crate) async fn report(&self, service: &Service, events: &[Value]) -> (u16, Value) {
        let answer = service
            .post("/api/usage", &json!({"events": events}))
            .bearer_auth(&self.device)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
        )
    }

    /// The figures that this company's person sees.
    pub(crate) async fn figures(&self, service: &Service, query: &str) -> Value {
        let answer = service
            .get(&format!("/api/usage{query}"))
            .bearer_auth(&self.bearer)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }
}

/// Below `below`, from a small generator that tests can repeat.
pub(crate) fn random(state: &mut u64, below: usize) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap() % below
}

/// The numbers below `below` in another order.
pub(crate) fn shuffled(state: &mut u64, mut numbers: Vec<u64>) -> Vec<u64> {
    for index in (1..numbers.len()).rev() {
        numbers.swap(index, random(state, index));
    }
    numbers
}

/// One call; the number decides everything about it.
pub(crate) fn call(number: u64, at: i64) -> Value {
    let tool =
        ["search_jobs", "get_job", "get_dispatch_board"][usize::try_from(number % 3).unwrap()];
    json!({
        "id": format!("call-{number}"),
        "at": at,
        "tool": tool,
        "endpoint": "GET /v1/jobs/{id}",
        "status": if number.is_multiple_of(10) { "error" } else { "ok" },
        "duration_ms": number % 500,
        "bytes": number,
        "client": if number.is_multiple_of(2) { "claude-ai/1.2" } else { "cursor/0.9" },
        "era": "2025-11-25",
    })
}

//! PostgreSQL itself is restarted while everything is in use: nothing is lost or counted twice, and all goes on by itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sf_mcp::sandbox;
use sf_supervisor::vault::Kind;

use crate::{
    broker::{self, Tenant, faults, seen, token_fault},
    support::{
        Around, Database, Postgres, Service,
        mailbox::code_in,
        sf_mcp, until,
        usage::{Company, call},
    },
    usage::sums_equal_events,
};

const HOUR: i64 = 3_600_000;
/// `fast` is an upgrade, `immediate` a crash.
const RESTARTS: [&str; 4] = ["fast", "immediate", "fast", "immediate"];

/// What goes on meanwhile.
struct Load {
    replicas: Vec<Service>,
    tenant: Tenant,
    company: Company,
    over: AtomicBool,
    /// Good answers by kind of work.
    good: [AtomicUsize; 4],
    /// Answers that said to come again.
    put_off: AtomicUsize,
}

impl Load {
    /// Asks until the answer is a good one. Anything but that and "try again" fails the test.
    async fn insist(
        &self,
        work: usize,
        expected: u16,
        request: impl Fn(&Service) -> reqwest::RequestBuilder,
    ) -> Value {
        let mut turn = self.good[work].load(Ordering::Relaxed);
        loop {
            let service = &self.replicas[turn % self.replicas.len()];
            turn += 1;
            let answer = request(service).send().await.unwrap();
            let status = answer.status().as_u16();
            let has_wait = answer.headers().contains_key("retry-after");
            let text = answer.text().await.unwrap();
            if status == expected {
                self.good[work].fetch_add(1, Ordering::Relaxed);
                return serde_json::from_str(&text).unwrap();
            }
            assert!(status == 503 && has_wait, "{work}: {status} {text}");
            self.put_off.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn ask_for_tokens(self: Arc<Self>) {
        while !self.over.load(Ordering::Relaxed) {
            let request = |service: &Service| {
                let request = service.post("/api/token", &json!({}));
                request.bearer_auth(self.tenant.device.expose_secret())
            };
            let answer = self.insist(0, 200, request).await;
            assert!(answer["access_token"].is_string(), "{answer}");
        }
    }

    /// Returns how many calls it has reported.
    async fn report(self: Arc<Self>, now: i64) -> u64 {
        let mut number = 0;
        while !self.over.load(Ordering::Relaxed) {
            let events: Vec<_> = (number..number + 20).map(|n| call(n, now)).collect();
            let request = |service: &Service| {
                let request = service.post("/api/usage", &json!({"events": events}));
                request.bearer_auth(&self.company.device)
            };
            // What was put off may have been counted all the same; then it comes as a duplicate.
            let taken = self.insist(1, 202, request).await;
            let taken = taken["accepted"].as_u64().unwrap() + taken["duplicates"].as_u64().unwrap();
            assert_eq!(taken, 20);
            number += 20;
            // There is a limit of batches.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        number
    }

    async fn call(self: Arc<Self>) {
        while !self.over.load(Ordering::Relaxed) {
            let body = json!({
                "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": {"name": "list_technicians", "arguments": {}},
            });
            let request = |service: &Service| {
                service
                    .post("/mcp", &body)
                    .bearer_auth(&self.company.bearer)
                    .header("accept", "application/json, text/event-stream")
                    .header("mcp-protocol-version", "2025-11-25")
            };
            let answer = self.insist(2, 200, request).await;
            assert!(answer["result"]["content"].is_array(), "{answer}");
        }
    }

    /// Signs up with a few addresses and returns those whose codes were good: one may have run out, as the clock moves.
    async fn sign_up(self: Arc<Self>) -> Vec<String> {
        let mut signed_up = Vec::new();
        for attempt in 0..16 {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let email = format!("owner{attempt}@elm.example");
            let form = json!({"company": "Elm Plumbing", "email": email});
            self.insist(3, 202, |service| service.post("/api/register", &form))
                .await;
            let code = until("code", async || {
                let mail = self.replicas[0].mails_now(&email).pop()?;
                Some(code_in(&mail))
            })
            .await;
            let form = json!({"email": email, "otp": code});
            let service = &self.replicas[attempt % self.replicas.len()];
            let confirming = service.post("/api/confirm", &form).send();
            match confirming.await.unwrap().status().as_u16() {
                200 => signed_up.push(email),
                status => assert!(status == 400 || status == 503, "{status}"),
            }
        }
        signed_up
    }

    fn all_go_on(&self, since: &[usize]) -> bool {
        let now = self.counts();
        now.iter()
            .zip(since)
            .take(3)
            .all(|(now, since)| now > since)
    }

    fn counts(&self) -> Vec<usize> {
        let counts = self.good.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restart_of_the_database_loses_nothing() {
    let Some(mut server) = Postgres::start() else {
        return;
    };
    let options = sandbox::Options {
        control: true,
        ..sandbox::Options::default()
    };
    let around = Around::over(Database::of(&server.url).await, options).await;
    let serve = || {
        Service::over(Arc::clone(&around), |config| {
            config.child = sf_mcp();
            config.child_arguments = vec!["serve".to_owned(), "--demo".to_owned()];
            config
                .tiers
                .insert("free".to_owned(), config.tiers["unlimited"]);
        })
    };
    let replicas = vec![serve().await, serve().await];
    let load = Arc::new(Load {
        tenant: broker::connected(&replicas[0], Kind::AuthorizationCode).await,
        company: Company::new(&replicas[0], "Acme Air", "ann@acme.test").await,
        replicas,
        over: AtomicBool::new(false),
        good: Default::default(),
        put_off: AtomicUsize::new(0),
    });
    let now = around.clock.now();
    let askers: Vec<_> = (0..6)
        .map(|_| tokio::spawn(Arc::clone(&load).ask_for_tokens()))
        .collect();
    let callers: Vec<_> = (0..2)
        .map(|_| tokio::spawn(Arc::clone(&load).call()))
        .collect();
    let reporting = tokio::spawn(Arc::clone(&load).report(now));
    let signing_up = tokio::spawn(Arc::clone(&load).sign_up());

    for mode in RESTARTS {
        let latency = token_fault(&json!({"kind": "latency", "ms": 200}));
        faults(&load.replicas[0], &latency).await;
        around.clock.advance(HOUR + 1);
        until("a request for a token under way", async || {
            (seen(&load.replicas[0], "in_flight").await > 0).then_some(())
        })
        .await;
        server = tokio::task::spawn_blocking(move || {
            server.restart(mode);
            server
        })
        .await
        .unwrap();
        let since = load.counts();
        until("all to go on", async || {
            load.all_go_on(&since).then_some(())
        })
        .await;
    }
    load.over.store(true, Ordering::Relaxed);
    for worker in askers.into_iter().chain(callers) {
        worker.await.unwrap();
    }
    let reported = reporting.await.unwrap();
    let signed_up = signing_up.await.unwrap();

    assert!(load.put_off.load(Ordering::Relaxed) > 0, "nothing was felt");
    assert_eq!(
        seen(&load.replicas[0], "refreshes").await,
        RESTARTS.len() as u64
    );
    assert_eq!(seen(&load.replicas[0], "refresh_reuse").await, 0);
    let store = &load.replicas[0].app.store;
    assert!(!signed_up.is_empty());
    for email in &signed_up {
        assert_eq!(store.memberships(email).await.unwrap().len(), 1, "{email}");
    }
    let load = Arc::into_inner(load).unwrap();
    for service in load.replicas {
        service.stop().await;
    }
    let calls = load.good[2].load(Ordering::Relaxed) as u64;
    sums_equal_events(&around.database.url, reported + calls).await;
}

//! Calls are counted once each whatever dies: 10,000 of them, sent twice, in any order, while services are killed.

use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use sf_mcp::sandbox;
use sf_supervisor::store::Store;

use crate::{
    support::{
        Around, Replica,
        usage::{Company, call, random, shuffled},
    },
    usage::sums_equal_events,
};

/// Each has its own limit of batches.
const COMPANIES: u64 = 8;
const CALLS_EACH: u64 = 1_250;

/// Processes that are killed and started again, and where the living ones serve.
struct Crashing {
    around: Arc<Around>,
    addresses: RwLock<Vec<String>>,
    kills: AtomicUsize,
}

impl Crashing {
    async fn start(around: Arc<Around>, count: usize) -> (Arc<Self>, Vec<Replica>) {
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(Replica::start(&around).await);
        }
        let addresses = replicas.iter().map(|replica| replica.url.clone()).collect();
        let crashing = Self {
            around,
            addresses: RwLock::new(addresses),
            kills: AtomicUsize::new(0),
        };
        (Arc::new(crashing), replicas)
    }

    fn address(&self, chance: &mut u64) -> String {
        let addresses = self.addresses.read().unwrap();
        addresses[random(chance, addresses.len())].clone()
    }

    /// Kills one after another at moments of chance, until it is dropped.
    async fn kill_again_and_again(self: Arc<Self>, mut replicas: Vec<Replica>) {
        let mut chance = 99;
        loop {
            let which = random(&mut chance, replicas.len());
            let moment = 50 + random(&mut chance, 500) as u64;
            tokio::time::sleep(Duration::from_millis(moment)).await;
            replicas[which].kill();
            self.kills.fetch_add(1, Ordering::Relaxed);
            // On SQLite the former process must be gone first.
            replicas[which] = Replica::start(&self.around).await;
            self.addresses.write().unwrap()[which].clone_from(&replicas[which].url);
        }
    }
}

/// Sends every call of a company, small batch by small batch, until each batch is answered.
async fn report_all(crashing: Arc<Crashing>, company: Company, mut chance: u64, now: i64) -> u64 {
    let http = reqwest::Client::new();
    let mine = shuffled(&mut chance, (0..CALLS_EACH).collect());
    let (mut rest, mut broken) = (mine.as_slice(), 0);
    while !rest.is_empty() {
        let most = 1 + random(&mut chance, 40);
        let (part, further) = rest.split_at(most.min(rest.len()));
        let at = |number: u64| now - i64::try_from(number).unwrap() * 97_000;
        let mut events: Vec<Value> = part.iter().map(|n| call(*n, at(*n))).collect();
        events.extend_from_within(..events.len() / 4);
        let sent = http
            .post(format!("{}/api/usage", crashing.address(&mut chance)))
            .bearer_auth(&company.device)
            .header("content-type", "application/json")
            .body(json!({"events": events}).to_string())
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status() == 202 => rest = further,
            Ok(answer) => assert_eq!(answer.status(), 503, "{}", answer.text().await.unwrap()),
            // Nobody knows what became of it, so it is sent again.
            Err(_) => {
                broken += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    broken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_calls_count_ten_thousand_times_while_services_are_killed() {
    let around = Around::new(sandbox::Options::default()).await;
    let store = Store::open(&around.database.url).await.unwrap();
    let now = around.clock.now();
    let mut companies = Vec::new();
    for number in 0..COMPANIES {
        let owner = format!("owner{number}@acme.test");
        companies.push(Company::within(&store, now, "Acme Air", &owner).await);
    }
    store.close().await;
    // The lock beside SQLite's file is free again with its last holder.
    drop(store);

    let replicas = if around.database.is_postgres() { 3 } else { 1 };
    let (crashing, replicas) = Crashing::start(Arc::clone(&around), replicas).await;
    let killing = tokio::spawn(Arc::clone(&crashing).kill_again_and_again(replicas));
    let mut senders = tokio::task::JoinSet::new();
    for (company, chance) in companies.iter().cycle().take(2 * companies.len()).zip(1..) {
        let (crashing, company) = (Arc::clone(&crashing), company.clone());
        senders.spawn(report_all(crashing, company, chance, now));
    }
    let broken: u64 = senders.join_all().await.into_iter().sum();
    killing.abort();
    let _ = killing.await;

    let kills = crashing.kills.load(Ordering::Relaxed);
    assert!(kills >= 3 && broken > 0, "{kills} kills, {broken} batches");
    sums_equal_events(&around.database.url, COMPANIES * CALLS_EACH).await;
    let replica = Replica::start(&around).await;
    let figures = figures(&replica.url, &companies[0], now).await;
    assert_eq!(figures["totals"]["calls"], CALLS_EACH);
    assert_eq!(figures["totals"]["errors"], CALLS_EACH / 10);
}

async fn figures(url: &str, company: &Company, now: i64) -> Value {
    let from = jiff::Timestamp::from_millisecond(now - 3 * 86_400_000).unwrap();
    let from = from.strftime("%Y-%m-%d");
    let answer = reqwest::Client::new()
        .get(format!("{url}/api/usage?from={from}"))
        .bearer_auth(&company.bearer)
        .send()
        .await
        .unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

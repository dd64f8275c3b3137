//! What the store's own statements take on a database.

use std::time::Instant;

use futures_util::future::join_all;
use sf_supervisor::{
    config::Tier,
    housekeeping, ids,
    store::{Charge, Kind, NewToken, Origin, Store, UsageEvent, UsageSource},
    tokens,
};
use sqlx::{Connection as _, Row as _};

use crate::row;

const TENANTS: usize = 2_000;
const CHARGES: usize = 20_000;
const EVENTS: usize = 100_000;
/// Events of one write, as busy replicas gather them.
const BATCH: usize = 500;
const TIER: Tier = Tier {
    per_minute: 9_000_000,
    burst: 1_000_000,
    per_day: 1_000_000_000,
    in_flight: 100_000,
};

struct Company {
    tenant_id: String,
    hash: String,
}

pub(crate) async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("capacity.db");
    on("SQLite", &format!("sqlite://{}", file.display())).await;
    match std::env::var("SF_SUPERVISOR_TEST_POSTGRES") {
        Ok(server) => on("PostgreSQL", &new_in(&server).await).await,
        Err(_) => println!("\nPostgreSQL: not measured; run it with tests/with-postgres"),
    }
}

async fn new_in(server: &str) -> String {
    sqlx::any::install_default_drivers();
    let name = ids::new("capacity").unwrap();
    let mut connection = sqlx::AnyConnection::connect(&format!("{server}/postgres"))
        .await
        .unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    format!("{server}/{name}")
}

async fn on(title: &str, url: &str) {
    println!("\n{title}, {TENANTS} companies");
    let store = Store::open(url).await.unwrap();
    let now = jiff::Timestamp::now().as_millisecond();
    let mut companies = Vec::new();
    for number in 0..TENANTS {
        companies.push(company(&store, number, now).await);
    }
    for callers in [1, 16] {
        let (what, rate) = calls(&store, &companies, callers, now).await;
        row(&format!("  {what}, {callers} at once, a second"), rate);
    }
    let before = bytes(&store, url).await;
    let rate = usage(&store, &companies, now).await;
    row("  usage events of 100 companies at a time, a second", rate);
    let rows = sums(url).await;
    let grown = bytes(&store, url).await - before;
    row(
        "  bytes a usage event, with its sums and indexes",
        grown / EVENTS as f64,
    );
    row("  rows of sums for each event", rows / EVENTS as f64);
    let started = Instant::now();
    housekeeping::sweep(&store, now, 60_000).await.unwrap();
    row("  a sweep with nothing to remove, ms", ms(started));
    let started = Instant::now();
    let removed = store.forget_usage(now + 2 * 86_400_000).await.unwrap();
    row(
        "  removing old events, a second",
        removed as f64 / (ms(started) / 1000.0),
    );
    store.close().await;
}

async fn company(store: &Store, number: usize, now: i64) -> Company {
    let email = format!("owner{number}@example.com");
    let owner = store.add_tenant("Acme", &email, "free", now).await.unwrap();
    let new = tokens::generate(tokens::Kind::Bearer).unwrap();
    let token = NewToken {
        tenant_id: &owner.tenant_id,
        member_id: Some(&owner.id),
        kind: tokens::Kind::Bearer,
        name: "bench",
        hash: &new.hash,
        client: None,
        form: None,
        scopes: "sf:read",
        created_at: now,
        expires_at: None,
    };
    store.add_token(&token).await.unwrap();
    Company {
        hash: new.hash,
        tenant_id: owner.tenant_id,
    }
}

/// What a call asks before sf-mcp gets it: on PostgreSQL one statement that finds, judges and counts; on SQLite the
/// holder is read, when memory is out of date.
async fn calls(
    store: &Store,
    companies: &[Company],
    callers: usize,
    now: i64,
) -> (&'static str, f64) {
    let is_shared = store.kind() == Kind::Postgres;
    let started = Instant::now();
    let calling = (0..callers).map(|caller| {
        let store = store.clone();
        async move {
            for number in 0..CHARGES / callers {
                let company = &companies[(number * callers + caller) % companies.len()];
                let charge = Charge {
                    tier_name: "free",
                    limits: None,
                    tier: TIER,
                };
                if is_shared {
                    let charged = store.charge(&company.hash, charge, now).await.unwrap();
                    assert!(charged.unwrap().1.is_some());
                } else {
                    let holder = store.holder(&company.hash, now).await.unwrap();
                    assert!(holder.is_some());
                }
            }
        }
    });
    join_all(calling).await;
    let rate = CHARGES as f64 / (ms(started) / 1000.0);
    (
        if is_shared {
            "calls judged"
        } else {
            "tokens read"
        },
        rate,
    )
}

/// Batches of busy replicas: 100 companies with five calls each.
async fn usage(store: &Store, companies: &[Company], now: i64) -> f64 {
    let started = Instant::now();
    for batch in 0..EVENTS / BATCH {
        let whose = (0..100).map(|number| &companies[(batch * 100 + number) % companies.len()]);
        let events: Vec<(&Company, Vec<UsageEvent>)> = whose
            .map(|company| (company, (0..BATCH / 100).map(|_| event(now)).collect()))
            .collect();
        let batches: Vec<_> = events
            .iter()
            .map(|(company, events)| {
                let source = UsageSource {
                    tenant_id: &company.tenant_id,
                    token_id: Some("tok_00000000000000000000000000000000"),
                    member_id: Some("mem_00000000000000000000000000000000"),
                    origin: Origin::Hosted,
                };
                (source, events.as_slice())
            })
            .collect();
        store.add_usages(&batches, now).await.unwrap();
    }
    EVENTS as f64 / (ms(started) / 1000.0)
}

fn event(now: i64) -> UsageEvent {
    UsageEvent {
        id: ids::new("req").unwrap(),
        at: now,
        tool: "get_dispatch_board",
        endpoint: String::new(),
        status: "ok",
        duration_ms: 240,
        bytes: 18_000,
        client: "claude-ai/1.0".to_owned(),
        era: "2025-11-25".into(),
    }
}

async fn sums(url: &str) -> f64 {
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    let both = "SELECT (SELECT COUNT(*) FROM usage_hours) + (SELECT COUNT(*) FROM usage_days)";
    let row = sqlx::query(both).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    row.get::<i64, _>(0) as f64
}

async fn bytes(store: &Store, url: &str) -> f64 {
    if store.kind() == Kind::Sqlite {
        store.truncate_log().await.unwrap();
        let file = url.trim_start_matches("sqlite://");
        return std::fs::metadata(file).unwrap().len() as f64;
    }
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    let size = "SELECT CAST(SUM(pg_total_relation_size(c.oid)) AS BIGINT) FROM pg_class c \
                WHERE c.relname IN ('usage_events', 'usage_hours', 'usage_days', 'usage_clients')";
    let row = sqlx::query(size).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    row.get::<i64, _>(0) as f64
}

fn ms(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1000.0
}

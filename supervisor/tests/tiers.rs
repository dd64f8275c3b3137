//! Limits of the hosted endpoint, and what is counted of it.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sf_mcp::sandbox;
use sf_supervisor::{
    clock::Clock,
    store::{By, Change, NewToken, Store},
    tokens::{self, Kind},
};

use crate::support::{
    Database, Service, command, service::Around, sf_mcp, statements::Statements, until,
};

const DAY: i64 = 24 * 60 * 60 * 1000;

/// A company, as its token sees it.
#[derive(Clone, Debug)]
struct Company {
    id: String,
    token_id: String,
    token: String,
}

impl Company {
    async fn new(store: &Store, limits: &Value) -> Self {
        let now = Clock::default().now();
        let owner = store
            .add_tenant("Acme Heating", "owner@example.com", "free", now)
            .await
            .unwrap();
        let new = tokens::generate(Kind::Bearer).unwrap();
        let token = NewToken {
            tenant_id: &owner.tenant_id,
            member_id: Some(&owner.id),
            kind: Kind::Bearer,
            name: "test",
            hash: &new.hash,
            client: None,
            form: None,
            scopes: "sf:read",
            created_at: now,
            expires_at: None,
        };
        let company = Self {
            token_id: store.add_token(&token).await.unwrap(),
            id: owner.tenant_id,
            token: new.token.expose_secret().to_owned(),
        };
        company.set(store, "free", Some(limits)).await;
        company
    }

    async fn set(&self, store: &Store, tier: &str, limits: Option<&Value>) {
        let limits = limits.map(Value::to_string);
        let change = Change::Tier {
            tier,
            limits: limits.as_deref(),
        };
        self.change(store, change).await;
    }

    async fn change(&self, store: &Store, change: Change<'_>) {
        let changed = store.change_tenant(&self.id, change, "test", 0).await;
        changed.unwrap().unwrap();
    }
}

async fn service() -> Service {
    over(around().await).await
}

/// At noon, so that no day ends within a test.
async fn around() -> Arc<Around> {
    let around = Around::new(sandbox::Options::default()).await;
    let now = around.clock.now();
    around.clock.advance(DAY - now.rem_euclid(DAY) + DAY / 2);
    around
}

async fn over(around: Arc<Around>) -> Service {
    Service::over(around, |config| {
        config.child = sf_mcp();
        config.child_arguments = vec!["serve".to_owned(), "--demo".to_owned()];
    })
    .await
}

/// What a request was answered.
#[derive(Debug)]
struct Told {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Told {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

async fn send(http: &reqwest::Client, url: &str, token: &str, body: &Value) -> Told {
    let answer = http
        .post(format!("{url}/mcp"))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .header("user-agent", "tester/1.2 (extra)")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    Told {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or_default(),
    }
}

async fn ask(service: &Service, company: &Company, method: &str, params: Value) -> Told {
    let body = json!({"jsonrpc": "2.0", "id": "a-1", "method": method, "params": params});
    send(&service.http, &service.url, &company.token, &body).await
}

async fn call(service: &Service, company: &Company) -> Told {
    let params = json!({"name": "get_dispatch_board", "arguments": {}});
    ask(service, company, "tools/call", params).await
}

#[tokio::test]
async fn a_tier_lets_a_burst_in_then_a_steady_rate() {
    let service = service().await;
    let limits = json!({"per_minute": 6, "burst": 3, "per_day": 5});
    let company = Company::new(&service.app.store, &limits).await;
    for left in [2, 1, 0] {
        let told = call(&service, &company).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(
            told.header("ratelimit-policy"),
            "\"burst\";q=3;w=30, \"day\";q=5;w=86400"
        );
        let burst = format!("\"burst\";r={left};t=");
        assert!(told.header("ratelimit").starts_with(&burst), "{told:?}");
    }
    let told = call(&service, &company).await;
    assert_eq!(told.status, 429);
    let wait: i64 = told.header("retry-after").parse().unwrap();
    assert!((8..=10).contains(&wait), "{wait}");
    assert_eq!(told.body["id"], "a-1");
    assert_eq!(told.body["error"]["code"], 429);
    let words = told.body["error"]["message"].as_str().unwrap();
    for word in [
        "6 per minute",
        &format!("Wait {wait} s"),
        "operator",
        "`free`",
    ] {
        assert!(words.contains(word), "{words}");
    }
    assert_eq!(told.body["error"]["data"]["retry_after_s"], wait);
    assert!(told.header("ratelimit").starts_with("\"burst\";r=0;"));

    // What keeps a conversation up is free.
    assert_eq!(ask(&service, &company, "ping", json!({})).await.status, 200);
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let told = ask(&service, &company, "initialize", hello).await;
    assert_eq!(told.status, 200);
    assert_eq!(told.header("ratelimit"), "");

    service.app.clock.advance(10_000);
    assert_eq!(call(&service, &company).await.status, 200);
    assert_eq!(call(&service, &company).await.status, 429);
    service.app.clock.advance(60_000);
    assert_eq!(call(&service, &company).await.status, 200);
    let told = call(&service, &company).await;
    assert_eq!(told.status, 429);
    assert_eq!(told.body["error"]["data"]["limit"], "per_day");
    let wait: i64 = told.header("retry-after").parse().unwrap();
    assert!((40_000..=43_200).contains(&wait), "{wait}");
    service.app.clock.advance(DAY / 2);
    assert_eq!(call(&service, &company).await.status, 200);
}

#[tokio::test]
async fn what_an_operator_changes_holds_at_the_next_request() {
    let service = service().await;
    let store = &service.app.store;
    let company = Company::new(store, &json!({"burst": 1, "per_minute": 1})).await;
    assert_eq!(call(&service, &company).await.status, 200);
    assert_eq!(call(&service, &company).await.status, 429);
    company.set(store, "pro", None).await;
    let told = call(&service, &company).await;
    assert_eq!(told.status, 200);
    assert!(
        told.header("ratelimit").starts_with("\"burst\";r=5"),
        "{told:?}"
    );
    company
        .set(store, "pro", Some(&json!({"per_day": 0})))
        .await;
    assert_eq!(call(&service, &company).await.status, 429);
    company.set(store, "a tier of before", None).await;
    assert_eq!(call(&service, &company).await.status, 200);

    company
        .change(store, Change::Suspend { why: "unpaid" })
        .await;
    assert_eq!(call(&service, &company).await.status, 403);
    company.change(store, Change::Resume).await;
    assert_eq!(call(&service, &company).await.status, 200);
    store
        .revoke_token(&company.id, &company.token_id, 0)
        .await
        .unwrap();
    assert_eq!(call(&service, &company).await.status, 401);
}

#[tokio::test]
async fn what_another_process_changes_is_noticed_at_once() {
    let service = service().await;
    let company = Company::new(
        &service.app.store,
        &json!({"per_minute": 100_000, "burst": 100_000, "per_day": 100_000}),
    )
    .await;
    assert_eq!(call(&service, &company).await.status, 200);
    let database = service.around.database.url.clone();
    let ran = command::run(
        &database,
        &["admin", "suspend", &company.id, "--why", "unpaid"],
    )
    .await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let since = Instant::now();
    until("refusal", async || {
        (call(&service, &company).await.status == 403).then_some(())
    })
    .await;
    assert!(
        since.elapsed() < Duration::from_secs(1),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test]
async fn each_exchange_is_one_event_once_the_service_has_stopped() {
    let around = around().await;
    let service = over(Arc::clone(&around)).await;
    let company = Company::new(
        &service.app.store,
        &json!({"per_minute": 1, "burst": 40, "in_flight": 40}),
    )
    .await;
    let calls = (0..36).map(|_| call(&service, &company));
    let told = futures_util::future::join_all(calls).await;
    assert!(told.iter().all(|told| told.status == 200));
    assert_eq!(
        ask(&service, &company, "tools/list", json!({}))
            .await
            .status,
        200
    );
    for (name, arguments) in [
        ("get_job", json!({"job_id": 999_999_999})),
        ("no such tool", json!({})),
        ("no_such_tool", json!({})),
    ] {
        let params = json!({"name": name, "arguments": arguments});
        assert_eq!(
            ask(&service, &company, "tools/call", params).await.status,
            200
        );
    }
    for _ in 0..5 {
        assert_eq!(call(&service, &company).await.status, 429);
    }
    assert_eq!(ask(&service, &company, "ping", json!({})).await.status, 200);
    service.stop().await;

    let store = Store::connect(&around.database.url).await.unwrap();
    let sums = async |by| {
        let sums = store
            .usage(Some(&company.id), 0, i64::MAX, by)
            .await
            .unwrap();
        let sums = sums.into_iter().map(|sum| (sum.key, sum.calls));
        sums.collect::<Vec<_>>()
    };
    let known = |pairs: &[(&str, i64)]| {
        let pairs = pairs.iter().map(|(key, calls)| ((*key).to_owned(), *calls));
        pairs.collect::<Vec<_>>()
    };
    assert_eq!(sums(By::Origin).await, known(&[("hosted", 45)]));
    assert_eq!(sums(By::Client).await, known(&[("tester", 45)]));
    assert_eq!(
        sums(By::Status).await,
        known(&[("ok", 37), ("rate_limited", 5), ("refused", 3)])
    );
    assert_eq!(
        sums(By::Tool).await,
        known(&[
            ("get_dispatch_board", 41),
            ("get_job", 1),
            ("other", 2),
            ("tools_list", 1)
        ])
    );
    let token = store
        .live_token_with_id(&company.token_id, 0)
        .await
        .unwrap();
    assert!(token.unwrap().last_used_at.is_some());
    let tenant = store.tenant(&company.id).await.unwrap();
    assert!(tenant.unwrap().seen_at.is_some());
    store.close().await;
}

#[tokio::test]
async fn the_days_calls_are_remembered_over_a_restart() {
    let around = around().await;
    let service = over(Arc::clone(&around)).await;
    let company = Company::new(&service.app.store, &json!({"per_day": 3, "burst": 2})).await;
    assert_eq!(call(&service, &company).await.status, 200);
    assert_eq!(call(&service, &company).await.status, 200);
    assert_eq!(call(&service, &company).await.status, 429);
    service.stop().await;
    let service = over(around).await;
    service.app.clock.advance(60_000);
    assert_eq!(call(&service, &company).await.status, 200);
    let told = call(&service, &company).await;
    assert_eq!(told.body["error"]["data"]["limit"], "per_day", "{told:?}");
}

#[tokio::test]
async fn three_replicas_share_one_limit_exactly() {
    let around = around().await;
    if !around.database.is_postgres() {
        return;
    }
    let replicas = [
        over(Arc::clone(&around)).await,
        over(Arc::clone(&around)).await,
        over(around).await,
    ];
    let company = Company::new(
        &replicas[0].app.store,
        &json!({"per_minute": 1, "burst": 30, "in_flight": 100}),
    )
    .await;
    let list = async |service: &Service| ask(service, &company, "tools/list", json!({})).await;
    let all = (0..90).map(|number| list(&replicas[number % 3]));
    let told = futures_util::future::join_all(all).await;
    let of = |status| told.iter().filter(|told| told.status == status).count();
    assert_eq!((of(200), of(429)), (30, 60));

    // The day's share as well, and a change made at one replica holds at the others.
    company
        .set(
            &replicas[1].app.store,
            "free",
            Some(&json!({"per_minute": 10_000, "burst": 10_000, "per_day": 50, "in_flight": 100})),
        )
        .await;
    let all = (0..90).map(|number| list(&replicas[number % 3]));
    let told = futures_util::future::join_all(all).await;
    let let_in = told.iter().filter(|told| told.status == 200).count();
    assert_eq!(let_in, 20);
    company
        .change(&replicas[2].app.store, Change::Suspend { why: "unpaid" })
        .await;
    for replica in &replicas {
        assert_eq!(list(replica).await.status, 403);
    }
}

#[tokio::test]
async fn a_call_costs_one_statement_or_none() {
    const CALLS: usize = 100;
    let statements = Statements::watch();
    let service = service().await;
    let company = Company::new(
        &service.app.store,
        &json!({"per_minute": 1000, "burst": 1000}),
    )
    .await;
    // A tool would spend the sandbox company's own budget.
    let list = async || ask(&service, &company, "tools/list", json!({})).await;
    list().await;
    list().await;
    statements.forget();
    for _ in 0..CALLS {
        assert_eq!(list().await.status, 200);
    }
    let seen = statements.seen();
    let count = |begin: &str| seen.iter().filter(|text| text.starts_with(begin)).count();
    let (charges, holders) = (count("WITH who"), count("SELECT k.id"));
    if service.around.database.is_postgres() {
        assert_eq!((charges, holders), (CALLS, 0), "{seen:?}");
    } else {
        // Only after somebody has written: here the events of these calls.
        assert_eq!(charges, 0);
        assert!(holders < CALLS / 2, "{holders}");
    }
    assert_eq!(count("INSERT INTO counters"), 0);
    assert!(count("UPDATE t") <= 2, "{seen:?}");
}

/// The real program on a database of its own, with hosted children.
struct Program {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(database: &Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let secret = base64_of(&[7; 32]);
        std::fs::write(&key, secret).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let process = Command::new(env!("CARGO_BIN_EXE_sf-supervisor"))
            .arg("serve")
            .env_clear()
            .env("SF_SUPERVISOR_LISTEN", address.to_string())
            .env("SF_SUPERVISOR_DATABASE_URL", &database.url)
            .env("SF_SUPERVISOR_MASTER_KEY_FILE", &key)
            .env("SF_SUPERVISOR_MAIL_DIR", folder.path().join("mail"))
            .env("SF_SUPERVISOR_CHILD", sf_mcp())
            .env("SF_SUPERVISOR_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            process,
            url: format!("http://{address}"),
            _folder: folder,
        }
    }
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_kill_loses_at_most_the_last_second() {
    let database = Database::new().await;
    let store = Store::open(&database.url).await.unwrap();
    let limits = json!({"per_minute": 1_000_000, "burst": 1_000_000, "per_day": 1_000_000});
    let company = Company::new(&store, &limits).await;
    store.close().await;
    // The lock beside the file is free again with its last holder.
    drop(store);
    let mut program = Program::start(&database);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    until("readiness", async || {
        let asked = http.get(format!("{}/readyz", program.url)).send().await;
        asked
            .is_ok_and(|answer| answer.status() == 200)
            .then_some(())
    })
    .await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let began = Instant::now();
    let mut ended = Vec::new();
    while began.elapsed() < Duration::from_secs(4) {
        let told = send(&http, &program.url, &company.token, &list).await;
        assert_eq!(told.status, 200, "{told:?}");
        ended.push(Instant::now());
    }
    program.process.kill().unwrap();
    let killed = Instant::now();
    program.process.wait().unwrap();
    let store = Store::connect(&database.url).await.unwrap();
    let sums = store
        .usage(Some(&company.id), 0, i64::MAX, By::Tool)
        .await
        .unwrap();
    let kept = usize::try_from(sums[0].calls).unwrap();
    let older = ended
        .iter()
        .filter(|at| killed.duration_since(**at) > Duration::from_secs(1))
        .count();
    assert!(
        (older..=ended.len()).contains(&kept),
        "{older} {kept} {}",
        ended.len()
    );
    store.close().await;
}

//! What the database sees: the figures of docs/capacity.md are these.

use std::path::Path;

use serde_json::{Value, json};
use sf_supervisor::{
    housekeeping,
    store::{Origin, UsageEvent, UsageSource},
    token, tokens,
    usage::event,
};

use crate::{
    activation::activated,
    support::{Service, statements::Statements, usage},
};

const PLAN: &str = "../docs/capacity.md";
const WRITING: &str = "writing down up to 500 calls, of however many companies";

/// The figure in the plan's row that begins so, for the database of this run.
fn planned(title: &str, is_postgres: bool) -> usize {
    let plan = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PLAN)).unwrap();
    let start = format!("| {title} |");
    let row = plan.lines().find(|line| line.starts_with(&start));
    assert!(row.is_some(), "{PLAN} has no row `{title}`");
    let cells: Vec<&str> = row.unwrap().split('|').map(str::trim).collect();
    let cell = cells[if is_postgres { 2 } else { 3 }];
    cell.parse().unwrap()
}

/// Statements without what a connection is told when it is new, the watch for others' writes, and the ends of
/// transactions.
fn counted(statements: &Statements) -> Vec<String> {
    let mut seen = statements.seen();
    seen.retain(|text| {
        let settings = ["SET tcp", "PRAGMA", "SELECT data_version", "COMMIT"];
        !settings.iter().any(|begin| text.starts_with(begin))
    });
    seen
}

/// Where the plan and the database differ.
struct Compared<'a> {
    statements: Statements,
    service: &'a Service,
    differences: Vec<String>,
}

impl Compared<'_> {
    /// What was asked since the last time.
    fn with(&mut self, title: &str) {
        let seen = counted(&self.statements);
        let planned = planned(title, self.service.around.database.is_postgres());
        if seen.len() != planned {
            let count = seen.len();
            let difference = format!("{title}: the plan has {planned}, it is {count}: {seen:#?}");
            self.differences.push(difference);
        }
        self.statements.forget();
    }
}

fn events(first: u64, now: i64) -> Vec<UsageEvent> {
    let calls = (first..first + 30).map(|number| event::judge(&usage::call(number, now), now));
    calls.map(Result::unwrap).collect()
}

#[tokio::test]
async fn the_plan_says_what_the_database_sees() {
    let statements = Statements::watch();
    let service = Service::start().await;
    let active = activated(&service, "anna@example.com").await;
    let tenant = active["tenant"]["id"].as_str().unwrap();
    let other = usage::Company::new(&service, "Elm", "elm@example.com").await;
    let (store, now) = (&service.app.store, service.app.clock.now());
    let mut compared = Compared {
        statements: statements.clone(),
        service: &service,
        differences: Vec::new(),
    };

    let hash = tokens::hash(active["token"].as_str().unwrap());
    let known = service.app.admission.find(&hash).await.unwrap().unwrap();
    // A token is read again where others' writes were looked for too late, as on a busy machine: not what is counted.
    let title = "a call, before sf-mcp gets it";
    for _ in 0..20 {
        statements.forget();
        service.app.admission.admit(&known, true).await.unwrap();
        if counted(&statements).len() <= planned(title, service.around.database.is_postgres()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    compared.with(title);

    let source = |tenant_id| UsageSource {
        tenant_id,
        token_id: None,
        member_id: None,
        origin: Origin::Hosted,
    };
    let (mine, more) = (events(0, now), events(100, now));
    let first = [
        (source(tenant), mine.as_slice()),
        (source(&other.tenant_id), &mine),
    ];
    store.add_usages(&first, now).await.unwrap();
    statements.forget();
    store
        .add_usages(&[(source(tenant), &more)], now)
        .await
        .unwrap();
    compared.with(WRITING);
    let (mine, more) = (events(200, now), events(300, now));
    let both = [
        (source(tenant), mine.as_slice()),
        (source(&other.tenant_id), &more),
    ];
    store.add_usages(&both, now).await.unwrap();
    compared.with(WRITING);

    store
        .touch(&["a".to_owned()], &["b".to_owned()], now)
        .await
        .unwrap();
    compared.with("noting which tokens were used");

    let lending = token::lend(service.app.broker.clone(), service.around.sandbox.origin());
    let ask = async || -> Value { lending(tenant.to_owned(), json!({})).await };
    assert_eq!(ask().await["status"], 200);
    compared.with("lending an access token");
    let database = &service.around.database;
    database.run("UPDATE credentials SET expires_at = 1").await;
    statements.forget();
    assert_eq!(ask().await["status"], 200);
    compared.with("renewing an access token");
    let differences = compared.differences;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    service.stop().await;
}

#[tokio::test]
async fn a_sweep_looks_at_companies_with_old_calls_alone() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let statements = Statements::watch();
    let service = Service::start().await;
    let (store, now) = (&service.app.store, service.app.clock.now());
    for number in 0..20 {
        let email = format!("owner{number}@example.com");
        let company = usage::Company::new(&service, "Elm", &email).await;
        let calls: Vec<Value> = (0..3).map(|call| usage::call(call, now)).collect();
        assert_eq!(company.report(&service, &calls).await.0, 202);
    }
    let swept = async |now| {
        statements.forget();
        let removed = housekeeping::sweep(store, now, 60_000).await.unwrap();
        (removed, counted(&statements).len())
    };
    let (removed, idle) = swept(now).await;
    assert_eq!(removed, 0);
    assert!(idle < 20, "a sweep asks {idle} statements");
    // Each of them has old calls once: three events and the clients of a day.
    let (removed, busy) = swept(now + 92 * DAY).await;
    assert!(removed >= 20 * 4, "{removed}");
    assert!(busy >= idle + 20 * 3);
    assert_eq!(swept(now + 92 * DAY).await.1, idle);
    service.stop().await;
}

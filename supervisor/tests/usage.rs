//! Calls are counted once each, and a company sees its own.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{Connection, Row as _};

use sf_supervisor::{
    store::{CLIENTS_A_DAY, Origin, UsageEvent, UsageSource},
    usage::{event, ingest},
};

use crate::support::{
    Service,
    usage::{Company, call, random, shuffled},
};

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;
/// 2030-03-15T12:00:00Z
const NOON: i64 = 1_899_806_400_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_calls_count_ten_thousand_times_whatever_becomes_of_the_batches() {
    const CALLS: u64 = 10_000;
    let service = Service::start().await;
    let mut services = vec![service];
    if services[0].around.database.is_postgres() {
        services.push(services[0].replica().await);
    }
    let company = Arc::new(Company::new(&services[0], "Acme Air", "ann@acme.test").await);
    let now = services[0].app.clock.now();
    let at = move |number: u64| now - i64::try_from(number).unwrap() * 97_000;

    let services = Arc::new(services);
    let mut senders = Vec::new();
    for sender in 0..4u64 {
        let (services, company) = (Arc::clone(&services), Arc::clone(&company));
        senders.push(tokio::spawn(async move {
            let mut chance = sender + 1;
            // Each call belongs to two senders, and every sender begins elsewhere.
            let mine = (0..CALLS)
                .filter(|number| [sender, (sender + 1) % 4].contains(&(number % 4)))
                .collect();
            let mine = shuffled(&mut chance, mine);
            let mut rest = mine.as_slice();
            while !rest.is_empty() {
                let most = 1 + random(&mut chance, 400);
                let (part, further) = rest.split_at(most.min(rest.len()));
                let service = &services[random(&mut chance, services.len())];
                let mut events: Vec<Value> = part.iter().map(|n| call(*n, at(*n))).collect();
                events.extend_from_within(..events.len() / 4);
                if random(&mut chance, 4) == 0 {
                    // The line breaks: nobody knows what became of it, so all of it is sent again.
                    let patience = Duration::from_millis(random(&mut chance, 40) as u64);
                    let _ = tokio::time::timeout(patience, company.report(service, &events)).await;
                    continue;
                }
                let (status, answer) = company.report(service, &events).await;
                assert_eq!(status, 202, "{answer}");
                let taken =
                    answer["accepted"].as_u64().unwrap() + answer["duplicates"].as_u64().unwrap();
                assert_eq!(taken, events.len() as u64);
                rest = further;
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }

    let from = jiff::Timestamp::from_millisecond(at(CALLS)).unwrap();
    let query = format!("?from={}", from.strftime("%Y-%m-%d"));
    for by in ["hour", "day", "tool", "status", "client", "origin"] {
        let figures = company
            .figures(&services[1 % services.len()], &format!("{query}&by={by}"))
            .await;
        assert_eq!(figures["totals"]["calls"], CALLS, "{by}");
        assert_eq!(figures["totals"]["errors"], CALLS / 10, "{by}");
        assert_eq!(figures["totals"]["bytes"], CALLS * (CALLS - 1) / 2, "{by}");
    }
    sums_equal_events(&services[0].around.database.url, CALLS).await;
}

/// Sums the events here and compares them with the tables of hours and days.
pub(crate) async fn sums_equal_events(url: &str, calls: u64) {
    type Sums = BTreeMap<(String, i64, String, String, String, String), (i64, i64, i64)>;
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(url).await.unwrap();
    let events = sqlx::query("SELECT * FROM usage_events")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(events.len() as u64, calls);
    for (table, start, length) in [("usage_hours", "hour", HOUR), ("usage_days", "day", DAY)] {
        let mut expected = Sums::new();
        for event in &events {
            let at: i64 = event.get("at");
            let client: String = event.get("client");
            let client = client.split('/').next().unwrap().to_owned();
            let key = (
                event.get("tenant_id"),
                at - at % length,
                event.get("tool"),
                event.get("status"),
                client,
                event.get("origin"),
            );
            let sums = expected.entry(key).or_default();
            sums.0 += 1;
            sums.1 += event.get::<i64, _>("duration_ms");
            sums.2 += event.get::<i64, _>("bytes");
        }
        let statement = sqlx::AssertSqlSafe(format!("SELECT * FROM {table}"));
        let kept: Sums = sqlx::query(statement)
            .fetch_all(&pool)
            .await
            .unwrap()
            .iter()
            .map(|row| {
                let key = (
                    row.get("tenant_id"),
                    row.get(start),
                    row.get("tool"),
                    row.get("status"),
                    row.get("client"),
                    row.get("origin"),
                );
                (
                    key,
                    (row.get("calls"), row.get("duration_ms"), row.get("bytes")),
                )
            })
            .collect();
        assert_eq!(kept, expected, "{table}");
    }
    pool.close().await;
}

#[tokio::test]
async fn a_bad_event_is_named_and_the_others_are_counted() {
    let service = Service::start().await;
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    let now = service.app.clock.now();
    let mut named = call(2, now);
    named["tool"] = json!("get_job for Ann Smith");
    let events = [
        call(1, now),
        named,
        call(3, now + 2 * HOUR),
        call(4, now - 36 * DAY),
        json!({"id": "x y"}),
        call(5, now - 34 * DAY),
        call(1, now),
    ];
    let (status, answer) = company.report(&service, &events).await;
    assert_eq!(status, 202);
    assert_eq!(
        (&answer["accepted"], &answer["duplicates"]),
        (&json!(2), &json!(1))
    );
    let refused = answer["refused"].as_array().unwrap();
    let indexes: Vec<_> = refused
        .iter()
        .map(|refused| refused["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indexes, [1, 2, 3, 4]);
    assert_eq!(refused[0]["id"], "call-2");
    assert_eq!(refused[3].get("id"), None);
    assert!(!answer.to_string().contains("Ann Smith"), "{answer}");
}

#[tokio::test]
async fn a_batch_has_its_limits() {
    let service = Service::start().await;
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    let now = service.app.clock.now();

    let most: Vec<Value> = (0..1000).map(|number| call(number, now)).collect();
    let (status, answer) = company.report(&service, &most).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(1000)));
    let more: Vec<Value> = (0..1001).map(|number| call(number, now)).collect();
    let (status, answer) = company.report(&service, &more).await;
    assert_eq!((status, &answer["code"]), (413, &json!("too_many_events")));
    let (status, answer) = company
        .report(&service, &[json!("x".repeat(1 << 20))])
        .await;
    assert_eq!((status, &answer["code"]), (413, &json!("too_large")));
    for body in [json!({}), json!([]), json!({"events": {}})] {
        let sent = service
            .post("/api/usage", &body)
            .bearer_auth(&company.device);
        assert_eq!(sent.send().await.unwrap().status(), 400, "{body}");
    }

    let pool = sqlx::AnyPool::connect(&service.around.database.url)
        .await
        .unwrap();
    sqlx::query("UPDATE counters SET count = 600 WHERE name LIKE 'usage/%'")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    assert_eq!(company.report(&service, &[]).await.0, 429);
    // The flood of one company is no other's.
    let other = Company::new(&service, "Beta Heating", "bob@beta.test").await;
    assert_eq!(other.report(&service, &[]).await.0, 202);
}

#[tokio::test]
async fn a_machine_cannot_fill_the_disk() {
    let service = Service::start().await;
    service.at_window_start();
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    let now = service.app.clock.now();
    // As many clients and tools as it likes, in two batches.
    for batch in 0..2 {
        let names = (0..100).map(|number| {
            let mut call = call(batch * 100 + number, now);
            call["client"] = json!(format!("client {batch} {number}/1"));
            call["tool"] = json!("x".repeat(1 + usize::try_from(number % 60).unwrap()));
            call
        });
        let (status, answer) = company.report(&service, &names.collect::<Vec<_>>()).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(100)));
    }
    let tools = company.figures(&service, "?by=tool").await;
    assert_eq!(tools["rows"].as_array().unwrap().len(), 1, "{tools}");
    assert_eq!(tools["rows"][0]["tool"], "other");
    let clients = company.figures(&service, "?by=client").await;
    let rows = clients["rows"].as_array().unwrap();
    assert_eq!(rows.len(), CLIENTS_A_DAY + 1);
    let other = rows.iter().find(|row| row["client"] == "other").unwrap();
    assert_eq!(other["calls"], 200 - CLIENTS_A_DAY);

    let limit = ingest::EVENTS;
    let used = limit.most - 200 - 10;
    let used =
        format!("UPDATE counters SET count = count + {used} WHERE name LIKE 'usage/events/%'");
    service.around.database.run(&used).await;
    let calls = |from: u64| {
        (from..from + 11)
            .map(|number| call(number, now))
            .collect::<Vec<_>>()
    };
    assert_eq!(company.report(&service, &calls(900)[..10]).await.0, 202);
    let refused = service
        .post("/api/usage", &json!({"events": calls(920)}))
        .bearer_auth(&company.device);
    let refused = refused.send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let wait: i64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(wait > 0 && wait <= 86_401, "{wait}");
    service.app.clock.advance(limit.window);
    assert_eq!(company.report(&service, &calls(920)).await.0, 202);
}

/// The hosted endpoint writes down the calls of all companies together.
#[tokio::test]
async fn calls_of_many_companies_in_one_batch_count_for_each() {
    const COMPANIES: u64 = 30;
    const CALLS: u64 = 40;
    let service = Service::start().await;
    let (store, now) = (&service.app.store, service.app.clock.now());
    let mut companies = Vec::new();
    for number in 0..COMPANIES {
        let email = format!("owner{number}@example.com");
        companies.push(Company::new(&service, "Elm", &email).await);
    }
    // The same ids at the same moments, which are other calls of another company; the first has too many clients.
    let events = |company: u64, calls: std::ops::Range<u64>| -> Vec<UsageEvent> {
        calls
            .map(|number| {
                let mut call = call(number, now);
                if company == 0 {
                    call["client"] = json!(format!("client {number}/1"));
                }
                event::judge(&call, now).unwrap()
            })
            .collect()
    };
    let write = async |calls: std::ops::Range<u64>| {
        let mut batches = Vec::new();
        for (company, number) in companies.iter().zip(0..) {
            let source = UsageSource {
                tenant_id: &company.tenant_id,
                token_id: (number % 2 == 0).then_some("tok_1"),
                member_id: None,
                origin: Origin::Hosted,
            };
            batches.push((source, events(number, calls.clone())));
        }
        let batches: Vec<_> = (batches.iter().rev())
            .map(|(source, events)| (*source, events.as_slice()))
            .collect();
        store.add_usages(&batches, now).await.unwrap()
    };
    let companies_calls = |calls: u64| usize::try_from(COMPANIES * calls).unwrap();
    assert_eq!(write(0..CALLS).await, companies_calls(CALLS));
    // Half of them come again, and once more all.
    assert_eq!(write(CALLS / 2..2 * CALLS).await, companies_calls(CALLS));
    assert_eq!(write(0..2 * CALLS).await, 0);
    for (company, number) in companies.iter().zip(0..) {
        let figures = company.figures(&service, "?by=client").await;
        let bytes = (0..2 * CALLS).sum::<u64>();
        let totals = &figures["totals"];
        assert_eq!(
            (&totals["calls"], &totals["bytes"]),
            (&json!(2 * CALLS), &json!(bytes))
        );
        let rows = figures["rows"].as_array().unwrap();
        let clients = if number == 0 { CLIENTS_A_DAY + 1 } else { 2 };
        assert_eq!(rows.len(), clients, "{figures}");
    }
    let pool = sqlx::AnyPool::connect(&service.around.database.url)
        .await
        .unwrap();
    for (what, count) in [
        (
            "usage_events WHERE token_id = 'tok_1'",
            companies_calls(CALLS),
        ),
        ("usage_clients", CLIENTS_A_DAY + 2 * (companies.len() - 1)),
    ] {
        let counting = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {what}"));
        let counted: i64 = sqlx::query_scalar(counting).fetch_one(&pool).await.unwrap();
        assert_eq!(counted, i64::try_from(count).unwrap(), "{what}");
    }
    pool.close().await;
}

#[tokio::test]
async fn a_report_of_many_rows_has_the_rest_in_one() {
    let service = Service::start().await;
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    let day = service.app.clock.now() / DAY * DAY;
    let rows: Vec<String> = (0..2_600)
        .map(|number| {
            let tenant = &company.tenant_id;
            format!("('{tenant}', {day}, 'get_job', 'ok', 'c{number:04}', 'local', 1, 1, 1)")
        })
        .collect();
    let insert = format!(
        "INSERT INTO usage_days (tenant_id, day, tool, status, client, origin, calls, duration_ms, bytes) VALUES {}",
        rows.join(", ")
    );
    service.around.database.run(&insert).await;
    let figures = company.figures(&service, "?by=client").await;
    let rows = figures["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2_501);
    assert_eq!(rows[2_500]["client"], "other");
    assert_eq!(rows[2_500]["calls"], 100);
    assert_eq!(figures["totals"]["calls"], 2_600);
}

/// The clock of one replica is behind: it counts in the window that the others are in.
#[tokio::test]
async fn a_window_never_goes_backwards() {
    let service = Service::start().await;
    let store = &service.app.store;
    let count = async |now| store.count("a", 1, 1_000, now).await.unwrap();
    assert_eq!(count(5_900).await, 1);
    assert_eq!(count(6_010).await, 1);
    assert_eq!(count(5_990).await, 2);
    assert_eq!(count(6_020).await, 3);
    assert_eq!(count(7_000).await, 1);
    assert_eq!(store.count("a", 5, 1_000, 7_100).await.unwrap(), 6);
    let far = 7_000 + 3 * DAY;
    store.count("b", 1, 1_000, far).await.unwrap();
    assert_eq!(
        store.forget_counters(7_200).await.unwrap(),
        1,
        "a clock that was far ahead"
    );
}

#[tokio::test]
async fn only_a_device_reports_and_only_a_persons_token_reads() {
    let service = Service::start().await;
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    let other = Company::new(&service, "Beta Heating", "bob@beta.test").await;
    let now = service.app.clock.now();
    assert_eq!(company.report(&service, &[call(1, now)]).await.0, 202);

    for token in [company.bearer.as_str(), "sfd_unknown"] {
        let body = json!({"events": [call(2, now)]});
        let sent = service.post("/api/usage", &body).bearer_auth(token);
        assert_eq!(sent.send().await.unwrap().status(), 401);
    }
    let read = service.get("/api/usage").bearer_auth(&company.device);
    assert_eq!(read.send().await.unwrap().status(), 401);
    assert_eq!(
        service.get("/api/usage").send().await.unwrap().status(),
        401
    );

    let foreign = other
        .figures(&service, &format!("?tenant_id={}", company.tenant_id))
        .await;
    assert_eq!(foreign["totals"]["calls"], 0);
    assert_eq!(company.figures(&service, "").await["totals"]["calls"], 1);
    // The same id of another company is another call.
    let (_, answer) = other.report(&service, &[call(1, now)]).await;
    assert_eq!(answer["accepted"], 1);
    assert_eq!(company.figures(&service, "").await["totals"]["calls"], 1);
}

#[tokio::test]
async fn figures_come_by_day_of_this_month_or_as_asked() {
    let service = Service::start().await;
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    service.app.clock.advance(NOON - service.app.clock.now());
    let events: Vec<Value> = [
        (1, NOON),
        (2, NOON - HOUR),
        (10, NOON - DAY),
        (3, NOON - 20 * DAY),
    ]
    .map(|(number, at)| call(number, at))
    .into();
    assert_eq!(company.report(&service, &events).await.1["accepted"], 4);

    let figures = company.figures(&service, "").await;
    assert_eq!(
        figures,
        json!({
            "from": "2030-03-01", "to": "2030-03-15", "by": "day",
            "rows": [
                {"day": "2030-03-14", "calls": 1, "errors": 1, "duration_ms": 10, "bytes": 10},
                {"day": "2030-03-15", "calls": 2, "errors": 0, "duration_ms": 3, "bytes": 3},
            ],
            "totals": {"calls": 3, "errors": 1, "duration_ms": 13, "bytes": 13},
        })
    );
    let hours = company
        .figures(&service, "?from=2030-03-15&to=2030-03-15&by=hour")
        .await;
    assert_eq!(hours["rows"][0]["hour"], "2030-03-15T11:00:00Z");
    let february = company
        .figures(&service, "?from=2030-02-01&to=2030-02-28&by=tool")
        .await;
    assert_eq!(
        february["rows"],
        json!([{"tool": "search_jobs", "calls": 1, "errors": 0, "duration_ms": 3, "bytes": 3}])
    );

    for query in [
        "?by=id",
        "?from=2030-02-30",
        "?from=2030-03-02&to=2030-03-01",
        "?by=day&by=hour",
        "?from=2029-01-01&by=hour",
    ] {
        let asked = service
            .get(&format!("/api/usage{query}"))
            .bearer_auth(&company.bearer);
        assert_eq!(asked.send().await.unwrap().status(), 400, "{query}");
    }
}

#[tokio::test]
async fn a_spreadsheet_gets_values_and_no_formulas() {
    let service = Service::start().await;
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    let now = service.app.clock.now();
    let mut formula = call(1, now);
    formula["client"] = json!("+1-1(A1)");
    assert_eq!(company.report(&service, &[formula]).await.1["accepted"], 1);

    let answer = service
        .get("/api/usage?by=client")
        .bearer_auth(&company.bearer)
        .header("accept", "text/csv")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(
        answer.text().await.unwrap(),
        "client,calls,errors,duration_ms,bytes\r\n'+1-1(A1),1,0,1,1\r\ntotal,1,0,1,1\r\n"
    );
}

#[tokio::test]
async fn events_are_forgotten_after_ninety_days_and_sums_stay() {
    let service = Service::start().await;
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    let now = service.app.clock.now();
    company
        .report(&service, &[call(1, now - 30 * DAY), call(2, now)])
        .await;

    service.app.clock.advance(61 * DAY);
    let swept = service.app.clock.now();
    sf_supervisor::housekeeping::sweep(&service.app.store, swept, 60_000)
        .await
        .unwrap();

    let pool = sqlx::AnyPool::connect(&service.around.database.url)
        .await
        .unwrap();
    let left = sqlx::query("SELECT id FROM usage_events")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].get::<String, _>("id"), "call-2");
    pool.close().await;
    let from = jiff::Timestamp::from_millisecond(now - 30 * DAY)
        .unwrap()
        .strftime("%Y-%m-%d")
        .to_string();
    assert_eq!(
        company.figures(&service, &format!("?from={from}")).await["totals"]["calls"],
        2
    );
    // It is too old to be counted again.
    let (_, answer) = company.report(&service, &[call(1, now - 30 * DAY)]).await;
    assert_eq!(answer["accepted"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_that_is_dropped_halfway_leaves_nothing_open() {
    let service = Service::start().await;
    let company = Company::new(&service, "Acme Air", "ann@acme.test").await;
    let now = service.app.clock.now();
    let source = UsageSource {
        tenant_id: &company.tenant_id,
        token_id: None,
        member_id: None,
        origin: Origin::Hosted,
    };
    let event = |number: u64| event::judge(&call(number, now), now).unwrap();
    for number in 0..60 {
        let events = [event(number)];
        dropped_after(number % 20, ingest::record(&service.app, source, &events)).await;
        nothing_open(&service).await;
    }

    let all: Vec<_> = (0..60).map(event).collect();
    let deadline = Duration::from_secs(10);
    let added = tokio::time::timeout(deadline, ingest::record(&service.app, source, &all));
    added.await.expect("no lock is left behind").unwrap();
    let counted = company.figures(&service, "?by=origin").await;
    assert_eq!(counted["totals"]["calls"], 60);
    assert_eq!(counted["rows"][0]["origin"], "hosted");
    sums_equal_events(&service.around.database.url, 60).await;
}

/// Polls so many times and then drops.
async fn dropped_after(mut polls: u64, future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|context| {
        let ended = polls == 0 || future.as_mut().poll(context).is_ready();
        polls = polls.saturating_sub(1);
        if ended || polls == 0 {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// No connection waits within a transaction, with its locks.
async fn nothing_open(service: &Service) {
    if !service.around.database.is_postgres() {
        return;
    }
    let url = &service.around.database.url;
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let open: i64 = sqlx::query(
            "SELECT COUNT(*) AS open FROM pg_stat_activity \
             WHERE datname = current_database() AND state = 'idle in transaction'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get("open");
        if open == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "a transaction stays open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

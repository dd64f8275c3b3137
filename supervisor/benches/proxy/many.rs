//! What many companies cost: registered, living, and when all their tokens run out at once. Their children are the
//! product's own, confined and with tokens lent over their private lines.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sf_mcp::sandbox::{self, Sandbox};

use crate::{
    Call, MODERN,
    hosted::{self, Connection, Files, Service, resident_kb},
    ms,
    plain::{Around, sf_mcp},
    row, timed,
};

const REGISTERED: usize = 10_000;
/// As many as a service keeps at most, unless it is told otherwise.
const LIVING: [usize; 3] = [1, 100, 500];
const STORM: usize = 100;
/// Searches of each company, one after another.
const WORK: usize = 5;
/// Calls of each company in the storm.
const EACH: usize = 4;

/// Companies that nobody asks for.
pub(crate) async fn idle(around: &Around) {
    let mut service = Service::start(around, REGISTERED).await;
    row(
        "resident, 10,000 registered idle tenants (at most 25)",
        service.resident_mb(),
        "MB",
    );
    service.stop().await;
}

/// The service and its children with 1, 100 and 500 of them: after a call without work, and after some with.
pub(crate) async fn living(around: &Around) {
    println!("\nLiving children, with the service's resident set and a child's proportional one");
    let sandbox = sandbox().await;
    let [no_work, ..] = Call::all();
    for count in LIVING {
        let files = Files::new(around, count).await;
        files.connect_all().await;
        let mut service = files.serve(&sf_mcp(), &sandbox.origin()).await;
        let before = resident_kb(service.process());
        one_each(&service, &no_work, count).await;
        let title = format!("  {count}, idle: the service");
        row(&title, service.resident_mb(), "MB");
        if count > 1 {
            let grown = resident_kb(service.process()).saturating_sub(before);
            let each = grown as f64 / count as f64;
            row("    more for each (at most 50)", each, "kB");
        }
        row("    each child (at most 2)", child_mb(&service), "MB");
        for _ in 0..WORK {
            one_each(&service, &search(), count).await;
        }
        let title = format!("    each child after {WORK} searches");
        row(&title, child_mb(&service), "MB");
        row("    the service then", service.resident_mb(), "MB");
        service.stop().await;
    }
}

/// One company after the other, each with a connection of its own that ends with the call.
async fn one_each(service: &Service, call: &Call, companies: usize) {
    for company in 0..companies {
        service.connect(company).await.call(call, 1, MODERN).await;
    }
}

/// A call that asks Service Fusion.
fn search() -> Call {
    Call {
        title: "search_jobs",
        method: "tools/call",
        params: json!({"name": "search_jobs", "arguments": {"limit": 1}}),
        varied: ("", Vec::new()),
    }
}

/// A Service Fusion without a rate limit that tells what it was asked.
async fn sandbox() -> Sandbox {
    let options = sandbox::Options {
        requests_per_window: 0,
        control: true,
        ..sandbox::Options::default()
    };
    Sandbox::start(options).await.unwrap()
}

/// Every company's token has run out, and each asks several things at once.
pub(crate) async fn storm(around: &Around) {
    let sandbox = sandbox().await;
    let files = Files::new(around, STORM).await;
    files.connect_all().await;
    let mut service = files.serve(&sf_mcp(), &sandbox.origin()).await;
    let [no_work, ..] = Call::all();
    let search = search();
    let mut connections = connections(&service, STORM, EACH).await;
    hosted::all(&mut connections, &no_work, STORM * EACH).await;
    let before = service.processor_us();
    let spent = timed(hosted::all(&mut connections, &search, STORM * EACH)).await;
    let storming = service.processor_us() - before;
    let issued = issued(&sandbox).await;
    let before = service.processor_us();
    let fresh = timed(hosted::all(&mut connections, &search, STORM * EACH)).await;
    let calm = service.processor_us() - before;
    println!("\n{STORM} companies with {EACH} calls each when all tokens have run out");
    row("  tokens asked for, of each (1)", issued / STORM as f64, "");
    row("  all answered in", spent.as_secs_f64(), "s");
    row("  the same with good tokens", fresh.as_secs_f64(), "s");
    row(
        "  processor time of the service for each renewal",
        (storming - calm) / STORM as f64,
        "µs",
    );
    service.stop().await;
}

/// A process that is killed while it works on a call, and the call after that. Twice: one that ends a third time within
/// moments is waited with.
pub(crate) async fn killed(around: &Around) {
    let sandbox = sandbox().await;
    let files = Files::new(around, 1).await;
    files.connect_all().await;
    let mut service = files.serve(&sf_mcp(), &sandbox.origin()).await;
    println!();
    for _ in 0..2 {
        let mut connection = service.connect(0).await;
        connection.call(&search(), 1, MODERN).await;
        slow(&sandbox, r#"[{"kind": "latency", "ms": 20000}]"#).await;
        let process = service.children()[0].to_string();
        let killing = async {
            // Long enough for the call to be on its way, however busy the machine is.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let killed = Command::new("kill").args(["-KILL", &process]).status();
            assert!(killed.unwrap().success());
            Instant::now()
        };
        let call = search();
        let ((), killed) = tokio::join!(connection.ask(&call, 2, MODERN), killing);
        let ended = killed.elapsed();
        let text = String::from_utf8_lossy(&connection.body);
        assert!(text.contains("stopped before it answered"), "{text}");
        slow(&sandbox, "[]").await;
        row(
            "a killed process's call ends after (at most 50)",
            ms(ended),
            "ms",
        );
        let next = timed(connection.call(&call, 3, MODERN)).await;
        row("  the next call succeeds after", ms(next), "ms");
    }
    service.stop().await;
}

/// Sets the sandbox's faults in place of those before.
async fn slow(sandbox: &Sandbox, faults: &'static str) {
    // A second one in this process keeps the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = format!("{}/sandbox/faults", sandbox.origin());
    let http = reqwest::Client::new();
    http.delete(&address).send().await.unwrap();
    let set = http.post(&address).body(faults).send();
    assert!(set.await.unwrap().status().is_success());
}

/// Tokens that the sandbox has given out.
async fn issued(sandbox: &Sandbox) -> f64 {
    // A second one in this process keeps the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let state = reqwest::get(format!("{}/sandbox/state", sandbox.origin()));
    let text = state.await.unwrap().text().await.unwrap();
    let state: Value = serde_json::from_str(&text).unwrap();
    state["client_credentials"].as_f64().unwrap()
}

async fn connections(service: &Service, companies: usize, each: usize) -> Vec<Connection> {
    let mut connections = Vec::new();
    for number in 0..companies * each {
        connections.push(service.connect(number % companies).await);
    }
    connections
}

fn child_mb(service: &Service) -> f64 {
    let children = service.children();
    let all = children.iter().map(|child| hosted::proportional_kb(*child));
    kb_as_mb(all.sum::<u64>()) / children.len() as f64
}

fn kb_as_mb(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1000.0
}

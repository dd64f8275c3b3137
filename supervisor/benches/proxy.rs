//! What the hosted endpoint costs: `cargo build --release -p sf-mcp && cargo bench -p sf-supervisor`.
//!
//! The same calls go to the same program over plain pipes and through `/mcp` of the real service, in turn and in one
//! run, with the token and tier checked and usage written on SQLite. Machines are noisy, so ratios are printed beside
//! the times. The load generator, the service, its children and the simulated Service Fusion share the processors.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should stop at once"
)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(
    clippy::cast_precision_loss,
    reason = "figures are shown with few digits"
)]

#[path = "proxy/hosted.rs"]
mod hosted;
#[path = "proxy/many.rs"]
mod many;
#[path = "proxy/plain.rs"]
mod plain;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    hosted::{Service, resident_kb},
    plain::{Around, Pipe},
};

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";
const SEQUENTIAL: usize = 2_000;
const LATE: usize = 300;
const ROUNDS: usize = 7;
const MANY: usize = 6_000;
const GROWTH: usize = 100_000;
const TENANTS: usize = 16;

/// A call that is made over and over.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) title: &'static str,
    pub(crate) method: &'static str,
    pub(crate) params: Value,
    /// An argument and its values, which are taken in turn: the program shares the answer of equal requests that are in
    /// flight at once.
    pub(crate) varied: (&'static str, Vec<i64>),
}

impl Call {
    fn all() -> [Self; 3] {
        [
            Self {
                title: "prompts/list (no work behind)",
                method: "prompts/list",
                params: json!({}),
                varied: ("", Vec::new()),
            },
            Self {
                title: "get_job (one request to Service Fusion behind)",
                method: "tools/call",
                params: json!({"name": "get_job", "arguments": {}}),
                varied: ("job_id", Vec::new()),
            },
            Self {
                title: "search_jobs (one request behind, about 20 jobs in the answer)",
                method: "tools/call",
                params: json!({"name": "search_jobs", "arguments": {}}),
                varied: ("limit", (16..32).collect()),
            },
        ]
    }

    /// The message, as both ways carry it.
    pub(crate) fn message(&self, id: usize, era: &str) -> String {
        let mut params = self.params.clone();
        let (argument, values) = &self.varied;
        if !values.is_empty() {
            params["arguments"][argument] = json!(values[id % values.len()]);
        }
        if era == MODERN {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!(era);
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
            meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "bench", "version": "1"});
        }
        json!({"jsonrpc": "2.0", "id": id, "method": self.method, "params": params}).to_string()
    }
}

fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run());
}

async fn run() {
    println!(
        "sf-supervisor {} on {} threads, SQLite, token and tier checked, usage written\n",
        env!("CARGO_PKG_VERSION"),
        std::thread::available_parallelism().unwrap()
    );
    let around = Around::start().await;
    let mut service = Service::start(&around, TENANTS + 140).await;
    println!("{:58} {:8.1} MB", "resident, idle", service.resident_mb());
    let mut pipe = Pipe::start(&around).await;
    for call in Call::all().into_iter().filter(is_asked_for) {
        let call = around.with_jobs(call, &mut pipe).await;
        println!("\n{}", call.title);
        sequential(&service, &mut pipe, &call).await;
        for at_once in [16, 64] {
            one_tenant(&service, &mut pipe, &call, at_once).await;
        }
        sixteen_tenants(&service, &around, &call).await;
    }
    if !is_whole() {
        service.stop().await;
        return;
    }
    late(&service).await;
    println!();
    memory(&service).await;
    cold(&service, &around).await;
    service.stop().await;
    many::idle(&around).await;
    many::living(&around).await;
    many::storm(&around).await;
    many::killed(&around).await;
}

/// `-- calls` leaves out what is not about the speed of calls; `-- calls get_job` leaves out other calls as well.
fn is_whole() -> bool {
    !std::env::args().any(|argument| argument == "calls")
}

fn is_asked_for(call: &Call) -> bool {
    // The runner adds options of its own.
    let words = std::env::args().filter(|argument| !argument.starts_with("--"));
    let named = words.skip_while(|argument| argument != "calls").nth(1);
    named.is_none_or(|named| call.title.starts_with(&named))
}

/// One after another, both ways in turn.
async fn sequential(service: &Service, pipe: &mut Pipe, call: &Call) {
    let mut connection = service.connect(0).await;
    for id in 0..200 {
        pipe.call(call, id).await;
        connection.call(call, id, MODERN).await;
        connection.call(call, id, LEGACY).await;
    }
    let (mut plain, mut modern, mut legacy) = (Vec::new(), Vec::new(), Vec::new());
    for id in 0..SEQUENTIAL {
        plain.push(timed(pipe.call(call, id)).await);
        modern.push(timed(connection.call(call, id, MODERN)).await);
        legacy.push(timed(connection.call(call, id, LEGACY)).await);
    }
    let before = service.processor_us();
    for id in 0..SEQUENTIAL {
        connection.call(call, id, MODERN).await;
    }
    let spent = (service.processor_us() - before) / SEQUENTIAL as f64;
    let (plain_99, modern_99) = (percentile(&mut plain, 99), percentile(&mut modern, 99));
    let (plain, modern, legacy) = (
        percentile(&mut plain, 50),
        percentile(&mut modern, 50),
        percentile(&mut legacy, 50),
    );
    row("  plain pipes, median", ms(plain), "ms");
    row("  through /mcp, median", ms(modern), "ms");
    row(
        "  added at the median (at most 0.20)",
        ms(modern) - ms(plain),
        "ms",
    );
    row(
        "  99th percentile, of the plain one's (at most 2)",
        ms(modern_99) / ms(plain_99),
        "x",
    );
    row(
        "  2025-11-25, of 2026-07-28 (at most 1.1)",
        ms(legacy) / ms(modern),
        "x",
    );
    row(
        "  processor time of the service (at most 100)",
        spent,
        "µs a call",
    );
}

/// With a client that acknowledges late: where header and body, or two events, went out apart and waited for one another,
/// each call would take 40 ms more.
async fn late(service: &Service) {
    let [json, ..] = Call::all();
    let stream = Call {
        title: "stream",
        method: "tools/call",
        params: json!({"name": "get_dispatch_board", "arguments": {}, "_meta": {"progressToken": 1}}),
        varied: ("", Vec::new()),
    };
    println!("\nA client that acknowledges late, at the median (at most 0.10)");
    let mut prompt = service.connect(0).await.acknowledging(true);
    let mut late = service.connect(0).await.acknowledging(false);
    for (call, form) in [(&json, "JSON"), (&stream, "stream")] {
        for era in [MODERN, LEGACY] {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            for id in 0..LATE {
                one.push(timed(prompt.call(call, id, era)).await);
                other.push(timed(late.call(call, id, era)).await);
            }
            let more = ms(percentile(&mut other, 50)) - ms(percentile(&mut one, 50));
            row(&format!("  {form}, {era}, later by"), more, "ms");
        }
    }
}

/// So many in flight to one child.
async fn one_tenant(service: &Service, pipe: &mut Pipe, call: &Call, at_once: usize) {
    let (mut ratios, mut spent, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    let mut connections = Vec::new();
    for _ in 0..at_once {
        connections.push(service.connect(0).await);
    }
    for _ in 0..ROUNDS {
        let plain = rate(MANY, pipe.keep_in_flight(call, at_once, MANY)).await;
        let before = service.processor_us();
        let hosted = rate(MANY, hosted::all(&mut connections, call, MANY)).await;
        spent.push((service.processor_us() - before) / MANY as f64);
        ratios.push(hosted / plain);
        rates.push(hosted);
    }
    let title = format!("  {at_once} at once, one tenant");
    row(&title, middle(&mut rates), "calls/s");
    row(
        "    of the plain rate (at least 0.60 at 16)",
        middle(&mut ratios),
        "x",
    );
    row(
        "    processor time of the service (at most 60 at 16)",
        middle(&mut spent),
        "µs a call",
    );
}

/// One in flight to each of sixteen children.
async fn sixteen_tenants(service: &Service, around: &Around, call: &Call) {
    let (mut pipes, mut connections) = (Vec::new(), Vec::new());
    for tenant in 0..TENANTS {
        pipes.push(Pipe::start(around).await);
        connections.push(service.connect(tenant).await);
    }
    plain::all(&mut pipes, call, 1_600).await;
    hosted::all(&mut connections, call, 1_600).await;
    let (mut ratios, mut spent, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let plain = rate(MANY, plain::all(&mut pipes, call, MANY)).await;
        let before = service.processor_us();
        let hosted = rate(MANY, hosted::all(&mut connections, call, MANY)).await;
        spent.push((service.processor_us() - before) / MANY as f64);
        ratios.push(hosted / plain);
        rates.push(hosted);
    }
    row("  16 at once, 16 tenants", middle(&mut rates), "calls/s");
    row(
        "    of the plain rate (at least 0.80)",
        middle(&mut ratios),
        "x",
    );
    row(
        "    processor time of the service",
        middle(&mut spent),
        "µs a call",
    );
}

async fn memory(service: &Service) {
    let [call, ..] = Call::all();
    let children = service.children();
    let whole: u64 = children
        .iter()
        .map(|child| hosted::proportional_kb(*child))
        .sum();
    row(
        "a live child, proportional set size (at most 2)",
        whole as f64 / children.len() as f64 / 1000.0,
        "MB",
    );
    let mut connections = Vec::new();
    for tenant in 0..TENANTS {
        connections.push(service.connect(tenant).await);
    }
    hosted::all(&mut connections, &call, GROWTH / 5).await;
    let before = service.resident_mb();
    hosted::all(&mut connections, &call, GROWTH).await;
    row("resident after many calls", service.resident_mb(), "MB");
    row(
        "growth over 100,000 calls (at most 2)",
        service.resident_mb() - before,
        "MB",
    );
}

/// The first answer of a tenant that has no child, one after another and a hundred at once.
async fn cold(service: &Service, around: &Around) {
    let [call, ..] = Call::all();
    let (mut own, mut hosted) = (Vec::new(), Vec::new());
    for tenant in TENANTS..TENANTS + 40 {
        let started = Instant::now();
        let mut pipe = Pipe::start(around).await;
        pipe.call(&call, 1).await;
        own.push(started.elapsed());
        let mut connection = service.connect(tenant).await;
        hosted.push(timed(connection.call(&call, 1, MODERN)).await);
    }
    let added = ms(percentile(&mut hosted, 50)) - ms(percentile(&mut own, 50));
    row(
        "first answer of the child itself, median",
        ms(percentile(&mut own, 50)),
        "ms",
    );
    row(
        "first answer of a cold tenant, added (at most 15)",
        added,
        "ms",
    );
    let (before, living) = (resident_kb(service.process()), service.children().len());
    let mut connections = Vec::new();
    for tenant in TENANTS + 40..TENANTS + 140 {
        connections.push(service.connect(tenant).await);
    }
    let took = timed(hosted::all(&mut connections, &call, 100)).await;
    row(
        "100 cold tenants at once (at most 2)",
        took.as_secs_f64(),
        "s",
    );
    let more = service.children().len() - living;
    let grown = resident_kb(service.process()).saturating_sub(before);
    row(
        "resident per live child, in the service (at most 50)",
        grown as f64 / more as f64,
        "kB",
    );
}

fn row(title: &str, figure: f64, unit: &str) {
    println!("{title:58} {figure:8.2} {unit}");
}

async fn timed(doing: impl Future<Output = ()>) -> Duration {
    let started = Instant::now();
    doing.await;
    started.elapsed()
}

/// Calls a second.
async fn rate(calls: usize, doing: impl Future<Output = ()>) -> f64 {
    calls as f64 / timed(doing).await.as_secs_f64()
}

fn percentile(times: &mut [Duration], part: usize) -> Duration {
    times.sort();
    times[(times.len() * part / 100).min(times.len() - 1)]
}

fn middle(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

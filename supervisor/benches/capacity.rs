//! What the capacity plan (docs/capacity.md) is made of: `cargo bench -p sf-supervisor --bench capacity`.
//!
//! A simulated working day of many companies tells how many sf-mcp processes live at once, how often one is started
//! and how many calls there are; then the store's own code tells what a database does in a second. With
//! `tests/with-postgres` before it that is PostgreSQL too, on this machine's own disks and with fsync off.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should stop at once"
)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are shown with few digits, and times of a day are small"
)]

#[path = "capacity/database.rs"]
mod database;
#[path = "capacity/day.rs"]
mod day;

use day::Day;

fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    for tenants in [1_000, 10_000, 100_000] {
        print_day(tenants);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(database::measure());
}

fn print_day(tenants: usize) {
    let day = Day::simulate(tenants, 7);
    println!("\n{tenants} companies on a working day");
    row("  calls a day", day.calls() as f64);
    row(
        "  calls a second, busiest minute",
        day.busiest_minute() / 60.0,
    );
    row("  companies that call", day.active() as f64);
    row(
        "  access tokens renewed in the busiest hour",
        day.renewals_in_busiest_hour() as f64,
    );
    row("  ... of all hours", day.renewals() as f64);
    row(
        "  companies beyond 60 requests in a minute, a day",
        day.beyond_the_limit() as f64,
    );
    row("  rows of usage_events a day", day.calls() as f64);
    row("  rows of usage_hours a day", day.sums(60) as f64);
    row("  rows of usage_days a day", day.sums(24 * 60) as f64);
    for minutes in [1, 2, 5, 10, 30] {
        let children = day.children(minutes * 60);
        println!("  processes that end after {minutes} min unasked");
        row("    alive at once, at most", children.most as f64);
        row("    started a day", children.started as f64);
        row(
            "    started a second, busiest minute",
            children.busiest_minute / 60.0,
        );
        let share = children.started as f64 / day.calls() as f64 * 100.0;
        row("    % of calls that wait for a start", share);
    }
}

pub(crate) fn row(title: &str, figure: f64) {
    if figure >= 100.0 {
        println!("{title:58} {figure:12.0}");
    } else {
        println!("{title:58} {figure:12.2}");
    }
}

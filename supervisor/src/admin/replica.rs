//! This replica since its start, as `/metrics` has it too.

use std::time::Instant;

use super::words::grouped;
use crate::{app::App, error::Problem, metrics, store::Kind};

/// Names and values for tiles, in groups with a title.
pub(super) struct Replica {
    pub(super) groups: Vec<(&'static str, Vec<(&'static str, String)>)>,
}

/// What is counted of it.
pub(super) async fn replica(app: &App) -> Result<Replica, Problem> {
    let living = app.children.list();
    let in_flight: usize = living.iter().map(|(_, _, in_flight, _)| in_flight).sum();
    let children = metrics::counted("sf_supervisor_children_started_total", "ok");
    let renewals = metrics::counted("sf_supervisor_renewals_total", "outcome");
    let mails = metrics::counted("sf_supervisor_mails_total", "outcome");
    let count = |counted: &std::collections::BTreeMap<String, i64>, names: &[&str]| {
        let sum = names.iter().filter_map(|name| counted.get(*name)).sum();
        grouped(sum)
    };
    Ok(Replica {
        groups: vec![
            (
                "Connectors (sf-mcp processes)",
                vec![
                    ("Running now", living.len().to_string()),
                    ("Calls in flight", in_flight.to_string()),
                    ("Started", count(&children, &["true"])),
                    ("Not started", count(&children, &["false"])),
                ],
            ),
            (
                "Renewals of Service Fusion tokens",
                vec![
                    ("Went well", count(&renewals, &["renewed"])),
                    ("Refused for good", count(&renewals, &["ended"])),
                    ("Not reached", count(&renewals, &["unavailable"])),
                    ("Failed", count(&renewals, &["failed"])),
                ],
            ),
            (
                "Mails",
                vec![
                    ("Sent", count(&mails, &["sent"])),
                    ("Tried again", count(&mails, &["retried"])),
                    ("Failed", count(&mails, &["failed", "dropped"])),
                    ("Waiting now", app.mailer.waiting().to_string()),
                ],
            ),
            ("Database", database(app).await?),
        ],
    })
}

async fn database(app: &App) -> Result<Vec<(&'static str, String)>, Problem> {
    let asked = Instant::now();
    app.store.ping().await?;
    let took = asked.elapsed();
    let (open, used) = app.store.connections();
    Ok(vec![
        (
            "Kind",
            match app.store.kind() {
                Kind::Sqlite => "SQLite",
                Kind::Postgres => "PostgreSQL",
            }
            .to_owned(),
        ),
        ("Size", size(app.store.size().await?)),
        (
            "Answers within",
            format!("{:.1} ms", took.as_secs_f64() * 1000.0),
        ),
        ("Connections", format!("{open}, {used} in use")),
    ])
}

/// Bytes in the unit that reads best.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_readable() {
        for (bytes, text) in [
            (0, "0.0 kB"),
            (4_096, "4.0 kB"),
            (12_345_678, "12.3 MB"),
            (5_000_000_000, "5.0 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}

//! What a replica, its processes and its database take.

use std::{collections::BTreeMap, fmt::Write as _};

use sqlx::{Connection as _, Row as _};

use crate::{
    scale_out::ScaledOut,
    support::{Database, until},
};

/// Connections that a replica's pools may have opened since.
const CONNECTIONS: i64 = 16 + 8 + 8;
/// Tasks of a replica at rest, at most, whenever they are counted; each connection and each part of a call in flight is one
/// more.
const TASKS: i64 = 64;
/// Of the replica that is never restarted, between the halves; then for each call.
const RESIDENT_KB: i64 = 3_000;
const RESIDENT_KB_PER_100_000: i64 = 2_000;
/// An event with its indexes, and what its statements leave behind until the next vacuum.
const DATABASE_BYTES_PER_CALL: i64 = 4_000;

/// At rest: nobody calls.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    title: &'static str,
    calls: i64,
    resident_kb: i64,
    descriptors: i64,
    threads: i64,
    tasks: i64,
    children: i64,
    database_bytes: i64,
    rows: BTreeMap<String, i64>,
}

impl Measured {
    pub(super) async fn now(scaled: &ScaledOut, title: &'static str, calls: usize) -> Self {
        let steady = scaled.replicas[0].as_ref().unwrap().process();
        // nginx leaves within seconds, and the figure is renewed every five.
        let tasks = until("end of the tasks of calls", async || {
            let tasks = scaled.metric(0, "sf_supervisor_tasks").await;
            (tasks <= TASKS).then_some(tasks)
        })
        .await;
        Self {
            title,
            calls: i64::try_from(calls).unwrap(),
            tasks,
            resident_kb: status(steady, "VmRSS:"),
            threads: status(steady, "Threads:"),
            descriptors: entries(&format!("/proc/{steady}/fd")),
            children: i64::try_from(children_of(steady).len()).unwrap(),
            database_bytes: database_bytes(&scaled.around.database).await,
            rows: tables(&scaled.around.database).await,
        }
    }
}

/// What is larger after the run than after its first half, and should not be.
pub(super) fn what_grew(rows: &[Measured], tables: &BTreeMap<String, i64>) -> Vec<String> {
    let [first, middle, last] = rows else {
        return vec!["three measurements were to be compared".to_owned()];
    };
    let calls = last.calls - middle.calls;
    let resident = RESIDENT_KB + RESIDENT_KB_PER_100_000 * calls / 100_000;
    let mut grown = Vec::new();
    for (what, before, after, most) in [
        (
            "resident kB",
            middle.resident_kb,
            last.resident_kb,
            resident,
        ),
        (
            "descriptors",
            first.descriptors,
            last.descriptors,
            CONNECTIONS,
        ),
        ("threads", middle.threads, last.threads, 1),
        ("children at rest", first.children, last.children, 0),
        (
            "bytes of the database",
            middle.database_bytes,
            last.database_bytes,
            1_000_000 + calls * DATABASE_BYTES_PER_CALL,
        ),
    ] {
        if after > before + most {
            grown.push(format!("{what}: {before}, then {after}"));
        }
    }
    // Usage is what calls leave; nothing else may grow with them.
    // Counters lapse by themselves.
    let others = tables
        .iter()
        .filter(|(name, _)| !name.starts_with("usage_") && *name != "counters");
    for (name, rows) in others {
        let before = middle.rows.get(name).copied().unwrap_or_default();
        if *rows > before {
            grown.push(format!("rows of {name}: {before}, then {rows}"));
        }
    }
    grown
}

/// For people.
pub(super) fn table(rows: &[Measured]) -> String {
    let mut text = format!(
        "{:34} {:>9} {:>12} {:>7} {:>7} {:>7} {:>9} {:>12} {:>12}\n",
        "",
        "calls",
        "resident kB",
        "fds",
        "threads",
        "tasks",
        "children",
        "database kB",
        "usage rows"
    );
    for row in rows {
        let events = row.rows.get("usage_events").copied().unwrap_or_default();
        let _ = writeln!(
            text,
            "{:34} {:>9} {:>12} {:>7} {:>7} {:>7} {:>9} {:>12} {:>12}",
            row.title,
            row.calls,
            row.resident_kb,
            row.descriptors,
            row.threads,
            row.tasks,
            row.children,
            row.database_bytes / 1000,
            events
        );
    }
    text
}

/// The processes that a process has started, the remains of dead ones among them.
pub(super) fn children_of(process: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let of_task = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("children")).unwrap_or_default()
    };
    let all: Vec<String> = tasks.map(of_task).collect();
    let numbers = all.iter().flat_map(|line| line.split_whitespace());
    numbers.map(|number| number.parse().unwrap()).collect()
}

/// Whether a process with that number is an sf-mcp; numbers are used again by others.
pub(super) fn is_ours(process: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm"));
    let of_others = |name: &str| name.trim() != "sf-mcp";
    name.is_ok_and(|name| !of_others(&name)) && parent(process) == Some(1)
}

/// An orphan's parent is the system's first process.
fn parent(process: u32) -> Option<u32> {
    let parent = status(process, "PPid:");
    u32::try_from(parent).ok()
}

fn status(process: u32, name: &str) -> i64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.map_or(-1, |number| number.parse().unwrap())
}

fn entries(folder: &str) -> i64 {
    i64::try_from(std::fs::read_dir(folder).unwrap().count()).unwrap()
}

async fn database_bytes(database: &Database) -> i64 {
    let mut connection = sqlx::AnyConnection::connect(&database.url).await.unwrap();
    let size = sqlx::query("SELECT pg_database_size(CURRENT_DATABASE())");
    let row = size.fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    row.get(0)
}

/// Rows of every table.
pub(super) async fn tables(database: &Database) -> BTreeMap<String, i64> {
    let mut connection = sqlx::AnyConnection::connect(&database.url).await.unwrap();
    let names = "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'public'";
    let names = sqlx::query(names).fetch_all(&mut connection).await.unwrap();
    let mut tables = BTreeMap::new();
    for name in names {
        let name: String = name.get(0);
        let count = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {name}"));
        let row = sqlx::query(count).fetch_one(&mut connection).await.unwrap();
        tables.insert(name, row.get(0));
    }
    connection.close().await.unwrap();
    tables
}

//! Events that are not sent yet, in an SQLite file of their own, shared by all processes of a profile.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use serde_json::Value;

use crate::{paths, usage::Event};

/// Weeks of ordinary work. Then the oldest go, and are counted.
const MOST: i64 = 100_000;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT";

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be used: {problem}")]
pub struct Error {
    path: String,
    problem: String,
}

/// The oldest events.
#[derive(Debug)]
pub struct Batch {
    pub events: Vec<Value>,
    /// The number of the last one.
    pub last: i64,
    /// How often sending has failed since it last worked.
    pub failures: u32,
}

/// What is in a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub waiting: i64,
    /// Events that had to go since the file was made.
    pub dropped: i64,
}

/// One file. It is made with the first event.
#[derive(Clone, Debug)]
pub struct Spool {
    path: PathBuf,
}

impl Spool {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn lock_file(&self) -> PathBuf {
        self.path.with_extension("lock")
    }

    pub async fn append(&self, events: Vec<Event>) -> Result<(), Error> {
        self.with(move |connection| append(connection, &events, MOST))
            .await
    }

    /// At most `most` of the oldest events. `None` while the wait after a failure lasts; a wait that is longer than
    /// `longest` was noted by another clock.
    pub async fn next(&self, most: usize, longest: Duration) -> Result<Option<Batch>, Error> {
        if !self.path.exists() {
            return Ok(Some(Batch {
                events: Vec::new(),
                last: 0,
                failures: 0,
            }));
        }
        self.with(move |connection| {
            let left = note(connection, "wait_until")? - now();
            if left > 0 && left < millis(longest) {
                return Ok(None);
            }
            let failures = u32::try_from(note(connection, "failures")?).unwrap_or(0);
            oldest(connection, most, failures).map(Some)
        })
        .await
    }

    /// Removes all up to number `last`: they were taken, or, so many of them, never will be.
    pub async fn remove(&self, last: i64, dropped: usize) -> Result<(), Error> {
        self.with(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute("DELETE FROM events WHERE number <= ?1", [last])?;
            count_dropped(&transaction, dropped)?;
            set_note(&transaction, "failures", 0)?;
            set_note(&transaction, "wait_until", 0)?;
            transaction.commit()
        })
        .await
    }

    /// Notes a failure for all processes.
    pub async fn wait(&self, wait: Duration) -> Result<(), Error> {
        self.with(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let failures = note(&transaction, "failures")?;
            set_note(&transaction, "failures", failures + 1)?;
            set_note(&transaction, "wait_until", now() + millis(wait))?;
            transaction.commit()
        })
        .await
    }

    /// What is in the file; nothing is made for asking.
    pub fn left(&self) -> Result<Left, Error> {
        if !self.path.exists() {
            return Ok(Left::default());
        }
        let read = open(&self.path).and_then(|connection| {
            Ok(Left {
                waiting: connection
                    .query_row("SELECT COUNT(*) FROM events", [], |row| row.get(0))?,
                dropped: note(&connection, "dropped")?,
            })
        });
        read.map_err(|problem| self.failed(&problem))
    }

    /// Deletes the file and its side files.
    pub fn forget(&self) {
        for end in ["", "-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(end);
            // What is gone already is gone.
            let _ = std::fs::remove_file(name);
        }
    }

    /// SQLite blocks, so it runs off the async threads.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || work(&mut open(&path)?)).await;
        match done {
            Ok(done) => done.map_err(|problem| self.failed(&problem)),
            Err(problem) => Err(self.failed(&problem)),
        }
    }

    fn failed(&self, problem: &dyn std::fmt::Display) -> Error {
        Error {
            path: self.path.display().to_string(),
            problem: problem.to_string(),
        }
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    if let Some(folder) = path.parent() {
        // What goes wrong here SQLite says again.
        let _ = paths::create_private_folder(folder);
    }
    let _ = paths::private_file().append(true).open(path);
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A killed process loses nothing written; a machine without power perhaps the last seconds.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}

fn append(connection: &mut Connection, events: &[Event], most: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for event in events {
        let text = serde_json::to_string(event).unwrap_or_default();
        transaction.execute("INSERT INTO events (event) VALUES (?1)", [text])?;
    }
    // Numbers have no gaps: events go from the front only.
    let first_kept = "(SELECT MAX(number) FROM events) - ?1 + 1";
    let dropped = transaction.execute(
        &format!("DELETE FROM events WHERE number < {first_kept}"),
        [most],
    )?;
    count_dropped(&transaction, dropped)?;
    transaction.commit()
}

fn count_dropped(connection: &Connection, dropped: usize) -> rusqlite::Result<()> {
    let before = note(connection, "dropped")?;
    let dropped = i64::try_from(dropped).unwrap_or(0);
    if dropped == 0 {
        return Ok(());
    }
    set_note(connection, "dropped", before + dropped)
}

fn oldest(connection: &Connection, most: usize, failures: u32) -> rusqlite::Result<Batch> {
    let mut batch = Batch {
        events: Vec::new(),
        last: 0,
        failures,
    };
    let mut statement =
        connection.prepare("SELECT number, event FROM events ORDER BY number LIMIT ?1")?;
    let mut rows = statement.query([i64::try_from(most).unwrap_or(1)])?;
    while let Some(row) = rows.next()? {
        batch.last = row.get(0)?;
        let text: String = row.get(1)?;
        batch
            .events
            .push(serde_json::from_str(&text).unwrap_or_default());
    }
    Ok(batch)
}

fn note(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    let found = connection.query_row("SELECT value FROM notes WHERE name = ?1", [name], |row| {
        row.get(0)
    });
    Ok(found.optional()?.unwrap_or(0))
}

fn set_note(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    let text = "INSERT INTO notes VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
    connection.execute(text, (name, value)).map(|_| ())
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Status;

    fn event(id: i64) -> Event {
        Event {
            id: id.to_string(),
            at: id,
            tool: "search_jobs",
            endpoint: String::new(),
            status: Status::Ok,
            duration_ms: 1,
            bytes: 2,
            client: "tests/1".to_owned(),
            era: String::new(),
        }
    }

    fn ids(batch: &Batch) -> Vec<&str> {
        (batch.events.iter())
            .map(|event| event["id"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn when_there_are_too_many_the_oldest_go_and_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("usage.db"));
        let mut connection = open(&spool.path).unwrap();
        for id in 0..7 {
            append(&mut connection, &[event(id), event(id + 100)], 5).unwrap();
        }

        let kept = oldest(&connection, 100, 0).unwrap();
        assert_eq!(ids(&kept), ["104", "5", "105", "6", "106"]);
        let left = spool.left().unwrap();
        assert_eq!((left.waiting, left.dropped), (5, 9));
    }

    #[tokio::test]
    async fn a_failure_holds_up_all_processes_but_not_for_another_clocks_time() {
        const LONGEST: Duration = Duration::from_mins(10);
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("usage.db"));
        spool.append(vec![event(1), event(2)]).await.unwrap();

        spool.wait(Duration::from_mins(5)).await.unwrap();
        assert!(spool.next(10, LONGEST).await.unwrap().is_none());
        spool.wait(Duration::from_hours(5)).await.unwrap();
        let batch = spool.next(10, LONGEST).await.unwrap().unwrap();
        assert_eq!((ids(&batch), batch.failures), (vec!["1", "2"], 2));

        spool.remove(batch.last, 0).await.unwrap();
        let batch = spool.next(10, LONGEST).await.unwrap().unwrap();
        assert_eq!((batch.events.len(), batch.failures), (0, 0));
        assert_eq!(spool.left().unwrap(), Left::default());
    }
}

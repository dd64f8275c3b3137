//! The creates of the last ten minutes, so that a repeated one makes no second record.
//!
//! The API has no idempotency key and no delete. Before a create is sent its digest is written down, afterwards
//! the record's id: a repeat finds either the record or the sign that its fate is unknown, in whatever process
//! it comes. Only digests and ids are kept, no customer's data.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest as _, Sha256};

use crate::database;

/// How long a repeat is recognized.
const REMEMBERED_MS: i64 = 10 * 60 * 1000;

/// What is known of a create that is about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Not seen in the last ten minutes; it is written down now and may be sent.
    New,
    /// It made this record.
    Made(i64),
    /// It was sent this many seconds ago, or is being sent, and nobody knows yet what it made.
    Unknown { seconds_ago: i64 },
}

/// Identifies a create by what would be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateDigest(String);

impl CreateDigest {
    pub fn new(path: &str, body: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{path}\n{body}"))))
    }
}

/// The journal of one profile. The file is opened at the first create.
#[derive(Debug)]
pub struct Journal {
    path: Option<PathBuf>,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Journal {
    /// Without a path the journal lives as long as the process.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            connection: Arc::default(),
        }
    }

    /// Writes the create down, unless it is known. Of two equal ones that come at once, one is `New`.
    pub async fn begin(&self, digest: &CreateDigest) -> Result<Known, database::Error> {
        let digest = digest.clone();
        self.run(move |connection| {
            let now = now_ms();
            let transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            transaction.execute(
                "DELETE FROM creates WHERE started_at < ?1",
                [now - REMEMBERED_MS],
            )?;
            let inserted = transaction.execute(
                "INSERT INTO creates (digest, started_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                (&digest.0, now),
            )?;
            let earlier = known(&transaction, &digest, now)?;
            transaction.commit()?;
            Ok(match earlier {
                Known::Unknown { .. } if inserted == 1 => Known::New,
                earlier => earlier,
            })
        })
        .await
    }

    /// What is known of a create, without writing anything down.
    pub async fn look(&self, digest: &CreateDigest) -> Result<Known, database::Error> {
        let digest = digest.clone();
        self.run(move |connection| known(connection, &digest, now_ms()))
            .await
    }

    /// The create made this record.
    pub async fn made(&self, digest: &CreateDigest, id: i64) -> Result<(), database::Error> {
        let digest = digest.clone();
        self.run(move |connection| {
            connection.execute(
                "UPDATE creates SET record_id = ?2 WHERE digest = ?1",
                (&digest.0, id),
            )?;
            Ok(())
        })
        .await
    }

    /// The create certainly made nothing: the next one is new.
    pub async fn forget(&self, digest: &CreateDigest) -> Result<(), database::Error> {
        let digest = digest.clone();
        self.run(move |connection| {
            connection.execute("DELETE FROM creates WHERE digest = ?1", [&digest.0])?;
            Ok(())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, database::Error> + Send + 'static,
    ) -> Result<T, database::Error> {
        let kept = Arc::clone(&self.connection);
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.is_none() {
                *kept = Some(match path {
                    Some(path) => database::open(&path)?,
                    None => database::in_memory()?,
                });
            }
            match kept.as_mut() {
                Some(connection) => work(connection),
                None => Err(database::Error::Sqlite(rusqlite::Error::InvalidQuery)),
            }
        });
        done.await
            .unwrap_or(Err(database::Error::Sqlite(rusqlite::Error::InvalidQuery)))
    }
}

fn known(
    connection: &Connection,
    digest: &CreateDigest,
    now: i64,
) -> Result<Known, database::Error> {
    let earlier: Option<(i64, Option<i64>)> = connection
        .query_row(
            "SELECT started_at, record_id FROM creates WHERE digest = ?1 AND started_at >= ?2",
            (&digest.0, now - REMEMBERED_MS),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(match earlier {
        Some((_, Some(id))) => Known::Made(id),
        Some((started_at, None)) => Known::Unknown {
            seconds_ago: (now - started_at).max(0) / 1000,
        },
        None => Known::New,
    })
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_repeat_finds_the_record_in_another_process_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.db");
        let digest = CreateDigest::new("jobs", "{}");
        let first = Journal::new(Some(path.clone()));

        assert_eq!(first.begin(&digest).await.unwrap(), Known::New);
        let second = Journal::new(Some(path));
        assert!(matches!(
            second.begin(&digest).await.unwrap(),
            Known::Unknown { .. }
        ));
        first.made(&digest, 7).await.unwrap();
        assert_eq!(second.begin(&digest).await.unwrap(), Known::Made(7));

        let other = CreateDigest::new("jobs", r#"{"description":"x"}"#);
        assert_eq!(second.begin(&other).await.unwrap(), Known::New);
        second.forget(&other).await.unwrap();
        assert_eq!(first.begin(&other).await.unwrap(), Known::New);
    }

    #[tokio::test]
    async fn a_look_writes_nothing_down() {
        let journal = Journal::new(None);
        let digest = CreateDigest::new("customers", "{}");

        assert_eq!(journal.look(&digest).await.unwrap(), Known::New);
        assert_eq!(journal.begin(&digest).await.unwrap(), Known::New);
        assert!(matches!(
            journal.look(&digest).await.unwrap(),
            Known::Unknown { .. }
        ));
        journal.made(&digest, 7).await.unwrap();
        assert_eq!(journal.look(&digest).await.unwrap(), Known::Made(7));
    }
}

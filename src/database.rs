//! The profile's SQLite file: opened when first needed, private to its owner, moved forward by `user_version`.

use std::{path::Path, time::Duration};

use rusqlite::Connection;

use crate::paths;

/// One step a version; a step is never changed once released.
const STEPS: &[&str] = &[
    "CREATE TABLE creates (
        digest TEXT PRIMARY KEY,
        started_at INTEGER NOT NULL,
        record_id INTEGER
     ) STRICT",
    "CREATE TABLE login (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        kind TEXT NOT NULL,
        key_place TEXT NOT NULL,
        key_id TEXT NOT NULL,
        generation INTEGER NOT NULL,
        intent_at INTEGER,
        ended TEXT,
        origin TEXT NOT NULL
     ) STRICT;
     CREATE TABLE sealed (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT",
];

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path} was written by a newer sf-mcp; update this one")]
    Newer { path: String },
    #[error("{path} cannot be opened: {source}")]
    Folder {
        path: String,
        source: std::io::Error,
    },
    #[error(
        "{path} cannot be written: the disk seems to be full ({source}); make room and try again"
    )]
    NoRoom {
        path: String,
        source: rusqlite::Error,
    },
    #[error(
        "{path} cannot be used: {source}; if it is damaged, move it away and run `sf-mcp login`"
    )]
    Damaged {
        path: String,
        source: rusqlite::Error,
    },
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Opens or creates the file and brings it to this program's version.
pub fn open(path: &Path) -> Result<Connection, Error> {
    let describe = |source| Error::Folder {
        path: path.display().to_string(),
        source,
    };
    if let Some(folder) = path.parent() {
        paths::create_private_folder(folder).map_err(describe)?;
    }
    // SQLite's side files copy the mode of the database, so it must be right from the start.
    paths::private_file()
        .append(true)
        .open(path)
        .map_err(describe)?;
    let mut connection = configured(path).map_err(|source| {
        let path = path.display().to_string();
        if is_full(&source) {
            Error::NoRoom { path, source }
        } else {
            Error::Damaged { path, source }
        }
    })?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// SQLite calls a full disk an I/O error as often as not.
pub fn is_full(problem: &rusqlite::Error) -> bool {
    matches!(
        problem.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure)
    )
}

fn configured(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    Ok(connection)
}

/// A database for one process alone, which ends with it.
pub fn in_memory() -> Result<Connection, Error> {
    let mut connection = Connection::open_in_memory()?;
    migrate(&mut connection, Path::new("memory"))?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    // A write first: a deferred transaction that reads and then writes fails when another process was quicker.
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let version = version as usize;
    if version > STEPS.len() {
        return Err(Error::Newer {
            path: path.display().to_string(),
        });
    }
    for step in STEPS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    if version < STEPS.len() {
        transaction.pragma_update(
            None,
            "user_version",
            u32::try_from(STEPS.len()).unwrap_or(u32::MAX),
        )?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_file_is_refused_politely_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.db");
        let connection = open(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);

        let error = open(&path).unwrap_err().to_string();

        assert!(
            error.ends_with("was written by a newer sf-mcp; update this one"),
            "{error}"
        );
    }

    #[test]
    fn sqlite_has_the_fix_for_the_wal_reset_bug() {
        let version: String = in_memory()
            .unwrap()
            .query_row("SELECT sqlite_version()", [], |row| row.get(0))
            .unwrap();
        let number = version
            .split('.')
            .fold(0, |sum, part| sum * 1000 + part.parse::<u32>().unwrap());
        assert!(number >= 3_051_003, "{version}");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_and_its_side_files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile/tokens.db");
        let connection = open(&path).unwrap();
        connection
            .execute("INSERT INTO creates VALUES ('d', 1, NULL)", [])
            .unwrap();

        for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.path());
        }
    }
}

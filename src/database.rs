//! The profile's SQLite file: opened when first needed, private to its owner, moved forward by `user_version`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags};

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
    #[error("{path} cannot be written ({source}); sf-mcp must be able to write it and its folder")]
    Unwritable {
        path: String,
        source: rusqlite::Error,
    },
    #[error(
        "{path} cannot be written and, as it is, not be read either ({source}); make its folder writable for one call"
    )]
    ReadOnly {
        path: String,
        source: rusqlite::Error,
    },
    #[error(
        "{path} is of an earlier sf-mcp and cannot be written; make its folder writable for one call"
    )]
    Older { path: String },
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl Error {
    /// The file or its folder may be read but not written.
    fn is_for_want_of_writing(&self) -> bool {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        match self {
            Self::Folder { source, .. } => {
                matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem)
            }
            Self::Unwritable { .. } => true,
            Self::Sqlite(source) => is_unwritable(source),
            _ => false,
        }
    }
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
        } else if is_unwritable(&source) {
            Error::Unwritable { path, source }
        } else {
            Error::Damaged { path, source }
        }
    })?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Opens the file for reading alone, which also works where nothing can be written.
pub fn open_to_read(path: &Path) -> Result<Connection, Error> {
    match open(path) {
        Err(problem) if path.exists() && problem.is_for_want_of_writing() => read_only(path),
        opened => opened,
    }
}

fn read_only(path: &Path) -> Result<Connection, Error> {
    let shown = || path.display().to_string();
    let opened = (|| {
        let connection = if log_of(path).metadata().is_ok_and(|log| log.len() > 0) {
            // A program that writes was cut off or still runs; SQLite reads its log if it left all it needs.
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?
        } else {
            // With an empty log everything is in the file itself, which is to be read without locks or side files.
            // Somebody may write it elsewhere meanwhile: then it does not open, and is read anew by the next call.
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(immutable(path), flags)?
        };
        connection.busy_timeout(Duration::from_secs(5))?;
        let version = version(&connection)?;
        Ok((connection, version))
    })();
    match opened {
        Ok((_, version)) if version > STEPS.len() => Err(Error::Newer { path: shown() }),
        Ok((_, version)) if version < STEPS.len() => Err(Error::Older { path: shown() }),
        Ok((connection, _)) => Ok(connection),
        Err(source) => Err(Error::ReadOnly {
            path: shown(),
            source,
        }),
    }
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// The file's address for SQLite, with the promise that nobody changes it.
fn immutable(path: &Path) -> String {
    const LEFT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b':');
    let root = if cfg!(windows) { "/" } else { "" };
    let path = path
        .display()
        .to_string()
        .replace(std::path::MAIN_SEPARATOR, "/");
    let path = percent_encode(path.as_bytes(), LEFT);
    format!("file:{root}{path}?immutable=1")
}

/// SQLite calls a full disk an I/O error as often as not.
pub fn is_full(problem: &rusqlite::Error) -> bool {
    matches!(
        problem.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure)
    )
}

fn is_unwritable(problem: &rusqlite::Error) -> bool {
    matches!(
        problem.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
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

/// Nothing is written, nor waited for, where there is nothing to do.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    if version(connection)? == STEPS.len() {
        return Ok(());
    }
    // A write first: a deferred transaction that reads and then writes fails when another process was quicker.
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version = version(&transaction)?;
    if version > STEPS.len() {
        return Err(Error::Newer {
            path: path.display().to_string(),
        });
    }
    for step in STEPS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    let newest = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    transaction.pragma_update(None, "user_version", newest)?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(version as usize)
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
    fn a_file_of_this_version_is_opened_without_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.db");
        let mut first = open(&path).unwrap();
        let behavior = rusqlite::TransactionBehavior::Immediate;
        let writing = first.transaction_with_behavior(behavior).unwrap();
        // It would wait for the one that writes.
        writing
            .execute("INSERT INTO creates VALUES ('d', 1, NULL)", [])
            .unwrap();
        let started = std::time::Instant::now();

        open(&path).unwrap();

        assert!(started.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn a_file_is_read_without_writing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a folder?#%41/tokens.db");
        let connection = open(&path).unwrap();
        connection
            .execute("INSERT INTO creates VALUES ('d', 7, NULL)", [])
            .unwrap();
        let started_at = |path: &Path| -> i64 {
            read_only(path)
                .unwrap()
                .query_row("SELECT started_at FROM creates", [], |row| row.get(0))
                .unwrap()
        };
        // From the log, and then from the file.
        assert_eq!(started_at(&path), 7);
        drop(connection);
        let before = std::fs::read_dir(path.parent().unwrap()).unwrap().count();

        assert_eq!(started_at(&path), 7);

        let after = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!((before, after), (1, 1));
    }

    #[test]
    fn a_file_of_another_version_is_not_read_without_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.db");
        for (version, says) in [(1, "earlier"), (99, "newer")] {
            let connection = open(&path).unwrap();
            connection
                .pragma_update(None, "user_version", version)
                .unwrap();
            drop(connection);
            let problem = read_only(&path).unwrap_err().to_string();
            assert!(problem.contains(says), "{problem}");
            let connection = Connection::open(&path).unwrap();
            connection.pragma_update(None, "user_version", 2).unwrap();
        }
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

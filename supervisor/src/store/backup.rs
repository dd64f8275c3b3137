//! The whole database in one SQLite file, whichever database it comes from and goes to, and back.
//!
//! A backup is one moment of the database while it serves: SQLite copies it within one read, PostgreSQL within one
//! repeatable read. It has the service's own tables and a manifest by which damage is seen.

use std::{collections::BTreeMap, path::Path};

use sha2::{Digest, Sha256};
use sqlx::{Any, AnyConnection, AssertSqlSafe, Connection, Executor, Row as _, Transaction};

use super::{
    Kind, Store, known_schema,
    tables::{self, MANIFEST, Table},
    tokens,
};
use crate::text::hexadecimal;

type Result<T> = std::result::Result<T, Error>;

/// Why there is no backup, or nothing is restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] super::Error),
    #[error("the backup is no database, or damaged: {0}")]
    Damaged(String),
    #[error("the file is a database, but no backup that `sf-supervisor backup` has made")]
    NoManifest,
    #[error(
        "the backup was made by sf-supervisor {program} and has schema {found}, but this program knows schema {known}; use that version"
    )]
    Newer {
        program: String,
        found: i64,
        known: i64,
    },
    #[error(
        "the backup has schema {found}, older than this program's {known}, and was opened without being brought up to date"
    )]
    Older { found: i64, known: i64 },
    #[error(
        "the database is not empty: `{table}` has {rows} rows; restore into an empty one, or replace all there is with --replace"
    )]
    NotEmpty { table: String, rows: i64 },
    #[error("of `{table}` {found} rows arrived instead of {expected}; nothing is changed")]
    Lost {
        table: String,
        found: i64,
        expected: i64,
    },
}

impl From<sqlx::Error> for Error {
    fn from(problem: sqlx::Error) -> Self {
        Self::Store(problem.into())
    }
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Manifest {
    /// The version of sf-supervisor that made it.
    pub program: String,
    pub schema: i64,
    /// Unix ms.
    pub made_at: i64,
    /// Rows of each table.
    pub rows: BTreeMap<String, i64>,
    /// SHA-256 of all rows, in hexadecimal.
    pub checksum: String,
}

impl Store {
    /// Writes a backup into `file`, which is empty.
    pub async fn back_up(&self, file: &Path, now: i64) -> Result<Manifest> {
        match self.kind {
            Kind::Sqlite => {
                // A command that is not text of ours must not become part of the statement.
                let path = file.to_str().ok_or(super::Error::Address)?;
                let mut connection = self.pool.acquire().await?;
                let copied = sqlx::query("VACUUM INTO $1").bind(path);
                copied.execute(&mut *connection).await?;
            }
            Kind::Postgres => self.export(file).await?,
        }
        let mut file = open(file, "rw").await?;
        let manifest = describe(&mut file, now).await?;
        write(&mut file, &manifest).await?;
        file.close().await?;
        Ok(manifest)
    }

    /// One moment of PostgreSQL as an SQLite file with the same tables.
    async fn export(&self, file: &Path) -> Result<()> {
        let mut file = open(file, "rw").await?;
        migrate(&mut file).await?;
        let tables = tables::tables(&mut file).await?;
        let mut reading = self
            .pool
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        let mut writing = file.begin().await?;
        for table in &tables {
            tables::empty(table, &mut writing).await?;
            tables::copy(table, &mut reading, &mut writing).await?;
        }
        writing.commit().await?;
        reading.rollback().await?;
        file.close().await?;
        Ok(())
    }

    /// Fills the database with a backup of this program's schema, in one transaction: after a failure all is as before.
    /// With a time in `revoked_at` no token in it is good any more.
    pub async fn restore(
        &self,
        file: &Path,
        replace: bool,
        revoked_at: Option<i64>,
    ) -> Result<Manifest> {
        let (manifest, mut file) = checked(file).await?;
        if manifest.schema != known_schema() {
            return Err(Error::Older {
                found: manifest.schema,
                known: known_schema(),
            });
        }
        let tables = tables::tables(&mut file).await?;
        let mut writing = self.alone(&tables).await?;
        for table in tables.iter().rev() {
            let rows = tables::count(table, &mut writing).await?;
            if rows > 0 && !replace {
                let table = table.name.clone();
                return Err(Error::NotEmpty { table, rows });
            }
            tables::empty(table, &mut writing).await?;
        }
        for table in &tables {
            tables::copy(table, &mut file, &mut writing).await?;
            let found = tables::count(table, &mut writing).await?;
            let expected = manifest.rows.get(&table.name).copied().unwrap_or_default();
            if found != expected {
                let table = table.name.clone();
                return Err(Error::Lost {
                    table,
                    found,
                    expected,
                });
            }
        }
        if let Some(now) = revoked_at {
            tokens::revoke_all(&mut writing, now).await?;
        }
        writing.commit().await?;
        file.close().await?;
        Ok(manifest)
    }

    /// A transaction beside which nobody reads or writes these tables.
    async fn alone(&self, tables: &[Table]) -> Result<Transaction<'static, Any>> {
        if self.kind == Kind::Sqlite {
            return Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?);
        }
        let names: Vec<String> = tables
            .iter()
            .map(|table| format!("\"{}\"", table.name))
            .collect();
        let mut transaction = self.begin().await?;
        let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", "));
        sqlx::query(AssertSqlSafe(lock))
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }
}

/// What the backup says of itself, after all of it was read and compared with that.
pub async fn check(file: &Path) -> Result<Manifest> {
    let (manifest, file) = checked(file).await?;
    file.close().await?;
    Ok(manifest)
}

/// Brings a backup's copy to this program's schema, and its manifest with it.
pub async fn bring_up_to_date(file: &Path) -> Result<()> {
    let mut file = open(file, "rw").await?;
    let old = read(&mut file).await?;
    migrate(&mut file).await?;
    let drop = AssertSqlSafe(format!("DROP TABLE {MANIFEST}"));
    sqlx::query(drop).execute(&mut file).await?;
    let manifest = describe(&mut file, old.made_at).await?;
    write(&mut file, &manifest).await?;
    file.close().await?;
    Ok(())
}

async fn checked(file: &Path) -> Result<(Manifest, AnyConnection)> {
    let damaged = |problem: sqlx::Error| Error::Damaged(problem.to_string());
    let mut file = match open(file, "ro").await {
        Ok(file) => file,
        Err(Error::Store(super::Error::Database(problem))) => return Err(damaged(problem)),
        Err(problem) => return Err(problem),
    };
    let verdict = sqlx::query("PRAGMA integrity_check").fetch_one(&mut file);
    let verdict: String = verdict
        .await
        .and_then(|row| row.try_get(0))
        .map_err(damaged)?;
    if verdict != "ok" {
        return Err(Error::Damaged(verdict));
    }
    let said = read(&mut file).await?;
    if said.schema > known_schema() {
        return Err(Error::Newer {
            program: said.program,
            found: said.schema,
            known: known_schema(),
        });
    }
    let found = describe(&mut file, said.made_at).await?;
    if (&found.rows, &found.checksum, found.schema) != (&said.rows, &said.checksum, said.schema) {
        return Err(Error::Damaged(
            "its rows are not those that its manifest counts".to_owned(),
        ));
    }
    Ok((said, file))
}

/// Counts all there is in a file.
async fn describe(file: &mut AnyConnection, made_at: i64) -> Result<Manifest> {
    let (mut sum, mut rows) = (Sha256::new(), BTreeMap::new());
    for table in tables::tables(file).await? {
        let count = tables::digest(&table, file, &mut sum).await?;
        rows.insert(table.name, count);
    }
    let schema = sqlx::query("SELECT MAX(version) AS version FROM _sqlx_migrations");
    let schema = schema.fetch_one(file).await?.try_get("version")?;
    Ok(Manifest {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        schema,
        made_at,
        rows,
        checksum: hexadecimal(&sum.finalize()),
    })
}

async fn write(file: &mut AnyConnection, manifest: &Manifest) -> Result<()> {
    let table = format!(
        "CREATE TABLE {MANIFEST} (program TEXT NOT NULL, schema BIGINT NOT NULL, made_at BIGINT NOT NULL, \
         rows TEXT NOT NULL, checksum TEXT NOT NULL)"
    );
    sqlx::query(AssertSqlSafe(table))
        .execute(&mut *file)
        .await?;
    let rows = serde_json::to_string(&manifest.rows)
        .map_err(|problem| Error::Damaged(problem.to_string()))?;
    let row = format!(
        "INSERT INTO {MANIFEST} (program, schema, made_at, rows, checksum) VALUES ($1, $2, $3, $4, $5)"
    );
    sqlx::query(AssertSqlSafe(row))
        .bind(&manifest.program)
        .bind(manifest.schema)
        .bind(manifest.made_at)
        .bind(rows)
        .bind(&manifest.checksum)
        .execute(file)
        .await?;
    Ok(())
}

async fn read(file: &mut AnyConnection) -> Result<Manifest> {
    let row = AssertSqlSafe(format!("SELECT * FROM {MANIFEST}"));
    let row = sqlx::query(row)
        .fetch_one(file)
        .await
        .map_err(|_| Error::NoManifest)?;
    let rows: String = row.try_get("rows")?;
    Ok(Manifest {
        program: row.try_get("program")?,
        schema: row.try_get("schema")?,
        made_at: row.try_get("made_at")?,
        rows: serde_json::from_str(&rows).map_err(|problem| Error::Damaged(problem.to_string()))?,
        checksum: row.try_get("checksum")?,
    })
}

async fn migrate(file: &mut AnyConnection) -> Result<()> {
    let run = sqlx::migrate!("./migrations").run(file).await;
    Ok(run.map_err(super::Error::from)?)
}

/// Without side files that would stay behind.
async fn open(file: &Path, mode: &str) -> Result<AnyConnection> {
    sqlx::any::install_default_drivers();
    let path = file.to_str().ok_or(super::Error::Address)?;
    let path = path.replace('%', "%25").replace('?', "%3F");
    let mut connection = AnyConnection::connect(&format!("sqlite://{path}?mode={mode}")).await?;
    if mode == "rw" {
        let settings =
            "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";
        connection.execute(sqlx::raw_sql(settings)).await?;
    }
    Ok(connection)
}

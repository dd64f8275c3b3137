//! All that must survive: one text per statement, for SQLite and PostgreSQL.
//!
//! A state change that only one may win is one statement whose row count is the answer, and a transaction's first
//! statement is a write. Where the databases truly differ, a function here has a `match` on the [`Kind`].

pub mod address;
mod administration;
mod audit;
pub mod backup;
mod beside;
mod browser_grants;
mod clients;
mod codes;
mod companies;
mod counters;
mod credentials;
mod data_keys;
mod export;
mod first_calls;
mod fleet;
mod grants;
mod members;
mod sessions;
mod settings;
mod spent;
mod tables;
mod tenants;
mod tokens;
mod usage;

use std::{
    fs::File,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use sqlx::{
    Any, AnyConnection, AnyPool, Executor, Transaction,
    any::{AnyPoolOptions, AnyRow},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::{
    administration::{Change, Changed, Overview, State, parsed},
    audit::{Entry, Traces},
    beside::known_schema,
    browser_grants::BrowserGrant,
    clients::OauthClient,
    codes::{NewCode, TRIES_PER_CODE, Tried},
    companies::{Connection, Listed, Sort, Wanted},
    credentials::{Credentials, Renewed, Replaced, Sealed},
    data_keys::DataKey,
    first_calls::Heard,
    fleet::{FailedCall, Group, Lost, SAMPLE},
    grants::{Family, Issue, NewCode as NewOauthCode, Successor, TakenCode},
    members::{Member, Role},
    spent::{Charge, Holder, Watch},
    tenants::{Setup, Tenant},
    tokens::{NewToken, Token},
    usage::{By, CLIENTS_A_DAY, OTHER, Origin, Sum, UsageEvent, UsageSource},
};

/// One row of either database.
type Row = AnyRow;
pub type Result<T> = std::result::Result<T, Error>;

/// Connections for queries. On SQLite writers wait for one another anyway.
const CONNECTIONS: u32 = 16;
/// Connections that hold a tenant's lock while Service Fusion is asked.
const LOCKS: u32 = 8;
/// How long to wait for one of them.
const TURN: Duration = Duration::from_secs(20);
/// What PostgreSQL says when `lock_timeout` has passed.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// Why something cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database address must begin with sqlite:// or postgres://")]
    Address,
    #[error("the folder or file of the database {path} cannot be made or opened: {source}")]
    File {
        path: String,
        source: std::io::Error,
    },
    #[error(
        "another sf-supervisor uses the database file {0}; stop it, or use PostgreSQL for several replicas"
    )]
    InUse(String),
    #[error(
        "there is no database {0}; name the service's own with --database-url or SF_SUPERVISOR_DATABASE_URL"
    )]
    NoDatabase(String),
    #[error("{}", other_schema(*found, *known))]
    OtherSchema { found: i64, known: i64 },
    #[error("the database cannot be brought to this program's version: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("the database {address} cannot be used: {source}")]
    Unreachable {
        address: String,
        source: sqlx::Error,
    },
    #[error("the database cannot be used: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database holds `{value}` as {what}, which this program does not know")]
    Value { what: &'static str, value: String },
    #[error("another process held the lock for too long")]
    LockTimeout,
    #[error("the system gives no random numbers")]
    NoRandom(#[from] getrandom::Error),
}

fn other_schema(found: i64, known: i64) -> String {
    let hint = if found < known {
        "start `sf-supervisor serve` of this version, which brings the database up to date"
    } else {
        "use the version of sf-supervisor that serves from it"
    };
    format!("the database has schema {found} and this program knows schema {known}; {hint}")
}

/// The database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    locks: AnyPool,
    /// A connection that holds a lock has left its pool, so they are counted here.
    turns: Arc<Semaphore>,
    kind: Kind,
    /// Counts changes of tokens and companies by this process.
    changes: Arc<AtomicU64>,
    /// This process alone serves from the SQLite file.
    _alone: Option<Arc<File>>,
}

impl Store {
    /// Connects and brings the tables to this program's version.
    pub async fn open(url: &str) -> Result<Self> {
        let store = Self::claim(url).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// Connects as a serving process, of which an SQLite file has one; nothing is written yet.
    pub async fn claim(url: &str) -> Result<Self> {
        let alone = match kind_of(url)? {
            Kind::Sqlite => Some(Arc::new(taken_file(url)?)),
            Kind::Postgres => None,
        };
        Ok(Self {
            _alone: alone,
            ..Self::connect(url).await?
        })
    }

    /// Brings the tables to this program's version. However many replicas start at once, each step runs once:
    /// PostgreSQL lets one of them migrate at a time.
    pub async fn migrate(&self) -> Result<()> {
        sqlx::migrate!("./migrations").run(&self.pool).await?;
        Ok(())
    }

    /// Connects to what `open` has made before.
    pub async fn connect(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let kind = kind_of(url)?;
        let url = match kind {
            Kind::Sqlite => prepared_file(url)?,
            Kind::Postgres => {
                address::reach(url).await?;
                url.to_owned()
            }
        };
        let pool = options(kind, CONNECTIONS).connect(&url).await?;
        let locks = options(kind, LOCKS).connect_lazy(&url)?;
        Ok(Self {
            pool,
            locks,
            turns: Arc::new(Semaphore::new(LOCKS as usize)),
            kind,
            changes: Arc::default(),
            _alone: None,
        })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Begins a transaction. A caller that is dropped while PostgreSQL begins would leave it open on a connection that
    /// goes back to the pool, with all the locks that its next users take; so nobody can be dropped then.
    async fn begin(&self) -> Result<Transaction<'static, Any>> {
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin().await }).await;
        Ok(begun.map_err(|_| sqlx::Error::WorkerCrashed)??)
    }

    pub async fn close(&self) {
        self.locks.close().await;
        self.pool.close().await;
    }

    /// A tenant's lock across all replicas, where there can be several; it is free again when the holder drops it,
    /// dies, or loses the database. Whoever waits too long for it is told so.
    pub async fn lock(&self, name: &str) -> Result<Lock> {
        if self.kind == Kind::Sqlite {
            return Ok(Lock::default());
        }
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn
            .ok()
            .and_then(std::result::Result::ok)
            .ok_or(Error::LockTimeout)?;
        let mut connection = self.locks.acquire().await?.detach();
        let locked = sqlx::query("SELECT CAST(pg_advisory_lock($1) AS TEXT)")
            .bind(lock_number(name))
            .execute(&mut connection)
            .await;
        locked.map_err(|problem| match problem.as_database_error() {
            Some(said) if said.code().as_deref() == Some(LOCK_NOT_AVAILABLE) => Error::LockTimeout,
            _ => Error::from(problem),
        })?;
        Ok(Lock {
            _connection: Some(connection),
            _turn: Some(turn),
        })
    }

    /// Old pages live on in SQLite's write-ahead log until it is truncated.
    pub async fn truncate_log(&self) -> Result<()> {
        if self.kind == Kind::Sqlite {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }
}

/// Held until dropped. The connection ends with it, and the lock with the connection.
#[derive(Debug, Default)]
pub struct Lock {
    _connection: Option<AnyConnection>,
    _turn: Option<OwnedSemaphorePermit>,
}

/// Advisory locks have numbers; two names with one number only wait for each other.
fn lock_number(name: &str) -> i64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(name.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

fn kind_of(url: &str) -> Result<Kind> {
    match url.split_once("://") {
        Some(("sqlite", _)) => Ok(Kind::Sqlite),
        Some(("postgres" | "postgresql", _)) => Ok(Kind::Postgres),
        _ => Err(Error::Address),
    }
}

/// The lock beside the file; it is never deleted, and the system frees it when the process ends.
fn taken_file(url: &str) -> Result<File> {
    let path = format!("{}.lock", sqlite_path(url)?);
    let describe = |source| Error::File {
        path: path.clone(),
        source,
    };
    if let Some(folder) = Path::new(&path).parent() {
        sf_mcp::paths::create_private_folder(folder).map_err(describe)?;
    }
    let file = sf_mcp::paths::private_file()
        .append(true)
        .open(&path)
        .map_err(describe)?;
    fs2::FileExt::try_lock_exclusive(&file)
        .map_err(|_| Error::InUse(path.trim_end_matches(".lock").to_owned()))?;
    Ok(file)
}

/// SQLite's side files copy the mode of the database, so the file is made private before SQLite opens it.
fn prepared_file(url: &str) -> Result<String> {
    let path = sqlite_path(url)?;
    let describe = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = Path::new(path).parent() {
        sf_mcp::paths::create_private_folder(folder).map_err(describe)?;
    }
    sf_mcp::paths::private_file()
        .append(true)
        .open(path)
        .map_err(describe)?;
    Ok(format!("sqlite://{path}"))
}

/// The file an `sqlite://` address names.
pub fn sqlite_path(url: &str) -> Result<&str> {
    let path = url.strip_prefix("sqlite://").ok_or(Error::Address)?;
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.is_empty() || path.contains(":memory:") {
        return Err(Error::Address);
    }
    Ok(path)
}

fn options(kind: Kind, connections: u32) -> AnyPoolOptions {
    // Each connection has a page cache of its own, by default of 2 MB; the system caches the file as well. What a
    // statement would have to take back stays in memory, so that rows lie in no file but this one and its log.
    const SQLITE: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                          PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA cache_size = -256; \
                          PRAGMA temp_store = MEMORY";
    // A replica that loses the network must not keep a lock for hours.
    const POSTGRES: &str = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; \
                            SET lock_timeout = '40s'";
    AnyPoolOptions::new()
        .max_connections(connections)
        // A file does not go away; to ask each time would wake the connection's thread each time.
        .test_before_acquire(kind == Kind::Postgres)
        .acquire_timeout(Duration::from_secs(10))
        .after_connect(move |connection, _| {
            Box::pin(async move {
                let settings = match kind {
                    Kind::Sqlite => SQLITE,
                    Kind::Postgres => POSTGRES,
                };
                connection.execute(sqlx::raw_sql(settings)).await?;
                Ok(())
            })
        })
}

//! A database of a test's own.

use sqlx::{Connection, Executor};

/// An empty database: a file in a folder, or one of the PostgreSQL server that the test run started.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Database {
    pub(crate) async fn new() -> Self {
        if let Ok(server) = std::env::var("SF_SUPERVISOR_TEST_POSTGRES") {
            return Self::of(&server).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("test.db").display());
        Self {
            url,
            _folder: folder,
        }
    }

    /// A new one of this PostgreSQL server.
    pub(crate) async fn of(server: &str) -> Self {
        Self {
            url: new_in(server).await,
            _folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs statements behind the service's back.
    pub(crate) async fn run(&self, statements: &str) {
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        connection.execute(sqlx::raw_sql(statements)).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Ends all other connections, as a restart of PostgreSQL does.
    pub(crate) async fn cut(&self) {
        self.run(
            "SELECT CAST(pg_terminate_backend(pid) AS TEXT) FROM pg_stat_activity \
             WHERE datname = CURRENT_DATABASE() AND pid <> pg_backend_pid()",
        )
        .await;
    }

    /// All that a thief of the database has: every row as text, and SQLite's files as they are.
    pub(crate) async fn dump(&self) -> Vec<u8> {
        let Some(path) = self.url.strip_prefix("sqlite://") else {
            return self.rows().await;
        };
        let files = ["", "-wal", "-journal"].map(|end| std::fs::read(format!("{path}{end}")));
        files.into_iter().flatten().flatten().collect()
    }

    async fn rows(&self) -> Vec<u8> {
        use sqlx::Row;
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        let tables =
            "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
        let tables = sqlx::query(tables)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let mut dump = Vec::new();
        for table in tables {
            let table: String = table.get(0);
            let rows = format!("SELECT CAST(t AS TEXT) FROM {table} t ORDER BY 1");
            let rows = sqlx::query(sqlx::AssertSqlSafe(rows));
            for row in rows.fetch_all(&mut connection).await.unwrap() {
                dump.extend(table.bytes());
                dump.extend(row.get::<String, _>(0).bytes());
            }
        }
        connection.close().await.unwrap();
        dump
    }

    /// A database of the other kind than the test run's; `None` when there is no PostgreSQL server.
    pub(crate) fn other_kind() -> Option<Self> {
        std::env::var("SF_SUPERVISOR_TEST_POSTGRES").ok()?;
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("other.db").display());
        Some(Self {
            url,
            _folder: folder,
        })
    }

    /// How many connections PostgreSQL has for this database.
    pub(crate) async fn connections(&self) -> i64 {
        use sqlx::Row;
        if !self.is_postgres() {
            return 0;
        }
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        let statement = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = CURRENT_DATABASE()";
        let row = sqlx::query(statement).fetch_one(&mut connection).await;
        connection.close().await.unwrap();
        row.unwrap().get(0)
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }
}

async fn new_in(server: &str) -> String {
    sqlx::any::install_default_drivers();
    let name = sf_supervisor::ids::new("test").unwrap();
    let mut connection = sqlx::AnyConnection::connect(&format!("{server}/postgres"))
        .await
        .unwrap();
    let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    connection.execute(sqlx::raw_sql(statement)).await.unwrap();
    connection.close().await.unwrap();
    format!("{server}/{name}")
}

//! A command beside a serving process: it uses the tables as they are and never migrates.

use sqlx::Row as _;

use super::{Error, Kind, Result, Store, address};

impl Store {
    /// Connects to a database that exists and whose tables are those of this program.
    pub async fn beside(url: &str) -> Result<Self> {
        address::is_there(url)?;
        let store = Self::connect(url).await?;
        let (found, known) = (store.schema().await?, known_schema());
        if found == known {
            return Ok(store);
        }
        store.close().await;
        Err(Error::OtherSchema { found, known })
    }

    /// The number of the last migration that ran; 0 in an empty database.
    pub async fn schema(&self) -> Result<i64> {
        let table = match self.kind {
            Kind::Sqlite => "SELECT name FROM sqlite_master WHERE name = '_sqlx_migrations'",
            Kind::Postgres => {
                "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables \
                 WHERE tablename = '_sqlx_migrations' AND schemaname = current_schema()"
            }
        };
        if sqlx::query(table)
            .fetch_optional(&self.pool)
            .await?
            .is_none()
        {
            return Ok(0);
        }
        let row = sqlx::query(
            "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) AS version FROM _sqlx_migrations WHERE success",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get("version")?)
    }
}

/// The number of this program's last migration.
pub fn known_schema() -> i64 {
    sqlx::migrate!("./migrations")
        .iter()
        .map(|step| step.version)
        .max()
        .unwrap_or_default()
}

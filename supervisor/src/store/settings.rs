//! Single values of the service itself.

use sqlx::Row as _;

use super::{Kind, Result, Store};

impl Store {
    pub async fn setting(&self, name: &str) -> Result<Option<String>> {
        let row = sqlx::query("SELECT value FROM settings WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get("value")).transpose()?)
    }

    /// Writes the value unless there is one; returns the one that is there by then.
    pub async fn setting_or(&self, name: &str, value: &str) -> Result<String> {
        sqlx::query(
            "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(value)
        .execute(&self.pool)
        .await?;
        Ok(self
            .setting(name)
            .await?
            .unwrap_or_else(|| value.to_owned()))
    }

    /// Replaces a value; `false` when it is no longer `old`.
    pub async fn replace_setting(&self, name: &str, old: &str, new: &str) -> Result<bool> {
        let replaced = sqlx::query("UPDATE settings SET value = $3 WHERE name = $1 AND value = $2")
            .bind(name)
            .bind(old)
            .bind(new)
            .execute(&self.pool)
            .await?;
        Ok(replaced.rows_affected() == 1)
    }

    pub async fn forget_setting(&self, name: &str) -> Result<()> {
        sqlx::query("DELETE FROM settings WHERE name = $1")
            .bind(name)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Whether the database was in use before: it has this service's tables.
    pub async fn has_tables(&self) -> Result<bool> {
        let statement = match self.kind {
            Kind::Sqlite => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'settings'"
            }
            Kind::Postgres => {
                "SELECT CAST(tablename AS TEXT) FROM pg_tables \
                 WHERE tablename = 'settings' AND schemaname = CURRENT_SCHEMA()"
            }
        };
        let row = sqlx::query(statement).fetch_optional(&self.pool).await?;
        Ok(row.is_some())
    }
}

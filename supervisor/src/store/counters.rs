//! Fixed windows of a limit, counted across replicas.

use sqlx::Row as _;

use super::{Result, Store};

impl Store {
    /// Counts one more in the window that contains `now`, and returns how many there are in it by then.
    pub async fn count(&self, name: &str, window: i64, now: i64) -> Result<i64> {
        let start = now - now.rem_euclid(window);
        let row = sqlx::query(
            "INSERT INTO counters (name, window_start, count, expires_at) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (name) DO UPDATE SET \
               count = CASE WHEN counters.window_start = excluded.window_start THEN counters.count + 1 ELSE 1 END, \
               window_start = excluded.window_start, expires_at = excluded.expires_at \
             RETURNING count",
        )
        .bind(name)
        .bind(start)
        .bind(start + window)
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get(0)?)
    }

    /// Removes windows that have passed.
    pub async fn forget_counters(&self, now: i64) -> Result<u64> {
        let removed = sqlx::query("DELETE FROM counters WHERE expires_at < $1")
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected())
    }
}

//! Fixed windows of a limit, counted across replicas.

use sqlx::Row as _;

use super::{Result, Store};

/// No window ends later than this from now: the longest is a day, and clocks differ a little.
const FARTHEST: i64 = 2 * 24 * 60 * 60 * 1000;

impl Store {
    /// Counts so many more in the window that contains `now`, and returns how many there are in it by then. A replica
    /// whose clock is behind counts in the window that the others have begun: windows never go backwards.
    pub async fn count(&self, name: &str, more: i64, window: i64, now: i64) -> Result<i64> {
        let start = now - now.rem_euclid(window);
        let row = sqlx::query(
            "INSERT INTO counters (name, window_start, count, expires_at) VALUES ($1, $2, $4, $3) \
             ON CONFLICT (name) DO UPDATE SET \
               count = CASE WHEN counters.window_start < excluded.window_start THEN excluded.count \
                            ELSE counters.count + excluded.count END, \
               window_start = CASE WHEN counters.window_start < excluded.window_start THEN excluded.window_start \
                                   ELSE counters.window_start END, \
               expires_at = CASE WHEN counters.window_start < excluded.window_start THEN excluded.expires_at \
                                 ELSE counters.expires_at END \
             RETURNING count",
        )
        .bind(name)
        .bind(start)
        .bind(start + window)
        .bind(more)
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get(0)?)
    }

    /// Removes windows that have passed, and those that a clock far ahead has begun: they would hold for as long.
    pub async fn forget_counters(&self, now: i64) -> Result<u64> {
        let removed = sqlx::query("DELETE FROM counters WHERE expires_at < $1 OR expires_at > $2")
            .bind(now)
            .bind(now + FARTHEST)
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected())
    }
}

//! Browsers in which somebody has signed in, by the hash of their cookie.

use sqlx::Row as _;

use super::{Result, Store};

impl Store {
    /// Keeps a session and ends the one that the browser had before.
    pub async fn add_session(
        &self,
        hash: &str,
        before: &str,
        email: &str,
        now: i64,
        expires_at: i64,
    ) -> Result<()> {
        self.end_session(before).await?;
        sqlx::query(
            "INSERT INTO sessions (hash, email, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(hash)
        .bind(email)
        .bind(now)
        .bind(expires_at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Whose session it is, while it lasts.
    pub async fn session(&self, hash: &str, now: i64) -> Result<Option<String>> {
        let row = sqlx::query("SELECT email FROM sessions WHERE hash = $1 AND expires_at > $2")
            .bind(hash)
            .bind(now)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get("email")).transpose()?)
    }

    /// Notes that an operator uses the session; when it began, unless it is over or was not used since `idle_since`.
    pub async fn operate_session(
        &self,
        hash: &str,
        now: i64,
        idle_since: i64,
    ) -> Result<Option<i64>> {
        let row = sqlx::query(
            "UPDATE sessions SET operated_at = $2 WHERE hash = $1 AND expires_at > $2 \
             AND COALESCE(operated_at, created_at) > $3 RETURNING created_at",
        )
        .bind(hash)
        .bind(now)
        .bind(idle_since)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| row.try_get("created_at")).transpose()?)
    }

    pub async fn end_session(&self, hash: &str) -> Result<()> {
        sqlx::query("DELETE FROM sessions WHERE hash = $1")
            .bind(hash)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

//! Activations that wait for a person's consent. What is secret arrives here sealed.

use sqlx::Row as _;

use super::{Result, Row, Store};

/// One consent that was asked for.
#[derive(Clone, Debug)]
pub struct BrowserGrant {
    pub state_hash: String,
    /// The activation token that asked.
    pub token_id: String,
    pub tenant_id: String,
    pub key_id: String,
    pub client_id: String,
    pub client_secret: String,
    pub created_at: i64,
    pub expires_at: i64,
    /// How it ended: `activated`, or the code of a problem.
    pub outcome: Option<String>,
}

const COLUMNS: &str = "state_hash, token_id, tenant_id, key_id, client_id, client_secret, created_at, expires_at, outcome";

impl Store {
    pub async fn add_browser_grant(&self, new: &BrowserGrant) -> Result<()> {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "INSERT INTO browser_grants ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL)"
        )))
        .bind(&new.state_hash)
        .bind(&new.token_id)
        .bind(&new.tenant_id)
        .bind(&new.key_id)
        .bind(&new.client_id)
        .bind(&new.client_secret)
        .bind(new.created_at)
        .bind(new.expires_at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes the consent that belongs to a state; it can be taken once, and in time.
    pub async fn take_browser_grant(
        &self,
        state_hash: &str,
        now: i64,
    ) -> Result<Option<BrowserGrant>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE browser_grants SET used_at = $2 WHERE state_hash = $1 AND used_at IS NULL AND expires_at > $2 \
             RETURNING {COLUMNS}"
        )))
        .bind(state_hash)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(grant).transpose()
    }

    /// Notes how it ended, and forgets the secrets.
    pub async fn finish_browser_grant(&self, state_hash: &str, outcome: &str) -> Result<()> {
        sqlx::query(
            "UPDATE browser_grants SET outcome = $2, client_id = '', client_secret = '' WHERE state_hash = $1",
        )
        .bind(state_hash)
        .bind(outcome)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The newest consent that an activation token asked for.
    pub async fn browser_grant_of(&self, token_id: &str) -> Result<Option<BrowserGrant>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM browser_grants WHERE token_id = $1 ORDER BY created_at DESC, state_hash LIMIT 1"
        )))
        .bind(token_id)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(grant).transpose()
    }

    /// Removes consents that nobody asks about any more: an hour after their time.
    pub async fn forget_browser_grants(&self, now: i64) -> Result<u64> {
        let removed = sqlx::query("DELETE FROM browser_grants WHERE expires_at < $1")
            .bind(now - 3_600_000)
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected())
    }
}

fn grant(row: &Row) -> Result<BrowserGrant> {
    Ok(BrowserGrant {
        state_hash: row.try_get("state_hash")?,
        token_id: row.try_get("token_id")?,
        tenant_id: row.try_get("tenant_id")?,
        key_id: row.try_get("key_id")?,
        client_id: row.try_get("client_id")?,
        client_secret: row.try_get("client_secret")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        outcome: row.try_get("outcome")?,
    })
}

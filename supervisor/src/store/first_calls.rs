//! Whether a company's AI clients have called, for the person who is installing one.

use sqlx::Row as _;

use super::{Result, Store};

/// A call that went well.
#[derive(Clone, Debug)]
pub struct Heard {
    pub at: i64,
    pub tool: String,
    /// As `claude-ai/1.2`, or empty.
    pub client: String,
}

impl Store {
    /// The newest call that went well, of those whose events are still kept.
    pub async fn last_good_call(&self, tenant_id: &str) -> Result<Option<Heard>> {
        let row = sqlx::query(
            "SELECT at, tool, client FROM usage_events WHERE tenant_id = $1 AND status = 'ok' ORDER BY at DESC LIMIT 1",
        )
        .bind(tenant_id)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(Heard {
            at: row.try_get("at")?,
            tool: row.try_get("tool")?,
            client: row.try_get("client")?,
        }))
    }

    /// Whether any call was counted, however it ended.
    pub async fn has_called(&self, tenant_id: &str) -> Result<bool> {
        let row = sqlx::query("SELECT day FROM usage_days WHERE tenant_id = $1 LIMIT 1")
            .bind(tenant_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }
}

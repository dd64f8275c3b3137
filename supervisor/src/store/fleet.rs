//! All companies together, the newest single calls of one, and the database itself.

use sqlx::{AssertSqlSafe, Row as _};

use super::{Kind, Result, State, Store, Sum, companies::STATE, usage};

/// The newest calls that latencies and failures are looked for among: enough to tell, few enough to read at once.
pub const SAMPLE: i64 = 10_000;

/// How many companies are in a state and a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub state: State,
    pub tier: String,
    pub companies: i64,
}

/// A company whose credentials Service Fusion no longer accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub tenant_id: String,
    pub company: String,
    pub why: String,
    pub at: i64,
}

/// A call that did not go well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCall {
    pub at: i64,
    pub tool: String,
    /// As `GET /v1/jobs/{id}`, or empty.
    pub endpoint: String,
    pub status: String,
    pub duration_ms: i64,
    pub client: String,
    pub origin: String,
}

impl Store {
    pub async fn groups(&self) -> Result<Vec<Group>> {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT state, tier, COUNT(*) AS companies FROM (SELECT {STATE} AS state, tier FROM tenants) AS grouped \
             GROUP BY state, tier ORDER BY state, tier"
        )))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Group {
                    state: State::from_row(row)?,
                    tier: row.try_get("tier")?,
                    companies: row.try_get("companies")?,
                })
            })
            .collect()
    }

    /// The companies with the most calls since the start of a day, whose keys are their ids.
    pub async fn busiest(&self, since: i64, limit: i64) -> Result<Vec<(Sum, String)>> {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT key, calls, errors, duration_ms, bytes, (SELECT company FROM tenants WHERE id = key) AS company FROM \
             (SELECT tenant_id AS key, {} FROM usage_days WHERE day >= $1 GROUP BY tenant_id) AS grouped \
             ORDER BY calls DESC, key LIMIT $2",
            usage::SUMS
        )))
        .bind(since)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((usage::sum(row)?, row.try_get("company")?)))
            .collect()
    }

    /// Connections that have ended, the newest first; those of suspended companies can wait.
    pub async fn lost_connections(&self, limit: i64) -> Result<Vec<Lost>> {
        let rows = sqlx::query(
            "SELECT t.id, t.company, c.ended, c.updated_at FROM credentials c JOIN tenants t ON t.id = c.tenant_id \
             WHERE c.ended IS NOT NULL AND t.suspended_at IS NULL ORDER BY c.updated_at DESC, t.id LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Lost {
                    tenant_id: row.try_get("id")?,
                    company: row.try_get("company")?,
                    why: row.try_get("ended")?,
                    at: row.try_get("updated_at")?,
                })
            })
            .collect()
    }

    /// When the company's newest calls were made and how long they took, at most [`SAMPLE`] of them.
    pub async fn durations(&self, tenant_id: &str, since: i64) -> Result<Vec<(i64, i64)>> {
        let rows = sqlx::query(
            "SELECT at, duration_ms FROM usage_events WHERE tenant_id = $1 AND at >= $2 ORDER BY at DESC LIMIT $3",
        )
        .bind(tenant_id)
        .bind(since)
        .bind(SAMPLE)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("at")?, row.try_get("duration_ms")?)))
            .collect()
    }

    /// Those of the company's newest calls that did not go well, the newest first.
    pub async fn failed_calls(
        &self,
        tenant_id: &str,
        since: i64,
        limit: i64,
    ) -> Result<Vec<FailedCall>> {
        let rows = sqlx::query(
            "SELECT at, tool, endpoint, status, duration_ms, client, origin FROM \
             (SELECT at, tool, endpoint, status, duration_ms, client, origin FROM usage_events \
             WHERE tenant_id = $1 AND at >= $2 ORDER BY at DESC LIMIT $3) AS newest \
             WHERE status <> 'ok' ORDER BY at DESC LIMIT $4",
        )
        .bind(tenant_id)
        .bind(since)
        .bind(SAMPLE)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(FailedCall {
                    at: row.try_get("at")?,
                    tool: row.try_get("tool")?,
                    endpoint: row.try_get("endpoint")?,
                    status: row.try_get("status")?,
                    duration_ms: row.try_get("duration_ms")?,
                    client: row.try_get("client")?,
                    origin: row.try_get("origin")?,
                })
            })
            .collect()
    }

    /// Bytes of the database.
    pub async fn size(&self) -> Result<i64> {
        let row = sqlx::query(match self.kind {
            Kind::Sqlite => {
                "SELECT CAST(page_count * page_size AS BIGINT) AS size FROM pragma_page_count(), pragma_page_size()"
            }
            Kind::Postgres => "SELECT pg_database_size(CURRENT_DATABASE()) AS size",
        })
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get("size")?)
    }

    /// This process's connections to the database: open ones, and those of them that are in use.
    pub fn connections(&self) -> (usize, usize) {
        let open = self.pool.size() as usize;
        (open, open.saturating_sub(self.pool.num_idle()))
    }
}

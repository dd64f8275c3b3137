//! A company's figures, for its own export.

use serde_json::{Value, json};
use sqlx::Row as _;

use super::{Result, Row, Store};

impl Store {
    /// Usage of the first day (UTC) after `after` that has any; empty after the last.
    pub async fn day_after(&self, tenant_id: &str, after: i64) -> Result<Vec<Value>> {
        let rows = sqlx::query(
            "SELECT day, tool, status, client, origin, calls, duration_ms, bytes FROM usage_days WHERE tenant_id = $1 \
             AND day = (SELECT MIN(day) FROM usage_days WHERE tenant_id = $1 AND day > $2) \
             ORDER BY tool, status, client, origin",
        )
        .bind(tenant_id)
        .bind(after)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(json!({
                    "day": number(row, "day")?, "tool": text(row, "tool")?, "status": text(row, "status")?,
                    "client": text(row, "client")?, "origin": text(row, "origin")?, "calls": number(row, "calls")?,
                    "duration_ms": number(row, "duration_ms")?, "bytes": number(row, "bytes")?,
                }))
            })
            .collect()
    }

    /// Single calls with their times and ids, in the order of these, those after `after`; as many as `limit`.
    pub async fn events_of(
        &self,
        tenant_id: &str,
        (at, id): (i64, &str),
        limit: i64,
    ) -> Result<Vec<((i64, String), Value)>> {
        let rows = sqlx::query(
            "SELECT id, token_id, member_id, at, tool, endpoint, status, duration_ms, bytes, client, era, origin, \
             received_at FROM usage_events WHERE tenant_id = $1 AND (at, id) > ($2, $3) ORDER BY at, id LIMIT $4",
        )
        .bind(tenant_id)
        .bind(at)
        .bind(id)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let (at, id) = (number(row, "at")?, text(row, "id")?);
                let event = json!({
                    "id": id, "token_id": row.try_get::<Option<String>, _>("token_id")?,
                    "member_id": row.try_get::<Option<String>, _>("member_id")?, "at": at,
                    "tool": text(row, "tool")?, "endpoint": text(row, "endpoint")?, "status": text(row, "status")?,
                    "duration_ms": number(row, "duration_ms")?, "bytes": number(row, "bytes")?,
                    "client": text(row, "client")?, "era": text(row, "era")?, "origin": text(row, "origin")?,
                    "received_at": number(row, "received_at")?,
                });
                Ok(((at, id), event))
            })
            .collect()
    }
}

fn text(row: &Row, column: &str) -> Result<String> {
    Ok(row.try_get(column)?)
}

fn number(row: &Row, column: &str) -> Result<i64> {
    Ok(row.try_get(column)?)
}

//! Calls: the events themselves for a while, their sums by hour and day for good.

use std::borrow::Cow;

use sqlx::{Any, AssertSqlSafe, Row as _, any::AnyArguments, query::Query};

use super::{Result, Row, Store};

mod adding;

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;
/// Rows that one DELETE removes, so that it holds up no writer for long.
const REMOVED_AT_ONCE: i64 = 5000;

/// Rows of a report: as many as hours of its longest period, and more than days.
const REPORTED: usize = 2500;

/// What tools and clients are called that have no sums of their own.
pub const OTHER: &str = "other";
/// Clients of a tenant that have sums of their own in a day (UTC).
pub const CLIENTS_A_DAY: usize = 50;

/// One call that has been judged fit to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageEvent {
    /// Unique among the tenant's of that moment.
    pub id: String,
    pub at: i64,
    pub tool: &'static str,
    /// As `GET /v1/jobs/{id}`, or empty.
    pub endpoint: String,
    pub status: &'static str,
    pub duration_ms: i64,
    pub bytes: i64,
    /// As `claude-ai/1.2`, or empty.
    pub client: String,
    /// The protocol's revision, or empty.
    pub era: Cow<'static, str>,
}

/// Whose calls they are, and where they were made.
#[derive(Clone, Copy, Debug)]
pub struct UsageSource<'a> {
    pub tenant_id: &'a str,
    pub token_id: Option<&'a str>,
    pub member_id: Option<&'a str>,
    pub origin: Origin,
}

/// Where sf-mcp ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On a machine of the company, from a bundle.
    Local,
    /// Here, as the company's child.
    Hosted,
}

impl Origin {
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Hosted => "hosted",
        }
    }
}

/// By what calls are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    Hour,
    Day,
    Tool,
    Status,
    Client,
    Origin,
}

impl By {
    /// The column's name, in the tables and in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Tool => "tool",
            Self::Status => "status",
            Self::Client => "client",
            Self::Origin => "origin",
        }
    }
}

/// Calls that have something in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// An hour's or a day's start in Unix ms, else the tool, status, client or origin.
    pub key: String,
    pub calls: i64,
    /// Calls whose status is not `ok`.
    pub errors: i64,
    pub duration_ms: i64,
    pub bytes: i64,
}

impl Store {
    /// Sums of one tenant, or of all, from the start of `from` to before `to` (Unix ms), in the order of their keys.
    pub async fn usage(
        &self,
        tenant_id: Option<&str>,
        from: i64,
        to: i64,
        by: By,
    ) -> Result<Vec<Sum>> {
        let (table, start) = match by {
            By::Hour => ("usage_hours", "hour"),
            _ => ("usage_days", "day"),
        };
        let column = by.word();
        let whose = tenant_id.map_or("", |_| "AND tenant_id = $3");
        let bound = |query: Query<'static, Any, AnyArguments>| {
            let query = query.bind(from).bind(to);
            match tenant_id {
                Some(id) => query.bind(id.to_owned()),
                None => query,
            }
        };
        let rows = bound(sqlx::query(AssertSqlSafe(format!(
            "SELECT CAST({column} AS TEXT) AS key, {SUMS} FROM {table} \
             WHERE {start} >= $1 AND {start} < $2 {whose} \
             GROUP BY {column} ORDER BY SUM(calls) DESC, {column} LIMIT {REPORTED}"
        ))));
        let rows = rows.fetch_all(&self.pool).await?;
        let mut sums: Vec<Sum> = rows.iter().map(sum).collect::<Result<_>>()?;
        if sums.len() == REPORTED {
            let all = bound(sqlx::query(AssertSqlSafe(format!(
                "SELECT '{OTHER}' AS key, {SUMS} FROM {table} WHERE {start} >= $1 AND {start} < $2 {whose}"
            ))));
            let all = sum(&all.fetch_one(&self.pool).await?)?;
            add_rest(&mut sums, all);
        }
        // Times have all the same number of digits.
        sums.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(sums)
    }

    /// Sums by tenant, from the start of `from` to before `to` (Unix ms).
    pub async fn usage_by_tenant(&self, from: i64, to: i64) -> Result<Vec<Sum>> {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT tenant_id AS key, {SUMS} FROM usage_days WHERE day >= $1 AND day < $2 \
             GROUP BY tenant_id ORDER BY tenant_id"
        )))
        .bind(from)
        .bind(to)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(sum).collect()
    }

    /// Removes events of days (UTC) that ended before `before`, a part at a time, and which clients these days had; the
    /// sums stay. Every day with events has a client, if one without a name, so only companies with such days are
    /// looked at: mostly none, and once a day those that called that long ago.
    pub async fn forget_usage(&self, before: i64) -> Result<u64> {
        let before = start_of(before, DAY);
        let tenants = sqlx::query("SELECT DISTINCT tenant_id FROM usage_clients WHERE day < $1")
            .bind(before)
            .fetch_all(&self.pool)
            .await?;
        let mut removed = 0;
        for tenant in &tenants {
            removed += self
                .forget_usage_of(tenant.try_get("tenant_id")?, before)
                .await?;
        }
        Ok(removed)
    }

    async fn forget_usage_of(&self, tenant_id: &str, before: i64) -> Result<u64> {
        let mut removed = 0;
        loop {
            let some = sqlx::query(
                "DELETE FROM usage_events WHERE tenant_id = $1 AND (at, id) IN \
                 (SELECT at, id FROM usage_events WHERE tenant_id = $1 AND at < $2 LIMIT $3)",
            )
            .bind(tenant_id)
            .bind(before)
            .bind(REMOVED_AT_ONCE)
            .execute(&self.pool)
            .await?
            .rows_affected();
            removed += some;
            if some == 0 {
                break;
            }
        }
        // Last, so that a sweep that was interrupted finds the company again.
        let days = sqlx::query("DELETE FROM usage_clients WHERE tenant_id = $1 AND day < $2")
            .bind(tenant_id)
            .bind(before)
            .execute(&self.pool)
            .await?;
        Ok(removed + days.rows_affected())
    }
}

pub(super) const SUMS: &str = "CAST(COALESCE(SUM(calls), 0) AS BIGINT) AS calls, \
                    CAST(COALESCE(SUM(CASE WHEN status = 'ok' THEN 0 ELSE calls END), 0) AS BIGINT) AS errors, \
                    CAST(COALESCE(SUM(duration_ms), 0) AS BIGINT) AS duration_ms, \
                    CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes";

pub(super) fn sum(row: &Row) -> Result<Sum> {
    Ok(Sum {
        key: row.try_get("key")?,
        calls: row.try_get("calls")?,
        errors: row.try_get("errors")?,
        duration_ms: row.try_get("duration_ms")?,
        bytes: row.try_get("bytes")?,
    })
}

/// What `all` counts beyond the sums goes to the one for the rest.
fn add_rest(sums: &mut Vec<Sum>, all: Sum) {
    let mut rest = all;
    for sum in &*sums {
        rest.calls -= sum.calls;
        rest.errors -= sum.errors;
        rest.duration_ms -= sum.duration_ms;
        rest.bytes -= sum.bytes;
    }
    if rest.calls <= 0 {
        return;
    }
    match sums.iter_mut().find(|sum| sum.key == OTHER) {
        Some(other) => {
            other.calls += rest.calls;
            other.errors += rest.errors;
            other.duration_ms += rest.duration_ms;
            other.bytes += rest.bytes;
        }
        None => sums.push(rest),
    }
}

fn start_of(at: i64, length: i64) -> i64 {
    at - at.rem_euclid(length)
}

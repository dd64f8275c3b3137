//! Calls: the events themselves for a while, their sums by hour and day for good.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::{Any, AssertSqlSafe, Row as _, Transaction, any::AnyArguments, query::Query};

use super::{Result, Row, Store};

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;
/// Rows of one INSERT. SQLite and its driver look each parameter up among all before it, when the text is read and when
/// values are bound, so the time grows with the square of the rows: 500 of them cost more than the calls they count.
const ROWS: usize = 32;
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
    /// Unique among the tenant's.
    pub id: String,
    pub at: i64,
    pub tool: String,
    /// As `GET /v1/jobs/{id}`, or empty.
    pub endpoint: String,
    pub status: String,
    pub duration_ms: i64,
    pub bytes: i64,
    /// As `claude-ai/1.2`, or empty.
    pub client: String,
    /// The protocol's revision, or empty.
    pub era: String,
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

/// Status, tool, client and origin of a row of sums, after its start.
type Key<'a> = (i64, &'a str, &'a str, &'a str);
/// Calls, milliseconds, bytes.
type Sums = (i64, i64, i64);

impl Store {
    /// Keeps those events that are not kept yet and returns how many they were. Sums change by those alone, in the
    /// same transaction. Everybody inserts in the order of ids, and of sums after that: nobody waits in a circle.
    pub async fn add_usage(
        &self,
        source: UsageSource<'_>,
        events: &[UsageEvent],
        now: i64,
    ) -> Result<usize> {
        self.add_usages(&[(source, events)], now).await
    }

    /// As `add_usage` for several sources, all in one transaction and in the order of their tenants.
    pub async fn add_usages(
        &self,
        batches: &[(UsageSource<'_>, &[UsageEvent])],
        now: i64,
    ) -> Result<usize> {
        let mut batches: Vec<_> = batches
            .iter()
            .filter(|(_, events)| !events.is_empty())
            .collect();
        if batches.is_empty() {
            return Ok(0);
        }
        batches.sort_by_key(|(source, _)| (source.tenant_id, source.origin.word()));
        let mut transaction = self.begin().await?;
        let mut added = 0;
        for of_one in batches.chunk_by(|(left, _), (right, _)| {
            (left.tenant_id, left.origin) == (right.tenant_id, right.origin)
        }) {
            added += add_of_one(&mut transaction, of_one, now).await?;
        }
        transaction.commit().await?;
        Ok(added)
    }

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
                "DELETE FROM usage_events WHERE tenant_id = $1 AND id IN \
                 (SELECT id FROM usage_events WHERE tenant_id = $1 AND at < $2 LIMIT $3)",
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

/// Adds events of one tenant and origin, and then their sums.
async fn add_of_one(
    transaction: &mut Transaction<'static, Any>,
    batches: &[&(UsageSource<'_>, &[UsageEvent])],
    now: i64,
) -> Result<usize> {
    let mut kept = Vec::new();
    for (source, events) in batches {
        let events: BTreeMap<&str, &UsageEvent> = events
            .iter()
            .rev()
            .map(|event| (event.id.as_str(), event))
            .collect();
        let events: Vec<&UsageEvent> = events.into_values().collect();
        let mut new = HashSet::new();
        for part in events.chunks(ROWS) {
            new.extend(insert_events(transaction, *source, part, now).await?);
        }
        kept.extend(events.into_iter().filter(|event| new.contains(&event.id)));
    }
    if let (Some((source, _)), false) = (batches.first(), kept.is_empty()) {
        let named = named_clients(transaction, source.tenant_id, &kept).await?;
        for (table, start, length) in [("usage_hours", "hour", HOUR), ("usage_days", "day", DAY)] {
            let sums: Vec<(Key<'_>, Sums)> = summed(&kept, length, &named).into_iter().collect();
            for part in sums.chunks(ROWS) {
                add_sums(transaction, *source, table, start, part).await?;
            }
        }
    }
    Ok(kept.len())
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

/// The clients that have sums of their own, by day; new ones are noted while there is room in their day. Batches at
/// the same moment may each take the last place on PostgreSQL.
async fn named_clients(
    transaction: &mut Transaction<'static, Any>,
    tenant_id: &str,
    events: &[&UsageEvent],
) -> Result<HashMap<i64, HashSet<String>>> {
    let seen: BTreeSet<(i64, &str)> = events
        .iter()
        .map(|event| (start_of(event.at, DAY), client_name(&event.client)))
        .collect();
    let days = seen.first().zip(seen.last());
    let (first, last) = days.map_or((0, 0), |(first, last)| (first.0, last.0));
    let rows = sqlx::query(
        "SELECT day, client FROM usage_clients WHERE tenant_id = $1 AND day >= $2 AND day <= $3",
    )
    .bind(tenant_id)
    .bind(first)
    .bind(last)
    .fetch_all(&mut **transaction)
    .await?;
    let mut named = HashMap::<i64, HashSet<String>>::new();
    for row in &rows {
        let of_day = named.entry(row.try_get("day")?).or_default();
        of_day.insert(row.try_get("client")?);
    }
    for (day, client) in seen {
        let of_day = named.entry(day).or_default();
        if of_day.len() >= CLIENTS_A_DAY || !of_day.insert(client.to_owned()) {
            continue;
        }
        sqlx::query(
            "INSERT INTO usage_clients (tenant_id, day, client) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant_id, day, client) DO NOTHING",
        )
        .bind(tenant_id)
        .bind(day)
        .bind(client)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(named)
}

/// The ids of those events that were not there yet.
async fn insert_events(
    transaction: &mut Transaction<'static, Any>,
    source: UsageSource<'_>,
    events: &[&UsageEvent],
    now: i64,
) -> Result<Vec<String>> {
    let rows = rows(events.len(), 5, 9, "$1, $2, $3, $4, $5, ");
    // Batches have all sizes: their statements are not worth keeping.
    let mut query = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO usage_events (tenant_id, token_id, member_id, origin, received_at, \
           id, at, tool, endpoint, status, duration_ms, bytes, client, era) VALUES {rows} \
         ON CONFLICT (tenant_id, id) DO NOTHING RETURNING id"
    )))
    .persistent(false)
    .bind(source.tenant_id)
    .bind(source.token_id)
    .bind(source.member_id)
    .bind(source.origin.word())
    .bind(now);
    for event in events {
        query = query
            .bind(&event.id)
            .bind(event.at)
            .bind(&event.tool)
            .bind(&event.endpoint)
            .bind(&event.status)
            .bind(event.duration_ms)
            .bind(event.bytes)
            .bind(&event.client)
            .bind(&event.era);
    }
    let rows = query.fetch_all(&mut **transaction).await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

async fn add_sums(
    transaction: &mut Transaction<'static, Any>,
    source: UsageSource<'_>,
    table: &str,
    start: &str,
    sums: &[(Key<'_>, Sums)],
) -> Result<()> {
    let rows = rows(sums.len(), 2, 7, "$1, $2, ");
    let mut query = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {table} (tenant_id, origin, {start}, tool, status, client, calls, duration_ms, bytes) VALUES {rows} \
         ON CONFLICT (tenant_id, {start}, tool, status, client, origin) DO UPDATE SET \
           calls = {table}.calls + excluded.calls, duration_ms = {table}.duration_ms + excluded.duration_ms, \
           bytes = {table}.bytes + excluded.bytes"
    )))
    .persistent(false)
    .bind(source.tenant_id)
    .bind(source.origin.word());
    for ((begin, tool, status, client), (calls, duration_ms, bytes)) in sums {
        query = query
            .bind(begin)
            .bind(*tool)
            .bind(*status)
            .bind(*client)
            .bind(calls)
            .bind(duration_ms)
            .bind(bytes);
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

/// `($1, …, $6, $7), ($1, …, $8, $9)`: `shared` placeholders that all rows begin with, and `own` ones of each row.
pub(super) fn rows(count: usize, shared: usize, own: usize, beginning: &str) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(count * (beginning.len() + own * 7));
    for row in 0..count {
        text.push_str(if row == 0 { "(" } else { ", (" });
        text.push_str(beginning);
        for value in 0..own {
            let separator = if value == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}${}", shared + row * own + value + 1);
        }
        text.push(')');
    }
    text
}

/// What the events add to the sums of their hours or days.
fn summed<'a>(
    events: &[&'a UsageEvent],
    length: i64,
    named: &HashMap<i64, HashSet<String>>,
) -> BTreeMap<Key<'a>, Sums> {
    let mut sums = BTreeMap::<Key<'a>, Sums>::new();
    for event in events {
        let client = client_name(&event.client);
        let of_day = named.get(&start_of(event.at, DAY));
        let is_named = of_day.is_some_and(|names| names.contains(client));
        let key = (
            start_of(event.at, length),
            event.tool.as_str(),
            event.status.as_str(),
            if is_named { client } else { OTHER },
        );
        let (calls, duration_ms, bytes) = sums.entry(key).or_default();
        *calls += 1;
        *duration_ms += event.duration_ms;
        *bytes += event.bytes;
    }
    sums
}

fn start_of(at: i64, length: i64) -> i64 {
    at - at.rem_euclid(length)
}

/// Sums are by client, not by each version of it.
fn client_name(client: &str) -> &str {
    client.split('/').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_counted_on() {
        assert_eq!(rows(2, 1, 2, "$1, "), "($1, $2, $3), ($1, $4, $5)");
        assert_eq!(rows(1, 0, 2, ""), "($1, $2)");
    }

    #[test]
    fn versions_of_a_client_are_one_client() {
        for (client, name) in [
            ("claude-ai/1.2", "claude-ai"),
            ("Cursor", "Cursor"),
            ("", ""),
        ] {
            assert_eq!(client_name(client), name);
        }
    }
}

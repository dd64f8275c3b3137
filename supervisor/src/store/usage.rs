//! Calls: the events themselves for a while, their sums by hour and day for good.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

use serde::Serialize;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction, any::AnyArguments, query::Query};

use super::{Kind, Result, Row, Store};

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;
/// Rows of one INSERT. They are bound as one JSON text: a text for each value would be copied several times on its way,
/// and SQLite and its driver look each parameter up among all before it. Rows are arrays, as names would be read for
/// each row again.
const ROWS: usize = 500;
/// Columns and their types, in the order of [`Group::row`]; what many calls have in common is said and read once.
const GROUP: [(&str, &str); 6] = [
    ("tool", "TEXT"),
    ("endpoint", "TEXT"),
    ("status", "TEXT"),
    ("client", "TEXT"),
    ("era", "TEXT"),
    ("calls", "JSONB"),
];
/// In the order of [`UsageEvent::row`].
const EVENT: [(&str, &str); 4] = [
    ("id", "TEXT"),
    ("at", "BIGINT"),
    ("duration_ms", "BIGINT"),
    ("bytes", "BIGINT"),
];
/// In the order of [`Added::row`].
const SUM: [(&str, &str); 7] = [
    ("start", "BIGINT"),
    ("tool", "TEXT"),
    ("status", "TEXT"),
    ("client", "TEXT"),
    ("calls", "BIGINT"),
    ("duration_ms", "BIGINT"),
    ("bytes", "BIGINT"),
];
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

impl UsageEvent {
    fn row(&self) -> impl Serialize {
        (&self.id, self.at, self.duration_ms, self.bytes)
    }

    fn group(&self) -> Group<'_> {
        Group {
            tool: self.tool,
            endpoint: &self.endpoint,
            status: self.status,
            client: &self.client,
            era: &self.era,
        }
    }
}

/// What calls may have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group<'a> {
    tool: &'a str,
    endpoint: &'a str,
    status: &'a str,
    client: &'a str,
    era: &'a str,
}

impl Group<'_> {
    fn row(&self, calls: &[&UsageEvent]) -> impl Serialize {
        let calls: Vec<_> = calls.iter().map(|event| event.row()).collect();
        (
            self.tool,
            self.endpoint,
            self.status,
            self.client,
            self.era,
            calls,
        )
    }
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

/// What is expected of a batch's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mostly {
    New,
    Repeated,
}

/// What a batch adds to the sum of a tool, status and client in an hour or day.
struct Added<'a> {
    start: i64,
    tool: &'a str,
    status: &'a str,
    client: &'a str,
    calls: i64,
    duration_ms: i64,
    bytes: i64,
}

impl Added<'_> {
    fn row(&self) -> impl Serialize {
        (
            self.start,
            self.tool,
            self.status,
            self.client,
            self.calls,
            self.duration_ms,
            self.bytes,
        )
    }
}

impl Store {
    /// Keeps those events that are not kept yet and returns how many they were. Sums change by those alone, in the
    /// same transaction. Everybody inserts in the order of times and ids, and of sums after that: nobody waits in a circle.
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
        // Mostly all are new, and the database need not say which: it says so row by row.
        if let Some(added) = self.add_all(&batches, now, Mostly::New).await? {
            return Ok(added);
        }
        let added = self.add_all(&batches, now, Mostly::Repeated).await?;
        Ok(added.unwrap_or_default())
    }

    /// In one transaction. `None`, and nothing is added, when not all are new although they were said to be.
    async fn add_all(
        &self,
        batches: &[&(UsageSource<'_>, &[UsageEvent])],
        now: i64,
        mostly: Mostly,
    ) -> Result<Option<usize>> {
        let mut transaction = self.begin().await?;
        let mut added = 0;
        for of_one in batches.chunk_by(|(left, _), (right, _)| {
            (left.tenant_id, left.origin) == (right.tenant_id, right.origin)
        }) {
            let of_one = self
                .add_of_one(&mut transaction, of_one, now, mostly)
                .await?;
            let Some(of_one) = of_one else {
                transaction.rollback().await?;
                return Ok(None);
            };
            added += of_one;
        }
        transaction.commit().await?;
        Ok(Some(added))
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

fn json(rows: impl Iterator<Item = impl Serialize>) -> Result<String> {
    let rows: Vec<_> = rows.collect();
    Ok(serde_json::to_string(&rows).map_err(|problem| sqlx::Error::Encode(problem.into()))?)
}

/// The elements of a JSON array, as the column `value`.
fn elements(kind: Kind, array: &str) -> String {
    match kind {
        Kind::Sqlite => format!("jsonb_each({array})"),
        Kind::Postgres => format!("jsonb_array_elements(CAST({array} AS JSONB))"),
    }
}

/// The elements of a JSON array under the names of columns.
fn columns(kind: Kind, array: &str, columns: &[(&str, &str)]) -> String {
    let columns = columns.iter().enumerate();
    let columns = columns.map(|(place, (name, type_of))| match (kind, *type_of) {
        (Kind::Sqlite, "JSONB") => format!("jsonb_extract({array}, '$[{place}]') AS {name}"),
        (Kind::Sqlite, _) => format!("{array} ->> {place} AS {name}"),
        (Kind::Postgres, "JSONB") => format!("{array} -> {place} AS {name}"),
        (Kind::Postgres, _) => format!("CAST({array} ->> {place} AS {type_of}) AS {name}"),
    });
    columns.collect::<Vec<_>>().join(", ")
}

impl Store {
    /// Adds events of one tenant and origin, and then their sums; `None` as `add_all`.
    async fn add_of_one(
        &self,
        transaction: &mut Transaction<'static, Any>,
        batches: &[&(UsageSource<'_>, &[UsageEvent])],
        now: i64,
        mostly: Mostly,
    ) -> Result<Option<usize>> {
        let mut kept = Vec::new();
        for (source, events) in batches {
            let events: BTreeMap<_, &UsageEvent> = events
                .iter()
                .rev()
                .map(|event| (key(event), event))
                .collect();
            let events: Vec<&UsageEvent> = events.into_values().collect();
            for part in events.chunks(ROWS) {
                let insert = self.insert_events(*source, part, now, mostly)?;
                if mostly == Mostly::New {
                    let new = insert.execute(&mut **transaction).await?.rows_affected();
                    if new < part.len() as u64 {
                        return Ok(None);
                    }
                    kept.extend(part);
                    continue;
                }
                let rows = insert.fetch_all(&mut **transaction).await?;
                let new = rows
                    .iter()
                    .map(|row| Ok((row.try_get("at")?, row.try_get("id")?)));
                let new: HashSet<(i64, &str)> = new.collect::<Result<_>>()?;
                kept.extend(part.iter().filter(|event| new.contains(&key(event))));
            }
        }
        if let (Some((source, _)), false) = (batches.first(), kept.is_empty()) {
            let named = named_clients(transaction, source.tenant_id, &kept).await?;
            for (table, start, length) in
                [("usage_hours", "hour", HOUR), ("usage_days", "day", DAY)]
            {
                let sums: Vec<Added<'_>> = summed(&kept, length, &named);
                for part in sums.chunks(ROWS) {
                    self.add_sums(transaction, *source, (table, start), part)
                        .await?;
                }
            }
        }
        Ok(Some(kept.len()))
    }

    /// Adds those events that are not there yet; repeated ones are told from new ones by the keys that come back.
    fn insert_events(
        &self,
        source: UsageSource<'_>,
        events: &[&UsageEvent],
        now: i64,
        mostly: Mostly,
    ) -> Result<Query<'static, Any, AnyArguments>> {
        let mut groups = BTreeMap::<Group<'_>, Vec<&UsageEvent>>::new();
        for event in events {
            groups.entry(event.group()).or_default().push(event);
        }
        let groups = json(groups.iter().map(|(group, calls)| group.row(calls)))?;
        let (of_group, of_event) = (
            columns(self.kind, "value", &GROUP),
            columns(self.kind, "event.value", &EVENT),
        );
        let (all, calls) = (elements(self.kind, "$6"), elements(self.kind, "one.calls"));
        let order = match self.kind {
            Kind::Sqlite => "",
            // Others write at the same time.
            Kind::Postgres => "ORDER BY at, id",
        };
        let returning = match mostly {
            Mostly::New => "",
            Mostly::Repeated => "RETURNING at, id",
        };
        Ok(sqlx::query(AssertSqlSafe(format!(
            "WITH one AS MATERIALIZED (SELECT {of_group} FROM {all}) \
             INSERT INTO usage_events (tenant_id, token_id, member_id, origin, received_at, \
               id, at, duration_ms, bytes, tool, endpoint, status, client, era) \
             SELECT $1, $2, $3, $4, $5, {of_event}, tool, endpoint, status, client, era \
             FROM one, {calls} AS event WHERE true {order} \
             ON CONFLICT (tenant_id, at, id) DO NOTHING {returning}"
        )))
        .bind(source.tenant_id.to_owned())
        .bind(source.token_id.map(str::to_owned))
        .bind(source.member_id.map(str::to_owned))
        .bind(source.origin.word())
        .bind(now)
        .bind(groups))
    }

    async fn add_sums(
        &self,
        transaction: &mut Transaction<'static, Any>,
        source: UsageSource<'_>,
        (table, start): (&str, &str),
        sums: &[Added<'_>],
    ) -> Result<()> {
        let columns = columns(self.kind, "value", &SUM);
        let all = elements(self.kind, "$3");
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO {table} (tenant_id, origin, {start}, tool, status, client, calls, duration_ms, bytes) \
             SELECT $1, $2, start, tool, status, client, calls, duration_ms, bytes \
             FROM (SELECT {columns} FROM {all}) AS one WHERE true \
             ON CONFLICT (tenant_id, {start}, tool, status, client, origin) DO UPDATE SET \
               calls = {table}.calls + excluded.calls, duration_ms = {table}.duration_ms + excluded.duration_ms, \
               bytes = {table}.bytes + excluded.bytes"
        )))
        .bind(source.tenant_id)
        .bind(source.origin.word())
        .bind(json(sums.iter().map(Added::row))?)
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }
}

/// What no two events of a tenant have in common.
fn key(event: &UsageEvent) -> (i64, &str) {
    (event.at, &event.id)
}

/// What the events add to the sums of their hours or days, in the order of the sums' keys.
fn summed<'a>(
    events: &[&'a UsageEvent],
    length: i64,
    named: &HashMap<i64, HashSet<String>>,
) -> Vec<Added<'a>> {
    let mut sums = BTreeMap::<_, Added<'a>>::new();
    for event in events {
        let client = client_name(&event.client);
        let of_day = named.get(&start_of(event.at, DAY));
        let is_named = of_day.is_some_and(|names| names.contains(client));
        let start = start_of(event.at, length);
        let client = if is_named { client } else { OTHER };
        let key = (start, event.tool, event.status, client);
        let sum = sums.entry(key).or_insert(Added {
            start,
            tool: event.tool,
            status: event.status,
            client,
            calls: 0,
            duration_ms: 0,
            bytes: 0,
        });
        sum.calls += 1;
        sum.duration_ms += event.duration_ms;
        sum.bytes += event.bytes;
    }
    sums.into_values().collect()
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

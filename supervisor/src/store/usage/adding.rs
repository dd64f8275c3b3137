//! Calls are written down: the events themselves, then the clients that have sums of their own, then the sums.
//!
//! A batch takes as many statements for a thousand companies as for one. Everybody writes in this order, and rows in the
//! order of their keys: nobody waits in a circle.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction, any::AnyArguments, query::Query};

use super::{CLIENTS_A_DAY, DAY, HOUR, OTHER, UsageEvent, UsageSource, start_of};
use crate::store::{Kind, Result, Store};

/// Rows of one statement. They are bound as one JSON text: a text for each value would be copied several times on its way,
/// and SQLite and its driver look each parameter up among all before it. Rows are arrays, as names would be read for
/// each row again.
const ROWS: usize = 500;
/// Columns and their types, in the order of [`Group::row`]; what many calls have in common is said and read once.
const GROUP: [(&str, &str); 10] = [
    ("tenant_id", "TEXT"),
    ("token_id", "TEXT"),
    ("member_id", "TEXT"),
    ("origin", "TEXT"),
    ("tool", "TEXT"),
    ("endpoint", "TEXT"),
    ("status", "TEXT"),
    ("client", "TEXT"),
    ("era", "TEXT"),
    ("calls", "JSONB"),
];
/// In the order of [`Call::row`].
const EVENT: [(&str, &str); 4] = [
    ("id", "TEXT"),
    ("at", "BIGINT"),
    ("duration_ms", "BIGINT"),
    ("bytes", "BIGINT"),
];
/// In the order of [`Added::row`].
const SUM: [(&str, &str); 9] = [
    ("tenant_id", "TEXT"),
    ("start", "BIGINT"),
    ("tool", "TEXT"),
    ("status", "TEXT"),
    ("client", "TEXT"),
    ("origin", "TEXT"),
    ("calls", "BIGINT"),
    ("duration_ms", "BIGINT"),
    ("bytes", "BIGINT"),
];
/// A company's day, and a client in it.
const CLIENT: [(&str, &str); 3] = [("tenant_id", "TEXT"), ("day", "BIGINT"), ("client", "TEXT")];

/// What is expected of a batch's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mostly {
    New,
    Repeated,
}

/// A call and whose it is.
#[derive(Clone, Copy, Debug)]
struct Call<'a> {
    source: UsageSource<'a>,
    event: &'a UsageEvent,
}

impl<'a> Call<'a> {
    /// What no two calls have in common.
    fn key(&self) -> (&'a str, i64, &'a str) {
        (self.source.tenant_id, self.event.at, &self.event.id)
    }

    fn group(&self) -> Group<'a> {
        let Self { source, event } = *self;
        Group {
            tenant_id: source.tenant_id,
            token_id: source.token_id,
            member_id: source.member_id,
            origin: source.origin.word(),
            tool: event.tool,
            endpoint: &event.endpoint,
            status: event.status,
            client: &event.client,
            era: &event.era,
        }
    }

    fn row(&self) -> impl Serialize {
        let event = self.event;
        (&event.id, event.at, event.duration_ms, event.bytes)
    }

    /// What it adds to the sums of its client.
    fn added(&self) -> Added<'a> {
        let Self { source, event } = *self;
        Added {
            tenant_id: source.tenant_id,
            start: event.at,
            tool: event.tool,
            status: event.status,
            client: client_name(&event.client),
            origin: source.origin.word(),
            calls: 1,
            duration_ms: event.duration_ms,
            bytes: event.bytes,
        }
    }
}

/// What calls may have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group<'a> {
    tenant_id: &'a str,
    token_id: Option<&'a str>,
    member_id: Option<&'a str>,
    origin: &'a str,
    tool: &'a str,
    endpoint: &'a str,
    status: &'a str,
    client: &'a str,
    era: &'a str,
}

impl Group<'_> {
    fn row(&self, calls: &[Call<'_>]) -> impl Serialize {
        let calls: Vec<_> = calls.iter().map(Call::row).collect();
        (
            self.tenant_id,
            self.token_id,
            self.member_id,
            self.origin,
            self.tool,
            self.endpoint,
            self.status,
            self.client,
            self.era,
            calls,
        )
    }
}

/// What a batch adds to the sum of a tool, status, client and origin in an hour or day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Added<'a> {
    tenant_id: &'a str,
    /// Of the hour or day; of a call that is in no sum yet, its time.
    start: i64,
    tool: &'a str,
    status: &'a str,
    client: &'a str,
    origin: &'a str,
    calls: i64,
    duration_ms: i64,
    bytes: i64,
}

impl Added<'_> {
    fn row(&self) -> impl Serialize {
        (
            self.tenant_id,
            self.start,
            self.tool,
            self.status,
            self.client,
            self.origin,
            self.calls,
            self.duration_ms,
            self.bytes,
        )
    }
}

impl Store {
    /// Keeps those events that are not kept yet and returns how many they were. Sums change by those alone, in the
    /// same transaction.
    pub async fn add_usage(
        &self,
        source: UsageSource<'_>,
        events: &[UsageEvent],
        now: i64,
    ) -> Result<usize> {
        self.add_usages(&[(source, events)], now).await
    }

    /// As `add_usage` for several sources, all in one transaction.
    pub async fn add_usages(
        &self,
        batches: &[(UsageSource<'_>, &[UsageEvent])],
        now: i64,
    ) -> Result<usize> {
        let mut calls: Vec<Call<'_>> = batches
            .iter()
            .flat_map(|(source, events)| events.iter().map(|event| (*source, event)))
            .map(|(source, event)| Call { source, event })
            .collect();
        if calls.is_empty() {
            return Ok(0);
        }
        // The first of those that are one call stays.
        calls.sort_by(|one, other| one.key().cmp(&other.key()));
        calls.dedup_by(|one, other| one.key() == other.key());
        // Mostly all are new, and the database need not say which: it says so row by row.
        if let Some(added) = self.add_all(&calls, now, Mostly::New).await? {
            return Ok(added);
        }
        let added = self.add_all(&calls, now, Mostly::Repeated).await?;
        Ok(added.unwrap_or_default())
    }

    /// In one transaction. `None`, and nothing is added, when not all are new although they were said to be.
    async fn add_all(&self, calls: &[Call<'_>], now: i64, mostly: Mostly) -> Result<Option<usize>> {
        let mut transaction = self.begin().await?;
        let mut kept = Vec::with_capacity(calls.len());
        for part in calls.chunks(ROWS) {
            let insert = insert(self.kind, part, now, mostly)?;
            if mostly == Mostly::New {
                let new = insert.execute(&mut *transaction).await?.rows_affected();
                if new < part.len() as u64 {
                    transaction.rollback().await?;
                    return Ok(None);
                }
                kept.extend(part);
                continue;
            }
            let rows = insert.fetch_all(&mut *transaction).await?;
            let new = rows.iter().map(|row| {
                let (tenant_id, at) = (row.try_get("tenant_id")?, row.try_get("at")?);
                Ok((tenant_id, at, row.try_get("id")?))
            });
            let new: HashSet<(&str, i64, &str)> = new.collect::<Result<_>>()?;
            kept.extend(part.iter().filter(|call| new.contains(&call.key())));
        }
        self.add_sums(&mut transaction, &kept).await?;
        transaction.commit().await?;
        Ok(Some(kept.len()))
    }

    async fn add_sums(
        &self,
        transaction: &mut Transaction<'static, Any>,
        kept: &[Call<'_>],
    ) -> Result<()> {
        let by_client = summed(kept.iter().map(Call::added), HOUR);
        let named = self.named_clients(transaction, &by_client).await?;
        let hours = summed(by_client.into_iter().map(|sum| named.renamed(sum)), HOUR);
        let days = summed(hours.iter().copied(), DAY);
        for (table, start, sums) in [("usage_hours", "hour", hours), ("usage_days", "day", days)] {
            let statement = format!(
                "INSERT INTO {table} (tenant_id, {start}, tool, status, client, origin, calls, duration_ms, bytes) \
                 SELECT {} FROM {} WHERE true \
                 ON CONFLICT (tenant_id, {start}, tool, status, client, origin) DO UPDATE SET \
                   calls = {table}.calls + excluded.calls, duration_ms = {table}.duration_ms + excluded.duration_ms, \
                   bytes = {table}.bytes + excluded.bytes",
                columns(self.kind, "value", &SUM),
                elements(self.kind, "$1"),
            );
            for part in sums.chunks(ROWS) {
                sqlx::query(AssertSqlSafe(statement.as_str()))
                    .bind(json(part.iter().map(Added::row))?)
                    .execute(&mut **transaction)
                    .await?;
            }
        }
        Ok(())
    }

    /// The clients that have sums of their own; new ones are noted while there is room in their day. Batches at the same
    /// moment may each take the last place on PostgreSQL.
    async fn named_clients(
        &self,
        transaction: &mut Transaction<'static, Any>,
        sums: &[Added<'_>],
    ) -> Result<Named> {
        let seen: BTreeSet<(&str, i64, &str)> = sums
            .iter()
            .map(|sum| (sum.tenant_id, start_of(sum.start, DAY), sum.client))
            .collect();
        let mut days: Vec<(&str, i64)> = seen
            .iter()
            .map(|(tenant, day, _)| (*tenant, *day))
            .collect();
        days.dedup();
        let mut named = Named::default();
        let known = format!(
            "SELECT known.tenant_id, known.day, known.client FROM (SELECT {} FROM {}) AS asked \
             CROSS JOIN usage_clients AS known WHERE known.tenant_id = asked.tenant_id AND known.day = asked.day",
            columns(self.kind, "value", &CLIENT[..2]),
            elements(self.kind, "$1"),
        );
        for part in days.chunks(ROWS) {
            let rows = sqlx::query(AssertSqlSafe(known.as_str()))
                .bind(json(part.iter())?)
                .fetch_all(&mut **transaction)
                .await?;
            for row in &rows {
                let of_day = named.of_day(row.try_get("tenant_id")?, row.try_get("day")?);
                of_day.insert(row.try_get("client")?);
            }
        }
        let mut new = Vec::new();
        for (tenant_id, day, client) in seen {
            let of_day = named.of_day(tenant_id, day);
            if of_day.len() < CLIENTS_A_DAY && of_day.insert(client.to_owned()) {
                new.push((tenant_id, day, client));
            }
        }
        let note = format!(
            "INSERT INTO usage_clients (tenant_id, day, client) SELECT {} FROM {} WHERE true \
             ON CONFLICT (tenant_id, day, client) DO NOTHING",
            columns(self.kind, "value", &CLIENT),
            elements(self.kind, "$1"),
        );
        for part in new.chunks(ROWS) {
            sqlx::query(AssertSqlSafe(note.as_str()))
                .bind(json(part.iter())?)
                .execute(&mut **transaction)
                .await?;
        }
        Ok(named)
    }
}

/// Clients that have sums of their own, by day and company.
#[derive(Debug, Default)]
struct Named(HashMap<i64, HashMap<String, HashSet<String>>>);

impl Named {
    fn of_day(&mut self, tenant_id: &str, day: i64) -> &mut HashSet<String> {
        let of_day = self.0.entry(day).or_default();
        of_day.entry(tenant_id.to_owned()).or_default()
    }

    /// The sum under the name that its client has in its day.
    fn renamed<'a>(&self, sum: Added<'a>) -> Added<'a> {
        let of_day = self.0.get(&start_of(sum.start, DAY));
        let clients = of_day.and_then(|of_day| of_day.get(sum.tenant_id));
        let is_named = clients.is_some_and(|clients| clients.contains(sum.client));
        let client = if is_named { sum.client } else { OTHER };
        Added { client, ..sum }
    }
}

/// Adds those events that are not there yet; repeated ones are told from new ones by the keys that come back.
fn insert(
    kind: Kind,
    calls: &[Call<'_>],
    now: i64,
    mostly: Mostly,
) -> Result<Query<'static, Any, AnyArguments>> {
    let mut groups = BTreeMap::<Group<'_>, Vec<Call<'_>>>::new();
    for call in calls {
        groups.entry(call.group()).or_default().push(*call);
    }
    let groups = json(groups.iter().map(|(group, calls)| group.row(calls)))?;
    let (of_group, of_event) = (
        columns(kind, "value", &GROUP),
        columns(kind, "event.value", &EVENT),
    );
    let (all, calls) = (elements(kind, "$2"), elements(kind, "one.calls"));
    let order = match kind {
        Kind::Sqlite => "",
        // Others write at the same time.
        Kind::Postgres => "ORDER BY tenant_id, at, id",
    };
    let returning = match mostly {
        Mostly::New => "",
        Mostly::Repeated => "RETURNING tenant_id, at, id",
    };
    let insert = sqlx::query(AssertSqlSafe(format!(
        "WITH one AS MATERIALIZED (SELECT {of_group} FROM {all}) \
         INSERT INTO usage_events (received_at, tenant_id, token_id, member_id, origin, \
           id, at, duration_ms, bytes, tool, endpoint, status, client, era) \
         SELECT $1, tenant_id, token_id, member_id, origin, {of_event}, tool, endpoint, status, client, era \
         FROM one, {calls} AS event WHERE true {order} \
         ON CONFLICT (tenant_id, at, id) DO NOTHING {returning}"
    )));
    Ok(insert.bind(now).bind(groups))
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

/// The sums of hours or days, of this length in ms, in the order of their keys.
fn summed<'a>(parts: impl Iterator<Item = Added<'a>>, length: i64) -> Vec<Added<'a>> {
    let mut sums = BTreeMap::<_, Added<'a>>::new();
    for part in parts {
        let start = start_of(part.start, length);
        let key = (
            part.tenant_id,
            start,
            part.tool,
            part.status,
            part.client,
            part.origin,
        );
        sums.entry(key)
            .and_modify(|sum| {
                sum.calls += part.calls;
                sum.duration_ms += part.duration_ms;
                sum.bytes += part.bytes;
            })
            .or_insert(Added { start, ..part });
    }
    sums.into_values().collect()
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

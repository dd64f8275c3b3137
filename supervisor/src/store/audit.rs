//! Who changed what, and when. Entries are only ever added.

use std::fmt::Write as _;

use sqlx::{AnyConnection, Row as _};

use super::{Result, Row, Store, companies::patterns};
use crate::ids;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: i64,
    /// An operator's or member's address, `cli` with the system user, or `system`.
    pub actor: String,
    /// Such as `tenant.suspend`.
    pub action: String,
    pub tenant_id: Option<String>,
    /// The value before and after, without secrets.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Which entries; what is empty does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traces<'a> {
    pub tenant_id: &'a str,
    /// Part of who did it.
    pub actor: &'a str,
    pub action: &'a str,
}

impl Store {
    /// A page of entries with the names of their companies, the newest first; a deleted company has no name any more.
    pub async fn traces(
        &self,
        which: Traces<'_>,
        (offset, limit): (i64, i64),
    ) -> Result<Vec<(Entry, Option<String>)>> {
        let mut conditions = String::from("1 = 1");
        let mut values = Vec::new();
        let [actor, _] = patterns(which.actor);
        for (condition, value, is_asked) in [
            ("tenant_id = ", which.tenant_id, !which.tenant_id.is_empty()),
            ("action = ", which.action, !which.action.is_empty()),
            ("LOWER(actor) LIKE ", &*actor, !which.actor.is_empty()),
        ] {
            if is_asked {
                values.push(value.to_owned());
                let _ = write!(conditions, " AND {condition}${}", values.len() + 2);
                if condition.ends_with("LIKE ") {
                    conditions += " ESCAPE '!'";
                }
            }
        }
        let mut query = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT at, actor, action, tenant_id, before, after, \
             (SELECT company FROM tenants WHERE tenants.id = audit.tenant_id) AS company \
             FROM audit WHERE {conditions} ORDER BY at DESC, id LIMIT $1 OFFSET $2"
        )))
        .bind(limit)
        .bind(offset);
        for value in values {
            query = query.bind(value);
        }
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| Ok((entry(row)?, row.try_get("company")?)))
            .collect()
    }

    pub async fn note(&self, entry: &Entry) -> Result<()> {
        add(&mut *self.pool.acquire().await?, entry).await
    }

    /// The newest entries first, of one tenant or of all.
    pub async fn entries(&self, tenant_id: Option<&str>, limit: i64) -> Result<Vec<Entry>> {
        let query = match tenant_id {
            Some(id) => sqlx::query(
                "SELECT at, actor, action, tenant_id, before, after FROM audit \
                 WHERE tenant_id = $2 ORDER BY at DESC, id LIMIT $1",
            )
            .bind(limit)
            .bind(id),
            None => sqlx::query(
                "SELECT at, actor, action, tenant_id, before, after FROM audit ORDER BY at DESC, id LIMIT $1",
            )
            .bind(limit),
        };
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter().map(entry).collect()
    }
}

/// Adds an entry within the transaction of the change.
pub(super) async fn add(connection: &mut AnyConnection, entry: &Entry) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit (id, at, actor, action, tenant_id, before, after) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(ids::new("aud")?)
    .bind(entry.at)
    .bind(&entry.actor)
    .bind(&entry.action)
    .bind(&entry.tenant_id)
    .bind(&entry.before)
    .bind(&entry.after)
    .execute(connection)
    .await?;
    Ok(())
}

fn entry(row: &Row) -> Result<Entry> {
    Ok(Entry {
        at: row.try_get("at")?,
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        tenant_id: row.try_get("tenant_id")?,
        before: row.try_get("before")?,
        after: row.try_get("after")?,
    })
}

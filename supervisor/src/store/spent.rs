//! Who holds a token, and what its company has spent of its tier.

use std::sync::atomic::Ordering;

use sqlx::{Any, AnyConnection, AssertSqlSafe, Row as _, any::AnyArguments, query::Query};

use super::{Kind, Result, Row, Store, Tenant, Token, tokens};
use crate::{
    config::Tier,
    rate::{self, CALL, DAY, SET_BACK, Spent, Verdict, day_of},
};

/// What a call is to be counted as; it counts only if the company still has this tier and these limits.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    pub tier_name: &'a str,
    pub limits: Option<&'a str>,
    pub tier: Tier,
}

/// A token that is good, and its company.
#[derive(Clone, Debug)]
pub struct Holder {
    pub token: Token,
    pub tenant: Tenant,
    /// The address that a client's token was given for; it is good nowhere else.
    pub resource: Option<String>,
}

/// Notices that anybody has written to an SQLite file.
#[derive(Debug)]
pub struct Watch {
    connection: AnyConnection,
    version: i64,
}

/// Tokens of one shape: those given out as such, and those of clients that people let in, whose id is the
/// connection's, while the connection and its person are good.
const TOKENS: &str = "(SELECT id, tenant_id, member_id, kind, name, client, form, scopes, created_at, expires_at, last_used_at, \
      used_at, revoked_at, CAST(NULL AS TEXT) AS resource FROM tokens WHERE hash = $1 \
    UNION ALL SELECT f.id, f.tenant_id, f.member_id, 'bearer', f.client_name, f.client_name, 'remote', \
      CASE WHEN a.scopes LIKE '%sf:write%' AND m.scopes LIKE '%sf:write%' THEN 'sf:read sf:write' ELSE 'sf:read' END, \
      f.created_at, CASE WHEN f.expires_at < a.expires_at THEN f.expires_at ELSE a.expires_at END, f.last_used_at, \
      CAST(NULL AS BIGINT), f.revoked_at, f.resource \
    FROM oauth_access_tokens a JOIN oauth_families f ON f.id = a.family_id \
      JOIN members m ON m.id = f.member_id AND m.tenant_id = f.tenant_id AND m.removed_at IS NULL \
    WHERE a.hash = $1) k";
const HOLDER: &str = "k.id, k.tenant_id, k.member_id, k.kind, k.name, k.client, k.form, k.scopes, k.created_at, \
    k.expires_at, k.last_used_at, k.used_at, k.revoked_at, k.resource, n.company, n.tier, n.limits, n.note, \
    n.created_at AS since, n.activated_at, n.suspended_at, n.suspended_why, n.seen_at, n.time_zone, n.setup";
const GOOD: &str =
    "k.revoked_at IS NULL AND k.used_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)";

impl Store {
    /// The holder of the token with that hash, unless the token is revoked, used up or expired.
    pub async fn holder(&self, hash: &str, now: i64) -> Result<Option<Holder>> {
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT {HOLDER} FROM {TOKENS} JOIN tenants n ON n.id = k.tenant_id WHERE {GOOD}"
        )))
        .bind(hash)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(holder).transpose()
    }

    /// As `holder`, and judges and counts one call, all in one statement that replicas cannot interleave (PostgreSQL).
    /// The company is not charged when it is suspended or its tier is another by now.
    pub async fn charge(
        &self,
        hash: &str,
        charge: Charge<'_>,
        now: i64,
    ) -> Result<Option<(Holder, Option<(Spent, Verdict)>)>> {
        let row = charging(hash, charge, now)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some((holder(&row)?, charged(&row)?)))
    }

    /// Calls of a company that its tier let in on the UTC day of `now`, by what has been written of them.
    pub async fn hosted_calls_on(&self, tenant_id: &str, now: i64) -> Result<i64> {
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(calls), 0) AS BIGINT) FROM usage_days \
             WHERE tenant_id = $1 AND day = $2 AND origin = 'hosted' AND status <> 'rate_limited'",
        )
        .bind(tenant_id)
        .bind(day_of(now))
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get(0)?)
    }

    /// Notes when tokens and their companies were last used.
    pub async fn touch(&self, tokens: &[String], tenants: &[String], now: i64) -> Result<()> {
        for (table, column, ids) in [
            ("tokens", "last_used_at", tokens),
            ("oauth_families", "last_used_at", tokens),
            ("tenants", "seen_at", tenants),
        ] {
            for part in ids.chunks(500) {
                let places: Vec<String> = (2..part.len() + 2).map(|n| format!("${n}")).collect();
                let mut query = sqlx::query(AssertSqlSafe(format!(
                    "UPDATE {table} SET {column} = $1 WHERE id IN ({})",
                    places.join(", ")
                )))
                .persistent(false)
                .bind(now);
                for id in part {
                    query = query.bind(id);
                }
                query.execute(&self.pool).await?;
            }
        }
        Ok(())
    }

    /// How often this process has changed who may come in; what was read before a change may be out of date.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// To be called once a change of a token or a company is committed.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// On PostgreSQL there is nothing to watch: each request asks it.
    pub async fn watch(&self) -> Result<Option<Watch>> {
        if self.kind == Kind::Postgres {
            return Ok(None);
        }
        let mut watch = Watch {
            connection: self.pool.acquire().await?.detach(),
            version: 0,
        };
        watch.differs().await?;
        Ok(Some(watch))
    }
}

impl Watch {
    /// Whether anybody but this connection has committed since the last look.
    pub async fn differs(&mut self) -> Result<bool> {
        let row = sqlx::query("SELECT data_version FROM pragma_data_version()")
            .fetch_one(&mut self.connection)
            .await?;
        let version = row.try_get(0)?;
        Ok(std::mem::replace(&mut self.version, version) != version)
    }
}

fn charging<'q>(hash: &'q str, charge: Charge<'q>, now: i64) -> Query<'q, Any, AnyArguments> {
    // The debt by now, the calls of the day, and whether one more is let in.
    let debt = format!("GREATEST(0, s.debt - LEAST(GREATEST($2 - s.at, 0), {DAY}) * $6 * 50 / 3)");
    let calls = format!("CASE WHEN s.day IN ($3, $3 + {DAY}) THEN s.calls ELSE 0 END");
    let fits = format!("{debt} + {CALL} <= $7 * {CALL} AND {calls} < $8");
    sqlx::query(AssertSqlSafe(format!(
        "WITH who AS (SELECT {HOLDER} FROM {TOKENS} JOIN tenants n ON n.id = k.tenant_id WHERE {GOOD}), \
         charged AS (INSERT INTO spent AS s (tenant_id, debt, at, day, calls, verdict) \
           SELECT tenant_id, {CALL}, $2, $3, 1, 0 FROM who \
           WHERE suspended_at IS NULL AND tier = $4 AND COALESCE(limits, '') = $5 \
           ON CONFLICT (tenant_id) DO UPDATE SET \
             debt = CASE WHEN {fits} THEN {debt} + {CALL} ELSE s.debt END, \
             at = CASE WHEN NOT ({fits}) THEN s.at WHEN s.at > $2 + {SET_BACK} THEN $2 ELSE GREATEST(s.at, $2) END, \
             day = CASE WHEN s.day = $3 + {DAY} OR NOT ({fits}) THEN s.day ELSE $3 END, \
             calls = CASE WHEN {fits} THEN {calls} + 1 ELSE s.calls END, \
             verdict = CASE WHEN {fits} THEN 0 WHEN {calls} >= $8 THEN 2 ELSE 1 END \
           RETURNING s.debt, s.at, s.day, s.calls, s.verdict) \
         SELECT who.*, charged.* FROM who LEFT JOIN charged ON TRUE"
    )))
    .bind(hash)
    .bind(now)
    .bind(day_of(now))
    .bind(charge.tier_name)
    .bind(charge.limits.unwrap_or_default())
    .bind(rate::per_minute(charge.tier))
    .bind(rate::burst(charge.tier))
    .bind(i64::from(charge.tier.per_day))
}

fn charged(row: &Row) -> Result<Option<(Spent, Verdict)>> {
    let Some(verdict) = row.try_get::<Option<i64>, _>("verdict")? else {
        return Ok(None);
    };
    let spent = Spent {
        debt: row.try_get("debt")?,
        at: row.try_get("at")?,
        day: row.try_get("day")?,
        calls: row.try_get("calls")?,
    };
    let verdict = match verdict {
        0 => Verdict::LetIn,
        1 => Verdict::TooFast,
        _ => Verdict::EnoughToday,
    };
    Ok(Some((spent, verdict)))
}

fn holder(row: &Row) -> Result<Holder> {
    Ok(Holder {
        token: tokens::token(row)?,
        resource: row.try_get("resource")?,
        tenant: Tenant {
            id: row.try_get("tenant_id")?,
            company: row.try_get("company")?,
            tier: row.try_get("tier")?,
            limits: row.try_get("limits")?,
            note: row.try_get("note")?,
            created_at: row.try_get("since")?,
            activated_at: row.try_get("activated_at")?,
            suspended_at: row.try_get("suspended_at")?,
            suspended_why: row.try_get("suspended_why")?,
            seen_at: row.try_get("seen_at")?,
            time_zone: row.try_get("time_zone")?,
            setup: row.try_get("setup")?,
        },
    })
}

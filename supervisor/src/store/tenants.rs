//! Companies.

use sqlx::Row as _;

use super::{Result, Row, Store};

/// One company.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub id: String,
    pub company: String,
    /// The name of a tier in the configuration.
    pub tier: String,
    /// What differs from the tier, as JSON.
    pub limits: Option<String>,
    /// The operator's own words.
    pub note: String,
    pub created_at: i64,
    /// Its credentials were proven for the first time.
    pub activated_at: Option<i64>,
    pub suspended_at: Option<i64>,
    pub suspended_why: Option<String>,
    /// Its last request.
    pub seen_at: Option<i64>,
    /// IANA name; unknown until somebody says it.
    pub time_zone: Option<String>,
    /// Grows with what its sf-mcp must be started anew for.
    pub setup: i64,
}

pub(super) const COLUMNS: &str = "id, company, tier, limits, note, created_at, activated_at, suspended_at, suspended_why, seen_at, time_zone, setup";

/// What a company's sf-mcp is started for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup<'a> {
    /// Grows with every change.
    pub number: i64,
    pub time_zone: Option<&'a str>,
}

impl Tenant {
    pub fn setup(&self) -> Setup<'_> {
        Setup {
            number: self.setup,
            time_zone: self.time_zone.as_deref(),
        }
    }
}

impl Store {
    pub async fn tenant(&self, id: &str) -> Result<Option<Tenant>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM tenants WHERE id = $1"
        )))
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(tenant).transpose()
    }

    /// The company that the address owns, the oldest of several.
    pub async fn owned_tenant(&self, email: &str) -> Result<Option<Tenant>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM tenants WHERE id = (SELECT tenant_id FROM members WHERE email = $1 \
             AND role = 'owner' AND removed_at IS NULL ORDER BY created_at, id LIMIT 1)"
        )))
        .bind(email)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(tenant).transpose()
    }

    /// A sign-up that was begun again may have another name; a company that is in use keeps its own.
    pub async fn rename_inactive(&self, id: &str, company: &str) -> Result<()> {
        sqlx::query("UPDATE tenants SET company = $2 WHERE id = $1 AND activated_at IS NULL")
            .bind(id)
            .bind(company)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Notes a request of the tenant, at most once a minute.
    pub async fn touch_tenant(&self, id: &str, now: i64) -> Result<()> {
        sqlx::query(
            "UPDATE tenants SET seen_at = $2 WHERE id = $1 AND (seen_at IS NULL OR seen_at < $3)",
        )
        .bind(id)
        .bind(now)
        .bind(now - 60_000)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

pub(super) fn tenant(row: &Row) -> Result<Tenant> {
    Ok(Tenant {
        id: row.try_get("id")?,
        company: row.try_get("company")?,
        tier: row.try_get("tier")?,
        limits: row.try_get("limits")?,
        note: row.try_get("note")?,
        created_at: row.try_get("created_at")?,
        activated_at: row.try_get("activated_at")?,
        suspended_at: row.try_get("suspended_at")?,
        suspended_why: row.try_get("suspended_why")?,
        seen_at: row.try_get("seen_at")?,
        time_zone: row.try_get("time_zone")?,
        setup: row.try_get("setup")?,
    })
}

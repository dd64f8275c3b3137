//! What operators see of companies and change about them. Each change and its entry in the audit log are one transaction.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _};

use super::{Entry, Error, Result, Row, Store, Tenant, audit, tenants};

/// A company at a glance.
#[derive(Clone, Debug)]
pub struct Overview {
    pub tenant: Tenant,
    /// E-mail addresses, the oldest membership first.
    pub owners: Vec<String>,
    pub state: State,
}

/// Whether a company can make calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its sign-up is not finished.
    New,
    Active,
    /// Service Fusion no longer accepts its credentials.
    Disconnected,
    Suspended,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Active => "active",
            Self::Disconnected => "disconnected",
            Self::Suspended => "suspended",
        }
    }

    pub const ALL: [Self; 4] = [Self::New, Self::Active, Self::Disconnected, Self::Suspended];

    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// From a column `state`.
    pub(super) fn from_row(row: &Row) -> Result<Self> {
        let word: String = row.try_get("state")?;
        Self::named(&word).ok_or(Error::Value {
            what: "a company's state",
            value: word,
        })
    }

    pub fn of(tenant: &Tenant, ended: bool) -> Self {
        match (tenant.suspended_at, tenant.activated_at) {
            (Some(_), _) => Self::Suspended,
            (None, None) => Self::New,
            (None, Some(_)) if ended => Self::Disconnected,
            (None, Some(_)) => Self::Active,
        }
    }
}

/// What an operator does to a company.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// `limits` is what differs from the tier, as JSON.
    Tier {
        tier: &'a str,
        limits: Option<&'a str>,
    },
    Suspend {
        why: &'a str,
    },
    Resume,
    Note(&'a str),
    /// An IANA name.
    TimeZone(&'a str),
    /// With everything that is kept of it but the audit log.
    Delete,
}

impl Change<'_> {
    fn action(self) -> &'static str {
        match self {
            Self::Tier { .. } => "tenant.tier",
            Self::Suspend { .. } => "tenant.suspend",
            Self::Resume => "tenant.resume",
            Self::Note(_) => "tenant.note",
            Self::TimeZone(_) => "tenant.time_zone",
            Self::Delete => "tenant.delete",
        }
    }

    /// What the audit log keeps of the company before and after.
    fn facts(self, tenant: &Tenant) -> Value {
        match self {
            Self::Tier { .. } => {
                json!({"tier": tenant.tier, "limits": parsed(tenant.limits.as_deref())})
            }
            Self::Suspend { .. } | Self::Resume => {
                json!({"suspended": tenant.suspended_at.is_some(), "why": tenant.suspended_why})
            }
            Self::Note(_) => json!({"note": tenant.note}),
            Self::TimeZone(_) => json!({"time_zone": tenant.time_zone}),
            Self::Delete => json!({"company": tenant.company, "tier": tenant.tier}),
        }
    }
}

/// JSON that is kept as text.
pub fn parsed(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// A company before and after a change; after its deletion there is none.
#[derive(Clone, Debug)]
pub struct Changed {
    pub before: Tenant,
    pub after: Option<Tenant>,
    /// `false` when it was so before; then the audit log has no entry.
    pub differs: bool,
}

impl Store {
    /// All companies, the oldest first.
    pub async fn overviews(&self) -> Result<Vec<Overview>> {
        let mut owners = BTreeMap::<String, Vec<String>>::new();
        let rows = sqlx::query(
            "SELECT tenant_id, email FROM members WHERE role = 'owner' AND removed_at IS NULL ORDER BY created_at, id",
        )
        .fetch_all(&self.pool)
        .await?;
        for row in &rows {
            let of = owners.entry(row.try_get("tenant_id")?).or_default();
            of.push(row.try_get("email")?);
        }
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT {}, (SELECT ended FROM credentials WHERE tenant_id = tenants.id) AS ended \
             FROM tenants ORDER BY created_at, id",
            tenants::COLUMNS
        )))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let tenant = tenants::tenant(row)?;
                let ended: Option<String> = row.try_get("ended")?;
                Ok(Overview {
                    owners: owners.remove(&tenant.id).unwrap_or_default(),
                    state: State::of(&tenant, ended.is_some()),
                    tenant,
                })
            })
            .collect()
    }

    /// Changes a company and says so in the audit log; `None` when there is no such company.
    pub async fn change_tenant(
        &self,
        id: &str,
        change: Change<'_>,
        actor: &str,
        now: i64,
    ) -> Result<Option<Changed>> {
        let mut transaction = self.begin().await?;
        // A write that changes nothing: from here on nobody else changes this company.
        let held = AssertSqlSafe(format!(
            "UPDATE tenants SET note = note WHERE id = $1 RETURNING {}",
            tenants::COLUMNS
        ));
        let row = sqlx::query(held).bind(id).fetch_optional(&mut *transaction);
        let Some(before) = row.await?.as_ref().map(tenants::tenant).transpose()? else {
            return Ok(None);
        };
        apply(&mut transaction, id, change, now).await?;
        let look = AssertSqlSafe(format!(
            "SELECT {} FROM tenants WHERE id = $1",
            tenants::COLUMNS
        ));
        let row = sqlx::query(look).bind(id).fetch_optional(&mut *transaction);
        let after = row.await?.as_ref().map(tenants::tenant).transpose()?;
        let facts = |tenant: &Tenant| change.facts(tenant).to_string();
        let (was, is) = (facts(&before), after.as_ref().map(facts));
        let differs = is.as_ref() != Some(&was);
        if differs {
            let entry = Entry {
                at: now,
                actor: actor.to_owned(),
                action: change.action().to_owned(),
                tenant_id: Some(id.to_owned()),
                before: Some(was),
                after: is,
            };
            audit::add(&mut transaction, &entry).await?;
            transaction.commit().await?;
            self.changed();
        }
        Ok(Some(Changed {
            before,
            after,
            differs,
        }))
    }

    /// Revokes one of a company's tokens and says so in the audit log; `false` when it has none such that is not revoked.
    pub async fn revoke_for(
        &self,
        tenant_id: &str,
        id: &str,
        actor: &str,
        now: i64,
    ) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let revoked = sqlx::query(
            "UPDATE tokens SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING name, kind",
        )
        .bind(tenant_id)
        .bind(id)
        .bind(now)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = revoked else {
            return Ok(false);
        };
        let (name, kind): (String, String) = (row.try_get("name")?, row.try_get("kind")?);
        let facts =
            |revoked| json!({"id": id, "name": name, "kind": kind, "revoked": revoked}).to_string();
        let entry = Entry {
            at: now,
            actor: actor.to_owned(),
            action: "device.revoke".to_owned(),
            tenant_id: Some(tenant_id.to_owned()),
            before: Some(facts(false)),
            after: Some(facts(true)),
        };
        audit::add(&mut transaction, &entry).await?;
        transaction.commit().await?;
        self.changed();
        Ok(true)
    }
}

async fn apply(
    connection: &mut sqlx::AnyConnection,
    id: &str,
    change: Change<'_>,
    now: i64,
) -> Result<()> {
    let query = match change {
        Change::Tier { tier, limits } => {
            sqlx::query("UPDATE tenants SET tier = $2, limits = $3 WHERE id = $1")
                .bind(id)
                .bind(tier)
                .bind(limits)
        }
        Change::Suspend { why } => sqlx::query(
            "UPDATE tenants SET suspended_at = COALESCE(suspended_at, $2), suspended_why = $3 WHERE id = $1",
        )
        .bind(id)
        .bind(now)
        .bind(why),
        Change::Resume => {
            sqlx::query("UPDATE tenants SET suspended_at = NULL, suspended_why = NULL WHERE id = $1")
                .bind(id)
        }
        Change::Note(text) => sqlx::query("UPDATE tenants SET note = $2 WHERE id = $1")
            .bind(id)
            .bind(text),
        Change::TimeZone(name) => sqlx::query("UPDATE tenants SET time_zone = $2, setup = setup + 1 WHERE id = $1")
            .bind(id)
            .bind(name),
        Change::Delete => {
            sqlx::query("DELETE FROM codes WHERE email IN (SELECT email FROM members WHERE tenant_id = $1)")
                .bind(id)
                .execute(&mut *connection)
                .await?;
            sqlx::query("DELETE FROM tenants WHERE id = $1").bind(id)
        }
    };
    query.execute(connection).await?;
    Ok(())
}

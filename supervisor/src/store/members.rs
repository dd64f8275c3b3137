//! People of a company, by e-mail address.

use sqlx::Row as _;

use super::{Error, Result, Row, Store};
use crate::ids;

/// What a member may do with the company itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Signed the company up: replaces credentials, invites, exports, deletes.
    Owner,
    Member,
}

impl Role {
    pub fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Owner, Self::Member]
            .into_iter()
            .find(|role| role.word() == word)
    }
}

#[derive(Clone, Debug)]
pub struct Member {
    pub id: String,
    pub tenant_id: String,
    /// In lower case.
    pub email: String,
    pub role: Role,
    /// Separated by spaces.
    pub scopes: String,
    pub created_at: i64,
}

impl Member {
    pub fn is_owner(&self) -> bool {
        self.role == Role::Owner
    }
}

const COLUMNS: &str = "id, tenant_id, email, role, scopes, created_at";

impl Store {
    /// Makes a company with its owner.
    pub async fn add_tenant(
        &self,
        company: &str,
        owner: &str,
        tier: &str,
        now: i64,
    ) -> Result<Member> {
        let (tenant_id, member_id) = (ids::new("ten")?, ids::new("mem")?);
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO tenants (id, company, tier, note, created_at) VALUES ($1, $2, $3, '', $4)",
        )
        .bind(&tenant_id)
        .bind(company)
        .bind(tier)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO members (id, tenant_id, email, role, scopes, created_at) VALUES ($1, $2, $3, 'owner', 'sf:read sf:write', $4)",
        )
        .bind(&member_id)
        .bind(&tenant_id)
        .bind(owner)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Member {
            id: member_id,
            tenant_id,
            email: owner.to_owned(),
            role: Role::Owner,
            scopes: "sf:read sf:write".to_owned(),
            created_at: now,
        })
    }

    /// The memberships of an address, the oldest first.
    pub async fn memberships(&self, email: &str) -> Result<Vec<Member>> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM members WHERE email = $1 AND removed_at IS NULL ORDER BY created_at, id"
        )))
        .bind(email)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(member).collect()
    }

    /// The people of a company, the oldest first.
    pub async fn members(&self, tenant_id: &str) -> Result<Vec<Member>> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM members WHERE tenant_id = $1 AND removed_at IS NULL ORDER BY created_at, id"
        )))
        .bind(tenant_id)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(member).collect()
    }

    pub async fn member(&self, tenant_id: &str, id: &str) -> Result<Option<Member>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM members WHERE tenant_id = $1 AND id = $2 AND removed_at IS NULL"
        )))
        .bind(tenant_id)
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(member).transpose()
    }
}

fn member(row: &Row) -> Result<Member> {
    let role: String = row.try_get("role")?;
    Ok(Member {
        id: row.try_get("id")?,
        tenant_id: row.try_get("tenant_id")?,
        email: row.try_get("email")?,
        role: Role::from_word(&role).ok_or(Error::Value {
            what: "a member's role",
            value: role,
        })?,
        scopes: row.try_get("scopes")?,
        created_at: row.try_get("created_at")?,
    })
}

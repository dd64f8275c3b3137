//! People of a company, by e-mail address.

use serde_json::json;
use sqlx::Row as _;

use super::{Entry, Error, Result, Row, Store, audit};
use crate::{ids, scopes};

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

    /// Lets an address into a company, perhaps again; `None` when it is in already.
    pub async fn invite(
        &self,
        tenant_id: &str,
        email: &str,
        scopes: &str,
        actor: &str,
        now: i64,
    ) -> Result<Option<Member>> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "INSERT INTO members (id, tenant_id, email, role, scopes, created_at) VALUES ($1, $2, $3, 'member', $4, $5) \
             ON CONFLICT (tenant_id, email) DO UPDATE SET id = excluded.id, role = excluded.role, scopes = excluded.scopes, \
             created_at = excluded.created_at, removed_at = NULL WHERE members.removed_at IS NOT NULL RETURNING {COLUMNS}"
        )))
        .bind(ids::new("mem")?)
        .bind(tenant_id)
        .bind(email)
        .bind(scopes)
        .bind(now)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(invited) = row.as_ref().map(member).transpose()? else {
            return Ok(None);
        };
        let entry = Entry {
            at: now,
            actor: actor.to_owned(),
            action: "member.invite".to_owned(),
            tenant_id: Some(tenant_id.to_owned()),
            before: None,
            after: Some(
                json!({"member": invited.id, "email": email, "scopes": scopes}).to_string(),
            ),
        };
        audit::add(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(Some(invited))
    }

    /// Gives a person another role or other scopes; `false` when that would leave the company without an owner. Less
    /// holds for all that is theirs at once.
    pub async fn change_member(
        &self,
        before: &Member,
        after: &Member,
        actor: &str,
        now: i64,
    ) -> Result<bool> {
        let mut transaction = self.begin().await?;
        // A write that changes nothing: of two owners who demote one another at once, one comes second.
        sqlx::query("UPDATE tenants SET note = note WHERE id = $1")
            .bind(&before.tenant_id)
            .execute(&mut *transaction)
            .await?;
        let changed = sqlx::query(
            "UPDATE members SET role = $3, scopes = $4 WHERE tenant_id = $1 AND id = $2 AND removed_at IS NULL \
             AND ($3 = 'owner' OR role <> 'owner' OR EXISTS (SELECT 1 FROM members o WHERE o.tenant_id = $1 \
             AND o.id <> $2 AND o.role = 'owner' AND o.removed_at IS NULL))",
        )
        .bind(&before.tenant_id)
        .bind(&before.id)
        .bind(after.role.word())
        .bind(&after.scopes)
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() != 1 {
            return Ok(false);
        }
        if !scopes::writes(&after.scopes) {
            read_only(&mut transaction, after).await?;
        }
        let facts = |member: &Member| {
            let (role, scopes) = (member.role.word(), &member.scopes);
            json!({"member": member.id, "email": member.email, "role": role, "scopes": scopes})
                .to_string()
        };
        let entry = Entry {
            at: now,
            actor: actor.to_owned(),
            action: "member.change".to_owned(),
            tenant_id: Some(before.tenant_id.clone()),
            before: Some(facts(before)),
            after: Some(facts(after)),
        };
        audit::add(&mut transaction, &entry).await?;
        transaction.commit().await?;
        self.changed();
        Ok(true)
    }

    /// Takes a person out of a company, with all tokens that are theirs; `false` when there is no such member.
    pub async fn remove_member(&self, member: &Member, actor: &str, now: i64) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let removed = sqlx::query(
            "UPDATE members SET removed_at = $3 WHERE tenant_id = $1 AND id = $2 AND role <> 'owner' AND removed_at IS NULL",
        )
        .bind(&member.tenant_id)
        .bind(&member.id)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        if removed.rows_affected() != 1 {
            return Ok(false);
        }
        for statement in [
            "UPDATE tokens SET revoked_at = $3 WHERE tenant_id = $1 AND member_id = $2 AND revoked_at IS NULL",
            "UPDATE oauth_families SET revoked_at = $3, revoked_why = 'the person was removed', successor = NULL \
             WHERE tenant_id = $1 AND member_id = $2 AND revoked_at IS NULL",
        ] {
            sqlx::query(statement)
                .bind(&member.tenant_id)
                .bind(&member.id)
                .bind(now)
                .execute(&mut *transaction)
                .await?;
        }
        let entry = Entry {
            at: now,
            actor: actor.to_owned(),
            action: "member.remove".to_owned(),
            tenant_id: Some(member.tenant_id.clone()),
            before: Some(json!({"member": member.id, "email": member.email}).to_string()),
            after: None,
        };
        audit::add(&mut transaction, &entry).await?;
        transaction.commit().await?;
        self.changed();
        Ok(true)
    }
}

/// Takes the right to create from everything that a person has.
async fn read_only(connection: &mut sqlx::AnyConnection, member: &Member) -> Result<()> {
    for statement in [
        "UPDATE tokens SET scopes = $3 WHERE tenant_id = $1 AND member_id = $2 AND scopes <> ''",
        "UPDATE oauth_families SET scopes = $3 WHERE tenant_id = $1 AND member_id = $2",
        "UPDATE oauth_access_tokens SET scopes = $3 WHERE family_id IN \
         (SELECT id FROM oauth_families WHERE tenant_id = $1 AND member_id = $2)",
    ] {
        sqlx::query(statement)
            .bind(&member.tenant_id)
            .bind(&member.id)
            .bind(scopes::READ)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
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

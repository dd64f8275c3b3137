//! Consents and their tokens. A family is one consent with all the tokens that came of it; it ends as a whole.

use serde_json::json;
use sqlx::{AnyConnection, Row as _};

use super::{Entry, Result, Row, Store, audit};

/// A consent.
#[derive(Clone, Debug)]
pub struct Family {
    pub id: String,
    pub tenant_id: String,
    pub member_id: String,
    pub client_id: String,
    pub client_name: String,
    /// Of the client's document, else of its redirect address.
    pub client_host: String,
    pub scopes: String,
    pub resource: String,
    /// How many refresh tokens there were.
    pub generation: i64,
    pub created_at: i64,
    /// Without a refresh it ends then.
    pub idle_until: i64,
    /// It ends then in any case.
    pub expires_at: i64,
    pub last_used_at: Option<i64>,
    pub revoked_at: Option<i64>,
    pub revoked_why: Option<String>,
}

/// A code as it is stored.
#[derive(Clone, Debug)]
pub struct NewCode<'a> {
    pub hash: &'a str,
    pub redirect_uri: &'a str,
    pub challenge: &'a str,
    pub expires_at: i64,
}

/// A code that was taken: nobody can take it again.
#[derive(Clone, Debug)]
pub struct TakenCode {
    pub family_id: String,
    pub redirect_uri: String,
    pub challenge: String,
}

/// Hashes of new tokens, and the refresh token sealed.
#[derive(Clone, Debug)]
pub struct Issue<'a> {
    pub access_hash: &'a str,
    pub access_until: i64,
    pub scopes: &'a str,
    pub refresh_hash: &'a str,
    pub successor: &'a str,
    pub key_id: &'a str,
    pub idle_until: i64,
    pub now: i64,
}

/// The refresh token that took the place of one with grace.
#[derive(Clone, Debug)]
pub struct Successor {
    pub sealed: String,
    pub key_id: String,
}

const COLUMNS: &str = "f.id, f.tenant_id, f.member_id, f.client_id, f.client_name, f.client_host, f.scopes, f.resource, \
                       f.generation, f.created_at, f.idle_until, f.expires_at, f.last_used_at, f.revoked_at, f.revoked_why";

impl Store {
    /// Keeps a consent and the code that leads to it.
    pub async fn add_family(&self, family: &Family, code: &NewCode<'_>) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO oauth_families (id, tenant_id, member_id, client_id, client_name, client_host, scopes, resource, \
             generation, grace_uses, created_at, idle_until, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, $9, $10, $11)",
        )
        .bind(&family.id)
        .bind(&family.tenant_id)
        .bind(&family.member_id)
        .bind(&family.client_id)
        .bind(&family.client_name)
        .bind(&family.client_host)
        .bind(&family.scopes)
        .bind(&family.resource)
        .bind(family.created_at)
        .bind(family.idle_until)
        .bind(family.expires_at)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO oauth_codes (hash, family_id, redirect_uri, challenge, expires_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(code.hash)
        .bind(&family.id)
        .bind(code.redirect_uri)
        .bind(code.challenge)
        .bind(code.expires_at)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Takes a code, once and in time.
    pub async fn take_oauth_code(&self, hash: &str, now: i64) -> Result<Option<TakenCode>> {
        let row = sqlx::query(
            "UPDATE oauth_codes SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 \
             RETURNING family_id, redirect_uri, challenge",
        )
        .bind(hash)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(TakenCode {
                family_id: row.try_get("family_id")?,
                redirect_uri: row.try_get("redirect_uri")?,
                challenge: row.try_get("challenge")?,
            })
        })
        .transpose()
    }

    /// The family of a code that was taken before.
    pub async fn family_of_used_code(&self, hash: &str) -> Result<Option<String>> {
        let row = sqlx::query(
            "SELECT family_id FROM oauth_codes WHERE hash = $1 AND used_at IS NOT NULL",
        )
        .bind(hash)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| row.try_get("family_id")).transpose()?)
    }

    pub async fn family(&self, id: &str) -> Result<Option<Family>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM oauth_families f WHERE f.id = $1"
        )))
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(family).transpose()
    }

    /// The family that a refresh token belongs to or once belonged to.
    pub async fn family_of_refresh(&self, hash: &str) -> Result<Option<Family>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM oauth_refresh_tokens r JOIN oauth_families f ON f.id = r.family_id WHERE r.hash = $1"
        )))
        .bind(hash)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(family).transpose()
    }

    /// A company's consents that are in use, the newest first.
    pub async fn families_of(&self, tenant_id: &str, now: i64) -> Result<Vec<Family>> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM oauth_families f WHERE f.tenant_id = $1 AND f.generation > 0 AND f.revoked_at IS NULL \
             AND f.idle_until > $2 AND f.expires_at > $2 ORDER BY f.created_at DESC, f.id"
        )))
        .bind(tenant_id)
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(family).collect()
    }

    /// New tokens in the place of the refresh token with the hash `before`, or of none for a family that has had none;
    /// `false` when somebody else was quicker, or the family has ended.
    pub async fn rotate(&self, id: &str, before: Option<&str>, issue: &Issue<'_>) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let rotated = sqlx::query(
            "UPDATE oauth_families SET generation = generation + 1, previous_hash = refresh_hash, refresh_hash = $3, \
             rotated_at = $4, successor = $5, key_id = $6, grace_uses = 0, idle_until = $7, last_used_at = $4 \
             WHERE id = $1 AND COALESCE(refresh_hash, '') = $2 AND revoked_at IS NULL AND idle_until > $4 AND expires_at > $4",
        )
        .bind(id)
        .bind(before.unwrap_or_default())
        .bind(issue.refresh_hash)
        .bind(issue.now)
        .bind(issue.successor)
        .bind(issue.key_id)
        .bind(issue.idle_until)
        .execute(&mut *transaction)
        .await?;
        if rotated.rows_affected() != 1 {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO oauth_refresh_tokens (hash, family_id, created_at) VALUES ($1, $2, $3)",
        )
        .bind(issue.refresh_hash)
        .bind(id)
        .bind(issue.now)
        .execute(&mut *transaction)
        .await?;
        add_access(&mut transaction, id, issue).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// A further access token for whoever repeats the last but one refresh token within its grace, a few times.
    pub async fn repeat(
        &self,
        id: &str,
        before: &str,
        since: i64,
        most: i64,
        issue: &Issue<'_>,
    ) -> Result<Option<Successor>> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "UPDATE oauth_families SET grace_uses = grace_uses + 1 WHERE id = $1 AND previous_hash = $2 \
             AND rotated_at > $3 AND grace_uses < $4 AND successor IS NOT NULL AND revoked_at IS NULL \
             AND expires_at > $5 RETURNING successor, key_id",
        )
        .bind(id)
        .bind(before)
        .bind(since)
        .bind(most)
        .bind(issue.now)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        add_access(&mut transaction, id, issue).await?;
        transaction.commit().await?;
        Ok(Some(Successor {
            sealed: row.try_get("successor")?,
            key_id: row.try_get("key_id")?,
        }))
    }

    /// Ends a family and says in the audit log why; `false` when it had ended.
    pub async fn revoke_family(
        &self,
        family: &Family,
        actor: &str,
        why: &str,
        now: i64,
    ) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let revoked = sqlx::query(
            "UPDATE oauth_families SET revoked_at = $2, revoked_why = $3, successor = NULL \
             WHERE id = $1 AND revoked_at IS NULL",
        )
        .bind(&family.id)
        .bind(now)
        .bind(why)
        .execute(&mut *transaction)
        .await?;
        if revoked.rows_affected() != 1 {
            return Ok(false);
        }
        let entry = Entry {
            at: now,
            actor: actor.to_owned(),
            action: "oauth.revoke".to_owned(),
            tenant_id: Some(family.tenant_id.clone()),
            before: None,
            after: Some(
                json!({"connection": family.id, "client": family.client_name, "why": why})
                    .to_string(),
            ),
        };
        audit::add(&mut transaction, &entry).await?;
        transaction.commit().await?;
        self.changed();
        Ok(true)
    }

    /// The family of an access token, good or not.
    pub async fn family_of_access(&self, hash: &str) -> Result<Option<Family>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM oauth_access_tokens a JOIN oauth_families f ON f.id = a.family_id WHERE a.hash = $1"
        )))
        .bind(hash)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(family).transpose()
    }

    /// Removes what is over: sealed successors without grace, tokens, families a month after their end, registrations
    /// that nobody used for a day, and copies of documents.
    pub async fn forget_oauth(&self, now: i64, grace: i64) -> Result<()> {
        const DAY: i64 = 86_400_000;
        for (statement, before) in [
            (
                "UPDATE oauth_families SET successor = NULL WHERE successor IS NOT NULL AND rotated_at < $1",
                now - grace,
            ),
            ("DELETE FROM oauth_access_tokens WHERE expires_at < $1", now),
            ("DELETE FROM oauth_codes WHERE expires_at < $1", now - DAY),
            (
                "DELETE FROM oauth_families WHERE idle_until < $1 OR expires_at < $1 OR revoked_at < $1",
                now - 30 * DAY,
            ),
            // The code came and was never used.
            (
                "DELETE FROM oauth_families WHERE generation = 0 AND created_at < $1",
                now - DAY,
            ),
            (
                "DELETE FROM oauth_clients WHERE used_at IS NULL AND expires_at IS NULL AND created_at < $1",
                now - DAY,
            ),
            ("DELETE FROM oauth_clients WHERE expires_at < $1", now - DAY),
            ("DELETE FROM sessions WHERE expires_at < $1", now),
        ] {
            sqlx::query(statement)
                .bind(before)
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }
}

async fn add_access(connection: &mut AnyConnection, id: &str, issue: &Issue<'_>) -> Result<()> {
    sqlx::query(
        "INSERT INTO oauth_access_tokens (hash, family_id, scopes, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(issue.access_hash)
    .bind(id)
    .bind(issue.scopes)
    .bind(issue.now)
    .bind(issue.access_until)
    .execute(connection)
    .await?;
    Ok(())
}

fn family(row: &Row) -> Result<Family> {
    Ok(Family {
        id: row.try_get("id")?,
        tenant_id: row.try_get("tenant_id")?,
        member_id: row.try_get("member_id")?,
        client_id: row.try_get("client_id")?,
        client_name: row.try_get("client_name")?,
        client_host: row.try_get("client_host")?,
        scopes: row.try_get("scopes")?,
        resource: row.try_get("resource")?,
        generation: row.try_get("generation")?,
        created_at: row.try_get("created_at")?,
        idle_until: row.try_get("idle_until")?,
        expires_at: row.try_get("expires_at")?,
        last_used_at: row.try_get("last_used_at")?,
        revoked_at: row.try_get("revoked_at")?,
        revoked_why: row.try_get("revoked_why")?,
    })
}

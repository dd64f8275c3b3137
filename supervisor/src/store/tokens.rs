//! Our own tokens, by their hash.

use sqlx::{Any, Row as _, any::AnyArguments, query::Query};

use super::{Error, Result, Row, Store};
use crate::{ids, tokens::Kind};

/// A token as it is stored; its text is known to its holder alone.
#[derive(Clone, Debug)]
pub struct Token {
    pub id: String,
    pub tenant_id: String,
    pub member_id: Option<String>,
    pub kind: Kind,
    /// What a person calls it: a machine, a client.
    pub name: String,
    /// The client a bundle was made for.
    pub client: Option<String>,
    /// `local` or `remote`.
    pub form: Option<String>,
    /// Separated by spaces.
    pub scopes: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub last_used_at: Option<i64>,
    pub used_at: Option<i64>,
    pub revoked_at: Option<i64>,
}

/// What a new token is given.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    pub tenant_id: &'a str,
    pub member_id: Option<&'a str>,
    pub kind: Kind,
    pub name: &'a str,
    pub hash: &'a str,
    pub client: Option<&'a str>,
    pub form: Option<&'a str>,
    pub scopes: &'a str,
    pub created_at: i64,
    pub expires_at: Option<i64>,
}

const COLUMNS: &str = "id, tenant_id, member_id, kind, name, client, form, scopes, created_at, expires_at, \
                       last_used_at, used_at, revoked_at";

impl Store {
    /// Stores a token and returns its id.
    pub async fn add_token(&self, new: &NewToken<'_>) -> Result<String> {
        let id = ids::new("tok")?;
        sqlx::query(
            "INSERT INTO tokens (id, tenant_id, member_id, kind, name, hash, client, form, scopes, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(&id)
        .bind(new.tenant_id)
        .bind(new.member_id)
        .bind(new.kind.word())
        .bind(new.name)
        .bind(new.hash)
        .bind(new.client)
        .bind(new.form)
        .bind(new.scopes)
        .bind(new.created_at)
        .bind(new.expires_at)
        .execute(&self.pool)
        .await?;
        Ok(id)
    }

    /// The token with that hash, unless it is revoked, used up or expired.
    pub async fn live_token(&self, hash: &str, now: i64) -> Result<Option<Token>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM tokens WHERE hash = $1 AND revoked_at IS NULL AND used_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $2)"
        )))
        .bind(hash)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(token).transpose()
    }

    /// Uses up a token that may be used once; `false` when somebody else was quicker or it is no longer good.
    pub async fn use_token(&self, id: &str, now: i64) -> Result<bool> {
        let used = using(id, now).execute(&self.pool).await?;
        self.changed();
        Ok(used.rows_affected() == 1)
    }

    /// The token with that id, unless it is revoked, used up or expired.
    pub async fn live_token_with_id(&self, id: &str, now: i64) -> Result<Option<Token>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM tokens WHERE id = $1 AND revoked_at IS NULL AND used_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $2)"
        )))
        .bind(id)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(token).transpose()
    }

    /// Notes that the token was used, at most once a minute.
    pub async fn touch_token(&self, id: &str, now: i64) -> Result<()> {
        sqlx::query(
            "UPDATE tokens SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $3)",
        )
        .bind(id)
        .bind(now)
        .bind(now - 60_000)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A tenant's tokens of one kind that are not revoked, the newest first.
    pub async fn tokens_of(&self, tenant_id: &str, kind: Kind) -> Result<Vec<Token>> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM tokens WHERE tenant_id = $1 AND kind = $2 AND revoked_at IS NULL \
             ORDER BY created_at DESC, id"
        )))
        .bind(tenant_id)
        .bind(kind.word())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(token).collect()
    }

    /// Revokes one token of a tenant; `false` when it has none with that id, or it was revoked before.
    pub async fn revoke_token(&self, tenant_id: &str, id: &str, now: i64) -> Result<bool> {
        let revoked = sqlx::query(
            "UPDATE tokens SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL",
        )
        .bind(tenant_id)
        .bind(id)
        .bind(now)
        .execute(&self.pool)
        .await?;
        self.changed();
        Ok(revoked.rows_affected() == 1)
    }
}

/// Revokes every token of every tenant, within the transaction of a restore.
pub(super) async fn revoke_all(connection: &mut sqlx::AnyConnection, now: i64) -> Result<()> {
    sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE revoked_at IS NULL")
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Uses up a token that may be used once, within the transaction of what it is used for.
pub(super) fn using(id: &str, now: i64) -> Query<'_, Any, AnyArguments> {
    sqlx::query(
        "UPDATE tokens SET used_at = $2 WHERE id = $1 AND used_at IS NULL AND revoked_at IS NULL \
         AND (expires_at IS NULL OR expires_at > $2)",
    )
    .bind(id)
    .bind(now)
}

pub(super) fn token(row: &Row) -> Result<Token> {
    let kind: String = row.try_get("kind")?;
    Ok(Token {
        id: row.try_get("id")?,
        tenant_id: row.try_get("tenant_id")?,
        member_id: row.try_get("member_id")?,
        kind: Kind::from_word(&kind).ok_or(Error::Value {
            what: "a token's kind",
            value: kind,
        })?,
        name: row.try_get("name")?,
        client: row.try_get("client")?,
        form: row.try_get("form")?,
        scopes: row.try_get("scopes")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        last_used_at: row.try_get("last_used_at")?,
        used_at: row.try_get("used_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}

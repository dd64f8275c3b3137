//! What OAuth clients say of themselves.

use sqlx::Row as _;

use super::{Error, Result, Row, Store};

/// A client that registered, or a copy of its document.
#[derive(Clone, Debug)]
pub struct OauthClient {
    pub id: String,
    pub name: String,
    pub redirect_uris: Vec<String>,
    /// `none`, `client_secret_post` or `client_secret_basic`.
    pub auth_method: String,
    pub secret_hash: Option<String>,
    /// Equal registrations have one.
    pub fingerprint: Option<String>,
    pub created_at: i64,
    /// A copy of a document is good until then.
    pub expires_at: Option<i64>,
}

const COLUMNS: &str =
    "id, name, redirect_uris, auth_method, secret_hash, fingerprint, created_at, expires_at";

impl Store {
    /// Keeps a registration; where an equal one is there, that one is returned.
    pub async fn register_client(&self, new: &OauthClient) -> Result<OauthClient> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "INSERT INTO oauth_clients ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (fingerprint) DO UPDATE SET created_at = excluded.created_at RETURNING {COLUMNS}"
        )));
        let row = bound(row, new)?.fetch_one(&self.pool).await?;
        client(&row)
    }

    /// Keeps a copy of a document in place of an older one.
    pub async fn keep_document(&self, new: &OauthClient) -> Result<()> {
        let statement = sqlx::query(sqlx::AssertSqlSafe(format!(
            "INSERT INTO oauth_clients ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, redirect_uris = excluded.redirect_uris, \
             expires_at = excluded.expires_at"
        )));
        bound(statement, new)?.execute(&self.pool).await?;
        Ok(())
    }

    pub async fn oauth_client(&self, id: &str) -> Result<Option<OauthClient>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM oauth_clients WHERE id = $1"
        )))
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(client).transpose()
    }

    /// A registration that somebody has let in stays.
    pub async fn touch_client(&self, id: &str, now: i64) -> Result<()> {
        sqlx::query("UPDATE oauth_clients SET used_at = $2 WHERE id = $1 AND used_at IS NULL")
            .bind(id)
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

fn bound<'q>(statement: Query<'q>, new: &'q OauthClient) -> Result<Query<'q>> {
    let uris = serde_json::to_string(&new.redirect_uris).map_err(|_| Error::Value {
        what: "redirect addresses",
        value: new.id.clone(),
    })?;
    Ok(statement
        .bind(&new.id)
        .bind(&new.name)
        .bind(uris)
        .bind(&new.auth_method)
        .bind(&new.secret_hash)
        .bind(&new.fingerprint)
        .bind(new.created_at)
        .bind(new.expires_at))
}

fn client(row: &Row) -> Result<OauthClient> {
    let uris: String = row.try_get("redirect_uris")?;
    Ok(OauthClient {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        redirect_uris: serde_json::from_str(&uris).map_err(|_| Error::Value {
            what: "redirect addresses",
            value: uris,
        })?,
        auth_method: row.try_get("auth_method")?,
        secret_hash: row.try_get("secret_hash")?,
        fingerprint: row.try_get("fingerprint")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}

//! Tenants' Service Fusion credentials. What is secret arrives here sealed.

use sqlx::Row as _;

use super::{DataKey, Error, Result, Row, Store, tokens};

/// The sealed columns, in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub client_id: String,
    pub client_secret: String,
    pub refresh_token: Option<String>,
    pub access_token: String,
    pub account: String,
}

/// One tenant's credentials.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub tenant_id: String,
    /// `client_credentials` or `authorization_code`.
    pub kind: String,
    /// The data key that the columns are sealed under.
    pub key_id: String,
    pub sealed: Sealed,
    pub expires_at: i64,
    /// From issue to expiry, in ms.
    pub life: i64,
    /// Grows with every change of the tokens.
    pub generation: i64,
    pub intent_at: Option<i64>,
    pub ended: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    /// When the tenant was suspended.
    pub suspended_at: Option<i64>,
}

/// What a renewal brought.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The key the two tokens are sealed under.
    pub key_id: String,
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub expires_at: i64,
    pub life: i64,
}

/// What became of new credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    Done,
    /// The tenant's data key is another one by now: they must be sealed again.
    OtherKey,
    /// The activation token is no longer good.
    NotActivated,
}

impl Store {
    pub async fn credentials(&self, tenant_id: &str) -> Result<Option<Credentials>> {
        let row = sqlx::query(
            "SELECT c.tenant_id, c.kind, c.key_id, c.client_id, c.client_secret, c.refresh_token, c.access_token, \
             c.account, c.expires_at, c.life, c.generation, c.intent_at, c.ended, c.created_at, c.updated_at, \
             t.suspended_at FROM credentials c JOIN tenants t ON t.id = c.tenant_id WHERE c.tenant_id = $1",
        )
        .bind(tenant_id)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(credentials).transpose()
    }

    /// Stores credentials in place of what there is. With an activation token they are stored only if it is still good,
    /// and it is used up by that.
    pub async fn replace_credentials(
        &self,
        key: &DataKey,
        key_is_new: bool,
        new: &Credentials,
        activation: Option<&str>,
    ) -> Result<Replaced> {
        let mut transaction = self.begin().await?;
        let held = if key_is_new {
            sqlx::query(
                "INSERT INTO data_keys (tenant_id, key_id, master_key_id, wrapped, created_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id) DO NOTHING",
            )
            .bind(&key.tenant_id)
            .bind(&key.key_id)
            .bind(&key.master_key_id)
            .bind(&key.wrapped)
            .bind(key.created_at)
        } else {
            // Holds the row, so that the key is not replaced meanwhile.
            sqlx::query(
                "UPDATE data_keys SET created_at = created_at WHERE tenant_id = $1 AND key_id = $2",
            )
            .bind(&key.tenant_id)
            .bind(&key.key_id)
        };
        if held.execute(&mut *transaction).await?.rows_affected() != 1 {
            return Ok(Replaced::OtherKey);
        }
        if let Some(token_id) = activation {
            let used = tokens::using(token_id, new.updated_at);
            if used.execute(&mut *transaction).await?.rows_affected() != 1 {
                return Ok(Replaced::NotActivated);
            }
        }
        sqlx::query(
            "UPDATE tenants SET activated_at = COALESCE(activated_at, $2), setup = setup + 1 WHERE id = $1",
        )
        .bind(&new.tenant_id)
        .bind(new.updated_at)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO credentials (tenant_id, kind, key_id, client_id, client_secret, refresh_token, access_token, \
             account, expires_at, life, generation, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11) \
             ON CONFLICT (tenant_id) DO UPDATE SET kind = excluded.kind, key_id = excluded.key_id, \
             client_id = excluded.client_id, client_secret = excluded.client_secret, \
             refresh_token = excluded.refresh_token, access_token = excluded.access_token, \
             account = excluded.account, expires_at = excluded.expires_at, life = excluded.life, \
             generation = credentials.generation + 1, intent_at = NULL, ended = NULL, \
             updated_at = excluded.updated_at",
        )
        .bind(&new.tenant_id)
        .bind(&new.kind)
        .bind(&new.key_id)
        .bind(&new.sealed.client_id)
        .bind(&new.sealed.client_secret)
        .bind(&new.sealed.refresh_token)
        .bind(&new.sealed.access_token)
        .bind(&new.sealed.account)
        .bind(new.expires_at)
        .bind(new.life)
        .bind(new.updated_at)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        self.changed();
        Ok(Replaced::Done)
    }

    /// Notes that a renewal begins. `false` when the tokens are not those of `generation` any more.
    pub async fn begin_renewal(&self, tenant_id: &str, generation: i64, now: i64) -> Result<bool> {
        let changed = sqlx::query(
            "UPDATE credentials SET intent_at = $3 WHERE tenant_id = $1 AND generation = $2 AND ended IS NULL",
        )
        .bind(tenant_id)
        .bind(generation)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Notes that a renewal certainly had no effect at Service Fusion.
    pub async fn cancel_renewal(&self, tenant_id: &str, generation: i64) -> Result<()> {
        sqlx::query(
            "UPDATE credentials SET intent_at = NULL WHERE tenant_id = $1 AND generation = $2",
        )
        .bind(tenant_id)
        .bind(generation)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Writes new tokens in place of those of `generation`. `false` when these are gone, or the data key is.
    pub async fn finish_renewal(
        &self,
        tenant_id: &str,
        generation: i64,
        new: &Renewed,
        now: i64,
    ) -> Result<bool> {
        let changed = sqlx::query(
            "UPDATE credentials SET access_token = $4, refresh_token = $5, expires_at = $6, life = $7, \
             generation = generation + 1, intent_at = NULL, ended = NULL, updated_at = $8 \
             WHERE tenant_id = $1 AND generation = $2 AND key_id = $3",
        )
        .bind(tenant_id)
        .bind(generation)
        .bind(&new.key_id)
        .bind(&new.access_token)
        .bind(&new.refresh_token)
        .bind(new.expires_at)
        .bind(new.life)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Remembers that only connecting again helps. `false` when the tokens changed meanwhile.
    pub async fn end_credentials(
        &self,
        tenant_id: &str,
        generation: i64,
        reason: &str,
        now: i64,
    ) -> Result<bool> {
        let changed = sqlx::query(
            "UPDATE credentials SET ended = $3, intent_at = NULL, updated_at = $4 \
             WHERE tenant_id = $1 AND generation = $2",
        )
        .bind(tenant_id)
        .bind(generation)
        .bind(reason)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Gives a tenant another data key, with all that is sealed under it. `false` when the key or the tokens changed
    /// meanwhile; nothing is written then.
    pub async fn rekey<E: From<Error>>(
        &self,
        old: &DataKey,
        new: &DataKey,
        reseal: impl FnOnce(&Credentials) -> std::result::Result<Sealed, E>,
    ) -> std::result::Result<bool, E> {
        let mut transaction = self.begin().await?;
        let changed = sqlx::query(
            "UPDATE data_keys SET key_id = $3, master_key_id = $4, wrapped = $5, created_at = $6 \
             WHERE tenant_id = $1 AND key_id = $2",
        )
        .bind(&old.tenant_id)
        .bind(&old.key_id)
        .bind(&new.key_id)
        .bind(&new.master_key_id)
        .bind(&new.wrapped)
        .bind(new.created_at)
        .execute(&mut *transaction)
        .await
        .map_err(Error::from)?;
        if changed.rows_affected() != 1 {
            return Ok(false);
        }
        let row = sqlx::query(
            "SELECT tenant_id, kind, key_id, client_id, client_secret, refresh_token, access_token, account, \
             expires_at, life, generation, intent_at, ended, created_at, updated_at, \
             CAST(NULL AS BIGINT) AS suspended_at FROM credentials WHERE tenant_id = $1",
        )
        .bind(&old.tenant_id)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(Error::from)?;
        if let Some(row) = row {
            let read = credentials(&row)?;
            let sealed = reseal(&read)?;
            let changed = sqlx::query(
                "UPDATE credentials SET key_id = $4, client_id = $5, client_secret = $6, refresh_token = $7, \
                 access_token = $8, account = $9 WHERE tenant_id = $1 AND generation = $2 AND key_id = $3",
            )
            .bind(&read.tenant_id)
            .bind(read.generation)
            .bind(&read.key_id)
            .bind(&new.key_id)
            .bind(&sealed.client_id)
            .bind(&sealed.client_secret)
            .bind(&sealed.refresh_token)
            .bind(&sealed.access_token)
            .bind(&sealed.account)
            .execute(&mut *transaction)
            .await
            .map_err(Error::from)?;
            if changed.rows_affected() != 1 {
                return Ok(false);
            }
        }
        transaction.commit().await.map_err(Error::from)?;
        Ok(true)
    }
}

fn credentials(row: &Row) -> Result<Credentials> {
    Ok(Credentials {
        tenant_id: row.try_get("tenant_id")?,
        kind: row.try_get("kind")?,
        key_id: row.try_get("key_id")?,
        sealed: Sealed {
            client_id: row.try_get("client_id")?,
            client_secret: row.try_get("client_secret")?,
            refresh_token: row.try_get("refresh_token")?,
            access_token: row.try_get("access_token")?,
            account: row.try_get("account")?,
        },
        expires_at: row.try_get("expires_at")?,
        life: row.try_get("life")?,
        generation: row.try_get("generation")?,
        intent_at: row.try_get("intent_at")?,
        ended: row.try_get("ended")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        suspended_at: row.try_get("suspended_at")?,
    })
}

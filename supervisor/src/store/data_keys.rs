//! Each tenant's data key, sealed under a master key.

use sqlx::Row as _;

use super::{Result, Row, Store};

/// A data key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKey {
    pub tenant_id: String,
    /// Names the key itself.
    pub key_id: String,
    /// Names the master key it is sealed under.
    pub master_key_id: String,
    /// In base64.
    pub wrapped: String,
    pub created_at: i64,
}

const COLUMNS: &str = "tenant_id, key_id, master_key_id, wrapped, created_at";

impl Store {
    pub async fn data_key(&self, tenant_id: &str) -> Result<Option<DataKey>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM data_keys WHERE tenant_id = $1"
        )))
        .bind(tenant_id)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(data_key).transpose()
    }

    /// Data keys that are not under this master key, in the order of their tenants.
    pub async fn data_keys_not_under(
        &self,
        master_key_id: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<DataKey>> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM data_keys WHERE master_key_id <> $1 AND tenant_id > $2 ORDER BY tenant_id LIMIT $3"
        )))
        .bind(master_key_id)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(data_key).collect()
    }

    /// Data keys made before a time, in the order of their tenants.
    pub async fn data_keys_before(
        &self,
        before: i64,
        after: &str,
        limit: i64,
    ) -> Result<Vec<DataKey>> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM data_keys WHERE created_at < $1 AND tenant_id > $2 ORDER BY tenant_id LIMIT $3"
        )))
        .bind(before)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(data_key).collect()
    }

    /// The same data key under another master key; `false` when somebody else was quicker.
    pub async fn rewrap_data_key(&self, old: &DataKey, new: &DataKey) -> Result<bool> {
        let changed = sqlx::query(
            "UPDATE data_keys SET master_key_id = $4, wrapped = $5 \
             WHERE tenant_id = $1 AND key_id = $2 AND master_key_id = $3",
        )
        .bind(&old.tenant_id)
        .bind(&old.key_id)
        .bind(&old.master_key_id)
        .bind(&new.master_key_id)
        .bind(&new.wrapped)
        .execute(&self.pool)
        .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// How many data keys are under which master key.
    pub async fn master_keys_in_use(&self) -> Result<Vec<(String, i64)>> {
        let rows = sqlx::query(
            "SELECT master_key_id, COUNT(*) AS keys FROM data_keys GROUP BY master_key_id ORDER BY master_key_id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("master_key_id")?, row.try_get("keys")?)))
            .collect()
    }
}

fn data_key(row: &Row) -> Result<DataKey> {
    Ok(DataKey {
        tenant_id: row.try_get("tenant_id")?,
        key_id: row.try_get("key_id")?,
        master_key_id: row.try_get("master_key_id")?,
        wrapped: row.try_get("wrapped")?,
        created_at: row.try_get("created_at")?,
    })
}

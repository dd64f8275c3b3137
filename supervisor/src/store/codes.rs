//! One-time codes, by their keyed hash: one live code per address, whatever it is for.

use sqlx::Row as _;

use super::{Result, Store};

/// Wrong codes that one code outlives.
pub const TRIES_PER_CODE: i64 = 5;

/// What a code is asked for.
#[derive(Clone, Debug)]
pub struct NewCode<'a> {
    pub email: &'a str,
    /// What a sign-up calls its company.
    pub company: Option<&'a str>,
    pub code_hash: &'a str,
    pub created_at: i64,
    pub expires_at: i64,
}

/// A try that counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    pub right: bool,
    pub company: Option<String>,
}

impl Store {
    /// Keeps a code; it replaces the one that the address had.
    pub async fn put_code(&self, new: &NewCode<'_>) -> Result<()> {
        sqlx::query(
            "INSERT INTO codes (email, company, code_hash, created_at, expires_at, tries) VALUES ($1, $2, $3, $4, $5, 0) \
             ON CONFLICT (email) DO UPDATE SET company = excluded.company, code_hash = excluded.code_hash, \
               created_at = excluded.created_at, expires_at = excluded.expires_at, tries = 0, used_at = NULL",
        )
        .bind(new.email)
        .bind(new.company)
        .bind(new.code_hash)
        .bind(new.created_at)
        .bind(new.expires_at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Whether the address has a code that may still be tried.
    pub async fn has_code(&self, email: &str, now: i64) -> Result<bool> {
        let row = sqlx::query(
            "SELECT email FROM codes WHERE email = $1 AND used_at IS NULL AND tries < $2 AND expires_at > $3",
        )
        .bind(email)
        .bind(TRIES_PER_CODE)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.is_some())
    }

    /// Counts a try and, when it is right, spends the code: one statement, so that of two right tries at once one wins
    /// and no burst gets more tries than there are. The code may be hashed under any of several keys. `keep` leaves a right code good for once more.
    pub async fn try_code(
        &self,
        email: &str,
        code_hashes: &[String],
        keep: bool,
        now: i64,
    ) -> Result<Option<Tried>> {
        let places: Vec<_> = (5..5 + code_hashes.len())
            .map(|number| format!("${number}"))
            .collect();
        let mut query = sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE codes SET tries = tries + 1, \
               used_at = CASE WHEN code_hash IN ({}) AND $4 = 0 THEN $3 ELSE used_at END \
             WHERE email = $1 AND used_at IS NULL AND tries < $2 AND expires_at > $3 RETURNING code_hash, company",
            places.join(", ")
        )))
        .bind(email)
        .bind(TRIES_PER_CODE)
        .bind(now)
        .bind(i64::from(keep));
        for hash in code_hashes {
            query = query.bind(hash);
        }
        let Some(row) = query.fetch_optional(&self.pool).await? else {
            return Ok(None);
        };
        let stored: String = row.try_get("code_hash")?;
        Ok(Some(Tried {
            right: code_hashes.contains(&stored),
            company: row.try_get("company")?,
        }))
    }

    /// Removes codes that are over.
    pub async fn forget_codes(&self, now: i64) -> Result<u64> {
        let removed = sqlx::query("DELETE FROM codes WHERE expires_at < $1")
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected())
    }
}

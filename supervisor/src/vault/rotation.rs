//! Other keys in place of those in use, while services run. Every step is whole by itself, so that a rotation that was
//! cut off is finished by running it again.

use secrecy::ExposeSecret;
use serde::Serialize;
use sf_mcp::seal::SealingKey;

use super::{CHECK, Error, TRIES, Vault, check_value, open, seal, wrap};
use crate::store::{Credentials, DataKey, Sealed};

/// When a replacement of the data keys began; it is there until the last one is replaced.
const REPLACING: &str = "data_keys_replaced_since";
/// Rows at a time.
const PAGE: i64 = 100;

/// What a rotation did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// The id of the master key that all is under now.
    pub master_key: String,
    /// The database was under another one before.
    pub master_key_changed: bool,
    /// Data keys sealed again under that master key.
    pub rewrapped: u64,
    /// Tenants with another data key, all their columns sealed again.
    pub rekeyed: u64,
}

/// What is sealed under which master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The id of the master key that the database is marked with; `null` before the first start.
    pub database: Option<String>,
    /// The ids of the keys given here, the current one first.
    pub given: Vec<String>,
    pub in_use: Vec<InUse>,
    /// A replacement of the data keys was begun and not finished.
    pub replacing_data_keys: bool,
}

/// How many data keys are under one master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InUse {
    pub master_key: String,
    pub data_keys: i64,
}

impl Vault {
    /// Seals every data key under the current master key; with `data_keys`, replaces them too. The database is marked
    /// first, so that no service seals under the former key any more.
    pub async fn rotate(&self, data_keys: bool) -> Result<Rotated, Error> {
        self.refuse_another_key().await?;
        let mut done = Rotated {
            master_key: self.keys.current().id(),
            master_key_changed: self.remark().await?,
            ..Rotated::default()
        };
        // A key that was being made while the mark changed can still come after the first pass.
        loop {
            let rewrapped = self.rewrap_all().await?;
            done.rewrapped += rewrapped;
            if rewrapped == 0 {
                break;
            }
        }
        if data_keys || self.store.setting(REPLACING).await?.is_some() {
            done.rekeyed = self.rekey_all().await?;
        }
        self.store.truncate_log().await?;
        Ok(done)
    }

    pub async fn status(&self) -> Result<Status, Error> {
        let check = self.store.setting(CHECK).await?;
        let in_use = self.store.master_keys_in_use().await?;
        Ok(Status {
            database: check.and_then(|check| Some(check.split_once(':')?.0.to_owned())),
            given: self.keys.ids(),
            in_use: in_use
                .into_iter()
                .map(|(master_key, data_keys)| InUse {
                    master_key,
                    data_keys,
                })
                .collect(),
            replacing_data_keys: self.store.setting(REPLACING).await?.is_some(),
        })
    }

    /// Marks the database with the current master key; whether it had another mark before.
    async fn remark(&self) -> Result<bool, Error> {
        let new = check_value(self.keys.current())?;
        let there = self.store.setting_or(CHECK, &new).await?;
        if self.opens(&there)?.id() == self.keys.current().id() {
            return Ok(false);
        }
        Ok(self.store.replace_setting(CHECK, &there, &new).await?)
    }

    async fn rewrap_all(&self) -> Result<u64, Error> {
        let master = self.keys.current();
        let (mut rewrapped, mut after) = (0, String::new());
        loop {
            let page = self
                .store
                .data_keys_not_under(&master.id(), &after, PAGE)
                .await?;
            let Some(last) = page.last() else {
                return Ok(rewrapped);
            };
            after.clone_from(&last.tenant_id);
            for old in &page {
                let key = self.unwrapped(old)?;
                let new = DataKey {
                    master_key_id: master.id(),
                    wrapped: wrap(master, &old.tenant_id, &key)?,
                    ..old.clone()
                };
                rewrapped += u64::from(self.store.rewrap_data_key(old, &new).await?);
            }
        }
    }

    async fn rekey_all(&self) -> Result<u64, Error> {
        let now = self.clock.now().to_string();
        let since = self.store.setting_or(REPLACING, &now).await?;
        let since: i64 = since.parse().unwrap_or_else(|_| self.clock.now());
        let mut rekeyed = 0;
        loop {
            let page = self.store.data_keys_before(since, "", PAGE).await?;
            if page.is_empty() {
                break;
            }
            for old in &page {
                rekeyed += u64::from(self.rekey(&old.tenant_id, since).await?);
            }
        }
        self.store.forget_setting(REPLACING).await?;
        Ok(rekeyed)
    }

    /// Replaces the data key of one tenant, unless it was made after `since`. A renewal that ends meanwhile makes it
    /// begin again; a renewal that ends later seals under the new key.
    async fn rekey(&self, tenant_id: &str, since: i64) -> Result<bool, Error> {
        for _ in 0..TRIES {
            let old = self.store.data_key(tenant_id).await?;
            let Some(old) = old.filter(|old| old.created_at < since) else {
                return Ok(false);
            };
            let from = self.unwrapped(&old)?;
            let (new, to) = self
                .new_data_key(tenant_id, self.clock.now().max(since))
                .await?;
            let reseal = |row: &Credentials| resealed(row, &from, &to);
            if self.store.rekey(&old, &new, reseal).await? {
                return Ok(true);
            }
        }
        Err(Error::Contended(tenant_id.to_owned()))
    }
}

fn resealed(row: &Credentials, from: &SealingKey, to: &SealingKey) -> Result<Sealed, Error> {
    let again = |column, sealed: &str| {
        let plain = open(from, row, column, sealed)?;
        seal(to, &row.tenant_id, column, plain.expose_secret())
    };
    let refresh_token = row.sealed.refresh_token.as_deref();
    Ok(Sealed {
        client_id: again("client_id", &row.sealed.client_id)?,
        client_secret: again("client_secret", &row.sealed.client_secret)?,
        refresh_token: refresh_token
            .map(|sealed| again("refresh_token", sealed))
            .transpose()?,
        access_token: again("access_token", &row.sealed.access_token)?,
        account: again("account", &row.sealed.account)?,
    })
}

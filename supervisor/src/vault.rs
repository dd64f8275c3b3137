//! Tenants' Service Fusion credentials, sealed: the master key seals each tenant's data key, and that seals every
//! column, for its tenant and column alone.

#[cfg(fuzzing)]
pub mod fuzzing;
mod rotation;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use sf_mcp::{
    auth::oauth::Grant,
    seal::{self, SealingKey},
};

pub use self::rotation::{Rotated, Status};
use crate::{
    clock::Clock,
    master_key::MasterKeys,
    store::{self, Credentials, DataKey, Renewed, Replaced, Sealed, Store},
};

/// The setting that tells a wrong master key: `key id:a value sealed under it`.
const CHECK: &str = "master_key_check";
/// How often a write is tried again because the data key was replaced meanwhile.
const TRIES: usize = 5;

/// How a tenant's access token is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An OAuth Consumer: its id and secret bring a new token at any time.
    ClientCredentials,
    /// An OAuth App that a person allowed in the browser: only its refresh token brings new ones.
    AuthorizationCode,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::AuthorizationCode => "authorization_code",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::ClientCredentials, Self::AuthorizationCode]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// What is known without opening anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    /// Unix ms, like all times here.
    pub expires_at: i64,
    /// From issue to expiry, in ms.
    pub life: i64,
    /// Grows with every change of the tokens.
    pub generation: i64,
    /// A renewal that was begun then and whose end nobody noted.
    pub intent_at: Option<i64>,
    /// Why no further token can be had without connecting again.
    pub ended: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    /// The tenant is suspended and gets nothing.
    pub suspended: bool,
}

/// Proven credentials, with the tokens they brought just now.
#[derive(Clone, Debug)]
pub struct NewCredentials {
    pub kind: Kind,
    pub client_id: SecretString,
    pub client_secret: SecretString,
    pub grant: Grant,
    /// Whose they are, for people.
    pub account: String,
}

/// What a renewal needs.
#[derive(Clone, Debug)]
pub struct Secrets {
    pub client_id: SecretString,
    pub client_secret: SecretString,
    pub refresh_token: Option<SecretString>,
    key: SealingKey,
}

/// Why the vault cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(
        "the master key is not the one this database is sealed with: it is for key {expected}, and the keys given are {given}. \
         Set SF_SUPERVISOR_MASTER_KEY (or its file) to that key; after a rotation, to the new one"
    )]
    WrongMasterKey { expected: String, given: String },
    #[error(
        "{keys} tenants' data keys are still sealed under the master key {id}, which is not given: set \
         SF_SUPERVISOR_MASTER_KEY_OLD to it and run `sf-supervisor keys rotate` before it is dropped"
    )]
    MissingMasterKey { id: String, keys: i64 },
    #[error("{what} of tenant {tenant_id} does not open: {source}")]
    Sealed {
        what: &'static str,
        tenant_id: String,
        source: seal::Error,
    },
    #[error("nothing can be sealed: {0}")]
    Seal(seal::Error),
    #[error("the credentials of tenant {0} were changed again and again by others")]
    Contended(String),
}

/// The credentials of all tenants. Clones share the database's connections.
#[derive(Clone, Debug)]
pub struct Vault {
    store: Store,
    keys: MasterKeys,
    clock: Clock,
}

impl Vault {
    pub fn new(store: Store, keys: MasterKeys, clock: Clock) -> Self {
        Self { store, keys, clock }
    }

    /// Fails when what is in the database was sealed under other master keys; writes nothing.
    pub async fn refuse_another_key(&self) -> Result<(), Error> {
        if !self.store.has_tables().await? {
            return Ok(());
        }
        if let Some(check) = self.store.setting(CHECK).await? {
            self.opens(&check)?;
        }
        for (id, keys) in self.store.master_keys_in_use().await? {
            if self.keys.with_id(&id).is_none() {
                return Err(Error::MissingMasterKey { id, keys });
            }
        }
        Ok(())
    }

    /// Marks a new database as sealed under the master key; all but the first to do so only compare.
    pub async fn mark(&self) -> Result<(), Error> {
        let check = check_value(self.keys.current())?;
        let check = self.store.setting_or(CHECK, &check).await?;
        self.opens(&check)?;
        Ok(())
    }

    /// The master key that a check value was sealed under, when it is one of ours.
    fn opens(&self, check: &str) -> Result<&SealingKey, Error> {
        let (id, sealed) = check.split_once(':').unwrap_or_default();
        let key = self.keys.with_id(id).filter(|key| {
            let sealed = STANDARD.decode(sealed).unwrap_or_default();
            key.open(&sealed, &check_place(id)).is_ok()
        });
        key.ok_or_else(|| Error::WrongMasterKey {
            expected: id.to_owned(),
            given: self.keys.ids().join(", "),
        })
    }

    /// What new values are sealed under: the master key that all processes are known to have.
    pub async fn sealing_key(&self) -> Result<&SealingKey, Error> {
        match self.store.setting(CHECK).await? {
            Some(check) => self.opens(&check),
            None => Ok(self.keys.current()),
        }
    }

    pub fn master_keys(&self) -> &MasterKeys {
        &self.keys
    }

    /// `None` when the tenant has no credentials. Opens nothing.
    pub async fn head(&self, tenant_id: &str) -> Result<Option<Head>, Error> {
        let row = self.store.credentials(tenant_id).await?;
        Ok(row.as_ref().map(head).transpose()?)
    }

    /// The head, and what `access_token` and `secrets` open.
    pub async fn read(&self, tenant_id: &str) -> Result<Option<(Head, Credentials)>, Error> {
        let Some(row) = self.store.credentials(tenant_id).await? else {
            return Ok(None);
        };
        Ok(Some((head(&row)?, row)))
    }

    /// Whose credentials they are, for people.
    pub async fn account(&self, tenant_id: &str) -> Result<Option<String>, Error> {
        let Some(row) = self.store.credentials(tenant_id).await? else {
            return Ok(None);
        };
        let (row, key) = self.with_key(row).await?;
        let account = open(&key, &row, "account", &row.sealed.account)?;
        Ok(Some(account.expose_secret().to_owned()))
    }

    pub async fn access_token(&self, row: Credentials) -> Result<SecretString, Error> {
        let (row, key) = self.with_key(row).await?;
        open(&key, &row, "access_token", &row.sealed.access_token)
    }

    pub async fn secrets(&self, row: Credentials) -> Result<Secrets, Error> {
        let (row, key) = self.with_key(row).await?;
        let refresh_token = row.sealed.refresh_token.as_deref();
        Ok(Secrets {
            client_id: open(&key, &row, "client_id", &row.sealed.client_id)?,
            client_secret: open(&key, &row, "client_secret", &row.sealed.client_secret)?,
            refresh_token: refresh_token
                .map(|sealed| open(&key, &row, "refresh_token", sealed))
                .transpose()?,
            key,
        })
    }

    /// Stores credentials in place of what the tenant had; a renewal under way then changes nothing any more.
    pub async fn replace(&self, tenant_id: &str, new: &NewCredentials) -> Result<(), Error> {
        self.put(tenant_id, new, None).await.map(drop)
    }

    /// As `replace`, and uses up the activation token in the same transaction. `false` when somebody else was quicker:
    /// then nothing is stored.
    pub async fn activate(
        &self,
        tenant_id: &str,
        token_id: &str,
        new: &NewCredentials,
    ) -> Result<bool, Error> {
        self.put(tenant_id, new, Some(token_id)).await
    }

    async fn put(
        &self,
        tenant_id: &str,
        new: &NewCredentials,
        activation: Option<&str>,
    ) -> Result<bool, Error> {
        for _ in 0..TRIES {
            let known = self.store.data_key(tenant_id).await?;
            let is_new = known.is_none();
            let (stored, key) = match known {
                Some(stored) => {
                    let key = self.unwrapped(&stored)?;
                    (stored, key)
                }
                None => self.new_data_key(tenant_id, self.clock.now()).await?,
            };
            let row = self.sealed_row(tenant_id, &key, new)?;
            let putting = self
                .store
                .replace_credentials(&stored, is_new, &row, activation);
            match putting.await? {
                Replaced::Done => return Ok(true),
                Replaced::NotActivated => return Ok(false),
                Replaced::OtherKey => {}
            }
        }
        Err(Error::Contended(tenant_id.to_owned()))
    }

    fn sealed_row(
        &self,
        tenant_id: &str,
        key: &SealingKey,
        new: &NewCredentials,
    ) -> Result<Credentials, Error> {
        let now = self.clock.now();
        let life = millis(new.grant.expires_in);
        let seal = |column, text: &str| seal(key, tenant_id, column, text);
        let refresh_token = new.grant.refresh_token.as_ref();
        Ok(Credentials {
            tenant_id: tenant_id.to_owned(),
            kind: new.kind.word().to_owned(),
            key_id: key.id(),
            sealed: Sealed {
                client_id: seal("client_id", new.client_id.expose_secret())?,
                client_secret: seal("client_secret", new.client_secret.expose_secret())?,
                refresh_token: refresh_token
                    .map(|token| seal("refresh_token", token.expose_secret()))
                    .transpose()?,
                access_token: seal("access_token", new.grant.access_token.expose_secret())?,
                account: seal("account", &new.account)?,
            },
            expires_at: now + life,
            life,
            generation: 1,
            intent_at: None,
            ended: None,
            created_at: now,
            updated_at: now,
            suspended_at: None,
        })
    }

    /// Writes down what a renewal brought, at `issued_at`. `false` when the tokens are not those of `generation` any
    /// more. Tried again under the new key when the data key was replaced meanwhile.
    pub async fn finish_renewal(
        &self,
        tenant_id: &str,
        generation: i64,
        secrets: &Secrets,
        grant: &Grant,
        issued_at: i64,
    ) -> Result<bool, Error> {
        let mut key = secrets.key.clone();
        // A server that sends no new refresh token means that the old one stays good.
        let refresh_token = grant
            .refresh_token
            .as_ref()
            .or(secrets.refresh_token.as_ref());
        let life = millis(grant.expires_in);
        for _ in 0..TRIES {
            let seal =
                |column, text: &SecretString| seal(&key, tenant_id, column, text.expose_secret());
            let renewed = Renewed {
                key_id: key.id(),
                access_token: seal("access_token", &grant.access_token)?,
                refresh_token: refresh_token
                    .map(|token| seal("refresh_token", token))
                    .transpose()?,
                expires_at: issued_at + life,
                life,
            };
            let finishing =
                self.store
                    .finish_renewal(tenant_id, generation, &renewed, self.clock.now());
            if finishing.await? {
                return Ok(true);
            }
            let Some(row) = self.store.credentials(tenant_id).await? else {
                return Ok(false);
            };
            if row.generation != generation {
                return Ok(false);
            }
            key = self.with_key(row).await?.1;
        }
        Err(Error::Contended(tenant_id.to_owned()))
    }

    /// The data key of a row, and the row as it is under that key: both change together.
    async fn with_key(&self, mut row: Credentials) -> Result<(Credentials, SealingKey), Error> {
        for _ in 0..TRIES {
            let stored = self.store.data_key(&row.tenant_id).await?;
            if let Some(stored) = stored.filter(|stored| stored.key_id == row.key_id) {
                let key = self.unwrapped(&stored)?;
                return Ok((row, key));
            }
            let generation = row.generation;
            match self.store.credentials(&row.tenant_id).await? {
                Some(newer) if newer.generation == generation => row = newer,
                _ => break,
            }
        }
        Err(Error::Contended(row.tenant_id))
    }

    fn unwrapped(&self, stored: &DataKey) -> Result<SealingKey, Error> {
        let master =
            self.keys
                .with_id(&stored.master_key_id)
                .ok_or_else(|| Error::MissingMasterKey {
                    id: stored.master_key_id.clone(),
                    keys: 1,
                })?;
        let refused = |source| Error::Sealed {
            what: "the data key",
            tenant_id: stored.tenant_id.clone(),
            source,
        };
        let sealed = STANDARD
            .decode(&stored.wrapped)
            .map_err(|_| refused(seal::Error::DoesNotOpen))?;
        let place = key_place(&stored.tenant_id, &stored.master_key_id);
        let plain = master.open(&sealed, &place).map_err(refused)?;
        let text = std::str::from_utf8(&plain).map_err(|_| refused(seal::Error::DoesNotOpen))?;
        let key = SealingKey::from_base64(text).map_err(refused)?;
        if key.id() == stored.key_id {
            Ok(key)
        } else {
            Err(refused(seal::Error::DoesNotOpen))
        }
    }

    async fn new_data_key(
        &self,
        tenant_id: &str,
        created_at: i64,
    ) -> Result<(DataKey, SealingKey), Error> {
        let key = SealingKey::generate().map_err(Error::Seal)?;
        let master = self.sealing_key().await?;
        let stored = DataKey {
            tenant_id: tenant_id.to_owned(),
            key_id: key.id(),
            master_key_id: master.id(),
            wrapped: wrap(master, tenant_id, &key)?,
            created_at,
        };
        Ok((stored, key))
    }
}

fn head(row: &Credentials) -> Result<Head, store::Error> {
    Ok(Head {
        kind: Kind::from_word(&row.kind).ok_or_else(|| store::Error::Value {
            what: "the kind of credentials",
            value: row.kind.clone(),
        })?,
        expires_at: row.expires_at,
        life: row.life,
        generation: row.generation,
        intent_at: row.intent_at,
        ended: row.ended.clone(),
        created_at: row.created_at,
        updated_at: row.updated_at,
        suspended: row.suspended_at.is_some(),
    })
}

fn check_value(key: &SealingKey) -> Result<String, Error> {
    let id = key.id();
    let sealed = key
        .seal(b"sf-supervisor", &check_place(&id))
        .map_err(Error::Seal)?;
    Ok(format!("{id}:{}", STANDARD.encode(sealed)))
}

fn check_place(master_key_id: &str) -> String {
    format!("sf-supervisor master key check 1\n{master_key_id}")
}

fn key_place(tenant_id: &str, master_key_id: &str) -> String {
    format!("sf-supervisor data key 1\n{tenant_id}\n{master_key_id}")
}

/// What a value is bound to: moved to another tenant, column, table or key it does not open.
fn place(tenant_id: &str, column: &str, key_id: &str) -> String {
    format!("sf-supervisor credentials 1\ncredentials\n{column}\n{tenant_id}\n{key_id}")
}

fn wrap(master: &SealingKey, tenant_id: &str, key: &SealingKey) -> Result<String, Error> {
    let place = key_place(tenant_id, &master.id());
    let sealed = master
        .seal(key.to_base64().as_bytes(), &place)
        .map_err(Error::Seal)?;
    Ok(STANDARD.encode(sealed))
}

fn seal(key: &SealingKey, tenant_id: &str, column: &str, text: &str) -> Result<String, Error> {
    let sealed = key
        .seal(text.as_bytes(), &place(tenant_id, column, &key.id()))
        .map_err(Error::Seal)?;
    Ok(STANDARD.encode(sealed))
}

fn open(
    key: &SealingKey,
    row: &Credentials,
    column: &'static str,
    sealed: &str,
) -> Result<SecretString, Error> {
    let refused = |source| Error::Sealed {
        what: column,
        tenant_id: row.tenant_id.clone(),
        source,
    };
    let sealed = STANDARD
        .decode(sealed)
        .map_err(|_| refused(seal::Error::DoesNotOpen))?;
    let plain = key
        .open(&sealed, &place(&row.tenant_id, column, &row.key_id))
        .map_err(refused)?;
    let text = std::str::from_utf8(&plain).map_err(|_| refused(seal::Error::DoesNotOpen))?;
    Ok(SecretString::from(text.to_owned()))
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

//! The profile's sign-in in `tokens.db`: every secret value sealed, every change one durable transaction.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    auth::{broker::Broker, master_key::Place},
    database,
    seal::{self, SealingKey},
};

#[cfg(test)]
mod tests;

/// How the company's token is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An OAuth Consumer: its id and secret bring a new token at any time.
    ClientCredentials,
    /// An OAuth App that a person allowed in the browser: only its refresh token brings new ones.
    AuthorizationCode,
    /// A device of a hosting service, which lends a token at any time.
    Device,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::AuthorizationCode => "authorization_code",
            Self::Device => "device",
        }
    }

    fn from_word(word: &str) -> Self {
        match word {
            "authorization_code" => Self::AuthorizationCode,
            "device" => Self::Device,
            _ => Self::ClientCredentials,
        }
    }

    /// Whether tokens can be asked for again, so that an answer that was lost costs nothing.
    pub fn is_repeatable(self) -> bool {
        self != Self::AuthorizationCode
    }
}

/// What is known without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    pub place: Place,
    pub key_id: String,
    /// Grows with every change of the tokens.
    pub generation: i64,
    /// A renewal that was begun at this time (Unix ms) and whose end nobody noted.
    pub intent_at: Option<i64>,
    /// Why no further token can be had without signing in again.
    pub ended: Option<String>,
    /// The service that gives out the tokens.
    pub origin: String,
}

impl Head {
    /// What to do once the sign-in has ended.
    pub fn remedy(&self) -> String {
        match (self.kind, self.place) {
            (Kind::Device, Place::Device) => {
                "Get a new bundle there and put its SF_MCP_DEVICE_TOKEN in the place of the old one; `sf-mcp logout` forgets \
                 the old one"
                    .to_owned()
            }
            (Kind::Device, _) => format!(
                "Run `sf-mcp login --supervisor {}`, or get a new bundle there and run `sf-mcp login --bundle FILE`",
                self.origin
            ),
            _ => "Run `sf-mcp login` again".to_owned(),
        }
    }
}

/// What tokens are asked for with.
#[derive(Clone, Debug)]
pub enum Means {
    /// An OAuth client of Service Fusion.
    Client {
        id: SecretString,
        secret: SecretString,
    },
    Device(Broker),
}

/// The tokens and what they are renewed with.
#[derive(Clone, Debug)]
pub struct Secrets {
    pub means: Means,
    pub access_token: SecretString,
    /// The API that the access token is for. It is sent nowhere else.
    pub api_url: String,
    /// Unix ms.
    pub expires_at: i64,
    /// From issue to expiry, in ms.
    pub life: i64,
    pub refresh_token: Option<SecretString>,
    /// Who signed in, for people.
    pub account: String,
}

/// Why the sign-in cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Database(#[from] database::Error),
    #[error(
        "this sign-in is for {signed_in}, but the address is now {wanted}; run `sf-mcp login` for that one, or set the \
         address back (SF_MCP_API_URL, api_url in config.toml)"
    )]
    OtherService { signed_in: String, wanted: String },
    #[error(
        "{path} cannot be written: the disk seems to be full ({source}); make room and try again"
    )]
    NoRoom {
        path: String,
        source: rusqlite::Error,
    },
    #[error(
        "{path} cannot be read or written: {source}; if the file is damaged, sign in again with `sf-mcp login`"
    )]
    Sqlite {
        path: String,
        source: rusqlite::Error,
    },
    #[error(
        "the sign-in in {path} does not open: {source}. Restore the key, or sign in again with `sf-mcp login`"
    )]
    Sealed { path: String, source: seal::Error },
    #[error(
        "the sign-in in {path} was sealed with another key ({expected}) than the one found ({found}); restore that key, or sign in again with `sf-mcp login`"
    )]
    OtherKey {
        path: String,
        expected: String,
        found: String,
    },
}

/// The vault of one profile.
#[derive(Clone, Debug)]
pub struct Vault {
    path: PathBuf,
    profile: String,
    origin: String,
}

impl Vault {
    pub fn new(path: PathBuf, profile: &str, origin: &str) -> Self {
        Self {
            path,
            profile: profile.to_owned(),
            origin: origin.to_owned(),
        }
    }

    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// `None` when nobody is signed in. A missing file is not created for asking.
    pub fn head(&self) -> Result<Option<Head>, Error> {
        if !self.path.exists() {
            return Ok(None);
        }
        let connection = database::open_to_read(&self.path)?;
        self.sqlite(read_head(&connection))
    }

    /// Opens every value, as they stood at one moment.
    pub fn secrets(&self, key: &SealingKey, head: &Head) -> Result<Secrets, Error> {
        let mut connection = database::open_to_read(&self.path)?;
        let transaction = self.sqlite(connection.transaction())?;
        // A rotation or a login may have come between reading the head and this.
        let now = self.sqlite(read_head(&transaction))?;
        let head = now.as_ref().unwrap_or(head);
        self.same_service(head)?;
        self.same_key(head, key)?;
        let text = |column: &str| -> Result<Option<SecretString>, Error> {
            let sealed: Option<Vec<u8>> = self.sqlite(
                transaction
                    .query_row(
                        "SELECT value FROM sealed WHERE name = ?1",
                        [column],
                        |row| row.get(0),
                    )
                    .optional(),
            )?;
            let Some(sealed) = sealed else {
                return Ok(None);
            };
            let plain = key
                .open(&sealed, &self.place(&head.origin, column))
                .map_err(|source| self.does_not_open(source))?;
            let text = String::from_utf8(plain.to_vec())
                .map_err(|_| self.does_not_open(seal::Error::DoesNotOpen))?;
            Ok(Some(SecretString::from(text)))
        };
        let needed = |column: &str| {
            text(column)?.ok_or_else(|| self.does_not_open(seal::Error::DoesNotOpen))
        };
        let lasts = needed("expires_at")?;
        let (expires_at, life) = lasts.expose_secret().split_once(' ').unwrap_or_default();
        Ok(Secrets {
            means: match head.kind {
                Kind::Device => Broker::new(head.origin.clone(), needed("device_token")?)
                    .map(Means::Device)
                    .ok_or_else(|| self.does_not_open(seal::Error::DoesNotOpen))?,
                Kind::ClientCredentials | Kind::AuthorizationCode => Means::Client {
                    id: needed("client_id")?,
                    secret: needed("client_secret")?,
                },
            },
            access_token: needed("access_token")?,
            // Service Fusion's own tokens are for the address that gives them out.
            api_url: text("api_url")?
                .map_or_else(|| head.origin.clone(), |url| url.expose_secret().to_owned()),
            expires_at: expires_at.parse().unwrap_or(0),
            life: life.parse().unwrap_or(0),
            refresh_token: text("refresh_token")?,
            account: text("account")?
                .map(|account| account.expose_secret().to_owned())
                .unwrap_or_default(),
        })
    }

    fn same_service(&self, head: &Head) -> Result<(), Error> {
        // A hosting service says itself which API its tokens are for.
        if head.kind == Kind::Device || head.origin == self.origin {
            return Ok(());
        }
        Err(Error::OtherService {
            signed_in: head.origin.clone(),
            wanted: self.origin.clone(),
        })
    }

    fn same_key(&self, head: &Head, key: &SealingKey) -> Result<(), Error> {
        if head.key_id == key.id() {
            return Ok(());
        }
        Err(Error::OtherKey {
            path: self.shown(),
            expected: head.key_id.clone(),
            found: key.id(),
        })
    }

    /// Seals every value with another key, in one transaction. The old sealed values leave the disk.
    pub fn reseal(&self, head: &Head, old: &SealingKey, new: &SealingKey) -> Result<(), Error> {
        self.same_service(head)?;
        let mut connection = self.open_file()?;
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = self.sqlite(begun)?;
        let update = "UPDATE login SET key_id = ?2 WHERE id = 1 AND key_id = ?1";
        self.sqlite(transaction.execute(update, (old.id(), new.id())))?;
        for (column, sealed) in self.sqlite(read_sealed(&transaction))? {
            let place = self.place(&head.origin, &column);
            let resealed = old
                .open(&sealed, &place)
                .and_then(|plain| new.seal(&plain, &place))
                .map_err(|source| self.does_not_open(source))?;
            let update = "UPDATE sealed SET value = ?2 WHERE name = ?1";
            self.sqlite(transaction.execute(update, (&column, resealed)))?;
        }
        self.sqlite(transaction.commit())?;
        // What is committed counts; the log is cut at the next occasion then.
        let _ = truncate_log(&connection);
        Ok(())
    }

    /// Replaces whatever sign-in there is, in one transaction.
    pub fn store(
        &self,
        kind: Kind,
        place: Place,
        key: &SealingKey,
        secrets: &Secrets,
    ) -> Result<(), Error> {
        let sealed = self.seal_all(key, secrets)?;
        let mut connection = self.open_file()?;
        let written = (|| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute("DELETE FROM sealed", [])?;
            transaction.execute(
                "INSERT INTO login (id, kind, key_place, key_id, origin, generation) VALUES (1, ?1, ?2, ?3, ?4, 1)
                 ON CONFLICT (id) DO UPDATE SET kind = ?1, key_place = ?2, key_id = ?3, origin = ?4, generation = generation + 1,
                 intent_at = NULL, ended = NULL",
                (kind.word(), place.word(), key.id(), self.issuer(secrets)),
            )?;
            insert(&transaction, &sealed)?;
            transaction.commit()?;
            // What is committed counts; the log is cut at the next occasion then.
            let _ = truncate_log(&connection);
            Ok(())
        })();
        self.sqlite(written)
    }

    /// Notes that a renewal begins. `false` when the tokens are not those of `generation` any more.
    pub fn begin_renewal(&self, generation: i64, now_ms: i64) -> Result<bool, Error> {
        let connection = self.open_file()?;
        let changed = connection.execute(
            "UPDATE login SET intent_at = ?2 WHERE id = 1 AND generation = ?1",
            (generation, now_ms),
        );
        Ok(self.sqlite(changed)? == 1)
    }

    /// Notes that a renewal certainly did not reach Service Fusion.
    pub fn cancel_renewal(&self, generation: i64) -> Result<(), Error> {
        let connection = self.open_file()?;
        let changed = connection.execute(
            "UPDATE login SET intent_at = NULL WHERE id = 1 AND generation = ?1",
            [generation],
        );
        self.sqlite(changed).map(|_| ())
    }

    /// Writes the new tokens: durable before anybody uses them. `false` when the sign-in is another one by now, or
    /// sealed with another key.
    pub fn finish_renewal(
        &self,
        generation: i64,
        key: &SealingKey,
        secrets: &Secrets,
    ) -> Result<bool, Error> {
        let sealed = self.seal_all(key, secrets)?;
        let mut connection = self.open_file()?;
        let written = (|| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let changed = transaction.execute(
                "UPDATE login SET generation = generation + 1, intent_at = NULL, ended = NULL
                 WHERE id = 1 AND generation = ?1 AND key_id = ?2",
                (generation, key.id()),
            )?;
            if changed == 1 {
                transaction.execute("DELETE FROM sealed", [])?;
                insert(&transaction, &sealed)?;
                transaction.commit()?;
            }
            Ok(changed == 1)
        })();
        self.sqlite(written)
    }

    /// Remembers that only signing in again helps.
    pub fn end(&self, generation: i64, reason: &str) -> Result<(), Error> {
        let connection = self.open_file()?;
        let changed = connection.execute(
            "UPDATE login SET ended = ?2, intent_at = NULL WHERE id = 1 AND generation = ?1",
            (generation, reason),
        );
        self.sqlite(changed).map(|_| ())
    }

    /// Forgets the sign-in, on disk too.
    pub fn forget(&self) -> Result<(), Error> {
        let mut connection = self.open_file()?;
        let removed = (|| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute("DELETE FROM sealed", [])?;
            transaction.execute("DELETE FROM login", [])?;
            transaction.commit()?;
            truncate_log(&connection)
        })();
        self.sqlite(removed)
    }

    fn open_file(&self) -> Result<Connection, Error> {
        Ok(database::open(&self.path)?)
    }

    fn seal_all(
        &self,
        key: &SealingKey,
        secrets: &Secrets,
    ) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
        let expires_at = format!("{} {}", secrets.expires_at, secrets.life);
        let issuer = self.issuer(secrets);
        let mut plain = vec![
            ("access_token", secrets.access_token.expose_secret()),
            ("api_url", secrets.api_url.as_str()),
            ("expires_at", expires_at.as_str()),
            ("account", secrets.account.as_str()),
        ];
        match &secrets.means {
            Means::Client { id, secret } => plain.extend([
                ("client_id", id.expose_secret()),
                ("client_secret", secret.expose_secret()),
            ]),
            Means::Device(broker) => plain.push(("device_token", broker.token().expose_secret())),
        }
        if let Some(refresh_token) = &secrets.refresh_token {
            plain.push(("refresh_token", refresh_token.expose_secret()));
        }
        plain
            .into_iter()
            .map(|(column, text)| {
                let sealed = key.seal(text.as_bytes(), &self.place(issuer, column));
                sealed
                    .map(|sealed| (column, sealed))
                    .map_err(|source| self.does_not_open(source))
            })
            .collect()
    }

    /// Who gives out these tokens.
    fn issuer<'a>(&'a self, secrets: &'a Secrets) -> &'a str {
        match &secrets.means {
            Means::Client { .. } => &self.origin,
            Means::Device(broker) => broker.host(),
        }
    }

    /// What a value is bound to: moved to another profile, service, column or schema it does not open.
    pub fn place(&self, issuer: &str, column: &str) -> String {
        format!("sf-mcp tokens 1\n{}\n{issuer}\n{column}", self.profile)
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn does_not_open(&self, source: seal::Error) -> Error {
        Error::Sealed {
            path: self.shown(),
            source,
        }
    }

    fn sqlite<T>(&self, result: rusqlite::Result<T>) -> Result<T, Error> {
        result.map_err(|source| {
            let path = self.shown();
            if database::is_full(&source) {
                Error::NoRoom { path, source }
            } else {
                Error::Sqlite { path, source }
            }
        })
    }
}

fn read_head(connection: &Connection) -> rusqlite::Result<Option<Head>> {
    connection
        .query_row(
            "SELECT kind, key_place, key_id, generation, intent_at, ended, origin FROM login WHERE id = 1",
            [],
            |row| {
                Ok(Head {
                    kind: Kind::from_word(&row.get::<_, String>(0)?),
                    place: Place::from_word(&row.get::<_, String>(1)?).unwrap_or(Place::File),
                    key_id: row.get(2)?,
                    generation: row.get(3)?,
                    intent_at: row.get(4)?,
                    ended: row.get(5)?,
                    origin: row.get(6)?,
                })
            },
        )
        .optional()
}

fn read_sealed(connection: &Connection) -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
    let mut statement = connection.prepare("SELECT name, value FROM sealed")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn insert(connection: &Connection, sealed: &[(&'static str, Vec<u8>)]) -> rusqlite::Result<()> {
    for (column, value) in sealed {
        connection.execute(
            "INSERT INTO sealed (name, value) VALUES (?1, ?2)",
            (column, value),
        )?;
    }
    Ok(())
}

/// Old pages live on in the write-ahead log until it is truncated.
fn truncate_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

//! A valid access token, now; the only place that changes tokens.
//!
//! An ordinary call finds its token in memory. Only when that one runs out does a process take the file lock,
//! read the vault again, and renew where no other process has done so meanwhile.

use std::{
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    auth::{
        lock,
        master_key::{self, Places},
        oauth,
        session::renewal::Renewal,
        vault::{self, Head, Secrets, Vault},
    },
    config::Credentials,
    paths::Paths,
    seal::SealingKey,
};

mod renewal;

/// No request starts with a token that has less than this left.
const MARGIN: Duration = Duration::from_mins(1);
/// From here on a call renews the token in the background while it still uses the old one.
const AHEAD: Duration = Duration::from_mins(5);

/// Why no access token can be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error(
        "nobody is signed in to Service Fusion on this machine. Run `sf-mcp login` in a terminal; \
         `sf-mcp serve --demo` works without an account"
    )]
    SignedOut,
    #[error("{0}. Check the client id and secret, then run `sf-mcp login`")]
    Refused(String),
    #[error("the sign-in has ended ({0}). Run `sf-mcp login` again")]
    Ended(String),
    #[error("{0}")]
    Vault(Arc<vault::Error>),
    #[error("{0}")]
    Key(#[from] master_key::Error),
    #[error("{0}")]
    Lock(#[from] lock::Error),
    #[error("{0}")]
    Unavailable(String),
}

impl From<vault::Error> for Error {
    fn from(problem: vault::Error) -> Self {
        Self::Vault(Arc::new(problem))
    }
}

/// An access token and how long it lasts, on this process's own clock.
#[derive(Clone, Debug)]
pub struct Token {
    secret: SecretString,
    expires: Instant,
    /// Of what life, so that short ones are not renewed all the time.
    life: Duration,
}

impl Token {
    fn new(secret: SecretString, left: Duration) -> Self {
        Self {
            secret,
            expires: Instant::now() + left,
            life: left,
        }
    }

    /// The one place where a token leaves: the value of an `Authorization` header.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.secret.expose_secret())
    }

    fn is(&self, other: &Token) -> bool {
        self.secret.expose_secret() == other.secret.expose_secret()
    }

    fn has_left(&self, least: Duration) -> bool {
        self.expires.saturating_duration_since(Instant::now()) > least.min(self.life / 5)
    }
}

/// Where tokens come from.
#[derive(Debug)]
enum Source {
    /// Credentials of the environment or of the sandbox; nothing is kept.
    Credentials(Credentials),
    /// The profile's sign-in.
    Profile(Profile),
    Nobody,
}

/// A profile's files.
#[derive(Clone, Debug)]
pub struct Profile {
    pub vault: Vault,
    pub places: Places,
    pub lock_file: PathBuf,
    pub stamp_file: PathBuf,
}

impl Profile {
    pub fn new(paths: &Paths, name: &str) -> Self {
        Self {
            vault: Vault::new(paths.database(), name),
            places: Places::new(paths),
            lock_file: paths.lock_file(),
            stamp_file: paths.stamp_file(),
        }
    }

    /// Tells serving processes that somebody has signed in or out.
    pub fn stamp(&self) -> std::io::Result<()> {
        let now = jiff::Timestamp::now().as_nanosecond().to_string();
        if let Some(folder) = self.stamp_file.parent() {
            crate::paths::create_private_folder(folder)?;
        }
        let mut file = crate::paths::private_file()
            .write(true)
            .truncate(true)
            .open(&self.stamp_file)?;
        std::io::Write::write_all(&mut file, now.as_bytes())
    }

    fn stamped(&self) -> Option<SystemTime> {
        std::fs::metadata(&self.stamp_file)
            .and_then(|metadata| metadata.modified())
            .ok()
    }
}

/// What this process knows at the moment.
#[derive(Clone, Debug)]
struct Known {
    token: Token,
    stamped: Option<SystemTime>,
}

/// The signed-in state of one company in this process.
#[derive(Debug)]
pub struct Session(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    origin: String,
    known: RwLock<Option<Known>>,
    /// Read from its place once; a keychain takes milliseconds to answer.
    key: Mutex<Option<SealingKey>>,
    /// One task renews; the others wait here and then find the new token.
    gate: Mutex<()>,
    renewing_ahead: AtomicBool,
}

impl Session {
    /// Credentials win over the profile's sign-in; nothing is read before the first token is asked for.
    pub fn new(origin: String, credentials: Option<Credentials>, profile: Option<Profile>) -> Self {
        let source = match (credentials, profile) {
            (Some(credentials), _) => Source::Credentials(credentials),
            (None, Some(profile)) => Source::Profile(profile),
            (None, None) => Source::Nobody,
        };
        Self(Arc::new(Inner {
            source,
            origin,
            known: RwLock::new(None),
            key: Mutex::new(None),
            gate: Mutex::new(()),
            renewing_ahead: AtomicBool::new(false),
        }))
    }

    /// A token that is valid for some time yet; asks for one where there is none.
    pub async fn token(&self, http: &reqwest::Client) -> Result<Token, Error> {
        if let Some(token) = self.0.fresh() {
            if !token.has_left(AHEAD) {
                self.renew_ahead(http, &token);
            }
            return Ok(token);
        }
        let _turn = self.0.gate.lock().await;
        match self.0.fresh() {
            Some(token) => Ok(token),
            None => self.0.obtain(http, None).await,
        }
    }

    /// A token other than the rejected one: the service answered 401 to it.
    pub async fn replace(&self, http: &reqwest::Client, rejected: &Token) -> Result<Token, Error> {
        let _turn = self.0.gate.lock().await;
        match self.0.fresh() {
            Some(token) if !token.is(rejected) => Ok(token),
            _ => self.0.obtain(http, Some(rejected)).await,
        }
    }

    /// Renews in the background, at most once at a time; callers go on with the token they have.
    fn renew_ahead(&self, http: &reqwest::Client, old: &Token) {
        if self.0.renewing_ahead.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(&self.0);
        let http = http.clone();
        let old = old.clone();
        tokio::spawn(async move {
            // Processes that share a token would all wake at the same second.
            tokio::time::sleep(jitter()).await;
            let _turn = inner.gate.lock().await;
            if inner.fresh().is_some_and(|token| token.is(&old))
                && let Err(problem) = inner.obtain(&http, Some(&old)).await
            {
                tracing::info!(%problem, "the token could not be renewed ahead of time");
            }
            inner.renewing_ahead.store(false, Ordering::Release);
        });
    }
}

fn jitter() -> Duration {
    let mut chance = [0u8; 2];
    // Without chance the wait is just not spread.
    let _ = getrandom::fill(&mut chance);
    Duration::from_millis(u64::from(u16::from_le_bytes(chance)) / 64)
}

impl Inner {
    /// The token in memory, unless it runs out or somebody has signed in or out since.
    fn fresh(&self) -> Option<Token> {
        let known = self
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        let same = match &self.source {
            Source::Profile(profile) => profile.stamped() == known.stamped,
            _ => true,
        };
        Some(known.token).filter(|token| same && token.has_left(MARGIN))
    }

    fn keep(&self, token: &Token, stamped: Option<SystemTime>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Known {
            token: token.clone(),
            stamped,
        });
    }

    /// A token other than `than`, from the vault or from Service Fusion.
    async fn obtain(&self, http: &reqwest::Client, than: Option<&Token>) -> Result<Token, Error> {
        match &self.source {
            Source::Nobody => Err(Error::SignedOut),
            Source::Credentials(credentials) => {
                let grant = oauth::client_credentials(
                    http,
                    &self.origin,
                    &credentials.client_id,
                    &credentials.client_secret,
                )
                .await
                .map_err(refused)?;
                let token = Token::new(grant.access_token, grant.expires_in);
                self.keep(&token, None);
                Ok(token)
            }
            Source::Profile(profile) => {
                let stamped = profile.stamped();
                let token = self.of_profile(profile, http, than).await?;
                self.keep(&token, stamped);
                Ok(token)
            }
        }
    }

    async fn of_profile(
        &self,
        profile: &Profile,
        http: &reqwest::Client,
        than: Option<&Token>,
    ) -> Result<Token, Error> {
        let (head, key, secrets) = self.read(profile).await?;
        if let Some(token) = usable(&secrets, than) {
            return Ok(token);
        }
        if let Some(reason) = head.ended {
            return Err(Error::Ended(reason));
        }
        let _held = lock::take(profile.lock_file.clone()).await?;
        // Another process may have renewed while we waited; its tokens are ours too.
        let (head, _, secrets) = self.read(profile).await?;
        if let Some(token) = usable(&secrets, than) {
            return Ok(token);
        }
        if let Some(reason) = head.ended {
            return Err(Error::Ended(reason));
        }
        let renewal = Renewal {
            origin: &self.origin,
            http,
            vault: &profile.vault,
            head,
            key,
            secrets,
        };
        renewal.run().await
    }

    async fn read(&self, profile: &Profile) -> Result<(Head, SealingKey, Secrets), Error> {
        let mut kept = self.key.lock().await;
        let profile = profile.clone();
        let known = kept.clone();
        let read = blocking(move || {
            let head = profile.vault.head()?.ok_or(Error::SignedOut)?;
            let key = match known.filter(|key| key.id() == head.key_id) {
                Some(key) => key,
                None => profile.places.read(head.place)?,
            };
            let secrets = profile.vault.secrets(&key, &head)?;
            Ok((head, key, secrets))
        })
        .await?;
        *kept = Some(read.1.clone());
        Ok(read)
    }
}

/// The stored token, when it lasts and is not the one that was rejected.
fn usable(secrets: &Secrets, than: Option<&Token>) -> Option<Token> {
    let left = secrets.expires_at - jiff::Timestamp::now().as_millisecond();
    // A clock that was set back must not make a token last longer than it was given.
    let left = u64::try_from(left.min(secrets.life)).ok()?;
    let token = Token {
        life: Duration::from_millis(u64::try_from(secrets.life).unwrap_or(0)),
        ..Token::new(secrets.access_token.clone(), Duration::from_millis(left))
    };
    let rejected = than.is_some_and(|than| than.is(&token));
    Some(token).filter(|token| !rejected && token.has_left(MARGIN))
}

fn refused(problem: oauth::Error) -> Error {
    match problem {
        oauth::Error::Refused(_) => Error::Refused(problem.to_string()),
        other => Error::Unavailable(other.to_string()),
    }
}

/// SQLite and the keychain block, so they run off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(Error::Unavailable(
            "reading the sign-in was interrupted".to_owned(),
        ))
    })
}

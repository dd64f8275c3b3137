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
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        lock,
        master_key::{self, Places},
        oauth,
        rotation::Opened,
        session::renewal::{Renewal, Renewed},
        steps,
        vault::{self, Kind, Secrets, Vault},
    },
    config::Credentials,
    paths::Paths,
    seal::SealingKey,
};

mod renewal;
#[cfg(test)]
mod tests;

/// No request starts with a token that has less than this left.
const MARGIN: (Duration, u32) = (Duration::from_mins(1), 5);
/// From here on a call renews the token in the background while it still uses the old one.
const AHEAD: (Duration, u32) = (Duration::from_mins(5), 2);
/// How long new tokens are tried to be written before somebody is told.
const WRITING: Duration = Duration::from_secs(5);
/// A request for a token ends after 30 s, and what it brings must be written.
const SETTLING: Duration = Duration::from_secs(35);
const ENDING: &str = "sf-mcp is ending";

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
    #[error(
        "the renewed sign-in cannot be written to {path} ({problem}). Make room on the disk, or end the program that \
         keeps the file busy, and call again: this process still has it, but when it ends first, \
         `sf-mcp login` is needed again"
    )]
    Unwritten { path: String, problem: String },
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
        let left = left.min(oauth::LONGEST_LIFE);
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

    /// `least`, or that share of a short life.
    fn has_left(&self, (least, share): (Duration, u32)) -> bool {
        self.expires.saturating_duration_since(Instant::now()) > least.min(self.life / share)
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
    /// `origin` is the service the sign-in is for: its secrets go nowhere else.
    pub fn new(paths: &Paths, name: &str, origin: &str) -> Self {
        Self {
            vault: Vault::new(paths.database(), name, origin),
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
    /// A keychain that does not answer: those who waited behind the first need not each wait again.
    key_problem: std::sync::Mutex<Option<(Instant, master_key::Error)>>,
    /// One task renews; the others wait here and then find the new token.
    gate: Arc<Mutex<()>>,
    renewing_ahead: AtomicBool,
    /// New tokens that could not be written yet; changed only behind the gate.
    unwritten: RwLock<Option<Unwritten>>,
    /// No renewal begins any more.
    closing: CancellationToken,
}

#[derive(Clone, Debug)]
struct Unwritten {
    renewed: Renewed,
    /// Nobody has signed in or out while it stays this.
    stamped: Option<SystemTime>,
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
            key_problem: std::sync::Mutex::new(None),
            gate: Arc::default(),
            renewing_ahead: AtomicBool::new(false),
            unwritten: RwLock::new(None),
            closing: CancellationToken::new(),
        }))
    }

    /// A token that is valid for some time yet; asks for one where there is none.
    pub async fn token(&self, http: &reqwest::Client) -> Result<Token, Error> {
        if let Some(token) = self.0.fresh() {
            if self.0.unwritten().is_some() {
                self.write_now().await;
            }
            if !token.has_left(AHEAD) || self.0.unwritten().is_some() {
                self.renew_ahead(http, &token);
            }
            return Ok(token);
        }
        self.renewed(http, None).await
    }

    /// Writes the tokens that found no room, in the hope that there is some now; a call waits for it but a moment.
    async fn write_now(&self) {
        const MOMENT: Duration = Duration::from_millis(500);
        let inner = Arc::clone(&self.0);
        let writing = tokio::spawn(async move {
            let _turn = inner.gate.lock().await;
            // Tried again with the next call.
            let _ = inner.write_late().await;
        });
        let _ = tokio::time::timeout(MOMENT, writing).await;
    }

    /// A token other than the rejected one: the service answered 401 to it.
    pub async fn replace(&self, http: &reqwest::Client, rejected: &Token) -> Result<Token, Error> {
        self.renewed(http, Some(rejected)).await
    }

    /// A caller may leave at any time. The work goes on without it, for a spent refresh token is worth its answer.
    async fn renewed(
        &self,
        http: &reqwest::Client,
        rejected: Option<&Token>,
    ) -> Result<Token, Error> {
        let asked = Instant::now();
        let turn = Arc::clone(&self.0.gate).lock_owned().await;
        if let Some(problem) = self.0.problem_since(asked) {
            return Err(Error::Key(problem));
        }
        if let Some(token) = self.0.fresh()
            && !rejected.is_some_and(|rejected| token.is(rejected))
        {
            return Ok(token);
        }
        let inner = Arc::clone(&self.0);
        let (http, rejected) = (http.clone(), rejected.cloned());
        let work = tokio::spawn(async move { inner.obtain(&http, rejected.as_ref(), &turn).await });
        work.await.unwrap_or_else(|_| {
            Err(Error::Unavailable(
                "the renewal of the sign-in was interrupted".to_owned(),
            ))
        })
    }

    /// Lets no renewal begin any more and waits for the one under way: before the process ends.
    pub async fn settled(&self) {
        self.0.closing.cancel();
        let settled = async {
            let turn = self.0.gate.lock().await;
            if let Err(problem) = self.0.write_late().await {
                tracing::warn!(%problem, "the process ends");
            }
            drop(turn);
        };
        if tokio::time::timeout(SETTLING, settled).await.is_err() {
            tracing::warn!("the process ends while the sign-in is being renewed");
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
            let turn = Arc::clone(&inner.gate).lock_owned().await;
            if let Err(problem) = inner.write_late().await {
                tracing::warn!(%problem, "the new tokens are in memory only");
            } else if !old.has_left(AHEAD)
                && inner.fresh().is_some_and(|token| token.is(&old))
                && let Err(problem) = inner.obtain(&http, Some(&old), &turn).await
            {
                tracing::info!(%problem, "the token could not be renewed ahead of time");
            }
            drop(turn);
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

    fn unwritten(&self) -> Option<Unwritten> {
        let unwritten = self.unwritten.read();
        unwritten.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_unwritten(&self, unwritten: Option<Unwritten>) {
        *self
            .unwritten
            .write()
            .unwrap_or_else(PoisonError::into_inner) = unwritten;
    }

    /// A token other than `than`, from the vault or from Service Fusion, by whoever has the gate.
    async fn obtain(
        &self,
        http: &reqwest::Client,
        than: Option<&Token>,
        _turn: &OwnedMutexGuard<()>,
    ) -> Result<Token, Error> {
        if self.closing.is_cancelled() {
            return Err(Error::Unavailable(ENDING.to_owned()));
        }
        match &self.source {
            Source::Nobody => Err(Error::SignedOut),
            Source::Credentials(credentials) => {
                let asked = oauth::client_credentials(
                    http,
                    &self.origin,
                    &credentials.client_id,
                    &credentials.client_secret,
                );
                // These can be asked for again at any time.
                let grant = tokio::select! {
                    grant = asked => grant.map_err(refused)?,
                    () = self.closing.cancelled() => return Err(Error::Unavailable(ENDING.to_owned())),
                };
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
        self.write_late().await?;
        let Opened { head, secrets, .. } = self.read(profile).await?;
        if let Some(token) = usable(&secrets, than) {
            return Ok(token);
        }
        if let Some(reason) = head.ended {
            return Err(Error::Ended(reason));
        }
        let held = tokio::select! {
            taken = lock::take(profile.lock_file.clone()) => taken?,
            () = self.closing.cancelled() => return Err(Error::Unavailable(ENDING.to_owned())),
        };
        steps::reached("lock taken");
        // Nobody signs in or out under the lock.
        let stamped = profile.stamped();
        // Another process may have renewed while we waited; its tokens are ours too.
        let Opened { head, key, secrets } = self.read(profile).await?;
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
            closing: &self.closing,
        };
        let renewed = renewal.run().await?;
        let life = u64::try_from(renewed.secrets.life).unwrap_or(0);
        let token = Token::new(
            renewed.secrets.access_token.clone(),
            Duration::from_millis(life),
        );
        // Whatever becomes of the file, this process can go on with them.
        self.keep(&token, stamped);
        let written = self.write(profile, Unwritten { renewed, stamped }).await;
        drop(held);
        steps::reached("lock released");
        match written {
            Ok(true) => Ok(token),
            Ok(false) => {
                self.forget();
                Err(Error::SignedOut)
            }
            // Refusing the call would help nobody: the tokens are kept and written as soon as that works.
            Err(problem @ Error::Unwritten { .. }) => {
                tracing::error!(%problem, "the sign-in is in memory only");
                Ok(token)
            }
            Err(problem) => Err(problem),
        }
    }

    /// Writes what could not be written when it came. Nothing of it is written over a later sign-in.
    async fn write_late(&self) -> Result<(), Error> {
        let (Source::Profile(profile), Some(unwritten)) = (&self.source, self.unwritten()) else {
            return Ok(());
        };
        let _held = lock::take(profile.lock_file.clone()).await?;
        self.write(profile, unwritten).await.map(|_| ())
    }

    /// Under the lock: writes the tokens, more than once if need be. `false` when the sign-in is another one by now.
    async fn write(&self, profile: &Profile, unwritten: Unwritten) -> Result<bool, Error> {
        let kind = unwritten.renewed.kind;
        self.set_unwritten(Some(unwritten.clone()));
        let started = Instant::now();
        let mut wait = Duration::from_millis(100);
        loop {
            let (to, what) = (profile.clone(), unwritten.clone());
            let written = blocking(move || {
                // The generation alone does not tell: it begins again after a logout.
                if to.stamped() != what.stamped {
                    return Ok(false);
                }
                let new = what.renewed;
                // The key may have been changed since the tokens came.
                let key = match to.vault.head()? {
                    Some(head) if head.key_id != new.key.id() => {
                        to.places.read(head.place, &head.key_id)?.0
                    }
                    _ => new.key,
                };
                Ok(to
                    .vault
                    .finish_renewal(new.generation, &key, &new.secrets)?)
            });
            match written.await {
                Ok(written) => {
                    steps::reached("tokens written");
                    self.set_unwritten(None);
                    return Ok(written);
                }
                Err(problem) if started.elapsed() + wait < WRITING => {
                    tracing::info!(%problem, "the new tokens cannot be written yet");
                }
                // The id and secret bring another token; nothing is lost.
                Err(problem) if kind == Kind::ClientCredentials => {
                    tracing::warn!(%problem, "the new token is in memory only");
                    self.set_unwritten(None);
                    return Ok(true);
                }
                Err(problem) => {
                    return Err(Error::Unwritten {
                        path: profile.vault.path().display().to_string(),
                        problem: problem.to_string(),
                    });
                }
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }

    fn forget(&self) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn read(&self, profile: &Profile) -> Result<Opened, Error> {
        let mut kept = self.key.lock().await;
        let profile = profile.clone();
        let known = kept.clone();
        let read = blocking(move || profile.open(known.as_ref())).await;
        if let Err(Error::Key(problem)) = &read {
            let mut noted = self
                .key_problem
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *noted = Some((Instant::now(), problem.clone()));
        }
        let read = read?;
        *kept = Some(read.key.clone());
        Ok(read)
    }

    /// What the keychain said while we waited for our turn.
    fn problem_since(&self, asked: Instant) -> Option<master_key::Error> {
        let noted = self
            .key_problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (at, problem) = noted.as_ref()?;
        (*at >= asked).then(|| problem.clone())
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

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

use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

#[cfg(unix)]
use crate::auth::hosted::Hosted;
use crate::{
    auth::{
        broker::{self, Broker},
        lock,
        master_key::{self, Places},
        oauth,
        rotation::Opened,
        session::{
            renewal::{Renewal, Renewed},
            token::{AHEAD, MARGIN, Token, living, usable},
        },
        steps,
        vault::{self, Head, Kind, Means, Vault},
    },
    config::Credentials,
    paths::Paths,
    seal::SealingKey,
};

mod renewal;
#[cfg(test)]
mod tests;
pub mod token;

/// How long new tokens are tried to be written before somebody is told.
const WRITING: Duration = Duration::from_secs(5);
/// Who could not be asked is not asked again so soon while there is a token that lives.
const AGAIN: Duration = Duration::from_secs(15);
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
    #[error("the sign-in has ended ({reason}). {remedy}")]
    Ended { reason: String, remedy: String },
    #[error(transparent)]
    Lender(#[from] broker::Error),
    #[error("{0}")]
    Vault(Arc<vault::Error>),
    #[error(transparent)]
    Key(#[from] master_key::Error),
    #[error(transparent)]
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

impl Error {
    fn ended(head: &Head, reason: String) -> Self {
        Self::Ended {
            reason,
            remedy: head.remedy(),
        }
    }

    /// Whether the same may work in a moment, so that a token that still lives is worth using.
    fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Lender(broker::Error::Unavailable { .. })
        )
    }
}

impl From<vault::Error> for Error {
    fn from(problem: vault::Error) -> Self {
        Self::Vault(Arc::new(problem))
    }
}

/// Which token is asked for.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Any,
    /// This one runs out.
    After(&'a Token),
    /// The API has refused this one.
    InsteadOf(&'a Token),
}

impl<'a> Wanted<'a> {
    fn than(self) -> Option<&'a Token> {
        match self {
            Self::Any => None,
            Self::After(token) | Self::InsteadOf(token) => Some(token),
        }
    }

    fn rejected(self) -> Option<&'a Token> {
        match self {
            Self::InsteadOf(token) => Some(token),
            _ => None,
        }
    }
}

/// Where tokens come from.
#[derive(Debug)]
enum Source {
    /// Credentials of the environment or of the sandbox; nothing is kept.
    Credentials(Credentials),
    /// The profile's sign-in.
    Profile(Box<Profile>),
    /// The hosting service that started this process.
    #[cfg(unix)]
    Hosted(Hosted),
    Nobody,
}

/// A profile's files.
#[derive(Clone, Debug)]
pub struct Profile {
    pub vault: Vault,
    pub places: Places,
    pub lock_file: PathBuf,
    pub stamp_file: PathBuf,
    /// Where the company's time zone is kept, as a hosting service tells it.
    pub zone_file: Option<PathBuf>,
    /// Named by the environment: it is signed in by that alone.
    pub device: Option<Broker>,
}

impl Profile {
    /// `origin` is the service the sign-in is for: its secrets go nowhere else.
    pub fn new(paths: &Paths, name: &str, origin: &str) -> Self {
        Self {
            vault: Vault::new(paths.database(), name, origin),
            places: Places::new(paths),
            lock_file: paths.lock_file(),
            stamp_file: paths.stamp_file(),
            zone_file: Some(paths.told_zone()),
            device: None,
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
#[derive(Clone, Debug)]
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
    /// When nobody could be asked: a token that still lives is used meanwhile.
    in_vain: std::sync::Mutex<Option<Instant>>,
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
            (None, Some(profile)) => Source::Profile(Box::new(profile)),
            (None, None) => Source::Nobody,
        };
        Self::of(origin, source)
    }

    /// Tokens come from the hosting service that started this process; nothing is kept.
    #[cfg(unix)]
    pub fn hosted(hosted: Hosted) -> Self {
        Self::of(String::new(), Source::Hosted(hosted))
    }

    fn of(origin: String, source: Source) -> Self {
        Self(Arc::new(Inner {
            source,
            origin,
            known: RwLock::new(None),
            key: Mutex::new(None),
            key_problem: std::sync::Mutex::new(None),
            gate: Arc::default(),
            renewing_ahead: AtomicBool::new(false),
            in_vain: std::sync::Mutex::default(),
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
        let work = tokio::spawn(async move {
            let wanted = rejected.as_ref().map_or(Wanted::Any, Wanted::InsteadOf);
            inner.obtain(&http, wanted, &turn).await
        });
        work.await.unwrap_or_else(|_| {
            Err(Error::Unavailable(
                "the renewal of the sign-in was interrupted".to_owned(),
            ))
        })
    }

    /// The hosting service that lends the tokens, where one does.
    pub async fn lender(&self) -> Result<Option<Broker>, Error> {
        let Source::Profile(profile) = &self.0.source else {
            return Ok(None);
        };
        if let Some(device) = &profile.device {
            return Ok(Some(device.clone()));
        }
        // The kind is known without the key, for which a keychain may be slow.
        let vault = profile.vault.clone();
        let head = blocking(move || Ok(vault.head()?)).await?;
        if head.ok_or(Error::SignedOut)?.kind != Kind::Device {
            return Ok(None);
        }
        match self.0.read(profile).await?.secrets.means {
            Means::Device(broker) => Ok(Some(broker)),
            Means::Client { .. } => Ok(None),
        }
    }

    /// Whether there can be one at all.
    pub fn may_be_lent(&self) -> bool {
        matches!(self.0.source, Source::Profile(_))
    }

    /// Changes whenever somebody signs in or out.
    pub fn stamped(&self) -> Option<SystemTime> {
        match &self.0.source {
            Source::Profile(profile) => profile.stamped(),
            _ => None,
        }
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
                && let Err(problem) = inner.obtain(&http, Wanted::After(&old), &turn).await
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

    /// A token as wanted, from the vault or from whoever gives them out, by whoever has the gate.
    async fn obtain(
        &self,
        http: &reqwest::Client,
        wanted: Wanted<'_>,
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
                let token = Token::new(grant.access_token, &self.origin, grant.expires_in);
                self.keep(&token, None);
                Ok(token)
            }
            #[cfg(unix)]
            Source::Hosted(hosted) => {
                let hosted = hosted.clone();
                let rejected = wanted.rejected().map(|token| token.secret.clone());
                let lent = blocking(move || Ok(hosted.lend(rejected.as_ref())?)).await?;
                let origin = lent.api_url.as_deref().unwrap_or(&self.origin);
                let token = Token::new(lent.access_token, origin, lent.expires_in);
                self.keep(&token, None);
                Ok(token)
            }
            Source::Profile(profile) => {
                let stamped = profile.stamped();
                let token = self.of_profile(profile, http, wanted).await?;
                self.keep(&token, stamped);
                Ok(token)
            }
        }
    }

    async fn of_profile(
        &self,
        profile: &Profile,
        http: &reqwest::Client,
        wanted: Wanted<'_>,
    ) -> Result<Token, Error> {
        let than = wanted.than();
        self.write_late().await?;
        profile.enrol().await?;
        let Opened { head, secrets, .. } = self.read(profile).await?;
        if let Some(token) = usable(&secrets, than) {
            return Ok(token);
        }
        if let Some(reason) = head.ended.clone() {
            return Err(Error::ended(&head, reason));
        }
        if let Some(token) = living(&secrets, than).filter(|_| self.was_in_vain()) {
            return Ok(token);
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
        if let Some(reason) = head.ended.clone() {
            return Err(Error::ended(&head, reason));
        }
        let last = living(&secrets, than);
        let renewal = Renewal {
            rejected: wanted.rejected(),
            origin: &self.origin,
            http,
            vault: &profile.vault,
            zone_file: profile.zone_file.as_deref(),
            head,
            key,
            secrets,
            closing: &self.closing,
        };
        let renewed = match renewal.run().await {
            Ok(renewed) => renewed,
            // The last minute of a token is better than no answer at all.
            Err(problem) if problem.may_pass() => {
                *self.in_vain.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                return last.ok_or(problem);
            }
            Err(problem) => return Err(problem),
        };
        let life = u64::try_from(renewed.secrets.life).unwrap_or(0);
        let token = Token::new(
            renewed.secrets.access_token.clone(),
            &renewed.secrets.api_url,
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
                // Another token can be asked for; nothing is lost.
                Err(problem) if kind.is_repeatable() => {
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

    fn was_in_vain(&self) -> bool {
        let at = *self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| at.elapsed() < AGAIN)
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

fn refused(problem: oauth::Error) -> Error {
    match problem {
        oauth::Error::Refused(_) => Error::Refused(problem.to_string()),
        other => Error::Unavailable(other.to_string()),
    }
}

/// SQLite and the keychain block, so they run off the async threads.
pub(in crate::auth) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(Error::Unavailable(
            "reading the sign-in was interrupted".to_owned(),
        ))
    })
}

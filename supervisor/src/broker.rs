//! Access tokens for devices and children: one renewal per tenant, whoever asks, in whichever process.
//!
//! An ordinary request finds its token in memory and needs one read, which tells whether the token is still the
//! tenant's. When it runs out, one task per tenant and process takes the tenant's lock across all processes, reads
//! again, and renews where nobody else has done so meanwhile.

mod renewal;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    outside::Outside,
    store::{self, Credentials, Store},
    text::hexadecimal,
    vault::{self, Head, Vault},
};

/// No token is handed out with less than this left, or than that share of its life.
const MARGIN: (Duration, i64) = (Duration::from_mins(2), 5);
/// From here on it is renewed in the background while it is still handed out.
const AHEAD: (Duration, i64) = (Duration::from_mins(10), 2);
/// With so much left a token is still handed out when no other can be had.
const LAST: Duration = Duration::from_secs(2);
/// How long a request waits for a renewal.
const PATIENCE: Duration = Duration::from_secs(50);
/// After a failure nobody asks Service Fusion for that tenant's token again for so long, and while the old token
/// lasts, for so long.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_AHEAD: Duration = Duration::from_secs(30);
/// When to ask again after such a failure, in seconds.
const SOON: u64 = 2;
/// A renewal ends within so long: a request takes 30 s at most, and its answer must be written.
const SETTLING: Duration = Duration::from_secs(40);
/// Tenants whose token is in memory.
const KEPT: usize = 10_000;

/// An access token for Service Fusion and its remaining life.
#[derive(Clone, Debug)]
pub struct Access {
    pub access_token: SecretString,
    pub expires_in: Duration,
}

/// Why there is no access token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("the company is not connected to Service Fusion yet; its owner must activate it")]
    NotConnected,
    #[error(
        "the connection to Service Fusion has ended ({0}); the company's owner must connect it again"
    )]
    Ended(String),
    #[error("the company's access is suspended; ask the operator of this service")]
    Suspended,
    #[error("{why}; try again in {seconds} s")]
    Unavailable { why: String, seconds: u64 },
    #[error("{0}")]
    Vault(Arc<vault::Error>),
}

impl From<vault::Error> for Error {
    fn from(problem: vault::Error) -> Self {
        match problem {
            vault::Error::Store(store::Error::LockTimeout) => {
                unavailable("another process has been renewing the token for too long")
            }
            problem => Self::Vault(Arc::new(problem)),
        }
    }
}

impl From<store::Error> for Error {
    fn from(problem: store::Error) -> Self {
        vault::Error::from(problem).into()
    }
}

fn unavailable(why: impl Into<String>) -> Error {
    Error::Unavailable {
        why: why.into(),
        seconds: SOON,
    }
}

type Flight = Shared<BoxFuture<'static, Result<Access, Error>>>;

/// Hands out access tokens. Clones are one broker.
#[derive(Clone, Debug)]
pub struct Broker(Arc<Inner>);

struct Inner {
    store: Store,
    vault: Vault,
    clock: Clock,
    outside: Outside,
    origin: String,
    state: Mutex<State>,
    /// A renewal has ended.
    landed: Notify,
    /// No renewal begins any more.
    closing: CancellationToken,
}

#[derive(Default)]
struct State {
    kept: HashMap<String, Kept>,
    flights: HashMap<String, Flight>,
    /// When the last renewal failed, and how.
    failed: HashMap<String, (Instant, Error)>,
}

/// A token in memory, good while the tenant's generation stays this.
#[derive(Clone)]
struct Kept {
    generation: i64,
    access_token: SecretString,
}

/// What is stored for a tenant, with its access token opened.
struct Known {
    head: Head,
    row: Credentials,
    access_token: SecretString,
    now: i64,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl Broker {
    /// `origin` is Service Fusion's.
    pub fn new(store: Store, vault: Vault, clock: Clock, outside: Outside, origin: String) -> Self {
        Self(Arc::new(Inner {
            store,
            vault,
            clock,
            outside,
            origin,
            state: Mutex::default(),
            landed: Notify::new(),
            closing: CancellationToken::new(),
        }))
    }

    /// A token that lasts for some time yet.
    pub async fn token(&self, tenant_id: &str) -> Result<Access, Error> {
        self.other_than(tenant_id, None).await
    }

    /// A token other than the one with this SHA-256 in hexadecimal, which Service Fusion has refused.
    pub async fn other_than(
        &self,
        tenant_id: &str,
        rejected: Option<&str>,
    ) -> Result<Access, Error> {
        let known = self.0.known(tenant_id).await?;
        if let Some(access) = known.usable(MARGIN, rejected) {
            if known.head.ended.is_none() && known.usable(AHEAD, None).is_none() {
                self.renew_ahead(tenant_id);
            }
            return Ok(access);
        }
        if let Some(reason) = &known.head.ended {
            return Err(Error::Ended(reason.clone()));
        }
        let mut renewed = self.renewed(tenant_id, rejected).await;
        // The renewal under way knew nothing of the refusal and may have found the same token.
        if let (Ok(access), Some(rejected)) = (&renewed, rejected)
            && fingerprint(&access.access_token) == rejected
        {
            renewed = self.renewed(tenant_id, Some(rejected)).await;
        }
        match renewed {
            Err(problem @ (Error::Unavailable { .. } | Error::Vault(_))) => {
                known.usable((LAST, 1), rejected).ok_or(problem)
            }
            renewed => renewed,
        }
    }

    /// Lets no renewal begin any more and waits for those under way.
    pub async fn close(&self) {
        self.0.closing.cancel();
        let settled = async {
            loop {
                let landed = self.0.landed.notified();
                if self.0.state().flights.is_empty() {
                    break;
                }
                landed.await;
            }
        };
        if tokio::time::timeout(SETTLING, settled).await.is_err() {
            tracing::warn!("the service ends while tokens are being renewed");
        }
    }

    async fn renewed(&self, tenant_id: &str, rejected: Option<&str>) -> Result<Access, Error> {
        let flight = self.flight(tenant_id, MARGIN, rejected)?;
        tokio::time::timeout(PATIENCE, flight)
            .await
            .unwrap_or_else(|_| Err(unavailable("the renewal of the token takes unusually long")))
    }

    /// Renews while the token is still handed out; whoever needs one in the meantime joins.
    fn renew_ahead(&self, tenant_id: &str) {
        // The work goes on by itself, and a failure has been logged there.
        let _ = self.flight(tenant_id, AHEAD, None);
    }

    /// The one renewal of the tenant in this process. A caller may leave at any time, the work goes on without it: a
    /// spent refresh token is worth its answer.
    fn flight(
        &self,
        tenant_id: &str,
        needed: (Duration, i64),
        rejected: Option<&str>,
    ) -> Result<Flight, Error> {
        let mut state = self.0.state();
        if let Some(flight) = state.flights.get(tenant_id) {
            return Ok(flight.clone());
        }
        let pause = if needed == AHEAD { PAUSE_AHEAD } else { PAUSE };
        if let Some((at, problem)) = state.failed.get(tenant_id)
            && at.elapsed() < pause
        {
            return Err(problem.clone());
        }
        if self.0.closing.is_cancelled() {
            return Err(unavailable("this replica of the service is ending"));
        }
        let inner = Arc::clone(&self.0);
        let (tenant, rejected) = (tenant_id.to_owned(), rejected.map(str::to_owned));
        let work = tokio::spawn(async move {
            let landing = Landing(Arc::clone(&inner), tenant.clone());
            let outcome = inner.obtain(&tenant, needed, rejected.as_deref()).await;
            landing.note(&outcome);
            outcome
        });
        let flight = work
            .map(|ended| {
                ended.unwrap_or_else(|_| {
                    Err(unavailable("the renewal of the token was interrupted"))
                })
            })
            .boxed()
            .shared();
        state.flights.insert(tenant_id.to_owned(), flight.clone());
        Ok(flight)
    }
}

/// Removes the flight when the work ends, however it ends.
struct Landing(Arc<Inner>, String);

impl Landing {
    fn note(&self, outcome: &Result<Access, Error>) {
        let Err(problem) = outcome else { return };
        tracing::warn!(tenant = self.1, %problem, "a tenant's token could not be renewed");
        if matches!(problem, Error::Unavailable { seconds: SOON, .. }) {
            let mut state = self.0.state();
            state.failed.retain(|_, (at, _)| at.elapsed() < PAUSE_AHEAD);
            let failed = (Instant::now(), problem.clone());
            state.failed.insert(self.1.clone(), failed);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.0.state().flights.remove(&self.1);
        self.0.landed.notify_waiters();
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is stored for the tenant now; a suspended one has nothing.
    async fn known(&self, tenant_id: &str) -> Result<Known, Error> {
        let mut tries = 3;
        loop {
            match self.read(tenant_id).await {
                // A renewal and a rotation in the same instant: what is read next belongs together.
                Err(Error::Vault(problem))
                    if tries > 0 && matches!(*problem, vault::Error::Contended(_)) =>
                {
                    tries -= 1;
                }
                read => return read,
            }
        }
    }

    async fn read(&self, tenant_id: &str) -> Result<Known, Error> {
        let read = self.vault.read(tenant_id).await?;
        let refused = match &read {
            None => Some(Error::NotConnected),
            Some((head, _)) if head.suspended => Some(Error::Suspended),
            Some(_) => None,
        };
        let (Some((head, row)), None) = (read, &refused) else {
            self.state().kept.remove(tenant_id);
            return Err(refused.unwrap_or(Error::NotConnected));
        };
        let kept = self.state().kept.get(tenant_id).cloned();
        let kept = kept.filter(|kept| kept.generation == head.generation);
        let access_token = if let Some(kept) = kept {
            kept.access_token
        } else {
            let opened = self.vault.access_token(row.clone()).await?;
            self.keep(tenant_id, head.generation, &opened);
            opened
        };
        Ok(Known {
            head,
            row,
            access_token,
            now: self.clock.now(),
        })
    }

    fn keep(&self, tenant_id: &str, generation: i64, access_token: &SecretString) {
        let mut state = self.state();
        if state.kept.len() >= KEPT {
            // It is read again when it is needed again.
            let any = state.kept.keys().next().cloned();
            any.and_then(|any| state.kept.remove(&any));
        }
        let kept = Kept {
            generation,
            access_token: access_token.clone(),
        };
        state.kept.insert(tenant_id.to_owned(), kept);
    }
}

impl Known {
    /// The token with its remaining life, when that is enough and the token is not the refused one.
    fn usable(&self, (least, share): (Duration, i64), rejected: Option<&str>) -> Option<Access> {
        // A clock that was set back must not make a token last longer than it was given.
        let left = (self.head.expires_at - self.now).min(self.head.life);
        let least = i64::try_from(least.as_millis())
            .unwrap_or(i64::MAX)
            .min(self.head.life / share);
        let refused = rejected.is_some_and(|rejected| self.is(rejected));
        if left <= least || refused {
            return None;
        }
        Some(Access {
            access_token: self.access_token.clone(),
            expires_in: Duration::from_millis(u64::try_from(left).ok()?),
        })
    }

    fn is(&self, rejected: &str) -> bool {
        fingerprint(&self.access_token) == rejected
    }
}

/// SHA-256 in hexadecimal: how a device names a token without sending it.
pub fn fingerprint(token: &SecretString) -> String {
    hexadecimal(&Sha256::digest(token.expose_secret().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::Sealed, vault::Kind};

    /// A token with so many seconds left of a life of so many.
    fn known(left: i64, life: i64) -> Known {
        let head = Head {
            kind: Kind::ClientCredentials,
            expires_at: left * 1000,
            life: life * 1000,
            generation: 1,
            intent_at: None,
            ended: None,
            created_at: 0,
            updated_at: 0,
            suspended: false,
        };
        let sealed = Sealed {
            client_id: String::new(),
            client_secret: String::new(),
            refresh_token: None,
            access_token: String::new(),
            account: String::new(),
        };
        let row = Credentials {
            tenant_id: String::new(),
            kind: String::new(),
            key_id: String::new(),
            sealed,
            expires_at: head.expires_at,
            life: head.life,
            generation: 1,
            intent_at: None,
            ended: None,
            created_at: 0,
            updated_at: 0,
            suspended_at: None,
        };
        Known {
            head,
            row,
            access_token: "token".to_owned().into(),
            now: 0,
        }
    }

    #[test]
    fn a_token_with_too_little_left_is_not_handed_out() {
        for (left, life, handed_out) in [
            (3600, 3600, true),
            (121, 3600, true),
            (120, 3600, false),
            (-5, 3600, false),
            // A fifth of a short life.
            (13, 60, true),
            (12, 60, false),
        ] {
            let access = known(left, life).usable(MARGIN, None);
            assert_eq!(access.is_some(), handed_out, "{left} of {life}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_gives_no_longer_life() {
        let access = known(9000, 3600).usable(MARGIN, None).unwrap();
        assert_eq!(access.expires_in, Duration::from_hours(1));
    }

    #[test]
    fn the_refused_token_is_known_by_its_hash() {
        // `printf token | sha256sum`
        let hash = "3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0";
        assert!(known(3600, 3600).usable(MARGIN, Some(hash)).is_none());
        assert!(known(3600, 3600).usable(MARGIN, Some("other")).is_some());
    }
}

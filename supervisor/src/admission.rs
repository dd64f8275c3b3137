//! Who may use the hosted endpoint, and how often, without a query per call on SQLite and with one on PostgreSQL.
//!
//! SQLite: one process serves, so tokens, companies and what these have spent are kept in memory. What was read is
//! good until this process changes a token or a company ([`Store::changed`]), anybody else writes to the file (it is
//! looked at every `LOOK` while there are requests), or nobody has looked for `TRUSTED`: then it is read again. So
//! what the admin command line changes holds within a tenth of a second, what this process changes at once.
//!
//! PostgreSQL: memory only tells which limits to ask for. The one statement of a call finds the token and its company,
//! and judges and counts the call, for all replicas together.

mod seen;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use self::seen::Seen;
use crate::{
    clock::Clock,
    config::{Config, Limits, Tier},
    in_flight::{InFlight, Place},
    rate::{Spent, Standing, Verdict, day_of, is_shut},
    store::{self, Charge, Holder, Kind, Store, Tenant, Token, Watch},
};

/// How often others' writes to an SQLite file are looked for.
const LOOK: Duration = Duration::from_millis(50);
/// What was read before is not trusted when the last look is longer ago.
const TRUSTED: Duration = Duration::from_millis(100);
/// Looking stops this long after the last request, as a service that nobody uses should sleep.
const RESTING: Duration = Duration::from_secs(2);
/// How often uses of tokens are written.
const WRITING: Duration = Duration::from_secs(1);
/// Tokens that nobody used for so long are forgotten.
const FORGOTTEN: i64 = 10 * 60 * 1000;
/// Tokens in memory; more are read at each call.
const MOST: usize = 100_000;

/// A token that was found good, and its company.
#[derive(Clone, Debug)]
pub struct Known {
    pub token: Arc<Token>,
    pub tenant: Arc<Tenant>,
    hash: Arc<str>,
    /// The store's count of changes before it was read.
    changes: u64,
}

/// What was asked about a call's token.
#[derive(Debug)]
pub enum Admitted {
    /// The token is no longer good.
    Gone,
    /// With the tier's judgement, when the call counts. A suspended company is not charged.
    Known(Known, Option<Judged>),
}

/// A call that counts.
#[derive(Debug)]
pub struct Judged {
    /// Where the company stands after it.
    pub standing: Standing,
    /// Its place among the company's calls under way.
    pub place: Option<Place>,
}

/// See the module.
#[derive(Debug)]
pub struct Admission {
    store: Store,
    clock: Clock,
    tiers: BTreeMap<String, Tier>,
    default_tier: String,
    /// The address of the hosted endpoint, as clients ask for tokens for it.
    resource: String,
    known: RwLock<HashMap<Arc<str>, Entry>>,
    spent: Mutex<HashMap<String, Spent>>,
    in_flight: InFlight,
    seen: Seen,
    began: Instant,
    /// Milliseconds after `began`, plus one; 0 when nobody has looked.
    looked: AtomicU64,
    asked: AtomicU64,
    wake: tokio::sync::Notify,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    /// Unix ms.
    used: AtomicI64,
}

impl Admission {
    /// Begins to look for what others write.
    pub async fn open(
        store: &Store,
        clock: &Clock,
        config: &Config,
    ) -> Result<Arc<Self>, store::Error> {
        let watch = store.watch().await?;
        let admission = Arc::new(Self {
            store: store.clone(),
            clock: clock.clone(),
            tiers: config.tiers.clone(),
            default_tier: config.default_tier.clone(),
            resource: config.resource(),
            known: RwLock::default(),
            spent: Mutex::default(),
            in_flight: InFlight::default(),
            seen: Seen::default(),
            began: Instant::now(),
            looked: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            wake: tokio::sync::Notify::new(),
            stop: CancellationToken::new(),
        });
        if let Some(watch) = watch {
            tokio::spawn(look(Arc::downgrade(&admission), watch));
        }
        tokio::spawn(keep_up(Arc::downgrade(&admission)));
        Ok(admission)
    }

    /// The holder of the token with that hash. On PostgreSQL it may come from memory and is only good enough to read
    /// the request's body for: [`Admission::admit`] is to be asked before anything is done.
    pub async fn find(&self, hash: &str) -> Result<Option<Known>, store::Error> {
        let now = self.clock.now();
        if let Some(known) = self.remembered(hash, now) {
            if self.store.kind() == Kind::Sqlite {
                self.seen.note(&known, now);
            }
            return Ok(Some(known));
        }
        let changes = self.store.changes();
        // Boxed, as are other questions to the database: mostly none is asked, and every call would carry the room.
        let holder = Box::pin(self.store.holder(hash, now)).await?;
        Ok(self.remember(hash, holder, changes, now))
    }

    /// Whether the token is still good, and what the tier says when the call counts.
    pub async fn admit(&self, known: &Known, counts: bool) -> Result<Admitted, store::Error> {
        if self.store.kind() == Kind::Postgres {
            return Box::pin(self.admit_shared(known, counts)).await;
        }
        let known = if self.is_current(known, self.clock.now()) {
            known.clone()
        } else {
            let Some(known) = self.find(&known.hash).await? else {
                return Ok(Admitted::Gone);
            };
            known
        };
        let judged = if counts && known.tenant.suspended_at.is_none() {
            Some(self.charge(&known.tenant).await?)
        } else {
            None
        };
        Ok(Admitted::Known(known, judged))
    }

    /// Writes what is still to be written of uses.
    pub async fn close(&self) {
        self.stop.cancel();
        self.seen.write(&self.store).await;
    }

    fn remembered(&self, hash: &str, now: i64) -> Option<Known> {
        if self.store.kind() == Kind::Sqlite {
            self.ask_to_look();
        }
        let table = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let entry = table.get(hash)?;
        if !self.is_current(&entry.known, now) {
            return None;
        }
        entry.used.store(now, Ordering::Relaxed);
        Some(entry.known.clone())
    }

    /// Whether what was read before still holds.
    fn is_current(&self, known: &Known, now: i64) -> bool {
        let current = match self.store.kind() {
            // Nobody is refused by memory alone.
            Kind::Postgres => known.tenant.suspended_at.is_none(),
            Kind::Sqlite => known.changes == self.store.changes() && self.is_watched(),
        };
        let expired = (known.token.expires_at).is_some_and(|expires_at| expires_at <= now);
        current && !expired
    }

    fn remember(
        &self,
        hash: &str,
        holder: Option<Holder>,
        changes: u64,
        now: i64,
    ) -> Option<Known> {
        let mut table = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let here = |holder: &Holder| {
            let resource = holder.resource.as_deref();
            resource.is_none_or(|resource| resource == self.resource)
        };
        let Some(holder) = holder.filter(here) else {
            table.remove(hash);
            return None;
        };
        let known = Known {
            token: Arc::new(holder.token),
            tenant: Arc::new(holder.tenant),
            hash: hash.into(),
            changes,
        };
        if table.len() < MOST || table.contains_key(hash) {
            let entry = Entry {
                known: known.clone(),
                used: AtomicI64::new(now),
            };
            table.insert(Arc::clone(&known.hash), entry);
        }
        drop(table);
        self.seen.note(&known, now);
        Some(known)
    }

    /// One process: judged and counted in memory. The day's calls of before its start are read once.
    async fn charge(&self, tenant: &Tenant) -> Result<Judged, store::Error> {
        let now = self.clock.now();
        let (_, tier) = self.tier(tenant);
        let place = self.in_flight.take(&tenant.id, tier.in_flight);
        let judged = |spent: &mut Spent| {
            let verdict = match &place {
                Some(_) => spent.take(tier, now),
                None => Verdict::TooMany,
            };
            spent.standing(tier, verdict, now)
        };
        let known = lock(&self.spent).get_mut(&tenant.id).map(judged);
        let standing = if let Some(standing) = known {
            standing
        } else {
            let before = Spent {
                day: day_of(now),
                calls: Box::pin(self.store.hosted_calls_on(&tenant.id, now)).await?,
                ..Spent::default()
            };
            let mut all = lock(&self.spent);
            judged(all.entry(tenant.id.clone()).or_insert(before))
        };
        Ok(Judged { standing, place })
    }

    async fn admit_shared(&self, known: &Known, counts: bool) -> Result<Admitted, store::Error> {
        let mut known = known.clone();
        // Once more when the tier has become another.
        loop {
            let now = self.clock.now();
            let (name, tier) = self.tier(&known.tenant);
            let place = if counts {
                self.in_flight.take(&known.tenant.id, tier.in_flight)
            } else {
                None
            };
            let refused = match &place {
                _ if is_shut(tier) => Some(Verdict::EnoughToday),
                None => Some(Verdict::TooMany),
                Some(_) => None,
            };
            // What does not count has no place either. The tier may be another by now.
            if let Some(verdict) = refused {
                let holder = self.store.holder(&known.hash, now).await?;
                let Some(current) = self.remember(&known.hash, holder, 0, now) else {
                    return Ok(Admitted::Gone);
                };
                if !counts || current.tenant.suspended_at.is_some() {
                    return Ok(Admitted::Known(current, None));
                }
                if self.tier(&current.tenant) == (name, tier) {
                    let standing = Spent::default().standing(tier, verdict, now);
                    return Ok(Admitted::Known(current, Some(Judged { standing, place })));
                }
                known = current;
                continue;
            }
            let charge = Charge {
                tier_name: &known.tenant.tier,
                limits: known.tenant.limits.as_deref(),
                tier,
            };
            let Some((holder, charged)) = self.store.charge(&known.hash, charge, now).await? else {
                self.remember(&known.hash, None, 0, now);
                return Ok(Admitted::Gone);
            };
            let current = self.renewed(&known, holder, now);
            if let Some((spent, verdict)) = charged {
                let standing = spent.standing(tier, verdict, now);
                return Ok(Admitted::Known(current, Some(Judged { standing, place })));
            }
            if current.tenant.suspended_at.is_some() {
                return Ok(Admitted::Known(current, None));
            }
            known = current;
        }
    }

    /// What the database has just said, remembered where it differs.
    fn renewed(&self, known: &Known, holder: Holder, now: i64) -> Known {
        let tenant = &known.tenant;
        let same = tenant.tier == holder.tenant.tier
            && tenant.limits == holder.tenant.limits
            && tenant.suspended_at == holder.tenant.suspended_at
            && tenant.setup == holder.tenant.setup
            && known.token.scopes == holder.token.scopes;
        if same {
            self.seen.note(known, now);
            return known.clone();
        }
        let renewed = self.remember(&known.hash, Some(holder), 0, now);
        renewed.unwrap_or_else(|| known.clone())
    }

    /// The tier's name and what holds of it for the company, as people are shown it.
    pub fn tier_of<'a>(&'a self, tenant: &'a Tenant) -> (&'a str, Tier) {
        self.tier(tenant)
    }

    /// The tier's name and what holds of it for the company. A tier that the configuration has no more is the default.
    fn tier<'a>(&'a self, tenant: &'a Tenant) -> (&'a str, Tier) {
        let named = self.tiers.get_key_value(&tenant.tier);
        let named = named.or_else(|| self.tiers.get_key_value(&self.default_tier));
        let shut = Tier {
            per_minute: 0,
            burst: 0,
            per_day: 0,
            in_flight: 0,
        };
        let (name, tier) = named.map_or((tenant.tier.as_str(), shut), |(name, tier)| {
            (name.as_str(), *tier)
        });
        let limits = tenant.limits.as_deref();
        let limits: Limits = limits
            .and_then(|limits| serde_json::from_str(limits).ok())
            .unwrap_or_default();
        (name, limits.over(tier))
    }

    fn ask_to_look(&self) {
        let now = self.elapsed();
        let before = self.asked.swap(now, Ordering::Relaxed);
        if now.saturating_sub(before) > LOOK.as_millis().try_into().unwrap_or(u64::MAX) {
            self.wake.notify_one();
        }
    }

    fn is_watched(&self) -> bool {
        let looked = self.looked.load(Ordering::Acquire);
        let trusted = u64::try_from(TRUSTED.as_millis()).unwrap_or_default();
        looked > 0 && self.elapsed().saturating_sub(looked - 1) <= trusted
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn forget(&self) {
        let now = self.clock.now();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, entry| entry.used.load(Ordering::Relaxed) > now - FORGOTTEN);
        known.shrink_to_fit();
        drop(known);
        let mut spent = lock(&self.spent);
        spent.retain(|_, spent| spent.day >= day_of(now));
        spent.shrink_to_fit();
        drop(spent);
        self.in_flight.forget();
    }
}

/// Looks every `LOOK` while there are requests.
async fn look(admission: Weak<Admission>, mut watch: Watch) {
    loop {
        let Some(admission) = admission.upgrade() else {
            return;
        };
        let now = admission.elapsed();
        match watch.differs().await {
            Ok(differs) => {
                if differs {
                    admission.store.changed();
                }
                admission.looked.store(now + 1, Ordering::Release);
            }
            Err(problem) => tracing::warn!(%problem, "writes of others cannot be looked for"),
        }
        let idle = now.saturating_sub(admission.asked.load(Ordering::Relaxed));
        let resting = idle > u64::try_from(RESTING.as_millis()).unwrap_or_default();
        tokio::select! {
            () = tokio::time::sleep(LOOK), if !resting => {}
            () = admission.wake.notified(), if resting => {}
            () = admission.stop.cancelled() => return,
        }
    }
}

/// Writes uses, and forgets what nobody needs.
async fn keep_up(admission: Weak<Admission>) {
    for round in 1_u64.. {
        let Some(admission) = admission.upgrade() else {
            return;
        };
        admission.seen.write(&admission.store).await;
        if round.is_multiple_of(60) {
            admission.forget();
        }
        tokio::select! {
            () = tokio::time::sleep(WRITING) => {}
            () = admission.stop.cancelled() => return,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

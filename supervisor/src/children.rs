//! The tenants' children: started when first needed, kept while used, replaced when dead.
//!
//! One child serves one tenant for its whole life. All that must survive is in the database, so a child may end at
//! any time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    child::{self, Child, Launch, Lend},
    store::Setup,
};

/// How children are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// At once; the least recently used idle one makes room.
    pub most: usize,
    /// A child that nobody asks ends after this.
    pub idle: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            most: 500,
            idle: Duration::from_mins(10),
        }
    }
}

/// After so many starts that failed or lasted only a moment, a tenant waits before the next.
const PATIENCE: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// A child that lived this long was healthy.
const HEALTHY: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_secs(15);

/// Why a tenant has no child now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Child(#[from] child::Error),
    #[error(
        "the company's connector failed {failures} times in a row; it is tried again in {seconds} s"
    )]
    Failing { failures: u32, seconds: u64 },
    #[error("all {0} connectors are busy; try again in a moment")]
    Full(usize),
    #[error("the service is stopping")]
    Stopping,
}

/// All children of this process.
pub struct Children {
    launch: Launch,
    lend: Lend,
    keep: Keep,
    slots: RwLock<HashMap<String, Arc<Slot>>>,
    /// Starts under way, which have a place already.
    places: Arc<Mutex<usize>>,
    stopping: CancellationToken,
}

/// A tenant's place.
#[derive(Debug, Default)]
struct Slot {
    child: Mutex<Option<Started>>,
    /// One caller starts; the others wait here and then find the child.
    starting: tokio::sync::Mutex<Health>,
}

/// A child, and the set-up of the company that it was started for.
#[derive(Clone, Debug)]
struct Started {
    child: Child,
    setup: i64,
}

/// A start under way.
struct Place(Arc<Mutex<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        *lock(&self.0) -= 1;
    }
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    started: Option<Instant>,
    not_before: Option<Instant>,
}

impl Children {
    pub fn new(launch: Launch, lend: Lend, keep: Keep) -> Arc<Self> {
        let children = Arc::new(Self {
            launch,
            lend,
            keep,
            slots: RwLock::default(),
            places: Arc::default(),
            stopping: CancellationToken::new(),
        });
        // What is kept for a shorter time is looked at as often.
        let pause = keep.idle.min(SWEEP);
        tokio::spawn(sweep(
            Arc::downgrade(&children),
            pause,
            children.stopping.clone(),
        ));
        children
    }

    /// The tenant's child, started if need be, once however many callers wait. One that was started for an earlier
    /// set-up of the company is replaced: it has another connection's token and records, or another time zone.
    pub async fn get(self: &Arc<Self>, tenant_id: &str, setup: Setup<'_>) -> Result<Child, Error> {
        if self.stopping.is_cancelled() {
            return Err(Error::Stopping);
        }
        let slot = self.slot(tenant_id);
        if let Some(child) = slot.alive_for(setup.number) {
            return Ok(child);
        }
        let launch = self.launch.in_zone(setup.time_zone);
        let starting = Arc::clone(self).started(slot, tenant_id.to_owned(), setup.number, launch);
        // A caller who leaves does not end a start that others wait for.
        tokio::spawn(starting).await.unwrap_or(Err(Error::Stopping))
    }

    async fn started(
        self: Arc<Self>,
        slot: Arc<Slot>,
        tenant_id: String,
        setup: i64,
        launch: Launch,
    ) -> Result<Child, Error> {
        let mut health = slot.starting.lock().await;
        if self.stopping.is_cancelled() {
            return Err(Error::Stopping);
        }
        if let Some(child) = slot.alive_for(setup) {
            return Ok(child);
        }
        // One that was ended on purpose is not here any more.
        let former = lock(&slot.child).take();
        match former {
            Some(former) if former.child.is_alive() => {
                tokio::spawn(async move { former.child.retire().await });
            }
            Some(_) => health.judge_last(),
            None => {}
        }
        if let Some(wait) = health.wait() {
            return Err(Error::Failing {
                failures: health.failures,
                seconds: wait.as_secs() + 1,
            });
        }
        let _place = self.make_room()?;
        health.started = Some(Instant::now());
        let started = Child::start(&launch, &tenant_id, Arc::clone(&self.lend)).await;
        metrics::counter!("sf_supervisor_children_started_total", "ok" => started.is_ok().to_string())
            .increment(1);
        match started {
            Ok(child) => {
                let started = Started {
                    child: child.clone(),
                    setup,
                };
                *lock(&slot.child) = Some(started);
                Ok(child)
            }
            Err(problem) => {
                tracing::warn!(tenant_id, %problem, "a child cannot be started");
                health.failed();
                Err(problem.into())
            }
        }
    }

    /// The tenant's child, where one runs.
    pub fn living(&self, tenant_id: &str) -> Option<Child> {
        read(&self.slots).get(tenant_id)?.alive()
    }

    /// Ends the tenant's child, if it has one.
    pub async fn stop(&self, tenant_id: &str) {
        let slot = read(&self.slots).get(tenant_id).cloned();
        let started = slot.and_then(|slot| lock(&slot.child).take());
        if let Some(started) = started {
            started.child.stop().await;
        }
    }

    /// Living children: tenant, process, calls in flight, last use.
    pub fn list(&self) -> Vec<(String, u32, usize, i64)> {
        let slots = read(&self.slots);
        let mut rows: Vec<_> = slots
            .iter()
            .filter_map(|(tenant, slot)| {
                let child = slot.alive()?;
                Some((
                    tenant.clone(),
                    child.process(),
                    child.in_flight(),
                    child.used_at(),
                ))
            })
            .collect();
        rows.sort();
        rows
    }

    /// Starts none any more and ends all.
    pub async fn drain(&self) {
        self.stopping.cancel();
        let slots: Vec<_> = read(&self.slots).values().cloned().collect();
        let ending = slots.iter().map(|slot| async move {
            // A start under way is waited for: its child must end too.
            let _health = slot.starting.lock().await;
            let started = lock(&slot.child).take();
            if let Some(started) = started {
                started.child.stop().await;
            }
        });
        futures_util::future::join_all(ending).await;
    }

    fn slot(&self, tenant_id: &str) -> Arc<Slot> {
        if let Some(slot) = read(&self.slots).get(tenant_id) {
            return Arc::clone(slot);
        }
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(tenant_id.to_owned()).or_default())
    }

    /// A place for one more. When there are too many, the idle child that was used the longest time ago is ended.
    fn make_room(&self) -> Result<Place, Error> {
        let mut places = lock(&self.places);
        let slots = read(&self.slots);
        let living: Vec<_> = slots
            .values()
            .filter_map(|slot| Some((slot, slot.alive()?)))
            .collect();
        metrics::gauge!("sf_supervisor_children")
            .set(u32::try_from(living.len()).unwrap_or(u32::MAX));
        if living.len() + *places >= self.keep.most {
            let oldest = living
                .iter()
                .filter(|(_, child)| child.in_flight() == 0)
                .min_by_key(|(_, child)| child.used_at());
            let (slot, child) = oldest.ok_or(Error::Full(self.keep.most))?;
            lock(&slot.child).take();
            let child = child.clone();
            tokio::spawn(async move { child.stop().await });
        }
        *places += 1;
        drop(places);
        Ok(Place(Arc::clone(&self.places)))
    }

    /// Ends children that nobody asked for a while, and forgets the places of dead ones.
    fn end_idle(&self) {
        let idle = i64::try_from(self.keep.idle.as_millis()).unwrap_or(i64::MAX);
        let before = jiff::Timestamp::now().as_millisecond() - idle;
        for slot in read(&self.slots).values() {
            let mut child = lock(&slot.child);
            let is_idle = child.as_ref().is_some_and(|started| {
                started.child.in_flight() == 0 && started.child.used_at() < before
            });
            if is_idle && let Some(started) = child.take() {
                tokio::spawn(async move { started.child.stop().await });
            }
        }
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| {
            let is_used = slot.alive().is_some() || Arc::strong_count(slot) > 1;
            is_used
                || slot
                    .starting
                    .try_lock()
                    .is_ok_and(|health| health.is_remembered())
        });
        metrics::gauge!("sf_supervisor_children").set(
            u32::try_from(slots.values().filter(|slot| slot.alive().is_some()).count())
                .unwrap_or(u32::MAX),
        );
    }
}

impl std::fmt::Debug for Children {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Children")
            .field("launch", &self.launch)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Slot {
    fn alive(&self) -> Option<Child> {
        let started = lock(&self.child);
        let child = started.as_ref().map(|started| started.child.clone());
        child.filter(Child::is_alive)
    }

    /// The living child, unless it was started for an earlier set-up than the caller knows. One that was started for a
    /// later one serves a caller who was admitted just before.
    fn alive_for(&self, setup: i64) -> Option<Child> {
        let started = lock(&self.child);
        let fitting = started.as_ref().filter(|started| started.setup >= setup);
        let child = fitting.map(|started| started.child.clone());
        child.filter(Child::is_alive)
    }
}

impl Health {
    /// What became of the child before this start.
    fn judge_last(&mut self) {
        if let Some(started) = self.started.take() {
            if started.elapsed() < HEALTHY {
                self.failed();
            } else {
                *self = Self::default();
            }
        }
    }

    fn failed(&mut self) {
        self.failures += 1;
        if self.failures >= PATIENCE {
            let doubled = FIRST_WAIT.saturating_mul(1 << (self.failures - PATIENCE).min(10));
            self.not_before = Some(Instant::now() + doubled.min(LONGEST_WAIT));
        }
    }

    /// Failures count for a while after the last wait, or the next would be as short as the first.
    fn is_remembered(&self) -> bool {
        self.not_before
            .is_some_and(|end| end + LONGEST_WAIT > Instant::now())
    }

    fn wait(&self) -> Option<Duration> {
        let wait = self.not_before?.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }
}

async fn sweep(children: std::sync::Weak<Children>, pause: Duration, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopping.cancelled() => return,
        }
        match children.upgrade() {
            Some(children) => children.end_idle(),
            None => return,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(shared: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}

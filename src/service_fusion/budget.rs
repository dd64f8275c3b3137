//! 60 requests a minute, shared by every process of a profile.
//!
//! A permit is a 16-byte record appended to the profile's ledger. Appends are atomic, so the file's order is
//! the order in which processes came: a process appends its permit, reads what stands before it, and takes the
//! permit back if the window was already full. No process ever waits for another one's lock, and a process
//! that is stopped or killed holds nobody up.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{Mutex, Notify},
    time::Instant,
};

use crate::service_fusion::budget::ledger::{Entry, Kind, Ledger};

pub mod ledger;

/// Documented allowance per access token; a response's `X-Rate-Limit-Limit` corrects it.
const LIMIT: u32 = 60;

/// The clock is read in milliseconds since 1970, because all processes must agree on it.
fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// The next request would have to wait this long, which is longer than its deadline allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    pub seconds: u64,
}

/// What a response said about the allowance.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateHeaders {
    pub limit: Option<u32>,
    pub remaining: Option<u32>,
    /// Epoch seconds, or seconds from now where the value is small.
    pub reset: Option<u64>,
}

/// Hands out permission to send one request.
#[derive(Debug)]
pub struct Budget {
    window: Duration,
    limit: AtomicU32,
    /// Whether a response has said the limit, rather than the documentation.
    is_learned: AtomicBool,
    waiting: AtomicUsize,
    /// When the window next has room, for callers who still queue for the lock.
    room_at_ms: AtomicU64,
    /// Calls of others with the same token, as a response's headers gave them away: how many, until when.
    foreign: AtomicU64,
    /// Wakes the first in the queue when a response raised the limit.
    raised: Notify,
    /// Held by the first in the queue while it waits; the state is only ever held for a moment.
    turn: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    recent: VecDeque<Entry>,
    /// Permits of the newest record not yet used: records hold several where the limit is high.
    leased: u32,
    lease_ends_ms: u64,
}

impl Budget {
    pub fn new(ledger: Ledger, window: Duration) -> Self {
        Self {
            window,
            limit: AtomicU32::new(LIMIT),
            is_learned: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            room_at_ms: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            raised: Notify::new(),
            turn: Mutex::new(()),
            state: Mutex::new(State {
                ledger,
                recent: VecDeque::new(),
                leased: 0,
                lease_ends_ms: 0,
            }),
        }
    }

    /// Waits for a permit, in order of arrival. Dropping the future gives up the place in the queue.
    pub async fn take(&self, deadline: Instant) -> Result<(), TooLong> {
        let queued = Queued::join(&self.waiting);
        self.check_estimate(queued.place, deadline)?;
        let Ok(_turn) = tokio::time::timeout_at(deadline, self.turn.lock()).await else {
            return Err(self.too_long(self.estimate(queued.place)));
        };
        loop {
            let taken = self.try_take(&mut *self.state.lock().await, now_ms());
            match taken {
                Ok(()) => return Ok(()),
                Err(free_at) => {
                    self.room_at_ms.store(free_at, Ordering::Relaxed);
                    let wait = Duration::from_millis(free_at.saturating_sub(now_ms()).max(1));
                    if Instant::now() + wait > deadline {
                        return Err(self.too_long(free_at));
                    }
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.raised.notified() => {}
                    }
                }
            }
        }
    }

    /// Corrects the estimate by what a response said.
    pub fn learn(&self, headers: RateHeaders) {
        if let Some(limit) = headers.limit.filter(|limit| *limit > 0) {
            self.is_learned.store(true, Ordering::Relaxed);
            let before = self.limit.swap(limit, Ordering::Relaxed);
            if limit > before {
                self.room_at_ms.store(0, Ordering::Relaxed);
                self.raised.notify_one();
            }
        }
        let (Some(remaining), Some(reset)) = (headers.remaining, headers.reset) else {
            return;
        };
        let now = now_ms();
        let until = reset_ms(reset, now).min(now + self.window_ms());
        // A response that comes late speaks of a window that is over.
        let Ok(state) = self.state.try_lock() else {
            return;
        };
        let limit = self.limit.load(Ordering::Relaxed);
        let free = limit.saturating_sub(self.used(&state, now));
        let others = free.saturating_sub(remaining);
        let packed = if until > now && others > 0 && limit < 100_000 {
            (until / 1000 + 1) << 20 | u64::from(others.min(0xF_FFFF))
        } else {
            0
        };
        self.foreign.store(packed, Ordering::Relaxed);
    }

    /// A 429 came although we counted: nobody of this profile sends anything until then.
    pub async fn block(&self, wait: Duration) {
        let until = now_ms() + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2);
        let mut state = self.state.lock().await;
        let blocked = Entry {
            at_ms: until,
            count: 0,
            kind: Kind::Blocked,
            limit: 0,
        };
        state.leased = 0;
        state.ledger.append(blocked);
        state.recent.push_back(blocked);
        drop(state);
        self.raised.notify_one();
    }

    /// Permits left in this window, and the limit.
    pub async fn left(&self) -> (u32, u32) {
        let mut state = self.state.lock().await;
        let now = now_ms();
        self.refresh(&mut state, now);
        let limit = self.limit.load(Ordering::Relaxed);
        (limit.saturating_sub(self.used(&state, now)), limit)
    }

    fn window_ms(&self) -> u64 {
        u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX / 4)
    }

    /// How long a permit counts: the window and a margin for the way to the server, which is not always
    /// equally long. Without it the 61st request could arrive within the server's window.
    fn counts_ms(&self) -> u64 {
        self.window_ms() + self.window_ms() / 50 + 20
    }

    fn refresh(&self, state: &mut State, now: u64) {
        let State { ledger, recent, .. } = state;
        ledger.read_new(recent);
        let counts = self.counts_ms();
        // An entry from the future is a clock that was set back: it must not block for ever.
        recent.retain(|entry| match entry.kind {
            Kind::Permit => entry.at_ms + counts > now && entry.at_ms <= now + counts,
            Kind::Blocked => entry.at_ms > now && entry.at_ms <= now + 10 * counts,
            Kind::Void => false,
        });
    }

    /// Until a response has said the limit, what another process has learned is the best guess.
    fn adopt_limit(&self, state: &State) {
        if self.is_learned.load(Ordering::Relaxed) {
            return;
        }
        let known = state.recent.iter().map(|entry| entry.limit).max();
        if let Some(limit) = known.filter(|limit| *limit > 0) {
            self.limit.store(limit, Ordering::Relaxed);
        }
    }

    fn used(&self, state: &State, now: u64) -> u32 {
        let counts = self.counts_ms();
        state
            .recent
            .iter()
            .filter(|entry| entry.kind == Kind::Permit && entry.at_ms + counts > now)
            .map(|entry| entry.count)
            .sum::<u32>()
            .saturating_sub(state.leased)
    }

    /// Takes a permit or says when to ask again, in milliseconds since 1970.
    fn try_take(&self, state: &mut State, now: u64) -> Result<(), u64> {
        if state.leased > 0 && now < state.lease_ends_ms {
            state.leased -= 1;
            return Ok(());
        }
        state.leased = 0;
        self.refresh(state, now);
        if let Some(until) = state
            .recent
            .iter()
            .filter(|entry| entry.kind == Kind::Blocked)
            .map(|entry| entry.at_ms)
            .max()
        {
            return Err(until);
        }
        self.adopt_limit(state);
        let limit = self.limit.load(Ordering::Relaxed);
        let foreign = self.foreign_now(now);
        let count = (limit / 1000).max(1);
        if self.used(state, now) + foreign + count > limit && state.ledger.is_shared() {
            // Permits that others took back since we read them are free again.
            state.ledger.look_back();
            state.recent.clear();
            self.refresh(state, now);
        }
        if self.used(state, now) + foreign + count > limit {
            return Err(self.room_at(state, now, limit, foreign));
        }
        let mine = Entry {
            at_ms: now,
            count,
            kind: Kind::Permit,
            limit,
        };
        let place = state.ledger.append(mine);
        if state.ledger.is_shared() {
            let before = state.ledger.read_before(place);
            let counts = self.counts_ms();
            let used: u32 = before
                .iter()
                .chain(&state.recent)
                .filter(|entry| entry.kind == Kind::Permit && entry.at_ms + counts > now)
                .map(|entry| entry.count)
                .sum();
            // Another process was quicker: it stands before us in the file, and the window is full with it.
            if used + foreign + count > limit {
                state.ledger.void(place);
                state.recent.extend(before);
                return Err(self.room_at(state, now, limit, foreign));
            }
            state.recent.extend(before);
        }
        state.recent.push_back(mine);
        state.leased = count - 1;
        state.lease_ends_ms = now + self.window_ms() / 100;
        Ok(())
    }

    /// When the oldest permits run out of the window and leave room for one.
    fn room_at(&self, state: &State, now: u64, limit: u32, foreign: u32) -> u64 {
        if foreign > 0 && self.used(state, now) < limit {
            return (self.foreign.load(Ordering::Relaxed) >> 20) * 1000;
        }
        state
            .recent
            .iter()
            .filter(|entry| entry.kind == Kind::Permit)
            .map(|entry| entry.at_ms + self.counts_ms())
            .min()
            .unwrap_or(now)
            .max(now + 1)
    }

    fn foreign_now(&self, now: u64) -> u32 {
        let packed = self.foreign.load(Ordering::Relaxed);
        if (packed >> 20) * 1000 > now {
            u32::try_from(packed & 0xF_FFFF).unwrap_or(0)
        } else {
            0
        }
    }

    /// Callers behind a full window need not queue to learn that they would wait too long.
    fn check_estimate(&self, place: usize, deadline: Instant) -> Result<(), TooLong> {
        let now = now_ms();
        let free_at = self.estimate(place);
        if free_at <= now {
            return Ok(());
        }
        let wait = Duration::from_millis(free_at.saturating_sub(now));
        if Instant::now() + wait > deadline {
            return Err(self.too_long(free_at));
        }
        Ok(())
    }

    /// When a caller at this place of the queue gets its turn, as far as is known; 0 when nothing waits.
    fn estimate(&self, place: usize) -> u64 {
        let room_at = self.room_at_ms.load(Ordering::Relaxed);
        if room_at <= now_ms() {
            return 0;
        }
        let limit = self.limit.load(Ordering::Relaxed).max(1) as usize;
        let windows = u64::try_from(place / limit).unwrap_or(u64::MAX);
        room_at.saturating_add(windows.saturating_mul(self.window_ms()))
    }

    fn too_long(&self, free_at: u64) -> TooLong {
        let seconds = free_at.saturating_sub(now_ms()).div_ceil(1000).max(1);
        TooLong {
            seconds: seconds.min(10 * self.window.as_secs().max(1)),
        }
    }
}

/// Yii2's stock limiter sends seconds until the reset where the documentation promises epoch seconds.
pub fn reset_ms(reset: u64, now: u64) -> u64 {
    if reset < 1_000_000_000 {
        now.saturating_add(reset.saturating_mul(1000))
    } else {
        reset.saturating_mul(1000)
    }
}

/// A place in the queue, given up when dropped.
struct Queued<'a> {
    waiting: &'a AtomicUsize,
    place: usize,
}

impl<'a> Queued<'a> {
    fn join(waiting: &'a AtomicUsize) -> Self {
        let place = waiting.fetch_add(1, Ordering::Relaxed);
        Self { waiting, place }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn a_burst_goes_out_at_once_and_then_the_caller_is_told_how_long() {
        let budget = Budget::new(Ledger::memory(), WINDOW);

        for _ in 0..60 {
            budget.take(soon()).await.unwrap();
        }

        let refused = budget.take(soon()).await.unwrap_err();
        assert!((55..=62).contains(&refused.seconds), "{refused:?}");
        assert_eq!(budget.left().await, (0, 60));
    }

    #[tokio::test]
    async fn two_processes_share_one_window() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("requests.log");
        let first = Budget::new(Ledger::open(&file).unwrap(), WINDOW);
        let second = Budget::new(Ledger::open(&file).unwrap(), WINDOW);

        let mut granted = 0;
        for _ in 0..50 {
            granted += u32::from(first.take(soon()).await.is_ok());
            granted += u32::from(second.take(soon()).await.is_ok());
        }

        assert_eq!(granted, 60);
    }

    #[test]
    fn many_threads_with_a_file_each_never_exceed_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("requests.log");
        let granted: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let runtime = tokio::runtime::Builder::new_current_thread()
                            .enable_all()
                            .build()
                            .unwrap();
                        let budget = Budget::new(Ledger::open(&file).unwrap(), WINDOW);
                        runtime.block_on(async {
                            let mut granted = 0;
                            for _ in 0..40 {
                                let no_wait = Instant::now() + Duration::from_millis(50);
                                granted += u32::from(budget.take(no_wait).await.is_ok());
                            }
                            granted
                        })
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });

        assert!(granted <= 60, "{granted} permits were handed out");
        assert!(granted >= 55, "only {granted} of 60 were spent");
    }

    #[tokio::test]
    async fn the_headers_of_others_calls_are_counted() {
        let budget = Budget::new(Ledger::memory(), WINDOW);
        budget.take(soon()).await.unwrap();

        budget.learn(RateHeaders {
            limit: Some(60),
            remaining: Some(9),
            reset: Some(30),
        });

        let mut granted = 0;
        while budget.take(soon()).await.is_ok() {
            granted += 1;
        }
        assert_eq!(granted, 9);
    }

    #[tokio::test]
    async fn a_higher_limit_is_believed() {
        let budget = Budget::new(Ledger::memory(), WINDOW);
        budget.learn(RateHeaders {
            limit: Some(1_000_000),
            ..RateHeaders::default()
        });

        for _ in 0..10_000 {
            budget.take(soon()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_process_that_starts_later_knows_the_raised_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("requests.log");
        let first = Budget::new(Ledger::open(&file).unwrap(), WINDOW);
        first.learn(RateHeaders {
            limit: Some(1_000_000),
            ..RateHeaders::default()
        });
        first.take(soon()).await.unwrap();

        let second = Budget::new(Ledger::open(&file).unwrap(), WINDOW);

        second.take(soon()).await.unwrap();
    }

    #[tokio::test]
    async fn a_block_stops_every_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("requests.log");
        let first = Budget::new(Ledger::open(&file).unwrap(), WINDOW);
        let second = Budget::new(Ledger::open(&file).unwrap(), WINDOW);

        first.block(Duration::from_secs(30)).await;

        assert!((29..=31).contains(&second.take(soon()).await.unwrap_err().seconds));
    }

    #[test]
    fn a_small_reset_is_a_delay() {
        assert_eq!(reset_ms(5, 1_000), 6_000);
        assert_eq!(reset_ms(1_795_000_000, 1_000), 1_795_000_000_000);
    }
}

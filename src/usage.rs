//! Usage events for a hosting service: one a tool call, with what was called and how it ended, never with what or about whom.
//!
//! A call only leaves its event in memory. Two tasks behind it write batches to the spool and send them from there, so
//! that a service that cannot be reached for days costs no event and no call any time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        broker::Broker,
        session::{self, Session},
    },
    paths::Paths,
    service_fusion::client::{asked::Asked, build_http},
    usage::{
        sender::Sender,
        spool::{Left, Spool},
    },
};

pub mod sender;
pub mod spool;

/// How long events wait for others to be written with.
const GATHERING: Duration = Duration::from_millis(500);
/// Most events in memory, when the spool cannot be written.
const MOST_IN_MEMORY: usize = 10_000;
/// The end of a process waits no longer than this for a hosting service, once for each request.
const PARTING: Duration = Duration::from_secs(1);

/// How a call ended. A closed list: no word of an answer gets into an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    /// Answered with no: an argument, a missing record, a record that Service Fusion rejects.
    Refused,
    RateLimited,
    SignedOut,
    Unreachable,
    Timeout,
    Cancelled,
    Error,
}

impl Status {
    /// Of a tool's error, by its stable word.
    pub fn of(code: &str) -> Self {
        match code {
            "rate_limited" => Self::RateLimited,
            "signed_out" | "suspended" | "reconnect_required" => Self::SignedOut,
            "unreachable" => Self::Unreachable,
            "timeout" => Self::Timeout,
            "cancelled" => Self::Cancelled,
            "upstream_failure" | "unknown_outcome" | "internal" => Self::Error,
            _ => Self::Refused,
        }
    }
}

/// Which program called, and in which revision of the protocol.
#[derive(Clone, Debug)]
pub struct Caller {
    client: String,
    era: String,
}

impl Caller {
    /// Clients name themselves, so of what they say only a short plain name is kept.
    pub fn new(client: &str, era: &str) -> Self {
        let plain = |c: &char| c.is_ascii_alphanumeric() || " ._-/()+".contains(*c);
        Self {
            client: client.chars().filter(plain).take(64).collect(),
            era: era
                .chars()
                .filter(|c| c.is_ascii_digit() || *c == '-')
                .take(10)
                .collect(),
        }
    }

    /// `sf-mcp call`.
    pub fn terminal() -> Self {
        Self::new(concat!("sf-mcp/", env!("CARGO_PKG_VERSION")), "")
    }
}

/// One call, as it is sent.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// 128 random bits in hex: the service counts each once.
    pub id: String,
    /// Unix ms.
    pub at: i64,
    pub tool: &'static str,
    /// As `GET /v1/jobs/{id}`; empty when Service Fusion was not asked.
    pub endpoint: String,
    pub status: Status,
    pub duration_ms: u64,
    /// Of the answer, as JSON.
    pub bytes: u64,
    pub client: String,
    pub era: String,
}

/// Counts the calls of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Usage(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    session: Session,
    paths: Paths,
    every: Duration,
    waiting: Mutex<Vec<Event>>,
    bell: Notify,
    running: AtomicBool,
    closing: CancellationToken,
    /// The two sides never wait for one another: a service that does not answer must not keep events in memory.
    writing: tokio::sync::Mutex<Login>,
    sending: tokio::sync::Mutex<Sending>,
    /// Whose events are written now; set by the one side, read by the other.
    lender: Mutex<Option<Broker>>,
    written: Notify,
}

/// Which login was looked up.
#[derive(Debug, Default)]
struct Login {
    looked_up: bool,
    stamped: Option<SystemTime>,
}

#[derive(Debug, Default)]
struct Sending {
    sender: Option<Sender>,
    http: Option<reqwest::Client>,
    /// Nothing is left in the spool.
    done: bool,
    tried: Option<Instant>,
}

impl Usage {
    /// `every` is the time between two batches, and the first wait after one that failed.
    pub fn new(session: Session, paths: Option<Paths>, every: Duration) -> Self {
        let paths = paths.filter(|_| session.may_be_lent());
        Self(paths.map(|paths| {
            Arc::new(Inner {
                session,
                paths,
                every,
                waiting: Mutex::default(),
                bell: Notify::new(),
                running: AtomicBool::new(false),
                closing: CancellationToken::new(),
                writing: tokio::sync::Mutex::default(),
                sending: tokio::sync::Mutex::default(),
                lender: Mutex::default(),
                written: Notify::new(),
            })
        }))
    }

    /// A call begins. One that is dropped before its end counts as cancelled.
    pub fn begin(&self, tool: &'static str, caller: &Caller, asked: &Asked) -> Counted {
        let inner = self.0.as_ref().map(|inner| Open {
            inner: Arc::clone(inner),
            at: jiff::Timestamp::now().as_millisecond(),
            started: Instant::now(),
            tool,
            caller: caller.clone(),
            asked: asked.clone(),
        });
        Counted(inner)
    }

    /// Writes what is in memory and tries once to send it: before the process ends.
    pub async fn settled(&self) {
        let Some(inner) = &self.0 else { return };
        inner.closing.cancel();
        if !inner.running.load(Ordering::Acquire) {
            return;
        }
        inner.write(&mut *inner.writing.lock().await).await;
        // Whoever is sending now stops before long.
        let mut sending = inner.sending.lock().await;
        let last = tokio::time::timeout(PARTING, inner.send(&mut sending)).await;
        if last.is_err() {
            tracing::debug!("usage events stay in the spool for the next process");
        }
    }

    /// What waits in the spool of `broker`, for people.
    pub fn left(paths: &Paths, broker: &Broker) -> Option<Left> {
        Spool::new(paths.usage_spool(&broker.digest())).left().ok()
    }
}

/// A call under way.
#[derive(Debug)]
#[must_use]
pub struct Counted(Option<Open>);

#[derive(Debug)]
struct Open {
    inner: Arc<Inner>,
    at: i64,
    started: Instant,
    tool: &'static str,
    caller: Caller,
    asked: Asked,
}

impl Counted {
    pub fn ended(mut self, status: Status, answer: &impl Serialize) {
        if let Some(open) = self.0.take() {
            let mut bytes = Counter(0);
            // Counting cannot fail, and a wrong size would be no reason to lose the event.
            let _ = serde_json::to_writer(&mut bytes, answer);
            open.close(status, bytes.0);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.close(Status::Cancelled, 0);
        }
    }
}

impl Open {
    fn close(self, status: Status, bytes: u64) {
        let mut chance = [0u8; 16];
        if getrandom::fill(&mut chance).is_err() {
            return;
        }
        let event = Event {
            id: format!("{:032x}", u128::from_be_bytes(chance)),
            at: self.at,
            tool: self.tool,
            endpoint: self.asked.endpoint(),
            status,
            duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes,
            client: self.caller.client,
            era: self.caller.era,
        };
        self.inner.take(event);
    }
}

struct Counter(u64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Inner {
    fn take(self: Arc<Self>, event: Event) {
        self.put_back(vec![event]);
        self.bell.notify_one();
        // Without a runtime the process is ending, and its last second is lost.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.running.swap(true, Ordering::AcqRel)
        {
            let inner = Arc::clone(&self);
            runtime.spawn(async move { inner.keep_writing().await });
            runtime.spawn(async move { self.keep_sending().await });
        }
    }

    fn put_back(&self, mut events: Vec<Event>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        events.append(&mut waiting);
        let too_many = events.len().saturating_sub(MOST_IN_MEMORY);
        events.drain(..too_many);
        *waiting = events;
    }

    /// Until the process ends.
    async fn keep_writing(&self) {
        loop {
            tokio::select! {
                () = self.bell.notified() => {}
                () = self.closing.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(GATHERING) => {}
                () = self.closing.cancelled() => return,
            }
            if self.write(&mut *self.writing.lock().await).await {
                self.written.notify_one();
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => self.bell.notify_one(),
                () = self.closing.cancelled() => return,
            }
        }
    }

    /// Until the process ends: soon after something was written, but not more often than `every`, and again by itself
    /// while something is left.
    async fn keep_sending(&self) {
        loop {
            let mut sending = self.sending.lock().await;
            let next = sending.tried.map(|tried| tried + self.every);
            if sending.tried.is_none() || sending.done {
                drop(sending);
                tokio::select! {
                    () = self.written.notified() => {}
                    () = self.closing.cancelled() => return,
                }
                sending = self.sending.lock().await;
            }
            tokio::select! {
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)) => {}
                () = self.closing.cancelled() => return,
            }
            tokio::select! {
                () = self.send(&mut sending) => {}
                () = self.closed() => return,
            }
        }
    }

    /// A request that is under way at the end is worth a moment: cut off, its events would come twice.
    async fn closed(&self) {
        self.closing.cancelled().await;
        tokio::time::sleep(PARTING).await;
    }

    /// Moves what is in memory to the spool, and says whether it could. Events of a login that no service lends to are nobody's.
    async fn write(&self, login: &mut Login) -> bool {
        if let Err(problem) = self.look_up(login).await {
            tracing::debug!(%problem, "usage events wait until the sign-in can be read");
            return false;
        }
        let events = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        let Some(broker) = self.lender().filter(|_| !events.is_empty()) else {
            return true;
        };
        let spool = Spool::new(self.paths.usage_spool(&broker.digest()));
        if let Err(problem) = spool.append(events.clone()).await {
            tracing::warn!(%problem, "usage events wait in memory");
            self.put_back(events);
            return false;
        }
        true
    }

    fn lender(&self) -> Option<Broker> {
        let lender = self.lender.lock();
        lender.unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn look_up(&self, login: &mut Login) -> Result<(), session::Error> {
        let stamped = self.session.stamped();
        if login.looked_up && login.stamped == stamped {
            return Ok(());
        }
        let lender = match self.session.lender().await {
            Ok(lender) => lender,
            Err(session::Error::SignedOut) => None,
            Err(problem) => return Err(problem),
        };
        *self.lender.lock().unwrap_or_else(PoisonError::into_inner) = lender;
        (login.looked_up, login.stamped) = (true, stamped);
        Ok(())
    }

    async fn send(&self, sending: &mut Sending) {
        sending.tried = Some(Instant::now());
        sending.done = true;
        let Some(broker) = self.lender() else { return };
        if !(sending.sender.as_ref()).is_some_and(|sender| sender.is_of(&broker)) {
            sending.sender = Some(Sender::new(broker, &self.paths, self.every));
        }
        if sending.http.is_none() {
            sending.http = build_http().ok();
        }
        if let (Some(sender), Some(http)) = (&mut sending.sender, &sending.http) {
            sending.done = sender.send(http).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_clients_name_only_something_short_and_plain_is_kept() {
        let caller = Caller::new("Claude\n<b>\u{202e}desktop</b>/1.2", "2026-07-28\"; DROP");
        assert_eq!(caller.client, "Claudebdesktop/b/1.2");
        assert_eq!(caller.era, "2026-07-28");
        assert_eq!(Caller::new(&"x".repeat(500), "").client.len(), 64);
    }

    #[test]
    fn a_tools_own_words_count_as_refused() {
        assert_eq!(Status::of("invalid_argument"), Status::Refused);
        assert_eq!(Status::of("possible_duplicates"), Status::Refused);
        assert_eq!(Status::of("upstream_failure"), Status::Error);
        assert_eq!(
            serde_json::to_value(Status::RateLimited).unwrap(),
            "rate_limited"
        );
    }
}

//! One sf-mcp process of one tenant: requests go in as lines with ids of our own, answers come back to whoever waits.
//!
//! The process is treated as able to misbehave: a line that answers nobody is dropped and counted, a line that is too
//! long ends the process, and when it ends, for whatever reason, everyone who waits is told at once.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    process::Command,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::in_flight::Place;

#[cfg(fuzzing)]
pub mod fuzzing;
mod input;
mod output;
mod said;

use input::Input;
pub use said::Said;
use said::{Listener, Speaker};

/// How long a new process may take until it answers.
const START: Duration = Duration::from_secs(10);
/// How long it may take to end by itself, and after SIGTERM.
const END: Duration = Duration::from_secs(3);
/// How long a process that gets no more calls may work on those it has, and how often it is looked at.
const LONGEST_CALL: Duration = Duration::from_mins(1);
const RETIRING: Duration = Duration::from_millis(100);

/// What is started for a tenant: nothing of it comes from a request.
#[derive(Clone, Debug)]
pub struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
}

impl Launch {
    /// The same for a company whose "today" is in that zone; without one the machine's counts.
    #[must_use]
    pub fn in_zone(&self, time_zone: Option<&str>) -> Self {
        let mut launch = self.clone();
        let zone = time_zone.map(|zone| ("SF_MCP_TIME_ZONE".to_owned(), zone.to_owned()));
        launch.environment.extend(zone);
        launch
    }
}

/// Answers a child's request for an access token, `{rejected}`, with `{status, body}` as `/api/token` would.
pub type Lend = Arc<dyn Fn(String, Value) -> BoxFuture<'static, Value> + Send + Sync>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the company's connector cannot be started ({0})")]
    NotStarted(String),
    #[error("the company's connector ended before it answered")]
    Ended,
}

/// What a child said about a call.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The raw text of `result`.
    Result(Bytes),
    /// The raw text of `error`.
    Error(Bytes),
}

/// A call that was sent and not answered yet. Dropping it cancels the call.
#[derive(Debug)]
pub struct Call {
    id: u64,
    child: Arc<Inner>,
    listener: Listener,
    is_over: bool,
    when_left: WhenLeft,
}

/// What becomes of a call whose caller leaves.
#[derive(Clone, Copy, Debug)]
enum WhenLeft {
    /// It was not sent.
    Forget,
    Cancel,
    /// It goes on, and its result is dropped.
    GoOn(Instant),
}

/// A notification about a call in flight.
#[derive(Clone, Debug)]
pub struct Note {
    pub method: String,
    /// The raw text of `params`.
    pub params: Bytes,
}

/// A running process. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Child(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    input: Input,
    waiting: Mutex<HashMap<u64, Waiting>>,
    next: AtomicU64,
    /// The process has ended, or must.
    ended: CancellationToken,
    /// Its end has been noticed and its remains are removed.
    reaped: CancellationToken,
    closing: CancellationToken,
    used_at: AtomicI64,
    discovery: Mutex<Option<Bytes>>,
    process: u32,
}

#[derive(Debug)]
struct Waiting {
    caller: Option<String>,
    /// Taken while the child works on the call, whoever still waits for it.
    place: Option<Arc<Place>>,
    speaker: Speaker,
}

impl Child {
    /// Starts a process and waits until it answers `server/discover`.
    pub async fn start(launch: &Launch, tenant_id: &str, lend: Lend) -> Result<Self, Error> {
        let failed = |problem: io::Error| Error::NotStarted(problem.to_string());
        // Its standard error is a private line to the broker, and its log.
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let line = UnixStream::from_std(ours).map_err(failed)?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.arguments)
            .env_clear()
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .kill_on_drop(true)
            .process_group(0);
        let mut process = command.spawn().map_err(failed)?;
        process.id().into_iter().for_each(wait_its_turn);
        let missing = || Error::NotStarted("it has no pipes".to_owned());
        let input = process.stdin.take().ok_or_else(missing)?;
        let output = process.stdout.take().ok_or_else(missing)?;
        let (input, waiting) = Input::new(input).map_err(failed)?;
        let inner = Arc::new(Inner::new(input, process.id().unwrap_or_default()));
        tokio::spawn(input::write(waiting, Arc::clone(&inner)));
        tokio::spawn(output::read(output, Arc::clone(&inner)));
        // The command keeps its end of the line open until it is dropped.
        drop(command);
        tokio::spawn(talk(line, tenant_id.to_owned(), lend));
        tokio::spawn(reap(process, Arc::clone(&inner)));
        let child = Self(inner);
        // A process that does not serve, or that nobody waits for any more, must not stay.
        let unwanted = child.0.ended.clone().drop_guard();
        match tokio::time::timeout(START, child.discover()).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                return Err(Error::NotStarted(format!(
                    "it did not answer within {} s",
                    START.as_secs()
                )));
            }
        }
        unwanted.disarm();
        Ok(child)
    }

    /// What it said about itself when it started: the raw result of `server/discover`.
    pub fn discovery(&self) -> Bytes {
        lock(&self.0.discovery).clone().unwrap_or_default()
    }

    pub fn process(&self) -> u32 {
        self.0.process
    }

    pub fn is_alive(&self) -> bool {
        !self.0.ended.is_cancelled()
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        lock(&self.0.waiting).len()
    }

    /// When it was last asked, in Unix ms.
    pub fn used_at(&self) -> i64 {
        self.0.used_at.load(Ordering::Relaxed)
    }

    /// Sends a request. `line` gets the id that the child is to see and writes the whole message. After an error nothing
    /// was sent.
    ///
    /// `caller` tells whose request it is and by which id, for `cancel`.
    pub async fn call(
        &self,
        caller: Option<String>,
        place: Option<Arc<Place>>,
        line: impl FnOnce(u64) -> Vec<u8>,
    ) -> Result<Call, Error> {
        let inner = &self.0;
        let id = inner.next.fetch_add(1, Ordering::Relaxed);
        inner.used_at.store(now(), Ordering::Relaxed);
        let (speaker, listener) = said::channel();
        let waiting = Waiting {
            caller,
            place,
            speaker,
        };
        let is_alone = {
            let mut all = lock(&inner.waiting);
            all.insert(id, waiting);
            all.len() == 1
        };
        let mut call = Call {
            id,
            child: Arc::clone(inner),
            listener,
            is_over: false,
            when_left: WhenLeft::Forget,
        };
        let mut text = line(id);
        text.push(b'\n');
        let sent = inner.send(text, is_alone).await;
        if sent {
            call.when_left = WhenLeft::Cancel;
            Ok(call)
        } else {
            Err(Error::Ended)
        }
    }

    /// Cancels the call of that caller, when exactly one is in flight: the wrong one must not end.
    pub fn cancel(&self, caller: &str) {
        let mut waiting = lock(&self.0.waiting);
        let mut found = waiting
            .iter()
            .filter(|(_, waiting)| waiting.caller.as_deref() == Some(caller))
            .map(|(id, _)| *id);
        if let (Some(id), None) = (found.next(), found.next()) {
            waiting.remove(&id);
            drop(waiting);
            self.0.tell_cancelled(id);
        }
    }

    /// Waits for calls in flight as long as any may take, then stops.
    pub async fn retire(&self) {
        let quiet = async {
            while self.in_flight() > 0 && self.is_alive() {
                tokio::time::sleep(RETIRING).await;
            }
        };
        let _ = tokio::time::timeout(LONGEST_CALL, quiet).await;
        self.stop().await;
    }

    /// Closes the process's input, lets calls in flight end for a moment, and waits until the process is gone.
    pub async fn stop(&self) {
        self.0.closing.cancel();
        self.0.reaped.cancelled().await;
    }

    /// Waits until the process has ended.
    pub async fn ended(&self) {
        self.0.ended.cancelled().await;
    }

    async fn discover(&self) -> Result<(), Error> {
        let call = self.call(None, None, |id| {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"server/discover","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}},"io.modelcontextprotocol/clientInfo":{{"name":"sf-supervisor","version":"{}"}}}}}}}}"#,
                env!("CARGO_PKG_VERSION")
            )
            .into_bytes()
        });
        match call.await?.answer().await? {
            Answer::Result(result) => {
                *lock(&self.0.discovery) = Some(result);
                Ok(())
            }
            Answer::Error(_) => Err(Error::NotStarted(
                "it does not speak MCP 2026-07-28".to_owned(),
            )),
        }
    }
}

impl Call {
    /// The id and progress token the child knows the call by.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Waits for what the child says next.
    pub async fn said(&mut self) -> Result<Said, Error> {
        let said = self.listener.next().await;
        self.is_over = !matches!(said, Some(Said::Note(_)));
        said.ok_or(Error::Ended)
    }

    /// Waits for the answer; nobody hears the notifications before it.
    pub async fn answer(&mut self) -> Result<Answer, Error> {
        loop {
            if let Said::Answer(answer) = self.said().await? {
                return Ok(answer);
            }
        }
    }

    /// A caller who leaves does not cancel the call, unless it takes longer than until then.
    pub fn go_on_until(&mut self, deadline: Instant) {
        self.when_left = WhenLeft::GoOn(deadline);
    }

    /// The call took too long: it is cancelled, and a process that is not even able to introduce itself is ended.
    pub fn is_late(&mut self) {
        self.when_left = WhenLeft::Cancel;
        let child = Child(Arc::clone(&self.child));
        tokio::spawn(async move {
            let said = tokio::time::timeout(START, child.discover()).await;
            if !matches!(said, Ok(Ok(()))) {
                tracing::warn!(process = child.process(), "a child hangs and is ended");
                child.0.ended.cancel();
            }
        });
    }
}

impl Inner {
    fn new(input: Input, process: u32) -> Self {
        Self {
            input,
            waiting: Mutex::default(),
            next: AtomicU64::new(1),
            ended: CancellationToken::new(),
            reaped: CancellationToken::new(),
            closing: CancellationToken::new(),
            used_at: AtomicI64::new(now()),
            discovery: Mutex::default(),
            process,
        }
    }

    /// Hands a line to the process; waits for room.
    async fn send(&self, line: Vec<u8>, is_alone: bool) -> bool {
        // The table of calls is cleared when the process ends; what comes after that would wait for ever.
        if self.ended.is_cancelled() {
            return false;
        }
        let sent = tokio::select! {
            biased;
            sent = self.input.send(line, is_alone) => sent,
            () = self.ended.cancelled() => false,
        };
        if !sent && !self.closing.is_cancelled() {
            // It reads no more, whatever else it does.
            self.ended.cancel();
        }
        sent
    }

    /// Forgets the call, and tells the child so while it is in flight.
    fn give_up(&self, id: u64) {
        let was_waiting = lock(&self.waiting).remove(&id).is_some();
        if was_waiting && !self.ended.is_cancelled() {
            self.tell_cancelled(id);
        }
    }

    fn tell_cancelled(&self, id: u64) {
        let line = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id}}}}}\n"
        );
        self.input.offer(line);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        match self.when_left {
            WhenLeft::Forget => {
                lock(&self.child.waiting).remove(&self.id);
            }
            WhenLeft::Cancel => self.child.give_up(self.id),
            WhenLeft::GoOn(deadline) => {
                let (child, id) = (Arc::clone(&self.child), self.id);
                tokio::spawn(async move {
                    tokio::time::sleep_until(deadline).await;
                    child.give_up(id);
                });
            }
        }
    }
}

/// Answers what the child asks of the broker, and logs what else it says, shortened.
async fn talk(line: UnixStream, tenant_id: String, lend: Lend) {
    let (said, answers) = line.into_split();
    let answers = Arc::new(tokio::sync::Mutex::new(answers));
    let mut said = BufReader::new(said);
    let mut is_cut = false;
    let mut logged = Logged::default();
    loop {
        let mut text = Vec::new();
        match (&mut said).take(4096).read_until(b'\n', &mut text).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // The rest of a line that was too long is no line of its own.
        let is_rest = std::mem::replace(&mut is_cut, text.last() != Some(&b'\n'));
        if is_rest {
            continue;
        }
        let text = String::from_utf8_lossy(&text);
        let Some(asked) = text.strip_prefix(sf_mcp::auth::hosted::ASKS) else {
            logged.line(&tenant_id, text.trim_end());
            continue;
        };
        let asked: Value = serde_json::from_str(asked).unwrap_or_default();
        // The log goes on meanwhile. A child asks one thing at a time, and gives up after a while.
        let (lend, answers, tenant_id) =
            (Arc::clone(&lend), Arc::clone(&answers), tenant_id.clone());
        tokio::spawn(async move {
            let number = asked["number"].clone();
            let mut answer = lend(tenant_id, asked).await;
            answer["number"] = number;
            let answer = zeroize::Zeroizing::new(format!("{answer}\n"));
            // A child that has ended needs no answer.
            let _ = answers.lock().await.write_all(answer.as_bytes()).await;
        });
    }
}

/// Lines of a child that are logged: so many a second, and how many more there were.
#[derive(Debug, Default)]
struct Logged {
    second: i64,
    lines: u32,
}

impl Logged {
    const MOST: u32 = 20;

    fn line(&mut self, tenant_id: &str, line: &str) {
        let second = now() / 1000;
        if second != self.second {
            if self.lines > Self::MOST {
                let more = self.lines - Self::MOST;
                tracing::warn!(tenant_id, more, "a child said more than is logged");
            }
            (self.second, self.lines) = (second, 0);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines <= Self::MOST {
            tracing::info!(tenant_id, line, "a child says");
        }
    }
}

/// Ends the process when it must, and removes its remains in any case.
async fn reap(mut process: tokio::process::Child, inner: Arc<Inner>) {
    let ended = tokio::select! {
        _ = process.wait() => true,
        () = inner.ended.cancelled() => false,
        () = inner.closing.cancelled() => tokio::time::timeout(END, process.wait()).await.is_ok(),
    };
    if !ended {
        let ended = {
            terminate(inner.process);
            tokio::time::timeout(END, process.wait()).await.is_ok()
        };
        if !ended {
            let _ = process.kill().await;
        }
    }
    // Nothing that it started may stay.
    kill_group(inner.process);
    inner.ended.cancel();
    lock(&inner.waiting).clear();
    inner.reaped.cancel();
}

fn terminate(process: u32) {
    signal(process, rustix::process::Signal::TERM);
}

fn kill_group(process: u32) {
    signal(process, rustix::process::Signal::KILL);
}

/// To the process's own group.
fn signal(process: u32, signal: rustix::process::Signal) {
    let group = i32::try_from(process)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// A process that is woken by its next request waits until this service has done what it is at, instead of interrupting it:
/// that takes a good part of what a call costs on a busy machine. Where the system refuses, it is a process like others.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn wait_its_turn(process: u32) {
    let no_priority = uapi::c::sched_param { sched_priority: 0 };
    if let Ok(process) = process.try_into() {
        let _ = uapi::sched_setscheduler(process, uapi::c::SCHED_BATCH, &no_priority);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn wait_its_turn(_: u32) {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

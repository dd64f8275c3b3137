//! Usage events of the hosted endpoint: one for each exchange that a tier let in or refused.
//!
//! They wait in memory, at most `QUEUE` of them, and are written every half second or for every 2,000, grouped by
//! token. A stop writes what waits; a crash loses what waited.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, StatusCode, header};
use metrics::Counter;
use sf_mcp::usage::Status;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    gateway::{
        asked::Asked,
        envelope::{Message, Object},
        era::{CLIENT_KEY, Era, SHARED},
        reply::Ended,
        span::Span,
    },
    ids,
    in_flight::Place,
    store::{OTHER, Origin, Store, Token, UsageEvent, UsageSource},
    usage::{event, ingest},
    web,
};

/// Events that wait to be written; more are dropped and counted.
const QUEUE: usize = 50_000;
/// Events of one write, and how long the first of them waits for others.
const BATCH: usize = 2_000;
const GATHERING: Duration = Duration::from_millis(500);
/// How often a write is tried again, with a pause between.
const TRIES: u32 = 5;

struct Noted {
    token: Arc<Token>,
    event: UsageEvent,
}

/// Takes events and writes them in the background.
#[derive(Debug)]
pub struct Meter {
    queue: mpsc::Sender<Noted>,
    clock: Clock,
    stop: CancellationToken,
    writing: Mutex<Option<JoinHandle<()>>>,
}

/// An exchange that has begun. When it is dropped without an end, its client has left.
pub(super) struct Exchanged {
    queue: mpsc::Sender<Noted>,
    noted: Option<Noted>,
    began: Instant,
    place: Option<Arc<Place>>,
    span: Option<Span>,
}

impl Meter {
    pub fn start(store: Store, clock: Clock) -> Self {
        let (queue, noted) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let writing = tokio::spawn(write(noted, store, clock.clone(), stop.clone()));
        Self {
            queue,
            clock,
            stop,
            writing: Mutex::new(Some(writing)),
        }
    }

    /// Begins to measure.
    pub(super) fn begin(
        &self,
        asked: &Asked<'_>,
        headers: &HeaderMap,
        place: Option<Place>,
        span: Option<Span>,
    ) -> Exchanged {
        let Asked { era, message, .. } = *asked;
        let mut id = web::request_id();
        if id.is_empty() {
            id = ids::new("req").unwrap_or_default();
        }
        let event = UsageEvent {
            id,
            at: self.clock.now(),
            tool: tool(message),
            endpoint: String::new(),
            status: "",
            duration_ms: 0,
            bytes: 0,
            client: client(era, message, headers),
            era: era.word().into(),
        };
        let token = Arc::clone(&asked.grant.token);
        Exchanged {
            queue: self.queue.clone(),
            noted: Some(Noted { token, event }),
            began: Instant::now(),
            place: place.map(Arc::new),
            span,
        }
    }

    /// Writes what waits. Nothing is to be measured any more.
    pub async fn close(&self) {
        self.stop.cancel();
        let writing = self
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writing) = writing {
            let _ = writing.await;
        }
    }
}

impl Exchanged {
    /// Its place among the company's calls under way, for the child too: it may work longer than its client waits.
    pub(super) fn place(&self) -> Option<Arc<Place>> {
        self.place.clone()
    }

    pub(super) fn ended(mut self, ended: Ended) {
        if let Some(noted) = &mut self.noted
            && event::is_endpoint(&ended.endpoint)
        {
            noted.event.endpoint = ended.endpoint;
        }
        self.note(ended.outcome, ended.bytes, Some(ended.status));
    }

    /// The tier did not let it in.
    pub(super) fn refused(mut self) {
        self.note(Status::RateLimited, 0, Some(StatusCode::TOO_MANY_REQUESTS));
    }

    fn note(&mut self, status: Status, bytes: usize, http: Option<StatusCode>) {
        let Some(mut noted) = self.noted.take() else {
            return;
        };
        let took = self.began.elapsed();
        noted.event.status = word(status);
        noted.event.duration_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        noted.event.bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if let Some(span) = self.span.take() {
            span.ended(&noted.token, &noted.event.id, word(status), http);
        }
        match status {
            Status::Ok => FIGURES.good.increment(1),
            _ => {
                metrics::counter!("sf_supervisor_mcp_calls_total", "status" => word(status))
                    .increment(1);
            }
        }
        FIGURES.bytes.increment(bytes as u64);
        if self.queue.try_send(noted).is_err() {
            metrics::counter!("sf_supervisor_usage_events_dropped_total").increment(1);
        }
    }
}

/// Figures that most calls change. They are looked up once, as that takes longer than to count.
static FIGURES: LazyLock<Figures> = LazyLock::new(|| Figures {
    good: metrics::counter!("sf_supervisor_mcp_calls_total", "status" => word(Status::Ok)),
    bytes: metrics::counter!("sf_supervisor_mcp_bytes_total"),
});

struct Figures {
    good: Counter,
    bytes: Counter,
}

impl Drop for Exchanged {
    fn drop(&mut self) {
        self.note(Status::Cancelled, 0, None);
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Refused => "refused",
        Status::RateLimited => "rate_limited",
        Status::SignedOut => "signed_out",
        Status::Unreachable => "unreachable",
        Status::Timeout => "timeout",
        Status::Cancelled => "cancelled",
        Status::Error => "error",
    }
}

/// The tool's name, or the method's, as events spell it. What does not exist has no name here: it is a stranger's text,
/// and sums must not grow by it.
pub(super) fn tool(message: &Message<'_>) -> &'static str {
    static METHODS: LazyLock<[(&str, String); SHARED.len()]> =
        LazyLock::new(|| SHARED.map(|method| (method, method.replace('/', "_"))));
    if message.method == "tools/call" {
        return event::known_tool(&message.params.text("name").unwrap_or_default());
    }
    let method = (METHODS.iter()).find(|(method, _)| *method == message.method);
    method.map_or(OTHER, |(_, name)| name)
}

/// `name/version` as the client says it in the request, or the product that its User-Agent begins with.
pub(super) fn client(era: Era, message: &Message<'_>, headers: &HeaderMap) -> String {
    let said = message.meta.as_ref().and_then(|meta| {
        let info = Object::parse(meta.get(CLIENT_KEY)?).ok()?;
        let version = info.text("version").unwrap_or_default();
        Some(format!("{}/{version}", info.text("name")?))
    });
    let product = || {
        let agent = headers.get(header::USER_AGENT)?.as_bytes();
        let agent = String::from_utf8_lossy(agent);
        agent.split_whitespace().next().map(str::to_owned)
    };
    let text = match era {
        Era::Modern(_) => said.or_else(product),
        Era::Legacy(_) | Era::Handshake(_) => product().or(said),
    };
    let text: Cow<'_, str> = text.map_or(Cow::Borrowed(""), Cow::Owned);
    let plain = |c: &char| c.is_ascii_alphanumeric() || " ._-/()+".contains(*c);
    text.chars().filter(plain).take(64).collect()
}

/// Writes batches until told to stop, and then what is left.
async fn write(
    mut waiting: mpsc::Receiver<Noted>,
    store: Store,
    clock: Clock,
    stop: CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        let first = tokio::select! {
            first = waiting.recv() => first,
            () = stop.cancelled() => None,
        };
        let Some(first) = first else {
            break;
        };
        batch.push(first);
        gather(&mut waiting, &mut batch, &stop).await;
        record(&store, &clock, &mut batch).await;
    }
    waiting.close();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        record(&store, &clock, &mut batch).await;
    }
}

async fn gather(
    waiting: &mut mpsc::Receiver<Noted>,
    batch: &mut Vec<Noted>,
    stop: &CancellationToken,
) {
    let end = tokio::time::Instant::now() + GATHERING;
    // Looking now and then wakes less often than each event would.
    while waiting.len() < BATCH && tokio::time::Instant::now() < end {
        tokio::select! {
            () = tokio::time::sleep(GATHERING / 10) => {}
            () = stop.cancelled() => break,
        }
    }
    while batch.len() < QUEUE
        && let Ok(noted) = waiting.try_recv()
    {
        batch.push(noted);
    }
}

/// Writes a batch by tokens, in one transaction; when that fails, each token's by itself.
async fn record(store: &Store, clock: &Clock, batch: &mut Vec<Noted>) {
    let mut groups = HashMap::<String, (Arc<Token>, Vec<UsageEvent>)>::new();
    for noted in batch.drain(..) {
        if let Some((_, events)) = groups.get_mut(&noted.token.id) {
            events.push(noted.event);
        } else {
            let id = noted.token.id.clone();
            groups.insert(id, (noted.token, vec![noted.event]));
        }
    }
    batch.shrink_to(BATCH);
    let groups: Vec<_> = groups.into_values().collect();
    let batches: Vec<_> = groups
        .iter()
        .map(|(token, events)| (source(token), events.as_slice()))
        .collect();
    if let Err(problem) = ingest::record_all(store, &batches, clock.now()).await {
        tracing::warn!(%problem, "usage events are written one company after another");
        for (token, events) in &groups {
            record_alone(store, clock, token, events).await;
        }
    }
}

fn source(token: &Token) -> UsageSource<'_> {
    UsageSource {
        tenant_id: &token.tenant_id,
        token_id: Some(&token.id),
        member_id: token.member_id.as_deref(),
        origin: Origin::Hosted,
    }
}

/// Tries several times. A company that is gone takes its events with it.
async fn record_alone(store: &Store, clock: &Clock, token: &Token, events: &[UsageEvent]) {
    for attempt in 1..=TRIES {
        let batch = [(source(token), events)];
        let Err(problem) = ingest::record_all(store, &batch, clock.now()).await else {
            return;
        };
        let is_gone = matches!(store.tenant(&token.tenant_id).await, Ok(None));
        if is_gone || attempt == TRIES {
            let count = events.len();
            tracing::error!(%problem, count, "usage events are lost");
            metrics::counter!("sf_supervisor_usage_events_dropped_total").increment(count as u64);
            return;
        }
        tokio::time::sleep(Duration::from_millis(200) * attempt).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> Message<'_> {
        Message::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn only_what_exists_is_counted_by_its_name() {
        for (params, name) in [
            (r#"{"name":"get_job"}"#, "get_job"),
            (r#"{"name":"get_rich"}"#, "other"),
            (r#"{"name":"Ann Smith"}"#, "other"),
            ("{}", "other"),
        ] {
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
            assert_eq!(tool(&message(&body)), name);
        }
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"resources/templates/list"}"#;
        assert_eq!(tool(&message(list)), "resources_templates_list");
        let strange = r#"{"jsonrpc":"2.0","id":1,"method":"get_rich"}"#;
        assert_eq!(tool(&message(strange)), "other");
    }

    #[test]
    fn a_client_is_named_by_itself() {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", "Claude-User/1.0 (+x) é".parse().unwrap());
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{
            "io.modelcontextprotocol/clientInfo":{"name":"Curs\"or <x>","version":"2.1"}}}}"#;
        let era = Era::Modern("2026-07-28");
        assert_eq!(client(era, &message(body), &headers), "Cursor x/2.1");
        let era = Era::Legacy("2025-11-25");
        assert_eq!(client(era, &message(body), &headers), "Claude-User/1.0");
    }
}

//! One request to Service Fusion: a permit, a token, send, decode, and once more where that is safe.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        broker,
        oauth::without_address,
        session::{self, Session, token::Token},
    },
    service_fusion::{
        budget::Budget,
        client::{
            asked::Asked,
            reply::{field_errors, rate_headers, read_body, retry_wait, unreadable, upstream},
        },
        error::Error,
    },
    trace_context::{TRACEPARENT, TRACESTATE, TraceContext},
};

pub mod asked;
mod reply;

/// How often a GET is sent at most.
const ATTEMPTS: u32 = 4;
/// A create is given this long after it was sent, whatever becomes of the call that asked for it.
const CREATE_TIMEOUT: Duration = Duration::from_mins(2);

/// After a wait this long for its turn, a request looks at the token again.
const WORTH_A_LOOK: Duration = Duration::from_secs(1);

/// What all who wait for one read are given.
type Shareable = Result<Arc<Value>, Error>;
type InFlight = Shared<BoxFuture<'static, Shareable>>;

/// How long a caller waits, the sign to stop, what it has asked for and whose trace it belongs to.
#[derive(Clone, Debug)]
pub struct Patience {
    pub started: Instant,
    pub deadline: Instant,
    pub cancelled: CancellationToken,
    pub asked: Asked,
    /// The trace that the caller is part of.
    pub trace: Option<Arc<TraceContext>>,
}

impl Patience {
    pub fn new(limit: Duration, cancelled: CancellationToken) -> Self {
        let started = Instant::now();
        Self {
            started,
            deadline: started + limit,
            cancelled,
            asked: Asked::default(),
            trace: None,
        }
    }

    /// Ends when the caller's patience does, and says why.
    pub async fn ended(&self) -> Error {
        tokio::select! {
            () = self.cancelled.cancelled() => Error::Cancelled,
            () = tokio::time::sleep_until(self.deadline) => Error::Timeout {
                seconds: (self.deadline - self.started).as_secs(),
            },
        }
    }
}

/// Sends requests for one company.
#[derive(Debug)]
pub struct Client {
    /// Built at the first request: it costs milliseconds that a start must not.
    http: OnceLock<reqwest::Client>,
    session: Session,
    budget: Budget,
    in_flight: Mutex<HashMap<String, WeakShared<BoxFuture<'static, Shareable>>>>,
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Request<'a> {
    method: &'a Method,
    /// Below `/v1`.
    path: &'a str,
    body: Option<&'a String>,
    trace: Option<&'a TraceContext>,
}

/// What one attempt came to, where that is not an answer.
enum Failure {
    /// Another attempt may succeed, after this wait.
    Again(Error, Option<Duration>),
    Final(Error),
}

impl Client {
    pub fn new(session: Session, budget: Budget) -> Self {
        Self {
            http: OnceLock::new(),
            session,
            budget,
            in_flight: Mutex::new(HashMap::new()),
        }
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Reads `path` below `/v1`. Equal reads that overlap are one request; it is dropped when nobody waits any more.
    pub async fn get(self: &Arc<Self>, path: &str, patience: &Patience) -> Result<Value, Error> {
        patience.asked.note(&Method::GET, path);
        let (shared, joined) = self.join(path, patience);
        let reply = tokio::select! {
            biased;
            reply = shared => reply,
            ended = patience.ended() => return Err(ended),
        };
        let reply = match reply {
            // The read gave up at the deadline of whoever began it; ours may be later.
            Err(problem) if joined && problem.retryable() => {
                let (shared, _) = self.join(path, patience);
                tokio::select! {
                    biased;
                    reply = shared => reply,
                    ended = patience.ended() => return Err(ended),
                }
            }
            reply => reply,
        };
        // Whoever reads it alone is given it as it is.
        reply.map(Arc::unwrap_or_clone)
    }

    /// Creates a record. The request is sent once; a second time only where the first provably was not handled.
    ///
    /// Once it is on its way it is seen through, even when the caller gives up: its outcome must be known.
    pub async fn post(
        self: &Arc<Self>,
        path: &str,
        body: String,
        patience: &Patience,
    ) -> Result<Value, Error> {
        patience.asked.note(&Method::POST, path);
        // Waiting for the sign-in and for its turn can be given up; what follows cannot.
        let token = tokio::select! {
            biased;
            token = self.ready(patience.deadline) => token?,
            ended = patience.ended() => return Err(ended),
        };
        let client = Arc::clone(self);
        let (path, trace) = (path.to_owned(), patience.trace.clone());
        let sent = tokio::spawn(async move {
            let request = Request {
                method: &Method::POST,
                path: &path,
                body: Some(&body),
                trace: trace.as_deref(),
            };
            client.send_create(request, token).await
        });
        sent.await.unwrap_or_else(|_| {
            Err(Error::UnknownOutcome {
                reason: "the request was interrupted".to_owned(),
            })
        })
    }

    /// The read of `path` that is under way, or a new one; and whether it was under way. One that several wait for
    /// belongs to the trace of whoever began it.
    fn join(self: &Arc<Self>, path: &str, patience: &Patience) -> (InFlight, bool) {
        let mut in_flight = self
            .in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = in_flight.get(path).and_then(WeakShared::upgrade) {
            return (shared, true);
        }
        let client = Arc::clone(self);
        let owned = path.to_owned();
        let (deadline, trace) = (patience.deadline, patience.trace.clone());
        let shared = async move {
            let request = Request {
                method: &Method::GET,
                path: &owned,
                body: None,
                trace: trace.as_deref(),
            };
            let reply = client.get_with_retries(request, deadline).await;
            client
                .in_flight
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&owned);
            reply.map(Arc::new)
        }
        .boxed()
        .shared();
        if in_flight.len() > 64 {
            // Reads whose callers all gave up leave an empty entry behind.
            in_flight.retain(|_, weak| weak.upgrade().is_some());
        }
        if let Some(weak) = shared.downgrade() {
            in_flight.insert(path.to_owned(), weak);
        }
        (shared, false)
    }

    async fn get_with_retries(
        &self,
        request: Request<'_>,
        deadline: Instant,
    ) -> Result<Value, Error> {
        let mut attempt = 1;
        loop {
            let (error, wait) = match self.attempt(request, deadline).await {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(error, wait)) => (error, wait),
            };
            let wait = wait.unwrap_or_else(|| backoff(attempt));
            if attempt >= ATTEMPTS || Instant::now() + wait >= deadline {
                return Err(error);
            }
            tracing::debug!(attempt, %error, "a read is tried again");
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn send_create(&self, request: Request<'_>, mut token: Token) -> Result<Value, Error> {
        let mut attempt = 1;
        loop {
            let sending = self.exchange(request, &token);
            let outcome = tokio::time::timeout(CREATE_TIMEOUT, sending)
                .await
                .unwrap_or_else(|_| {
                    Err(Failure::Final(Error::UnknownOutcome {
                        reason: format!("no answer within {} s", CREATE_TIMEOUT.as_secs()),
                    }))
                });
            match outcome {
                Ok(value) => return Ok(value),
                Err(Failure::Again(_, wait)) if attempt < ATTEMPTS => {
                    tokio::time::sleep(wait.unwrap_or_else(|| backoff(attempt))).await;
                    token = self.ready(Instant::now() + CREATE_TIMEOUT).await?;
                    attempt += 1;
                }
                Err(Failure::Again(error, _) | Failure::Final(error)) => return Err(error),
            }
        }
    }

    async fn permit(&self, deadline: Instant) -> Result<(), Error> {
        self.budget
            .take(deadline)
            .await
            .map_err(|too_long| Error::BudgetSpent {
                seconds: too_long.seconds,
            })
    }

    /// A token first, then the permit: a permit that waits for a sign-in would count from the wrong moment.
    async fn ready(&self, deadline: Instant) -> Result<Token, Error> {
        let http = self.http()?;
        let token = self.session.token(http).await.map_err(signed_out)?;
        let asked = Instant::now();
        self.permit(deadline).await?;
        if asked.elapsed() < WORTH_A_LOOK {
            return Ok(token);
        }
        // The turn came so much later that the token may be another one by now.
        self.session.token(http).await.map_err(signed_out)
    }

    async fn attempt(&self, request: Request<'_>, deadline: Instant) -> Result<Value, Failure> {
        let token = self
            .ready(deadline)
            .await
            .map_err(|problem| match problem {
                problem @ (Error::Unreachable { .. } | Error::NoLender { .. }) => {
                    Failure::Again(problem, None)
                }
                problem => Failure::Final(problem),
            })?;
        self.exchange(request, &token).await
    }

    async fn exchange(&self, request: Request<'_>, token: &Token) -> Result<Value, Failure> {
        let http = self.http().map_err(Failure::Final)?;
        let response = self.send(http, request, token).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.decode(request, response).await;
        }
        // The token died early: ask once for another one. The request was not handled, so even a create may follow.
        let token =
            self.session.replace(http, token).await.map_err(|problem| {
                match signed_out(problem) {
                    problem @ (Error::Unreachable { .. } | Error::NoLender { .. }) => {
                        Failure::Again(problem, None)
                    }
                    problem => Failure::Final(problem),
                }
            })?;
        self.permit(Instant::now() + CREATE_TIMEOUT)
            .await
            .map_err(Failure::Final)?;
        let response = self.send(http, request, &token).await?;
        self.decode(request, response).await
    }

    async fn send(
        &self,
        http: &reqwest::Client,
        request: Request<'_>,
        token: &Token,
    ) -> Result<Response, Failure> {
        let Request { method, path, .. } = request;
        let mut sending = http
            .request(method.clone(), format!("{}/v1/{path}", token.origin()))
            .header("authorization", token.header())
            .header("accept", "application/json");
        if let Some(body) = request.body {
            sending = sending
                .header("content-type", "application/json")
                .body(body.clone());
        }
        // Each attempt is a request of its own.
        if let Some(hop) = request.trace.and_then(TraceContext::next_hop) {
            sending = sending.header(TRACEPARENT, hop.traceparent());
            if let Some(state) = hop.tracestate() {
                sending = sending.header(TRACESTATE, state);
            }
        }
        let response = sending.send().await.map_err(|problem| {
            let never_sent = problem.is_connect();
            let reason = without_address(problem);
            if method == Method::GET || never_sent {
                Failure::Again(Error::Unreachable { reason }, None)
            } else {
                Failure::Final(Error::UnknownOutcome { reason })
            }
        })?;
        self.budget.learn(rate_headers(&response));
        Ok(response)
    }

    async fn decode(&self, request: Request<'_>, response: Response) -> Result<Value, Failure> {
        let Request { method, path, .. } = request;
        let status = response.status();
        let wait = retry_wait(&response);
        let creating = method == Method::POST;
        let body = match read_body(response).await {
            Ok(body) => body,
            Err(reason) if creating => {
                return Err(Failure::Final(Error::UnknownOutcome { reason }));
            }
            Err(reason) => return Err(Failure::Again(Error::Unreachable { reason }, None)),
        };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| unreadable(creating, path, &body));
        }
        let parsed: Option<Value> = serde_json::from_slice(&body).ok();
        let place = path.split('?').next().unwrap_or_default().to_owned();
        Err(match status.as_u16() {
            401 => Failure::Final(Error::SignedOut {
                reason: "Service Fusion no longer accepts the sign-in of sf-mcp; check the client id and secret".to_owned(),
            }),
            403 => Failure::Final(Error::Forbidden),
            404 => Failure::Final(Error::NotFound { path: place }),
            422 => Failure::Final(Error::Rejected(field_errors(parsed.as_ref()))),
            429 => {
                let wait = wait.unwrap_or(Duration::from_secs(5)).min(Duration::from_secs(90));
                tracing::warn!(seconds = wait.as_secs(), "Service Fusion answered 429 although requests are counted");
                self.budget.block(wait).await;
                // The block makes the next permit wait, so the attempt itself need not.
                Failure::Again(Error::RateLimited { seconds: wait.as_secs().max(1) }, Some(Duration::ZERO))
            }
            500.. if creating => Failure::Final(Error::UnknownOutcome {
                reason: format!("Service Fusion answered with status {}", status.as_u16()),
            }),
            code @ (500 | 502 | 503 | 504) => Failure::Again(upstream(code, parsed.as_ref()), wait),
            code => Failure::Final(upstream(code, parsed.as_ref())),
        })
    }

    fn http(&self) -> Result<&reqwest::Client, Error> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let built = build_http().map_err(|problem| Error::Unreachable {
            reason: format!(
                "{}; if no certificates were found, install the system's ca-certificates",
                without_address(problem)
            ),
        })?;
        Ok(self.http.get_or_init(|| built))
    }
}

/// An HTTP client for Service Fusion: no redirects, no waiting for a connection beyond ten seconds.
pub fn build_http() -> Result<reqwest::Client, reqwest::Error> {
    // Fails only when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("sf-mcp/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .build()
}

fn signed_out(problem: session::Error) -> Error {
    match problem {
        session::Error::Unavailable(reason) => Error::Unreachable { reason },
        session::Error::Lender(problem) => not_lent(&problem),
        other => Error::SignedOut {
            reason: other.to_string(),
        },
    }
}

fn not_lent(problem: &broker::Error) -> Error {
    let reason = problem.to_string();
    match problem {
        broker::Error::Unavailable { .. } => Error::NoLender { reason },
        broker::Error::Revoked { .. } => Error::SignedOut { reason },
        broker::Error::Suspended { .. } => Error::NotLent {
            code: "suspended",
            reason,
        },
        broker::Error::Reconnect { .. } => Error::NotLent {
            code: "reconnect_required",
            reason,
        },
    }
}

/// 0.2 s, 0.4 s, 0.8 s, each with up to half of it on top by chance, so that callers do not come back together.
fn backoff(attempt: u32) -> Duration {
    let base = 200u64 << (attempt - 1).min(6);
    let mut chance = [0u8; 2];
    // Without chance the wait is just not spread.
    let _ = getrandom::fill(&mut chance);
    Duration::from_millis(base + base * u64::from(u16::from_le_bytes(chance)) / (2 * 65_536))
}

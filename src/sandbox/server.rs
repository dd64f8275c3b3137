//! One request from its first byte to the answer: faults, routing, counting.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};

use crate::sandbox::clock::Clock;
use crate::sandbox::company::Company;
use crate::sandbox::fault::{FaultKind, Faults};
use crate::sandbox::oauth::{self, tokens::Tokens};
use crate::sandbox::payload::{self, Answer};
use crate::sandbox::query::Query;
use crate::sandbox::rate_limit::RateLimit;
use crate::sandbox::traffic::{InFlight, Traffic};
use crate::sandbox::{Options, api, control};

const MAX_BODY: usize = 1024 * 1024;

pub(crate) struct Server {
    pub(crate) clock: Clock,
    pub(crate) tokens: Tokens,
    pub(crate) rate_limit: RateLimit,
    pub(crate) faults: Faults,
    pub(crate) traffic: Arc<Traffic>,
    company: RwLock<Option<Company>>,
    extra_jobs: u32,
    has_control: bool,
}

/// A request with its body read.
pub(crate) struct Received {
    pub(crate) parts: Parts,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    pub(crate) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl Server {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            clock: Clock {
                time_zone: options.time_zone,
                fixed: options.now,
            },
            tokens: Tokens::new(options.token_life),
            rate_limit: RateLimit::new(options.requests_per_window, options.rate_window),
            faults: Faults::default(),
            traffic: Arc::new(Traffic::new()),
            company: RwLock::default(),
            extra_jobs: options.extra_jobs,
            has_control: options.control,
        }
    }

    /// An error closes the connection without an answer.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Answer> {
        let (parts, body) = request.into_parts();
        let is_control = self.has_control && parts.uri.path().starts_with("/sandbox/");
        let in_flight = (!is_control).then(|| InFlight::begin(&self.traffic, parts.uri.path()));
        let body = match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                in_flight.into_iter().for_each(InFlight::finish);
                return Ok(payload::error_page(StatusCode::PAYLOAD_TOO_LARGE));
            }
            Err(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let received = Received { parts, query, body };
        let answer = match in_flight {
            None => Some(control::answer(&self, &received)),
            Some(in_flight) => {
                let answer = self.handle(&received).await;
                in_flight.finish();
                self.log(&received, answer.as_ref());
                answer
            }
        };
        answer.ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
    }

    async fn handle(&self, received: &Received) -> Option<Answer> {
        let grant = oauth::grant(received);
        let struck = self
            .faults
            .strike(received.method(), received.path(), grant.as_deref());
        if let Some(latency) = struck.latency {
            tokio::time::sleep(latency).await;
        }
        let Some(fault) = struck.kind else {
            return Some(self.route(received, None));
        };
        match fault {
            FaultKind::DropBefore => return None,
            FaultKind::Hang => match std::future::pending::<Infallible>().await {},
            FaultKind::ExpireTokens => self.tokens.expire_access_tokens(),
            _ => {}
        }
        let answer = self.route(received, fault.instead());
        fault.spoil(answer)
    }

    /// `instead` replaces the handling, not the checks before it.
    fn route(&self, received: &Received, instead: Option<Answer>) -> Answer {
        match received.path() {
            path if path == "/v1" || path.starts_with("/v1/") => {
                api::answer(self, received, instead)
            }
            "/oauth/access_token" | "/oauth/authorize" => {
                instead.unwrap_or_else(|| oauth::answer(self, received))
            }
            _ => instead.unwrap_or_else(|| payload::error_page(StatusCode::NOT_FOUND)),
        }
    }

    fn log(&self, received: &Received, answer: Option<&Answer>) {
        let status = answer.map_or(0, |answer| answer.status().as_u16());
        if status == StatusCode::TOO_MANY_REQUESTS.as_u16() {
            self.traffic.count(|counters| counters.too_many += 1);
        }
        self.traffic.record(received, status);
    }

    /// The company comes into being with the first request that looks at it.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Company) -> T) -> T {
        let company = self.company.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(company) = company.as_ref() {
            return look(company);
        }
        drop(company);
        self.write(|company| look(company))
    }

    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Company) -> T) -> T {
        let mut company = self.company.write().unwrap_or_else(PoisonError::into_inner);
        change(company.get_or_insert_with(|| Company::new(self.clock.now(), self.extra_jobs)))
    }

    pub(crate) fn reset(&self) {
        *self.company.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.faults.clear();
        self.rate_limit.reset();
        self.traffic.reset();
    }
}

//! What the sandbox has seen: counters, the request log, and requests under way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::sandbox::server::Received;

/// Headers that the log keeps; a program under test may send some of them and not the others.
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];
const LOG_LENGTH: usize = 1000;
const MOST_PATHS: usize = 10_000;

pub(crate) struct Traffic {
    started: Instant,
    counters: Mutex<Counters>,
    log: Mutex<VecDeque<LogEntry>>,
}

#[derive(Default, Serialize)]
pub(crate) struct Counters {
    pub(crate) requests: u64,
    pub(crate) by_path: BTreeMap<String, u64>,
    pub(crate) by_operation: BTreeMap<String, u64>,
    pub(crate) too_many: u64,
    pub(crate) token_requests: u64,
    pub(crate) refreshes: u64,
    pub(crate) client_credentials: u64,
    pub(crate) refresh_reuse: u64,
    pub(crate) created: Created,
    pub(crate) in_flight: i64,
    pub(crate) max_in_flight: i64,
    pub(crate) cancelled: u64,
}

#[derive(Default, Serialize)]
pub(crate) struct Created {
    pub(crate) customers: u64,
    pub(crate) jobs: u64,
    pub(crate) estimates: u64,
}

#[derive(Clone, Serialize)]
pub(crate) struct LogEntry {
    at_ms: u64,
    method: String,
    path: String,
    query: String,
    status: u16,
    /// What of a trace was sent with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    trace: BTreeMap<&'static str, String>,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            counters: Mutex::default(),
            log: Mutex::default(),
        }
    }

    pub(crate) fn count<T>(&self, change: impl FnOnce(&mut Counters) -> T) -> T {
        change(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Status 0 stands for a connection closed without an answer.
    pub(crate) fn record(&self, received: &Received, status: u16) {
        let at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let sent = TRACE.map(|name| (name, received.header(name).to_owned()));
        let entry = LogEntry {
            at_ms,
            method: received.method().to_owned(),
            path: received.path().to_owned(),
            query: received.query.for_log(),
            status,
            trace: sent
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        };
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LOG_LENGTH {
            log.pop_front();
        }
        log.push_back(entry);
    }

    pub(crate) fn log(&self) -> Vec<LogEntry> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// Requests under way stay counted, or their end would make the number negative.
    pub(crate) fn reset(&self) {
        self.count(|counters| {
            let in_flight = counters.in_flight;
            *counters = Counters {
                in_flight,
                max_in_flight: in_flight,
                ..Counters::default()
            };
        });
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// A request under way; dropped before it is finished, it counts as cancelled.
pub(crate) struct InFlight {
    traffic: Arc<Traffic>,
    is_finished: bool,
}

impl InFlight {
    pub(crate) fn begin(traffic: &Arc<Traffic>, path: &str) -> Self {
        traffic.count(|counters| {
            counters.requests += 1;
            if let Some(count) = counters.by_path.get_mut(path) {
                *count += 1;
            } else if counters.by_path.len() < MOST_PATHS {
                // Ids and garbage make ever new paths.
                counters.by_path.insert(path.to_owned(), 1);
            }
            counters.in_flight += 1;
            counters.max_in_flight = counters.max_in_flight.max(counters.in_flight);
        });
        Self {
            traffic: Arc::clone(traffic),
            is_finished: false,
        }
    }

    pub(crate) fn finish(mut self) {
        self.is_finished = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let is_cancelled = !self.is_finished;
        self.traffic.count(|counters| {
            counters.in_flight -= 1;
            counters.cancelled += u64::from(is_cancelled);
        });
    }
}

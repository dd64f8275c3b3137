//! Sends what is in the spool, one process at a time.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    auth::{broker::Broker, lock},
    paths::Paths,
    usage::spool::{Batch, Spool},
};

/// Most events in one request.
const MOST: usize = 500;
/// The wait doubles with each attempt that fails, up to this many times the first one.
const LONGEST_WAIT: u32 = 64;

/// The last events of a device that is given up are tried to be sent for so long.
const LAST: Duration = Duration::from_secs(10);

/// A hosting service and what it has not got yet.
#[derive(Debug)]
pub struct Sender {
    broker: Broker,
    spool: Spool,
    every: Duration,
    /// Smaller for a while after the service refused a batch.
    most: usize,
}

/// What became of a batch.
enum Outcome {
    /// Some of it may have been refused one by one.
    Taken {
        refused: usize,
    },
    /// The service will not take this batch as it is.
    Refused,
    Failed(String),
}

impl Sender {
    pub fn new(broker: Broker, paths: &Paths, every: Duration) -> Self {
        Self {
            spool: Spool::new(paths.usage_spool(&broker.digest())),
            broker,
            every,
            most: MOST,
        }
    }

    pub fn is_of(&self, broker: &Broker) -> bool {
        self.broker.digest() == broker.digest()
    }

    /// Whether nothing is left. Another process that is sending, or a wait after a failure, ends it at once.
    pub async fn send(&mut self, http: &reqwest::Client) -> bool {
        let Some(_held) = lock::lock_if_free(&self.spool.lock_file()) else {
            return false;
        };
        loop {
            let batch = match self.spool.next(self.most, self.longest_wait()).await {
                Ok(Some(batch)) => batch,
                Ok(None) => return false,
                Err(problem) => {
                    tracing::warn!(%problem, "the usage events cannot be read");
                    return false;
                }
            };
            if batch.events.is_empty() {
                return true;
            }
            let done = match self.post(http, &batch).await {
                Outcome::Taken { refused } => {
                    self.most = MOST.min(self.most * 2);
                    self.spool.remove(batch.last, refused).await
                }
                // Somewhere in it is one that the service never takes; it must not hold up the others.
                Outcome::Refused if batch.events.len() > 1 => {
                    self.most = batch.events.len() / 2;
                    continue;
                }
                Outcome::Refused => self.spool.remove(batch.last, 1).await,
                Outcome::Failed(problem) => {
                    tracing::debug!(problem, "usage events are sent later");
                    let _ = self.spool.wait(self.wait(batch.failures)).await;
                    return false;
                }
            };
            if let Err(problem) = done {
                tracing::warn!(%problem, "the usage events cannot be removed after they were sent");
                return false;
            }
        }
    }

    /// Sends all there is whatever failed before: nobody will do it later.
    pub async fn send_rest(&mut self, http: &reqwest::Client) {
        if self.spool.left().is_ok_and(|left| left.waiting > 0) {
            let _ = self.spool.wait(Duration::ZERO).await;
            let _ = tokio::time::timeout(LAST, self.send(http)).await;
        }
    }

    async fn post(&self, http: &reqwest::Client, batch: &Batch) -> Outcome {
        let body = json!({"events": batch.events});
        let answer = match (self.broker)
            .ask(http, Method::POST, "/api/usage", Some(&body))
            .await
        {
            Ok(answer) => answer,
            Err(problem) => return Outcome::Failed(problem.to_string()),
        };
        match answer.status.as_u16() {
            // A gateway's page with a good status has taken nothing.
            200..300 if answer.body.get("accepted").is_some_and(Value::is_number) => {
                let refused = answer.body.get("refused").and_then(Value::as_array);
                Outcome::Taken {
                    refused: refused.map_or(0, Vec::len),
                }
            }
            400 | 413 | 422 if !answer.code().is_empty() => Outcome::Refused,
            _ => Outcome::Failed(answer.shown()),
        }
    }

    fn wait(&self, failures: u32) -> Duration {
        let base = self.every * 2u32.pow(failures.min(6)).min(LONGEST_WAIT);
        let mut chance = [0u8; 1];
        // Without chance the wait is just not spread.
        let _ = getrandom::fill(&mut chance);
        base + base * u32::from(chance[0]) / 1024
    }

    fn longest_wait(&self) -> Duration {
        self.every * LONGEST_WAIT * 2
    }
}

//! The request budget of a client and the headers that tell of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::sandbox::payload::Answer;

/// What the headers say when nothing is limited.
const UNLIMITED: u32 = 1_000_000;

pub(crate) struct RateLimit {
    requests: u32,
    window: Duration,
    /// By client id, so a freshly minted token does not widen the budget.
    windows: Mutex<HashMap<&'static str, Window>>,
}

struct Window {
    ends: Instant,
    spent: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Budget {
    limit: u32,
    remaining: u32,
    resets_in: Duration,
    pub(crate) is_exceeded: bool,
}

impl RateLimit {
    pub(crate) fn new(requests: u32, window: Duration) -> Self {
        Self {
            requests,
            window,
            windows: Mutex::default(),
        }
    }

    /// Takes one request from the client's budget.
    pub(crate) fn spend(&self, client_id: &'static str) -> Budget {
        if self.requests == 0 {
            return self.untouched();
        }
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(client_id).or_insert(Window {
            ends: now + self.window,
            spent: 0,
        });
        if window.ends <= now {
            *window = Window {
                ends: now + self.window,
                spent: 0,
            };
        }
        let is_exceeded = window.spent >= self.requests;
        window.spent += u32::from(!is_exceeded);
        Budget {
            limit: self.requests,
            remaining: self.requests - window.spent,
            resets_in: window.ends - now,
            is_exceeded,
        }
    }

    /// For answers to requests that belong to no client.
    pub(crate) fn untouched(&self) -> Budget {
        let limit = if self.requests == 0 {
            UNLIMITED
        } else {
            self.requests
        };
        Budget {
            limit,
            remaining: limit,
            resets_in: self.window,
            is_exceeded: false,
        }
    }

    pub(crate) fn reset(&self) {
        self.windows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Budget {
    pub(crate) fn write_headers(self, answer: &mut Answer) {
        let now = Timestamp::now();
        let resets_at = now.as_millisecond()
            + i64::try_from(self.resets_in.as_millis()).unwrap_or(i64::MAX / 2);
        let headers = [
            ("x-rate-limit-limit", i64::from(self.limit)),
            ("x-rate-limit-remaining", i64::from(self.remaining)),
            // Rounded up, so that a client who waits for it never comes early.
            (
                "x-rate-limit-reset",
                resets_at.div_euclid(1000) + i64::from(resets_at.rem_euclid(1000) > 0),
            ),
        ];
        for (name, value) in headers {
            answer
                .headers_mut()
                .insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_per_client_and_ends() {
        let limit = RateLimit::new(2, Duration::from_mins(1));

        assert_eq!(limit.spend("a").remaining, 1);
        assert_eq!(limit.spend("a").remaining, 0);
        assert!(limit.spend("a").is_exceeded);
        assert!(!limit.spend("b").is_exceeded);
    }

    #[test]
    fn a_window_that_is_over_starts_afresh() {
        let limit = RateLimit::new(1, Duration::ZERO);

        assert!(!limit.spend("a").is_exceeded);
        assert!(!limit.spend("a").is_exceeded);
    }
}

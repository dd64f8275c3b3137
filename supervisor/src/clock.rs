//! The time, which tests may move.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Unix milliseconds; what is stored is judged by this clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    moved_by: Arc<AtomicI64>,
}

impl Clock {
    pub fn now(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond() + self.moved_by.load(Ordering::Relaxed)
    }

    /// For tests: all copies of this clock jump by so many milliseconds.
    pub fn advance(&self, milliseconds: i64) {
        self.moved_by.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

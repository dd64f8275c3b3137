//! Calls of all companies together. They are summed from a month of every company, which takes a second or two when
//! there are many: whoever asks within a minute gets the same sums, and only one reads at a time.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::{
    rate::{DAY, day_of},
    store::{By, Result, Store, Sum},
};

/// How long sums are good, in ms.
const GOOD: i64 = 60_000;
pub const HOUR: i64 = 60 * 60 * 1000;
/// Days that are summed, today included, and of them those in which the busiest companies are looked for.
pub const DAYS: i64 = 30;
const BUSY_DAYS: i64 = 7;
const BUSIEST: i64 = 10;

/// The newest sums.
#[derive(Debug, Default)]
pub struct Fleet(Mutex<Option<Arc<Sums>>>);

#[derive(Debug)]
pub struct Sums {
    /// When they were read, in Unix ms.
    pub at: i64,
    pub days: Vec<Sum>,
    /// Of the last 24 hours, the current one included.
    pub hours: Vec<Sum>,
    /// With the companies' names.
    pub busiest: Vec<(Sum, String)>,
}

impl Fleet {
    pub async fn sums(&self, store: &Store, now: i64) -> Result<Arc<Sums>> {
        let mut kept = self.0.lock().await;
        if let Some(sums) = &*kept
            && (0..GOOD).contains(&(now - sums.at))
        {
            return Ok(Arc::clone(sums));
        }
        let (today, hour) = (day_of(now), now - now.rem_euclid(HOUR));
        let since = |days: i64| today - (days - 1) * DAY;
        let sums = Arc::new(Sums {
            at: now,
            days: store.usage(None, since(DAYS), today + DAY, By::Day).await?,
            hours: store
                .usage(None, hour - 23 * HOUR, hour + HOUR, By::Hour)
                .await?,
            busiest: store.busiest(since(BUSY_DAYS), BUSIEST).await?,
        });
        *kept = Some(Arc::clone(&sums));
        Ok(sums)
    }
}

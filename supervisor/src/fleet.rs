//! Calls of all companies together. They are summed from a month of every company, which takes seconds when there are
//! very many: then whoever asks soon after gets the same sums, and only one reads at a time.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use crate::{
    rate::{DAY, day_of},
    store::{By, Result, Store, Sum},
};

/// Sums are good for so many times as long as it took to read them, and no longer than a minute.
const GOOD: u32 = 20;
const LONGEST: Duration = Duration::from_mins(1);
pub const HOUR: i64 = 60 * 60 * 1000;
/// Days that are summed, today included, and of them those in which the busiest companies are looked for.
pub const DAYS: i64 = 30;
const BUSY_DAYS: i64 = 7;
const BUSIEST: i64 = 10;

/// The newest sums.
#[derive(Debug, Default)]
pub struct Fleet(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    sums: Arc<Sums>,
    until: Instant,
}

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
        let begun = Instant::now();
        if let Some(kept) = &*kept
            && begun < kept.until
        {
            return Ok(Arc::clone(&kept.sums));
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
        let good = (begun.elapsed() * GOOD).min(LONGEST);
        *kept = Some(Kept {
            sums: Arc::clone(&sums),
            until: Instant::now() + good,
        });
        Ok(sums)
    }
}

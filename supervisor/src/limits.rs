//! Limits per address and source against guessing and annoying; they hold across replicas and lapse by themselves.

use crate::store::{self, Store};

/// At most `most` in each window of `window` milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub name: &'static str,
    pub most: i64,
    pub window: i64,
}

/// The limit is reached; it lapses after so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    pub seconds: u64,
}

/// Counts one for `whom`; `Some` when that is one too many.
pub async fn take(
    store: &Store,
    limit: Limit,
    whom: &str,
    now: i64,
) -> Result<Option<Reached>, store::Error> {
    take_many(store, limit, whom, 1, now).await
}

/// Counts so many for `whom`; `Some` when they are too many.
pub async fn take_many(
    store: &Store,
    limit: Limit,
    whom: &str,
    more: usize,
    now: i64,
) -> Result<Option<Reached>, store::Error> {
    let (name, more) = (format!("{}/{whom}", limit.name), more.try_into());
    let count = store
        .count(&name, more.unwrap_or(i64::MAX), limit.window, now)
        .await?;
    let left = limit.window - now.rem_euclid(limit.window);
    Ok((count > limit.most).then(|| Reached {
        seconds: u64::try_from(left / 1000 + 1).unwrap_or(1),
    }))
}

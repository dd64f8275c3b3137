//! Removes what is not needed any more, now and then.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    store::{self, Store},
};

const DAY: i64 = 24 * 60 * 60 * 1000;
/// Events of calls are kept so long, and until the end of their day (UTC); their sums by hour and day for good. Longer
/// than a sender may report late, so that no event is counted again after it was removed.
const EVENTS: i64 = 90 * DAY;
const EVERY: Duration = Duration::from_mins(10);

/// Sweeps every ten minutes until `stop`. Several replicas may do so at once.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        match sweep(&app.store, app.clock.now(), app.config.refresh_grace).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "old rows are removed"),
            Err(problem) => tracing::warn!(%problem, "old rows stay a while longer"),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Removes old events, counters, codes and pending browser sign-ins; returns how many rows.
pub async fn sweep(store: &Store, now: i64, refresh_grace: i64) -> Result<u64, store::Error> {
    let events = store.forget_usage(now - EVENTS).await?;
    let counters = store.forget_counters(now).await?;
    let codes = store.forget_codes(now).await?;
    let grants = store.forget_browser_grants(now).await?;
    store.forget_oauth(now, refresh_grace).await?;
    Ok(events + counters + codes + grants)
}

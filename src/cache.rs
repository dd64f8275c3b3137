//! A value that is fetched once and kept for a while.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

/// One cached value. Callers that come while it is being fetched wait for that one fetch.
#[derive(Debug)]
pub struct Cached<T> {
    life: Duration,
    kept: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Cached<T> {
    pub fn new(life: Duration) -> Self {
        Self {
            life,
            kept: Mutex::new(None),
        }
    }

    /// The kept value, or what `fetch` brings. An error is not kept.
    pub async fn get<E>(&self, fetch: impl AsyncFnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut kept = self.kept.lock().await;
        if let Some((since, value)) = kept.as_ref()
            && since.elapsed() < self.life
        {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(fetch().await?);
        *kept = Some((Instant::now(), Arc::clone(&value)));
        Ok(value)
    }
}

//! When tokens and companies were last used: noted in memory, written for many at once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use super::Known;
use crate::store::Store;

/// A use is written when the one before is older than this, in ms.
const OLD: i64 = 60_000;

#[derive(Debug, Default)]
pub(super) struct Seen {
    inner: Mutex<Inner>,
    /// Held by whoever writes: a stop waits for a write under way.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By token: the last use that is written or will be.
    noted: HashMap<String, i64>,
    tokens: BTreeSet<String>,
    tenants: BTreeSet<String>,
    now: i64,
}

impl Seen {
    pub(super) fn note(&self, known: &Known, now: i64) {
        let is_old = |at: Option<i64>| at.is_none_or(|at| at < now - OLD);
        if !is_old(known.token.last_used_at) {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_old(inner.noted.get(&known.token.id).copied()) {
            return;
        }
        inner.noted.insert(known.token.id.clone(), now);
        inner.tokens.insert(known.token.id.clone());
        inner.tenants.insert(known.tenant.id.clone());
        inner.now = now;
    }

    /// Writes what was noted since the last time.
    pub(super) async fn write(&self, store: &Store) {
        let _writing = self.writing.lock().await;
        let (tokens, tenants, now) = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let now = inner.now;
            inner.noted.retain(|_, at| *at >= now - OLD);
            (
                std::mem::take(&mut inner.tokens),
                std::mem::take(&mut inner.tenants),
                now,
            )
        };
        if tokens.is_empty() {
            return;
        }
        let tokens: Vec<String> = tokens.into_iter().collect();
        let tenants: Vec<String> = tenants.into_iter().collect();
        if let Err(problem) = store.touch(&tokens, &tenants, now).await {
            tracing::warn!(%problem, "when tokens were last used is not written");
        }
    }
}

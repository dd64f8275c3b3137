//! How many calls of each company are under way in this process.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// Places for calls, counted by company.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<HashMap<String, Arc<AtomicU32>>>);

/// The place of one call. Dropped, it is free again.
#[derive(Debug)]
pub struct Place(Arc<AtomicU32>);

impl InFlight {
    /// A place for one more call, unless the company has `most` under way; one at least is let in.
    pub fn take(&self, tenant_id: &str, most: u32) -> Option<Place> {
        let count = self.count(tenant_id);
        let one_more = |under_way: u32| (under_way < most.max(1)).then_some(under_way + 1);
        let taken = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.ok().map(|_| Place(count))
    }

    /// Forgets companies that have no call under way.
    pub fn forget(&self) {
        let mut all = self.all();
        all.retain(|_, count| Arc::strong_count(count) > 1);
        all.shrink_to_fit();
    }

    fn count(&self, tenant_id: &str) -> Arc<AtomicU32> {
        let mut all = self.all();
        if let Some(count) = all.get(tenant_id) {
            return Arc::clone(count);
        }
        Arc::clone(all.entry(tenant_id.to_owned()).or_default())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<AtomicU32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_call_ends() {
        let in_flight = InFlight::default();
        let first = in_flight.take("a", 2).unwrap();
        let second = in_flight.take("a", 2).unwrap();
        assert!(in_flight.take("a", 2).is_none());
        assert!(in_flight.take("b", 2).is_some(), "others have their own");
        drop(first);
        // Forgetting does not lose a call under way.
        in_flight.forget();
        let third = in_flight.take("a", 2).unwrap();
        assert!(in_flight.take("a", 2).is_none());
        drop((second, third));
        in_flight.forget();
        assert!(in_flight.all().is_empty());
        assert!(in_flight.take("a", 0).is_some(), "one is let in at least");
    }
}

//! One listing for all who wait at the same time.
//!
//! Whoever waits lists the instances anew at each report. Where many wait for many balancers, that would be a listing
//! for each of them at each report, of all reports each; so one serves all who asked before it began.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::{Listing, Registry, RegistryError};

/// What those who wait in one process share.
#[derive(Debug, Default)]
pub struct Listings {
    /// How many have asked.
    asked: AtomicU64,
    latest: Mutex<Latest>,
}

/// The last listing, and how many had asked when it began.
#[derive(Debug, Default)]
struct Latest {
    serves: u64,
    listing: Option<Result<Listing, RegistryError>>,
}

impl Listings {
    /// A listing that began after this was called. Cancel safe: where whoever lists gives up, the next one does it.
    pub(super) async fn list(&self, registry: &dyn Registry) -> Result<Listing, RegistryError> {
        let own = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut latest = self.latest.lock().await;
        if let Some(listing) = latest.listing.as_ref().filter(|_| latest.serves >= own) {
            return listing.clone();
        }
        let serves = self.asked.load(Ordering::Acquire);
        let listing = registry.listing().await;
        *latest = Latest {
            serves,
            listing: Some(listing.clone()),
        };
        listing
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use model::{Epoch, InstanceId, Report, RevisionId, Snapshot};
    use serde_json::json;

    use super::*;
    use crate::{Committing, Memory};

    async fn registry() -> Arc<dyn Registry> {
        let memory = Memory::new();
        let first = Snapshot::first(Epoch::random(), RevisionId::random());
        memory.seed(&first).await.expect("a fleet");
        Arc::new(memory)
    }

    async fn report(registry: &dyn Registry) {
        let report = json!({"instance": InstanceId::random(), "role": "balancer", "advertise": "a", "applied": null});
        let report: Report = serde_json::from_value(report).expect("a report");
        registry.report(&report, true).await.expect("an answer");
    }

    async fn listed(listings: &Listings, registry: &dyn Registry) -> usize {
        let listing = listings.list(registry).await.expect("an answer");
        listing.instances.len()
    }

    #[tokio::test]
    async fn who_asks_after_a_report_sees_it() {
        let registry = registry().await;
        let listings = Listings::default();
        for expected in 0..5 {
            assert_eq!(listed(&listings, &*registry).await, expected);
            report(&*registry).await;
        }
    }

    #[tokio::test]
    async fn all_who_wait_for_a_listing_get_one_together_that_began_after_they_asked() {
        let registry = registry().await;
        let listings = Listings::default();
        // Somebody lists, and has not come to an end.
        let held = listings.latest.lock().await;
        let asking: Vec<_> = (0..10)
            .map(|_| Box::pin(listed(&listings, &*registry)))
            .collect();
        let mut all = Box::pin(join_all(asking));
        assert_eq!((&mut all).now_or_never(), None);
        report(&*registry).await;
        drop(held);
        assert_eq!(all.await, [1; 10]);
        assert_eq!(listings.latest.lock().await.serves, 10);
    }

    #[tokio::test]
    async fn who_gives_up_keeps_nobody_waiting() {
        let registry = registry().await;
        let listings = Listings::default();
        let held = listings.latest.lock().await;
        let given_up = listed(&listings, &*registry);
        let given_up = tokio::time::timeout(Duration::from_millis(1), given_up).await;
        given_up.expect_err("it has to wait");
        drop(held);
        assert_eq!(listed(&listings, &*registry).await, 0);
    }
}

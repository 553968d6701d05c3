//! What every handler works with: the registry, the view that follows it, and the one turn to change it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use certificates::Chains;
use model::{Collection, Position, Snapshot};
use registry::{Durability, Listings, Registry, View};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::auth::Access;
use crate::events::Feed;
use crate::handlers::explain::Compiled;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::resource::{Known, Means};

/// How long a change waits until the own view shows it.
const VIEW_TIME: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) views: watch::Receiver<Arc<View>>,
    pub(crate) access: Access,
    pub(crate) feed: Feed,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
    /// What a change must have come to before it is acknowledged.
    pub(crate) durability: Durability,
    /// Changes take turns: each is decided on the state that the one before left, so that those of one
    /// process never conflict among themselves.
    pub(crate) turn: Semaphore,
    /// What all who wait list together.
    pub(crate) listings: Listings,
    /// What is asked which route takes a request.
    pub(crate) routes: Compiled,
    /// What the certificates' chains say.
    pub(crate) chains: Chains,
    /// What is at hand to read what people send.
    pub(crate) means: Means,
}

impl App {
    pub(crate) fn view(&self) -> Arc<View> {
        self.views.borrow().clone()
    }

    /// The fleet's state as last seen.
    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>, Problem> {
        let view = self.view();
        match &view.snapshot {
            Some(snapshot) => Ok(Arc::clone(snapshot)),
            None if view.head_missing => Err(Problem::Uninitialised),
            None => Err(Problem::NotReady {
                trouble: view.trouble.clone(),
            }),
        }
    }

    /// Refuses to answer that there is nothing where the registry has lost its memory.
    pub(crate) async fn check_memory(&self) -> Result<(), Problem> {
        match self.registry.head().await? {
            Some(_) => Ok(()),
            None => Err(Problem::Uninitialised),
        }
    }

    /// The collections of which the own copy is a damaged one: what other hands wrote there, nobody else has heard of.
    pub(crate) fn doubtful(&self) -> BTreeSet<Collection> {
        self.view().tainted.clone()
    }

    /// What resources of this state are shown beside.
    pub(crate) fn known<'a>(&'a self, snapshot: &'a Snapshot) -> Known<'a> {
        Known {
            snapshot,
            chains: &self.chains,
        }
    }

    /// Waits, a short time, until the view shows what was committed, so that a person reads what they wrote.
    pub(crate) async fn seen(&self, position: Position) {
        self.await_snapshot(|snapshot| {
            snapshot.position.epoch != position.epoch
                || snapshot.position.revision >= position.revision
        })
        .await;
    }

    /// Waits, a short time, until others' changes are in the view: it was behind when a commit conflicted.
    pub(crate) async fn refreshed(&self, since: &Snapshot) {
        self.await_snapshot(|snapshot| {
            snapshot.position.epoch != since.position.epoch || snapshot.desired != since.desired
        })
        .await;
    }

    async fn await_snapshot(&self, shows: impl Fn(&Snapshot) -> bool) {
        let mut views = self.views.clone();
        let seen = views.wait_for(|view| view.snapshot.as_deref().is_some_and(&shows));
        // A view that does not come is no reason to fail: what was committed stays so.
        let _ = tokio::time::timeout(VIEW_TIME, seen).await;
    }
}

//! What every loop of an orchestrator shares: the registry, the view of it, and whether this one leads.

use std::collections::BTreeMap;
use std::sync::Arc;

use certificates::Chains;
use model::{InstanceId, Origin, ServerKey, Snapshot, Verdict};
use registry::{CommitError, Leadership, Registry, View};
use tokio::sync::{Notify, watch};

use crate::metrics::Metrics;

/// A leadership, and where the registry stood when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenure {
    pub(crate) leadership: Leadership,
    pub(crate) since: model::Position,
}

/// What this one's probes find otherwise than the registry says, for whoever leads. Nothing where it does not probe for
/// another one.
pub(crate) type Found = Option<BTreeMap<ServerKey, Verdict>>;

/// Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) instance: InstanceId,
    pub(crate) views: watch::Receiver<Arc<View>>,
    pub(crate) tenure: watch::Receiver<Option<Tenure>>,
    /// The leadership of which the registry last refused a write.
    pub(crate) refused: watch::Sender<Option<Leadership>>,
    /// Makes the follower look at once whether the registry is still what it was.
    pub(crate) doubts: Arc<Notify>,
    pub(crate) metrics: Metrics,
    /// What the certificates' chains say.
    pub(crate) chains: Arc<Chains>,
    pub(crate) found: watch::Sender<Found>,
}

impl Fleet {
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// The leadership to act under, if this one leads at this moment.
    pub(crate) fn leadership(&self) -> Option<Leadership> {
        let tenure = *self.tenure.borrow();
        tenure.map(|tenure| tenure.leadership)
    }

    /// Looks at why a write of this leadership was not made: it may be over.
    pub(crate) fn failed(&self, leadership: Leadership, error: &CommitError) {
        if matches!(
            error,
            CommitError::NotLeading { .. } | CommitError::OtherEpoch { .. }
        ) {
            self.refused.send_replace(Some(leadership));
        }
    }

    /// The registry's own state, as whoever stands by has it.
    pub(crate) fn followed(&self) -> Option<Arc<Snapshot>> {
        let view = self.view();
        let followed = view.origin == Origin::Registry;
        view.snapshot.clone().filter(|_| followed)
    }

    /// Whether some pool asks for a majority's verdicts.
    pub(crate) fn asks_for_quorum(&self) -> bool {
        let followed = self.followed();
        let mut pools = followed.iter().flat_map(|snapshot| snapshot.pools.values());
        pools.any(|pool| pool.value.decides_by_quorum())
    }

    /// The registry's own state, as it is followed in the epoch of this leadership. What is only on disk
    /// is no ground for a leader's decision.
    pub(crate) fn snapshot(&self, leadership: &Leadership) -> Option<Arc<Snapshot>> {
        let own = |it: &Arc<Snapshot>| it.position.epoch == leadership.epoch;
        self.followed().filter(own)
    }
}

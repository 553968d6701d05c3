//! What every loop of an orchestrator shares: the registry, the view of it, and whether this one leads.

use std::sync::Arc;

use model::{InstanceId, Origin, Snapshot};
use registry::{CommitError, Leadership, Registry, View};
use tokio::sync::watch;

use crate::metrics::Metrics;

/// A leadership, and where the registry stood when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenure {
    pub(crate) leadership: Leadership,
    pub(crate) since: model::Position,
}

/// Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) instance: InstanceId,
    pub(crate) views: watch::Receiver<Arc<View>>,
    pub(crate) tenure: watch::Receiver<Option<Tenure>>,
    /// The leadership of which the registry last refused a write.
    pub(crate) refused: watch::Sender<Option<Leadership>>,
    pub(crate) metrics: Metrics,
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

    /// The registry's own state, as it is followed in the epoch of this leadership. What is only on disk
    /// is no ground for a leader's decision.
    pub(crate) fn snapshot(&self, leadership: &Leadership) -> Option<Arc<Snapshot>> {
        let view = self.view();
        let snapshot = view.snapshot.clone()?;
        let own = snapshot.position.epoch == leadership.epoch;
        (own && view.origin == Origin::Registry).then_some(snapshot)
    }
}

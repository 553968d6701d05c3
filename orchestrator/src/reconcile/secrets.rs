//! The fleet's secrets: made where a pool needs one, so that nobody has to think of it.

use std::time::Duration;

use model::{Change, Collection, Position, Secret, SecretId, SecretKey, Snapshot, StickyKind};
use rand::RngExt;
use registry::Commit;

use crate::driver::Reconciler;
use crate::fleet::Fleet;

/// Makes what cookies of sticky sessions are signed with.
pub(crate) struct Secrets {
    fleet: Fleet,
    /// Where the registry stood with what this one made last: whoever has not seen that yet misses it in vain.
    made: Option<Position>,
}

impl Secrets {
    pub(crate) fn new(fleet: Fleet) -> Self {
        Self { fleet, made: None }
    }

    /// Whether the snapshot is older than something that may hold the secret.
    fn is_behind(&self, snapshot: &Snapshot, since: Position) -> bool {
        let present = snapshot.position;
        let mut later = [Some(since), self.made].into_iter().flatten();
        later.any(|at| at.epoch == present.epoch && at.revision > present.revision)
    }
}

impl Reconciler for Secrets {
    const PERIOD: Duration = Duration::from_secs(1);

    async fn reconcile(&mut self) {
        let Some(tenure) = *self.fleet.tenure.borrow() else {
            return;
        };
        let leadership = tenure.leadership;
        let Some(snapshot) = self.fleet.snapshot(&leadership) else {
            return;
        };
        if !lacks_secret(&snapshot) || self.is_behind(&snapshot, tenure.since) {
            return;
        }
        let id = SecretId::sticky();
        let secret = Secret::new(id.clone(), SecretKey::new(rand::rng().random()));
        let changes = vec![Change::Secret(id, Some(secret))];
        let commit = Commit {
            epoch: Some(leadership.epoch),
            ..Commit::new(leadership.author(), changes)
        };
        match self.fleet.registry.commit(commit).await {
            Ok(committed) => {
                self.made = Some(committed.position);
                tracing::info!("made the secret that sticky sessions' cookies are signed with");
            }
            Err(error) => {
                self.fleet.metrics.commit_failures.inc();
                self.fleet.failed(leadership, &error);
                tracing::warn!(%error, "the secret for sticky sessions could not be made");
            }
        }
    }
}

/// Whether a pool needs the secret that is not there. One that only a newer version can read is there.
fn lacks_secret(snapshot: &Snapshot) -> bool {
    let id = SecretId::sticky();
    let has_one = snapshot.secrets.contains_key(&id)
        || snapshot.unread.contains(Collection::Secrets, id.as_str());
    let mut pools = snapshot.pools.values();
    !has_one && pools.any(|pool| pool.value.sticky.kind == StickyKind::Cookie)
}

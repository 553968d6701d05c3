//! What the tests of several files begin with.

use std::sync::Arc;

use model::{Epoch, Position, Revision, RevisionId, Snapshot, Stamped};

/// A fleet of this pool alone, which has no server yet.
pub(crate) fn snapshot(pool: model::Pool) -> Snapshot {
    let mut snapshot = Snapshot::empty(Position {
        epoch: Epoch::random(),
        revision: Revision(1),
        id: RevisionId::random(),
    });
    let id = pool.id.clone();
    let pool = Arc::new(Stamped::new(Revision(1), pool));
    snapshot.pools.insert(id, pool);
    snapshot
}

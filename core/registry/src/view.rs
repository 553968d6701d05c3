//! What a follower shows to its process: the state to act on, and how far it can be trusted.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{
    Collection, Delta, Fault, Hold, InstanceId, Moment, Origin, Position, Revision, Snapshot, Term,
};
use tokio::time::Instant;

use crate::RegistryError;

/// One state of following, whole. A new one replaces it; nothing in it changes.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// What to act on: guarded, or from the state file. The same `Arc` as before where only something
    /// else changed.
    pub snapshot: Option<Arc<Snapshot>>,
    pub origin: Origin,
    /// Where the registry stood when it was last read; nothing where it never was, or has no memory.
    pub registry_position: Option<Position>,
    /// Whether the subscription stands.
    pub connected: bool,
    /// Whether the state is the registry's of now, as far as can be heard: the subscription stands, and nothing that came over it is
    /// in doubt.
    pub current: bool,
    /// Until when it is known to have been so, where it is not: when the registry was last heard. Nothing where it never was so.
    pub current_until: Option<Instant>,
    /// Why the registry cannot be followed at present, in words for an operator: it is out of reach, or refuses
    /// the password, or a right.
    pub trouble: Option<RegistryError>,
    /// Whether the registry answers, but holds no head: it is new, or has lost its memory.
    pub head_missing: bool,
    /// Who leads, by the last heartbeat; nobody where one gave the lease back since. How old a heartbeat still counts is for the reader.
    pub leader: Option<Leader>,
    /// Withdrawals and verdicts that are held back.
    pub holds: Vec<Hold>,
    /// Collections whose content in the registry is not what its head says.
    pub damage: Vec<Fault>,
    /// The latest revisions of a history that the registry no longer has, oldest first: what a failover
    /// may have lost. `recovery::replay` finds what of it to make again.
    pub abandoned: Option<Arc<[Delta]>>,
    /// The latest revisions that were followed one by one, oldest first, and when each was committed.
    pub dated: Vec<(Revision, Moment)>,
    /// The collections of which the own copy is one of a damaged registry too: what it lacks may not be gone.
    pub tainted: BTreeSet<Collection>,
}

/// The leader, as its last heartbeat named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    pub instance: InstanceId,
    pub term: Term,
    /// When the heartbeat arrived here.
    pub heard: Instant,
}

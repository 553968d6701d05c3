//! The end of a schedule: nothing goes wrong any more, people do what is left to them, and all becomes equal.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{
    Author, Change, Epoch, HoldDecision, Pool, PoolId, Position, RevisionId, Ruling, Snapshot,
};
use registry::recovery;
use registry::{Announcement, Commit, StoreKey};

use crate::network::{Slow, Weather};
use crate::node::{Node, Part};
use crate::registry::Hindrance;
use crate::world::World;

/// How long peace may take to bring everything into order.
const PATIENCE: Duration = Duration::from_secs(60);

/// After so long a person looks after what is damaged, and rules on what is held.
const ATTENTION: Duration = Duration::from_secs(2);

/// After so long without a head, a person does what the candidates may not.
const RESTORE_AFTER: Duration = Duration::from_secs(13);

impl World {
    pub(crate) fn make_peace(&mut self) {
        self.weather = Weather::FAIR;
        self.redis.hindrance = Hindrance::default();
        self.slow = Slow::default();
        for node in &mut self.nodes {
            node.stopped_until = self.now;
            node.cut_until = self.now;
            node.disk_full_until = self.now;
            node.slow = Slow::default();
        }
        self.reunite();
    }

    /// Whether all is done and everybody knows the truth. Fails where that takes too long.
    pub(crate) fn is_settled(&mut self) -> bool {
        let waited = self.now.saturating_sub(self.peace_at);
        let Some(truth) = self.redis.store.snapshot() else {
            let since = *self.headless_since.get_or_insert(self.now);
            if self.now.saturating_sub(since) > RESTORE_AFTER {
                self.restore();
            }
            assert!(waited < PATIENCE, "the registry never got its memory back");
            return false;
        };
        self.headless_since = None;
        if waited > ATTENTION {
            self.attend(&truth);
        }
        let problem = match truth.damage.first() {
            Some(damage) => Some(format!("damaged: {damage}")),
            None => {
                let mut nodes = self.nodes.iter();
                nodes.find_map(|node| node.problem(&truth.snapshot))
            }
        };
        let busy = self.operations.iter().any(|operation| !operation.is_over());
        let leads = |node: &Node| match &node.part {
            Part::Orchestrator(own) => node.alive && own.is_done(&node.follower, self.now),
            Part::Balancer(_) => false,
        };
        let led = self.nodes.iter().any(leads);
        let settled = problem.is_none() && !busy && led;
        assert!(
            settled || waited < PATIENCE,
            "no order in peace: busy {busy}, led {led}, {problem:?}"
        );
        settled
    }

    /// What an operator does who reads the alarms.
    fn attend(&mut self, truth: &registry::Snapshotted) {
        if !truth.damage.is_empty() {
            // As the documentation says: without its head, the registry is made anew from an orchestrator's copy.
            self.redis.evict(StoreKey::Head);
            return;
        }
        let alive = self.nodes.iter().filter(|node| node.alive);
        let holds = alive.flat_map(|node| node.follower.holds());
        let pools: BTreeSet<PoolId> = holds.map(|hold| hold.pool).collect();
        for pool in pools {
            self.confirm(pool, &truth.snapshot);
        }
    }

    fn confirm(&mut self, pool: PoolId, truth: &Snapshot) {
        let ruling = Ruling {
            epoch: truth.position.epoch,
            revision: truth.position.revision,
            decision: HoldDecision::Confirm,
            unknown: model::Unknown::default(),
        };
        let mut changes = Vec::new();
        if !truth.pools.contains_key(&pool) {
            changes.push(Change::put_pool(Pool::new(pool.clone())));
        }
        changes.push(Change::Ruling(pool, Some(ruling)));
        let name = "who attends".into();
        let commit = Commit {
            id: RevisionId(self.uuid()),
            ..Commit::new(Author::Operator { name }, changes)
        };
        let time = self.redis.time(self.now);
        let made = self.redis.store.commit(&commit, time);
        let (_, delta) = made.expect("an operator may rule");
        if let Some(delta) = delta {
            self.ledger.committed(&commit, &delta);
            self.announce_to_all(Announcement::Delta(delta));
        }
    }

    /// A person restores the fleet from the furthest copy there is, or begins anew where there is none.
    fn restore(&mut self) {
        let fresh = (Epoch(self.uuid()), RevisionId(self.uuid()));
        let copies = self.nodes.iter().filter_map(Node::copy);
        let best = copies.max_by_key(|(copy, whole)| (*whole, copy.position.revision));
        let copied: Option<Position> =
            best.and_then(|(copy, whole)| whole.then_some(copy.position));
        let snapshot = match best {
            Some((copy, _)) => {
                let instances = self.redis.store.instances(self.redis.time(self.now));
                recovery::restored(copy, &instances, fresh)
            }
            None => Snapshot::first(fresh.0, fresh.1),
        };
        if let Some(origin) = self.redis.store.seed(&snapshot) {
            self.ledger.seeded(&snapshot, copied);
            self.announce_to_all(Announcement::Delta(origin));
        }
    }
}

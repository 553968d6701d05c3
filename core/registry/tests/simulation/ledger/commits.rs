//! What must hold of each commit that takes effect, and of those that make lost revisions again.

use std::collections::HashSet;

use model::{Author, Collection, Delta, Entry, Position, RevisionId, Snapshot};
use registry::Commit;

use super::{Ledger, Made};

impl Ledger {
    pub(super) fn check_commit(&self, before: Position, commit: &Commit, delta: &Delta) {
        let former = self.state(before);
        if let Some(expected) = commit.expected {
            assert_eq!(
                former.desired, expected,
                "a change took effect that its author made of another state"
            );
        }
        let mut entries = delta.entries.iter();
        let desired = match entries.any(|entry| entry.collection != Collection::Health) {
            true => delta.revision,
            false => former.desired,
        };
        assert_eq!(delta.desired, desired, "the last desired change is another");
        let mut made = self.commits(before, None);
        let twice = made.any(|made| made.commit == commit.id);
        assert!(
            !twice || self.is_forgetful,
            "a commit took effect twice in one history"
        );
        self.check_replay(before, commit, delta);
    }

    /// A server has its pool, a verdict its server, and another server of the same name is another incarnation.
    pub(super) fn check_servers(&self, former: &Snapshot, state: &Snapshot) {
        if self.is_tampered {
            // The registry itself does not know then what was there.
            return;
        }
        for (key, server) in &state.servers {
            assert!(state.has_pool(&key.pool), "{key} has no pool");
            let old = former.servers.get(key);
            let same = old.filter(|old| old.value.address == server.value.address);
            let incarnation = same.map_or(server.revision, |old| old.incarnation);
            assert_eq!(
                server.incarnation, incarnation,
                "{key} is another incarnation than it should be"
            );
        }
        for (key, verdict) in &state.health {
            let server = state.servers.get(key);
            assert!(
                server.is_some_and(|server| server.incarnation == verdict.value.incarnation),
                "a verdict on {key} is not about the server that is there"
            );
        }
    }

    /// This commit makes again what was lost with a branch that ended so.
    pub(crate) fn replays(&mut self, commit: RevisionId, lost: Position) {
        self.replays.insert(commit, lost);
    }

    /// What is made again takes the place of nothing that was changed since.
    fn check_replay(&self, before: Position, commit: &Commit, delta: &Delta) {
        let Some(fork) = self.replays.get(&commit.id) else {
            return;
        };
        let Some(fork) = self.fork(before, *fork) else {
            return;
        };
        let since = self.commits(before, Some(fork));
        let others = since.filter(|made| !self.replays.contains_key(&made.commit));
        let taken: HashSet<_> = others.flat_map(|made| &made.changed).collect();
        for name in delta.entries.iter().map(name) {
            // A verdict goes with its server.
            assert!(
                !is_replayed(&name) || !taken.contains(&name),
                "a replay overrides a later change of {name:?}"
            );
        }
    }

    /// After a replay that was not interrupted, all is made again, or was changed since: this is how far it went.
    pub(crate) fn check_replayed(&self, lost: Position, reached: Position) {
        let Some(fork) = self.fork(reached, lost) else {
            return;
        };
        if self.is_tampered {
            return;
        }
        let since = self.commits(reached, Some(fork));
        let changed: HashSet<_> = since.flat_map(|made| &made.changed).collect();
        let lost = self.commits(lost, Some(fork));
        for name in lost.flat_map(|made| &made.changed) {
            assert!(
                !is_replayed(name) || changed.contains(name),
                "a lost change of {name:?} was not made again"
            );
        }
    }

    /// Whether an operator made one of the revisions after `earlier` up to `later`.
    pub(crate) fn is_by_operator(&self, later: Position, earlier: Position) -> bool {
        let mut made = self.commits(later, Some(earlier));
        made.any(|made| matches!(made.author, Author::Operator { .. }))
    }

    /// The last position that both histories have in common.
    fn fork(&self, one: Position, other: Position) -> Option<Position> {
        let other: HashSet<_> = self.back_from(other).collect();
        self.back_from(one)
            .find(|position| other.contains(position))
    }

    /// The commits after `earlier`, or all of the history, up to `later`, the last first.
    fn commits(&self, later: Position, earlier: Option<Position>) -> impl Iterator<Item = &Made> {
        let positions = self.back_from(later);
        let positions = positions.take_while(move |position| Some(*position) != earlier);
        positions.filter_map(|position| self.revisions.get(&position)?.made.as_ref())
    }
}

/// Whether a replay makes such elements again.
fn is_replayed((collection, _): &(Collection, String)) -> bool {
    matches!(collection, Collection::Pools | Collection::Servers)
}

pub(super) fn name(entry: &Entry) -> (Collection, String) {
    (entry.collection, entry.key.clone())
}

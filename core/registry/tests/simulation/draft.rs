//! What operators and sources think of: a change, by what they read in the registry.

use model::{
    Author, Change, HoldDecision, Pool, PoolId, RevisionId, Ruling, Server, ServerKey, ServerState,
    Snapshot,
};
use registry::{Commit, Leaving};

use crate::call::Caller;
use crate::world::World;

/// How far back somebody goes to restore what was.
const BACK_MAX: usize = 6;

#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) commit: Commit,
    /// A server that the change takes away.
    pub(crate) leaving: Option<Leaving>,
    /// What it confirms of what is held.
    pub(crate) ruling: Option<(PoolId, Ruling)>,
}

/// What to change, and what goes by it.
type Changes = (Vec<Change>, Option<Leaving>);

impl World {
    /// Thinks of a change, by what the caller takes for the registry.
    pub(crate) fn draft(&mut self, caller: Caller) -> Option<Draft> {
        let snapshot = self.registry_of(caller).store.snapshot()?.snapshot;
        let Some(pool) = snapshot.pools.keys().next().cloned() else {
            let pool = Change::put_pool(Pool::new(PoolId::standard()));
            return Some(self.by_operator(&snapshot, (vec![pool], None)));
        };
        let held = self.held(caller);
        Some(match (self.below(8), held) {
            (0, _) => {
                let changes = self.restoration(&snapshot);
                self.by_operator(&snapshot, changes)
            }
            (1..4, Some((pool, ruling))) => self.rule(&snapshot, pool, ruling),
            _ => self.change(&snapshot, pool),
        })
    }

    /// A change of one server, or all of them taken away.
    fn change(&mut self, snapshot: &Snapshot, pool: PoolId) -> Draft {
        let id = format!("s{}", self.below(5)).parse().expect("an id");
        let key = ServerKey::new(pool.clone(), id);
        let known = snapshot.servers.get(&key);
        let (changes, leaving) = match (known, self.below(10)) {
            (None, _) => {
                let address = "10.0.0.1:80".parse().expect("an address");
                let server = Server::new(pool, key.server, address);
                (vec![Change::put_server(server)], None)
            }
            (Some(server), 0..4) => (
                vec![Change::Server(key, None)],
                Some(Leaving::from(&**server)),
            ),
            (Some(server), 4..7) => {
                let mut draining = server.value.clone();
                draining.state = ServerState::Draining;
                (
                    vec![Change::put_server(draining)],
                    Some(Leaving::from(&**server)),
                )
            }
            (Some(server), 7..9) => {
                let mut other = server.value.clone();
                other.state = ServerState::Active;
                if self.chance(0.4) {
                    let address = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"][self.below(3)];
                    other.address = address.parse().expect("an address");
                }
                other.weight = 1 + u16::try_from(self.below(9)).expect("small");
                (vec![Change::put_server(other)], None)
            }
            (Some(server), _) => {
                let all = snapshot.servers.keys();
                let removals = all.map(|key| Change::Server(key.clone(), None));
                let mut changes: Vec<_> = removals.collect();
                if self.chance(0.3) {
                    changes.push(Change::Pool(pool, None));
                }
                (changes, Some(Leaving::from(&**server)))
            }
        };
        let name = "someone".into();
        let author = if self.chance(0.6) {
            Author::Operator { name }
        } else {
            Author::Source { name }
        };
        let conditional = leaving.is_some() || self.chance(0.5);
        let commit = Commit {
            id: RevisionId(self.uuid()),
            expected: conditional.then_some(snapshot.desired),
            ..Commit::new(author, changes)
        };
        Draft {
            commit,
            leaving,
            ruling: None,
        }
    }

    /// The servers as they were some revisions ago.
    fn restoration(&mut self, snapshot: &Snapshot) -> Changes {
        let back = self.below(BACK_MAX);
        let position = snapshot.position;
        let earlier = self.ledger.back_from(position).take(back + 1).last();
        let former = self.ledger.state(earlier.unwrap_or(position));
        let servers = &former.servers;
        let put = servers
            .values()
            .map(|server| Change::put_server(server.value.clone()));
        let gone = |(key, _): &(&ServerKey, _)| !servers.contains_key(*key);
        let mut gone = snapshot.servers.iter().filter(gone).peekable();
        let leaving = gone.peek().map(|(_, server)| Leaving::from(&***server));
        let removals = gone.map(|(key, _)| Change::Server(key.clone(), None));
        (put.chain(removals).collect(), leaving)
    }

    fn by_operator(&mut self, snapshot: &Snapshot, (changes, leaving): Changes) -> Draft {
        let name = "someone".into();
        let commit = Commit {
            id: RevisionId(self.uuid()),
            expected: Some(snapshot.desired),
            ..Commit::new(Author::Operator { name }, changes)
        };
        Draft {
            commit,
            leaving,
            ruling: None,
        }
    }

    /// A hold that some instance reports, as it may be ruled on.
    fn held(&self, caller: Caller) -> Option<(PoolId, Ruling)> {
        let registry = self.registry_of(caller);
        let instances = registry.store.instances(registry.time(self.now));
        let mut holds = instances.into_iter().flat_map(|it| it.report.holds);
        let hold = holds.next()?;
        let ruling = Ruling {
            epoch: hold.position.epoch,
            revision: hold.position.revision,
            decision: HoldDecision::Confirm,
            unknown: model::Unknown::default(),
        };
        Some((hold.pool, ruling))
    }

    /// Confirms what is held, or rejects it: then what was taken away comes back.
    fn rule(&mut self, snapshot: &Snapshot, pool: PoolId, ruling: Ruling) -> Draft {
        if self.chance(0.6) {
            let changes = vec![Change::Ruling(pool.clone(), Some(ruling.clone()))];
            let mut draft = self.by_operator(snapshot, (changes, None));
            draft.ruling = Some((pool, ruling));
            return draft;
        }
        let nodes = self
            .nodes
            .iter()
            .filter_map(|node| node.follower.in_force());
        let servers = nodes.flat_map(|in_force| in_force.servers.values());
        let back = servers.filter(|server| {
            let key = server.value.key();
            key.pool == pool && !snapshot.servers.contains_key(&key)
        });
        let mut changes: Vec<_> = back
            .map(|server| Change::put_server(server.value.clone()))
            .collect();
        let rejected = Ruling {
            decision: HoldDecision::Reject,
            ..ruling
        };
        changes.push(Change::Ruling(pool, Some(rejected)));
        self.by_operator(snapshot, (changes, None))
    }
}

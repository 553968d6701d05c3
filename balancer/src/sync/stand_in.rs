//! Without a leader nobody inspects the servers: one that is down would stay so, and one that has gone down would be sent requests. Then
//! this balancer looks at them itself, slowly, and acts on what it finds until a leader is heard again. It goes on from the verdicts that
//! have gone stale, so that a fleet does not lose its servers to one lost probe each. Verdicts from disk may be of any age, and
//! count for nothing: there a first probe decides.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{
    CheckKind, Health, HealthCheck, Origin, Pool, PoolId, Protocol, Revision, ServerKey, Snapshot,
    Stamped, Verdict,
};
use policy::{Grounds, RiseFall, Server};
use probe::{Calling, Prober};
use rand::RngExt;
use registry::{HEARTBEAT_PERIOD, View};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Membership;
use crate::adoption::Published;

/// A leader that was not heard for so many intervals is absent.
const SILENT_INTERVALS: u32 = 5;

/// A balancer probes so many times more slowly than a leader, since every balancer of the fleet does; but not where it finds
/// otherwise than what is known.
const SLOWNESS: u32 = 5;

/// How often it is looked whether anything is to be done.
const INSPECT_EACH: Duration = Duration::from_millis(500);

/// Probes at the same time, at most. With many servers it takes long until each has had its turn, since this is a bound on what
/// all balancers together ask of one server, too.
const CONCURRENCY: usize = 16;

/// Of these, for servers of which it is in doubt what is known: who was found otherwise once is not to wait for all others
/// before it is asked again. The rest is for the others, or a rack that flaps would keep them from their turns.
const FOR_DOUBTFUL: usize = CONCURRENCY / 2;

/// What this balancer has found itself, for one incarnation of each server. Empty while there is a leader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Findings(BTreeMap<ServerKey, (Revision, Health)>);

impl Findings {
    /// The state with these findings in the place of the registry's verdicts. Those from disk are void.
    pub(super) fn over(&self, snapshot: &Arc<Snapshot>, origin: Origin) -> Arc<Snapshot> {
        let void = origin == Origin::Disk;
        if self.0.is_empty() && !void {
            return Arc::clone(snapshot);
        }
        let mut found = Snapshot::clone(snapshot);
        if void {
            found.health.clear();
        }
        let revision = snapshot.position.revision;
        for (key, (incarnation, health)) in &self.0 {
            let verdict = Verdict {
                incarnation: *incarnation,
                health: *health,
                reason: "found by this balancer".into(),
                silent_ms: 0,
                unknown: model::Unknown::default(),
            };
            let verdict = Stamped::new(revision, verdict);
            // A verdict on another incarnation, or on a server that is gone, says nothing.
            found.health.insert(key.clone(), Arc::new(verdict));
        }
        Arc::new(found)
    }
}

/// A server that is looked at.
struct Candidate {
    server: Arc<Server>,
    check: HealthCheck,
    protocol: Protocol,
    prober: Prober,
    state: RiseFall,
    due: Instant,
    /// Whether the last probe contradicts what is known.
    doubtful: bool,
}

/// One that is to be probed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    since: Instant,
    number: u64,
    doubtful: bool,
}

/// Everything that is looked at, by the incarnation's number.
struct Inspector {
    membership: Membership,
    views: watch::Receiver<Arc<View>>,
    findings: watch::Sender<Findings>,
    candidates: HashMap<u64, Candidate>,
    /// When a leader was last heard; this one's start, before any was.
    heard: Instant,
}

impl Membership {
    /// Stands in for an absent leader, until no worker serves any more.
    pub(crate) async fn stand_in(
        self,
        views: watch::Receiver<Arc<View>>,
        findings: watch::Sender<Findings>,
    ) {
        let served = self.served.clone();
        let mut inspector = Inspector {
            membership: self,
            views,
            findings,
            candidates: HashMap::new(),
            heard: Instant::now(),
        };
        let inspect = async {
            loop {
                tokio::time::sleep(INSPECT_EACH).await;
                inspector.look().await;
            }
        };
        tokio::select! {
            () = inspect => {}
            () = served.cancelled() => {}
        }
    }
}

impl Inspector {
    async fn look(&mut self) {
        self.choose();
        self.probe_due().await;
        self.publish();
    }

    /// How long no leader has been heard. One that gave the lease back was heard until then.
    fn silence(&mut self) -> Duration {
        if let Some(leader) = self.views.borrow().leader {
            self.heard = self.heard.max(leader.heard);
        }
        self.heard.elapsed()
    }

    /// Takes up the servers of pools whose leader is absent; lets go of all others.
    fn choose(&mut self) {
        let silence = self.silence();
        let view = Arc::clone(&self.views.borrow());
        let Some(snapshot) = &view.snapshot else {
            return;
        };
        let void = view.origin == Origin::Disk;
        let Published { table, tls, .. } = self.membership.tables.borrow().clone();
        let mut chosen = HashMap::new();
        for pool in table.pools() {
            let Pool {
                health: check,
                protocol,
                ..
            } = &pool.settings().value;
            let absent = void || silence >= check.interval.max(HEARTBEAT_PERIOD) * SILENT_INTERVALS;
            let called = pool.settings().value.tls.enabled;
            let calling = |hostname| tls.calling(pool.id(), hostname).filter(|_| called);
            // Of servers that cannot be called nothing can be found.
            let unusable = called && calling(None).is_none();
            if !absent || unusable || check.kind == CheckKind::None {
                continue;
            }
            for server in pool.servers().iter().filter(|server| server.is_wanted()) {
                let number = server.live().number();
                let known = self
                    .candidates
                    .remove(&number)
                    .filter(|known| known.check == *check && known.protocol == *protocol);
                let verdict = if void {
                    Health::Unknown
                } else {
                    snapshot.health_of(server.key())
                };
                let candidate =
                    known.unwrap_or_else(|| Candidate::new(server, check, *protocol, verdict));
                let calling = calling(server.hostname());
                chosen.insert(number, candidate.called_by(calling));
            }
        }
        self.candidates = chosen;
    }

    async fn probe_due(&mut self) {
        let now = Instant::now();
        let due = self.candidates.iter().map(|(number, candidate)| Due {
            since: candidate.due,
            number: *number,
            doubtful: candidate.doubtful,
        });
        let due = due.filter(|due| due.since <= now).collect();
        let mut probes = JoinSet::new();
        for number in whose_turn(due) {
            if let Some(candidate) = self.candidates.remove(&number) {
                probes.spawn(candidate.probe());
            }
        }
        while let Some(probed) = probes.join_next().await {
            let candidate = probed.expect("a probe does not panic");
            self.candidates
                .insert(candidate.server.live().number(), candidate);
        }
    }

    fn publish(&self) {
        let unsettled = self.unsettled();
        let candidates = self.candidates.values();
        let settled =
            candidates.filter(|candidate| !unsettled.contains(&candidate.server.key().pool));
        let found = settled.map(|candidate| {
            let live = candidate.server.live();
            (
                live.key().clone(),
                (live.incarnation(), candidate.state.health()),
            )
        });
        let findings = Findings(found.collect());
        self.findings.send_if_modified(|known| {
            let changed = *known != findings;
            *known = findings;
            changed
        });
    }

    /// Pools of which nothing is known but what is found here, as long as some of it is missing: the first server that is found to
    /// be up would get the requests of all.
    fn unsettled(&self) -> HashSet<PoolId> {
        if self.views.borrow().origin != Origin::Disk {
            return HashSet::new();
        }
        let candidates = self.candidates.values();
        candidates
            .filter(|candidate| candidate.state.health() == Health::Unknown)
            .map(|candidate| candidate.server.key().pool.clone())
            .collect()
    }
}

/// Who has waited longest comes first, where there are more than can be looked at: of those in doubt, and of the others.
fn whose_turn(mut due: Vec<Due>) -> Vec<u64> {
    due.sort_unstable();
    let (doubtful, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|due| due.doubtful);
    let left = CONCURRENCY.saturating_sub(others.len());
    let doubtful = doubtful.into_iter().take(left.max(FOR_DOUBTFUL));
    let chosen = doubtful.chain(others).take(CONCURRENCY);
    chosen.map(|due| due.number).collect()
}

impl Candidate {
    /// Its first probe comes at some moment of the first interval, so that a fleet's balancers do not come together.
    fn new(server: &Arc<Server>, check: &HealthCheck, protocol: Protocol, verdict: Health) -> Self {
        let wait = check.interval.mul_f64(rand::rng().random_range(0.0..1.0));
        Self {
            server: Arc::clone(server),
            check: check.clone(),
            protocol,
            prober: Prober::new(server.address()),
            state: RiseFall::inherited(verdict),
            due: Instant::now() + wait,
            doubtful: false,
        }
    }

    fn called_by(mut self, calling: Option<Arc<Calling>>) -> Self {
        self.prober.call_by(calling);
        self
    }

    async fn probe(mut self) -> Self {
        let succeeded = self.prober.probe(&self.check, self.protocol).await.is_ok();
        let verdict = self.state.observe(succeeded, Grounds::Routine, &self.check);
        if let Some(health) = verdict {
            let server = self.server.key();
            tracing::info!(%server, %health, "found by this balancer, since no leader is heard");
        }
        // Where what is seen contradicts what is known, it is soon known which of them holds.
        self.doubtful = succeeded != (self.state.health() == Health::Up);
        let slowness = if self.doubtful { 1 } else { SLOWNESS };
        let pause = (self.check.interval * slowness).mul_f64(rand::rng().random_range(0.8..1.2));
        self.due = Instant::now() + pause;
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// How many there are in the fleet, and how many of these are in doubt.
    const MANY: u64 = 2000;
    const DOUBTFUL: u64 = 100;

    #[test]
    fn who_is_in_doubt_is_asked_again_soon_and_all_others_get_their_turns() {
        let start = Instant::now();
        let due = |number| Due {
            since: start,
            number,
            doubtful: number < DOUBTFUL,
        };
        let mut due: BTreeMap<u64, Due> = (0..MANY).map(|number| (number, due(number))).collect();
        let mut turns: BTreeMap<u64, u32> = BTreeMap::new();
        let mut now = start;
        for _ in 0..MANY / FOR_DOUBTFUL as u64 {
            now += INSPECT_EACH;
            for number in whose_turn(due.values().copied().collect()) {
                *turns.entry(number).or_default() += 1;
                due.get_mut(&number).expect("one of them").since = now;
            }
        }
        assert!((0..DOUBTFUL).all(|number| turns[&number] >= 19));
        assert!((DOUBTFUL..MANY).all(|number| (1..=2).contains(&turns[&number])));
    }

    proptest! {
        #[test]
        fn every_place_is_used_where_there_is_somebody_for_it(
            dues in vec((0_u64..100, any::<bool>()), 0..60),
        ) {
            let start = Instant::now();
            let due: Vec<_> = dues.iter().enumerate().map(|(number, (since, doubtful))| Due {
                since: start + Duration::from_secs(*since),
                number: number as u64,
                doubtful: *doubtful,
            }).collect();
            let chosen = whose_turn(due.clone());
            prop_assert_eq!(chosen.len(), due.len().min(CONCURRENCY));
            for kind in [false, true] {
                let of_kind = due.iter().copied().filter(|one| one.doubtful == kind);
                let (taken, left): (Vec<_>, Vec<_>) =
                    of_kind.partition(|one| chosen.contains(&one.number));
                let last = taken.iter().max();
                prop_assert!(left.iter().all(|one| last.is_none_or(|last| last < one)));
                prop_assert!(left.is_empty() || taken.len() >= FOR_DOUBTFUL);
            }
        }
    }
}

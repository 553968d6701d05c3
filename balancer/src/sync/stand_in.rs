//! Without a leader nobody inspects the servers: one that is down would stay so, and one that has gone down would be sent requests. Then
//! this balancer looks at them itself, slowly, and acts on what it finds until a leader is heard again. It goes on from the verdicts that
//! have gone stale, so that a fleet does not lose its servers to one lost probe each. Verdicts from disk may be of any age, and
//! count for nothing: there a first probe decides.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{
    CheckKind, Health, HealthCheck, Origin, PoolId, Revision, ServerKey, Snapshot, Stamped, Verdict,
};
use policy::{Grounds, RiseFall, Server};
use probe::Prober;
use rand::RngExt;
use registry::{HEARTBEAT_PERIOD, View};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Membership;

/// A leader that was not heard for so many intervals is absent.
const SILENT_INTERVALS: u32 = 5;

/// A balancer probes so many times more slowly than a leader, since every balancer of the fleet does; but not where it finds
/// otherwise than what is known.
const SLOWNESS: u32 = 5;

/// How often it is looked whether anything is to be done.
const LOOK: Duration = Duration::from_millis(500);

/// Probes at the same time, at most.
const CONCURRENCY: usize = 16;

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
    prober: Prober,
    state: RiseFall,
    due: Instant,
}

/// Everything that is looked at, by the incarnation's number.
struct Inspector {
    membership: Membership,
    views: watch::Receiver<Arc<View>>,
    findings: watch::Sender<Findings>,
    candidates: HashMap<u64, Candidate>,
    started: Instant,
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
            started: Instant::now(),
        };
        let inspect = async {
            loop {
                tokio::time::sleep(LOOK).await;
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

    /// How long no leader has been heard.
    fn silence(&self) -> Duration {
        let view = self.views.borrow();
        let heard = view.leader.map_or(self.started, |leader| leader.heard);
        heard.max(self.started).elapsed()
    }

    /// Takes up the servers of pools whose leader is absent; lets go of all others.
    fn choose(&mut self) {
        let silence = self.silence();
        let view = Arc::clone(&self.views.borrow());
        let Some(snapshot) = &view.snapshot else {
            return;
        };
        let void = view.origin == Origin::Disk;
        let table = Arc::clone(&self.membership.tables.borrow().table);
        let mut chosen = HashMap::new();
        for pool in table.pools() {
            let check = &pool.settings().value.health;
            let absent = void || silence >= check.interval.max(HEARTBEAT_PERIOD) * SILENT_INTERVALS;
            if !absent || check.kind == CheckKind::None {
                continue;
            }
            for server in pool.servers().iter().filter(|server| server.is_wanted()) {
                let number = server.live().number();
                let known = self
                    .candidates
                    .remove(&number)
                    .filter(|known| known.check == *check);
                let verdict = if void {
                    Health::Unknown
                } else {
                    snapshot.health_of(server.key())
                };
                chosen.insert(
                    number,
                    known.unwrap_or_else(|| Candidate::new(server, check, verdict)),
                );
            }
        }
        self.candidates = chosen;
    }

    async fn probe_due(&mut self) {
        let now = Instant::now();
        let candidates = self.candidates.iter();
        let mut due: Vec<(Instant, u64)> = candidates
            .map(|(number, candidate)| (candidate.due, *number))
            .filter(|(due, _)| *due <= now)
            .collect();
        // Who has waited longest comes first, where there are more than can be looked at.
        due.sort_unstable();
        let mut probes = JoinSet::new();
        for (_, number) in due.into_iter().take(CONCURRENCY) {
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

impl Candidate {
    /// Its first probe comes at some moment of the first interval, so that a fleet's balancers do not come together.
    fn new(server: &Arc<Server>, check: &HealthCheck, verdict: Health) -> Self {
        let wait = check.interval.mul_f64(rand::rng().random_range(0.0..1.0));
        Self {
            server: Arc::clone(server),
            check: check.clone(),
            prober: Prober::new(server.address()),
            state: RiseFall::inherited(verdict),
            due: Instant::now() + wait,
        }
    }

    async fn probe(mut self) -> Self {
        let succeeded = self.prober.probe(&self.check).await.is_ok();
        let verdict = self.state.observe(succeeded, Grounds::Routine, &self.check);
        if let Some(health) = verdict {
            let server = self.server.key();
            tracing::info!(%server, %health, "found by this balancer, since no leader is heard");
        }
        // Where what is seen contradicts what is known, it is soon known which of them holds.
        let doubtful = succeeded != (self.state.health() == Health::Up);
        let slowness = if doubtful { 1 } else { SLOWNESS };
        let pause = (self.check.interval * slowness).mul_f64(rand::rng().random_range(0.8..1.2));
        self.due = Instant::now() + pause;
        self
    }
}

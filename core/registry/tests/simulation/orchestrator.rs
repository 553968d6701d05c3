//! A simulated orchestrator: it takes the lease, writes verdicts, recovers what the registry lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use model::{Change, Delta, Epoch, Health, InstanceId, Position, Revision, RevisionId, Verdict};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use registry::follower::Follower;
use registry::recovery::{self, OwnCopy, RECOVERY_WAIT, Recovery, Step};
use registry::{
    Commit, CommitError, Committed, FORGET_AFTER, Head, LEASE, Leadership, Lease, LeaseRequest,
    Silences,
};

use crate::call::{Address, Answer, Caller, Event, Question};
use crate::node::Part;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Orchestrator {
    lease: Lease,
    recovery: Recovery,
    /// How fast its clock runs.
    rate: f64,
    replay: Option<Replay>,
    /// What was replayed already.
    replayed: Option<Arc<[Delta]>>,
    listing: bool,
    /// Since when it has found no head, by its own clock, each time that it looked.
    headless_since: Option<Duration>,
    silences: Silences<InstanceId>,
    /// Whether the last heartbeat named a leader.
    led: bool,
}

/// A replay under way.
#[derive(Debug)]
struct Replay {
    abandoned: Arc<[Delta]>,
    commits: VecDeque<Commit>,
    expected: Revision,
    sent: Option<RevisionId>,
    /// How far the registry's history is known to hold what was made again.
    reached: Option<Position>,
}

impl Orchestrator {
    pub(crate) fn new(rate: f64) -> Self {
        let instance = InstanceId(uuid::Uuid::nil());
        Self {
            lease: Lease::new(instance, SmallRng::seed_from_u64(0)),
            recovery: Recovery::new(RECOVERY_WAIT),
            rate,
            replay: None,
            replayed: None,
            listing: false,
            headless_since: None,
            silences: Silences::default(),
            led: false,
        }
    }

    pub(crate) fn restart(&mut self, instance: InstanceId, random: SmallRng, _now: Duration) {
        *self = Self {
            lease: Lease::new(instance, random),
            ..Self::new(self.rate)
        };
    }

    fn local(&self, now: Duration) -> Duration {
        now.mul_f64(self.rate)
    }

    pub(crate) fn wake(&self) -> Duration {
        if self.lease.is_waiting() {
            return Duration::MAX;
        }
        self.lease.due().div_f64(self.rate)
    }

    pub(crate) fn leadership(&self, now: Duration) -> Option<Leadership> {
        self.lease.leadership(self.local(now))
    }

    /// The request that gives the lease back, where it has it.
    pub(crate) fn resign(&mut self) -> Option<LeaseRequest> {
        self.lease.resign()
    }

    fn pending(&self, follower: &Follower) -> Option<Arc<[Delta]>> {
        let abandoned = follower.abandoned()?;
        let done = self
            .replayed
            .as_ref()
            .is_some_and(|done| Arc::ptr_eq(done, abandoned));
        (!done).then(|| Arc::clone(abandoned))
    }

    /// Whether it leads and has nothing left to make good.
    pub(crate) fn is_done(&self, follower: &Follower, now: Duration) -> bool {
        self.leadership(now).is_some() && self.pending(follower).is_none()
    }
}

impl World {
    fn orchestrator(&mut self, at: Address) -> Option<&mut Orchestrator> {
        if !self.is_current(at) {
            return None;
        }
        match &mut self.nodes[at.node].part {
            Part::Orchestrator(own) => Some(own),
            Part::Balancer(_) => None,
        }
    }

    pub(crate) fn pump_lease(&mut self, at: Address) {
        let now = self.now;
        let Some(own) = self.orchestrator(at) else {
            return;
        };
        let local = own.local(now);
        if let Some(request) = own.lease.request(local) {
            self.send(Caller::Node(at), Question::Lease(request));
        }
    }

    /// A heartbeat that names nobody any more says that the lease was given back.
    pub(crate) fn hear(&mut self, at: Address) {
        let now = self.now;
        let led = self.nodes[at.node].follower.leader().is_some();
        if let Some(own) = self.orchestrator(at)
            && std::mem::replace(&mut own.led, led)
            && !led
        {
            let local = own.local(now);
            own.lease.freed(local);
        }
    }

    pub(crate) fn orchestrator_answered(&mut self, at: Address, answer: Answer) {
        match answer {
            Answer::Lease(head) => self.leased(at, head.as_ref().map(Option::as_ref)),
            Answer::Instances(listing) => self.listed(at, listing.map(|it| it.instances)),
            Answer::Fork(fork) => self.fork_read(at, fork.flatten()),
            Answer::Commit(id, result) => self.leader_wrote(at, id, result),
            _ => unreachable!("an orchestrator asks for nothing else"),
        }
        self.pump(at);
    }

    fn leased(&mut self, at: Address, head: Option<Option<&Head>>) {
        let now = self.now;
        let Some(own) = self.orchestrator(at) else {
            return;
        };
        let local = own.local(now);
        match &head {
            Some(head) => own.lease.answered(Ok(*head), local),
            None => own.lease.answered(Err(()), local),
        }
        if self.leading(at).is_none() {
            return;
        }
        if self.chance(0.3) {
            self.write_verdict(at);
        }
        self.start_replay(at);
    }

    /// The leadership to act under now. No two may be sure of one, unless the registry forgot the first.
    fn leading(&mut self, at: Address) -> Option<Leadership> {
        let now = self.now;
        let own = self.orchestrator(at)?.leadership(now)?;
        let lost_at = self.lost_at;
        let forgotten = self.former.is_some() || lost_at.is_some_and(|lost| now < lost + LEASE * 2);
        for node in &self.nodes {
            if let (true, Part::Orchestrator(other)) = (node.alive, &node.part)
                && let Some(other) = other.leadership(now)
            {
                let same = other.instance == own.instance;
                assert!(same || forgotten, "{own:?} and {other:?} both lead");
            }
        }
        Some(own)
    }

    fn write_verdict(&mut self, at: Address) {
        let Some(leader) = self.leading(at) else {
            return;
        };
        let Some(truth) = self.nodes[at.node].follower.truth().cloned() else {
            return;
        };
        if truth.servers.is_empty() {
            return;
        }
        let index = self.below(truth.servers.len());
        let (key, server) = truth.servers.iter().nth(index).expect("in range");
        let verdict = Verdict {
            incarnation: server.incarnation,
            health: if self.chance(0.5) {
                Health::Up
            } else {
                Health::Down
            },
            reason: String::new(),
            silent_ms: 0,
            unknown: model::Unknown::default(),
        };
        let change = Change::Verdict(key.clone(), Some(verdict));
        let commit = Commit {
            id: RevisionId(self.uuid()),
            epoch: Some(leader.epoch),
            leadership: Some(leader),
            ..Commit::new(leader.author(), vec![change])
        };
        // Between the check and the sending, a process may be stopped for long.
        let stopped = self.chance(self.weather.delay);
        let pause = if stopped {
            self.milliseconds(0..6_000)
        } else {
            Duration::ZERO
        };
        self.send_after(Caller::Node(at), Question::Commit(commit), pause, stopped);
    }

    fn start_replay(&mut self, at: Address) {
        let node = &mut self.nodes[at.node];
        let Part::Orchestrator(own) = &mut node.part else {
            return;
        };
        if own.replay.is_some() {
            return;
        }
        let Some(abandoned) = own.pending(&node.follower) else {
            return;
        };
        match recovery::before(&abandoned) {
            Some(start) => {
                own.replay = Some(Replay {
                    abandoned,
                    commits: VecDeque::new(),
                    expected: Revision(0),
                    sent: None,
                    reached: None,
                });
                self.send(Caller::Node(at), Question::Fork(start));
            }
            None => own.replayed = Some(abandoned),
        }
    }

    fn fork_read(&mut self, at: Address, fork: Option<(Head, Vec<Delta>)>) {
        let leader = self.leading(at);
        let Some(own) = self.orchestrator(at) else {
            return;
        };
        let Some(replay) = &mut own.replay else {
            return;
        };
        let (Some((head, log)), Some(leader)) = (fork, leader) else {
            // Unreachable, out of reach, or no longer leading: the next leadership looks again.
            let replay = own.replay.take().expect("it was there");
            if leader.is_some() {
                own.replayed = Some(replay.abandoned);
            }
            return;
        };
        replay.commits = recovery::replay(&replay.abandoned, &log, leader).into();
        replay.expected = head.desired;
        replay.reached = Some(head.position);
        self.replay_next(at);
    }

    fn replay_next(&mut self, at: Address) {
        let leader = self.leading(at);
        let Some(own) = self.orchestrator(at) else {
            return;
        };
        let Some(replay) = &mut own.replay else {
            return;
        };
        if leader.is_none() {
            own.replay = None;
            return;
        }
        match replay.commits.pop_front() {
            Some(commit) => {
                let expected = Some(replay.expected);
                replay.sent = Some(commit.id);
                let lost = replay.abandoned.last().expect("it is of some").position();
                self.ledger.replays(commit.id, lost);
                let commit = Commit { expected, ..commit };
                self.send(Caller::Node(at), Question::Commit(commit));
            }
            None => {
                let replay = own.replay.take().expect("it was there");
                let lost = replay.abandoned.last().map(Delta::position);
                own.replayed = Some(replay.abandoned);
                if let (Some(lost), Some(reached)) = (lost, replay.reached) {
                    self.ledger.check_replayed(lost, reached);
                }
            }
        }
    }

    fn leader_wrote(
        &mut self,
        at: Address,
        id: RevisionId,
        result: Option<Result<Committed, CommitError>>,
    ) {
        let now = self.now;
        let Some(own) = self.orchestrator(at) else {
            return;
        };
        let refused = matches!(
            result,
            Some(Err(
                CommitError::NotLeading { .. } | CommitError::OtherEpoch { .. }
            ))
        );
        let local = own.local(now);
        if refused && let Some(leadership) = own.lease.leadership(local) {
            own.lease.refused(leadership, local);
        }
        let Some(replay) = own.replay.as_mut().filter(|replay| replay.sent == Some(id)) else {
            return;
        };
        match result {
            Some(Ok(committed)) => {
                replay.expected = committed.desired;
                self.replay_reached(at, committed.position);
            }
            // What no longer fits is left out: not all is made again then.
            Some(Err(CommitError::Invalid { .. })) => replay.reached = None,
            // Begin anew.
            _ => own.replay = None,
        }
        self.replay_next(at);
    }

    /// One more commit of a replay is made, on the branch of those before it, unless a failover ended that.
    fn replay_reached(&mut self, at: Address, to: Position) {
        let own = self.orchestrator(at);
        let replay = own.and_then(|own| own.replay.as_ref());
        let from = replay.and_then(|replay| replay.reached);
        let goes_on = from.is_some_and(|from| self.ledger.follows(to, from));
        let own = self.orchestrator(at);
        if let Some(replay) = own.and_then(|own| own.replay.as_mut()) {
            replay.reached = goes_on.then_some(to);
        }
    }

    /// Looks whether the registry has its memory, each so often.
    pub(crate) fn look_for_memory(&mut self, at: Address) {
        if !self.is_current(at) {
            return;
        }
        let missing = self.nodes[at.node].follower.is_head_missing();
        let looks = missing || self.chance(0.3);
        let own = self.orchestrator(at).expect("only orchestrators look");
        if !missing {
            own.recovery.reset();
            own.headless_since = None;
        }
        if looks && !std::mem::replace(&mut own.listing, true) {
            self.send(Caller::Node(at), Question::Instances);
        }
        let period = self.milliseconds(400..600);
        self.after(period, Event::Recover(at));
    }

    fn listed(&mut self, at: Address, instances: Option<Vec<model::Instance>>) {
        let now = self.now;
        let ids = (Epoch(self.uuid()), RevisionId(self.uuid()));
        let follower = &self.nodes[at.node].follower;
        let (missing, truth) = (follower.is_head_missing(), follower.truth().cloned());
        let is_whole = !follower.is_tainted();
        let Some(own) = self.orchestrator(at) else {
            return;
        };
        own.listing = false;
        let local = own.local(now);
        if let Some(instances) = &instances {
            let ages = instances.iter().map(|it| (it.report.instance, it.age));
            own.silences.observe(ages, local);
            self.forget_silent(at, instances);
        }
        let own = self.orchestrator(at).expect("it was there");
        let Some(instances) = instances.filter(|_| missing) else {
            own.recovery.reset();
            own.headless_since = None;
            return;
        };
        let since = *own.headless_since.get_or_insert(local);
        let copy = truth
            .as_deref()
            .map(|snapshot| OwnCopy { snapshot, is_whole });
        let step = own.recovery.observe(&instances, copy, ids, local);
        let (seed, copied) = match step {
            Step::Initialise(seed) => (seed, None),
            Step::Reseed(seed) => (seed, truth.map(|truth| truth.position)),
            Step::Wait | Step::Leave(_) | Step::Alarm(_) => return,
        };
        let listened = local.saturating_sub(since);
        assert!(listened >= RECOVERY_WAIT, "a head after {listened:?}");
        let reported = instances.iter().filter_map(|it| it.report.applied);
        let furthest = reported.map(|position| position.revision).max();
        let revision = copied.map(|copied: Position| copied.revision);
        assert!(
            revision >= furthest,
            "a head was made of {copied:?}, and somebody was at {furthest:?}"
        );
        self.send(Caller::Node(at), Question::Seed(seed, copied));
    }

    /// A leader forgets who is silent for long.
    fn forget_silent(&mut self, at: Address, instances: &[model::Instance]) {
        let Some(leadership) = self.leading(at) else {
            return;
        };
        let own = self.orchestrator(at).expect("it leads");
        let all = instances.iter().map(|it| it.report.instance);
        let silent: Vec<_> = all
            .filter(|it| own.silences.of(it) > FORGET_AFTER)
            .collect();
        for instance in silent {
            self.send(Caller::Node(at), Question::Forget(leadership, instance));
        }
    }
}

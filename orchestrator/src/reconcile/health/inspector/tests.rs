//! The inspector against snapshots and outcomes, in virtual time.

use model::{Epoch, HealthCheck, PoolId, RevisionId, Server, Verdict};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

mod quorum;
mod whole;

const SECOND: Duration = Duration::from_secs(1);

/// An inspector with its fleet and its clock.
struct Stage {
    inspector: Inspector,
    snapshot: Snapshot,
    now: Duration,
    random: SmallRng,
}

impl Stage {
    /// A fleet with a pool `default` and these servers, whom nobody has inspected.
    fn with(servers: &[&str]) -> Self {
        let position = Position {
            epoch: Epoch::random(),
            revision: Revision(1),
            id: RevisionId::random(),
        };
        let mut stage = Self {
            inspector: Inspector::default(),
            snapshot: Snapshot::empty(position),
            now: Duration::ZERO,
            random: SmallRng::seed_from_u64(7),
        };
        stage.put_pool(|_| {});
        for name in servers {
            stage.put(name, |_| {});
        }
        stage.sync();
        stage
    }

    fn stamped<T>(&mut self, value: T) -> Arc<Stamped<T>> {
        let revision = self.snapshot.position.revision.next();
        self.snapshot.position.revision = revision;
        Arc::new(Stamped::new(revision, value))
    }

    fn put_pool(&mut self, edit: impl FnOnce(&mut HealthCheck)) {
        let mut pool = match self.snapshot.pools.get(&PoolId::standard()) {
            Some(pool) => pool.value.clone(),
            None => Pool::new(PoolId::standard()),
        };
        edit(&mut pool.health);
        let pool = self.stamped(pool);
        self.snapshot.pools.insert(PoolId::standard(), pool);
    }

    /// Writes a server as another incarnation.
    fn put(&mut self, name: &str, edit: impl FnOnce(&mut Server)) {
        let id = name.parse().expect("a name");
        let address = "127.0.0.1:80".parse().expect("an address");
        let mut server = Server::new(PoolId::standard(), id, address);
        edit(&mut server);
        let server = self.stamped(server);
        self.snapshot.servers.insert(key(name), server);
    }

    /// Changes a server without another incarnation.
    fn set_state(&mut self, name: &str, state: ServerState) {
        let server = self.snapshot.servers.get_mut(&key(name)).expect("there");
        Arc::make_mut(server).value.state = state;
    }

    fn incarnation(&self, name: &str) -> Revision {
        self.snapshot.servers[&key(name)].incarnation
    }

    fn record(&mut self, name: &str, health: Health) {
        let verdict = Verdict {
            incarnation: self.incarnation(name),
            health,
            reason: String::new(),
            silent_ms: 0,
            unknown: model::Unknown::default(),
        };
        let verdict = self.stamped(verdict);
        self.snapshot.health.insert(key(name), verdict);
    }

    /// Takes in the snapshot; answers which servers were looked at for it.
    fn sync(&mut self) -> Vec<String> {
        let snapshot = Arc::new(self.snapshot.clone());
        self.sync_with(&snapshot)
    }

    fn sync_with(&mut self, snapshot: &Arc<Snapshot>) -> Vec<String> {
        let sighted = self.inspector.sync(snapshot, self.now, &mut self.random);
        sighted.iter().map(|key| key.server.to_string()).collect()
    }

    /// Lets a while pass in which every probe has the same outcome; answers how many there were.
    fn run(&mut self, time: Duration, succeeds: bool) -> usize {
        let end = self.now + time;
        let mut count = 0;
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let assignment = self.launch().expect("one is due");
            self.finish(&assignment, succeeds);
            count += 1;
        }
        self.now = end;
        count
    }

    fn launch(&mut self) -> Option<Assignment> {
        let mut errands = [Errand::Doubt, Errand::Turn].into_iter();
        errands.find_map(|errand| self.inspector.launch(errand, self.now))
    }

    fn next_due(&self) -> Option<Duration> {
        let errands = [Errand::Doubt, Errand::Turn].into_iter();
        let due = errands.filter_map(|errand| self.inspector.next_due(errand));
        due.min()
    }

    fn finish(&mut self, assignment: &Assignment, succeeds: bool) -> Option<Transition> {
        let failed = || Err(Failure::Status(503));
        self.finish_with(assignment, succeeds.then_some(()).map_or_else(failed, Ok))
    }

    fn finish_with(
        &mut self,
        assignment: &Assignment,
        outcome: Result<(), Failure>,
    ) -> Option<Transition> {
        self.inspector
            .finish(assignment, outcome, self.now, &mut self.random)
    }

    fn doubt(&mut self, name: &str) {
        let incarnation = self.incarnation(name);
        self.inspector.doubt(&key(name), incarnation, self.now);
    }

    /// What is to be written, as `name health`.
    fn unwritten(&self) -> Vec<String> {
        let text = |change: &Change| match change {
            Change::Verdict(key, Some(verdict)) => format!("{} {}", key.server, verdict.health),
            other => panic!("not a verdict: {other:?}"),
        };
        self.inspector.unwritten().iter().map(text).collect()
    }

    /// The registry takes what is to be written, and the snapshot does not show it yet.
    fn write(&mut self) {
        let changes = self.inspector.unwritten();
        let mut position = self.snapshot.position;
        position.revision = position.revision.next();
        self.inspector.written(&changes, position, self.now);
    }

    /// With these servers known to be up.
    fn with_up(servers: &[&str]) -> Self {
        let mut stage = Self::with(servers);
        stage.run(Duration::ZERO, true);
        stage.write();
        assert!(stage.unwritten().is_empty());
        stage
    }
}

fn key(name: &str) -> ServerKey {
    format!("default/{name}").parse().expect("a key")
}

#[test]
fn a_new_server_is_probed_at_once_and_one_success_brings_it_up() {
    let mut stage = Stage::with(&["s1"]);
    let assignment = stage.launch().expect("due at once");
    let transition = stage.finish(&assignment, true).expect("a verdict");
    assert_eq!(transition.to, Health::Up);
    assert_eq!(stage.unwritten(), ["s1 up"]);
    assert!(stage.launch().is_none(), "the next one is an interval away");
}

#[test]
fn a_server_that_goes_on_as_it_is_is_not_written_again() {
    let mut stage = Stage::with_up(&["s1", "s2"]);
    let probes = stage.run(20 * SECOND, true);
    assert!((18..=22).contains(&probes), "{probes} probes");
    assert!(stage.unwritten().is_empty());
}

#[test]
fn fall_failures_take_a_server_down_and_rise_successes_bring_it_back() {
    let mut stage = Stage::with_up(&["s1"]);
    let mut failures = 0;
    while stage.unwritten().is_empty() {
        failures += stage.run(SECOND / 10, false);
    }
    assert_eq!((failures, stage.unwritten()), (3, vec!["s1 down".into()]));
    stage.write();
    let mut successes = 0;
    while stage.unwritten().is_empty() {
        successes += stage.run(SECOND / 10, true);
    }
    assert_eq!((successes, stage.unwritten()), (2, vec!["s1 up".into()]));
}

#[test]
fn a_verdict_that_the_registry_did_not_take_stays_to_be_written() {
    let mut stage = Stage::with(&["s1"]);
    stage.run(Duration::ZERO, true);
    stage.sync();
    assert_eq!(stage.unwritten(), ["s1 up"]);
}

#[test]
fn a_snapshot_from_before_the_write_is_no_reason_to_write_again() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.sync();
    assert!(stage.unwritten().is_empty());
    stage.record("s1", Health::Up);
    stage.sync();
    assert!(stage.unwritten().is_empty());
}

#[test]
fn a_verdict_that_the_registry_lost_is_written_again() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.run(SETTLING, true);
    stage.sync();
    assert_eq!(stage.unwritten(), ["s1 up"]);
}

#[test]
fn a_new_leader_inherits_verdicts_and_spreads_its_probes() {
    let names: Vec<_> = (0..50).map(|number| format!("s{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut stage = Stage::with(&names);
    for name in &names {
        stage.record(name, Health::Up);
    }
    stage.inspector.restart(Part::Leading);
    stage.sync();
    assert!(stage.launch().is_none(), "none is due at once");
    let probes = stage.run(2 * SECOND, false);
    assert!(
        (40..=60).contains(&probes),
        "{probes} probes in an interval"
    );
    assert!(stage.unwritten().is_empty(), "one failure is no verdict");
}

#[test]
fn a_suspicion_has_the_server_probed_at_once_and_one_failure_decides() {
    let mut stage = Stage::with_up(&["s1", "s2"]);
    stage.run(SECOND / 2, true);
    stage.doubt("s1");
    let assignment = stage.launch().expect("due at once");
    assert_eq!(assignment.key, key("s1"));
    stage.finish(&assignment, false);
    assert_eq!(stage.unwritten(), ["s1 down"]);
}

#[test]
fn a_verdict_says_for_how_long_no_probe_got_any_answer() {
    let silent_ms = |failures: &[Failure]| {
        let mut stage = Stage::with_up(&["s1"]);
        for failure in failures {
            stage.now = stage.next_due().expect("its turn");
            let assignment = stage.launch().expect("its turn");
            stage.finish_with(&assignment, Err(failure.clone()));
        }
        let changes = stage.inspector.unwritten();
        let [Change::Verdict(_, Some(verdict))] = &changes[..] else {
            panic!("{changes:?}");
        };
        (verdict.health, verdict.silent_ms)
    };
    let timeout = Failure::TimedOut { after: SECOND };
    let (health, silent) = silent_ms(&[timeout.clone(), Failure::Refused, timeout.clone()]);
    assert_eq!(health, Health::Down);
    assert!((1_000..10_000).contains(&silent), "{silent} ms");
    let unwell = Failure::Status(503);
    assert_eq!(
        silent_ms(&[timeout.clone(), timeout, unwell]),
        (Health::Down, 0)
    );
}

#[test]
fn a_suspicion_that_the_probe_refutes_changes_nothing() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.run(SECOND / 2, true);
    stage.doubt("s1");
    let assignment = stage.launch().expect("due at once");
    stage.finish(&assignment, true);
    assert!(stage.unwritten().is_empty());
    assert!(stage.launch().is_none(), "due at its regular turn");
}

#[test]
fn many_suspicions_are_one_probe() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.run(SECOND / 2, true);
    for _ in 0..1000 {
        stage.doubt("s1");
    }
    let assignment = stage.launch().expect("due at once");
    assert!(stage.launch().is_none());
    stage.finish(&assignment, true);
    for _ in 0..1000 {
        stage.doubt("s1");
    }
    assert!(stage.launch().is_none(), "it was probed just now");
    stage.now += SUSPICION_PAUSE;
    assert!(stage.launch().is_some());
}

#[test]
fn a_server_that_somebody_always_suspects_is_probed_a_few_times_a_second_and_stays_up() {
    let mut stage = Stage::with_up(&["s1"]);
    let mut probes = 0;
    for _ in 0..10_000 {
        stage.now += SECOND / 1000;
        stage.doubt("s1");
        if let Some(assignment) = stage.launch() {
            probes += 1;
            assert_eq!(stage.finish(&assignment, true), None);
        }
    }
    // Besides those at its turn.
    let most = (10 * SECOND).as_millis() / SUSPICION_PAUSE.as_millis() + 7;
    assert!(
        (50..=most).contains(&probes),
        "{probes} probes in ten seconds"
    );
    assert!(stage.unwritten().is_empty());
}

#[test]
fn a_suspicion_during_a_probe_gets_one_of_its_own_beside_it() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.now += 3 * SECOND;
    let routine = stage.launch().expect("its turn");
    stage.doubt("s1");
    let own = stage.launch().expect("probed at once");
    assert_eq!(stage.finish(&routine, true), None, "it refutes nothing");
    stage.finish(&own, false);
    assert_eq!(stage.unwritten(), ["s1 down"]);
}

#[test]
fn a_suspicion_makes_the_failure_of_a_probe_under_way_decide() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.now += 3 * SECOND;
    let routine = stage.launch().expect("its turn");
    stage.doubt("s1");
    stage.finish(&routine, false);
    assert_eq!(stage.unwritten(), ["s1 down"]);
    let own = stage.inspector.launch(Errand::Doubt, stage.now);
    assert!(own.is_none(), "there is nothing left to find out");
}

#[test]
fn a_probe_from_before_a_verdict_does_not_undo_it() {
    let mut stage = Stage::with(&["s1"]);
    stage.put_pool(|check| check.rise = 1);
    stage.sync();
    stage.run(Duration::ZERO, true);
    stage.now += 3 * SECOND;
    let routine = stage.launch().expect("its turn");
    stage.doubt("s1");
    let own = stage.launch().expect("probed at once");
    stage.finish(&own, false);
    assert_eq!(stage.finish(&routine, true), None);
    assert_eq!(stage.unwritten(), ["s1 down"]);
    assert!(stage.run(3 * SECOND, true) >= 1, "its turns go on");
    assert_eq!(stage.unwritten(), ["s1 up"]);
}

#[test]
fn a_suspicion_right_after_a_probe_at_its_turn_does_not_wait() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.now += 3 * SECOND;
    let routine = stage.launch().expect("its turn");
    stage.finish(&routine, true);
    stage.doubt("s1");
    let own = stage.launch().expect("probed at once");
    stage.finish(&own, false);
    assert_eq!(stage.unwritten(), ["s1 down"]);
}

#[test]
fn a_suspicion_during_a_suspected_servers_probe_outlives_its_success() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.run(SECOND / 2, true);
    stage.doubt("s1");
    let first = stage.launch().expect("due at once");
    stage.doubt("s1");
    assert!(stage.launch().is_none(), "one at a time");
    stage.finish(&first, true);
    stage.now += SUSPICION_PAUSE;
    let second = stage.launch().expect("probed again");
    stage.finish(&second, false);
    assert_eq!(stage.unwritten(), ["s1 down"]);
}

#[test]
fn a_suspicion_of_an_old_incarnation_is_ignored() {
    let mut stage = Stage::with_up(&["s1"]);
    let old = stage.incarnation("s1");
    stage.put("s1", |_| {});
    stage.sync();
    stage.run(Duration::ZERO, true);
    let due = stage.next_due();
    stage.inspector.doubt(&key("s1"), old, stage.now);
    assert_eq!(stage.next_due(), due);
}

#[test]
fn a_missed_renewal_makes_any_failed_probe_decide_until_it_is_renewed() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.now += SECOND / 2;
    stage.inspector.lapse(&[key("s1")].into(), stage.now);
    let assignment = stage.launch().expect("due at once");
    stage.finish(&assignment, true);
    assert!(stage.unwritten().is_empty());
    stage.inspector.lapse(&BTreeSet::new(), stage.now);
    assert!(stage.run(3 * SECOND, false) >= 1);
    assert!(stage.unwritten().is_empty(), "it was renewed");
    stage.inspector.lapse(&[key("s1")].into(), stage.now);
    let assignment = stage.launch().expect("due at once");
    stage.finish(&assignment, false);
    assert_eq!(stage.unwritten(), ["s1 down"]);
}

#[test]
fn one_probe_without_an_answer_is_a_silence_for_the_second_half_of_its_time() {
    let silent_ms = |failure: Failure, took: Duration| {
        let mut stage = Stage::with_up(&["s1"]);
        stage.inspector.lapse(&[key("s1")].into(), stage.now);
        let assignment = stage.launch().expect("due at once");
        stage.now += took;
        stage.finish_with(&assignment, Err(failure));
        let changes = stage.inspector.unwritten();
        let [Change::Verdict(_, Some(verdict))] = &changes[..] else {
            panic!("{changes:?}");
        };
        assert_eq!(verdict.health, Health::Down);
        verdict.silent_ms
    };
    let timeout = Failure::TimedOut { after: 2 * SECOND };
    assert_eq!(silent_ms(timeout, 2 * SECOND), 1_000);
    assert_eq!(silent_ms(Failure::Refused, Duration::from_micros(300)), 0);
    assert_eq!(silent_ms(Failure::Status(503), 2 * SECOND), 0);
}

#[test]
fn a_new_incarnation_inherits_nothing_and_a_late_outcome_is_refused() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.now += 3 * SECOND;
    let late = stage.launch().expect("its turn");
    stage.put("s1", |server| server.address.set_port(81));
    stage.sync();
    assert_eq!(stage.finish(&late, false), None);
    let assignment = stage.launch().expect("probed at once");
    assert_eq!(assignment.address.port(), 81);
    assert_eq!(assignment.incarnation, stage.incarnation("s1"));
    assert_ne!(
        stage.inspector.incarnation(&key("s1")),
        Some(late.incarnation)
    );
    stage.finish(&assignment, true);
    assert_eq!(stage.unwritten(), ["s1 up"]);
}

#[test]
fn a_probe_knows_the_name_that_its_server_has_by_now() {
    let mut stage = Stage::with(&[]);
    stage.put("a", |server| server.hostname = Some("old.internal".into()));
    stage.sync();
    let probe = stage.launch().expect("it is new");
    assert_eq!(probe.hostname.as_deref(), Some("old.internal"));
    stage.finish(&probe, true);
    let server = stage.snapshot.servers.get_mut(&key("a")).expect("there");
    Arc::make_mut(server).value.hostname = Some("new.internal".into());
    stage.sync();
    stage.now = stage.next_due().expect("its next turn");
    let probe = stage.launch().expect("its turn");
    assert_eq!(probe.hostname.as_deref(), Some("new.internal"));
}

#[test]
fn a_disabled_server_is_not_probed_and_its_verdict_is_taken_back() {
    let mut stage = Stage::with_up(&["s1", "s2"]);
    stage.record("s1", Health::Up);
    stage.record("s2", Health::Up);
    stage.set_state("s1", ServerState::Disabled);
    stage.sync();
    assert_eq!(stage.unwritten(), ["s1 unknown"]);
    stage.write();
    stage.sync();
    assert!(
        stage.unwritten().is_empty(),
        "a snapshot from before the write"
    );
    let probes = stage.run(10 * SECOND, true);
    assert!((4..=6).contains(&probes), "{probes} probes of s2 alone");
    stage.record("s1", Health::Unknown);
    stage.set_state("s1", ServerState::Active);
    stage.sync();
    let assignment = stage.launch().expect("probed at once");
    stage.finish(&assignment, true);
    assert_eq!(stage.unwritten(), ["s1 up"]);
}

#[test]
fn a_draining_server_is_still_probed() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.set_state("s1", ServerState::Draining);
    stage.sync();
    assert!(stage.run(4 * SECOND, true) >= 1);
}

#[test]
fn a_removed_server_and_a_pool_without_a_check_are_left_alone() {
    let mut stage = Stage::with_up(&["s1", "s2"]);
    stage.snapshot.servers.remove(&key("s1"));
    stage.sync();
    assert_eq!(stage.inspector.len(), 1);
    stage.put_pool(|check| check.kind = CheckKind::None);
    stage.sync();
    assert_eq!(
        (stage.inspector.len(), stage.run(10 * SECOND, true)),
        (0, 0)
    );
}

#[test]
fn another_interval_counts_from_now_on() {
    let mut stage = Stage::with_up(&["s1"]);
    stage.put_pool(|check| check.interval = SECOND / 10);
    stage.sync();
    let probes = stage.run(10 * SECOND, true);
    assert!((95..=105).contains(&probes), "{probes} probes");
}

//! Recovery by hand-made reports, and replay over real stores that forked.

use std::net::SocketAddr;

use model::{
    Author, Change, Delta, InstanceId, Origin, PoolId, Report, Server, ServerKey, ServerState,
};

use super::*;
use crate::{Commit, CommitError, Leadership, Leading, Memory, Reading, Store};

const WAIT: Duration = RECOVERY_WAIT;

fn position(revision: u64) -> Position {
    Position {
        epoch: Epoch(uuid::Uuid::from_u128(1)),
        revision: Revision(revision),
        id: RevisionId(uuid::Uuid::from_u128(revision.into())),
    }
}

fn instance(role: Role, applied: Option<Position>) -> Instance {
    let report = Report {
        applied,
        origin: Origin::Registry,
        ..Report::new(InstanceId::random(), role, "10.0.0.1:8000")
    };
    Instance {
        report,
        age: Duration::ZERO,
    }
}

/// What a candidate does that has waited long enough.
fn decide(instances: &[Instance], own: Option<&Snapshot>) -> Step {
    let whole = |snapshot| OwnCopy {
        snapshot,
        is_whole: true,
    };
    decide_with(instances, own.map(whole))
}

fn decide_with(instances: &[Instance], own: Option<OwnCopy<'_>>) -> Step {
    let mut recovery = Recovery::new(WAIT);
    let ids = (Epoch::random(), RevisionId::random());
    assert_eq!(
        recovery.observe(instances, own, ids, Duration::ZERO),
        Step::Wait
    );
    recovery.observe(instances, own, ids, WAIT)
}

#[test]
fn a_candidate_listens_for_three_report_periods_first() {
    let mut recovery = Recovery::new(WAIT);
    let ids = (Epoch::random(), RevisionId::random());
    let just = WAIT - Duration::from_millis(1);
    assert_eq!(recovery.observe(&[], None, ids, Duration::ZERO), Step::Wait);
    assert_eq!(recovery.observe(&[], None, ids, just), Step::Wait);
    recovery.reset();
    assert_eq!(recovery.observe(&[], None, ids, WAIT), Step::Wait);
    let step = recovery.observe(&[], None, ids, WAIT * 2);
    assert!(matches!(step, Step::Initialise(_)));
}

#[test]
fn a_fleet_of_which_nobody_knows_anything_begins_with_the_standard_pool() {
    let starting = [
        instance(Role::Balancer, None),
        instance(Role::Orchestrator, None),
    ];
    let Step::Initialise(first) = decide(&starting, None) else {
        panic!("a first start");
    };
    assert_eq!(first.position.revision, Revision(1));
    assert_eq!(
        first.pools.keys().collect::<Vec<_>>(),
        [&PoolId::standard()]
    );
    assert!(Store::default().seed(&first).is_some());
}

#[test]
fn a_holder_of_the_furthest_position_continues_under_a_new_epoch() {
    let own = Snapshot::empty(position(7));
    let others = [
        instance(Role::Balancer, Some(position(7))),
        instance(Role::Balancer, Some(position(5))),
    ];
    let Step::Reseed(seed) = decide(&others, Some(&own)) else {
        panic!("a new seed");
    };
    assert_eq!(seed.position.revision, Revision(8));
    assert_ne!(seed.position.epoch, own.position.epoch);
    assert_eq!(seed.desired, own.desired);
}

#[test]
fn what_an_operator_restores_outranks_all_that_the_instances_hold() {
    let copy = Snapshot::empty(position(6));
    let others = [
        instance(Role::Balancer, Some(position(9))),
        instance(Role::Balancer, None),
    ];
    let ids = (Epoch::random(), RevisionId::random());
    let after = |instances| restored(&copy, instances, ids).position.revision;
    assert_eq!((after(&others), after(&[])), (Revision(10), Revision(7)));
    assert_eq!(restored(&copy, &others, ids).position.epoch, ids.0);
}

#[test]
fn who_has_seen_less_leaves_it_to_who_has_seen_more() {
    let own = Snapshot::empty(position(6));
    let others = [instance(Role::Orchestrator, Some(position(7)))];
    assert_eq!(decide(&others, Some(&own)), Step::Leave(position(7)));
    assert_eq!(decide(&others, None), Step::Leave(position(7)));
}

#[test]
fn a_position_that_only_balancers_hold_is_for_an_operator() {
    let others = [instance(Role::Balancer, Some(position(7)))];
    assert_eq!(decide(&others, None), Step::Alarm(position(7)));
    let own = Snapshot::empty(position(6));
    assert_eq!(decide(&others, Some(&own)), Step::Alarm(position(7)));
}

#[test]
fn a_copy_of_a_damaged_registry_is_never_made_the_fleets() {
    let snapshot = &Snapshot::empty(position(7));
    let is_whole = false;
    let own = Some(OwnCopy { snapshot, is_whole });
    let alarm = Step::Alarm(position(7));
    assert_eq!(decide_with(&[], own), alarm, "nor is the fleet a new one");
    let behind = [instance(Role::Orchestrator, Some(position(6)))];
    assert_eq!(decide_with(&behind, own), alarm);
    let level = [instance(Role::Orchestrator, Some(position(7)))];
    assert_eq!(decide_with(&level, own), Step::Leave(position(7)));
}

/// A store, and what a follower of it saw.
#[derive(Clone)]
struct Branch {
    store: Store,
    seen: Vec<Delta>,
}

impl Branch {
    fn new() -> Self {
        let mut store = Store::default();
        let ids = (Epoch::random(), RevisionId::random());
        store.seed(&Snapshot::first(ids.0, ids.1)).expect("a seed");
        let seen = Vec::new();
        Self { store, seen }
    }

    fn commit(&mut self, author: Author, change: Change) {
        let commit = Commit::new(author, vec![change]);
        let (_, delta) = self
            .store
            .commit(&commit, Duration::ZERO)
            .expect("a commit");
        self.seen.extend(delta);
    }

    fn put(&mut self, id: &str, weight: u16) {
        let address: SocketAddr = "10.0.0.1:80".parse().expect("an address");
        let server = Server::new(PoolId::standard(), id.parse().expect("an id"), address);
        let change = Change::put_server(Server { weight, ..server });
        self.commit(operator(), change);
    }

    fn remove(&mut self, id: &str) {
        self.commit(operator(), Change::Server(key(id), None));
    }

    fn weights(&self) -> Vec<(String, u16)> {
        let snapshot = self.store.snapshot().expect("a head").snapshot;
        let servers = snapshot.servers.values().map(|server| &server.value);
        servers
            .map(|server| (server.id.to_string(), server.weight))
            .collect()
    }

    /// Makes again what `lost` saw and this branch has not.
    fn replay(&mut self, lost: &[Delta]) -> usize {
        let log = self
            .store
            .log_after(before(lost).expect("some"))
            .expect("a log");
        let instance = InstanceId(uuid::Uuid::from_u128(1));
        let taken = self
            .store
            .acquire(instance, Duration::MAX / 2, Duration::ZERO);
        let head = taken.expect("nobody else leads");
        let leader = Leadership {
            instance,
            epoch: head.position.epoch,
            term: head.term,
        };
        let commits = replay(lost, &log, leader);
        for commit in &commits {
            let made = self.store.commit(commit, Duration::ZERO);
            self.seen.extend(made.expect("a commit").1);
        }
        commits.len()
    }
}

fn operator() -> Author {
    Author::Operator {
        name: "test".into(),
    }
}

fn key(id: &str) -> ServerKey {
    ServerKey::new(PoolId::standard(), id.parse().expect("an id"))
}

fn weights(list: &[(&str, u16)]) -> Vec<(String, u16)> {
    list.iter()
        .map(|(id, weight)| ((*id).into(), *weight))
        .collect()
}

#[test]
fn lost_writes_are_made_again_in_order() {
    let mut lost = Branch::new();
    lost.put("s1", 1);
    let mut kept = lost.clone();
    lost.put("s2", 1);
    lost.put("s2", 5);
    lost.remove("s1");
    kept.put("s3", 1);
    assert_eq!(kept.replay(&lost.seen), 3);
    assert_eq!(kept.weights(), weights(&[("s2", 5), ("s3", 1)]));
}

#[test]
fn an_element_changed_since_is_left_as_it_is() {
    let mut lost = Branch::new();
    lost.put("s1", 1);
    lost.put("s2", 1);
    let mut kept = lost.clone();
    lost.put("s1", 7);
    lost.put("s2", 7);
    kept.put("s1", 3);
    assert_eq!(kept.replay(&lost.seen), 1);
    assert_eq!(kept.weights(), weights(&[("s1", 3), ("s2", 7)]));
}

#[test]
fn a_replay_that_was_cut_short_is_continued_and_none_is_made_twice() {
    let mut lost = Branch::new();
    lost.put("s0", 1);
    let mut kept = lost.clone();
    lost.put("s1", 1);
    lost.put("s1", 2);
    let mut short = kept.clone();
    short.replay(&lost.seen[..2]);
    assert_eq!(short.weights(), weights(&[("s0", 1), ("s1", 1)]));
    assert_eq!(short.replay(&lost.seen), 1);
    assert_eq!(short.weights(), weights(&[("s0", 1), ("s1", 2)]));
    assert_eq!(short.replay(&lost.seen), 0);
    kept.replay(&lost.seen);
    assert_eq!(kept.weights(), short.weights());
}

#[test]
fn an_old_replay_resurrects_nothing() {
    let mut lost = Branch::new();
    lost.put("s0", 1);
    let mut kept = lost.clone();
    lost.put("s1", 1);
    kept.replay(&lost.seen);
    kept.remove("s1");
    assert_eq!(kept.replay(&lost.seen), 0);
    assert_eq!(kept.weights(), weights(&[("s0", 1)]));
}

#[test]
fn nothing_is_replayed_where_nothing_was_lost() {
    let mut branch = Branch::new();
    branch.put("s1", 1);
    let seen = branch.seen.clone();
    branch.put("s2", 1);
    assert_eq!(branch.replay(&seen), 0);
}

#[tokio::test]
async fn the_leader_makes_lost_writes_again_and_stops_with_its_leadership() {
    let mut lost = Branch::new();
    lost.put("s0", 1);
    let kept = lost.clone();
    lost.put("s1", 1);
    let registry = Memory::new();
    registry.tamper(|store| *store = kept.store);
    let none = replay_lost(&registry, &lost.seen, || None).await;
    assert_eq!(none.expect("an answer"), 0);
    let instance = InstanceId::random();
    let taken = registry.acquire(instance, Duration::from_secs(600)).await;
    let leader = Leadership {
        instance,
        epoch: lost.seen[0].epoch,
        term: taken.expect("an answer").expect("nobody leads yet").term,
    };
    let former = Leadership {
        term: model::Term(0),
        ..leader
    };
    let late = replay_lost(&registry, &lost.seen, || Some(former)).await;
    assert!(matches!(late, Err(CommitError::NotLeading { .. })));
    let made = replay_lost(&registry, &lost.seen, || Some(leader)).await;
    assert_eq!(made.expect("an answer"), 1);
    let snapshot = registry
        .snapshot()
        .await
        .expect("an answer")
        .expect("a head");
    let server = &snapshot.snapshot.servers[&key("s1")].value;
    assert_eq!(server.state, ServerState::Active);
    let again = replay_lost(&registry, &lost.seen, || Some(leader)).await;
    assert_eq!(again.expect("an answer"), 0);
}

#[test]
fn the_same_commit_on_another_branch_is_another_revision() {
    let mut lost = Branch::new();
    let mut kept = lost.clone();
    lost.put("s1", 1);
    kept.put("s2", 1);
    let server = Server::new(
        PoolId::standard(),
        "s3".parse().expect("an id"),
        "10.0.0.3:80".parse().expect("an address"),
    );
    let commit = Commit::new(operator(), vec![Change::put_server(server)]);
    let made = |branch: &mut Branch| {
        let made = branch.store.commit(&commit, Duration::ZERO);
        made.expect("a commit").0.position
    };
    let (lost, kept) = (made(&mut lost), made(&mut kept));
    assert_eq!(lost.revision, kept.revision);
    assert_ne!(lost.id, kept.id);
}

//! What the contract's tests cannot reach through the traits: bounds, and what a lost head leaves behind.

use model::{
    Author, Change, Epoch, InstanceId, Pool, PoolId, Position, Revision, Server, Snapshot,
};

use super::*;
use crate::{Commit, Remembered};

const NOW: Duration = Duration::from_secs(1);

fn seeded() -> (Store, Position) {
    let mut store = Store::default();
    let position = seed(&mut store);
    (store, position)
}

fn seed(store: &mut Store) -> Position {
    let snapshot = Snapshot::empty(Position {
        epoch: Epoch::random(),
        revision: Revision(1),
        id: model::RevisionId::random(),
    });
    assert!(store.seed(&snapshot).is_some());
    let pool = Change::put_pool(Pool::new(PoolId::standard()));
    commit(store, vec![pool])
}

fn commit(store: &mut Store, changes: Vec<Change>) -> Position {
    let name = "test".into();
    let commit = Commit::new(Author::Operator { name }, changes);
    let (committed, _) = store.commit(&commit, NOW).expect("a commit");
    committed.position
}

fn put(port: u16) -> Change {
    let address = format!("10.0.0.1:{port}").parse().expect("an address");
    let id = "a".parse().expect("an id");
    Change::put_server(Server::new(PoolId::standard(), id, address))
}

#[test]
fn the_log_is_bounded_and_forgets_the_oldest_first() {
    let (mut store, first) = seeded();
    let length = u16::try_from(LOG_LENGTH).expect("a port each");
    let mut positions = vec![first];
    for port in 1..=length {
        positions.push(commit(&mut store, vec![put(port)]));
    }
    assert_eq!(store.log.len(), LOG_LENGTH);
    assert_eq!(store.log_after(positions[0]), None);
    let after = store.log_after(positions[1]).expect("still known");
    assert_eq!(after.len(), LOG_LENGTH - 1);
}

#[test]
fn a_seed_clears_away_what_a_lost_head_left_behind_but_for_the_history() {
    let (mut store, _) = seeded();
    let old = commit(&mut store, vec![put(1)]);
    let leader = InstanceId::random();
    store.acquire(leader, NOW, NOW).expect("nobody leads yet");
    let made = store.history(9).len();
    store.head = None;
    assert_eq!(store.snapshot(), None);
    seed(&mut store);
    let read = store.snapshot().expect("a head");
    assert!(read.snapshot.servers.is_empty() && read.damage.is_empty());
    assert_eq!(store.log_after(old), None);
    assert_eq!(store.history(9).len(), made + 1);
    let successor = InstanceId::random();
    assert!(store.acquire(successor, NOW, NOW).is_some());
}

#[test]
fn a_lease_runs_out_at_its_end_and_not_before() {
    let (mut store, _) = seeded();
    let (first, second) = (InstanceId::random(), InstanceId::random());
    let lifetime = Duration::from_secs(3);
    store.acquire(first, lifetime, NOW).expect("free");
    let end = NOW + lifetime;
    let just_before = end - Duration::from_millis(1);
    assert_eq!(store.acquire(second, lifetime, just_before), None);
    assert!(store.acquire(second, lifetime, end).is_some());
}

#[test]
fn who_was_evicted_is_missed_from_the_next_commit_on_be_it_one_that_changes_nothing() {
    let (mut store, _) = seeded();
    let at = Duration::from_secs;
    let commit = |store: &mut Store, now| {
        let author = Author::Source {
            name: "test".into(),
        };
        let commit = Commit::new(author, vec![put(1)]);
        store.commit(&commit, at(now)).expect("a commit")
    };
    commit(&mut store, 1);
    assert_eq!(store.remembered(at(2)), Remembered::Always);
    for evicted in [3, 13] {
        store.evict(StoreKey::Instances);
        assert_eq!(store.remembered(at(evicted)), Remembered::Unmarked);
        let (_, delta) = commit(&mut store, evicted + 1);
        assert_eq!(delta, None, "nothing was left to change");
        commit(&mut store, evicted + 2);
        let age = Remembered::For(at(4));
        assert_eq!(store.remembered(at(evicted + 5)), age);
    }
}

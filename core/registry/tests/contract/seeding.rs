//! Promises about the beginning of a history: once, whole, and known to those who listen.

use std::fmt::Debug;
use std::str::FromStr;

use model::{
    Action, Certificate, Change, Health, InstanceId, Limit, Listener, NetworkList, Revision, Route,
    SealedKey, Term,
};

use crate::contract;
use crate::fixture::{Fixture, first_snapshot, next_delta, put, verdict};

contract! {
    a_fleet_is_seeded_once,
    of_two_who_seed_at_once_one_does,
    a_seeded_snapshot_reads_back_as_it_was,
    seeding_is_announced,
}

async fn a_fleet_is_seeded_once(fixture: &Fixture) {
    let first = first_snapshot();
    assert_eq!(fixture.registry.seed(&first).await, Ok(true));
    assert_eq!(fixture.registry.seed(&first_snapshot()).await, Ok(false));
    let head = fixture.head().await;
    assert_eq!(head.position, first.position);
    assert_eq!((head.term, head.leader), (Term(0), None));
}

async fn of_two_who_seed_at_once_one_does(fixture: &Fixture) {
    let (one, other) = (first_snapshot(), first_snapshot());
    let (a, b) = tokio::join!(fixture.registry.seed(&one), fixture.registry.seed(&other));
    let (a, b) = (a.expect("an answer"), b.expect("an answer"));
    assert!(a != b);
    let winner = if a { one } else { other };
    assert_eq!(fixture.snapshot().await.snapshot, winner);
}

async fn a_seeded_snapshot_reads_back_as_it_was(fixture: &Fixture) {
    fixture.seed().await;
    let changes = vec![put("b", 2), put("a", 1)];
    fixture.commit([changes, routing()].concat()).await;
    let leader = InstanceId::random();
    fixture.lead(leader).await;
    let changes = vec![verdict("a", Revision(2), Health::Up)];
    let commit = fixture.leaders_commit(leader, changes).await;
    fixture.registry.commit(commit).await.expect("a commit");
    let saved = fixture.snapshot().await.snapshot;
    // Into an empty registry of the same kind.
    let reborn = fixture.another();
    assert_eq!(reborn.registry.seed(&saved).await, Ok(true));
    let read = reborn.snapshot().await;
    assert_eq!(read.snapshot, saved);
    assert_eq!(read.damage, []);
    let named = (
        saved.routes.len(),
        saved.listeners.len(),
        saved.networks.len(),
        saved.certificates.len(),
        saved.limits.len(),
    );
    assert_eq!(named, (1, 1, 1, 1, 1));
    assert_eq!(read.head.desired, Revision(2));
    // And it goes on from there.
    let committed = reborn.commit(vec![put("c", 3)]).await;
    assert_eq!(committed.position.revision, Revision(4));
    let after = reborn.registry.log_after(saved.position).await;
    assert_eq!(
        after.expect("an answer").expect("the seed is logged").len(),
        1
    );
}

/// A route, a listener, a list of networks, a certificate and a limit.
fn routing() -> Vec<Change> {
    let route = Route::new(name("r1"), Action::Pool(name("default")));
    let listener = Listener::new(name("http"));
    let networks = vec!["10.0.0.0/8".parse().expect("a network")];
    let list = NetworkList::new(name("office"), networks);
    let key = SealedKey::new("0".repeat(32), "AAAA".into());
    let chain = "-----BEGIN CERTIFICATE-----".into();
    let certificate = Certificate::new(name("www"), chain, key);
    let limit = Limit {
        requests: 5,
        ..Limit::new(name("api"))
    };
    vec![
        Change::Route(route.id.clone(), Some(Box::new(route))),
        Change::Listener(listener.id.clone(), Some(listener)),
        Change::Networks(list.id.clone(), Some(list)),
        Change::Certificate(certificate.id.clone(), Some(Box::new(certificate))),
        Change::Limit(limit.id.clone(), Some(limit)),
    ]
}

fn name<T: FromStr<Err: Debug>>(name: &str) -> T {
    name.parse().expect("a name")
}

async fn seeding_is_announced(fixture: &Fixture) {
    let mut changes = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    let position = fixture.seed().await;
    let delta = next_delta(&mut changes).await;
    assert_eq!(delta.position(), position);
    assert_eq!(delta.entries, []);
}

//! A fleet that is too large to be read in one go, on Redis alone: it is read in slices, and is one state all the same.

use std::sync::Arc;

use model::{FleetName, Snapshot};
use registry::testing::RedisServer;
use registry::{Commit, Registry, Snapshotted};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fixture::{connect, first_snapshot, operator, put, remove};

/// More than are read in one go.
const SERVERS: u16 = 2500;

fn name(number: u16) -> String {
    format!("s{number}")
}

async fn fill(registry: &dyn Registry) {
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let servers = (0..SERVERS).map(|number| put(&name(number), number + 1));
    let commit = Commit::new(operator(), servers.collect());
    registry.commit(commit).await.expect("a commit");
}

async fn read(registry: &dyn Registry) -> Snapshotted {
    let read = registry.snapshot().await.expect("an answer");
    read.expect("a fleet")
}

fn has_read_in_slices(command: impl Fn(&[&str]) -> String) -> bool {
    command(&["INFO", "commandstats"]).contains("cmdstat_hscan")
}

/// Changes, adds and removes servers until it is told to stop.
async fn change_always(registry: Arc<dyn Registry>, stop: CancellationToken) {
    let mut number = 0_u16;
    while !stop.is_cancelled() {
        number = number.wrapping_add(1);
        let at = |step: u16| name(number.wrapping_mul(step) % SERVERS);
        let changes = vec![
            put(&at(7), 10_000 + number % 1000),
            remove(&at(11)),
            put(&format!("extra{}", number % 500), 1 + number % 1000),
            remove(&format!("extra{}", (number + 250) % 500)),
        ];
        let commit = Commit::new(operator(), changes);
        registry.commit(commit).await.expect("a commit");
    }
}

#[tokio::test]
async fn what_is_read_in_slices_is_what_is_there() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    fill(&*registry).await;
    let followed = read(&*registry).await;
    assert!(has_read_in_slices(|words| server.command(words)));
    assert_eq!(followed.damage, []);
    assert_eq!(followed.snapshot.servers.len(), usize::from(SERVERS));
    server.command(&["HDEL", "roundhouse:{main}:servers", "default/s7"]);
    let robbed = read(&*registry).await;
    assert_eq!(robbed.damage.len(), 1, "{:?}", robbed.damage);
}

#[tokio::test]
async fn what_is_read_while_it_changes_is_one_state_of_the_history() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    fill(&*registry).await;
    let first = read(&*registry).await;
    let stop = CancellationToken::new();
    let changing = tokio::spawn(change_always(connect(&server.url()), stop.clone()));
    let mut states = Vec::new();
    for _ in 0..20 {
        let read = read(&*registry).await;
        // The head's digests are of that very revision.
        assert_eq!(read.damage, []);
        assert_eq!(read.snapshot.position, read.head.position);
        states.push(read.snapshot);
    }
    stop.cancel();
    changing.await.expect("the changes");
    assert!(states.last().expect("some").position.revision > first.snapshot.position.revision);
    follow_to(&*registry, first.snapshot, &states).await;
}

/// Each of the states is what following the log from the first one comes to.
async fn follow_to(registry: &dyn Registry, mut followed: Snapshot, states: &[Snapshot]) {
    let log = registry.log_after(followed.position).await;
    let log = log.expect("an answer").expect("a known position");
    let mut later = log.iter();
    for state in states {
        while followed.position != state.position {
            followed.advance(later.next().expect("a revision of the log"));
        }
        assert!(followed == *state, "{} differs", state.position);
    }
}

#[tokio::test]
async fn a_collection_that_is_none_is_named_in_a_large_fleet_too() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    fill(&*registry).await;
    server.command(&["DEL", "roundhouse:{main}:servers"]);
    server.command(&["SET", "roundhouse:{main}:servers", "text"]);
    let read = read(&*registry).await;
    assert_eq!(read.damage.len(), 1, "{:?}", read.damage);
    assert!(read.snapshot.servers.is_empty());
}

#[tokio::test]
async fn a_user_who_may_not_read_in_slices_reads_in_one_go() {
    let server = RedisServer::with_users(&FleetName::standard());
    fill(&*connect(&server.url_of("orchestrator"))).await;
    let balancer = connect(&server.url_of("balancer"));
    let command = |words: &[&str]| server.command_as_root(words);
    assert_eq!(read(&*balancer).await.damage, []);
    assert!(has_read_in_slices(command));
    server.grant("balancer", "-hscan");
    let read = read(&*balancer).await;
    assert_eq!(read.snapshot.servers.len(), usize::from(SERVERS));
    assert_eq!(balancer.troubles(), []);
}

#[tokio::test]
async fn what_only_a_newer_version_can_read_is_read_in_slices_to_the_letter() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    fill(&*registry).await;
    let pool = json!({"id": "new", "algorithm": "clairvoyant", "zeal": 0.5});
    server.commit_as_newer(&[
        ("pools", "new", Some(pool)),
        ("weather", "r1", Some(json!({"to": "new"}))),
    ]);
    let sliced = read(&*registry).await;
    assert!(has_read_in_slices(|words| server.command(words)));
    assert_eq!(sliced.damage, []);
    for (collection, key) in [("pools", "new"), ("weather", "r1")] {
        let text = server.stored(collection, key);
        let of = collection.parse().expect("a name");
        assert_eq!(sliced.snapshot.unread.get(of, key), text.as_deref());
    }
    server.command(&["ACL", "SETUSER", "default", "-hscan"]);
    let whole = read(&*registry).await;
    assert!(
        sliced.snapshot == whole.snapshot,
        "read in one go it differs"
    );
}

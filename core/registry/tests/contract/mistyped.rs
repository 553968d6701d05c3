//! What other hands may do to a whole key of a Redis: a commit is made whole or not at all, and says which key it is.

use std::sync::Arc;

use registry::testing::RedisServer;
use registry::{Commit, CommitError, Registry, RegistryError, Snapshotted};

use crate::fixture::{connect, first_snapshot, operator, put, remove};

/// A fleet with one server, registered by itself.
async fn fleet() -> (RedisServer, Arc<dyn Registry>) {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    registry.commit(commit).await.expect("a commit");
    (redis, registry)
}

fn key(name: &str) -> String {
    format!("roundhouse:{{main}}:{name}")
}

async fn state(registry: &dyn Registry) -> Snapshotted {
    let read = registry.snapshot().await.expect("an answer");
    read.expect("a fleet")
}

/// A commit is refused with words that name the key, and leaves everything as it was.
async fn refuses_whole(registry: &dyn Registry, name: &str) {
    let before = state(registry).await;
    let commit = Commit::new(operator(), vec![put("b", 2), remove("a")]);
    let error = registry.commit(commit).await.expect_err("a broken key");
    let CommitError::Registry(RegistryError::Unexpected { reason, .. }) = &error else {
        panic!("{error:?}");
    };
    let says = reason.contains(&key(name)) && reason.contains("rename or delete");
    assert!(says, "{reason}");
    assert_eq!(state(registry).await, before);
}

async fn commits_again(redis: &RedisServer, registry: &dyn Registry, name: &str) {
    redis.command(&["DEL", &key(name)]);
    let commit = Commit::new(operator(), vec![put("b", 2), remove("a")]);
    registry.commit(commit).await.expect("a commit");
    let read = state(registry).await;
    assert_eq!((read.snapshot.servers.len(), read.damage), (1, Vec::new()));
}

#[tokio::test]
async fn nonsense_in_the_log_leaves_a_commit_whole_or_absent() {
    let (redis, registry) = fleet().await;
    redis.command(&["XADD", &key("log"), "99-1", "by", "hand"]);
    refuses_whole(&*registry, "log").await;
    // A stream remembers the last id although its entry is gone.
    redis.command(&["XDEL", &key("log"), "99-1"]);
    refuses_whole(&*registry, "log").await;
    commits_again(&redis, &*registry, "log").await;
}

#[tokio::test]
async fn a_key_of_the_wrong_type_leaves_a_commit_whole_or_absent() {
    for name in ["log", "history", "idempotency", "registrations"] {
        let (redis, registry) = fleet().await;
        redis.command(&["SET", &key(name), "x"]);
        refuses_whole(&*registry, name).await;
        commits_again(&redis, &*registry, name).await;
    }
}

#[tokio::test]
async fn numbers_of_answers_that_other_hands_changed_stop_no_commit() {
    let (redis, registry) = fleet().await;
    let answers = key("idempotency");
    redis.command(&["HSET", &answers, "next", "x", "first", "0", "at:0", "x"]);
    let commit = Commit::new(operator(), vec![put("b", 2)]);
    let first = registry.commit(commit.clone()).await.expect("a commit");
    let again = registry.commit(commit).await.expect("the answer");
    assert_eq!((again.replayed, again.position), (true, first.position));
}

#[tokio::test]
async fn a_seed_clears_keys_of_the_wrong_type_away() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    for name in ["servers", "log", "idempotency", "lease"] {
        redis.command(&["SADD", &key(name), "x"]);
    }
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    registry.commit(commit).await.expect("a commit");
}

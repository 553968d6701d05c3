//! Commits that replicas are asked about: how many have it, and that nobody else waits for the answer.

use std::time::Duration;

use registry::testing::{Cluster, RedisServer, Sentinels};
use registry::{Commit, Registry, RegistryError};

use crate::fixture::{
    DEADLINE, Fixture, connect, eventually, first_snapshot, operator, put, remove,
};

/// Time that passes only where no replica answers.
const SHORT: Duration = Duration::from_millis(50);

fn commit(id: &str) -> Commit {
    Commit::new(operator(), vec![put(id, 1)])
}

/// Commits, and counts the replicas that have it.
async fn reached(
    registry: &dyn Registry,
    commit: Commit,
    within: Duration,
) -> Result<u64, RegistryError> {
    let (_, way) = registry.commit_to_replicas(commit).await.expect("a commit");
    way.reached(1, within).await
}

#[tokio::test]
async fn a_replica_that_answers_has_the_commit() {
    let master = RedisServer::start();
    let replica = master.replica();
    let registry = connect(&master.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    for id in ["a", "b"] {
        let answer = reached(&*registry, commit(id), DEADLINE).await;
        assert_eq!(answer, Ok(1));
        let key = format!("default/{id}");
        let there = replica.command(&["HEXISTS", "roundhouse:{main}:servers", &key]);
        assert!(there.contains("int(1)"), "{there}");
    }
}

#[tokio::test]
async fn a_redis_without_replicas_says_so_in_time() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    assert_eq!(reached(&*registry, commit("a"), SHORT).await, Ok(0));
    assert_eq!(reached(&*registry, commit("b"), SHORT).await, Ok(0));
}

#[tokio::test]
async fn a_registry_within_a_process_has_no_replicas() {
    let fixture = Fixture::in_memory();
    fixture.seed().await;
    assert_eq!(reached(&*fixture.registry, commit("a"), SHORT).await, Ok(0));
}

#[tokio::test]
async fn while_a_replica_is_waited_for_nobody_else_waits() {
    let master = RedisServer::start();
    let replica = master.replica();
    let registry = connect(&master.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    replica.pause();
    let made = registry.commit_to_replicas(commit("a")).await;
    let (first, way) = made.expect("a commit");
    let mut waiting = way.reached(1, 3 * DEADLINE);
    let others = async {
        let head = registry.head().await.expect("an answer");
        assert_eq!(head.expect("a head").position, first.position);
        registry.commit(commit("b")).await.expect("a commit");
        reached(&*registry, commit("c"), SHORT).await
    };
    let answer = tokio::select! {
        answer = &mut waiting => panic!("nobody can have it: {answer:?}"),
        answer = others => answer,
    };
    assert_eq!(answer, Ok(0));
    replica.resume();
    assert_eq!(waiting.await, Ok(1));
}

#[tokio::test]
async fn a_repeated_commit_is_asked_about_anew() {
    let master = RedisServer::start();
    let replica = master.replica();
    let registry = connect(&master.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let keyed = |id| Commit {
        idempotency_key: Some("key".into()),
        ..commit(id)
    };
    replica.pause();
    assert_eq!(reached(&*registry, keyed("a"), SHORT).await, Ok(0));
    let before = registry.head().await;
    // Over a connection that has written nothing yet.
    let another = connect(&master.url());
    assert_eq!(reached(&*another, keyed("b"), SHORT).await, Ok(0));
    replica.resume();
    assert_eq!(reached(&*another, keyed("b"), DEADLINE).await, Ok(1));
    assert_eq!(registry.head().await, before, "nothing was made of it");
}

#[tokio::test]
async fn a_connection_that_ends_leaves_the_commit_made_and_its_replicas_unknown() {
    let master = RedisServer::start();
    let _replica = master.replica();
    let registry = connect(&master.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let made = registry.commit_to_replicas(commit("a")).await;
    let (made, way) = made.expect("a commit");
    master.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    let error = way.reached(1, DEADLINE).await.expect_err("no connection");
    assert!(
        matches!(error, RegistryError::Unreachable { .. }),
        "{error:?}"
    );
    let head = eventually("the registry answers", async || registry.head().await.ok());
    assert_eq!(head.await.expect("a head").position, made.position);
    // One that was kept and has ended unnoticed is replaced.
    assert_eq!(reached(&*registry, commit("b"), DEADLINE).await, Ok(1));
    master.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    let commit = Commit::new(operator(), vec![remove("a")]);
    assert_eq!(reached(&*registry, commit, DEADLINE).await, Ok(1));
}

#[tokio::test]
async fn a_refused_commit_leaves_its_connection_to_the_next_one() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    let refused = registry.commit_to_replicas(commit("a")).await;
    assert!(refused.is_err(), "there is no fleet yet");
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let before = connections(&server);
    assert_eq!(reached(&*registry, commit("a"), SHORT).await, Ok(0));
    assert_eq!(reached(&*registry, commit("b"), SHORT).await, Ok(0));
    assert_eq!(connections(&server), before);
}

/// How many there are, this question's own included.
fn connections(server: &RedisServer) -> usize {
    server
        .command(&["CLIENT", "LIST"])
        .matches("laddr=")
        .count()
}

#[tokio::test]
async fn the_replicas_of_a_master_that_sentinels_found_are_asked() {
    let sentinels = Sentinels::start();
    let registry = connect(&sentinels.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let made = registry.commit_to_replicas(commit("a")).await;
    let (_, way) = made.expect("a commit");
    assert_eq!(way.reached(2, DEADLINE).await, Ok(2));
}

#[tokio::test]
async fn the_replicas_of_the_node_that_owns_the_keys_are_asked() {
    let cluster = Cluster::start();
    let registry = connect(&cluster.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    assert_eq!(reached(&*registry, commit("a"), SHORT).await, Ok(0));
    let _replica = cluster.replica_of_owner("roundhouse:{main}:head");
    assert_eq!(reached(&*registry, commit("b"), DEADLINE).await, Ok(1));
}

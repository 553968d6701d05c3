//! What a Redis that will not do says, and what to do about it, in one line.

use registry::testing::{OldRedis, RedisServer};
use registry::{Commit, RegistryError};

use crate::fixture::{connect, first_snapshot, operator, put};

fn one_line(error: &RegistryError, what: &str) {
    let said = error.to_string();
    assert!(said.contains(what) && !said.contains('\n'), "{said}");
}

#[tokio::test]
async fn a_replica_is_refused_by_name() {
    let master = RedisServer::start();
    let address = master.address();
    let (host, port) = address.split_once(':').expect("a host and a port");
    let replica = RedisServer::start_with(&["--replicaof", host, port]);
    let error = connect(&replica.url()).head().await.expect_err("a replica");
    one_line(
        &error,
        "it is a replica, which takes no writes: name its master",
    );
}

#[tokio::test]
async fn a_redis_that_is_too_old_is_refused_by_its_version_or_for_what_it_lacks() {
    let old = OldRedis::start("6.0.16");
    let error = connect(&old.url()).head().await.expect_err("too old");
    one_line(
        &error,
        "it is a Redis 6.0.16, and 6.2 is the oldest that will do: upgrade it",
    );
    let older = OldRedis::start("5.0.14");
    let error = connect(&older.url()).head().await.expect_err("too old");
    one_line(&error, "it is older than Redis 6.2: upgrade it");
}

#[tokio::test]
async fn a_master_that_becomes_a_replica_is_left_at_the_next_write() {
    let (master, other) = (RedisServer::start(), RedisServer::start());
    let registry = connect(&master.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let address = other.address();
    let (host, port) = address.split_once(':').expect("a host and a port");
    master.command(&["REPLICAOF", host, port]);
    let warnings = registry.warnings().await.expect("an answer");
    assert!(warnings[0].contains("is a replica by now"), "{warnings:?}");
    let commit = || registry.commit(Commit::new(operator(), vec![put("a", 1)]));
    let error = commit().await.expect_err("a replica").to_string();
    assert!(error.contains("replica"), "{error}");
    let error = registry.head().await.expect_err("a replica");
    one_line(&error, "it is a replica, which takes no writes");
    master.command(&["REPLICAOF", "NO", "ONE"]);
    let found = crate::fixture::eventually("a master again", async || registry.head().await.ok());
    found.await;
}

#[tokio::test]
async fn a_redis_with_too_many_clients_says_so() {
    let server = RedisServer::start_with(&["--maxclients", "1"]);
    let first = connect(&server.url());
    first.head().await.expect("the only one");
    let error = connect(&server.url())
        .head()
        .await
        .expect_err("one too many");
    assert!(
        matches!(error, RegistryError::Unreachable { .. }),
        "{error:?}"
    );
    one_line(
        &error,
        "max number of clients reached: raise its maxclients",
    );
}

#[tokio::test]
async fn a_master_that_misses_its_replicas_says_so_and_nothing_is_done() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    let error = registry.commit(commit).await.expect_err("no replicas");
    let said = error.to_string();
    assert!(
        said.contains("min-replicas-to-write says") && !said.contains('\n'),
        "{said}"
    );
    let head = registry.head().await.expect("reading goes on");
    assert_eq!(head.expect("a head").position.revision.0, 1);
}

#[tokio::test]
async fn a_redis_without_memory_says_so() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    let error = registry
        .commit(commit)
        .await
        .expect_err("no memory")
        .to_string();
    assert!(
        error.contains("raise its maxmemory") && !error.contains('\n'),
        "{error}"
    );
}

#[tokio::test]
async fn a_sentinel_that_is_named_as_a_redis_is_known_as_one() {
    let sentinels = registry::testing::Sentinels::start();
    let url = sentinels.url().replace("redis+sentinel", "redis");
    let (url, _) = url.split_once(',').expect("several Sentinels");
    let error = connect(url).head().await.expect_err("a Sentinel");
    one_line(&error, "a Sentinel answers there: write redis+sentinel://");
}

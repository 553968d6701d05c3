//! What a Redis that will not do says, and what to do about it, in one line.

use registry::testing::{OldRedis, RedisServer};
use registry::{Commit, RegistryError};
use tokio::io::AsyncWriteExt;

use crate::connections::Log;
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

#[tokio::test]
async fn a_redis_that_is_named_as_a_sentinel_is_known_as_one() {
    let server = RedisServer::start();
    let url = format!("redis+sentinel://{}/main", server.address());
    let error = connect(&url).head().await.expect_err("a Redis");
    one_line(&error, "it is no Sentinel: write redis://");
    one_line(&error, &server.address());
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_with_its_redis() {
    let server = RedisServer::start();
    let url = format!("redis://{}/99", server.address());
    let error = connect(&url).head().await.expect_err("no such database");
    one_line(&error, "names a database that it has not");
    one_line(&error, &server.address());
}

#[tokio::test]
async fn what_is_no_redis_is_known_as_none() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let web = tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.expect("a client");
            let answer = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
            let _ = client.write_all(answer).await;
        }
    });
    let error = connect(&format!("redis://{address}")).head().await;
    let error = error.expect_err("no Redis");
    web.abort();
    one_line(&error, "what answers there is no Redis");
    one_line(&error, &address);
}

/// A node that joins a cluster, or has left it: it greets whoever connects, and refuses all keys.
#[tokio::test]
async fn a_node_without_slots_is_said_once_to_be_of_no_use() {
    let (log, _guard) = Log::of_this_thread();
    let node = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    let registry = connect(&node.url());
    for _ in 0..4 {
        let error = registry.head().await.expect_err("a node without slots");
        one_line(&error, "the cluster has no node for the fleet's slot");
        let settings = registry.warnings().await.expect_err("it is of no use");
        one_line(&settings, "the cluster has no node for the fleet's slot");
    }
    assert_eq!(log.count("trying on"), 1);
    assert_eq!(log.count("is reachable"), 0);
}

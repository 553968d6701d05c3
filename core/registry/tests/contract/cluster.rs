//! A cluster: the node with the fleet's keys is found, and found again when it is another one.

use registry::testing::Cluster;
use registry::{Commit, Registry, RegistryError};

use crate::fixture::{connect, eventually, first_snapshot, next_delta, operator, put};

const HEAD: &str = "roundhouse:{main}:head";

async fn commit(registry: &dyn Registry, id: &str) -> Result<(), ()> {
    let commit = Commit::new(operator(), vec![put(id, 1)]);
    registry.commit(commit).await.map(drop).map_err(drop)
}

#[tokio::test]
async fn a_fleet_lives_on_one_node_of_a_cluster_and_moves_with_its_slot() {
    let cluster = Cluster::start();
    let registry = connect(&cluster.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    commit(&*registry, "a").await.expect("a commit");
    let before = registry.snapshot().await.expect("an answer");
    let owner = cluster.owner(HEAD);
    let next = (owner + 1) % 3;
    cluster.move_slot(HEAD, next);
    assert_eq!(cluster.owner(HEAD), next);
    let after = eventually("the new owner is found by a read", async || {
        registry.snapshot().await.ok()
    });
    assert_eq!(after.await, before);
    let mut changes = registry.announcements().await.expect("a subscription");
    cluster.move_slot(HEAD, owner);
    eventually("the new owner is found by a commit", async || {
        commit(&*registry, "b").await.ok()
    })
    .await;
    let head = registry.head().await.expect("an answer").expect("a head");
    // What was announced before may come late through the cluster.
    while next_delta(&mut changes).await.position() != head.position {}
}

#[tokio::test]
async fn a_node_that_is_down_is_done_without_where_it_has_not_the_keys() {
    let mut cluster = Cluster::start();
    let registry = connect(&cluster.url());
    let owner = cluster.owner(HEAD);
    cluster.kill((owner + 1) % 3);
    assert_eq!(registry.head().await, Ok(None));
}

#[tokio::test]
async fn a_node_that_is_named_as_a_single_redis_says_that_it_is_one_of_a_cluster() {
    let cluster = Cluster::start();
    let other = cluster.node((cluster.owner(HEAD) + 1) % 3);
    let error = connect(&other.url())
        .head()
        .await
        .expect_err("another node has it");
    assert!(
        matches!(error, RegistryError::Unreachable { .. }),
        "{error:?}"
    );
    let said = error.to_string();
    assert!(
        said.contains("redis+cluster:// finds it") && !said.contains('\n'),
        "{said}"
    );
}

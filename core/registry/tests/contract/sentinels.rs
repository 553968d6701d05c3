//! A master that Sentinels find: killed, replaced, and come back.

use std::time::{Duration, Instant};

use registry::testing::Sentinels;
use registry::{Commit, Registry};

use crate::fixture::{connect, eventually, first_snapshot, next_delta, operator, put};

/// Commits another server, and says whether that was answered.
async fn commit_on(registry: &dyn Registry, number: &mut u16) -> bool {
    *number += 1;
    let commit = Commit::new(operator(), vec![put(&format!("s{number}"), *number)]);
    registry.commit(commit).await.is_ok()
}

#[tokio::test]
async fn the_registry_goes_on_with_the_next_master_where_one_is_killed_under_writes() {
    let mut sentinels = Sentinels::start();
    let registry = connect(&sentinels.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let mut number = 0;
    assert!(commit_on(&*registry, &mut number).await);
    let first = sentinels.master();
    sentinels.first_master().kill();
    let killed = Instant::now();
    let deadline = killed + Duration::from_secs(30);
    while !commit_on(&*registry, &mut number).await {
        assert!(Instant::now() < deadline, "no master within 30 s");
    }
    println!("writes went on {:?} after the kill", killed.elapsed());
    // One Sentinel that knows is enough to go on; the others hear of it from that one.
    eventually("the first Sentinel names another master", async || {
        (sentinels.master() != first).then_some(())
    })
    .await;
    let mut changes = registry.announcements().await.expect("a subscription");
    assert!(commit_on(&*registry, &mut number).await);
    let head = registry.head().await.expect("an answer").expect("a head");
    assert_eq!(next_delta(&mut changes).await.position(), head.position);
}

#[tokio::test]
async fn a_master_that_is_made_a_replica_is_left() {
    let sentinels = Sentinels::start();
    let registry = connect(&sentinels.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let first = sentinels.master();
    sentinels.fail_over();
    // Until then it takes writes, which are lost.
    let former = connect(&format!("redis://{first}"));
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        match former.head().await {
            Err(error) if error.to_string().contains("it is a replica") => break,
            still => assert!(
                Instant::now() < deadline,
                "no replica within 40 s: {still:?}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut number = 0;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !commit_on(&*registry, &mut number).await {
        assert!(Instant::now() < deadline, "no write within 30 s");
    }
    let head = registry.head().await.expect("an answer").expect("a head");
    let master = connect(&format!("redis://{}", sentinels.master()));
    assert_eq!(master.head().await, Ok(Some(head)));
    let said = former.head().await.expect_err("a replica").to_string();
    assert!(said.contains("it is a replica"), "{said}");
}

#[tokio::test]
async fn one_sentinel_of_three_is_enough() {
    let mut sentinels = Sentinels::start();
    let registry = connect(&sentinels.url());
    sentinels.kill_sentinel(0);
    sentinels.kill_sentinel(1);
    assert_eq!(registry.head().await, Ok(None));
    let wrong = connect(&sentinels.url_of("flett"));
    let said = wrong.head().await.expect_err("nobody knows it").to_string();
    assert!(said.contains("it knows no master \"flett\""), "{said}");
    assert!(!said.contains('\n'), "{said}");
}

#[tokio::test]
async fn sentinels_have_a_password_of_their_own() {
    let sentinels = Sentinels::start();
    sentinels.protect("hunter2");
    let said = connect(&sentinels.url())
        .head()
        .await
        .expect_err("no password")
        .to_string();
    assert!(
        said.contains("?sentinel_user= and ?sentinel_password="),
        "{said}"
    );
    let wrong = format!("{}?sentinel_password=hunter3", sentinels.url());
    let said = connect(&wrong)
        .head()
        .await
        .expect_err("a wrong password")
        .to_string();
    assert!(
        said.contains("sentinel_password") && !said.contains("hunter"),
        "{said}"
    );
    let right = format!(
        "{}?sentinel_user=asker&sentinel_password=hunter2",
        sentinels.url()
    );
    assert_eq!(connect(&right).head().await, Ok(None));
}

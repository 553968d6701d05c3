//! Promises about the token buckets of limits: exact whoever takes, filled by the registry's clock, and full where nothing is known.

use std::time::Duration;

use registry::{BucketName, Take, Taken};
use tokio::time::Instant;

use crate::contract;
use crate::fixture::{DEADLINE, Fixture};

contract! {
    a_bucket_grants_what_it_holds_and_no_more,
    buckets_of_one_call_are_each_their_own,
    what_was_spent_is_taken_even_if_there_is_none,
    a_bucket_fills_as_time_goes,
    those_who_take_at_once_share_a_bucket,
    a_bucket_needs_no_head,
}

const HOUR: Duration = Duration::from_secs(3600);

/// From a bucket of ten tokens that gets one in an hour: none while a test runs.
pub(crate) fn take(limit: &str, key: u128, spent: u32, wanted: u32) -> Take {
    Take {
        bucket: BucketName {
            limit: limit.parse().expect("a name"),
            key,
        },
        interval: HOUR,
        capacity: 10,
        spent,
        wanted,
    }
}

async fn taken(fixture: &Fixture, take: Take) -> Taken {
    let taken = fixture.registry.take(&[take]).await.expect("an answer");
    assert_eq!(taken.len(), 1);
    taken[0]
}

/// Whether a level is this, but for what the time since the bucket was used has added.
fn is_about(level: f64, expected: f64) -> bool {
    (expected..expected + 0.1).contains(&level)
}

async fn a_bucket_grants_what_it_holds_and_no_more(fixture: &Fixture) {
    let first = taken(fixture, take("api", 1, 0, 4)).await;
    assert_eq!(first.granted, 4);
    assert!(is_about(first.level, 6.0), "{first:?}");
    let second = taken(fixture, take("api", 1, 0, 100)).await;
    assert_eq!(second.granted, 6);
    assert!(is_about(second.level, 0.0), "{second:?}");
    let third = taken(fixture, take("api", 1, 0, 1)).await;
    assert_eq!(third.granted, 0);
    assert!(is_about(third.level, 0.0), "{third:?}");
}

async fn buckets_of_one_call_are_each_their_own(fixture: &Fixture) {
    let takes = [
        take("api", 1, 0, 10),
        take("api", 2, 0, 1),
        take("other", 1, 0, 1),
        take("api", 1, 0, 1),
    ];
    let taken = fixture.registry.take(&takes).await.expect("an answer");
    let granted: Vec<_> = taken.iter().map(|taken| taken.granted).collect();
    assert_eq!(granted, [10, 1, 1, 0]);
    assert_eq!(fixture.registry.take(&[]).await, Ok(vec![]));
}

async fn what_was_spent_is_taken_even_if_there_is_none(fixture: &Fixture) {
    let spent = taken(fixture, take("api", 1, 13, 2)).await;
    assert_eq!(spent.granted, 0);
    assert!(is_about(spent.level, -3.0), "{spent:?}");
    let beyond = taken(fixture, take("api", 1, 1_000_000, 0)).await;
    assert!(is_about(beyond.level, -10.0), "{beyond:?}");
}

async fn a_bucket_fills_as_time_goes(fixture: &Fixture) {
    let quick = |wanted| Take {
        interval: Duration::from_millis(1),
        ..take("api", 1, 0, wanted)
    };
    assert_eq!(taken(fixture, quick(10)).await.granted, 10);
    let deadline = Instant::now() + DEADLINE;
    let mut granted = 0;
    while granted < 20 {
        granted += taken(fixture, quick(10)).await.granted;
        assert!(Instant::now() < deadline, "it fills no more");
    }
    // It never holds more than a full one, however long nobody takes.
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(taken(fixture, quick(100)).await.granted, 10);
}

async fn those_who_take_at_once_share_a_bucket(fixture: &Fixture) {
    let asking = (0..8).map(|_| async {
        let mut granted = 0;
        for _ in 0..5 {
            granted += taken(fixture, take("api", 1, 0, 1)).await.granted;
        }
        granted
    });
    let granted = futures_util::future::join_all(asking).await;
    assert_eq!(granted.into_iter().sum::<u32>(), 10);
}

async fn a_bucket_needs_no_head(fixture: &Fixture) {
    assert_eq!(fixture.registry.head().await, Ok(None));
    assert_eq!(taken(fixture, take("api", 1, 0, 1)).await.granted, 1);
    fixture.seed().await;
    let after = taken(fixture, take("api", 1, 0, 10)).await;
    assert_eq!(after.granted, 9);
}

mod redis_alone {
    use registry::testing::RedisServer;

    use super::*;
    use crate::fixture::connect;

    const BUCKET: &str = "roundhouse:{main}:limit:api:00000000000000000000000000000001";

    /// Of an answer such as `Int(5)`.
    fn number(answer: &str) -> u64 {
        let digits: String = answer.chars().filter(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    }

    #[tokio::test]
    async fn a_bucket_expires_when_it_is_full_again() {
        let server = RedisServer::start();
        let registry = connect(&server.url());
        let taken = registry.take(&[take("api", 1, 0, 2)]).await;
        assert_eq!(taken.expect("an answer")[0].granted, 2);
        let left = number(&server.command(&["PTTL", BUCKET]));
        assert!((7_100_000..=7_200_001).contains(&left), "{left}");
        // None that is full already is kept.
        registry
            .take(&[take("api", 2, 0, 0)])
            .await
            .expect("an answer");
        assert_eq!(number(&server.command(&["DBSIZE"])), 1);
    }

    #[tokio::test]
    async fn what_other_hands_put_in_a_buckets_place_counts_as_a_full_one() {
        let server = RedisServer::start();
        let registry = connect(&server.url());
        for words in [
            ["SADD", BUCKET, "x"],
            ["SET", BUCKET, "soon"],
            ["SET", BUCKET, "nan"],
        ] {
            server.command(&["DEL", BUCKET]);
            server.command(&words);
            let taken = registry.take(&[take("api", 1, 0, 1)]).await;
            let taken = taken.expect("an answer")[0];
            assert_eq!(taken.granted, 1, "{words:?}");
            assert!(is_about(taken.level, 9.0), "{words:?}: {taken:?}");
        }
        // A moment that is out of reach is as bad as it gets.
        server.command(&["SET", BUCKET, "1e300"]);
        let taken = registry.take(&[take("api", 1, 0, 1)]).await;
        let taken = taken.expect("an answer")[0];
        assert!(is_about(taken.level, -10.0), "{taken:?}");
    }
}

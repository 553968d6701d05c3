//! What only a Redis can do: be away, come back, hang, be set up badly, and say rubbish.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::{FleetName, InstanceId, Revision};
use registry::testing::{RedisServer, keeps_roles_apart};
use registry::{Commit, RegistryError};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::fixture::{
    DEADLINE, LONG, connect, eventually, first_snapshot, next, next_delta, operator, put, report,
    server, server_key,
};

fn is_unreachable<T>(result: &Result<T, RegistryError>) -> bool {
    matches!(result, Err(RegistryError::Unreachable { .. }))
}

#[tokio::test]
async fn a_redis_that_starts_later_is_found() {
    let mut server = RedisServer::start();
    server.kill();
    let registry = connect(&server.url());
    let away = registry.head().await;
    assert!(is_unreachable(&away), "{away:?}");
    assert!(
        away.expect_err("away")
            .to_string()
            .contains(&server.address())
    );
    assert!(is_unreachable(&registry.announcements().await.map(drop)));
    server.restart();
    eventually("Redis is found", async || registry.head().await.ok()).await;
}

#[tokio::test]
async fn a_restarted_redis_goes_on_where_it_was_and_ends_subscriptions() {
    let mut server = RedisServer::start();
    let registry = connect(&server.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let commit = |id: &str| Commit::new(operator(), vec![put(id, 1)]);
    registry.commit(commit("a")).await.expect("a commit");
    let before = registry.snapshot().await.expect("an answer");
    let mut changes = registry.announcements().await.expect("a subscription");
    server.restart();
    let ended = tokio::time::timeout(DEADLINE, changes.next()).await;
    assert!(is_unreachable(&ended.expect("an end in time")));
    let after = eventually("Redis is back", async || registry.snapshot().await.ok()).await;
    assert_eq!(after, before);
    let mut changes = registry.announcements().await.expect("a subscription");
    registry.commit(commit("b")).await.expect("a commit");
    assert_eq!(next_delta(&mut changes).await.revision, Revision(3));
}

#[tokio::test]
async fn a_redis_that_lost_its_memory_has_no_head() {
    let mut server = RedisServer::start();
    let registry = connect(&server.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    server.restart_empty();
    let head = eventually("Redis is back", async || registry.head().await.ok()).await;
    assert_eq!(head, None);
    assert_eq!(registry.snapshot().await, Ok(None));
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
}

#[tokio::test]
async fn a_redis_that_hangs_is_found_out_by_commands_and_by_a_silent_subscription() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    let mut changes = registry.announcements().await.expect("a subscription");
    registry.head().await.expect("an answer");
    server.pause();
    let started = Instant::now();
    let (asked, heard) = tokio::join!(registry.head(), async {
        // A caller that gives up often does not keep the silence from being noticed.
        loop {
            let patience = Duration::from_millis(50);
            if let Ok(heard) = tokio::time::timeout(patience, changes.next()).await {
                return heard;
            }
        }
    });
    assert!(is_unreachable(&asked), "{asked:?}");
    assert!(is_unreachable(&heard), "{heard:?}");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    server.resume();
    eventually("Redis answers again", async || registry.head().await.ok()).await;
}

#[tokio::test]
async fn a_silent_subscription_to_a_redis_that_lives_goes_on() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let mut changes = registry.announcements().await.expect("a subscription");
    // Long enough for two PINGs.
    let silence = tokio::time::timeout(Duration::from_millis(2500), changes.next()).await;
    assert!(silence.is_err(), "nothing was said");
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    registry.commit(commit).await.expect("a commit");
    assert_eq!(next_delta(&mut changes).await.revision, Revision(2));
}

#[tokio::test]
async fn rubbish_on_a_channel_is_skipped() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    let mut changes = registry.announcements().await.expect("a subscription");
    let mut reports = registry.reports().await.expect("a subscription");
    for rubbish in ["hello", "{}", "", "{\"delta\":{}}", "\u{0}"] {
        server.command(&["PUBLISH", "roundhouse:{main}:changes", rubbish]);
        server.command(&["PUBLISH", "roundhouse:{main}:reports", rubbish]);
    }
    let first = first_snapshot();
    assert_eq!(registry.seed(&first).await, Ok(true));
    assert_eq!(next_delta(&mut changes).await.position(), first.position);
    let instance = InstanceId::random();
    registry
        .report(&report(instance), true)
        .await
        .expect("a report");
    assert_eq!(next(&mut reports).await, instance);
}

#[tokio::test]
async fn nonsense_in_what_instances_say_is_skipped() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    registry
        .report(&report(InstanceId::random()), false)
        .await
        .expect("a report");
    server.command(&["HSET", "roundhouse:{main}:instances", "me", "hello"]);
    let id = InstanceId::random().to_string();
    server.command(&["HSET", "roundhouse:{main}:instances", &id, "hello"]);
    server.command(&["HSET", "roundhouse:{main}:registrations", "default/a", "[]"]);
    assert_eq!(registry.instances().await.expect("instances").len(), 1);
    assert_eq!(registry.registrations().await, Ok(vec![]));
}

#[tokio::test]
async fn a_head_written_by_hand_is_named() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    server.command(&["HSET", "roundhouse:{main}:head", "revision", "many"]);
    let error = registry.snapshot().await.expect_err("nonsense").to_string();
    assert!(
        error.contains(r#"the field revision holds "many""#),
        "{error}"
    );
}

#[tokio::test]
async fn a_seed_clears_away_what_a_lost_head_left_behind_but_for_the_history() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let commit = Commit {
        idempotency_key: Some("key".into()),
        ..Commit::new(operator(), vec![put("a", 1)])
    };
    let old = registry.commit(commit.clone()).await.expect("a commit");
    let taken = registry.acquire(InstanceId::random(), LONG).await;
    taken.expect("an answer").expect("nobody leads yet");
    server.command(&["DEL", "roundhouse:{main}:head"]);
    assert_eq!(registry.snapshot().await, Ok(None));
    let again = first_snapshot();
    assert_eq!(registry.seed(&again).await, Ok(true));
    let read = registry
        .snapshot()
        .await
        .expect("an answer")
        .expect("a fleet");
    assert_eq!((read.snapshot, read.damage), (again, vec![]));
    assert_eq!(registry.log_after(old.position).await, Ok(None));
    assert_eq!(registry.history(9).await.expect("history").len(), 1);
    let anew = registry.commit(commit).await.expect("a commit");
    assert!(!anew.replayed);
    let taken = registry.acquire(InstanceId::random(), LONG).await;
    assert!(taken.expect("an answer").is_some());
}

#[tokio::test]
async fn an_answer_is_cleared_away_after_a_day() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let commit = |key: &str, id: &str| Commit {
        idempotency_key: Some(key.into()),
        ..Commit::new(operator(), vec![put(id, 1)])
    };
    let answers = "roundhouse:{main}:idempotency";
    let first = commit("old key", "a");
    registry.commit(first.clone()).await.expect("a commit");
    let replayed = registry.commit(first.clone()).await.expect("an answer");
    assert!(replayed.replayed);
    // As if it had been given long ago.
    server.command(&["HSET", answers, "at:0", &format!("0 {} old key", first.id)]);
    let second = commit("new key", "b");
    registry.commit(second.clone()).await.expect("a commit");
    let replayed = registry.commit(second).await.expect("an answer");
    assert!(replayed.replayed);
    let anew = registry
        .commit(commit("old key", "c"))
        .await
        .expect("a commit");
    assert!(!anew.replayed);
    let left = server.command(&["HLEN", answers]);
    assert_eq!(
        left, "int(8)",
        "two answers of three fields each, and the two ends"
    );
}

#[tokio::test]
async fn a_trimmed_log_does_not_know_what_it_lost() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    let first = first_snapshot();
    assert_eq!(registry.seed(&first).await, Ok(true));
    for port in 1..=3 {
        let commit = Commit::new(operator(), vec![put("a", port)]);
        registry.commit(commit).await.expect("a commit");
    }
    server.command(&["XTRIM", "roundhouse:{main}:log", "MAXLEN", "2"]);
    assert_eq!(registry.log_after(first.position).await, Ok(None));
}

#[tokio::test]
async fn fleets_in_one_redis_do_not_meet() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let other = registry::open(&registry::Options::new(
        server.url().as_str(),
        "other".parse().expect("a name"),
    ));
    assert_eq!(other.expect("a URL").head().await, Ok(None));
}

#[tokio::test]
async fn a_fleet_of_ten_thousand_servers_is_seeded_committed_and_read() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    let mut snapshot = first_snapshot();
    for number in 0..10_000_u16 {
        let stamped = model::Stamped {
            revision: Revision(1),
            created: Revision(1),
            ordinal: u32::from(number) + 1,
            incarnation: Revision(1),
            value: server(&format!("s{number}"), number + 1),
        };
        let key = server_key(&format!("s{number}"));
        snapshot.servers.insert(key, Arc::new(stamped));
    }
    assert_eq!(registry.seed(&snapshot).await, Ok(true));
    let read = registry
        .snapshot()
        .await
        .expect("an answer")
        .expect("a fleet");
    assert_eq!((&read.snapshot, read.damage.len()), (&snapshot, 0));
    let moved = (0..10_000).map(|number| put(&format!("s{number}"), number + 2));
    let commit = Commit::new(operator(), moved.collect());
    let committed = registry.commit(commit).await.expect("a commit");
    let read = registry
        .snapshot()
        .await
        .expect("an answer")
        .expect("a fleet");
    assert_eq!(
        (read.head.position, read.damage.len()),
        (committed.position, 0)
    );
}

#[tokio::test]
async fn settings_that_lose_data_are_warned_of() {
    for (arguments, warning) in [
        (
            ["--maxmemory-policy", "allkeys-lru"],
            "maxmemory-policy is allkeys-lru",
        ),
        (["--appendonly", "no"], "keeps nothing on disk"),
    ] {
        let server = RedisServer::start_with(&arguments);
        let warnings = connect(&server.url()).warnings().await.expect("an answer");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(warning), "{warnings:?}");
    }
    let server = RedisServer::start();
    assert_eq!(connect(&server.url()).warnings().await, Ok(vec![]));
    server.command(&["CONFIG", "SET", "appendonly", "no"]);
    server.command(&["CONFIG", "SET", "save", "60 1"]);
    let warnings = connect(&server.url()).warnings().await.expect("an answer");
    assert!(
        warnings[0].contains("only snapshots on disk"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn a_missing_right_to_ask_for_the_settings_is_a_warning() {
    let server = RedisServer::start();
    server.command(&[
        "ACL", "SETUSER", "blind", "on", ">secret", "~*", "&*", "+@all", "-info",
    ]);
    let blind = connect(&format!("redis://blind:secret@{}", server.address()));
    let warnings = blind.warnings().await.expect("an answer");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("could not be checked"), "{warnings:?}");
}

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// What is logged on this thread until the guard goes.
    pub(crate) fn of_this_thread() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(false);
        let guard = tracing::subscriber::set_default(subscriber.finish());
        (log, guard)
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        let bytes = self.0.lock().expect("no writer panics");
        String::from_utf8_lossy(&bytes).matches(text).count()
    }
}

#[tokio::test]
async fn a_refusal_is_logged_when_it_begins_and_when_it_is_over() {
    if !keeps_roles_apart() {
        return println!("skipped: Redis 6.2 cannot say beforehand what a user may do");
    }
    let server = RedisServer::with_users(&FleetName::standard());
    let registry = connect(&server.url_of("admin"));
    let (log, _guard) = Log::of_this_thread();
    for turn in 1..=2 {
        for _ in 0..3 {
            let taken = registry.acquire(InstanceId::random(), LONG).await;
            taken.expect_err("no right");
            registry.head().await.expect("an answer");
        }
        let said = log.count("lacks a right that this role needs: taking the lease");
        assert_eq!((said, log.count("no longer refused")), (turn, turn - 1));
        server.grant("admin", "+set");
        let taken = registry.acquire(InstanceId::random(), LONG).await;
        taken.expect("an answer");
        assert_eq!(
            log.count("no longer refused by the registry: taking the lease"),
            turn
        );
        server.grant("admin", "-set");
    }
}

#[tokio::test]
async fn nonsense_in_what_others_say_is_logged_when_it_comes_and_when_it_is_gone() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    let (log, _guard) = Log::of_this_thread();
    let hash = "roundhouse:{main}:instances";
    for turn in 1..=2 {
        server.command(&["HSET", hash, "zzz", "{bad"]);
        for _ in 0..3 {
            assert_eq!(registry.instances().await, Ok(vec![]));
        }
        let troubles = registry.troubles();
        let [trouble] = troubles.as_slice() else {
            panic!("one piece of nonsense: {troubles:?}");
        };
        let said = trouble.to_string();
        assert!(said.contains(hash) && said.contains("\"zzz\""), "{said}");
        assert_eq!(
            (log.count(&said), log.count("no more nonsense")),
            (turn, turn - 1)
        );
        server.command(&["HDEL", hash, "zzz"]);
        registry.instances().await.expect("an answer");
        assert_eq!(
            (log.count(&said), log.count("no more nonsense")),
            (turn, turn)
        );
        assert_eq!(registry.troubles(), []);
    }
}

#[tokio::test]
async fn nonsense_is_neither_over_nor_new_for_who_looks_elsewhere() {
    let server = RedisServer::start();
    let registry = connect(&server.url());
    let first = first_snapshot();
    assert_eq!(registry.seed(&first).await, Ok(true));
    let add = async |key: &str, id: &str| {
        let key = format!("roundhouse:{{main}}:{key}");
        server.command(&["XADD", &key, id, "by", &"long ".repeat(1000)]);
    };
    add("log", "1-2").await;
    add("history", "1-1").await;
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    let last = registry.commit(commit).await.expect("a commit").position;
    let (log, _guard) = Log::of_this_thread();
    for _ in 0..3 {
        assert_eq!(registry.log_after(first.position).await, Ok(None));
        assert_eq!(registry.log_after(last).await, Ok(Some(vec![])));
        for limit in [1, 2, 9] {
            assert_eq!(registry.history(limit).await.expect("history").len(), 1);
        }
    }
    assert_eq!(
        (log.count("holds nonsense"), log.count("no more nonsense")),
        (2, 0)
    );
    let troubles = registry.troubles();
    assert_eq!(troubles.len(), 2, "{troubles:?}");
    for trouble in troubles.iter().map(ToString::to_string) {
        assert!(trouble.len() < 500, "{trouble}");
    }
    for (key, id) in [("log", "1-2"), ("history", "1-1")] {
        server.command(&["XDEL", &format!("roundhouse:{{main}}:{key}"), id]);
    }
    registry.log_after(first.position).await.expect("an answer");
    registry.history(9).await.expect("history");
    assert_eq!(log.count("no more nonsense"), 2);
    assert_eq!(registry.troubles(), []);
}

#[tokio::test]
async fn reachability_is_logged_when_it_changes_and_not_at_each_try() {
    let (log, _guard) = Log::of_this_thread();
    let mut server = RedisServer::start();
    server.kill();
    let registry = connect(&server.url());
    for _ in 0..5 {
        assert!(is_unreachable(&registry.head().await));
    }
    assert_eq!(
        (log.count("cannot be reached"), log.count("is reachable")),
        (1, 0)
    );
    server.restart();
    eventually("Redis is found", async || registry.head().await.ok()).await;
    registry.head().await.expect("an answer");
    assert_eq!(
        (log.count("cannot be reached"), log.count("is reachable")),
        (1, 1)
    );
    server.kill();
    for _ in 0..3 {
        assert!(is_unreachable(&registry.head().await));
    }
    assert_eq!(
        (log.count("cannot be reached"), log.count("is reachable")),
        (2, 1)
    );
}

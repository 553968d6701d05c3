//! What other hands may do to a whole key of a Redis: a commit is made whole or not at all, and says which key it is.

use std::sync::Arc;

use model::{Collection, Fault, InstanceId, Term};
use registry::testing::RedisServer;
use registry::{Commit, CommitError, Registry, RegistryError, Snapshotted, View};

use crate::connections::Log;
use crate::fixture::{LONG, connect, first_snapshot, operator, put, remove, report, server_key};
use crate::following::{Following, auditing, guarded, shown};

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
async fn a_collection_of_another_type_is_named_and_the_rest_is_read() {
    let (redis, registry) = fleet().await;
    let whole = state(&*registry).await;
    for (name, collection) in Collection::ALL.map(|it| (it.to_string(), it)) {
        let aside = key("aside");
        if redis.command(&["EXISTS", &key(&name)]).contains('1') {
            redis.command(&["RENAME", &key(&name), &aside]);
        }
        redis.command(&["SET", &key(&name), "hello"]);
        let read = state(&*registry).await;
        let says = |fault: &Fault| {
            let named =
                fault.reason.contains(&key(&name)) && fault.reason.contains("rename or delete");
            (fault.collection, fault.key.as_str(), named) == (collection, "*", true)
        };
        assert!(
            matches!(read.damage.as_slice(), [only] if says(only)),
            "{:?}",
            read.damage
        );
        let faults = &read.snapshot.faults;
        assert!(
            matches!(faults.as_slice(), [only] if says(only)),
            "{faults:?}"
        );
        assert_eq!(read.snapshot.element_faults().count(), 0);
        let servers = usize::from(collection != Collection::Servers);
        assert_eq!(read.snapshot.servers.len(), servers);
        redis.command(&["DEL", &key(&name)]);
        if redis.command(&["EXISTS", &aside]).contains('1') {
            redis.command(&["RENAME", &aside, &key(&name)]);
        }
        assert_eq!(state(&*registry).await, whole);
    }
}

/// Takes a key's place with text, and gives the place back when told to.
struct Usurper<'a> {
    redis: &'a RedisServer,
    name: String,
    is_aside: bool,
}

impl<'a> Usurper<'a> {
    fn begin(redis: &'a RedisServer, name: &str) -> Self {
        let (name, aside) = (key(name), key("aside"));
        let is_aside = redis.command(&["EXISTS", &name]).contains('1');
        if is_aside {
            redis.command(&["RENAME", &name, &aside]);
        }
        redis.command(&["SET", &name, "hello"]);
        Self {
            redis,
            name,
            is_aside,
        }
    }

    fn end(self) {
        self.redis.command(&["DEL", &self.name]);
        if self.is_aside {
            self.redis.command(&["RENAME", &key("aside"), &self.name]);
        }
    }
}

/// Whoever follows says once which key it is, serves on, and finds the repair by itself.
async fn is_survived(collection: Collection) {
    let (redis, registry) = fleet().await;
    let (log, _guard) = Log::of_this_thread();
    let (mut balancer, mut auditor) = (
        Following::start(&registry, guarded()),
        Following::start(&registry, auditing()),
    );
    let followed = |view: &View| view.registry_position.is_some();
    let served = balancer.until("the fleet", followed).await.snapshot.clone();
    let before = auditor.until("the fleet", followed).await.snapshot.clone();
    let usurper = Usurper::begin(&redis, collection.as_str());
    let damaged = |view: &View| !view.damage.is_empty();
    let view = auditor.until("the damage", damaged).await;
    let [Fault { reason, .. }] = view.damage.as_slice() else {
        panic!("one collection: {:?}", view.damage);
    };
    let named = reason.contains(&key(collection.as_str()));
    assert!(named && reason.contains("rename or delete"), "{reason}");
    let (own, now) = (before.as_deref().expect("a state"), shown(&view));
    assert_eq!((&now.servers, &now.pools), (&own.servers, &own.pools));
    // One that has to read everything anew serves on as well, and says the same.
    redis.command(&["XTRIM", &key("log"), "MAXLEN", "0"]);
    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let view = balancer.until("the damage", damaged).await;
    let (own, now) = (served.as_deref().expect("a state"), shown(&view));
    assert_eq!((&now.servers, &now.pools), (&own.servers, &own.pools));
    assert_eq!(view.holds, []);
    let said = format!(
        "the registry is damaged: {collection} \"*\": {}",
        key(collection.as_str())
    );
    assert_eq!(log.count(&said), 2, "once each");
    usurper.end();
    let whole = |view: &View| view.damage.is_empty();
    let view = auditor.until("the repair", whole).await;
    assert_eq!(view.snapshot, before);
    let view = balancer.until("the repair", whole).await;
    assert_eq!(view.snapshot, served);
    let commit = Commit::new(operator(), vec![put("c", 3)]);
    let committed = registry.commit(commit).await.expect("a commit");
    for mut following in [balancer, auditor] {
        following.until_at(committed.position).await;
        following.stop().await;
    }
}

#[tokio::test]
async fn pools_of_another_type_are_named_and_served_through() {
    is_survived(Collection::Pools).await;
}

#[tokio::test]
async fn servers_of_another_type_are_named_and_served_through() {
    is_survived(Collection::Servers).await;
}

#[tokio::test]
async fn verdicts_of_another_type_are_named_and_served_through() {
    is_survived(Collection::Health).await;
}

#[tokio::test]
async fn rulings_of_another_type_are_named_and_served_through() {
    is_survived(Collection::Holds).await;
}

#[tokio::test]
async fn routes_of_another_type_are_named_and_served_through() {
    is_survived(Collection::Routes).await;
}

#[tokio::test]
async fn listeners_of_another_type_are_named_and_served_through() {
    is_survived(Collection::Listeners).await;
}

#[tokio::test]
async fn lists_of_networks_of_another_type_are_named_and_served_through() {
    is_survived(Collection::Networks).await;
}

#[tokio::test]
async fn certificates_of_another_type_are_named_and_served_through() {
    is_survived(Collection::Certificates).await;
}

#[tokio::test]
async fn limits_of_another_type_are_named_and_served_through() {
    is_survived(Collection::Limits).await;
}

#[tokio::test]
async fn secrets_of_another_type_are_named_and_served_through() {
    is_survived(Collection::Secrets).await;
}

#[tokio::test]
async fn any_other_key_of_another_type_is_named_by_whoever_needs_it() {
    let (redis, registry) = fleet().await;
    let instance = InstanceId::random();
    let position = first_snapshot().position;
    for name in [
        "head",
        "log",
        "history",
        "instances",
        "registrations",
        "lease",
    ] {
        redis.command(&["DEL", &key(name)]);
        redis.command(&["SADD", &key(name), "x"]);
    }
    let silenced = |result: Result<(), RegistryError>, name: &str| {
        let error = result.expect_err(name).to_string();
        assert!(
            error.contains(&key(name)) && error.contains("rename or delete"),
            "{error}"
        );
    };
    silenced(registry.head().await.map(drop), "head");
    silenced(registry.snapshot().await.map(drop), "head");
    silenced(registry.log_after(position).await.map(drop), "log");
    silenced(registry.history(9).await.map(drop), "history");
    silenced(registry.instances().await.map(drop), "instances");
    silenced(registry.deregister(instance).await, "instances");
    let said = registry.report(&report(instance), true).await;
    silenced(said.map(drop), "instances");
    silenced(registry.lag(position).await.map(drop), "log");
    silenced(registry.registrations().await.map(drop), "registrations");
    silenced(
        registry.renew_registration(&server_key("a"), LONG).await,
        "registrations",
    );
    silenced(registry.acquire(instance, LONG).await.map(drop), "head");
    redis.command(&["DEL", &key("head")]);
    silenced(registry.acquire(instance, LONG).await.map(drop), "lease");
    silenced(
        registry.renew(instance, Term(1), LONG).await.map(drop),
        "lease",
    );
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

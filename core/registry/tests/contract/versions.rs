//! Promises between versions: what an older one left out and what a newer one added hinder nobody, and what only a newer one
//! can read is neither lost nor written over by itself.

use std::sync::Arc;

use model::{
    Algorithm, Change, Collection, Epoch, Health, HoldDecision, InstanceId, Pool, Ruling, Snapshot,
    Unknown,
};
use registry::testing::RedisServer;
use registry::{Announcement, Commit, FollowOptions, Registry, Snapshotted, StateFile, recovery};
use serde_json::{Value, json};

use crate::connections::Log;
use crate::contract;
use crate::fixture::{
    Fixture, LONG, connect, first_snapshot, next, operator, pool_id, put, server_key, verdict,
};
use crate::following::{Following, auditing, guarded, options, shown};

contract! {
    what_only_a_newer_version_can_read_is_seeded_as_it_was_stored,
    fields_of_a_newer_version_outlive_a_seed_in_every_kind_of_element,
}

fn key(name: &str) -> String {
    format!("roundhouse:{{main}}:{name}")
}

fn weather() -> Collection {
    "weather".parse().expect("a name")
}

/// A pool with an algorithm that this version does not know.
fn clairvoyant(id: &str) -> Value {
    json!({"id": id, "algorithm": "clairvoyant", "health": {"kind": "telepathy"}, "zeal": 0.5})
}

fn stored(value: &Value) -> String {
    format!(r#"{{"revision":1,"created":1,"ordinal":0,"incarnation":1,"value":{value}}}"#)
}

/// A fleet of a newer version: a pool and a collection that this one cannot read, and a server that it can.
async fn newer_fleet() -> (RedisServer, Arc<dyn Registry>) {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    registry.commit(commit).await.expect("a commit");
    redis.commit_as_newer(&[
        ("pools", "new", Some(clairvoyant("new"))),
        ("weather", "r1", Some(json!({"to": "new"}))),
    ]);
    (redis, registry)
}

async fn read(registry: &dyn Registry) -> Snapshotted {
    let read = registry.snapshot().await.expect("an answer");
    read.expect("a fleet")
}

/// The faults' names.
fn faults(snapshot: &Snapshot) -> Vec<String> {
    let faults = snapshot.faults.iter();
    let mut names: Vec<_> = faults
        .map(|fault| format!("{} {}", fault.collection, fault.key))
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_head_of_an_older_version_lacks_a_collection_and_that_holds_nothing() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    for collection in Collection::ALL {
        let first = redis.stored(collection.as_str(), "default").is_some();
        if first {
            // Only what it holds nothing of can have been unknown to it.
            continue;
        }
        let (count, sum) = (format!("{collection}:count"), format!("{collection}:sum"));
        redis.command(&["HDEL", &key("head"), &count, &sum]);
        let head = registry.head().await.expect("readable").expect("a head");
        assert_eq!(head.digests[&collection].count, 0);
        assert_eq!(read(&*registry).await.damage, []);
    }
    let leader = InstanceId::random();
    let led = registry.acquire(leader, LONG).await.expect("an answer");
    let epoch = led.expect("the lease").position.epoch;
    let ruling = Ruling {
        epoch,
        revision: model::Revision(1),
        decision: HoldDecision::Confirm,
        unknown: Unknown::default(),
    };
    let changes = vec![
        put("a", 1),
        Change::Ruling(pool_id("default"), Some(ruling)),
    ];
    let commit = Commit::new(operator(), changes);
    registry.commit(commit).await.expect("a commit");
    let after = read(&*registry).await;
    assert_eq!(after.damage, []);
    assert_eq!(after.head.digests[&Collection::Holds].count, 1);
    assert_eq!(after.head.digests[&Collection::Servers].count, 1);
}

#[tokio::test]
async fn a_newer_versions_collection_is_kept_and_is_no_damage() {
    let (redis, registry) = newer_fleet().await;
    let head = || redis.command(&["HMGET", &key("head"), "weather:count", "weather:sum"]);
    let before = head();
    let found = read(&*registry).await;
    assert_eq!(found.damage, []);
    assert_eq!(found.head.digests[&weather()].count, 1);
    assert_eq!(faults(&found.snapshot), ["pools new", "weather *"]);
    // Whatever this version writes, it counts what it knows and leaves the rest alone.
    let mut changes = registry.announcements().await.expect("a subscription");
    let commit = Commit::new(
        operator(),
        vec![put("b", 2), Change::put_pool(Pool::new(pool_id("web")))],
    );
    registry.commit(commit).await.expect("a commit");
    assert!(matches!(next(&mut changes).await, Announcement::Delta(_)));
    let leader = InstanceId::random();
    let led = registry.acquire(leader, LONG).await.expect("an answer");
    let term = led.expect("the lease").term;
    let renewed = registry.renew(leader, term, LONG).await;
    renewed.expect("an answer").expect("it leads");
    let Announcement::Heartbeat(heard) = next(&mut changes).await else {
        panic!("a heartbeat follows");
    };
    assert_eq!(heard.digests[&weather()].count, 1);
    registry.release(leader, term).await.expect("an answer");
    assert_eq!(head(), before);
    assert_eq!(read(&*registry).await.damage, []);
    let r1 = redis.stored("weather", "r1").expect("it is there");
    assert_eq!(
        found.snapshot.unread.get(weather(), "r1"),
        Some(r1.as_str())
    );
}

#[tokio::test]
async fn a_newer_versions_collection_of_any_kind_is_no_damage_either() {
    let (redis, registry) = newer_fleet().await;
    redis.command(&["DEL", &key("weather")]);
    redis.command(&["SET", &key("weather"), "x"]);
    let found = read(&*registry).await;
    assert_eq!(found.damage, []);
    assert_eq!(faults(&found.snapshot), ["pools new"]);
}

#[tokio::test]
async fn what_a_newer_version_changes_is_followed_as_far_as_it_can_be_read_and_named_once() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let (log, _guard) = Log::of_this_thread();
    let mut following = Following::start(&registry, guarded());
    following
        .until("the fleet", |view| view.registry_position.is_some())
        .await;
    let server = |port: u16| json!({"pool": "default", "id": "a", "address": format!("10.0.0.1:{port}"), "mood": "good"});
    for turn in 1..=3_u16 {
        let route = format!("r{turn}");
        let position = redis.commit_as_newer(&[
            ("weather", &route, Some(json!({"to": "default"}))),
            ("servers", "default/a", Some(server(turn))),
            ("pools", "new", Some(clairvoyant("new"))),
        ]);
        let view = following.until_at(position).await;
        let snapshot = shown(&view);
        let own = &snapshot.servers[&server_key("a")].value;
        assert_eq!(own.address.port(), turn);
        assert_eq!(own.unknown.0["mood"], "good");
        assert_eq!(faults(snapshot), ["pools new", "weather *"]);
        assert_eq!(
            snapshot.unread.keys_of(weather()).count(),
            usize::from(turn)
        );
    }
    assert_eq!(
        log.count("cannot be used, the last good one stays: weather"),
        1
    );
    assert_eq!(
        log.count("cannot be used, the last good one stays: pools"),
        1
    );
    assert_eq!(
        (log.count("nonsense"), registry.troubles()),
        (0, Vec::new())
    );
    // One who comes later reads the same from the log and the snapshot.
    let from = read(&*registry).await;
    let late = connect(&redis.url());
    let deltas = late.log_after(from.snapshot.position).await;
    assert_eq!(deltas, Ok(Some(Vec::new())));
    let mut late = Following::start(&late, options());
    let view = late.until_at(from.snapshot.position).await;
    assert_eq!(shown(&view).unread, from.snapshot.unread);
    // And it is over once the newer version takes it away.
    let gone = [1, 2, 3].map(|turn| format!("r{turn}"));
    let gone: Vec<_> = gone
        .iter()
        .map(|route| ("weather", route.as_str(), None))
        .collect();
    let position = redis.commit_as_newer(&gone);
    let view = following.until_at(position).await;
    assert_eq!(faults(shown(&view)), ["pools new"]);
    following.stop().await;
    late.stop().await;
}

#[tokio::test]
async fn a_log_that_a_newer_version_wrote_is_read() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    let first = first_snapshot();
    assert_eq!(registry.seed(&first).await, Ok(true));
    let position = redis.commit_as_newer(&[
        ("weather", "r1", Some(json!({"to": "default"}))),
        ("pools", "new", Some(clairvoyant("new"))),
    ]);
    let log = registry.log_after(first.position).await.expect("an answer");
    let log = log.expect("the log holds it");
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].position(), position);
    assert_eq!(log[0].entries[0].collection, weather());
    let mut snapshot = first;
    snapshot.advance(&log[0]);
    let found = read(&*registry).await.snapshot;
    assert_eq!(snapshot.unread, found.unread);
    assert_eq!(faults(&snapshot), faults(&found));
}

async fn what_only_a_newer_version_can_read_is_seeded_as_it_was_stored(fixture: &Fixture) {
    let mut snapshot = first_snapshot();
    let mut texts = vec![
        (Collection::Pools, "new", stored(&clairvoyant("new"))),
        (weather(), "r1", stored(&json!({"to": "new", "sharp": 0.1}))),
        // Its stamp may have more to it, and another collection's elements need none.
        (
            Collection::Servers,
            "new/a",
            r#"{"revision":1,"created":1,"ordinal":0,"incarnation":1,"by":"x","value":{"pool":"new","id":"a"}}"#.into(),
        ),
        (weather(), "odd key", "no JSON at all {".into()),
    ];
    texts.sort();
    for (collection, key, text) in &texts {
        snapshot.apply_stored(*collection, key.as_bytes(), text.as_bytes());
    }
    // What has no stamp no commit wrote.
    snapshot.apply_stored(Collection::Pools, b"by hand", b"{}");
    assert_eq!(snapshot.unread.len(), texts.len());
    assert_eq!(fixture.registry.seed(&snapshot).await, Ok(true));
    let read = fixture.snapshot().await;
    assert_eq!(read.damage, []);
    let found: Vec<_> = read
        .snapshot
        .unread
        .iter()
        .map(|(collection, key, text)| (collection, key, text.to_owned()))
        .collect();
    assert_eq!(found, texts);
    assert_eq!(read.head.digests[&weather()].count, 2);
    assert_eq!(read.head.digests[&Collection::Pools].count, 2);
    // The fleet goes on, and what was there stays.
    fixture.commit(vec![put("b", 2)]).await;
    assert_eq!(
        fixture.snapshot().await.snapshot.unread,
        read.snapshot.unread
    );
    // By somebody who takes the newer element for what it is, it can be removed.
    let pool = pool_id("new");
    let server = "new/a".parse().expect("a key");
    let removals = vec![Change::Server(server, None), Change::Pool(pool, None)];
    fixture.commit(removals).await;
    let after = fixture.snapshot().await;
    assert_eq!(after.damage, []);
    assert_eq!(
        after.snapshot.unread.others().collect::<Vec<_>>(),
        [weather()]
    );
    assert_eq!(after.snapshot.unread.len(), 2);
}

/// One of each kind, with what only a newer version knows.
fn one_of_each(
    epoch: Epoch,
    more: &Value,
) -> [(Collection, &'static str, Value); Collection::ALL.len()] {
    let health = json!({"path": "/", "more": more});
    [
        (
            Collection::Pools,
            "default",
            json!({"id": "default", "more": more, "health": health}),
        ),
        (
            Collection::Servers,
            "default/a",
            json!({"pool": "default", "id": "a", "address": "10.0.0.1:1", "more": more}),
        ),
        (
            Collection::Health,
            "default/a",
            json!({"incarnation": 1, "health": "up", "more": more}),
        ),
        (
            Collection::Holds,
            "default",
            json!({"epoch": epoch, "revision": 1, "decision": "confirm", "more": more}),
        ),
        (
            Collection::Routes,
            "api",
            json!({"id": "api", "action": {"pool": "default"}, "match": {"more": more}, "more": more}),
        ),
        (
            Collection::Listeners,
            "http",
            json!({"id": "http", "firewall": {"deny": ["office"], "more": more}, "more": more}),
        ),
        (
            Collection::Networks,
            "office",
            json!({"id": "office", "networks": ["10.0.0.0/8"], "more": more}),
        ),
        (
            Collection::Certificates,
            "www",
            json!({"id": "www", "chain": "-----BEGIN CERTIFICATE-----", "more": more,
                "key": {"sealed": {"to": "0".repeat(32), "box": "AAAA", "more": more}}}),
        ),
        (
            Collection::Limits,
            "api",
            json!({"id": "api", "by": ["client"], "requests": 100, "more": more}),
        ),
        (
            Collection::Secrets,
            "sticky",
            json!({"id": "sticky", "current": "0a".repeat(32), "more": more}),
        ),
    ]
}

async fn fields_of_a_newer_version_outlive_a_seed_in_every_kind_of_element(fixture: &Fixture) {
    let mut snapshot = first_snapshot();
    let more = json!({"list": [], "half": 0.5, "text": "\",\"value\":é"});
    let elements = one_of_each(snapshot.position.epoch, &more);
    assert_eq!(elements.each_ref().map(|it| it.0), Collection::ALL);
    for (collection, key, value) in &elements {
        snapshot.apply_stored(*collection, key.as_bytes(), stored(value).as_bytes());
    }
    assert_eq!(snapshot.faults, []);
    assert_eq!(fixture.registry.seed(&snapshot).await, Ok(true));
    let read = fixture.snapshot().await.snapshot;
    assert_eq!(read, snapshot);
    let saved = serde_json::to_value(&read).expect("JSON");
    for (collection, key, _) in &elements {
        let value = &saved[collection.as_str()][key]["value"];
        assert_eq!(value["more"], more, "{collection}");
    }
    assert_eq!(saved["pools"]["default"]["value"]["health"]["more"], more);
    assert_eq!(saved["routes"]["api"]["value"]["match"]["more"], more);
    let key = &saved["certificates"]["www"]["value"]["key"];
    assert_eq!(key["sealed"]["more"], more);
    let again: Snapshot = serde_json::from_value(saved).expect("a snapshot");
    assert_eq!(again, read);
}

#[tokio::test]
async fn what_only_a_newer_version_can_read_outlives_redis_in_an_older_ones_state_file() {
    let (redis, registry) = newer_fleet().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.json");
    let options = FollowOptions {
        state_file: Some(path.clone()),
        ..auditing()
    };
    let fleet = options.fleet.clone();
    let mut following = Following::start(&registry, options);
    let text = |collection, key| redis.stored(collection, key).expect("it is there");
    let before = [text("pools", "new"), text("weather", "r1")];
    // The same by way of a delta as by way of the snapshot.
    let position = redis.commit_as_newer(&[
        (
            "weather",
            "r2",
            Some(json!({"to": "default", "list": [], "half": 0.5})),
        ),
        ("pools", "default", Some(clairvoyant("default"))),
    ]);
    let later = [text("weather", "r2"), text("pools", "default")];
    let view = following.until_at(position).await;
    assert_eq!(shown(&view).unread.len(), 4);
    following.stop().await;
    redis.command(&["FLUSHALL"]);

    let copy = StateFile::load(&path, &fleet).expect("readable");
    let copy = copy.expect("a state").snapshot;
    let fresh = (Epoch::random(), model::RevisionId::random());
    let restored = recovery::restored(&copy, &[], fresh);
    assert_eq!(registry.seed(&restored).await, Ok(true));
    assert_eq!([text("pools", "new"), text("weather", "r1")], before);
    assert_eq!([text("weather", "r2"), text("pools", "default")], later);
    assert_eq!(read(&*registry).await.damage, []);
    // And the newer version goes on from there.
    redis.commit_as_newer(&[("weather", "r1", None)]);
    assert_eq!(read(&*registry).await.damage, []);
}

#[tokio::test]
async fn the_last_good_element_serves_on_and_never_takes_the_newer_ones_place() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let mut pool = Pool::new(pool_id("web"));
    pool.algorithm = Algorithm::P2c;
    let commit = Commit::new(operator(), vec![Change::put_pool(pool)]);
    let committed = registry.commit(commit).await.expect("a commit");
    let mut following = Following::start(&registry, guarded());
    following.until_at(committed.position).await;
    let position = redis.commit_as_newer(&[("pools", "web", Some(clairvoyant("web")))]);
    let view = following.until_at(position).await;
    let snapshot = shown(&view);
    let good = &snapshot.pools[&pool_id("web")].value;
    assert_eq!(good.algorithm, Algorithm::P2c);
    let text = redis.stored("pools", "web").expect("it is there");
    redis.command(&["FLUSHALL"]);
    assert_eq!(registry.seed(snapshot).await, Ok(true));
    assert_eq!(redis.stored("pools", "web"), Some(text));
    following.stop().await;
}

#[tokio::test]
async fn a_verdict_is_written_on_a_server_that_only_a_newer_version_can_read() {
    let (redis, registry) = newer_fleet().await;
    let server = json!({"pool": "default", "id": "n", "address": "10.0.0.1:9", "state": "warming"});
    let position = redis.commit_as_newer(&[("servers", "default/n", Some(server))]);
    let text = redis.stored("servers", "default/n");
    let leader = InstanceId::random();
    let head = registry.acquire(leader, LONG).await.expect("an answer");
    let head = head.expect("the lease");
    let author = model::Author::Leader {
        instance: leader,
        term: head.term,
    };
    let changes = vec![verdict("n", position.revision, Health::Up)];
    let commit = Commit {
        epoch: Some(position.epoch),
        ..Commit::new(author, changes)
    };
    let committed = registry.commit(commit).await.expect("a commit");
    assert_eq!(committed.refused, []);
    assert_eq!(redis.stored("servers", "default/n"), text);
}

/// Moves each key to the name that follows it, all at once.
const MOVE: &str = "for i = 1, #KEYS, 2 do redis.call('DEL', KEYS[i + 1]) \
    if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('RENAME', KEYS[i], KEYS[i + 1]) end end";

/// Puts what one fleet of this Redis has under another's name, as other hands might.
fn move_fleet(redis: &RedisServer, from: &str) {
    let names = [
        "head", "pools", "servers", "health", "holds", "log", "history",
    ];
    let pair = |name| [format!("roundhouse:{{{from}}}:{name}"), key(name)];
    let keys: Vec<_> = names.into_iter().flat_map(pair).collect();
    let count = keys.len().to_string();
    let mut command = vec!["EVAL", MOVE, &count];
    command.extend(keys.iter().map(String::as_str));
    redis.command(&command);
}

#[tokio::test]
async fn another_fleet_under_this_name_takes_no_pool_away_by_itself() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let commit = Commit::new(operator(), vec![put("a", 1), put("b", 2), put("c", 3)]);
    let committed = registry.commit(commit).await.expect("a commit");
    let (log, _guard) = Log::of_this_thread();
    let mut following = Following::start(&registry, guarded());
    following.until_at(committed.position).await;
    let staging = "staging".parse().expect("a name");
    let options = registry::Options::new(redis.url().as_str(), staging);
    let other = registry::open(&options).expect("a URL");
    assert_eq!(other.seed(&first_snapshot()).await, Ok(true));
    let commit = Commit::new(operator(), vec![put("z", 9)]);
    other.commit(commit).await.expect("a commit");
    move_fleet(&redis, "staging");
    let view = following
        .until("the hold", |view| !view.holds.is_empty())
        .await;
    let snapshot = shown(&view);
    assert_eq!(snapshot.servers.len(), 4, "its own three, and the new one");
    assert_eq!(view.holds[0].size(), 3);
    assert_eq!(log.count("the registry's history is another one"), 1);
    assert_eq!(log.count("held back what would take servers away"), 1);
    following.stop().await;
}

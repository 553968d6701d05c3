//! What a newer version wrote, and this one cannot read or does not know: shown to be there, never written over, and removed
//! only by name.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use model::{Author, Change, Collection, Snapshot};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use registry::testing::RedisServer;
use registry::{Commit, Committing, Memory, Options, Reading};
use serde_json::{Map, Value, json};

use crate::harness::{Answer, Fixture, args, new_fleet, within};

const WARMING: &str = "/v1/pools/default/servers/s7";
const SERVERS: &str = "/v1/pools/default/servers";

fn clairvoyant(id: &str) -> Value {
    json!({"id": id, "algorithm": "clairvoyant"})
}

/// A server in a state that this version does not know.
fn warming() -> Value {
    json!({"pool": "default", "id": "s7", "address": "10.0.0.7:80", "state": "warming"})
}

/// The API over a Redis in which a newer version has written a pool, a server and a route.
async fn newer_fleet() -> (RedisServer, Fixture) {
    let redis = RedisServer::start();
    let options = Options::new(redis.url().as_str(), model::FleetName::standard());
    let registry = registry::open(&options).expect("a URL");
    let seeded = registry.seed(&new_fleet()).await;
    assert_eq!(seeded, Ok(true));
    redis.commit_as_newer(&[
        ("pools", "new", Some(clairvoyant("new"))),
        ("servers", "default/s7", Some(warming())),
        ("weather", "r1", Some(json!({"to": "new"}))),
    ]);
    let fixture = Fixture::over(registry, args()).await;
    within(fixture.api.ready()).await;
    (redis, fixture)
}

/// Everything of the newer version's, as it is stored.
fn stored(redis: &RedisServer) -> [Option<String>; 3] {
    [
        redis.stored("pools", "new"),
        redis.stored("servers", "default/s7"),
        redis.stored("weather", "r1"),
    ]
}

#[track_caller]
fn refused(answer: Answer, name: &str) {
    let answer = answer.expect(StatusCode::CONFLICT);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.body["type"], "urn:roundhouse:problem:unread");
    let says = |text| answer.detail().contains(text);
    let told = says(name) && says("through that version") && says("DELETE");
    assert!(told, "{}", answer.detail());
}

#[tokio::test]
async fn what_only_a_newer_version_can_read_is_not_written_over() {
    let (redis, fixture) = newer_fleet().await;
    let before = stored(&redis);
    let server = json!({"address": "10.0.0.1:80"});
    refused(
        fixture.put("/v1/pools/new", json!({})).await,
        "pool \"new\"",
    );
    refused(
        fixture
            .patch("/v1/pools/new", json!({"slow_start": "1s"}))
            .await,
        "pool \"new\"",
    );
    refused(
        fixture.post("/v1/pools", json!({"id": "new"})).await,
        "pool \"new\"",
    );
    refused(
        fixture.put(WARMING, server.clone()).await,
        "server \"default/s7\"",
    );
    refused(
        fixture.patch(WARMING, json!({"weight": 2})).await,
        "server \"default/s7\"",
    );
    let named = json!({"id": "s7", "address": "10.0.0.1:80"});
    refused(fixture.post(SERVERS, named).await, "server \"default/s7\"");
    let registration = "/v1/registrations/default/s7";
    refused(
        fixture.put(registration, server.clone()).await,
        "server \"default/s7\"",
    );
    for path in ["/v1/pools/new", WARMING] {
        let name = path.rsplit('/').next().expect("a name");
        refused(fixture.get(path).await, name);
    }
    assert_eq!(stored(&redis), before);
    // One whose author gives it no name gets another one.
    let added = fixture
        .post(SERVERS, server)
        .await
        .expect(StatusCode::CREATED);
    assert_eq!(added.body["id"], "s8");
    let status = fixture.get("/v1/status").await.body;
    let alarms = status["alarms"].as_array().expect("a list").iter();
    let faults = alarms.filter(|alarm| alarm["kind"] == "fault");
    let mut subjects: Vec<_> = faults.map(|alarm| alarm["subject"].as_str()).collect();
    subjects.sort_unstable();
    assert_eq!(
        subjects,
        [
            Some("pools new"),
            Some("servers default/s7"),
            Some("weather *")
        ]
    );
    assert_eq!(stored(&redis), before);
}

#[tokio::test]
async fn what_other_hands_wrote_a_moment_ago_and_it_cannot_read_is_not_written_over_either() {
    let (redis, fixture) = newer_fleet().await;
    let pool = json!({"id": "web", "slow_start": "1s"});
    let made = fixture.post("/v1/pools", pool).await;
    made.expect(StatusCode::CREATED);
    let hash = "roundhouse:{main}:pools";
    let stored = || redis.stored("pools", "web").expect("it is there");
    // What it can read goes, whoever wrote it and in whatever words.
    let by_hand = stored().replace("\"value\":{", "\"value\":{ ");
    assert_ne!(by_hand, stored());
    redis.command(&["HSET", hash, "web", &by_hand]);
    let patch = json!({"slow_start": "3s"});
    let patched = fixture.patch("/v1/pools/web", patch).await;
    assert_eq!(patched.expect(StatusCode::OK).body["slow_start"], "3s");
    let own = stored();
    let broken = own.replace("round_robin", "clairvoyant");
    assert_ne!(broken, own);
    redis.command(&["HSET", hash, "web", &broken]);
    redis.command(&["HSET", hash, "late", &broken.replace("web", "late")]);
    let document = |id: &str| json!({"pools": [{"id": id}]});
    for (method, path, body) in [
        ("PATCH", "/v1/pools/web", json!({"slow_start": "2s"})),
        ("PUT", "/v1/pools/web", json!({})),
        ("PUT", "/v1/import", document("web")),
        ("PUT", "/v1/pools/late", json!({})),
        ("POST", "/v1/pools", json!({"id": "late"})),
        ("PUT", "/v1/import", document("late")),
    ] {
        let sent = format!("{path} {body}");
        let name = if sent.contains("late") { "late" } else { "web" };
        let answer = fixture.request(method, path).json(&body).send().await;
        refused(answer, &format!("pool {name:?}"));
    }
    assert_eq!(stored(), broken);
}

#[tokio::test]
async fn what_other_hands_wrote_is_named_by_who_runs_already() {
    let (redis, fixture) = newer_fleet().await;
    let before = fixture.get("/v1/status").await.body;
    assert!(!before["alarms"].to_string().contains("damage"), "{before}");
    redis.command(&["HSET", "roundhouse:{main}:pools", "junk", "nonsense"]);
    within(async {
        loop {
            let alarms = fixture.get("/v1/status").await.body["alarms"].clone();
            let named = |kind: &str, subject: &str| {
                let mut all = alarms.as_array().expect("a list").iter();
                all.any(|alarm| alarm["kind"] == kind && alarm["subject"] == subject)
            };
            if named("damage", "pools *") && named("fault", "pools junk") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_other_hands_wrote_becomes_a_revision_where_a_change_asks_for_the_same() {
    let (redis, fixture) = newer_fleet().await;
    let pool = json!({"id": "web", "slow_start": "1s"});
    let made = fixture.post("/v1/pools", pool).await;
    made.expect(StatusCode::CREATED);
    let hash = "roundhouse:{main}:pools";
    let stored = redis.stored("pools", "web").expect("it is there");
    let by_hand = stored.replace("1s", "3s");
    assert_ne!(by_hand, stored);
    let as_by_hand = json!({"slow_start": "3s"});
    redis.command(&["HSET", hash, "web", &by_hand]);
    let options = Options::new(redis.url().as_str(), model::FleetName::standard());
    let registry = registry::open(&options).expect("a URL");
    let later = Fixture::start_over(registry).await;
    // Who has never seen it otherwise comes first: once a revision tells of it, nobody doubts it.
    for fixture in [&later, &fixture] {
        redis.command(&["HSET", hash, "web", &by_hand]);
        let before = fixture.position().await.revision;
        let patched = fixture.patch("/v1/pools/web", as_by_hand.clone()).await;
        patched.expect(StatusCode::OK);
        assert_eq!(fixture.position().await.revision, before.next());
    }
}

#[tokio::test]
async fn what_only_a_newer_version_can_read_can_be_removed_and_made_anew() {
    let (redis, fixture) = newer_fleet().await;
    let in_new = json!({"id": "a", "address": "10.0.0.1:80"});
    let added = fixture.post("/v1/pools/new/servers", in_new).await;
    added.expect(StatusCode::CREATED);
    let listed = fixture
        .get("/v1/pools/new/servers")
        .await
        .expect(StatusCode::OK);
    assert_eq!(listed.body[0]["id"], "a");
    let draining = json!({"state": "draining"});
    let drained = fixture.patch("/v1/pools/new/servers/a", draining).await;
    drained.expect(StatusCode::OK);
    let in_use = fixture
        .delete("/v1/pools/new")
        .await
        .expect(StatusCode::CONFLICT);
    assert!(in_use.detail().contains("1 server"), "{}", in_use.detail());
    let gone = fixture.delete("/v1/pools/new/servers/a").await;
    gone.expect(StatusCode::OK);

    let stale = fixture
        .request("DELETE", WARMING)
        .header("if-match", "\"1\"");
    stale.send().await.expect(StatusCode::PRECONDITION_FAILED);
    let present = fixture
        .request("DELETE", WARMING)
        .header("if-match", "\"2\"");
    present.send().await.expect(StatusCode::OK);
    fixture.delete("/v1/pools/new").await.expect(StatusCode::OK);
    fixture
        .delete("/v1/pools/new")
        .await
        .expect(StatusCode::NOT_FOUND);
    assert_eq!(stored(&redis)[..2], [None, None]);
    assert!(stored(&redis)[2].is_some());
    let anew = fixture.put("/v1/pools/new", json!({})).await;
    anew.expect(StatusCode::CREATED);
    let anew = fixture
        .put(WARMING, json!({"address": "10.0.0.7:80"}))
        .await;
    anew.expect(StatusCode::CREATED);
    let read = fixture.registry.snapshot().await.expect("an answer");
    assert_eq!(read.expect("a fleet").damage, []);
}

#[tokio::test]
async fn the_last_good_element_is_shown_and_not_put_back() {
    let (redis, fixture) = newer_fleet().await;
    let made = fixture
        .post("/v1/pools", json!({"id": "web", "algorithm": "p2c"}))
        .await;
    let tag = made.expect(StatusCode::CREATED).header("etag").to_owned();
    redis.commit_as_newer(&[("pools", "web", Some(clairvoyant("web")))]);
    let text = redis.stored("pools", "web");
    let is_followed = async {
        loop {
            let status = fixture.get("/v1/status").await.body;
            if status["alarms"].to_string().contains("pools web") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(is_followed).await;
    let shown = fixture.get("/v1/pools/web").await.expect(StatusCode::OK);
    assert_eq!(shown.body["algorithm"], "p2c");
    refused(
        fixture
            .patch("/v1/pools/web", json!({"slow_start": "1s"}))
            .await,
        "pool \"web\"",
    );
    refused(
        fixture.put("/v1/pools/web", json!({})).await,
        "pool \"web\"",
    );
    let conditional = fixture
        .request("PUT", "/v1/pools/web")
        .header("if-match", &tag);
    let conditional = conditional.json(&json!({})).send().await;
    conditional.expect(StatusCode::PRECONDITION_FAILED);
    let export = fixture.get("/v1/export").await.body;
    assert_eq!(export["pools"].as_array().map(Vec::len), Some(1));
    assert_eq!(redis.stored("pools", "web"), text);
}

#[tokio::test]
async fn documents_leave_what_only_a_newer_version_can_read_where_it_is() {
    let (redis, fixture) = newer_fleet().await;
    let before = stored(&redis);
    let export = fixture.get("/v1/export").await.expect(StatusCode::OK).body;
    assert_eq!(export["pools"].as_array().map(Vec::len), Some(1));
    assert_eq!(export["servers"], json!([]));
    let mut document = export.clone();
    document["servers"] = json!([
        {"pool": "default", "id": "a", "address": "10.0.0.1:80"},
        {"pool": "new", "id": "b", "address": "10.0.0.2:80"},
    ]);
    for path in ["/v1/import", "/v1/import?prune=true"] {
        let imported = fixture.put(path, document.clone()).await;
        imported.expect(StatusCode::OK);
        assert_eq!(stored(&redis), before, "{path}");
    }
    let emptied = fixture.put("/v1/import?prune=true", export).await;
    emptied.expect(StatusCode::OK);
    assert_eq!(stored(&redis), before);
    for (document, name) in [
        (json!({"pools": [{"id": "new"}]}), "pool \"new\""),
        (
            json!({"servers": [{"pool": "default", "id": "s7", "address": "10.0.0.1:80"}]}),
            "server \"default/s7\"",
        ),
    ] {
        refused(fixture.put("/v1/import", document.clone()).await, name);
        refused(fixture.put("/v1/import?dry_run=true", document).await, name);
    }
    assert_eq!(stored(&redis), before);
}

#[tokio::test]
async fn a_restore_leaves_what_only_a_newer_version_can_read_or_is_refused() {
    let (redis, fixture) = newer_fleet().await;
    let before = stored(&redis);
    let made = fixture.post("/v1/pools", json!({"id": "web"})).await;
    made.expect(StatusCode::CREATED);
    fixture.add("a", "10.0.0.1:80").await;
    let restored = fixture.post("/v1/revisions/2/restore", json!({})).await;
    let restored = restored.expect(StatusCode::OK);
    assert_eq!(restored.body["changed"], true);
    assert_eq!(stored(&redis), before);
    let position = fixture.position().await;
    let again = fixture.post("/v1/revisions/3/restore", json!({})).await;
    again.expect(StatusCode::OK);
    // Since then a newer version has made of a pool what this one cannot read.
    redis.commit_as_newer(&[("pools", "web", Some(clairvoyant("web")))]);
    let web = redis.stored("pools", "web");
    fixture.add("b", "10.0.0.2:80").await;
    let back = fixture.post("/v1/revisions/3/restore", json!({})).await;
    refused(back, "pool \"web\"");
    // Before it was made there was none, and yet what there is stays.
    let path = format!("/v1/revisions/{}/restore", position.revision);
    fixture.post(&path, json!({})).await.expect(StatusCode::OK);
    assert_eq!(
        (redis.stored("pools", "web"), stored(&redis)),
        (web, before)
    );
    let revisions = fixture.get("/v1/revisions").await.expect(StatusCode::OK);
    let revisions = revisions.body.as_array().expect("a list").clone();
    let newer = revisions.iter().find(|it| it["revision"] == 2);
    assert_eq!(
        newer.expect("it is there")["changes"][2]["collection"],
        "weather"
    );
}

#[tokio::test]
async fn a_pool_that_everybody_needs_stays_though_it_cannot_be_read() {
    let memory = Arc::new(Memory::new());
    let mut snapshot: Snapshot = new_fleet();
    let text = format!(
        r#"{{"revision":1,"created":1,"ordinal":0,"incarnation":1,"value":{}}}"#,
        clairvoyant("default")
    );
    snapshot.apply_stored(Collection::Pools, b"default", text.as_bytes());
    assert_eq!(memory.seed(&snapshot).await, Ok(true));
    let fixture = Fixture::over(memory, args()).await;
    within(fixture.api.ready()).await;
    let removed = fixture.delete("/v1/pools/default").await;
    let removed = removed.expect(StatusCode::CONFLICT);
    assert_eq!(removed.body["type"], "urn:roundhouse:problem:in-use");
    fixture.add("a", "10.0.0.1:80").await;
    let server = json!({"pool": "default", "id": "b", "address": "10.0.0.2:80"});
    let imported = fixture
        .put("/v1/import", json!({"servers": [server]}))
        .await;
    imported.expect(StatusCode::OK);
}

/// Any JSON, a few levels deep.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Fields with names that no version has, or only a newer one, whatever signs are in them.
fn more() -> impl Strategy<Value = Map<String, Value>> {
    let fields = prop::collection::btree_map("x[./~\"é a-z]{0,6}", json_value(), 0..4);
    fields.prop_map(|fields| fields.into_iter().collect())
}

/// The parts of a pool that are objects.
const PARTS: [&str; 8] = [
    "hash", "health", "outlier", "retry", "timeouts", "queue", "circuit", "guard",
];

/// A pool and a server with more fields than this version knows, in each of their parts.
fn elements() -> impl Strategy<Value = (Value, Value)> {
    let parts = prop::collection::vec(more(), PARTS.len());
    (more(), parts, more()).prop_map(|(pool, parts, server)| {
        let mut pool = pool;
        pool.insert("id".into(), json!("web"));
        for (name, part) in PARTS.iter().zip(parts) {
            pool.insert((*name).into(), Value::Object(part));
        }
        let mut server = server;
        server.insert("pool".into(), json!("web"));
        server.insert("id".into(), json!("a"));
        server.insert("address".into(), json!("10.0.0.1:80"));
        (Value::Object(pool), Value::Object(server))
    })
}

/// Whether all that is in the one is in the other as well.
fn holds(whole: &Value, part: &Value) -> bool {
    let Value::Object(fields) = part else {
        return whole == part;
    };
    fields.iter().all(|(name, value)| {
        let found = whole.get(name);
        let is_part = PARTS.contains(&name.as_str());
        found.is_some_and(|found| {
            if is_part {
                holds(found, value)
            } else {
                found == value
            }
        })
    })
}

async fn keeps_more_fields((pool, server): (Value, Value)) {
    let memory = Arc::new(Memory::new());
    let mut snapshot: Snapshot = new_fleet();
    for (collection, key, value) in [
        (Collection::Pools, "web", &pool),
        (Collection::Servers, "web/a", &server),
    ] {
        let text =
            format!(r#"{{"revision":1,"created":1,"ordinal":0,"incarnation":1,"value":{value}}}"#);
        snapshot.apply_stored(collection, key.as_bytes(), text.as_bytes());
    }
    assert_eq!(snapshot.faults, []);
    assert_eq!(memory.seed(&snapshot).await, Ok(true));
    let fixture = Fixture::over(memory.clone(), args()).await;
    within(fixture.api.ready()).await;
    let check = async |what: &str| {
        let read = memory
            .snapshot()
            .await
            .expect("an answer")
            .expect("a fleet");
        let saved = serde_json::to_value(&read.snapshot).expect("JSON");
        let stored = |collection: &str, key: &str| saved[collection][key]["value"].clone();
        assert!(holds(&stored("pools", "web"), &pool), "{what}: {saved}");
        let server_after = stored("servers", "web/a");
        assert!(holds(&server_after, &server), "{what}: {saved}");
    };
    let (pool_path, server_path) = ("/v1/pools/web", "/v1/pools/web/servers/a");
    let patch = json!({"slow_start": "2s", "health": {"rise": 3}});
    fixture.patch(pool_path, patch).await.expect(StatusCode::OK);
    let patch = json!({"weight": 7});
    fixture
        .patch(server_path, patch)
        .await
        .expect(StatusCode::OK);
    check("patched").await;
    // What was read is sent back as it was.
    for path in [pool_path, server_path] {
        let read = fixture.get(path).await.expect(StatusCode::OK).body;
        fixture.put(path, read).await.expect(StatusCode::OK);
    }
    check("sent back").await;
    // And who sends the whole without them takes none away.
    let whole = json!({"algorithm": "p2c"});
    fixture.put(pool_path, whole).await.expect(StatusCode::OK);
    let whole = json!({"address": "10.0.0.1:80", "weight": 3});
    fixture.put(server_path, whole).await.expect(StatusCode::OK);
    check("replaced").await;
    let registration = "/v1/registrations/web/a";
    let moved = json!({"address": "10.0.0.9:80"});
    let document = json!({"pools": [{"id": "web"}], "servers": [{"pool": "web", "id": "a", "address": "10.0.0.1:80"}]});
    fixture
        .put("/v1/import", document)
        .await
        .expect(StatusCode::OK);
    check("imported").await;
    fixture
        .put(registration, moved)
        .await
        .expect(StatusCode::OK);
    let back = json!({"address": "10.0.0.1:80"});
    fixture.put(registration, back).await.expect(StatusCode::OK);
    check("registered").await;
}

#[test]
fn fields_of_a_newer_version_outlive_every_way_of_writing_an_element() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut runner = TestRunner::new(Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&elements(), |elements| {
        runtime.block_on(keeps_more_fields(elements));
        Ok(())
    });
    outcome.expect("every field stays");
}

#[tokio::test]
async fn what_an_older_version_took_is_read_and_made_right_by_who_changes_it() {
    let fixture = Fixture::start().await;
    let route = json!({
        "id": "old", "match": {"methods": ["get"], "networks": ["10.1.2.3/8"]},
        "action": {"pool": "default"},
    });
    let refused = fixture.post("/v1/routes", route.clone()).await;
    let refused = refused.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.fields(), ["match.methods", "match.networks[0]"]);
    let rule = |index: usize| refused.body["errors"][index]["rule"].as_str();
    assert!(rule(0).is_some_and(|rule| rule.contains("\"GET\"")));
    assert!(rule(1).is_some_and(|rule| rule.contains("10.0.0.0/8")));
    let stored: model::Route = serde_json::from_value(route.clone()).expect("a route");
    let change = Change::Route(stored.id.clone(), Some(Box::new(stored)));
    let author = Author::Operator {
        name: "older".into(),
    };
    let commit = Commit::new(author, vec![change]);
    fixture.registry.commit(commit).await.expect("committed");
    let shown = within(async {
        loop {
            let shown = fixture.get("/v1/routes/old").await;
            if shown.status == StatusCode::OK {
                return shown;
            }
            tokio::task::yield_now().await;
        }
    });
    let shown = shown.await;
    assert_eq!(shown.body["match"]["networks"], json!(["10.1.2.3/8"]));
    let status = fixture.get("/v1/status").await.body;
    let alarms = status["alarms"].as_array().expect("alarms");
    assert!(alarms.iter().all(|it| it["kind"] != "fault"), "{status}");
    // Whoever sends it back as it is has made no mistake.
    let document = json!({"routes": [route]});
    fixture
        .put("/v1/import", document)
        .await
        .expect(StatusCode::OK);
    let change = json!({"priority": 1});
    let patched = fixture.patch("/v1/routes/old", change).await;
    patched.expect(StatusCode::UNPROCESSABLE_ENTITY);
    let right = json!({"match": {"methods": ["GET"], "networks": ["10.0.0.0/8"]}, "priority": 1});
    let patched = fixture.patch("/v1/routes/old", right).await;
    patched.expect(StatusCode::OK);
}

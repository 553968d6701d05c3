//! `/v1/export` and `/v1/import`: the whole desired state as one document.

use std::sync::Arc;

use hyper::StatusCode;
use model::{
    Algorithm, Author, Change, Fleet, Pool, PoolId, Server, ServerKey, ServerState, Snapshot,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use registry::{Commit, Committing, Memory};
use serde_json::{Value, json};

use crate::harness::{Answer, Fixture, args, new_fleet, within};

const IMPORT: &str = "/v1/import";

fn server(id: &str, port: u16) -> Value {
    json!({"pool": "default", "id": id, "address": format!("10.0.0.1:{port}")})
}

fn told(answer: &Answer) -> Vec<(&str, &str)> {
    let changes = answer.body["changes"].as_array().unwrap().iter();
    changes
        .map(|it| (it["change"].as_str().unwrap(), it["key"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn an_export_is_sorted_and_without_stamps_or_health() {
    let fixture = Fixture::start().await;
    fixture.add("b", "10.0.0.2:80").await;
    fixture.add("a", "10.0.0.1:80").await;
    let export = fixture.get("/v1/export").await.expect(StatusCode::OK);
    assert_eq!(export.body["pools"][0]["id"], "default");
    let servers = json!([
        {"pool": "default", "id": "a", "address": "10.0.0.1:80", "weight": 1, "zone": "", "state": "active"},
        {"pool": "default", "id": "b", "address": "10.0.0.2:80", "weight": 1, "zone": "", "state": "active"},
    ]);
    assert_eq!(export.body["servers"], servers);
    let tag = export.header("etag");
    assert_eq!(tag, "\"3\"");
    let again = fixture.request("GET", "/v1/export");
    let again = again.header("if-none-match", tag).send().await;
    again.expect(StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn an_import_is_one_revision_that_tells_what_it_changed() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:1").await;
    fixture.add("z", "10.0.0.1:9").await;
    let document = json!({
        "pools": [{"id": "web"}],
        "servers": [
            {"pool": "default", "id": "a", "address": "10.0.0.1:1", "weight": 5},
            {"pool": "web", "id": "b", "address": "10.0.0.1:1"},
        ],
    });
    let dry = fixture
        .put("/v1/import?dry_run=true", document.clone())
        .await;
    let dry = dry.expect(StatusCode::OK);
    assert_eq!(
        (&dry.body["dry_run"], &dry.body["revision"]),
        (&json!(true), &json!(3))
    );
    assert_eq!(fixture.position().await.revision.0, 3);
    let answer = fixture.put(IMPORT, document.clone()).await;
    let answer = answer.expect(StatusCode::OK);
    assert_eq!(
        (&answer.body["revision"], &answer.body["changed"]),
        (&json!(4), &json!(true))
    );
    let expected = [
        ("created", "web"),
        ("changed", "default/a"),
        ("created", "web/b"),
    ];
    assert_eq!(told(&answer), expected);
    assert_eq!(answer.body["changes"], dry.body["changes"]);
    let weight = json!([{"path": "/weight", "before": 1, "after": 5}]);
    assert_eq!(answer.body["changes"][1]["diff"], weight);
    // Without prune nothing is removed, and a second time nothing is left to do.
    fixture
        .get("/v1/pools/default/servers/z")
        .await
        .expect(StatusCode::OK);
    let again = fixture.put(IMPORT, document).await.expect(StatusCode::OK);
    assert_eq!(
        again.body,
        json!({"revision": 4, "changed": false, "changes": []})
    );
    assert_eq!(fixture.position().await.revision.0, 4);
}

#[tokio::test]
async fn with_prune_what_the_document_does_not_hold_is_removed() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:1").await;
    fixture.add("z", "10.0.0.1:9").await;
    let pool = fixture.post("/v1/pools", json!({"id": "web"})).await;
    pool.expect(StatusCode::CREATED);
    let prune = "/v1/import?prune=true";
    for (document, field) in [
        (json!({"pools": [], "servers": []}), "pools"),
        (
            json!({"pools": [{"id": "default"}], "servers": [
            {"pool": "web", "id": "a", "address": "10.0.0.1:1"}]}),
            "servers[web/a].pool",
        ),
    ] {
        let answer = fixture.put(prune, document).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field], "{}", answer.detail());
    }
    let servers = json!({"servers": [server("a", 1)]});
    let answer = fixture.put(prune, servers).await.expect(StatusCode::OK);
    assert_eq!(told(&answer), [("removed", "default/z")]);
    let pools = json!({"pools": [{"id": "default"}]});
    let answer = fixture.put(prune, pools).await.expect(StatusCode::OK);
    assert_eq!(told(&answer), [("removed", "web")]);
    let export = fixture.get("/v1/export").await.body;
    assert_eq!(export["servers"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_document_is_named_by_element_and_field() {
    let fixture = Fixture::start().await;
    fixture.add("old", "10.0.0.9:9").await;
    let document = json!({
        "pools": [{"id": "web", "retry": {"retries": 99}}, {"id": "bad name"}, 7],
        "servers": [
            {"pool": "default", "id": "a", "address": "10.0.0.1:1", "weight": 1001},
            {"pool": "default", "id": "b", "address": "10.0.0.1"},
            {"pool": "default", "address": "10.0.0.3:1"},
        ],
        "weather": [],
    });
    let answer = fixture.put(IMPORT, document).await;
    let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
    // Both what is so of the document alone and what turns out beside the fleet.
    let fields = [
        "pools[1].id",
        "pools[2]",
        "pools[web].retry.retries",
        "servers[default/a].weight",
        "servers[default/b].address",
        "servers[2].id",
        "weather",
    ];
    let mut found = answer.fields();
    found.sort_unstable();
    let mut expected = fields.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for (servers, field) in [
        (
            json!([{"pool": "default", "id": "a", "address": "10.0.0.1:1", "weight": 1001}]),
            "servers[default/a].weight",
        ),
        (
            json!([{"pool": "default", "id": "a", "address": "10.0.0.1:1", "wieght": 1}]),
            "servers[default/a].wieght",
        ),
        (
            json!([{"pool": "none", "id": "a", "address": "10.0.0.1:1"}]),
            "servers[none/a].pool",
        ),
        (
            json!([server("a", 1), server("a", 2)]),
            "servers[default/a]",
        ),
        (
            json!([server("a", 1), server("b", 1)]),
            "servers[default/b].address",
        ),
        (
            json!([{"pool": "default", "id": "new", "address": "10.0.0.9:9"}]),
            "servers[default/new].address",
        ),
    ] {
        let answer = fixture.put(IMPORT, json!({"servers": servers})).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field], "{}", answer.detail());
    }
    for (query, field) in [
        ("dry_run=yes", "dry_run"),
        ("prune=", "prune"),
        ("wait=drained", "wait"),
        ("dry_run=true&wait=applied", "wait"),
    ] {
        let answer = fixture.put(&format!("{IMPORT}?{query}"), json!({})).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field]);
    }
    assert_eq!(fixture.position().await.revision.0, 2);
}

#[tokio::test]
async fn all_that_is_wrong_with_an_element_and_what_it_names_is_said_at_once() {
    let fixture = Fixture::start().await;
    fixture.add("old", "10.0.0.9:9").await;
    let before = fixture.position().await;
    let server = |id: &str, address: &str, weight: Value| json!({"pool": "default", "id": id, "address": address, "weight": weight});
    let document = json!({
        "pools": [{"id": "web", "algorithm": "best", "retry": {"retries": "x"}, "helth": {}, "limits": ["none"]}],
        "servers": [
            server("a", "10.0.0.9", json!("x")),
            {"pool": "web", "id": "b"},
            server("c", "10.0.0.9:9", json!(1001)),
            // What it had is free, although what it is to be cannot be read.
            {"pool": "default", "id": "old", "address": "nowhere"},
            {"pool": "gone", "id": "d", "address": "10.0.0.4:1"},
        ],
        "routes": [
            {"id": "api", "action": {"pool": "nowhere"}, "priority": "first"},
            {"id": "web", "action": {"pool": "web"}},
        ],
    });
    for path in [IMPORT, "/v1/import?dry_run=true"] {
        let answer = fixture.put(path, document.clone()).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        let mut found = answer.fields();
        let first = format!("{}: ", found[0]);
        assert!(answer.detail().starts_with(&first), "{}", answer.detail());
        assert!(
            answer.detail().ends_with("; and 11 more"),
            "{}",
            answer.detail()
        );
        found.sort_unstable();
        let expected = [
            "pools[web].algorithm",
            "pools[web].helth",
            "pools[web].limits[0]",
            "pools[web].retry.retries",
            "routes[api].action.pool",
            "routes[api].priority",
            "servers[default/a].address",
            "servers[default/a].weight",
            "servers[default/c].weight",
            "servers[default/old].address",
            "servers[gone/d].pool",
            "servers[web/b].address",
        ];
        assert_eq!(found, expected, "{}", answer.body);
    }
    assert_eq!(fixture.position().await, before, "no revision was made");
}

#[tokio::test]
async fn of_many_faults_twenty_are_named_and_the_others_counted() {
    let fixture = Fixture::start().await;
    let wrong = |port: u16| {
        let mut server = server(&format!("s{port}"), port);
        server["weight"] = json!("x");
        server
    };
    let servers: Vec<_> = (1..=30).map(wrong).collect();
    let answer = fixture.put(IMPORT, json!({"servers": servers})).await;
    let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.fields().len(), 20);
    assert_eq!(answer.body["more"], 10);
    assert!(
        answer.detail().ends_with("; and 29 more"),
        "{}",
        answer.detail()
    );
}

#[tokio::test]
async fn servers_of_one_document_may_change_places() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:1").await;
    fixture.add("b", "10.0.0.1:2").await;
    let document = json!({"servers": [server("a", 2), server("b", 1)]});
    let answer = fixture.put(IMPORT, document).await.expect(StatusCode::OK);
    assert_eq!(told(&answer).len(), 2);
}

#[tokio::test]
async fn of_two_servers_at_one_address_the_one_that_comes_is_wrong() {
    let fixture = Fixture::start().await;
    fixture.add("m", "10.0.0.1:1").await;
    for id in ["a", "z"] {
        let answer = fixture
            .put(IMPORT, json!({"servers": [server(id, 1)]}))
            .await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [format!("servers[default/{id}].address")]);
        assert!(answer.detail().contains("default/m"), "{}", answer.detail());
    }
}

#[tokio::test]
async fn a_name_is_looked_up_and_one_beside_an_address_is_kept() {
    let fixture = Fixture::start().await;
    let named = json!({"pool": "default", "id": "a", "address": "localhost:1"});
    let kept =
        json!({"pool": "default", "id": "b", "address": "10.0.0.1:1", "hostname": "b.internal"});
    let document = json!({"servers": [named, kept]});
    fixture.put(IMPORT, document).await.expect(StatusCode::OK);
    let export = fixture.get("/v1/export").await.body;
    let name = |index: usize| &export["servers"][index]["hostname"];
    assert_eq!(
        (name(0), name(1)),
        (&json!("localhost"), &json!("b.internal"))
    );
    let other = Fixture::start().await;
    other
        .put(IMPORT, export.clone())
        .await
        .expect(StatusCode::OK);
    assert_eq!(other.get("/v1/export").await.body, export);
    let mut wrong = server("c", 3);
    wrong["hostname"] = json!("no name");
    let answer = other.put(IMPORT, json!({"servers": [wrong]})).await;
    let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.fields(), ["servers[default/c].hostname"]);
}

#[tokio::test]
async fn an_import_is_made_under_conditions_and_once() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:1").await;
    let document = json!({"servers": [server("b", 2)]});
    let stale = fixture.request("PUT", IMPORT).header("if-match", "\"1\"");
    let stale = stale.json(&document).send().await;
    stale.expect(StatusCode::PRECONDITION_FAILED);
    let send = |path, key| {
        let call = fixture.request("PUT", path).header("idempotency-key", key);
        call.json(&document).send()
    };
    let first = send(IMPORT, "k1").await.expect(StatusCode::OK);
    let path = "/v1/pools/default/servers/b";
    fixture.delete(path).await.expect(StatusCode::OK);
    let again = send(IMPORT, "k1").await.expect(StatusCode::OK);
    assert_eq!(again.body, first.body);
    fixture.get(path).await.expect(StatusCode::NOT_FOUND);
    let pruning = send("/v1/import?prune=true", "k1").await;
    pruning.expect(StatusCode::UNPROCESSABLE_ENTITY);
}

/// A pool of any name with any of a few settings, one of which this version does not know.
fn pools() -> impl Strategy<Value = Vec<Pool>> {
    let pool = (
        "[a-z][a-z0-9_.-]{0,9}",
        0..=10_u32,
        0.0..=1.0_f64,
        any::<Option<i64>>(),
    );
    let pool = pool.prop_map(|(id, retries, share, unknown)| {
        let mut pool = Pool::new(id.parse().unwrap());
        pool.algorithm = match retries % 3 {
            0 => Algorithm::RoundRobin,
            1 => Algorithm::P2c,
            _ => Algorithm::IpHash,
        };
        pool.retry.retries = retries;
        pool.guard.withdrawal_share = share;
        let unknown = unknown.map(|value| ("from_the_future".to_owned(), json!({"a": value})));
        pool.health.unknown.0.extend(unknown.clone());
        pool.unknown.0.extend(unknown);
        pool
    });
    prop::collection::vec(pool, 0..4)
}

/// Servers of the pool `default`, each at an address of its own.
fn servers() -> impl Strategy<Value = Vec<Server>> {
    let server = (
        "[a-zA-Z0-9][a-z0-9_.-]{0,9}",
        0..=1000_u16,
        "[a-z~: ]{0,9}",
        0..3,
        any::<Option<f64>>(),
    );
    let servers = prop::collection::vec(server, 0..6);
    servers.prop_map(|servers| {
        let numbered = servers.into_iter().zip(1_u16..);
        let server = |((id, weight, zone, state, unknown), port): (
            (String, u16, String, i32, Option<f64>),
            u16,
        )| {
            let address = ([10, 0, 0, 1], port).into();
            let mut server = Server::new(PoolId::standard(), id.parse().unwrap(), address);
            server.weight = weight;
            server.zone = zone;
            server.hostname = (port % 2 == 0).then(|| "web.internal".into());
            server.state = [
                ServerState::Active,
                ServerState::Draining,
                ServerState::Disabled,
            ][state as usize];
            let unknown = unknown.map(|value| ("rack".to_owned(), json!(value)));
            server.unknown.0.extend(unknown);
            server
        };
        numbered.map(server).collect()
    })
}

async fn export_and_import(pools: Vec<Pool>, servers: Vec<Server>) {
    let memory = Arc::new(Memory::new());
    let snapshot: Snapshot = new_fleet();
    memory.seed(&snapshot).await.unwrap();
    let pools = pools.into_iter().map(Change::put_pool);
    let servers = servers.into_iter().map(Change::put_server);
    let author = Author::Operator {
        name: "test".into(),
    };
    let commit = Commit::new(author, pools.chain(servers).collect());
    let committed = memory.commit(commit).await.unwrap();
    let fixture = Fixture::over(memory, args()).await;
    within(fixture.api.ready()).await;
    let exported = fixture.get("/v1/export").await.expect(StatusCode::OK).body;
    let fleet: Fleet = serde_json::from_value(exported.clone()).unwrap();
    let keys: Vec<&ServerKey> = fleet.servers.keys().collect();
    assert!(keys.is_sorted());
    for path in [IMPORT, "/v1/import?prune=true"] {
        let answer = fixture.put(path, exported.clone()).await;
        let answer = answer.expect(StatusCode::OK);
        assert_eq!(answer.body["changed"], false, "{}", answer.body);
    }
    assert_eq!(fixture.position().await, committed.position);
}

#[test]
fn importing_what_was_exported_changes_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    });
    let cases = (pools(), servers());
    let outcome = runner.run(&cases, |(pools, servers)| {
        runtime.block_on(export_and_import(pools, servers));
        Ok(())
    });
    outcome.unwrap();
}

//! `/v1/pools/{pool}/servers`.

use hyper::StatusCode;
use model::{Author, Change, Health, Verdict};
use registry::Commit;
use serde_json::{Value, json};

use crate::harness::Fixture;

const SERVERS: &str = "/v1/pools/default/servers";

#[tokio::test]
async fn a_server_is_added_with_an_address_alone() {
    let fixture = Fixture::start().await;
    let answer = fixture
        .post(SERVERS, json!({"address": "127.0.0.1:3009"}))
        .await;
    let answer = answer.expect(StatusCode::CREATED);
    let expected = json!({
        "id": "s1", "pool": "default", "address": "127.0.0.1:3009", "weight": 1, "zone": "",
        "state": "active", "health": "unknown", "revision": 2, "created": 2, "incarnation": 2,
    });
    assert_eq!(answer.body, expected);
    assert_eq!(answer.header("location"), "/v1/pools/default/servers/s1");
    assert_eq!(answer.header("etag"), "\"2\"");

    let found = fixture
        .get(answer.header("location"))
        .await
        .expect(StatusCode::OK);
    assert_eq!(found.body, expected);
    let listed = fixture.get(SERVERS).await.expect(StatusCode::OK);
    assert_eq!(listed.body, json!([expected]));
}

#[tokio::test]
async fn ids_are_given_in_turn_and_servers_are_listed_in_the_order_of_creation() {
    let fixture = Fixture::start().await;
    fixture.add("s9", "10.0.0.9:80").await;
    fixture.add("web", "10.0.0.1:80").await;
    let answer = fixture
        .post(SERVERS, json!({"address": "10.0.0.2:80"}))
        .await;
    assert_eq!(answer.expect(StatusCode::CREATED).body["id"], "s10");
    let listed = fixture.get(SERVERS).await.body;
    let ids: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|server| &server["id"])
        .collect();
    assert_eq!(ids, ["s9", "web", "s10"]);
}

#[tokio::test]
async fn a_server_may_be_given_by_name() {
    let fixture = Fixture::start().await;
    let answer = fixture
        .post(SERVERS, json!({"address": "localhost:3009"}))
        .await;
    let server = answer.expect(StatusCode::CREATED).body;
    assert_eq!(server["hostname"], "localhost");
    assert!(server["address"].as_str().unwrap().ends_with(":3009"));

    // The name stays while the address does, and goes with it.
    let path = "/v1/pools/default/servers/s1";
    let answer = fixture
        .patch(path, json!({"weight": 5}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(answer.body["hostname"], "localhost");
    let mut whole = answer.body;
    whole["weight"] = json!(6);
    let answer = fixture.put(path, whole).await.expect(StatusCode::OK);
    assert_eq!(
        (&answer.body["hostname"], &answer.body["weight"]),
        (&json!("localhost"), &json!(6))
    );
    let answer = fixture.patch(path, json!({"address": "10.0.0.1:80"})).await;
    assert_eq!(answer.expect(StatusCode::OK).body.get("hostname"), None);

    let answer = fixture
        .post(SERVERS, json!({"address": "no-such-host.invalid:80"}))
        .await;
    let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.fields(), ["address"]);
}

#[tokio::test]
async fn an_id_or_an_address_that_is_taken_is_a_conflict_that_names_the_other() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let same_id = fixture
        .post(SERVERS, json!({"id": "a", "address": "10.0.0.2:80"}))
        .await;
    let same_id = same_id.expect(StatusCode::CONFLICT);
    assert_eq!(same_id.fields(), ["id"]);
    assert!(
        same_id.detail().contains("default/a"),
        "{}",
        same_id.detail()
    );

    for (method, path, body) in [
        ("POST", SERVERS, json!({"address": "[::ffff:10.0.0.1]:80"})),
        (
            "PUT",
            "/v1/pools/default/servers/b",
            json!({"address": "10.0.0.1:80"}),
        ),
    ] {
        let answer = fixture.request(method, path).json(&body).send().await;
        let answer = answer.expect(StatusCode::CONFLICT);
        assert_eq!(answer.fields(), ["address"]);
        assert!(answer.detail().contains("default/a"), "{}", answer.detail());
    }
    fixture.add("b", "10.0.0.2:80").await;
    let moved = fixture
        .patch(
            "/v1/pools/default/servers/b",
            json!({"address": "10.0.0.1:80"}),
        )
        .await;
    moved.expect(StatusCode::CONFLICT);
    // Who wants it back is told how.
    for (state, told) in [
        (
            "active",
            "which is active: change that one, or remove it first",
        ),
        ("draining", "which is draining: activate that one"),
        ("disabled", "which is disabled: activate that one"),
    ] {
        let patch = json!({"state": state});
        let path = "/v1/pools/default/servers/a";
        fixture.patch(path, patch).await.expect(StatusCode::OK);
        let taken = fixture.post(SERVERS, json!({"address": "10.0.0.1:80"}));
        let taken = taken.await.expect(StatusCode::CONFLICT);
        assert!(taken.detail().contains(told), "{}", taken.detail());
    }
    // In another pool the address is free.
    fixture
        .post("/v1/pools", json!({"id": "other"}))
        .await
        .expect(StatusCode::CREATED);
    let answer = fixture
        .post("/v1/pools/other/servers", json!({"address": "10.0.0.1:80"}))
        .await;
    answer.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn put_creates_then_replaces_and_leaves_nothing_of_what_was() {
    let fixture = Fixture::start().await;
    let path = "/v1/pools/default/servers/web";
    let body = json!({"address": "10.0.0.1:80", "weight": 7, "zone": "a"});
    let created = fixture.put(path, body).await.expect(StatusCode::CREATED);
    assert_eq!(created.header("location"), path);
    let replaced = fixture
        .put(path, json!({"address": "10.0.0.1:80"}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(
        (&replaced.body["weight"], &replaced.body["zone"]),
        (&json!(1), &json!(""))
    );
    assert_eq!(
        (&replaced.body["revision"], &replaced.body["created"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(fixture.get(path).await.body, replaced.body);
}

#[tokio::test]
async fn a_put_that_changes_nothing_makes_no_revision() {
    let fixture = Fixture::start().await;
    let first = fixture.add("a", "10.0.0.1:80").await;
    let path = "/v1/pools/default/servers/a";
    let again = fixture
        .put(path, first.body.clone())
        .await
        .expect(StatusCode::OK);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("etag"), "\"2\"");
    assert_eq!(fixture.position().await.revision.0, 2);
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_a_new_address_is_a_new_incarnation() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let path = "/v1/pools/default/servers/a";
    let drained = fixture
        .patch(path, json!({"state": "draining"}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(drained.body["state"], "draining");
    assert_eq!(
        (&drained.body["revision"], &drained.body["incarnation"]),
        (&json!(3), &json!(2))
    );
    // Null takes a field back to its default.
    let reset = fixture
        .patch(path, json!({"state": null}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(reset.body["state"], "active");
    let moved = fixture
        .patch(path, json!({"address": "10.0.0.2:80"}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(
        (&moved.body["revision"], &moved.body["incarnation"]),
        (&json!(5), &json!(5))
    );
    assert_eq!(fixture.get(path).await.body, moved.body);
}

#[tokio::test]
async fn a_removed_server_is_gone_and_the_answer_has_the_revision() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let path = "/v1/pools/default/servers/a";
    let removed = fixture.delete(path).await.expect(StatusCode::OK);
    assert_eq!(
        removed.body,
        json!({"id": "a", "pool": "default", "revision": 3})
    );
    fixture.get(path).await.expect(StatusCode::NOT_FOUND);
    fixture.delete(path).await.expect(StatusCode::NOT_FOUND);
    fixture
        .patch(path, json!({"weight": 2}))
        .await
        .expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_was_found_of_a_server_is_shown_with_its_reason() {
    let fixture = Fixture::start().await;
    let added = fixture.add("a", "10.0.0.1:80").await;
    let key = "default/a".parse().unwrap();
    let verdict = Verdict {
        incarnation: model::Revision(2),
        health: Health::Down,
        reason: "status 503".into(),
        silent_ms: 0,
        unknown: model::Unknown::default(),
    };
    let name = "test".into();
    let change = Change::Verdict(key, Some(verdict));
    let commit = Commit::new(Author::Source { name }, vec![change]);
    fixture.registry.commit(commit).await.unwrap();
    let path = "/v1/pools/default/servers/a";
    // A change makes sure that the view has the verdict.
    let answer = fixture
        .patch(path, json!({"weight": 2}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(
        (&answer.body["health"], &answer.body["reason"]),
        (&json!("down"), &json!("status 503"))
    );
    // Of a new address nothing is known.
    let moved = fixture
        .patch(path, json!({"address": "10.0.0.2:80"}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(
        (&moved.body["health"], moved.body.get("reason")),
        (&json!("unknown"), None)
    );
    assert_eq!(added.body["health"], "unknown");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_server_is_named_by_field_and_nothing_is_written() {
    let fixture = Fixture::start().await;
    for (body, fields) in [
        (json!({}), vec!["address"]),
        (json!({"address": 5}), vec!["address"]),
        (json!({"address": "10.0.0.1"}), vec!["address"]),
        (json!({"address": "0.0.0.0:80"}), vec!["address"]),
        (
            json!({"address": "10.0.0.1:80", "weight": 1001}),
            vec!["weight"],
        ),
        (
            json!({"address": "10.0.0.1:80", "weight": -1}),
            vec!["weight"],
        ),
        (
            json!({"address": "10.0.0.1:80", "weight": "heavy"}),
            vec!["weight"],
        ),
        (
            json!({"address": "10.0.0.1:80", "weight": null}),
            vec!["weight"],
        ),
        (
            json!({"address": "10.0.0.1:80", "state": "asleep"}),
            vec!["state"],
        ),
        (
            json!({"address": "10.0.0.1:80", "id": "no/slash"}),
            vec!["id"],
        ),
        (
            json!({"address": "10.0.0.1:80", "pool": "other"}),
            vec!["pool"],
        ),
        (
            json!({"address": "10.0.0.1:0", "weight": 2000, "colour": "red"}),
            vec!["weight", "address", "colour"],
        ),
        (
            json!({"address": "10.0.0.1:80", "health": "up", "revision": 7}),
            vec!["health", "revision"],
        ),
    ] {
        let answer = fixture.post(SERVERS, body.clone()).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), fields, "{body}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let said = answer.detail();
        assert!(!said.contains("u16") && !said.contains('`'), "{said}");
        assert!(
            fields != ["weight"] || said.ends_with("from 0 to 1000"),
            "{said}"
        );
    }
    let path = "/v1/pools/default/servers/a";
    for (body, field) in [
        (json!({"address": "10.0.0.1:80", "id": "b"}), "id"),
        (json!({"weight": 1}), "address"),
    ] {
        let answer = fixture
            .put(path, body)
            .await
            .expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field]);
    }
    assert_eq!(fixture.position().await.revision.0, 1);
}

#[tokio::test]
async fn a_newer_versions_field_survives_a_patch_and_is_refused_from_a_client() {
    let fixture = Fixture::start().await;
    let mut server = model::Server::new(
        model::PoolId::standard(),
        "a".parse().unwrap(),
        "10.0.0.1:80".parse().unwrap(),
    );
    server.unknown.0.insert("slow_start".into(), json!("30s"));
    let name = "newer".into();
    let commit = Commit::new(Author::Operator { name }, vec![Change::put_server(server)]);
    fixture.registry.commit(commit).await.unwrap();
    fixture.add("b", "10.0.0.2:80").await;

    let path = "/v1/pools/default/servers/a";
    let patched = fixture
        .patch(path, json!({"weight": 3}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(
        (&patched.body["weight"], &patched.body["slow_start"]),
        (&json!(3), &json!("30s"))
    );
    fixture.put(path, patched.body).await.expect(StatusCode::OK);
    let changed = fixture.patch(path, json!({"slow_start": "60s"})).await;
    let changed = changed.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(changed.fields(), ["slow_start"]);
}

#[tokio::test]
async fn an_unknown_pool_is_not_found_whatever_is_asked_of_it() {
    let fixture = Fixture::start().await;
    let body = json!({"address": "10.0.0.1:80"});
    for (method, path) in [
        ("GET", "/v1/pools/nowhere/servers"),
        ("POST", "/v1/pools/nowhere/servers"),
        ("GET", "/v1/pools/nowhere/servers/a"),
        ("PUT", "/v1/pools/nowhere/servers/a"),
        ("PATCH", "/v1/pools/nowhere/servers/a"),
        ("DELETE", "/v1/pools/nowhere/servers/a"),
        ("GET", "/v1/pools/no%20name/servers"),
    ] {
        let answer = fixture.request(method, path).json(&body).send().await;
        let answer = answer.expect(StatusCode::NOT_FOUND);
        assert_eq!(answer.body["status"], 404, "{method} {path}");
    }
    let answer = fixture
        .put("/v1/pools/default/servers/no%20name", body)
        .await;
    assert_eq!(
        answer.expect(StatusCode::UNPROCESSABLE_ENTITY).fields(),
        ["server"]
    );
}

#[tokio::test]
async fn a_change_is_kept_in_the_history_with_its_author_and_request() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    fixture
        .patch("/v1/pools/default/servers/a", json!({"weight": 2}))
        .await;
    fixture.delete("/v1/pools/default/servers/a").await;
    let revisions = fixture
        .get("/v1/revisions?limit=2")
        .await
        .expect(StatusCode::OK)
        .body;
    let revisions = revisions.as_array().unwrap();
    assert_eq!(revisions.len(), 2);
    let removal = &revisions[0];
    assert_eq!(removal["revision"], 4);
    assert_eq!(removal["reason"], "DELETE /v1/pools/default/servers/a");
    assert_eq!(
        removal["author"],
        json!({"kind": "operator", "name": "operator"})
    );
    let change = &removal["changes"][0];
    assert_eq!(
        (&change["collection"], &change["key"]),
        (&json!("servers"), &json!("default/a"))
    );
    assert_eq!(
        (&change["before"]["weight"], &change["after"]),
        (&json!(2), &Value::Null)
    );
    assert!(removal["time"].as_str().unwrap().starts_with("20"));
    assert_eq!(fixture.registry.history(10).await.unwrap().len(), 3);
}

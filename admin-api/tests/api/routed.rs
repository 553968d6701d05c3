//! Routes, listeners, lists of networks and limits as parts of the whole: documents, the history, and what a newer version wrote of them.

use std::sync::Arc;

use hyper::StatusCode;
use model::{Collection, Snapshot};
use registry::{Committing, Memory};
use serde_json::{Value, json};

use crate::harness::{Answer, Fixture, args, new_fleet, within};

const IMPORT: &str = "/v1/import";
const PRUNE: &str = "/v1/import?prune=true";

/// A document in which everything names something.
fn document() -> Value {
    json!({
        "pools": [{"id": "default"}, {"id": "web", "limits": ["slow"]}],
        "servers": [],
        "routes": [{"id": "api", "match": {"path": {"prefix": "/api"}}, "action": {"pool": "web"}, "firewall": {"deny": ["bad"]}, "limits": ["slow"]}],
        "listeners": [{"id": "http", "firewall": {"deny": ["bad"]}}],
        "networks": [{"id": "bad", "networks": ["192.0.2.0/24"]}],
        "limits": [{"id": "slow", "requests": 5}],
    })
}

fn told(answer: &Answer) -> Vec<String> {
    let changes = answer.body["changes"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    changes
        .map(|it| {
            format!(
                "{} {} {}",
                text(&it["change"]),
                text(&it["collection"]),
                text(&it["key"])
            )
        })
        .collect()
}

#[tokio::test]
async fn a_document_brings_what_names_and_what_is_named_and_takes_both_away() {
    let fixture = Fixture::start().await;
    let answer = fixture.put(IMPORT, document()).await.expect(StatusCode::OK);
    let created = [
        "created pools web",
        "created routes api",
        "created listeners http",
        "created networks bad",
        "created limits slow",
    ];
    assert_eq!(told(&answer), created);
    let export = fixture.get("/v1/export").await.expect(StatusCode::OK).body;
    assert_eq!(export["networks"], document()["networks"]);
    assert_eq!(
        export["routes"][0]["match"]["path"],
        json!({"prefix": "/api"})
    );
    let again = fixture.put(PRUNE, export).await.expect(StatusCode::OK);
    assert_eq!(again.body["changed"], false);
    let emptied = json!({"pools": [{"id": "default"}], "routes": [], "listeners": [], "networks": [], "limits": []});
    let answer = fixture.put(PRUNE, emptied).await.expect(StatusCode::OK);
    let removed = [
        "removed pools web",
        "removed routes api",
        "removed listeners http",
        "removed networks bad",
        "removed limits slow",
    ];
    assert_eq!(told(&answer), removed);
    let back = fixture.post("/v1/revisions/2/restore", json!({})).await;
    let back = back.expect(StatusCode::OK);
    assert_eq!(told(&back), created);
    let history = fixture.get("/v1/revisions?limit=1").await.body;
    let collections: Vec<_> = history[0]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["collection"])
        .collect();
    assert_eq!(
        collections,
        ["limits", "pools", "networks", "listeners", "routes"]
    );
}

#[tokio::test]
async fn a_list_that_a_document_does_not_have_is_not_removed_by_silence() {
    let fixture = Fixture::start().await;
    fixture.put(IMPORT, document()).await.expect(StatusCode::OK);
    let older = json!({"pools": document()["pools"], "servers": []});
    let kept = fixture
        .put(IMPORT, older.clone())
        .await
        .expect(StatusCode::OK);
    assert_eq!(kept.body["changed"], false);
    let pruned = fixture.put(PRUNE, older).await.expect(StatusCode::OK);
    assert_eq!(pruned.body["changed"], false);
    // One that names a kind, be it by an empty list, says what there is to be of it.
    let no_routes = json!({"routes": []});
    let pruned = fixture.put(PRUNE, no_routes).await.expect(StatusCode::OK);
    assert_eq!(told(&pruned), ["removed routes api"]);
}

#[tokio::test]
async fn an_export_says_of_every_kind_what_there_is_and_so_takes_back_what_came_later() {
    let fixture = Fixture::start().await;
    let export = fixture.get("/v1/export").await.expect(StatusCode::OK).body;
    fixture.put(IMPORT, document()).await.expect(StatusCode::OK);
    let answer = fixture.put(PRUNE, export).await.expect(StatusCode::OK);
    let removed = [
        "removed pools web",
        "removed routes api",
        "removed listeners http",
        "removed networks bad",
        "removed limits slow",
    ];
    assert_eq!(told(&answer), removed);
}

#[tokio::test]
async fn what_a_document_names_must_be_there_once_it_is_applied() {
    let fixture = Fixture::start().await;
    let mut lacking = document();
    lacking["networks"] = json!([]);
    lacking["pools"] = json!([{"id": "default", "limits": ["slow"]}]);
    lacking["limits"] = json!([]);
    let answer = fixture.put(IMPORT, lacking.clone()).await;
    let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
    let fields = [
        "pools[default].limits[0]",
        "routes[api].action.pool",
        "routes[api].firewall.deny[0]",
        "routes[api].limits[0]",
        "listeners[http].firewall.deny[0]",
    ];
    assert_eq!(answer.fields(), fields);
    fixture.put(IMPORT, document()).await.expect(StatusCode::OK);
    fixture
        .put(IMPORT, lacking.clone())
        .await
        .expect(StatusCode::OK);
    let pruned = fixture.put(PRUNE, lacking).await;
    let pruned = pruned.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(pruned.fields(), fields);
    let wrong = json!({"routes": [{"id": "a", "action": {"pool": "web"}, "priority": "x"}, {"id": "b"}, {}], "networks": {}});
    let answer = fixture.put(IMPORT, wrong).await;
    let mut fields: Vec<_> = answer.fields();
    fields.sort_unstable();
    let expected = [
        "networks",
        "routes[2].id",
        "routes[a].priority",
        "routes[b].action",
    ];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn fields_of_a_newer_version_stay_in_the_part_that_they_are_of() {
    let mut snapshot: Snapshot = new_fleet();
    let novel = json!({"a": 1});
    let route = json!({
        "id": "api",
        "novel": novel,
        "match": {"novel": novel, "headers": [{"name": "x-a", "novel": novel}, {"name": "x-b", "novel": 2}]},
        "action": {"split": {"pools": [{"pool": "default", "weight": 1, "novel": novel}]}},
        "hsts": {"max_age": "1h", "novel": novel},
    });
    let stored =
        format!(r#"{{"revision":1,"created":1,"ordinal":0,"incarnation":1,"value":{route}}}"#);
    snapshot.apply_stored(Collection::Routes, b"api", stored.as_bytes());
    assert_eq!(snapshot.faults, []);
    let registry = Arc::new(Memory::new());
    assert_eq!(registry.seed(&snapshot).await, Ok(true));
    let fixture = Fixture::over(registry, args()).await;
    within(fixture.api.ready()).await;
    let one = "/v1/routes/api";
    let whole = fixture.get(one).await.expect(StatusCode::OK).body;
    let mut changed = whole.clone();
    changed["priority"] = json!(7);
    let put = fixture.put(one, changed).await.expect(StatusCode::OK).body;
    assert_eq!(put["match"]["headers"][1]["novel"], 2);
    assert_eq!(put["hsts"]["novel"], novel);
    // Who does not know them sends one header less, and none of them.
    let known = json!({
        "match": {"headers": [{"name": "x-b"}]},
        "action": {"split": {"pools": [{"pool": "default", "weight": 3}]}},
    });
    let put = fixture.put(one, known).await.expect(StatusCode::OK).body;
    assert_eq!(
        put["match"]["headers"],
        json!([{"name": "x-b", "value": "present", "novel": 2}])
    );
    assert_eq!((&put["match"]["novel"], &put["novel"]), (&novel, &novel));
    let shares = json!([{"pool": "default", "weight": 3, "novel": novel}]);
    assert_eq!(put["action"]["split"]["pools"], shares);
    assert!(put.get("hsts").is_none());
    let misspelt = fixture.put(
        one,
        json!({"action": {"pool": "default"}, "match": {"hots": []}}),
    );
    let misspelt = misspelt.await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(misspelt.fields(), ["match.hots"]);
}

#[tokio::test]
async fn a_stored_listener_that_no_balancer_has_is_shown_with_an_alarm_exported_kept_and_removed() {
    let mut snapshot: Snapshot = new_fleet();
    let stored = r#"{"revision":1,"created":1,"ordinal":0,"incarnation":1,"value":{"id":"htps","health":true}}"#;
    snapshot.apply_stored(Collection::Listeners, b"htps", stored.as_bytes());
    assert_eq!(snapshot.faults, []);
    let registry = Arc::new(Memory::new());
    assert_eq!(registry.seed(&snapshot).await, Ok(true));
    let fixture = Fixture::over(registry, args()).await;
    within(fixture.api.ready()).await;
    let one = "/v1/listeners/htps";
    let shown = fixture.get(one).await.expect(StatusCode::OK).body;
    assert_eq!(shown["health"], true);
    let status = fixture.get("/v1/status").await.body;
    let alarms = status["alarms"].as_array().expect("alarms");
    let is_told = |it: &&Value| it["kind"] == "unheeded" && it["subject"] == "listener htps";
    assert_eq!(alarms.iter().filter(is_told).count(), 1, "{alarms:?}");
    let export = fixture.get("/v1/export").await.body;
    assert_eq!(export["listeners"][0]["id"], "htps");
    let again = fixture.put(PRUNE, export).await.expect(StatusCode::OK);
    assert_eq!(again.body["changed"], false);
    let changed = fixture.patch(one, json!({"health": false})).await;
    let changed = changed.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(changed.fields(), ["id"]);
    let removed = fixture.delete(one).await.expect(StatusCode::OK).body;
    let revision = removed["revision"].as_u64().expect("a revision");
    // The way back goes by what was stored.
    let back = format!("/v1/revisions/{}/restore", revision - 1);
    let back = fixture.post(&back, json!({})).await.expect(StatusCode::OK);
    assert_eq!(told(&back), ["created listeners htps"]);
}

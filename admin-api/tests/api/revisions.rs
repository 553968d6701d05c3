//! `/v1/revisions`: what was changed, field by field, page by page.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::harness::Fixture;

const SERVER: &str = "/v1/pools/default/servers/a";

/// Sets the weight of the server `a` so many times, each in a revision of its own.
async fn weigh(fixture: &Fixture, times: u64) {
    for weight in 0..times {
        let answer = fixture.patch(SERVER, json!({"weight": weight + 2})).await;
        answer.expect(StatusCode::OK);
    }
}

fn numbers(revisions: &Value) -> Vec<u64> {
    let revisions = revisions.as_array().unwrap().iter();
    revisions
        .map(|it| it["revision"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_revision_says_which_fields_it_changed() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let body = json!({"weight": 5, "zone": "b"});
    fixture.patch(SERVER, body).await.expect(StatusCode::OK);
    let pool = json!({"health": {"path": "/up"}, "retry": {"statuses": ["503"]}});
    let pool = fixture.patch("/v1/pools/default", pool).await;
    pool.expect(StatusCode::OK);
    fixture.delete(SERVER).await.expect(StatusCode::OK);
    let revisions = fixture.get("/v1/revisions").await.body;
    let diff = |index: usize| &revisions[index]["changes"][0]["diff"];
    let removed = &diff(0)[0];
    assert_eq!(
        (&removed["path"], &removed["after"]),
        (&json!(""), &Value::Null)
    );
    assert_eq!(removed["before"]["address"], "10.0.0.1:80");
    let pool = json!([
        {"path": "/health/path", "before": "/", "after": "/up"},
        {"path": "/retry/statuses", "before": [], "after": ["503"]},
    ]);
    assert_eq!(*diff(1), pool);
    let server = json!([
        {"path": "/weight", "before": 1, "after": 5},
        {"path": "/zone", "before": "", "after": "b"},
    ]);
    assert_eq!(*diff(2), server);
    assert_eq!(diff(3)[0]["before"], Value::Null);
}

#[tokio::test]
async fn the_history_is_read_page_by_page_to_its_beginning() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    weigh(&fixture, 300).await;
    let mut path = "/v1/revisions?limit=70".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = fixture.get(&path).await.expect(StatusCode::OK).body;
        let page = numbers(&page);
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 70);
        path = format!("/v1/revisions?limit=70&before={last}");
        seen.extend(page);
    }
    assert_eq!(seen, (2..=302).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_may_name_its_epoch() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    weigh(&fixture, 2).await;
    let old = fixture.position().await.epoch;
    let page = format!("/v1/revisions?limit=1&before=3&epoch={old}");
    assert_eq!(numbers(&fixture.get(&page).await.body), [2]);
    let unknown = model::Epoch::random();
    let page = format!("/v1/revisions?before=3&epoch={unknown}");
    assert_eq!(fixture.get(&page).await.body, json!([]));
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused_by_name() {
    let fixture = Fixture::start().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("before=yesterday", "before"),
        ("before=-1", "before"),
        ("before=3&epoch=first", "epoch"),
        ("epoch=6f6cbf4c-3b1c-4e4c-9f0b-0a4c4b8f9a11", "epoch"),
        ("after=3", "after"),
    ] {
        let answer = fixture.get(&format!("/v1/revisions?{query}")).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field], "{query}");
    }
}

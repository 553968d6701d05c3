//! `/v1/registrations/{pool}/{server}`: servers that register themselves.

use std::time::Duration;

use hyper::StatusCode;
use model::{Author, Revision};
use serde_json::json;

use crate::harness::{Fixture, within};

const REGISTRATION: &str = "/v1/registrations/default/demo-1";
const SERVER: &str = "/v1/pools/default/servers/demo-1";

async fn leases(fixture: &Fixture) -> Vec<(String, u64)> {
    let leases = fixture.registry.registrations().await.unwrap();
    let lease = |it: &model::Registration| (it.key.to_string(), it.lifetime.as_secs());
    leases.iter().map(lease).collect()
}

#[tokio::test]
async fn a_server_registers_itself_and_renews_without_a_revision() {
    let fixture = Fixture::start().await;
    let body = json!({"address": "10.0.0.1:80", "weight": 3, "zone": "a", "lifetime": "30s"});
    let created = fixture
        .put(REGISTRATION, body.clone())
        .await
        .expect(StatusCode::CREATED);
    assert_eq!(
        (&created.body["weight"], &created.body["lifetime"]),
        (&json!(3), &json!("30s"))
    );
    assert_eq!(created.header("location"), SERVER);
    assert_eq!(leases(&fixture).await, [("default/demo-1".to_owned(), 30)]);
    for _ in 0..3 {
        let renewed = fixture
            .put(REGISTRATION, body.clone())
            .await
            .expect(StatusCode::OK);
        assert_eq!(renewed.body["revision"], 2);
    }
    assert_eq!(fixture.position().await.revision, Revision(2));
    let history = fixture.registry.history(1).await.unwrap();
    let name = "registrations".into();
    assert_eq!(history[0].author, Author::Source { name });
}

#[tokio::test]
async fn a_renewal_does_not_undo_what_an_operator_changed() {
    let fixture = Fixture::start().await;
    let body = json!({"address": "10.0.0.1:80", "weight": 3});
    fixture
        .put(REGISTRATION, body.clone())
        .await
        .expect(StatusCode::CREATED);
    let change = json!({"state": "draining", "weight": 1, "zone": "b"});
    fixture.patch(SERVER, change).await.expect(StatusCode::OK);
    let renewed = fixture.put(REGISTRATION, body).await.expect(StatusCode::OK);
    assert_eq!(renewed.body["state"], "draining");
    assert_eq!(
        (&renewed.body["weight"], &renewed.body["zone"]),
        (&json!(1), &json!("b"))
    );
    // Not even where the server comes back from another address.
    let moved = json!({"address": "10.0.0.2:80", "weight": 3});
    let moved = fixture
        .put(REGISTRATION, moved)
        .await
        .expect(StatusCode::OK);
    assert_eq!(
        (&moved.body["address"], &moved.body["weight"]),
        (&json!("10.0.0.2:80"), &json!(1))
    );
    assert_eq!(
        (&moved.body["state"], &moved.body["incarnation"]),
        (&json!("draining"), &json!(4))
    );
}

#[tokio::test]
async fn a_server_that_listens_everywhere_is_reached_where_it_calls_from() {
    let fixture = Fixture::start().await;
    for (path, address) in [
        (REGISTRATION, "0.0.0.0:3001"),
        ("/v1/registrations/default/demo-2", "[::]:3002"),
    ] {
        let answer = fixture
            .put(path, json!({"address": address}))
            .await
            .expect(StatusCode::CREATED);
        let port = address.rsplit(':').next().unwrap();
        assert_eq!(answer.body["address"], format!("127.0.0.1:{port}"));
    }
}

#[tokio::test]
async fn another_server_takes_the_address_of_one_that_stopped_renewing() {
    let fixture = Fixture::start().await;
    let body = json!({"address": "10.0.0.1:80", "lifetime": "1s"});
    fixture
        .put(REGISTRATION, body.clone())
        .await
        .expect(StatusCode::CREATED);
    let successor = "/v1/registrations/default/demo-2";
    let refused = fixture.put(successor, body.clone()).await;
    refused.expect(StatusCode::CONFLICT);
    let expired = async {
        while !fixture.registry.registrations().await.unwrap()[0].is_expired() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(expired).await;
    // A renewal of what was never there is refused, and takes nobody out.
    let renewal = fixture.request("PUT", successor);
    let renewal = renewal.header("if-match", "*").json(&body).send().await;
    renewal.expect(StatusCode::PRECONDITION_FAILED);
    fixture.get(SERVER).await.expect(StatusCode::OK);
    fixture
        .put(successor, body)
        .await
        .expect(StatusCode::CREATED);
    fixture.get(SERVER).await.expect(StatusCode::NOT_FOUND);
    assert_eq!(leases(&fixture).await, [("default/demo-2".to_owned(), 1)]);
}

#[tokio::test]
async fn no_registration_takes_the_address_of_a_server_that_an_operator_added() {
    let fixture = Fixture::start().await;
    fixture.add("web", "10.0.0.1:80").await;
    let body = json!({"address": "10.0.0.1:80"});
    let refused = fixture.put(REGISTRATION, body).await;
    refused.expect(StatusCode::CONFLICT);
}

#[tokio::test]
async fn the_end_of_a_registration_takes_the_server_out() {
    let fixture = Fixture::start().await;
    fixture
        .put(REGISTRATION, json!({"address": "10.0.0.1:80"}))
        .await
        .expect(StatusCode::CREATED);
    let path = format!("{REGISTRATION}?wait=drained");
    let ended = fixture.delete(&path).await.expect(StatusCode::OK);
    assert_eq!(
        (&ended.body["revision"], &ended.body["wait"]["done"]),
        (&json!(3), &json!(true))
    );
    assert!(leases(&fixture).await.is_empty());
    fixture.get(SERVER).await.expect(StatusCode::NOT_FOUND);
    fixture
        .delete(REGISTRATION)
        .await
        .expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_server_that_never_registered_is_not_taken_out_by_a_registration() {
    let fixture = Fixture::start().await;
    fixture.add("demo-1", "10.0.0.1:80").await;
    fixture
        .delete(REGISTRATION)
        .await
        .expect(StatusCode::NOT_FOUND);
    fixture.get(SERVER).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_renewal_with_if_match_does_not_bring_back_what_an_operator_removed() {
    let fixture = Fixture::start().await;
    let body = json!({"address": "10.0.0.1:80"});
    let renew = || {
        fixture
            .request("PUT", REGISTRATION)
            .header("if-match", "*")
            .json(&body)
            .send()
    };
    renew().await.expect(StatusCode::PRECONDITION_FAILED);
    fixture
        .put(REGISTRATION, body.clone())
        .await
        .expect(StatusCode::CREATED);
    renew().await.expect(StatusCode::OK);
    fixture.delete(SERVER).await.expect(StatusCode::OK);
    renew().await.expect(StatusCode::PRECONDITION_FAILED);
    assert!(leases(&fixture).await.is_empty());
}

#[tokio::test]
async fn whatever_is_wrong_with_a_registration_is_named_and_nothing_is_leased() {
    let fixture = Fixture::start().await;
    fixture.add("other", "10.0.0.9:80").await;
    for (body, fields) in [
        (json!({}), ["address"]),
        (
            json!({"address": "10.0.0.1:80", "lifetime": 10}),
            ["lifetime"],
        ),
        (
            json!({"address": "10.0.0.1:80", "lifetime": "10ms"}),
            ["lifetime"],
        ),
        (
            json!({"address": "10.0.0.1:80", "lifetime": "2h"}),
            ["lifetime"],
        ),
        (
            json!({"address": "10.0.0.1:80", "weight": 1001}),
            ["weight"],
        ),
        (json!({"address": "10.0.0.1:80", "mood": "good"}), ["mood"]),
    ] {
        let answer = fixture.put(REGISTRATION, body.clone()).await;
        assert_eq!(
            answer.expect(StatusCode::UNPROCESSABLE_ENTITY).fields(),
            fields,
            "{body}"
        );
    }
    let taken = fixture
        .put(REGISTRATION, json!({"address": "10.0.0.9:80"}))
        .await;
    taken.expect(StatusCode::CONFLICT);
    let nowhere = "/v1/registrations/nowhere/demo-1";
    let answer = fixture
        .put(nowhere, json!({"address": "10.0.0.1:80"}))
        .await;
    answer.expect(StatusCode::NOT_FOUND);
    assert!(leases(&fixture).await.is_empty());
}

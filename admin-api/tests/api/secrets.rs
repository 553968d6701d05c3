//! `POST /v1/secrets/sticky/rotate`: a new key, which nobody is shown.

use hyper::StatusCode;
use model::{Secret, SecretId};
use serde_json::json;

use crate::harness::Fixture;

const ROTATE: &str = "/v1/secrets/sticky/rotate";

async fn secret(fixture: &Fixture) -> Secret {
    let truth = fixture.registry.snapshot().await.unwrap().unwrap();
    truth.snapshot.secrets[&SecretId::sticky()].value.clone()
}

#[tokio::test]
async fn a_rotation_keeps_the_key_before_and_is_no_change_of_what_people_keep() {
    let fixture = Fixture::start().await;
    let export = fixture.get("/v1/export").await;
    let made = fixture.post(ROTATE, json!({})).await.expect(StatusCode::OK);
    assert_eq!(made.body["id"], "sticky");
    let first = secret(&fixture).await;
    assert_eq!(first.previous, None);
    fixture.post(ROTATE, json!({})).await.expect(StatusCode::OK);
    let second = secret(&fixture).await;
    assert_eq!(second.previous, Some(first.current));
    let after = fixture.get("/v1/export").await;
    assert_eq!(after.body, export.body);
    assert_eq!(after.header("etag"), export.header("etag"));
    assert_eq!(fixture.get("/v1/revisions").await.body, json!([]));
}

#[tokio::test]
async fn nothing_that_the_api_answers_shows_a_key() {
    let fixture = Fixture::start().await;
    let answers = [
        fixture.post(ROTATE, json!({})).await,
        fixture.post(ROTATE, json!({})).await,
        fixture.get("/v1/export").await,
        fixture.get("/v1/revisions").await,
        fixture.get("/v1/status").await,
        fixture.get("/v1/secrets").await,
        fixture.get("/v1/secrets/sticky").await,
        fixture.get(ROTATE).await,
    ];
    let secret = secret(&fixture).await;
    for key in [Some(secret.current), secret.previous]
        .into_iter()
        .flatten()
    {
        let key = String::from(key);
        for answer in &answers {
            assert!(!answer.body.to_string().contains(&key), "{}", answer.body);
        }
    }
    let statuses = answers[5..].iter().map(|answer| answer.status.as_u16());
    assert_eq!(statuses.collect::<Vec<_>>(), [404, 404, 405]);
}

#[tokio::test]
async fn the_same_request_sent_again_rotates_once() {
    let fixture = Fixture::start().await;
    let ask = async || {
        let call = fixture
            .request("POST", ROTATE)
            .header("idempotency-key", "k1");
        call.send().await.expect(StatusCode::OK)
    };
    let (first, second) = (ask().await, ask().await);
    assert_eq!(first.body, second.body);
    assert_eq!(secret(&fixture).await.previous, None);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_name() {
    let fixture = Fixture::start().await;
    let named = fixture.post(ROTATE, json!({"key": "mine"})).await;
    named.expect(StatusCode::UNPROCESSABLE_ENTITY);
    let drained = fixture
        .post(&format!("{ROTATE}?wait=drained"), json!({}))
        .await;
    assert_eq!(drained.fields(), ["wait"]);
    let none = fixture.registry.snapshot().await.unwrap().unwrap();
    assert!(none.snapshot.secrets.is_empty());
}

#[tokio::test]
async fn a_pools_stickiness_is_validated_by_field() {
    let fixture = Fixture::start().await;
    let pool = "/v1/pools/default";
    for (sticky, field) in [
        (json!({"kind": "header"}), "sticky.name"),
        (json!({"kind": "cookie", "name": "a b"}), "sticky.name"),
        (
            json!({"kind": "source", "lifetime": "1h"}),
            "sticky.lifetime",
        ),
        (
            json!({"kind": "cookie", "lifetime": "5ms"}),
            "sticky.lifetime",
        ),
        (json!({"kind": "magnet"}), "sticky.kind"),
        (
            json!({"kind": "cookie", "same_site": "any"}),
            "sticky.same_site",
        ),
        (json!({"secure": true}), "sticky.secure"),
    ] {
        let answer = fixture.patch(pool, json!({"sticky": sticky})).await;
        assert_eq!(answer.fields(), [field], "{}", answer.body);
    }
    let good = json!({"sticky": {"kind": "cookie", "lifetime": "1h", "same_site": "strict"}});
    let answer = fixture.patch(pool, good).await.expect(StatusCode::OK);
    assert_eq!(answer.body["sticky"]["while_draining"], true);
}

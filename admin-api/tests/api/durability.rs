//! `--durability`: what a change's answer says of the registry's replicas.

use std::time::Duration;

use hyper::StatusCode;
use model::FleetName;
use registry::testing::RedisServer;
use registry::{Durability, Options};
use serde_json::{Value, json};

use crate::harness::{Answer, Fixture, args, new_fleet, within};

const SERVERS: &str = "/v1/pools/default/servers";

/// Time that passes only where no replica answers.
const SHORT: Duration = Duration::from_millis(50);

/// An API over a Redis, of which one replica must have a change.
async fn over(redis: &RedisServer, timeout: Duration) -> Fixture {
    let options = Options::new(redis.url().as_str(), FleetName::standard());
    let registry = registry::open(&options).unwrap();
    registry.seed(&new_fleet()).await.unwrap();
    let replicas = 1;
    let args = admin_api::Args {
        registry: options,
        durability: Durability::Wait { replicas, timeout },
        ..args()
    };
    let fixture = Fixture::over(registry, args).await;
    within(fixture.api.ready()).await;
    fixture
}

fn server(id: &str, port: u16) -> Value {
    json!({"id": id, "address": format!("10.0.0.1:{port}")})
}

/// What is said, but for how long it took.
fn told(answer: &Answer) -> [&Value; 3] {
    let told = &answer.body["durability"];
    [&told["asked"], &told["reached"], &told["done"]]
}

#[tokio::test]
async fn every_change_says_that_a_replica_has_it() {
    let redis = RedisServer::start();
    let _replica = redis.replica();
    let fixture = over(&redis, Duration::from_secs(5)).await;
    for (method, path, body) in [
        ("POST", SERVERS, server("a", 1)),
        ("PATCH", &*format!("{SERVERS}/a"), json!({"weight": 2})),
        ("PUT", "/v1/pools/other", json!({})),
        ("DELETE", "/v1/pools/other", Value::Null),
        ("PUT", "/v1/import", json!({"servers": []})),
        ("POST", "/v1/revisions/2/restore", json!({})),
        (
            "PUT",
            "/v1/registrations/default/b",
            json!({"address": "10.0.0.2:80"}),
        ),
        ("DELETE", "/v1/registrations/default/b", Value::Null),
    ] {
        let answer = fixture.request(method, path).json(&body).send().await;
        assert!(
            answer.status.is_success(),
            "{method} {path}: {}",
            answer.body
        );
        assert_eq!(
            told(&answer),
            [&json!(1), &json!(1), &json!(true)],
            "{method} {path}: {}",
            answer.body
        );
        assert_eq!(answer.body["durability"]["reason"], Value::Null);
    }
    // What is only read, or makes no revision, says nothing of it.
    assert_eq!(
        fixture.get(SERVERS).await.body[0]["durability"],
        Value::Null
    );
}

#[tokio::test]
async fn a_change_that_no_replica_has_is_made_and_says_so() {
    let redis = RedisServer::start();
    let fixture = over(&redis, SHORT).await;
    let answer = fixture.post(SERVERS, server("a", 1)).await;
    let answer = answer.expect(StatusCode::CREATED);
    assert_eq!(told(&answer), [&json!(1), &json!(0), &json!(false)]);
    assert_eq!(
        answer.body["durability"]["reason"],
        "no more replicas said within 50ms that they have it"
    );
    fixture
        .get(&format!("{SERVERS}/a"))
        .await
        .expect(StatusCode::OK);
    let ops = fixture.api.ops_address().unwrap();
    let metrics = fixture.request_to(ops, "GET", "/metrics").open().await;
    let metrics = http_body_util::BodyExt::collect(metrics.into_body());
    let metrics = String::from_utf8(metrics.await.unwrap().to_bytes().into()).unwrap();
    assert!(
        metrics.contains("admin_short_of_replicas_total 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_repeated_request_says_how_many_replicas_have_it_now() {
    let redis = RedisServer::start();
    // It passes once; a replica may take a while to answer where the machine is busy.
    let fixture = over(&redis, Duration::from_secs(3)).await;
    let send = async |method: &str, path: &str, body: &Value| {
        let call = fixture.request(method, path).json(body);
        call.header("idempotency-key", "k").send().await
    };
    let first = send("POST", SERVERS, &server("a", 1)).await;
    assert_eq!(told(&first), [&json!(1), &json!(0), &json!(false)]);
    let _replica = redis.replica();
    let again = send("POST", SERVERS, &server("a", 1)).await;
    assert_eq!(again.status, first.status);
    assert_eq!(told(&again), [&json!(1), &json!(1), &json!(true)]);
    // Also where what is asked could not be done again.
    let path = format!("{SERVERS}/a");
    for _ in 0..2 {
        let removed = send("DELETE", &path, &Value::Null).await;
        let removed = removed.expect(StatusCode::OK);
        assert_eq!(told(&removed), [&json!(1), &json!(1), &json!(true)]);
    }
}

#[tokio::test]
async fn others_read_and_write_while_a_replica_is_waited_for() {
    let redis = RedisServer::start();
    let replica = redis.replica();
    let fixture = over(&redis, Duration::from_secs(5)).await;
    replica.pause();
    let (first, second) = (
        fixture.post(SERVERS, server("a", 1)),
        fixture.post(SERVERS, server("b", 2)),
    );
    let both = async {
        loop {
            let servers = fixture.get(SERVERS).await.expect(StatusCode::OK);
            if servers.body.as_array().unwrap().len() == 2 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let mut writes = std::pin::pin!(async { tokio::join!(first, second) });
    tokio::select! {
        answers = &mut writes => panic!("nobody can have it: {answers:?}"),
        () = within(both) => {}
    }
    replica.resume();
    let (first, second) = writes.await;
    for answer in [first, second] {
        let answer = answer.expect(StatusCode::CREATED);
        assert_eq!(told(&answer), [&json!(1), &json!(1), &json!(true)]);
    }
}

#[tokio::test]
async fn who_does_not_ask_is_told_nothing() {
    let fixture = Fixture::start().await;
    let answer = fixture.add("a", "10.0.0.1:80").await;
    assert_eq!(answer.body["durability"], Value::Null);
}

#[test]
fn replicas_of_a_registry_within_the_process_are_not_to_be_had() {
    let args = admin_api::Args {
        durability: "wait=1".parse().unwrap(),
        ..args()
    };
    let error = args.check().unwrap_err().to_string();
    assert!(
        error.starts_with("--durability wait=1,timeout=1s: ") && error.contains("--registry"),
        "{error}"
    );
}

//! What is answered while the registry cannot be reached, or holds nothing.

use std::sync::Arc;

use hyper::StatusCode;
use model::Report;
use registry::testing::RedisServer;
use registry::{Committing, Memory, Registry};
use serde_json::{Value, json};

use crate::harness::{Fixture, args, balancer, new_fleet, within};

#[tokio::test]
async fn before_there_is_a_fleet_the_api_says_so_and_then_serves_it() {
    let registry = Arc::new(Memory::new());
    let fixture = Fixture::over(registry.clone(), args()).await;
    for method in ["GET", "POST"] {
        let answer = fixture
            .request(method, "/v1/pools")
            .json(&json!({"id": "web"}))
            .send()
            .await;
        let answer = answer.expect(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(answer.detail().contains("holds no fleet yet"));
    }
    // A balancer that waits for it has lost nothing; one that works with a revision knows of a fleet.
    fixture.report(&balancer("127.0.0.1:8000")).await;
    let answer = fixture.get("/v1/pools").await;
    assert!(answer.detail().contains("holds no fleet yet"));
    let status = fixture.get("/v1/status").await.expect(StatusCode::OK).body;
    for unknown in ["epoch", "revision", "desired", "pools", "servers", "leader"] {
        assert_eq!(status[unknown], Value::Null, "{unknown}: {status}");
    }
    assert_eq!(status["balancers"][0]["advertise"], "127.0.0.1:8000");
    let lost = alarm(&status, "memory_lost").expect("an alarm");
    assert_eq!(lost, "it has lost its memory, or is new");
    let report = Report {
        applied: Some(new_fleet().position),
        ..balancer("127.0.0.1:8001")
    };
    fixture.report(&report).await;
    let answer = fixture.get("/v1/pools").await;
    let answer = answer.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.detail().contains("has lost its memory"));
    assert!(answer.detail().contains("restore-from"));
    let status = fixture.get("/v1/status").await.expect(StatusCode::OK).body;
    let lost = alarm(&status, "memory_lost").expect("an alarm");
    assert_eq!(lost, answer.detail());
    registry.seed(&new_fleet()).await.unwrap();
    within(fixture.api.ready()).await;
    fixture
        .get("/v1/pools/default")
        .await
        .expect(StatusCode::OK);
}

fn registry_at(url: &str) -> Arc<dyn Registry> {
    let options = registry::Options {
        registry: url.into(),
        ..args().registry
    };
    registry::open(&options).unwrap()
}

async fn ops(fixture: &Fixture, path: &str) -> StatusCode {
    let address = fixture.api.ops_address().unwrap();
    fixture.request_to(address, "GET", path).send().await.status
}

#[tokio::test]
async fn an_api_that_never_reached_its_registry_lives_and_is_not_ready() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let registry = registry_at(&format!("redis://{closed}"));
    let fixture = Fixture::over(registry, args()).await;
    for method in ["GET", "POST"] {
        let answer = fixture
            .request(method, "/v1/pools")
            .json(&json!({"id": "web"}))
            .send()
            .await;
        let answer = answer.expect(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert_eq!(ops(&fixture, "/livez").await, StatusCode::OK);
    assert_eq!(
        ops(&fixture, "/readyz").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    told(&fixture, &format!("{closed} cannot be reached: ")).await;
}

/// Waits until who asks is told why the registry has not been read, in the status too, which has nothing else to show.
async fn told(fixture: &Fixture, why: &str) {
    let told = async {
        loop {
            let answer = fixture.get("/v1/pools").await;
            let answer = answer.expect(StatusCode::SERVICE_UNAVAILABLE);
            let detail = answer
                .detail()
                .strip_prefix("the registry has not been read yet");
            if detail.expect("that it was not read").contains(why) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within(told).await;
    let status = fixture.get("/v1/status").await.expect(StatusCode::OK).body;
    assert_eq!(
        (&status["revision"], &status["connected"]),
        (&Value::Null, &json!(false))
    );
    let unreachable = alarm(&status, "unreachable").expect("an alarm");
    assert!(unreachable.contains(why), "{unreachable}");
    assert_eq!(alarm(&status, "memory_lost"), None);
}

/// What is said of the first alarm of a kind.
fn alarm<'a>(status: &'a Value, kind: &str) -> Option<&'a str> {
    let mut alarms = status["alarms"].as_array().expect("a list").iter();
    alarms.find(|it| it["kind"] == kind)?["detail"].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_the_registry_refuses_is_said_to_who_asks() {
    let redis = RedisServer::with_users(&model::FleetName::standard());
    let url = format!("redis://admin:wrong@{}", redis.address());
    let fixture = Fixture::over(registry_at(&url), args()).await;
    told(&fixture, "refused the user or password").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_said_without_a_claim_about_the_change() {
    let redis = RedisServer::with_users(&model::FleetName::standard());
    let orchestrator = registry_at(&redis.url_of("orchestrator"));
    orchestrator.seed(&new_fleet()).await.expect("seeded");
    let fixture = Fixture::over(registry_at(&redis.url_of("admin")), args()).await;
    within(fixture.api.ready()).await;
    redis.grant("admin", "-publish");
    let body = json!({"address": "10.0.0.2:80"});
    let refused = fixture.post("/v1/pools/default/servers", body).await;
    let refused = refused.expect(StatusCode::SERVICE_UNAVAILABLE);
    let told = refused.detail();
    assert!(told.contains("lacks a right"), "{told}");
    // Where Redis cannot be asked beforehand, it may be refused after the change was written.
    assert!(!told.contains("not made"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_hands_left_among_the_instances_is_an_alarm_by_name() {
    let redis = RedisServer::start();
    let fixture = Fixture::start_over(registry_at(&redis.url())).await;
    let report = Report {
        troubles: vec!["the registry user lacks a right".into()],
        ..balancer("127.0.0.1:8000")
    };
    fixture.report(&report).await;
    redis.command(&["HSET", "roundhouse:{main}:instances", "zzz", "{bad"]);
    let status = fixture.get("/v1/status").await.expect(StatusCode::OK).body;
    let alarms = status["alarms"].as_array().unwrap().iter();
    let troubles: Vec<_> = alarms.filter(|it| it["kind"] == "trouble").collect();
    assert_eq!(troubles.len(), 2, "{status}");
    assert_eq!(troubles[0]["subject"], "admin API");
    let detail = troubles[0]["detail"].as_str().unwrap();
    assert!(
        detail.contains("instances") && detail.contains("zzz"),
        "{detail}"
    );
    assert_eq!(troubles[1]["subject"], "balancer 127.0.0.1:8000");
    assert_eq!(troubles[1]["detail"], report.troubles[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_registry_is_away_what_was_read_is_shown_and_changes_are_refused() {
    let mut redis = RedisServer::start();
    let fixture = Fixture::start_over(registry_at(&redis.url())).await;
    fixture.add("a", "10.0.0.1:80").await;
    assert_eq!(ops(&fixture, "/readyz").await, StatusCode::OK);
    redis.kill();

    let body = json!({"address": "10.0.0.2:80"});
    let refused = fixture.post("/v1/pools/default/servers", body).await;
    let refused = refused.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        refused.detail().contains("cannot be reached"),
        "{}",
        refused.detail()
    );
    // Once it is known to be gone, nothing is sent to it.
    let body = json!({"address": "10.0.0.2:80"});
    let refused = fixture.post("/v1/pools/default/servers", body).await;
    let told = refused.detail();
    assert!(told.ends_with("; the change was not made"), "{told}");
    fixture
        .get("/v1/balancers")
        .await
        .expect(StatusCode::SERVICE_UNAVAILABLE);
    fixture
        .get("/v1/pools/default/servers/a")
        .await
        .expect(StatusCode::OK);
    let status = fixture.get("/v1/status").await.expect(StatusCode::OK).body;
    assert_eq!(
        (&status["balancers"], &status["revision"]),
        (&Value::Null, &json!(2))
    );
    let alarms = status["alarms"].as_array().unwrap();
    assert!(
        alarms.iter().any(|alarm| alarm["kind"] == "unreachable"),
        "{status}"
    );
    let unready = async {
        while ops(&fixture, "/readyz").await == StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    within(unready).await;

    redis.restart();
    let added = async {
        loop {
            let body = json!({"id": "b", "address": "10.0.0.2:80"});
            let answer = fixture.post("/v1/pools/default/servers", body).await;
            if answer.status == StatusCode::CREATED {
                return answer;
            }
            assert_eq!(
                answer.status,
                StatusCode::SERVICE_UNAVAILABLE,
                "{}",
                answer.body
            );
            tokio::task::yield_now().await;
        }
    };
    within(added).await;
    let listed = fixture.get("/v1/pools/default/servers").await.body;
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_memory_is_not_one_where_nothing_has_happened() {
    let redis = RedisServer::start();
    let fixture = Fixture::start_over(registry_at(&redis.url())).await;
    fixture.add("a", "10.0.0.1:80").await;
    let holds = fixture.get("/v1/holds").await.expect(StatusCode::OK);
    assert_eq!(holds.body, json!([]));
    redis.command(&["FLUSHALL"]);
    for path in ["/v1/revisions", "/v1/holds"] {
        let answer = fixture.get(path).await;
        let answer = answer.expect(StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.detail().contains("holds no fleet"), "{path}");
    }
    let status = fixture.get("/v1/status").await.body;
    let alarms = status["alarms"].as_array().expect("a list");
    let mut kinds = alarms.iter().map(|alarm| &alarm["kind"]);
    assert!(kinds.any(|kind| kind == "memory_lost"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changes_whole_way_is_the_same_over_redis() {
    let redis = RedisServer::start();
    let fixture = Fixture::start_over(registry_at(&redis.url())).await;
    let call = fixture.request("POST", "/v1/pools/default/servers?wait=applied");
    let call = call
        .header("idempotency-key", "k1")
        .json(&json!({"address": "10.0.0.1:80"}));
    let added = call.send().await.expect(StatusCode::CREATED);
    assert_eq!(added.body["wait"]["done"], true);
    let path = added.header("location").to_owned();
    let call = fixture
        .request("PATCH", &path)
        .header("if-match", added.header("etag"));
    let drained = call
        .json(&json!({"state": "draining"}))
        .send()
        .await
        .expect(StatusCode::OK);
    let call = fixture
        .request("DELETE", &path)
        .header("if-match", added.header("etag"));
    call.send().await.expect(StatusCode::PRECONDITION_FAILED);
    assert_eq!(fixture.get(&path).await.body, drained.body);
    fixture
        .delete(&format!("{path}?wait=drained"))
        .await
        .expect(StatusCode::OK);
    let call = fixture.request("POST", "/v1/pools/default/servers?wait=applied");
    let call = call
        .header("idempotency-key", "k1")
        .json(&json!({"address": "10.0.0.1:80"}));
    let again = call.send().await.expect(StatusCode::CREATED);
    assert_eq!(again.body["revision"], added.body["revision"]);
    assert_eq!(
        fixture.get("/v1/pools/default/servers").await.body,
        json!([])
    );
    let revisions = fixture.get("/v1/revisions").await.body;
    assert_eq!(revisions.as_array().unwrap().len(), 3);
}

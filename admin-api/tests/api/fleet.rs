//! `/v1/status`, `/v1/balancers`, `/v1/orchestrators`, `/v1/holds`: the fleet as its instances report it.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use model::{
    Author, Change, Collection, Fault, Hold, HoldDecision, InstanceId, Origin, Pool, Report,
    Revision, Role,
};
use registry::{Commit, LEASE, Memory};
use serde_json::{Value, json};

use crate::harness::{Fixture, ago, balancer, in_flight, report_of, within};

fn alarm<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let alarms = status["alarms"].as_array().unwrap();
    alarms.iter().find(|alarm| alarm["kind"] == kind)
}

#[tokio::test]
async fn a_balancer_is_shown_with_what_it_reports_and_how_far_behind_it_is() {
    let memory = Arc::new(Memory::new());
    let fixture = Fixture::start_over(memory.clone()).await;
    let report = Report {
        applied: Some(fixture.position().await),
        leaving: [in_flight("default/old", 7, 2)].into(),
        ..balancer("127.0.0.1:8000")
    };
    fixture.report(&report).await;
    let lost = balancer("127.0.0.1:8001");
    report_of(&memory, &lost, Duration::from_secs(60));
    fixture.add("a", "10.0.0.1:80").await;
    fixture.add("b", "10.0.0.2:80").await;

    let balancers = fixture
        .get("/v1/balancers")
        .await
        .expect(StatusCode::OK)
        .body;
    let (here, gone) = (&balancers[0], &balancers[1]);
    assert_eq!(here["id"], json!(report.instance));
    assert_eq!(
        (&here["advertise"], &here["region"], &here["zone"]),
        (&json!("127.0.0.1:8000"), &json!("eu"), &json!("a"))
    );
    assert_eq!(
        (&here["revision"], &here["lag"], &here["lost"]),
        (&json!(1), &json!(2), &json!(false))
    );
    assert_eq!(
        here["leaving"],
        json!([{"server": "default/old", "incarnation": 7, "in_flight": 2}])
    );
    assert_eq!(
        (&gone["revision"], &gone["lag"], &gone["lost"]),
        (&Value::Null, &Value::Null, &json!(true))
    );
    assert!(here["lag_ms"].is_u64(), "{here}");
    assert_eq!(
        (&gone["lag_ms"], &gone["stale"]),
        (&Value::Null, &json!(true))
    );
    assert!(gone["age"].as_str().unwrap().starts_with("1m"), "{gone}");
    assert_eq!(balancers.as_array().unwrap().len(), 2);

    for id in [lost.instance.to_string(), "nonsense".into()] {
        let status = fixture.delete(&format!("/v1/balancers/{id}")).await.status;
        assert_eq!(status == StatusCode::OK, id != "nonsense");
    }
    assert_eq!(
        fixture
            .get("/v1/balancers")
            .await
            .body
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn how_long_a_balancer_lags_is_said_in_the_registrys_time() {
    let memory = Arc::new(Memory::new());
    let fixture = Fixture::start_over(memory.clone()).await;
    let behind = Report {
        applied: Some(fixture.position().await),
        ..balancer("127.0.0.1:8000")
    };
    let commit = |pool: &str| {
        let change = Change::put_pool(Pool::new(pool.parse().unwrap()));
        let name = "test".into();
        Commit::new(Author::Operator { name }, vec![change])
    };
    // The first one a minute ago, without telling anybody.
    let then = ago(Duration::from_secs(60));
    let committed = memory.tamper(|store| store.commit(&commit("web"), then));
    committed.expect("a commit");
    let committed = fixture.registry.commit(commit("shop")).await;
    let present = Report {
        applied: Some(committed.expect("a commit").position),
        ..balancer("127.0.0.1:8001")
    };
    let old = Report {
        applied: present.applied,
        origin: Origin::Disk,
        ..balancer("127.0.0.1:8002")
    };
    for report in [&behind, &present, &old] {
        fixture.report(report).await;
    }
    let balancers = within(async {
        loop {
            let balancers = fixture.get("/v1/balancers").await.body;
            if balancers[0]["lag"] == 2 {
                return balancers;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let lag = balancers[0]["lag_ms"].as_u64().expect("a number");
    assert!(lag >= 59_000, "{lag}");
    assert_eq!(
        (&balancers[1]["lag"], &balancers[1]["lag_ms"]),
        (&json!(0), &json!(0))
    );
    let status = fixture.get("/v1/status").await.body;
    for listed in [&balancers, &status["balancers"]] {
        let stale: Vec<_> = (0..3).map(|index| listed[index]["stale"].clone()).collect();
        assert_eq!(stale, [true, false, true], "{listed}");
    }
}

#[tokio::test]
async fn an_instance_whose_place_another_has_taken_concerns_nobody_any_more() {
    let memory = Arc::new(Memory::new());
    let fixture = Fixture::start_over(memory.clone()).await;
    let (lost, successor) = (balancer("127.0.0.1:8000"), balancer("127.0.0.1:8000"));
    let position = fixture.position().await;
    let hold = Hold::new(model::PoolId::standard(), position);
    let holding = Report {
        holds: vec![hold],
        ..lost.clone()
    };
    report_of(&memory, &holding, Duration::from_secs(60));
    // What another role is reached at takes no balancer's place.
    let orchestrator = Report {
        role: Role::Orchestrator,
        ..balancer("127.0.0.1:8000")
    };
    fixture.report(&orchestrator).await;
    let status = fixture.get("/v1/status").await.expect(StatusCode::OK).body;
    assert_eq!(
        alarm(&status, "lost").unwrap()["subject"],
        "balancer 127.0.0.1:8000"
    );
    assert_eq!(fixture.get("/v1/holds").await.body[0]["pool"], "default");

    fixture.report(&successor).await;
    let status = fixture.get("/v1/status").await.expect(StatusCode::OK).body;
    assert_eq!(
        (alarm(&status, "lost"), alarm(&status, "hold")),
        (None, None)
    );
    for listed in [
        &status["balancers"],
        &fixture.get("/v1/balancers").await.body,
    ] {
        assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
        assert_eq!(listed[0]["id"], json!(successor.instance));
    }
    assert_eq!(fixture.get("/v1/holds").await.body, json!([]));
    // It can be forgotten all the same.
    let path = format!("/v1/balancers/{}", lost.instance);
    fixture.delete(&path).await.expect(StatusCode::OK);
    fixture.delete(&path).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn two_that_live_at_one_address_are_both_shown() {
    let fixture = Fixture::start().await;
    for _ in 0..2 {
        fixture.report(&balancer("127.0.0.1:8000")).await;
    }
    let balancers = fixture.get("/v1/balancers").await.body;
    assert_eq!(balancers.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_orchestrator_is_forgotten_under_its_own_name() {
    let memory = Arc::new(Memory::new());
    let fixture = Fixture::start_over(memory.clone()).await;
    let report = Report {
        role: Role::Orchestrator,
        ..balancer("127.0.0.1:8200")
    };
    report_of(&memory, &report, Duration::from_secs(60));
    let id = report.instance;
    let wrong = fixture.delete(&format!("/v1/balancers/{id}")).await;
    wrong.expect(StatusCode::NOT_FOUND);
    let path = format!("/v1/orchestrators/{id}");
    let forgotten = fixture.delete(&path).await.expect(StatusCode::OK).body;
    assert_eq!(forgotten, json!({"id": id, "advertise": "127.0.0.1:8200"}));
    let again = fixture.delete(&path).await.expect(StatusCode::NOT_FOUND);
    assert!(
        again.detail().contains("no orchestrator"),
        "{}",
        again.detail()
    );
    assert_eq!(fixture.get("/v1/orchestrators").await.body, json!([]));
}

#[tokio::test]
async fn a_pool_whose_servers_take_no_requests_is_an_alarm() {
    let fixture = Fixture::start().await;
    let alarm_now = async || {
        let status = fixture.get("/v1/status").await.expect(StatusCode::OK).body;
        let alarm = alarm(&status, "unserved").cloned();
        alarm.map(|alarm| (alarm["subject"].clone(), alarm["detail"].clone()))
    };
    let default = |detail: &str| Some((json!("pool default"), json!(detail)));
    assert_eq!(alarm_now().await, default("it has no server"));
    fixture.add("a", "10.0.0.1:80").await;
    assert_eq!(alarm_now().await, None);
    let path = "/v1/pools/default/servers/a";
    let patch = json!({"weight": 0});
    fixture.patch(path, patch).await.expect(StatusCode::OK);
    assert_eq!(
        alarm_now().await,
        default("its only server takes no requests")
    );
    let body = json!({"id": "b", "address": "10.0.0.2:80", "state": "disabled"});
    let added = fixture.post("/v1/pools/default/servers", body).await;
    added.expect(StatusCode::CREATED);
    assert_eq!(
        alarm_now().await,
        default("none of its 2 servers takes requests")
    );
    // A pool that was just made needs no server yet.
    fixture.add("c", "10.0.0.3:80").await;
    let pool = fixture.post("/v1/pools", json!({"id": "web"})).await;
    pool.expect(StatusCode::CREATED);
    assert_eq!(alarm_now().await, None);
}

#[tokio::test]
async fn the_status_counts_and_raises_what_somebody_should_look_at() {
    let memory = Arc::new(Memory::new());
    let fixture = Fixture::start_over(memory.clone()).await;
    fixture.add("a", "10.0.0.1:80").await;
    fixture.add("b", "10.0.0.2:80").await;
    let nack = Fault {
        collection: Collection::Pools,
        key: "web".into(),
        reason: "cannot be applied".into(),
    };
    let report = Report {
        applied: Some(fixture.position().await),
        nacks: vec![nack],
        more_nacks: [(Collection::Servers, 12)].into(),
        more_troubles: 7,
        ..balancer("127.0.0.1:8000")
    };
    fixture.report(&report).await;
    report_of(
        &memory,
        &balancer("127.0.0.1:8001"),
        Duration::from_secs(60),
    );
    let drain = json!({"state": "draining"});
    fixture
        .patch("/v1/pools/default/servers/a", drain)
        .await
        .expect(StatusCode::OK);

    let status = fixture.get("/v1/status").await.expect(StatusCode::OK).body;
    assert_eq!(status["epoch"], json!(fixture.position().await.epoch));
    assert_eq!(
        (&status["revision"], &status["desired"], &status["pools"]),
        (&json!(4), &json!(4), &json!(1))
    );
    let servers =
        json!({"total": 2, "up": 0, "down": 0, "unknown": 2, "draining": 1, "disabled": 0});
    assert_eq!(status["servers"], servers);
    assert_eq!(
        (
            &status["balancers"][0]["lag"],
            &status["balancers"][1]["lost"]
        ),
        (&json!(1), &json!(true))
    );
    assert_eq!(
        alarm(&status, "lost").unwrap()["subject"],
        "balancer 127.0.0.1:8001"
    );
    assert!(
        alarm(&status, "nack").unwrap()["detail"]
            .as_str()
            .unwrap()
            .contains("pools \"web\"")
    );
    let alarms = status["alarms"].as_array().unwrap();
    let last = |kind: &str| alarms.iter().rfind(|alarm| alarm["kind"] == kind).unwrap();
    let counted = |kind, count, detail| json!({"kind": kind, "subject": "balancer 127.0.0.1:8000", "detail": detail, "count": count});
    assert_eq!(*last("nack"), counted("nack", 12, "and 12 more of servers"));
    assert_eq!(*last("trouble"), counted("trouble", 7, "and 7 more"));
    assert_eq!(alarm(&status, "nack").unwrap()["count"], 1);
    let balancers = fixture.get("/v1/balancers").await.body;
    assert_eq!(balancers[0]["more_nacks"], json!({"servers": 12}));
    assert!(alarm(&status, "leaderless").is_some());
    assert_eq!(status["leader"], Value::Null);
}

#[tokio::test]
async fn the_leader_is_shown_while_its_heart_beats() {
    let fixture = Fixture::start().await;
    let leader = InstanceId::random();
    let report = Report {
        instance: leader,
        role: Role::Orchestrator,
        ..balancer("orchestrator-1")
    };
    fixture.report(&report).await;
    let head = fixture
        .registry
        .acquire(leader, LEASE)
        .await
        .unwrap()
        .unwrap();
    let heard = async {
        loop {
            fixture
                .registry
                .renew(leader, head.term, LEASE)
                .await
                .unwrap()
                .unwrap();
            let status = fixture.get("/v1/status").await.body;
            if status["leader"] == json!(leader) {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    let status = within(heard).await;
    assert_eq!(
        (&status["term"], alarm(&status, "leaderless")),
        (&json!(1), None)
    );
    let orchestrators = fixture
        .get("/v1/orchestrators")
        .await
        .expect(StatusCode::OK)
        .body;
    assert_eq!(
        (&orchestrators[0]["leads"], &orchestrators[0]["term"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(fixture.get("/v1/balancers").await.body, json!([]));
}

#[tokio::test]
async fn nonsense_in_the_registry_is_reported_by_name_and_the_rest_goes_on() {
    let memory = Arc::new(Memory::new());
    let fixture = Fixture::start_over(memory.clone()).await;
    fixture.add("a", "10.0.0.1:80").await;
    memory.tamper(|store| {
        store.tamper(Collection::Servers, "default/broken", Some("nonsense"));
    });
    // Whoever reads the registry now meets it.
    let late = Fixture::over(fixture.registry.clone(), crate::harness::args()).await;
    within(late.api.ready()).await;
    let status = late.get("/v1/status").await.expect(StatusCode::OK).body;
    assert_eq!(
        alarm(&status, "fault").unwrap()["subject"],
        "servers default/broken"
    );
    assert_eq!(alarm(&status, "damage").unwrap()["subject"], "servers *");
    late.get("/v1/pools/default/servers/a")
        .await
        .expect(StatusCode::OK);
    late.add("b", "10.0.0.2:80").await;
}

async fn hold(fixture: &Fixture, advertise: &str) -> Report {
    let position = fixture.position().await;
    let mut hold = Hold::new(model::PoolId::standard(), position);
    for server in ["default/a", "default/b"] {
        hold.add(&server.parse().unwrap());
    }
    let report = Report {
        applied: Some(position),
        holds: vec![hold],
        ..balancer(advertise)
    };
    fixture.report(&report).await;
    report
}

#[tokio::test]
async fn a_held_withdrawal_is_shown_and_confirmed_by_name() {
    let fixture = Fixture::start().await;
    assert_eq!(
        fixture.get("/v1/holds").await.expect(StatusCode::OK).body,
        json!([])
    );
    let confirm = "/v1/holds/default/confirm";
    fixture
        .request("POST", confirm)
        .send()
        .await
        .expect(StatusCode::NOT_FOUND);
    hold(&fixture, "b1").await;
    fixture.add("c", "10.0.0.3:80").await;
    hold(&fixture, "b2").await;

    let holds = fixture.get("/v1/holds").await.body;
    assert_eq!(
        (&holds[0]["pool"], &holds[0]["revision"]),
        (&json!("default"), &json!(2))
    );
    assert_eq!(holds[0]["servers"], json!(["default/a", "default/b"]));
    assert_eq!(holds[0]["total"], 2);
    assert_eq!(holds[0]["balancers"].as_array().unwrap().len(), 2);
    assert!(alarm(&fixture.get("/v1/status").await.body, "hold").is_some());

    let answer = fixture
        .request("POST", confirm)
        .send()
        .await
        .expect(StatusCode::OK);
    assert_eq!(
        (&answer.body["revision"], &answer.body["ruling"]["revision"]),
        (&json!(3), &json!(2))
    );
    let snapshot = fixture.registry.snapshot().await.unwrap().unwrap().snapshot;
    let ruling = &snapshot.holds[&model::PoolId::standard()].value;
    assert_eq!(ruling.epoch, snapshot.position.epoch);
    assert_eq!(
        (ruling.revision, ruling.decision),
        (Revision(2), HoldDecision::Confirm)
    );
}

#[tokio::test]
async fn a_confirmation_names_what_it_saw_or_is_refused() {
    let fixture = Fixture::start().await;
    hold(&fixture, "b1").await;
    let confirm = "/v1/holds/default/confirm";
    for (body, field) in [
        (json!({"revision": 9}), "revision"),
        (json!({"revision": "one"}), "revision"),
        (json!({"epoch": model::Epoch::random()}), "epoch"),
        (json!({"pool": "default"}), "pool"),
    ] {
        let answer = fixture
            .post(confirm, body)
            .await
            .expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field]);
    }
    fixture
        .post("/v1/holds/nowhere/confirm", json!({}))
        .await
        .expect(StatusCode::NOT_FOUND);
    let epoch = fixture.position().await.epoch;
    let answer = fixture
        .post(confirm, json!({"epoch": epoch, "revision": 1}))
        .await;
    assert_eq!(answer.expect(StatusCode::OK).body["ruling"]["revision"], 1);
}

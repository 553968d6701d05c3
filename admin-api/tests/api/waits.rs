//! `?wait=applied|drained`: changes that are answered once the whole fleet has made them.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use model::{Collection, Fault, Report};
use registry::Memory;
use serde_json::json;

use crate::harness::{Answer, Fixture, balancer, in_flight, report_of, within};

const SERVERS: &str = "/v1/pools/default/servers";
const SERVER: &str = "/v1/pools/default/servers/a";

/// A balancer that has applied what there is now.
async fn up_to_date(fixture: &Fixture, advertise: &str) -> Report {
    let report = Report {
        applied: Some(fixture.position().await),
        ..balancer(advertise)
    };
    fixture.report(&report).await;
    report
}

/// Waits for a revision to be there, so that a report can follow it.
async fn revision(fixture: &Fixture, revision: u64) {
    let reached = async {
        let mut announcements = fixture.registry.announcements().await.unwrap();
        while fixture.position().await.revision.0 < revision {
            announcements.next().await.unwrap();
        }
    };
    within(reached).await;
}

fn laggards(answer: &Answer) -> Vec<(&str, &str)> {
    let laggards = answer.body["wait"]["laggards"].as_array().unwrap();
    let pairs = laggards.iter().map(|laggard| {
        let text = |field: &str| laggard[field].as_str().unwrap();
        (text("advertise"), text("reason"))
    });
    pairs.collect()
}

#[tokio::test]
async fn without_balancers_a_change_is_applied_at_once() {
    let fixture = Fixture::start().await;
    let path = format!("{SERVERS}?wait=applied");
    let answer = fixture.post(&path, json!({"address": "10.0.0.1:80"})).await;
    let answer = answer.expect(StatusCode::CREATED);
    assert_eq!(answer.body["wait"]["done"], true);
    assert_eq!(answer.body["wait"]["until"], "applied");
    assert!(answer.body["wait"]["took"].is_string());
    assert_eq!(answer.header("location"), "/v1/pools/default/servers/s1");
}

#[tokio::test]
async fn a_change_is_answered_when_the_last_balancer_reports_it() {
    let fixture = Fixture::start().await;
    let mut first = up_to_date(&fixture, "b1").await;
    let mut second = up_to_date(&fixture, "b2").await;
    let path = format!("{SERVERS}?wait=applied&timeout=10s");
    let reports = async {
        revision(&fixture, 2).await;
        for report in [&mut first, &mut second] {
            report.applied = Some(fixture.position().await);
            fixture.report(report).await;
        }
    };
    let (answer, ()) = tokio::join!(
        fixture.post(&path, json!({"address": "10.0.0.1:80"})),
        reports
    );
    let answer = answer.expect(StatusCode::CREATED);
    assert_eq!(
        (&answer.body["wait"]["done"], &answer.body["revision"]),
        (&json!(true), &json!(2))
    );
}

#[tokio::test]
async fn where_the_wait_runs_out_the_laggards_are_named() {
    let memory = Arc::new(Memory::new());
    let fixture = Fixture::start_over(memory.clone()).await;
    up_to_date(&fixture, "slow").await;
    let silent = balancer("silent");
    report_of(&memory, &silent, Duration::from_secs(60));
    let path = format!("{SERVERS}?wait=applied&timeout=200ms");
    let answer = fixture.post(&path, json!({"address": "10.0.0.1:80"})).await;
    let answer = answer.expect(StatusCode::ACCEPTED);
    assert_eq!(
        (&answer.body["wait"]["done"], &answer.body["revision"]),
        (&json!(false), &json!(2))
    );
    let mut late = laggards(&answer);
    late.sort_unstable();
    assert_eq!(late.len(), 2);
    assert!(
        late[0].0 == "silent" && late[0].1.contains("lost"),
        "{late:?}"
    );
    assert!(
        late[1].0 == "slow" && late[1].1.contains("revision 1 of 2"),
        "{late:?}"
    );
    let ids: Vec<_> = answer.body["wait"]["laggards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["instance"])
        .collect();
    assert!(ids.contains(&&json!(silent.instance)), "{ids:?}");
    // The change was made all the same.
    fixture
        .get("/v1/pools/default/servers/s1")
        .await
        .expect(StatusCode::OK);
}

#[tokio::test]
async fn a_balancer_that_cannot_apply_the_change_is_named_without_waiting_for_it() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let mut report = up_to_date(&fixture, "b1").await;
    let path = format!("{SERVER}?wait=applied&timeout=1h");
    let reports = async {
        revision(&fixture, 3).await;
        report.applied = Some(fixture.position().await);
        report.nacks.push(Fault {
            collection: Collection::Servers,
            key: "default/a".into(),
            reason: "weight: must be from 0 to 1000".into(),
        });
        fixture.report(&report).await;
    };
    let (answer, ()) = tokio::join!(fixture.patch(&path, json!({"weight": 7})), reports);
    let answer = answer.expect(StatusCode::ACCEPTED);
    assert_eq!(answer.body["wait"]["done"], false);
    let reason = r#"cannot apply servers "default/a": weight: must be from 0 to 1000"#;
    assert_eq!(laggards(&answer), [("b1", reason)]);
    // What it cannot apply of one server concerns no other.
    report.applied = None;
    let other = format!("{SERVERS}?wait=applied&timeout=1h");
    let reports = async {
        revision(&fixture, 4).await;
        report.applied = Some(fixture.position().await);
        fixture.report(&report).await;
    };
    let body = json!({"address": "10.0.0.2:80"});
    let (answer, ()) = tokio::join!(fixture.post(&other, body), reports);
    answer.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn nobody_waits_for_who_was_forgotten_or_left_in_order() {
    let fixture = Fixture::start().await;
    let lost = up_to_date(&fixture, "lost").await;
    let leaving = up_to_date(&fixture, "leaving").await;
    let path = format!("/v1/balancers/{}", lost.instance);
    let forgotten = fixture.delete(&path).await.expect(StatusCode::OK);
    assert_eq!(forgotten.body["advertise"], "lost");
    fixture.delete(&path).await.expect(StatusCode::NOT_FOUND);
    fixture.registry.deregister(leaving.instance).await.unwrap();
    let path = format!("{SERVERS}?wait=applied");
    let answer = fixture.post(&path, json!({"address": "10.0.0.1:80"})).await;
    answer.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_removal_is_drained_when_no_request_is_left_anywhere() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let mut busy = up_to_date(&fixture, "b1").await;
    let path = format!("{SERVER}?wait=drained&timeout=10s");
    let reports = async {
        revision(&fixture, 3).await;
        busy.applied = Some(fixture.position().await);
        for requests in [2, 1, 0] {
            busy.leaving = [in_flight("default/a", 2, requests)].into();
            fixture.report(&busy).await;
        }
    };
    let (answer, ()) = tokio::join!(fixture.delete(&path), reports);
    let answer = answer.expect(StatusCode::OK);
    assert_eq!(
        (&answer.body["revision"], &answer.body["wait"]["done"]),
        (&json!(3), &json!(true))
    );
}

#[tokio::test]
async fn a_balancer_with_requests_left_or_none_named_is_not_drained() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let mut busy = up_to_date(&fixture, "busy").await;
    let mut vague = up_to_date(&fixture, "vague").await;
    let path = format!("{SERVER}?wait=drained&timeout=500ms");
    let reports = async {
        revision(&fixture, 3).await;
        let applied = Some(fixture.position().await);
        (busy.applied, vague.applied) = (applied, applied);
        busy.leaving = [in_flight("default/a", 2, 3)].into();
        fixture.report(&busy).await;
        fixture.report(&vague).await;
    };
    let (answer, ()) = tokio::join!(fixture.delete(&path), reports);
    let answer = answer.expect(StatusCode::ACCEPTED);
    let mut late = laggards(&answer);
    late.sort_unstable();
    assert!(late[0].1.contains("has 3 in flight"), "{late:?}");
    assert!(late[1].1.contains("does not say"), "{late:?}");
    fixture.get(SERVER).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_drain_waits_for_the_incarnation_that_the_commit_gave() {
    let memory = Arc::new(Memory::new());
    let fixture = Fixture::start_over(memory.clone()).await;
    fixture.add("a", "10.0.0.1:80").await;
    // What a commit finds unreadable gets a new identity, and the API has not seen that.
    memory.tamper(|store| store.tamper(Collection::Servers, "default/a", Some("nonsense")));
    let drain = json!({"state": "draining"});
    let answer = fixture.patch("/v1/pools/default/servers/a", drain).await;
    let answer = answer.expect(StatusCode::OK).body;
    assert_eq!(answer["incarnation"], answer["revision"]);
    let stored = fixture.registry.snapshot().await.unwrap().unwrap().snapshot;
    let stored = &stored.servers[&"default/a".parse::<model::ServerKey>().unwrap()];
    assert_eq!(answer["incarnation"], json!(stored.incarnation));
}

#[tokio::test]
async fn a_server_can_be_drained_without_being_removed() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let mut busy = up_to_date(&fixture, "b1").await;
    let path = format!("{SERVER}?wait=drained&timeout=10s");
    let reports = async {
        revision(&fixture, 3).await;
        busy.applied = Some(fixture.position().await);
        busy.leaving = [in_flight("default/a", 2, 0)].into();
        fixture.report(&busy).await;
    };
    let (answer, ()) = tokio::join!(fixture.patch(&path, json!({"state": "draining"})), reports);
    let answer = answer.expect(StatusCode::OK);
    assert_eq!(
        (&answer.body["state"], &answer.body["wait"]["done"]),
        (&json!("draining"), &json!(true))
    );
    assert_eq!(answer.header("etag"), "\"3\"");
}

/// What a wait for this change says once the server was brought back, while a balancer is busy with it.
async fn undone(change: &str, body: &serde_json::Value, bring_back: &str) -> Answer {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let mut busy = up_to_date(&fixture, "b1").await;
    let path = format!("{SERVER}?wait=drained&timeout=1h");
    let change = fixture.request(change, &path).json(body).send();
    let brought_back = async {
        revision(&fixture, 3).await;
        busy.applied = Some(fixture.position().await);
        busy.leaving = [in_flight("default/a", 2, 2)].into();
        fixture.report(&busy).await;
        let answer = match bring_back {
            "restore" => fixture.post("/v1/revisions/2/restore", json!({})).await,
            state => fixture.patch(SERVER, json!({"state": state})).await,
        };
        answer.expect(StatusCode::OK);
    };
    let (answer, ()) = within(async { tokio::join!(change, brought_back) }).await;
    let server = fixture.get(SERVER).await.expect(StatusCode::OK);
    assert_eq!(server.body["state"], "active");
    answer
}

#[tokio::test]
async fn a_wait_ends_once_the_server_is_brought_back_and_says_by_which_revision() {
    let drain = json!({"state": "draining"});
    for (change, body, bring_back) in [
        ("DELETE", &json!({}), "restore"),
        ("PATCH", &drain, "restore"),
        ("PATCH", &drain, "active"),
    ] {
        let answer = undone(change, body, bring_back).await;
        let answer = answer.expect(StatusCode::ACCEPTED);
        let wait = &answer.body["wait"];
        assert_eq!(
            (&answer.body["revision"], &wait["done"], &wait["undone_by"]),
            (&json!(3), &json!(false), &json!(4))
        );
        assert_eq!(laggards(&answer), []);
        let reason = "default/a was brought back by revision 4, so it does not drain";
        assert_eq!(wait["reason"], reason);
    }
}

#[tokio::test]
async fn a_removal_that_nobody_is_late_with_is_not_done_where_the_server_was_brought_back() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let removal = || {
        let path = format!("{SERVER}?wait=drained");
        let call = fixture.request("DELETE", &path);
        call.header("idempotency-key", "k1").send()
    };
    let removed = removal().await.expect(StatusCode::OK);
    assert_eq!(removed.body["wait"]["done"], true);
    let restored = fixture.post("/v1/revisions/2/restore", json!({})).await;
    restored.expect(StatusCode::OK);
    let again = removal().await.expect(StatusCode::ACCEPTED);
    assert_eq!(again.body["wait"]["undone_by"], 4);
}

#[tokio::test]
async fn a_wait_ends_with_the_process_and_says_so() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    up_to_date(&fixture, "b1").await;
    let path = format!("{SERVER}?wait=drained&timeout=1h");
    let stop = async {
        revision(&fixture, 3).await;
        fixture.supervisor.request_stop();
    };
    let (answer, ()) = tokio::join!(fixture.delete(&path), stop);
    let answer = answer.expect(StatusCode::ACCEPTED);
    assert!(
        answer.body["wait"]["reason"]
            .as_str()
            .unwrap()
            .contains("stopping")
    );
    let finished = within(fixture.supervisor.finished(Duration::from_secs(8))).await;
    assert_eq!(finished, Ok(()));
}

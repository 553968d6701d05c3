//! Many clients at once.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::StatusCode;
use model::{Author, Change, PoolId, Server};
use registry::Commit;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Answer, Fixture, args, within};

const SERVERS: &str = "/v1/pools/default/servers";

async fn all(tasks: JoinSet<Answer>) -> Vec<Answer> {
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_additions_at_once_make_fifty_revisions_and_none_is_lost() {
    let fixture = Arc::new(Fixture::start().await);
    // Another admin API changes the same fleet.
    let other = Arc::new(Fixture::over(Arc::clone(&fixture.registry), args()).await);
    other.api.ready().await;
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let fixture = Arc::clone(if number % 2 == 0 { &fixture } else { &other });
        let body = json!({"address": format!("10.0.0.{number}:80")});
        tasks.spawn(async move { fixture.post(SERVERS, body).await });
    }
    let answers = all(tasks).await;
    let revisions: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| answer.expect(StatusCode::CREATED).body["revision"].as_u64())
        .collect();
    assert_eq!(revisions, (2..52).map(Some).collect());
    fixture
        .patch("/v1/pools/default", json!({"retry": {"retries": 1}}))
        .await;
    let listed = fixture.get(SERVERS).await.body;
    let ids: BTreeSet<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_that_want_one_address_one_gets_it() {
    let fixture = Arc::new(Fixture::start().await);
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let fixture = Arc::clone(&fixture);
        tasks.spawn(async move {
            fixture
                .post(SERVERS, json!({"address": "10.0.0.1:80"}))
                .await
        });
    }
    let answers = all(tasks).await;
    let with = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!(
        (with(StatusCode::CREATED), with(StatusCode::CONFLICT)),
        (1, 9)
    );
    assert_eq!(fixture.position().await.revision.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_that_change_what_they_saw_one_succeeds() {
    let fixture = Arc::new(Fixture::start().await);
    let tag = fixture
        .add("a", "10.0.0.1:80")
        .await
        .header("etag")
        .to_owned();
    let mut tasks = JoinSet::new();
    for weight in 2..12 {
        let (fixture, tag) = (Arc::clone(&fixture), tag.clone());
        tasks.spawn(async move {
            let call = fixture.request("PATCH", "/v1/pools/default/servers/a");
            call.header("if-match", &tag)
                .json(&json!({"weight": weight}))
                .send()
                .await
        });
    }
    let answers = all(tasks).await;
    let with = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!(
        (with(StatusCode::OK), with(StatusCode::PRECONDITION_FAILED)),
        (1, 9)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_servers_fit_in_a_pool() {
    let fixture = Fixture::start().await;
    let servers = |from: u32| {
        let change = |number: u32| {
            let address = SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 + number).into(), 80);
            let id = format!("s{number}").parse().unwrap();
            Change::put_server(Server::new(PoolId::standard(), id, address))
        };
        (from..from + 2_500).map(change).collect()
    };
    let name = "test".to_owned();
    for from in [1, 2_501, 5_001, 7_501] {
        let author = Author::Operator { name: name.clone() };
        let commit = Commit::new(author, servers(from));
        fixture.registry.commit(commit).await.unwrap();
    }
    // Once the view has them, the next id follows on them.
    let all = async {
        while fixture.get("/v1/pools/default").await.body["servers"]["total"] != 10_000 {
            tokio::task::yield_now().await;
        }
    };
    within(all).await;
    let added = fixture
        .post(SERVERS, json!({"address": "10.200.0.1:80"}))
        .await;
    assert_eq!(added.expect(StatusCode::CREATED).body["id"], "s10001");
    let taken = fixture
        .post(SERVERS, json!({"address": "10.0.1.1:80"}))
        .await;
    taken.expect(StatusCode::CONFLICT);
    let listed = fixture.get(SERVERS).await.expect(StatusCode::OK).body;
    assert_eq!(listed.as_array().unwrap().len(), 10_001);
}

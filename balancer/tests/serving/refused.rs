//! A registry that is out of reach or refuses: said where an operator looks, and asked no more often than it bears.

use std::sync::Arc;
use std::time::Duration;

use model::{Change, Collection, Epoch, FleetName, Nack, RevisionId, ServerState, Snapshot};
use registry::testing::RedisServer;
use registry::{Options, Registry};
use tokio::time::Instant;

use crate::fleet::{Fleet, commit, key, pool, server};
use crate::upstream::Upstream;
use crate::wire::{LIMIT, eventually};

fn connect(redis: &RedisServer, user: &str, fleet: &str) -> Arc<dyn Registry> {
    let options = Options::new(redis.url_of(user).as_str(), fleet.parse().expect("a name"));
    registry::open(&options).expect("a URL")
}

/// A Redis with the users of a deployment, and the operators' way into its fleet.
async fn redis() -> (RedisServer, Arc<dyn Registry>) {
    let redis = RedisServer::with_users(&FleetName::standard());
    let first = Snapshot::first(Epoch::random(), RevisionId::random());
    let seeded = connect(&redis, "orchestrator", "main").seed(&first).await;
    assert_eq!(seeded, Ok(true));
    let operators = connect(&redis, "admin", "main");
    commit(&*operators, vec![Change::put_pool(pool())]).await;
    (redis, operators)
}

/// Waits until `/readyz` says all of this.
async fn says(fleet: &Fleet, words: &[&str]) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = fleet.ops("/readyz").await;
        let text = answer.text();
        if answer.status() == 503 && words.iter().all(|word| text.contains(word)) {
            return;
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_why_there_is_no_table() {
    let (redis, _operators) = redis().await;
    let elsewhere = connect(&redis, "balancer", "other");
    let fleet = Fleet::on(elsewhere, &["--threads", "1"]).await;
    let rights = "the registry user lacks a right that this role needs";
    says(
        &fleet,
        &["there is no table yet", rights, "roundhouse:{other}:"],
    )
    .await;

    let url = format!("redis://balancer:wrong@{}", redis.address());
    let options = Options::new(url.as_str(), FleetName::standard());
    let stranger = registry::open(&options).expect("a URL");
    let fleet = Fleet::on(stranger, &["--threads", "1"]).await;
    says(&fleet, &["no table yet", "refused the user or password"]).await;

    let nowhere = Options::new("redis://127.0.0.1:1", FleetName::standard());
    let away = registry::open(&nowhere).expect("a URL");
    let fleet = Fleet::on(away, &["--threads", "1"]).await;
    says(&fleet, &["no table yet", "127.0.0.1:1 cannot be reached"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_of_another_type_leaves_it_a_table() {
    let (redis, operators) = redis().await;
    let upstream = Upstream::named("1").await;
    let put = Change::put_server(server("s1", upstream.address));
    commit(&*operators, vec![put]).await;
    redis.command_as_root(&["SET", "roundhouse:{main}:health", "hello"]);
    let fleet = Fleet::on(connect(&redis, "balancer", "main"), &["--threads", "1"]).await;
    let ready = tokio::time::timeout(LIMIT, fleet.balancer.ready()).await;
    ready.expect("ready in time");
    assert_eq!(crate::client::get(fleet.address(), "/").await.text(), "1");
    let named = |nack: &Nack| nack.reason.contains("roundhouse:{main}:health");
    is_reported(&*operators, named).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_certificate_is_reported_where_none_is_needed_too() {
    let (redis, operators) = redis().await;
    redis.command_as_root(&["HSET", "roundhouse:{main}:certificates", "www", "hello"]);
    let _fleet = Fleet::on(connect(&redis, "balancer", "main"), &["--threads", "1"]).await;
    let named = |nack: &Nack| nack.collection == Collection::Certificates && nack.key == "www";
    is_reported(&*operators, named).await;
}

/// Returns once a balancer reports that it cannot apply such an element.
async fn is_reported(operators: &dyn Registry, is_such: impl Fn(&Nack) -> bool) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let instances = operators.instances().await.expect("an answer");
        let mut nacks = instances.iter().flat_map(|it| &it.report.nacks);
        if nacks.any(&is_such) {
            return;
        }
        assert!(Instant::now() < deadline, "{instances:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses_reports_is_not_asked_in_a_hurry() {
    let (redis, operators) = redis().await;
    let upstream = Upstream::silent().await;
    let put = Change::put_server(server("s1", upstream.address));
    commit(&*operators, vec![put]).await;
    let fleet = Fleet::on(connect(&redis, "balancer", "main"), &["--threads", "1"]).await;
    let ready = tokio::time::timeout(LIMIT, fleet.balancer.ready()).await;
    ready.expect("ready in time");
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request arrives", || upstream.connections() == 1).await;
    let mut leaving = server("s1", upstream.address);
    leaving.state = ServerState::Draining;
    commit(&*operators, vec![Change::put_server(leaving)]).await;
    let deadline = Instant::now() + LIMIT;
    loop {
        let instances = operators.instances().await.expect("an answer");
        let mut loads = instances
            .iter()
            .filter_map(|it| it.report.leaving.get(&key("s1")));
        if loads.any(|load| load.in_flight == 1) {
            break;
        }
        assert!(Instant::now() < deadline, "{instances:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    redis.grant("balancer", "-evalsha");
    // Now there is something to report that is refused.
    drop(client);
    let denied = || {
        let stats = redis.command_as_root(&["INFO", "commandstats"]);
        let (_, own) = stats.split_once("cmdstat_evalsha:").expect("it was called");
        let (_, count) = own.split_once("rejected_calls=").expect("a count");
        let digits: String = count.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().expect("a number")
    };
    let before = denied();
    let started = Instant::now();
    eventually("it is refused again", || denied() >= before + 2).await;
    // A rate wants a time to be taken over; that it is longer on a slow machine changes nothing.
    tokio::time::sleep_until(started + Duration::from_secs(3)).await;
    let (refused, window) = (denied() - before, started.elapsed());
    assert!(
        f64::from(refused) < 10.0 * window.as_secs_f64(),
        "{refused} in {window:?}"
    );
}

//! Orchestrators that meet in a real Redis, each over a connection of its own.

use std::time::{Duration, Instant};

use model::{Change, Health, Server};
use registry::testing::RedisServer;

use crate::support::{Running, Stage, Target, connect, eventually, key};

async fn start(redis: &RedisServer) -> Running {
    let running = Running::start_on(connect(redis), &[]).await;
    running.orchestrator.ready().await;
    running
}

/// A server that has this verdict, and from then on answers these statuses in turn.
async fn server(stage: &Stage<dyn registry::Registry>, name: &str, statuses: &[u16]) -> Target {
    let target = Target::start().await;
    target.answers(statuses[0]);
    stage.put(name, target.address).await;
    let health = match statuses[0] {
        200 => Health::Up,
        _ => Health::Down,
    };
    stage.becomes(name, health).await;
    target.answers_in_turn(statuses);
    target
}

#[tokio::test]
async fn leaders_are_killed_one_after_another_and_no_verdict_changes_by_it() {
    let redis = RedisServer::start();
    let stage = Stage::on(&redis);
    let first = start(&redis).await;
    first.leads().await;
    stage.initialised().await;
    stage.check(|_| {}).await;
    // By the default it takes three failures in a row to go down, and two successes to come up.
    let servers = [
        server(&stage, "good", &[200]).await,
        server(&stage, "bad", &[503]).await,
        server(&stage, "mostly-bad", &[200, 503, 503]).await,
        server(&stage, "seldom-good", &[503, 200]).await,
    ];
    let mut log = stage.log().await;
    let mut leader = first;
    for _ in 0..2 {
        let next = start(&redis).await;
        leader.kill();
        next.leads().await;
        for server in &servers {
            server.probed(9).await;
        }
        leader = next;
    }
    assert!(log.take().await.is_empty(), "a verdict was written");
    servers[0].answers_in_turn(&[503]);
    stage.becomes("good", Health::Down).await;
    assert_eq!(log.verdicts().await, ["good down"]);
}

/// How many servers flap.
const MANY: u16 = 1000;

#[tokio::test]
async fn a_thousand_servers_that_flap_at_once_make_few_revisions() {
    let redis = RedisServer::start();
    let stage = Stage::on(&redis);
    let leader = start(&redis).await;
    leader.leads().await;
    stage.initialised().await;
    stage
        .check(|check| {
            check.interval = Duration::from_secs(1);
            check.timeout = Duration::from_secs(30);
            (check.rise, check.fall) = (1, 1);
        })
        .await;
    let target = Target::start().await;
    let put = |number: u16| {
        let key = key(&format!("s{number}"));
        let [high, low] = number.to_be_bytes();
        let mut address = target.address;
        address.set_ip([127, 0, high + 1, low].into());
        Change::put_server(Server::new(key.pool, key.server, address))
    };
    let mut log = stage.log().await;
    stage.commit_all((0..MANY).map(put).collect()).await;
    for (status, health) in [
        (200, Health::Up),
        (503, Health::Down),
        (200, Health::Up),
        (503, Health::Down),
    ] {
        let begun = Instant::now();
        target.answers(status);
        all_become(&stage, health).await;
        // The first was the servers' own.
        let deltas = log.take().await.into_iter();
        let entries: Vec<_> = deltas
            .map(|delta| delta.entries)
            .filter(|entries| entries[0].collection == model::Collection::Health)
            .collect();
        let (revisions, written) = (entries.len(), entries.iter().map(Vec::len).sum::<usize>());
        assert_eq!(written, usize::from(MANY), "only what changed is written");
        let seconds = usize::try_from(begun.elapsed().as_secs()).expect("few");
        // About ten in the first second out of the quiet, and six in each one after.
        let most = 12 + 8 * (seconds + 1);
        assert!(revisions <= most, "{revisions} in {seconds} s");
    }
}

async fn all_become(stage: &Stage<dyn registry::Registry>, health: Health) {
    let reached = async || {
        let snapshot = stage.snapshot().await.expect("a fleet");
        let servers = snapshot.servers.keys();
        let all = servers.filter(|key| snapshot.health_of(key) == health);
        (all.count() == usize::from(MANY)).then_some(())
    };
    eventually(&format!("all are {health}"), reached).await;
}

//! Servers that come and go while traffic runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use model::{
    Author, Change, Epoch, Health, InstanceId, Pool, PoolId, Position, ServerState, Verdict,
};
use registry::{Commit, Goal, Head};
use tokio::time::timeout;

use crate::client;
use crate::fleet::{Fleet, commit, key, pool, registry, server};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, eventually};

/// Answers when it is told to.
pub(crate) async fn held(release: &Arc<tokio::sync::Semaphore>) -> Upstream {
    let release = Arc::clone(release);
    Upstream::start(move |mut link: Link| {
        let release = Arc::clone(&release);
        async move {
            while let Some(request) = link.request().await {
                release.acquire().await.expect("a permit").forget();
                link.answer(&request, "held").await;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_server_gets_no_new_request_and_is_drained_when_the_last_one_ends() {
    let release = Arc::new(tokio::sync::Semaphore::new(0));
    let (busy, other) = (held(&release).await, Upstream::named("other").await);
    let fleet = Fleet::of(&[&busy]).await;
    let address = fleet.address();
    let in_flight = tokio::spawn(async move { client::post(address, "/", "once").await.text() });
    eventually("the request is in flight", || busy.requests() == 1).await;

    fleet
        .change(Change::put_server(server("s2", other.address)))
        .await;
    let leaving = fleet.leaving("s1").await;
    let position = fleet
        .set_state("s1", busy.address, ServerState::Draining)
        .await;
    for _ in 0..6 {
        assert_eq!(client::get(address, "/").await.text(), "other");
    }
    let drained = Goal::Drained(position, leaving);
    assert!(!fleet.has_reached(&drained).await, "a request is in flight");
    release.add_permits(1);
    assert_eq!(in_flight.await.expect("it ends"), "held");
    fleet.reaches(&drained).await;
    eventually("idle connections to it are closed", || busy.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_server_finishes_what_it_has() {
    let release = Arc::new(tokio::sync::Semaphore::new(0));
    let (busy, other) = (held(&release).await, Upstream::named("other").await);
    let fleet = Fleet::of(&[&busy]).await;
    let address = fleet.address();
    let in_flight = tokio::spawn(async move { client::post(address, "/", "once").await.text() });
    eventually("the request is in flight", || busy.requests() == 1).await;
    let leaving = fleet.leaving("s1").await;
    fleet
        .change(Change::put_server(server("s2", other.address)))
        .await;
    let position = fleet.change(Change::Server(key("s1"), None)).await;
    for _ in 0..4 {
        assert_eq!(client::get(address, "/").await.text(), "other");
    }
    let drained = Goal::Drained(position, leaving);
    assert!(!fleet.has_reached(&drained).await, "a request is in flight");
    release.add_permits(1);
    assert_eq!(in_flight.await.expect("it ends"), "held");
    fleet.reaches(&drained).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_within_the_pools_drain_time_is_cut_short() {
    let (hung, streaming) = (
        Upstream::silent().await,
        Upstream::start(async |mut link: Link| {
            link.request().await;
            link.wire.send("HTTP/1.1 200 OK\r\n\r\nendless").await;
            link.wire.rest().await;
        })
        .await,
    );
    let mut hasty = pool();
    hasty.timeouts.drain = Duration::from_millis(500);
    let fleet = Fleet::with(hasty, &[&hung]).await;
    let address = fleet.address();
    let waiting = tokio::spawn(async move { client::post(address, "/", "once").await });
    eventually("the request is in flight", || hung.open() == 1).await;
    let of_hung = fleet.leaving("s1").await;
    let position = fleet
        .set_state("s1", hung.address, ServerState::Draining)
        .await;
    fleet.reaches(&Goal::Drained(position, of_hung)).await;
    let answer = waiting.await.expect("an answer");
    assert_eq!(answer.verdict(), (503, "server-drained".into()));

    fleet
        .change(Change::put_server(server("s2", streaming.address)))
        .await;
    let of_streaming = fleet.leaving("s2").await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.expect("a head");
    let position = fleet.change(Change::Server(key("s2"), None)).await;
    fleet.reaches(&Goal::Drained(position, of_streaming)).await;
    let rest = client.rest().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it does not look complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_to_a_removed_server_are_closed() {
    let server = Upstream::named("1").await;
    let fleet = Fleet::of(&[&server]).await;
    for _ in 0..4 {
        client::get(fleet.address(), "/").await;
    }
    assert!(server.open() > 0);
    fleet.change(Change::Server(key("s1"), None)).await;
    eventually("no connection is left", || server.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_servers_come_and_go() {
    let servers = [
        Upstream::named("1").await,
        Upstream::named("2").await,
        Upstream::named("3").await,
    ];
    let fleet = Fleet::of(&[&servers[0], &servers[1], &servers[2]]).await;
    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (done, answered, address) =
                (Arc::clone(&done), Arc::clone(&answered), fleet.address());
            tokio::spawn(async move {
                let mut client = client::connect(address).await;
                while !done.load(Ordering::SeqCst) {
                    assert_eq!(client.get("/").await.status(), 200);
                    assert_eq!(client::post(address, "/", "body").await.status(), 200);
                    answered.fetch_add(2, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for round in 0..60 {
        let (id, upstream) = [("s1", &servers[0]), ("s2", &servers[1])][round % 2];
        fleet.change(Change::Server(key(id), None)).await;
        fleet
            .change(Change::put_server(server(id, upstream.address)))
            .await;
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.expect("no request failed");
    }
    assert!(answered.load(Ordering::SeqCst) > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_from_its_own_disk_while_the_registry_is_away() {
    let server = Upstream::named("1").await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("a path");
    let first = Fleet::at(
        pool(),
        &[server.address],
        &["--threads", "1", "--state-dir", path],
    )
    .await;
    let file = directory.path().join("balancer.json");
    eventually("the state is on disk", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"s1\""))
    })
    .await;
    first.supervisor.request_stop();
    first.supervisor.finished(LIMIT).await.expect("it ends");

    let flags = [
        "--threads",
        "1",
        "--state-dir",
        path,
        "--registry",
        "redis://127.0.0.1:1",
    ];
    let away = registry::open(&crate::fleet::args(&flags).registry).expect("a registry");
    let second = Fleet::on(away, &flags).await;
    timeout(LIMIT, second.balancer.ready())
        .await
        .expect("ready in time");
    assert_eq!(client::get(second.address(), "/").await.text(), "1");
    assert_eq!(second.ops("/readyz").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_table_it_lives_but_is_not_ready() {
    let empty = registry::open(&crate::fleet::args(&[]).registry).expect("the memory registry");
    let fleet = Fleet::on(empty, &["--threads", "1"]).await;
    assert_eq!(fleet.ops("/livez").await.status(), 200);
    let answer = fleet.ops("/readyz").await;
    assert_eq!(
        (answer.status(), answer.text()),
        (503, "not ready: there is no table yet\n".into())
    );
    let mut client = fleet.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.verdict(), (503, "no-pool".into()));
    }
    client.is_turned_away_with_a_body("/", "no-pool").await;
}

/// The leader's finding about a server.
pub(crate) async fn judge(
    fleet: &Fleet,
    head: &Head,
    leader: InstanceId,
    id: &str,
    health: Health,
) -> Position {
    let verdict = Verdict {
        incarnation: fleet.incarnation(id).await,
        health,
        reason: String::new(),
        silent_ms: 0,
        unknown: model::Unknown::default(),
    };
    let author = Author::Leader {
        instance: leader,
        term: head.term,
    };
    let commit = Commit {
        epoch: Some(head.position.epoch),
        ..Commit::new(author, vec![Change::Verdict(key(id), Some(verdict))])
    };
    let committed = fleet.registry.commit(commit).await.expect("committed");
    committed.position
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_once_every_server_has_a_first_verdict_and_verdicts_decide_who_is_picked() {
    let (one, two) = (Upstream::named("1").await, Upstream::named("2").await);
    let registry = registry(Pool::new(PoolId::standard())).await;
    for (id, upstream) in [("s1", &one), ("s2", &two)] {
        commit(
            &*registry,
            vec![Change::put_server(server(id, upstream.address))],
        )
        .await;
    }
    let leader = InstanceId::random();
    let head = registry
        .acquire(leader, LIMIT)
        .await
        .expect("a lease")
        .expect("the lease");
    let fleet = Fleet::on(registry, &["--threads", "2"]).await;
    fleet.has_table().await;
    let applied = judge(&fleet, &head, leader, "s1", Health::Up).await;
    fleet.reaches(&Goal::Applied(applied)).await;
    let answer = fleet.ops("/readyz").await;
    assert_eq!(
        (answer.status(), answer.text()),
        (
            503,
            "not ready: servers have not been inspected yet\n".into()
        )
    );
    assert_eq!(
        client::get(fleet.address(), "/").await.text(),
        "1",
        "the unknown are not picked"
    );

    judge(&fleet, &head, leader, "s2", Health::Down).await;
    timeout(LIMIT, fleet.balancer.ready())
        .await
        .expect("ready in time");
    for _ in 0..3 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "1");
    }
    let applied = judge(&fleet, &head, leader, "s1", Health::Down).await;
    fleet.reaches(&Goal::Applied(applied)).await;
    assert_eq!(client::get(fleet.address(), "/").await.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_it_becomes_ready_all_the_same() {
    let server_one = Upstream::named("1").await;
    let registry = registry(Pool::new(PoolId::standard())).await;
    commit(
        &*registry,
        vec![Change::put_server(server("s1", server_one.address))],
    )
    .await;
    let fleet = Fleet::on(registry, &["--threads", "1"]).await;
    let started = std::time::Instant::now();
    timeout(LIMIT, fleet.balancer.ready())
        .await
        .expect("ready in time");
    assert!(
        started.elapsed() > Duration::from_secs(5),
        "it waited for verdicts first"
    );
    assert_eq!(client::get(fleet.address(), "/").await.text(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_registers_reports_and_says_what_it_has_applied() {
    let fleet = Fleet::at(
        pool(),
        &[],
        &[
            "--threads",
            "2",
            "--advertise",
            "10.0.0.1:80",
            "--region",
            "eu",
            "--zone",
            "a",
        ],
    )
    .await;
    let position = fleet
        .change(Change::put_server(server(
            "s1",
            "127.0.0.1:9".parse().expect("an address"),
        )))
        .await;
    let instances = fleet.registry.instances().await.expect("instances");
    let report = &instances[0].report;
    assert_eq!(report.instance, fleet.balancer.instance());
    assert_eq!(
        (
            report.advertise.as_str(),
            report.region.as_str(),
            report.zone.as_str()
        ),
        ("10.0.0.1:80", "eu", "a")
    );
    assert_eq!(report.applied, Some(position));
    assert_ne!(
        report.applied.map(|position| position.epoch),
        Some(Epoch::random())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_it_looks_at_servers_that_are_down_itself_until_a_leader_is_heard() {
    let upstream = Upstream::named("1").await;
    let mut inspected = Pool::new(PoolId::standard());
    inspected.health.interval = Duration::from_millis(100);
    let registry = registry(inspected).await;
    commit(
        &*registry,
        vec![Change::put_server(server("s1", upstream.address))],
    )
    .await;
    let leader = InstanceId::random();
    let head = registry.acquire(leader, 3 * LIMIT).await.expect("a lease");
    let head = head.expect("the lease");
    let fleet = Fleet::on(registry, &["--threads", "2"]).await;
    fleet.has_table().await;
    let applied = judge(&fleet, &head, leader, "s1", Health::Down).await;
    fleet.reaches(&Goal::Applied(applied)).await;
    assert_eq!(client::get(fleet.address(), "/").await.status(), 503);

    let deadline = std::time::Instant::now() + LIMIT;
    while client::get(fleet.address(), "/").await.status() != 200 {
        assert!(std::time::Instant::now() < deadline, "it is found to be up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let heartbeat = fleet.registry.renew(leader, head.term, LIMIT).await;
    assert!(heartbeat.expect("renewed").is_some());
    while client::get(fleet.address(), "/").await.status() != 503 {
        assert!(
            std::time::Instant::now() < deadline,
            "the leader is believed"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_suspected_and_left_as_soon_as_it_is_found_to_be_down() {
    let (hung, good) = (Upstream::silent().await, Upstream::named("good").await);
    let mut patient = Pool::new(PoolId::standard());
    patient.timeouts.per_try = 3 * LIMIT;
    patient.health.timeout = Duration::from_millis(200);
    let registry = registry(patient).await;
    for (id, upstream) in [("s1", &hung), ("s2", &good)] {
        let server = server(id, upstream.address);
        commit(&*registry, vec![Change::put_server(server)]).await;
    }
    let leader = InstanceId::random();
    let head = registry.acquire(leader, 3 * LIMIT).await.expect("a lease");
    let head = head.expect("the lease");
    let mut suspicions = registry.suspicions().await.expect("a subscription");
    let fleet = Fleet::on(registry, &["--threads", "1"]).await;
    for id in ["s1", "s2"] {
        judge(&fleet, &head, leader, id, Health::Up).await;
    }
    timeout(LIMIT, fleet.balancer.ready())
        .await
        .expect("ready in time");
    let address = fleet.address();
    let clients: Vec<_> = (0..2).map(|_| client::begin(address, "/")).collect();
    // The good one is suspected as well where the machine makes it wait.
    let hung_is_suspected =
        async { while suspicions.next().await.expect("a suspicion").server != key("s1") {} };
    let suspected = timeout(LIMIT, hung_is_suspected).await;
    suspected.expect("suspected in time");
    judge(&fleet, &head, leader, "s1", Health::Down).await;
    for client in clients {
        assert_eq!(client.await.expect("an answer").text(), "good");
    }
}

//! Who gets which request, by the algorithm of the pool.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Algorithm, Change, HashOn, Health, InstanceId, Pool, PoolId, Server, ServerState};
use registry::Goal;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::client;
use crate::fleet::{Fleet, commit, pool, registry, server};
use crate::membership::{held, judge};
use crate::upstream::Upstream;
use crate::wire::{LIMIT, eventually};

fn of(algorithm: Algorithm) -> Pool {
    Pool {
        algorithm,
        ..pool()
    }
}

async fn three() -> [Upstream; 3] {
    [
        Upstream::named("1").await,
        Upstream::named("2").await,
        Upstream::named("3").await,
    ]
}

/// Who answers so many requests, each on a connection of its own.
async fn counts(fleet: &Fleet, count: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        let answer = client::get(fleet.address(), "/").await.text();
        *counts.entry(answer).or_default() += 1;
    }
    counts
}

/// Who answers this request.
async fn ask(fleet: &Fleet, target: &str, field: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{field}\r\n");
    let answer = fleet.client().await.ask(request).await;
    answer.expect("an answer").text()
}

/// A second balancer of the same fleet.
async fn another(fleet: &Fleet) -> Fleet {
    let other = Fleet::on(Arc::clone(&fleet.registry), &["--threads", "2"]).await;
    timeout(LIMIT, other.balancer.ready())
        .await
        .expect("ready in time");
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn chance_leaves_nobody_out() {
    let [one, two, three] = three().await;
    let fleet = Fleet::with(of(Algorithm::Random), &[&one, &two, &three]).await;
    let counts = counts(&fleet, 150).await;
    assert!(
        counts.len() == 3 && counts.values().all(|count| *count > 10),
        "{counts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn least_connections_is_exact_over_both_threads() {
    for algorithm in [
        Algorithm::LeastConnections,
        Algorithm::FleetLeastConnections,
    ] {
        let release = Arc::new(Semaphore::new(0));
        let servers = [
            held(&release).await,
            held(&release).await,
            held(&release).await,
        ];
        let fleet = Fleet::with(of(algorithm), &[&servers[0], &servers[1], &servers[2]]).await;
        let clients: Vec<_> = (0..12)
            .map(|_| client::begin(fleet.address(), "/"))
            .collect();
        let all = || servers.iter().map(Upstream::requests).sum::<usize>() == 12;
        eventually("all are in flight", all).await;
        let loads: Vec<usize> = servers.iter().map(Upstream::requests).collect();
        assert_eq!(loads, [4, 4, 4], "{algorithm:?}");
        release.add_permits(12);
        for client in clients {
            assert_eq!(client.await.expect("an answer").status(), 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_the_faster_one_gets_more() {
    let slow = Upstream::late("slow", Duration::from_millis(300)).await;
    let fast = Upstream::named("fast").await;
    let fleet = Fleet::with(of(Algorithm::P2c), &[&slow, &fast]).await;
    let counts = counts(&fleet, 40).await;
    assert!(counts["fast"] > 30, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_answers_with_errors_at_once_is_not_taken_for_fast() {
    let failing = Upstream::answering("HTTP/1.1 503 Away\r\nContent-Length: 4\r\n\r\naway").await;
    let sound = Upstream::late("sound", Duration::from_millis(20)).await;
    let fleet = Fleet::with(of(Algorithm::P2c), &[&failing, &sound]).await;
    let counts = counts(&fleet, 100).await;
    assert!(counts["sound"] > 50, "{counts:?}");
}

/// The target and the fields of a request of this number.
type Numbered = fn(usize) -> (String, String);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hashed_decides_and_every_balancer_finds_the_same() {
    let [one, two, three] = three().await;
    let cases: [(HashOn, &str, Numbered); 4] = [
        (HashOn::Header, "User-Id", |key| {
            ("/".into(), format!("user-id: u{key}\r\n"))
        }),
        (HashOn::Cookie, "user", |key| {
            ("/".into(), format!("Cookie: a=b; user=u{key}\r\n"))
        }),
        (HashOn::Query, "user", |key| {
            (format!("/?a=b&user=u{key}"), String::new())
        }),
        (HashOn::Path, "", |key| {
            (format!("/u{key}?a=b"), String::new())
        }),
    ];
    for (on, name, request) in cases {
        let mut pool = of(Algorithm::Hash);
        pool.hash.on = on;
        pool.hash.name = name.into();
        let fleet = Fleet::with(pool, &[&one, &two, &three]).await;
        let other = another(&fleet).await;
        let mut owners = HashSet::new();
        for key in 0..20 {
            let (target, field) = request(key);
            let owner = ask(&fleet, &target, &field).await;
            for balancer in [&fleet, &other, &fleet] {
                assert_eq!(ask(balancer, &target, &field).await, owner, "{on:?} {key}");
            }
            owners.insert(owner);
        }
        assert_eq!(owners.len(), 3, "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_keeps_its_server_until_that_one_leaves() {
    let [one, two, three] = three().await;
    let fleet = Fleet::with(of(Algorithm::IpHash), &[&one, &two, &three]).await;
    let before = counts(&fleet, 20).await;
    assert_eq!(before.len(), 1, "{before:?}");
    let owner = before.into_keys().next().expect("a server");
    let addresses = [one.address, two.address, three.address];
    let index: usize = owner.parse().expect("a number");
    let address = addresses[index - 1];
    let id = format!("s{index}");
    fleet.set_state(&id, address, ServerState::Draining).await;
    let after = counts(&fleet, 20).await;
    assert!(after.len() == 1 && !after.contains_key(&owner), "{after:?}");
    fleet.set_state(&id, address, ServerState::Active).await;
    assert_eq!(counts(&fleet, 5).await.into_keys().next(), Some(owner));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_server_fails_goes_to_the_same_other_one_at_every_balancer() {
    let [one, two, three] = three().await;
    let fleet = Fleet::with(of(Algorithm::Hash), &[&one, &two, &three]).await;
    let other = another(&fleet).await;
    let owner = ask(&fleet, "/key", "").await;
    let mut left: Vec<Option<Upstream>> = [one, two, three].map(Some).into();
    let index: usize = owner.parse().expect("a number");
    // Nobody listens there any more, and nobody has said so: each request is tried there first.
    let dead = left[index - 1].take().expect("the owner");
    dead.end().await;
    let next = ask(&fleet, "/key", "").await;
    assert_ne!(next, owner);
    for balancer in [&fleet, &other] {
        for _ in 0..5 {
            assert_eq!(ask(balancer, "/key", "").await, next);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_behind_a_trusted_proxy_is_told_from_the_others_there() {
    let [one, two, three] = three().await;
    let registry = registry(of(Algorithm::IpHash)).await;
    for (id, upstream) in [("s1", &one), ("s2", &two), ("s3", &three)] {
        commit(
            &*registry,
            vec![Change::put_server(server(id, upstream.address))],
        )
        .await;
    }
    let fleet = Fleet::on(registry, &["--trusted-proxies", "127.0.0.1"]).await;
    timeout(LIMIT, fleet.balancer.ready())
        .await
        .expect("ready in time");
    let mut servers = HashSet::new();
    for client in 1..=20 {
        let from = format!("X-Forwarded-For: 192.0.2.{client}\r\n");
        let server = ask(&fleet, "/", &from).await;
        assert_eq!(ask(&fleet, "/", &from).await, server);
        servers.insert(server);
    }
    assert_eq!(servers.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_algorithm_is_changed_while_traffic_runs() {
    let [one, two, three] = three().await;
    let fleet = Fleet::with(of(Algorithm::IpHash), &[&one, &two, &three]).await;
    assert_eq!(counts(&fleet, 9).await.len(), 1);
    fleet
        .change(Change::put_pool(of(Algorithm::RoundRobin)))
        .await;
    let turns = counts(&fleet, 9).await;
    assert!(turns.values().all(|count| *count == 3), "{turns:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_gets_a_tenth_of_its_share_at_first() {
    let [one, two, three] = three().await;
    let mut slow = pool();
    slow.slow_start = Duration::from_secs(3600);
    let fleet = Fleet::with(slow, &[&one, &two]).await;
    fleet
        .change(Change::put_server(server("s3", three.address)))
        .await;
    let counts = counts(&fleet, 42).await;
    assert_eq!((counts["1"], counts["2"], counts["3"]), (20, 20, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_has_all_of_its_share_in_the_end() {
    let (one, two) = (Upstream::named("1").await, Upstream::named("2").await);
    let mut slow = pool();
    slow.slow_start = Duration::from_secs(1);
    let fleet = Fleet::with(slow, &[&one]).await;
    fleet
        .change(Change::put_server(server("s2", two.address)))
        .await;
    let deadline = Instant::now() + LIMIT;
    while counts(&fleet, 4).await.get("2") != Some(&2) {
        assert!(Instant::now() < deadline, "it grows without another change");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_stands_in_where_no_other_is_left() {
    let (one, two) = (Upstream::named("1").await, Upstream::named("2").await);
    let fleet = Fleet::of(&[&one]).await;
    let backup = Server {
        backup: true,
        ..server("s2", two.address)
    };
    fleet.change(Change::put_server(backup)).await;
    assert_eq!(
        counts(&fleet, 6).await.into_keys().collect::<Vec<_>>(),
        ["1"]
    );
    fleet
        .set_state("s1", one.address, ServerState::Draining)
        .await;
    assert_eq!(
        counts(&fleet, 6).await.into_keys().collect::<Vec<_>>(),
        ["2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_most_are_said_to_be_down_all_are_used() {
    let [one, two, three] = three().await;
    let four = Upstream::named("4").await;
    let mut inspected = Pool::new(PoolId::standard());
    // No leader is to be missed while the test lasts.
    inspected.health.interval = Duration::from_secs(60);
    let registry = registry(inspected).await;
    for (index, upstream) in [&one, &two, &three, &four].into_iter().enumerate() {
        let server = server(&format!("s{}", index + 1), upstream.address);
        commit(&*registry, vec![Change::put_server(server)]).await;
    }
    let leader = InstanceId::random();
    let head = registry.acquire(leader, 3 * LIMIT).await.expect("a lease");
    let head = head.expect("the lease");
    let fleet = Fleet::on(registry, &["--threads", "2"]).await;
    fleet.has_table().await;
    for id in ["s1", "s2"] {
        judge(&fleet, &head, leader, id, Health::Up).await;
    }
    for id in ["s3", "s4"] {
        judge(&fleet, &head, leader, id, Health::Down).await;
    }
    timeout(LIMIT, fleet.balancer.ready())
        .await
        .expect("ready in time");
    assert_eq!(
        counts(&fleet, 8).await.len(),
        2,
        "half of them are believed"
    );
    let applied = judge(&fleet, &head, leader, "s2", Health::Down).await;
    fleet.reaches(&Goal::Applied(applied)).await;
    assert_eq!(counts(&fleet, 8).await.len(), 4);
    let applied = judge(&fleet, &head, leader, "s1", Health::Down).await;
    fleet.reaches(&Goal::Applied(applied)).await;
    assert_eq!(client::get(fleet.address(), "/").await.status(), 503);
}

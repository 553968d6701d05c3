//! Servers that are compared by what the whole fleet has in flight to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Algorithm, Change, InstanceId, Pool, Report, Role, ServerKey, ServerLoad};
use registry::Registry;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::client;
use crate::fleet::{Fleet, key, pool};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, eventually};

fn comparing() -> Pool {
    Pool {
        algorithm: Algorithm::FleetLeastConnections,
        ..pool()
    }
}

async fn loads_of(fleet: &Fleet) -> BTreeMap<ServerKey, ServerLoad> {
    let instances = fleet.registry.instances().await.expect("instances");
    let own = fleet.balancer.instance();
    let mut reports = instances.into_iter().map(|one| one.report);
    let report = reports.find(|report| report.instance == own);
    report.map(|report| report.loads).unwrap_or_default()
}

/// What the reports say, once it is this; 0 where they say nothing of the server.
async fn reports_that_s1_has(fleet: &Fleet, in_flight: u64) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let loads = loads_of(fleet).await;
        if loads.get(&key("s1")).map_or(0, |load| load.in_flight) == in_flight {
            return;
        }
        assert!(Instant::now() < deadline, "it reports {loads:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_is_reported_where_a_pool_compares_by_it_and_only_there() {
    let silent = Upstream::silent().await;
    let fleet = Fleet::with(comparing(), &[&silent]).await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request is in flight", || silent.open() == 1).await;
    reports_that_s1_has(&fleet, 1).await;
    fleet.change(Change::put_pool(pool())).await;
    reports_that_s1_has(&fleet, 0).await;
    fleet.change(Change::put_pool(comparing())).await;
    reports_that_s1_has(&fleet, 1).await;
}

/// Reports as another balancer would, again and again, until aborted.
async fn another_balancer(registry: Arc<dyn Registry>, in_flight: u64) -> AbortHandle {
    let snapshot = registry.snapshot().await.expect("a registry");
    let servers = snapshot.expect("a snapshot").snapshot.servers;
    let load = ServerLoad {
        incarnation: servers[&key("s1")].incarnation,
        in_flight,
        sticky: false,
    };
    let report = Report {
        loads: [(key("s1"), load)].into(),
        ..Report::new(InstanceId::random(), Role::Balancer, "192.0.2.1:80")
    };
    let reporting = async move {
        loop {
            registry.report(&report, false).await.expect("reported");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::spawn(reporting).abort_handle()
}

async fn who_answers(fleet: &Fleet) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..10 {
        names.push(client::get(fleet.address(), "/").await.text());
    }
    names
}

async fn until_answered(fleet: &Fleet, what: &str, wanted: impl Fn(&[String]) -> bool) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let names = who_answers(fleet).await;
        if wanted(&names) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}, but {names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_for_others_is_spared_until_they_fall_silent() {
    let (busy, quiet) = (
        Upstream::named("busy").await,
        Upstream::named("quiet").await,
    );
    let fleet = Fleet::with(comparing(), &[&busy, &quiet]).await;
    let takes_turns = |names: &[String]| names.iter().any(|name| name == "busy");
    until_answered(&fleet, "both take turns at first", takes_turns).await;
    let other = another_balancer(Arc::clone(&fleet.registry), 50).await;
    let is_spared = |names: &[String]| names.iter().all(|name| name == "quiet");
    until_answered(&fleet, "the busy one is spared", is_spared).await;
    other.abort();
    until_answered(&fleet, "what is old counts nothing", takes_turns).await;
}

mod measurement {
    //! Whether it helps: four balancers, servers of which some are slower, and the time that requests take, beside what each
    //! balancer decides alone. Not a test: `cargo nextest run -p balancer --run-ignored only measurement --no-capture`.

    use tokio::task::JoinSet;

    use super::*;
    use crate::fleet::{commit, registry, server};

    const BALANCERS: usize = 4;
    const ROUNDS: usize = 2;
    const RUN: Duration = Duration::from_secs(8);

    /// Takes so long for each request, of which it works on two at a time.
    async fn of_speed(takes: Duration) -> Upstream {
        let workers = Arc::new(tokio::sync::Semaphore::new(2));
        Upstream::start(move |mut link: Link| {
            let workers = Arc::clone(&workers);
            async move {
                while let Some(request) = link.request().await {
                    let working = workers.acquire().await.expect("open");
                    tokio::time::sleep(takes).await;
                    drop(working);
                    link.answer(&request, "done").await;
                }
            }
        })
        .await
    }

    /// Clients of one balancer that pause between requests; the times that their requests took.
    async fn load(address: std::net::SocketAddr, clients: u64, pause: Duration) -> Vec<Duration> {
        let mut running = JoinSet::new();
        for number in 0..clients {
            running.spawn(async move {
                let mut times = Vec::new();
                let mut client = client::connect(address).await;
                // Not all at once, and not in step.
                tokio::time::sleep(Duration::from_millis(number * 7 % 40)).await;
                let begun = Instant::now();
                while begun.elapsed() < RUN {
                    let sent = Instant::now();
                    client.get("/").await;
                    // The first seconds are for the reports to come.
                    if begun.elapsed() > Duration::from_secs(3) {
                        times.push(sent.elapsed());
                    }
                    let spread = u32::try_from((number + times.len() as u64) % 5).expect("small");
                    tokio::time::sleep(pause * (spread + 1) / 3).await;
                }
                times
            });
        }
        running.join_all().await.concat()
    }

    async fn run(algorithm: Algorithm, clients: u64, pause: Duration) -> [Duration; 3] {
        let registry = registry(Pool {
            algorithm,
            ..pool()
        })
        .await;
        let mut servers = Vec::new();
        for (index, millis) in [4, 4, 4, 8, 8, 16].into_iter().enumerate() {
            let one = of_speed(Duration::from_millis(millis)).await;
            let server = server(&format!("s{index}"), one.address);
            commit(&*registry, vec![Change::put_server(server)]).await;
            servers.push(one);
        }
        let mut fleets = Vec::new();
        for _ in 0..BALANCERS {
            let fleet = Fleet::on(Arc::clone(&registry), &["--threads", "1"]).await;
            fleet.balancer.ready().await;
            fleets.push(fleet);
        }
        let mut loads = JoinSet::new();
        for fleet in &fleets {
            loads.spawn(load(fleet.address(), clients, pause));
        }
        let mut times = loads.join_all().await.concat();
        times.sort_unstable();
        [50, 99, 100].map(|percent| times[(times.len() - 1) * percent / 100])
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "a measurement of a few minutes"]
    async fn four_balancers_and_servers_of_unequal_speed() {
        for (clients, pause) in [(4, 24), (12, 24), (24, 24)] {
            for round in 0..ROUNDS {
                for algorithm in [
                    Algorithm::RoundRobin,
                    Algorithm::LeastConnections,
                    Algorithm::FleetLeastConnections,
                ] {
                    let pause = Duration::from_millis(pause);
                    let [median, late, last] = run(algorithm, clients, pause).await;
                    println!(
                        "{clients} clients each, round {round}, {algorithm:?}: p50 {median:?}, p99 {late:?}, longest {last:?}"
                    );
                }
            }
        }
    }
}

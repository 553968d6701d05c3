//! Every role its own process, meeting in a real Redis.

use std::path::Path;

use hyper::StatusCode;
use registry::testing::RedisServer;

use crate::support::{DEADLINE, Http, Load, Process, Role, eventually, free_address, run};

impl Role {
    pub(crate) fn start(role: &str, registry: &str, more: &[&str]) -> Self {
        let mut arguments = vec![role, "--registry", registry];
        if role != "orchestrator" {
            arguments.extend(["--listen", "127.0.0.1:0"]);
        }
        arguments.extend(["--ops", "127.0.0.1:0"]);
        arguments.extend(more);
        Self::started(Process::start(&arguments))
    }

    fn demo_server(name: &str, admin: &str) -> Self {
        let arguments = [
            "demo-server",
            "--name",
            name,
            "--listen",
            "127.0.0.1:0",
            "--register",
            admin,
        ];
        Self::started(Process::start(&arguments))
    }
}

async fn answers(http: &Http, balancer: &Role, status: StatusCode) {
    eventually(&format!("{} answers {status}", balancer.url), || async {
        http.get(&balancer.url).await.status == status
    })
    .await;
}

/// A fleet of one orchestrator, an admin API, two balancers and two servers that registered themselves.
pub(crate) struct Fleet {
    pub(crate) redis: RedisServer,
    pub(crate) orchestrator: Role,
    pub(crate) admin: Role,
    balancers: Vec<Role>,
    pub(crate) servers: Vec<Role>,
    pub(crate) state: tempfile::TempDir,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        let redis = RedisServer::start();
        let url = redis.url();
        let state = tempfile::tempdir().expect("a folder");
        let orchestrator = Role::start(
            "orchestrator",
            &url,
            &["--state-dir", &folder(state.path(), "orchestrator")],
        );
        let admin = Role::start("admin-api", &url, &[]);
        let balancer = |name: &str| {
            Role::start(
                "balancer",
                &url,
                &["--state-dir", &folder(state.path(), name)],
            )
        };
        let balancers = vec![balancer("balancer-1"), balancer("balancer-2")];
        let servers = vec![
            Role::demo_server("1", &admin.url),
            Role::demo_server("2", &admin.url),
        ];
        let fleet = Self {
            redis,
            orchestrator,
            admin,
            balancers,
            servers,
            state,
        };
        let http = Http::new();
        for balancer in &fleet.balancers {
            answers(&http, balancer, StatusCode::OK).await;
        }
        fleet.serves(&http, 2).await;
        fleet
    }

    /// Waits until every balancer sends requests to so many servers.
    pub(crate) async fn serves(&self, http: &Http, servers: usize) {
        eventually(
            &format!("every balancer uses {servers} servers"),
            || async {
                let mut all = true;
                for balancer in &self.balancers {
                    let bodies = http.bodies(&balancer.url, 2 * servers).await;
                    all &= bodies
                        .into_iter()
                        .collect::<std::collections::BTreeSet<_>>()
                        .len()
                        == servers;
                }
                all
            },
        )
        .await;
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.balancers
            .iter()
            .map(|balancer| balancer.url.clone())
            .collect()
    }

    pub(crate) async fn status(&self, http: &Http) -> serde_json::Value {
        http.get(&format!("{}/v1/status", self.admin.url))
            .await
            .json()
    }
}

pub(crate) fn folder(base: &Path, name: &str) -> String {
    base.join(name).to_str().expect("a path in text").to_owned()
}

#[tokio::test]
async fn the_roles_may_start_in_any_order_and_redis_last() {
    let address = free_address();
    let url = format!("redis://{address}");
    let balancer = Role::start("balancer", &url, &[]);
    let admin = Role::start("admin-api", &url, &[]);
    let server = Role::demo_server("1", &admin.url);
    let orchestrator = Role::start("orchestrator", &url, &[]);
    let http = Http::new();
    assert_eq!(
        http.get(&balancer.url).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let redis = RedisServer::start_at(address.port());
    answers(&http, &balancer, StatusCode::OK).await;
    assert_eq!(http.bodies(&balancer.url, 1).await, ["Hello from Server 1"]);
    drop((server, orchestrator, redis));
}

#[tokio::test]
async fn traffic_goes_on_when_the_leading_orchestrator_is_killed_and_another_takes_over() {
    let mut fleet = Fleet::start().await;
    let second = Role::start("orchestrator", &fleet.redis.url(), &[]);
    let http = Http::new();
    let leader = fleet.status(&http).await["leader"].clone();
    let load = Load::start(&fleet.urls(), 4);
    fleet.orchestrator.process.signal("KILL");
    fleet.orchestrator.process.ended();
    eventually("the other one leads", || async {
        let now = fleet.status(&http).await["leader"].clone();
        !now.is_null() && now != leader
    })
    .await;
    http.post(&format!("{}/-/fail", fleet.servers[0].url), "")
        .await;
    fleet.serves(&http, 1).await;
    load.stop_without_failures().await;
    drop(second);
}

#[tokio::test]
async fn a_leader_that_is_killed_is_followed_within_the_lease_that_was_given() {
    let redis = RedisServer::start();
    let url = redis.url();
    let start = || Role::start("orchestrator", &url, &["--lease", "1s"]);
    let http = Http::new();
    let leads = async |role: &Role| {
        let metrics = http.get(&format!("{}/metrics", role.ops)).await.body;
        metrics.contains("orchestrator_leading 1\n")
    };
    let mut first = start();
    eventually("the first one leads", || leads(&first)).await;
    let second = start();
    for _ in 0..3 {
        // Redis itself says how long it would keep the lease.
        let left = redis.command(&["PTTL", "roundhouse:{main}:lease"]);
        let milliseconds = left.trim_start_matches("int(").trim_end_matches(')');
        let milliseconds: i64 = milliseconds.parse().expect(&left);
        assert!((1..1_000).contains(&milliseconds), "{left}");
        assert!(!leads(&second).await);
    }
    first.process.signal("KILL");
    first.process.ended();
    let killed = std::time::Instant::now();
    eventually("the other one leads", || leads(&second)).await;
    println!("another one led {:?} after the kill", killed.elapsed());
}

#[tokio::test]
async fn traffic_outlives_redis_and_a_balancer_boots_from_its_own_disk() {
    let mut fleet = Fleet::start().await;
    let http = Http::new();
    let load = Load::start(&fleet.urls()[..1], 4);
    let url = fleet.redis.url();
    fleet.redis.kill();
    load.proceeds(200).await;
    let mut old = fleet.balancers.remove(1);
    old.process.signal("KILL");
    old.process.ended();
    let reborn = Role::start(
        "balancer",
        &url,
        &["--state-dir", &folder(fleet.state.path(), "balancer-2")],
    );
    answers(&http, &reborn, StatusCode::OK).await;
    fleet.balancers.push(reborn);
    fleet.serves(&http, 2).await;
    load.stop_without_failures().await;
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_seeded_anew_and_no_request_fails() {
    let mut fleet = Fleet::start().await;
    let http = Http::new();
    let before = fleet.status(&http).await["epoch"].clone();
    let load = Load::start(&fleet.urls(), 4);
    fleet.redis.restart_empty();
    eventually("the fleet has a new epoch", || async {
        let now = fleet.status(&http).await["epoch"].clone();
        now.is_string() && now != before
    })
    .await;
    let added = format!(
        r#"{{"id":"extra","address":"{}","state":"disabled"}}"#,
        free_address()
    );
    eventually("changes reach the balancers again", || async {
        let url = format!(
            "{}/v1/pools/default/servers/extra?wait=applied&timeout=5s",
            fleet.admin.url
        );
        let answer = http.send(hyper::Method::PUT, &url, &added).await;
        answer.is_ok_and(|answer| matches!(answer.status, StatusCode::OK | StatusCode::CREATED))
    })
    .await;
    fleet.serves(&http, 2).await;
    load.stop_without_failures().await;
}

#[tokio::test]
async fn a_memory_that_no_orchestrator_holds_is_restored_by_an_operator() {
    let mut fleet = Fleet::start().await;
    let http = Http::new();
    let before = fleet.status(&http).await["epoch"].clone();
    let url = fleet.redis.url();
    let file = fleet.state.path().join("balancer-1/balancer.json");
    eventually("the balancer has saved its state", || async {
        std::fs::read_to_string(&file).is_ok_and(|text| text.matches("incarnation").count() >= 3)
    })
    .await;
    let file = file.to_str().expect("a path in text");
    let restore = || run(&["restore-from", file, "--registry", &url]);
    let (code, _, error) = restore();
    assert_eq!(
        (code, error.as_str()),
        (
            1,
            "roundhouse: the registry holds a fleet: nothing was restored\n"
        )
    );
    fleet.orchestrator.process.signal("KILL");
    fleet.orchestrator.process.ended();
    let load = Load::start(&fleet.urls(), 4);
    fleet.redis.restart_empty();
    // It has nothing on disk.
    let orchestrator = Role::start("orchestrator", &url, &[]);
    eventually("the lost memory is alarmed", || async {
        orchestrator
            .process
            .errors()
            .contains("an operator has to restore it")
    })
    .await;
    let (code, output, error) = restore();
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(
        output.starts_with("restored: pools 1, servers 2,"),
        "{output}"
    );
    eventually("the fleet has a new epoch", || async {
        let now = fleet.status(&http).await["epoch"].clone();
        now.is_string() && now != before
    })
    .await;
    fleet.serves(&http, 2).await;
    load.stop_without_failures().await;
}

#[tokio::test]
async fn an_admin_api_that_finds_no_memory_shows_what_it_knows() {
    let Fleet {
        redis,
        mut orchestrator,
        mut admin,
        balancers,
        servers,
        state: _state,
    } = Fleet::start().await;
    orchestrator.process.signal("KILL");
    orchestrator.process.ended();
    admin.process.signal("KILL");
    admin.process.ended();
    drop((balancers, servers));
    redis.command(&["FLUSHALL"]);
    let fresh = Role::start("admin-api", &redis.url(), &[]);
    eventually("the status tells of the lost memory", || async {
        let (code, output, errors) = run(&["status", "--admin", &fresh.url]);
        assert_eq!((code, errors.as_str()), (0, ""));
        output.contains("memory_lost")
            && output.starts_with("registry       connected, no revision known\n")
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_told_to_end_is_drained_and_removed_without_a_failed_request() {
    let mut fleet = Fleet::start().await;
    let http = Http::new();
    let load = Load::start(&fleet.urls(), 4);
    load.proceeds(50).await;
    let mut server = fleet.servers.remove(0);
    server.process.signal("TERM");
    assert!(server.process.ended().success());
    let servers = http
        .get(&format!("{}/v1/pools/default/servers", fleet.admin.url))
        .await
        .json();
    assert!(
        !servers
            .to_string()
            .contains(server.url.trim_start_matches("http://")),
        "{servers}"
    );
    load.stop_without_failures().await;
}

#[tokio::test]
async fn a_balancer_that_is_told_to_end_finishes_what_runs() {
    let mut fleet = Fleet::start().await;
    let http = Http::new();
    for server in &fleet.servers {
        http.post(&format!("{}/-/slow?ms=500", server.url), "")
            .await;
    }
    let url = fleet.balancers[0].url.clone();
    let running = tokio::spawn(async move { Http::new().get(&url).await });
    let ops = fleet.balancers[0].ops.clone();
    eventually("the request is in flight", || async {
        let metrics = http.get(&format!("{ops}/metrics")).await.body;
        metrics.lines().any(|line| {
            line.starts_with("roundhouse_balancer_server_in_flight") && line.ends_with(" 1")
        })
    })
    .await;
    let balancer = &mut fleet.balancers[0];
    balancer.process.signal("TERM");
    assert_eq!(running.await.expect("no panic").status, StatusCode::OK);
    assert!(balancer.process.ended().success());
}

#[tokio::test]
async fn nonsense_written_by_hand_is_named_and_the_rest_goes_on() {
    let fleet = Fleet::start().await;
    let http = Http::new();
    fleet.redis.command(&[
        "HSET",
        "roundhouse:{main}:servers",
        "default/bad",
        "nonsense",
    ]);
    let newcomer = Role::start("balancer", &fleet.redis.url(), &[]);
    answers(&http, &newcomer, StatusCode::OK).await;
    eventually("the status names it", || async {
        fleet
            .status(&http)
            .await
            .to_string()
            .contains("default/bad")
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_said_in_those_words() {
    let redis = RedisServer::start_with(&["--requirepass", "right"]);
    let url = format!("redis://:wrong@{}", redis.address());
    let balancer = Role::start("balancer", &url, &[]);
    let deadline = std::time::Instant::now() + DEADLINE;
    while !balancer.process.errors().contains("password") {
        assert!(
            std::time::Instant::now() < deadline,
            "{}",
            balancer.process.errors()
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(
        !balancer.process.errors().contains("wrong@"),
        "the password itself is never said"
    );
}

#[tokio::test]
async fn two_fleets_in_one_redis_never_meet() {
    let fleet = Fleet::start().await;
    let other = Role::start("orchestrator", &fleet.redis.url(), &["--fleet", "other"]);
    let admin = Role::start("admin-api", &fleet.redis.url(), &["--fleet", "other"]);
    let http = Http::new();
    eventually("the other fleet has its own pool and no server", || async {
        let answer = http
            .get(&format!("{}/v1/pools/default/servers", admin.url))
            .await;
        answer.status == StatusCode::OK && !answer.body.contains("127.0.0.1")
    })
    .await;
    drop(other);
}

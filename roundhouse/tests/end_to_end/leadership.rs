//! Leaders that are held still for longer than their lease, leaders that are cut off from the servers, and a whole
//! control plane that ends at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::{Method, StatusCode};
use registry::testing::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::processes::{Fleet, folder};
use crate::support::{Http, Load, Role, eventually, free_address};

/// Two orchestrators, and which of them leads.
struct Pair {
    fleet: Fleet,
    second: Role,
    http: Http,
}

impl Pair {
    async fn start() -> Self {
        let fleet = Fleet::start().await;
        let second = Role::start(
            "orchestrator",
            &fleet.redis.url(),
            &["--state-dir", &folder(fleet.state.path(), "orchestrator-2")],
        );
        let pair = Self {
            fleet,
            second,
            http: Http::new(),
        };
        eventually("both report", || async {
            pair.orchestrators().await.len() == 2
        })
        .await;
        pair
    }

    async fn orchestrators(&self) -> Vec<serde_json::Value> {
        let url = format!("{}/v1/orchestrators", self.fleet.admin.url);
        let listed = self.http.get(&url).await.json();
        listed.as_array().expect("a list").clone()
    }

    async fn status(&self, field: &str) -> serde_json::Value {
        self.fleet.status(&self.http).await[field].clone()
    }

    async fn another_leads(&self, than: &serde_json::Value) -> serde_json::Value {
        eventually("another one leads", || async {
            let leader = self.status("leader").await;
            !leader.is_null() && leader != *than
        })
        .await;
        self.status("leader").await
    }

    /// How many revisions in the log are of this leader.
    fn revisions_of(&self, leader: &serde_json::Value) -> usize {
        let key = "roundhouse:{main}:log";
        let log = self.fleet.redis.command(&["XRANGE", key, "-", "+"]);
        log.matches(leader.as_str().expect("an id")).count()
    }

    /// Waits until this one reports that it stands where the registry does, several times over.
    async fn follows_again(&self, instance: &serde_json::Value) {
        let follows = || async {
            let mut orchestrators = self.orchestrators().await.into_iter();
            let own = orchestrators.find(|it| it["id"] == *instance);
            own.is_some_and(|own| own["lost"] == false && own["lag"] == 0)
        };
        eventually("it follows again", follows).await;
    }

    /// Whether both balancers use so many servers, and the leader knows as many to be up.
    async fn up(&self, servers: usize) {
        eventually(&format!("{servers} are up"), || async {
            self.status("servers").await["up"] == servers
        })
        .await;
        self.fleet.serves(&self.http, servers).await;
    }

    async fn switch(&self, server: usize, to: &str) {
        let url = format!("{}/-/{to}", self.fleet.servers[server].url);
        self.http.post(&url, "").await;
    }
}

#[tokio::test]
async fn a_leader_that_was_held_still_for_longer_than_its_lease_writes_nothing_any_more() {
    let pair = Pair::start().await;
    pair.up(2).await;
    let load = Load::start(&pair.fleet.urls(), 4);
    let old = pair.status("leader").await;
    pair.fleet.orchestrator.process.signal("STOP");
    let new = pair.another_leads(&old).await;
    // Its successor finds what it does not know of.
    pair.switch(0, "fail").await;
    pair.up(1).await;
    let written = pair.revisions_of(&old);
    pair.fleet.orchestrator.process.signal("CONT");
    pair.follows_again(&old).await;
    pair.switch(0, "recover").await;
    pair.up(2).await;
    assert_eq!(pair.status("leader").await, new);
    assert_eq!(pair.revisions_of(&old), written, "it wrote");
    load.stop_without_failures().await;
}

#[tokio::test]
async fn a_leader_that_was_held_still_while_redis_lost_all_it_knew_writes_nothing_any_more() {
    let pair = Pair::start().await;
    pair.up(2).await;
    let load = Load::start(&pair.fleet.urls(), 4);
    let (old, before) = (pair.status("leader").await, pair.status("epoch").await);
    pair.fleet.orchestrator.process.signal("STOP");
    let new = pair.another_leads(&old).await;
    pair.fleet.redis.command(&["FLUSHALL"]);
    eventually("the fleet has a new epoch", || async {
        let now = pair.status("epoch").await;
        now.is_string() && now != before
    })
    .await;
    let epoch = pair.status("epoch").await;
    eventually("its successor leads in it", || async {
        let lease = pair
            .fleet
            .redis
            .command(&["GET", "roundhouse:{main}:lease"]);
        lease.contains(new.as_str().expect("an id"))
    })
    .await;
    pair.fleet.orchestrator.process.signal("CONT");
    pair.follows_again(&old).await;
    pair.switch(0, "fail").await;
    pair.up(1).await;
    pair.switch(0, "recover").await;
    pair.up(2).await;
    assert_eq!(pair.status("epoch").await, epoch, "it was seeded again");
    assert_eq!(pair.status("leader").await, new);
    assert_eq!(pair.revisions_of(&old), 0, "it wrote");
    load.stop_without_failures().await;
}

#[tokio::test]
async fn who_restarts_together_with_an_empty_redis_restores_the_fleet_without_what_was_removed() {
    let mut pair = Pair::start().await;
    pair.up(2).await;
    let servers = format!("{}/v1/pools/default/servers", pair.fleet.admin.url);
    // One is removed by an operator, another says goodbye itself.
    let extra = format!(
        r#"{{"id":"extra","address":"{}","state":"disabled"}}"#,
        free_address()
    );
    let created = pair.http.post(&servers, &extra).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let url = format!("{servers}/extra?wait=applied");
    let removed = pair.http.send(Method::DELETE, &url, "").await;
    assert_eq!(removed.expect("an answer").status, StatusCode::OK);
    let mut gone = pair.fleet.servers.remove(0);
    gone.process.signal("TERM");
    assert!(gone.process.ended().success());
    pair.up(1).await;
    both_have_saved(&pair).await;

    let load = Load::start(&pair.fleet.urls(), 4);
    let before = pair.status("epoch").await;
    for process in [
        &mut pair.fleet.orchestrator.process,
        &mut pair.second.process,
    ] {
        process.signal("KILL");
        process.ended();
    }
    pair.fleet.redis.restart_empty();
    let again = |name: &str| {
        let state = folder(pair.fleet.state.path(), name);
        let url = pair.fleet.redis.url();
        Role::start("orchestrator", &url, &["--state-dir", &state])
    };
    let reborn = [again("orchestrator"), again("orchestrator-2")];
    eventually("the fleet has a new epoch", || async {
        let now = pair.status("epoch").await;
        now.is_string() && now != before
    })
    .await;
    pair.up(1).await;
    let left = pair.http.get(&servers).await.json();
    assert_eq!(left.as_array().expect("a list").len(), 1, "{left}");
    load.stop_without_failures().await;
    drop(reborn);
}

/// Waits until both state files hold what the registry does.
async fn both_have_saved(pair: &Pair) {
    for name in ["orchestrator", "orchestrator-2"] {
        let file = pair.fleet.state.path().join(name).join("orchestrator.json");
        eventually(&format!("{name} has saved its state"), || async {
            let revision = pair.status("revision").await;
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let saved = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
            saved["snapshot"]["position"]["revision"] == revision
        })
        .await;
    }
}

/// A server that answers every request, and probes too until it is cut off from who makes them.
struct Upstream {
    address: SocketAddr,
    cut_off: Arc<AtomicBool>,
}

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let cut_off = Arc::new(AtomicBool::new(false));
        let silent = Arc::clone(&cut_off);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&silent)));
            }
        });
        Self { address, cut_off }
    }
}

async fn answer(mut stream: TcpStream, cut_off: Arc<AtomicBool>) -> std::io::Result<()> {
    let mut head = Vec::new();
    loop {
        head.push(stream.read_u8().await?);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        if text.contains("roundhouse-probe") && cut_off.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        head.clear();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await?;
    }
}

/// A leader, a balancer and a pool whose health checks are answered until they are not.
struct Watched {
    http: Http,
    admin: Role,
    balancer: Role,
    pool: String,
    _orchestrator: Role,
    _redis: RedisServer,
}

impl Watched {
    /// Every server is probed so often.
    async fn start(interval: &str) -> Self {
        let redis = RedisServer::start();
        let start = |role: &str| Role::start(role, &redis.url(), &[]);
        let (orchestrator, admin, balancer) =
            (start("orchestrator"), start("admin-api"), start("balancer"));
        let http = Http::new();
        let pool = format!("{}/v1/pools/default", admin.url);
        let health = format!(r#"{{"health":{{"interval":"{interval}","timeout":"500ms"}}}}"#);
        eventually("the pool is there", || async {
            let changed = http.send(Method::PATCH, &pool, &health).await;
            changed.is_ok_and(|answer| answer.status == StatusCode::OK)
        })
        .await;
        Self {
            http,
            admin,
            balancer,
            pool,
            _orchestrator: orchestrator,
            _redis: redis,
        }
    }

    async fn known(&self, health: &str, count: usize) {
        let url = format!("{}/v1/status", self.admin.url);
        eventually(&format!("{count} are {health}"), || async {
            self.http.get(&url).await.json()["servers"][health] == count
        })
        .await;
    }

    async fn load(&self) -> Load {
        eventually("requests are answered", || async {
            self.http.get(&self.balancer.url).await.status == StatusCode::OK
        })
        .await;
        let load = Load::start(std::slice::from_ref(&self.balancer.url), 4);
        load.proceeds(50).await;
        load
    }

    /// The balancer says that it holds verdicts back, and no request fails.
    async fn holds(&self, load: Load) {
        eventually("the balancer says that it holds them", || async {
            let holds = self.http.get(&format!("{}/v1/holds", self.admin.url)).await;
            holds
                .json()
                .as_array()
                .is_some_and(|holds| !holds.is_empty())
        })
        .await;
        load.proceeds(200).await;
        load.stop_without_failures().await;
    }
}

#[tokio::test]
async fn a_leader_that_is_cut_off_from_the_servers_alone_takes_none_away_that_answers() {
    let watched = Watched::start("200ms").await;
    let servers = [Upstream::start().await, Upstream::start().await];
    for (number, server) in servers.iter().enumerate() {
        let body = format!(r#"{{"id":"s{number}","address":"{}"}}"#, server.address);
        let servers = format!("{}/servers", watched.pool);
        let created = watched.http.post(&servers, &body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    }
    watched.known("up", 2).await;
    let load = watched.load().await;
    for server in &servers {
        server.cut_off.store(true, Ordering::SeqCst);
    }
    watched.known("down", 2).await;
    watched.holds(load).await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_takes_no_answering_server_whose_registration_ran_out() {
    // Only the probe at the end of the lease comes soon.
    let watched = Watched::start("20s").await;
    let server = Upstream::start().await;
    let lease = format!("{}/v1/registrations/default/s0", watched.admin.url);
    let body = format!(r#"{{"address":"{}","lifetime":"1s"}}"#, server.address);
    let registered = watched.http.send(Method::PUT, &lease, &body).await;
    let registered = registered.expect("an answer");
    assert_eq!(registered.status, StatusCode::CREATED, "{registered:?}");
    watched.known("up", 1).await;
    let load = watched.load().await;
    server.cut_off.store(true, Ordering::SeqCst);
    watched.known("down", 1).await;
    watched.holds(load).await;
}

//! Verdicts age: those from disk, and those of a leader that is not heard any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Author, Change, Health, InstanceId, Pool, PoolId, Revision, Snapshot, Stamped, Verdict,
};
use registry::{Commit, Registry, StateFile};
use tokio::time::{Instant, timeout};

use crate::client;
use crate::fleet::{Fleet, args, commit, key, registry, server};
use crate::upstream::Upstream;
use crate::wire::LIMIT;

/// Requests that were sent to another server, since there was no connection to the first.
const CONNECT_RETRIES: &str = "roundhouse_balancer_retries_total{cause=\"connect\"}";

/// Where nobody listens.
fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

fn inspected() -> Pool {
    let mut pool = Pool::new(PoolId::standard());
    pool.health.interval = Duration::from_millis(200);
    pool
}

async fn registry_with(servers: &[(&str, SocketAddr)]) -> Arc<dyn Registry> {
    let registry = registry(inspected()).await;
    let put = |(id, address): &(&str, SocketAddr)| Change::put_server(server(id, *address));
    commit(&*registry, servers.iter().map(put).collect()).await;
    registry
}

async fn snapshot(registry: &dyn Registry) -> Snapshot {
    let known = registry.snapshot().await.expect("a registry");
    known.expect("a snapshot").snapshot
}

fn incarnation(snapshot: &Snapshot, id: &str) -> Revision {
    snapshot.servers[&key(id)].incarnation
}

fn judge(snapshot: &mut Snapshot, id: &str, health: Health) {
    let incarnation = incarnation(snapshot, id);
    let verdict = Stamped {
        revision: incarnation,
        created: incarnation,
        ordinal: 0,
        incarnation,
        value: Verdict {
            incarnation,
            health,
            reason: String::new(),
        },
    };
    snapshot.health.insert(key(id), Arc::new(verdict));
}

/// A balancer that has this on its disk, and no registry.
async fn booted_from(snapshot: &Snapshot) -> (Fleet, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("a path");
    let flags = ["--threads", "1", "--registry", "redis://127.0.0.1:1"];
    let args = args(&[&flags[..], &["--state-dir", path]].concat());
    let file = directory.path().join("balancer.json");
    StateFile::save(&file, &args.registry.fleet, snapshot).expect("saved");
    let away = registry::open(&args.registry).expect("a registry");
    let flags = [&flags[..], &["--state-dir", path]].concat();
    let fleet = Fleet::on(away, &flags).await;
    timeout(LIMIT, fleet.balancer.ready())
        .await
        .expect("ready in time");
    (fleet, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_from_disk_count_for_nothing() {
    let back = Upstream::named("back").await;
    let registry = registry_with(&[("s1", nobody()), ("s2", back.address)]).await;
    let mut stored = snapshot(&*registry).await;
    judge(&mut stored, "s1", Health::Up);
    judge(&mut stored, "s2", Health::Down);
    let (fleet, _directory) = booted_from(&stored).await;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let answer = client::get(fleet.address(), "/").await;
        assert_eq!((answer.status(), answer.text()), (200, "back".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn booted_from_disk_it_finds_out_itself_who_is_up() {
    let up = Upstream::named("up").await;
    let registry = registry_with(&[("s1", nobody()), ("s2", up.address)]).await;
    let mut stored = snapshot(&*registry).await;
    judge(&mut stored, "s1", Health::Up);
    let (fleet, _directory) = booted_from(&stored).await;
    leaves_alone_the_dead(&fleet, "up").await;
}

/// Returns once requests go to this server only, without a retry.
async fn leaves_alone_the_dead(fleet: &Fleet, up: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let before = fleet.metric(CONNECT_RETRIES).await;
        for _ in 0..4 {
            assert_eq!(client::get(fleet.address(), "/").await.text(), up);
        }
        if fleet.metric(CONNECT_RETRIES).await == before {
            return;
        }
        assert!(Instant::now() < deadline, "the dead one is still tried");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_it_finds_out_itself_who_has_gone_down() {
    let up = Upstream::named("up").await;
    let registry = registry_with(&[("s1", nobody()), ("s2", up.address)]).await;
    let leader = InstanceId::random();
    let lease = registry.acquire(leader, LIMIT).await.expect("a registry");
    let head = lease.expect("the lease");
    let stored = snapshot(&*registry).await;
    let verdicts = ["s1", "s2"].map(|id| {
        let verdict = Verdict {
            incarnation: incarnation(&stored, id),
            health: Health::Up,
            reason: String::new(),
        };
        Change::Verdict(key(id), Some(verdict))
    });
    let author = Author::Leader {
        instance: leader,
        term: head.term,
    };
    let commit = Commit {
        epoch: Some(head.position.epoch),
        ..Commit::new(author, verdicts.into())
    };
    registry.commit(commit).await.expect("committed");
    let fleet = Fleet::on(registry, &["--threads", "1"]).await;
    timeout(LIMIT, fleet.balancer.ready())
        .await
        .expect("ready in time");
    leaves_alone_the_dead(&fleet, "up").await;
}

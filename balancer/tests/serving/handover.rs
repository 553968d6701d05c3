//! One balancer takes the place of another, at the same port.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use balancer::Balancer;
use model::{Change, Report};
use registry::{Goal, Registry};
use runtime::Supervisor;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::client;
use crate::fleet::{Fleet, args, commit, key, pool, seed, server};
use crate::load::Load;
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, eventually};

/// A folder with a place for the Unix socket.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> String {
        self.0.path().join("handover").display().to_string()
    }

    async fn first(&self, servers: &[&Upstream], threads: &str) -> Fleet {
        let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
        let flags = ["--threads", threads, "--handover", &self.path()];
        Fleet::at(pool(), &addresses, &flags).await
    }

    /// Another balancer of the same fleet, which takes over as soon as it can.
    async fn next(&self, registry: &Arc<dyn Registry>, threads: &str) -> Fleet {
        let flags = ["--threads", threads, "--handover", &self.path()];
        Fleet::on(Arc::clone(registry), &flags).await
    }

    /// Why a process that asks gets nothing.
    async fn refused(&self, registry: &Arc<dyn Registry>) -> String {
        let args = args(&["--handover", &self.path()]);
        let refused = Balancer::start(args, Arc::clone(registry), &Supervisor::new()).await;
        refused.expect_err("it is refused").to_string()
    }
}

async fn accepting(fleet: &Fleet) {
    timeout(LIMIT, fleet.balancer.accepting())
        .await
        .expect("it takes over in time");
}

async fn finished(fleet: &Fleet) {
    fleet.supervisor.finished(LIMIT).await.expect("it ends");
    assert_eq!(fleet.supervisor.failure(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_a_balancer_is_replaced_again_and_again_by_one_of_other_threads() {
    let place = Place::new();
    let one = Upstream::named("one").await;
    let mut running = place.first(&[&one], "2").await;
    let load = Load::start(running.address());
    for threads in ["3", "1", "4", "2", "1", "3"] {
        load.proceeds().await;
        let next = place.next(&running.registry, threads).await;
        accepting(&next).await;
        assert_eq!(next.address(), running.address());
        finished(&running).await;
        running = next;
    }
    load.proceeds().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_one_answers_what_comes_on_its_connections_and_closes_each_with_its_answer() {
    let place = Place::new();
    let one = Upstream::named("one").await;
    let old = place.first(&[&one], "1").await;
    let mut kept = old.client().await;
    assert_eq!(kept.get("/").await.field("connection"), None);
    let new = place.next(&old.registry, "1").await;
    accepting(&new).await;
    old.supervisor.stop_token().cancelled().await;
    // Longer than a balancer that is stopped would wait for it.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let last = kept.get("/").await;
    assert_eq!((last.status(), last.text()), (200, "one".into()));
    assert_eq!(last.field("connection").as_deref(), Some("close"));
    finished(&old).await;
    assert_eq!(client::get(new.address(), "/").await.text(), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_before_it_is_ready_changes_nothing() {
    let place = Place::new();
    let one = Upstream::named("one").await;
    let running = place.first(&[&one], "2").await;
    let load = Load::start(running.address());
    // Nothing is in its registry, so it is never ready.
    let empty = registry::open(&args(&[]).registry).expect("the memory registry");
    let stuck = place.next(&empty, "4").await;
    let refusal = place.refused(&running.registry).await;
    let path = place.path();
    assert_eq!(
        refusal,
        format!(
            "--handover {path}: the balancer that runs refused: another process is taking over already"
        )
    );
    load.proceeds().await;
    stuck.supervisor.request_stop();
    finished(&stuck).await;
    load.proceeds().await;
    assert!(!running.supervisor.stop_token().is_cancelled());
    assert_eq!(running.ops("/readyz").await.status(), 200);
    let next = taken_in_turn(&place, &running).await;
    accepting(&next).await;
    finished(&running).await;
    load.proceeds().await;
    load.end().await;
}

/// Takes over, as soon as the one that runs has noticed the end of another that wanted to.
async fn taken_in_turn(place: &Place, running: &Fleet) -> Fleet {
    let deadline = Instant::now() + LIMIT;
    loop {
        let supervisor = Supervisor::new();
        let flags = args(&["--threads", "1", "--handover", &place.path()]);
        let registry = Arc::clone(&running.registry);
        match Balancer::start(flags, Arc::clone(&registry), &supervisor).await {
            Ok(balancer) => {
                return Fleet {
                    registry,
                    balancer,
                    supervisor,
                };
            }
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_told_to_end_while_a_successor_prepares_leaves_the_port_to_it() {
    let place = Place::new();
    let one = Upstream::named("one").await;
    let old = place.first(&[&one], "2").await;
    let empty = registry::open(&args(&[]).registry).expect("the memory registry");
    let new = place.next(&empty, "2").await;
    old.supervisor.request_stop();
    finished(&old).await;
    // Nobody accepts, and yet nobody is refused.
    let mut early = client::connect(new.address()).await;
    early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    seed(&*empty, pool()).await;
    commit(&*empty, vec![Change::put_server(server("s1", one.address))]).await;
    accepting(&new).await;
    let answer = early.message(false).await.expect("an answer");
    // It came before there was a server to send it to, or after.
    assert!([200, 503].contains(&answer.status()), "{answer:?}");
    eventually_serves(new.address()).await;
}

async fn eventually_serves(address: SocketAddr) {
    let deadline = Instant::now() + LIMIT;
    while client::get(address, "/").await.status() != 200 {
        assert!(Instant::now() < deadline, "it never serves");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_answered_all_along() {
    let place = Place::new();
    let one = Upstream::named("one").await;
    let old = place.first(&[&one], "1").await;
    let mut kept = old.client().await;
    kept.get("/").await;
    let ops = old.balancer.ops_address();
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut asked = 0;
            while !stop.load(Ordering::Relaxed) {
                let request = "GET /readyz HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n";
                let answer = client::connect(ops).await.ask(request).await;
                assert_eq!(answer.expect("an answer").text(), "ready\n");
                asked += 1;
            }
            asked
        }
    });
    let new = place.next(&old.registry, "1").await;
    accepting(&new).await;
    assert_eq!(new.balancer.ops_address(), ops);
    old.supervisor.stop_token().cancelled().await;
    kept.get("/").await;
    finished(&old).await;
    assert_eq!(
        new.metric("roundhouse_balancer_connections_total").await,
        0.0
    );
    stop.store(true, Ordering::Relaxed);
    assert!(asking.await.expect("always ready") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_report_and_neither_takes_the_others_place_until_one_has_ended() {
    let place = Place::new();
    let (answer, gate) = watch::channel(false);
    let slow = Upstream::start(move |mut link: Link| {
        let mut gate = gate.clone();
        async move {
            while let Some(request) = link.request().await {
                gate.wait_for(|open| *open).await.expect("a gate");
                link.answer(&request, "done").await;
            }
        }
    })
    .await;
    let old = place.first(&[&slow], "1").await;
    let running = client::begin(old.address(), "/");
    eventually("the request is in flight", || slow.requests() == 1).await;
    let new = place.next(&old.registry, "1").await;
    accepting(&new).await;
    let (old_id, new_id) = (old.balancer.instance(), new.balancer.instance());
    reports(&old, |report| {
        (report.instance == old_id && report.beside == [new_id].into())
            || (report.instance == new_id && report.beside == [old_id].into())
    })
    .await;
    // The old one alone has something in flight to the server, and is waited for.
    let removed = Change::Server(key("s1"), None);
    let leaving = old.leaving("s1").await;
    let position = commit(&*old.registry, vec![removed]).await;
    let drained = Goal::Drained(position, leaving);
    new.reaches(&Goal::Applied(position)).await;
    assert!(!new.has_reached(&drained).await);
    answer.send_replace(true);
    assert_eq!(running.await.expect("it ends").text(), "done");
    new.reaches(&drained).await;
    finished(&old).await;
    reports(&new, |report| {
        report.instance == new_id && report.beside.is_empty()
    })
    .await;
}

/// Waits until every instance's report is so, of which there is at least one.
async fn reports(fleet: &Fleet, is_so: impl Fn(&Report) -> bool) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let instances = fleet.registry.instances().await.expect("instances");
        if !instances.is_empty() && instances.iter().all(|one| is_so(&one.report)) {
            return;
        }
        assert!(Instant::now() < deadline, "{instances:#?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn answered(path: &Path, line: &str) -> String {
    let mut stream = UnixStream::connect(path).await.expect("connected");
    stream.write_all(line.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let read = timeout(LIMIT, stream.read_to_string(&mut answer)).await;
    read.expect("in time").expect("text");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_and_what_is_no_balancer_get_a_line_and_no_socket() {
    let place = Place::new();
    let one = Upstream::named("one").await;
    let running = place.first(&[&one], "1").await;
    let path = place.path();
    for (line, reason) in [
        (
            "{\"version\":3,\"more\":true}\n",
            "it speaks version 3 of the handover, and this balancer version 2: stop this one and start the other",
        ),
        ("GET / HTTP/1.1\r\n", "it does not greet as a balancer does"),
    ] {
        let answer = answered(path.as_ref(), line).await;
        assert_eq!(answer, format!("{{\"refusal\":\"{reason}\"}}\n"));
    }
    assert_eq!(client::get(running.address(), "/").await.text(), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_to_listen_elsewhere_is_told_so() {
    let place = Place::new();
    let one = Upstream::named("one").await;
    let running = place.first(&[&one], "1").await;
    let elsewhere = ["--listen", "127.0.0.1:1", "--handover", &place.path()];
    let started = args(&elsewhere);
    let registry = Arc::clone(&running.registry);
    let refused = Balancer::start(started, registry, &Supervisor::new()).await;
    let address = running.address();
    assert_eq!(
        refused.expect_err("it is refused").to_string(),
        format!(
            "--listen 127.0.0.1:1: the balancer that runs listens on {address} and can hand over nothing else: stop it to move"
        )
    );
    let next = taken_in_turn(&place, &running).await;
    accepting(&next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_a_successor_closes_the_port_and_takes_the_socket_away() {
    let place = Place::new();
    let one = Upstream::named("one").await;
    let running = place.first(&[&one], "2").await;
    let address = running.address();
    running.supervisor.request_stop();
    finished(&running).await;
    TcpStream::connect(address)
        .await
        .expect_err("nobody listens");
    assert!(!Path::new(&place.path()).exists());
}

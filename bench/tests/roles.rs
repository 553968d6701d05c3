//! The parts that are ours, together: the client through the relay to the server, as processes over real sockets.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const BENCH: &str = env!("CARGO_BIN_EXE_bench");

/// How long a role may take until it listens. Generous: the machines are shared.
const DEADLINE: Duration = Duration::from_secs(30);

/// A role that runs until the test is over.
struct Role(Child);

impl Role {
    fn start(arguments: &[&str], listens: SocketAddr) -> Self {
        let child = Command::new(BENCH).args(arguments).spawn();
        let role = Self(child.expect("the binary under test starts"));
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(listens).is_err() {
            assert!(Instant::now() < deadline, "{arguments:?} never listened");
            std::thread::sleep(Duration::from_millis(5));
        }
        role
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it has ended");
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// What a load through a relay reports.
fn load(target: &str, body_bytes: usize, close: bool, rate: Option<f64>) -> Value {
    let (server, proxy) = (free_address(), free_address());
    let _origin = Role::start(&["origin", &server.to_string()], server);
    let relay = Role::start(&["relay", &proxy.to_string(), &server.to_string()], proxy);
    let plan = json!({
        "address": proxy,
        "connections": 4,
        "request": { "target": target, "targets": 1, "body_bytes": body_bytes, "close": close, "tls": null },
        "certificate": null,
        "rate": rate,
        "warm_up": { "secs": 0, "nanos": 50_000_000 },
        "warm_up_requests": 1,
        "duration": { "secs": 1, "nanos": 0 },
        "watch": relay.0.id(),
    });
    let output = Command::new(BENCH)
        .args(["load", &plan.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("the client runs");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("a report")
}

fn assert_all_answered(report: &Value) {
    assert!(report["requests"].as_u64() > Some(0), "{report}");
    assert_eq!(report["failures"], 0, "{report}");
    assert!(report["cpu_ns"].as_u64() > Some(0), "{report}");
    let latencies = &report["latencies"];
    assert!(
        latencies["p99_us"].as_f64() >= latencies["p50_us"].as_f64(),
        "{report}"
    );
}

#[test]
fn short_answers_come_through_the_relay() {
    assert_all_answered(&load("/", 0, false, None));
}

#[test]
fn long_answers_come_through_the_relay() {
    assert_all_answered(&load("/bytes/3000000", 0, false, None));
}

#[test]
fn bodies_are_swallowed() {
    assert_all_answered(&load("/", 300_000, false, None));
}

#[test]
fn each_request_can_have_its_connection() {
    assert_all_answered(&load("/", 0, true, None));
}

#[test]
fn one_server_can_be_at_every_loopback_address() {
    let first = free_address();
    let _origin = Role::start(&["origin", &first.to_string(), "--everywhere"], first);
    for host in ["127.0.0.2", "127.0.39.16"] {
        let address = SocketAddr::new(host.parse().expect("an address"), first.port());
        TcpStream::connect(address).expect("it listens there too");
    }
}

#[test]
fn a_fixed_rate_is_not_exceeded() {
    let report = load("/", 0, false, Some(50.0));
    assert_all_answered(&report);
    let seconds = report["seconds"].as_f64().expect("a length");
    // Those that fell due before anything counted may still be answered.
    let due = 50.0 * (seconds + 0.05) + 1.0;
    assert!(
        report["requests"].as_f64().expect("a number") <= due,
        "{report}"
    );
}

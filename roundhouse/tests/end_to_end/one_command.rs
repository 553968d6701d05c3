//! `roundhouse up`: everything in one process.

use std::collections::BTreeSet;
use std::io::Write;

use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Http, Load, Process, eventually};
use crate::up::Up;

fn is_rotation(bodies: &[String], servers: usize) -> bool {
    let number = |body: &String| {
        body.strip_prefix("Hello from Server ")?
            .parse::<usize>()
            .ok()
    };
    let numbers: Option<Vec<_>> = bodies.iter().map(number).collect();
    numbers.is_some_and(|numbers| {
        numbers
            .windows(2)
            .all(|pair| pair[1] == pair[0] % servers + 1)
    })
}

#[tokio::test]
async fn both_balancers_rotate_strictly_in_the_order_of_creation_from_the_first_request() {
    let up = Up::start(&[]);
    let http = Http::new();
    for balancer in &up.balancers {
        let bodies = http.bodies(balancer, 7).await;
        assert!(is_rotation(&bodies, 3), "{balancer}: {bodies:?}");
    }
    assert_eq!(up.balancers.len(), 2);
}

#[tokio::test]
async fn the_rotation_is_strict_over_all_connections_and_threads() {
    let up = Up::start(&["--balancers", "1", "--threads", "2"]);
    let mut bodies = Vec::new();
    for _ in 0..30 {
        bodies.extend(Http::new().bodies(&up.balancers[0], 1).await);
    }
    assert!(is_rotation(&bodies, 3), "{bodies:?}");
}

#[tokio::test]
async fn a_failing_server_costs_no_get_leaves_the_rotation_and_comes_back() {
    for switch in ["fail", "hang"] {
        let up = Up::start(&[]);
        let http = Http::new();
        let load = Load::start(&up.balancers, 8);
        load.proceeds(50).await;
        http.post(&format!("{}/-/{switch}", up.servers[1]), "")
            .await;
        eventually("the failing server is down", || async {
            up.health_of(&http, "s2").await == "down"
        })
        .await;
        let bodies = http.bodies(&up.balancers[0], 6).await;
        assert!(
            !bodies.contains(&"Hello from Server 2".to_owned()),
            "{bodies:?}"
        );
        http.post(&format!("{}/-/recover", up.servers[1]), "").await;
        eventually("it is up again", || async {
            up.health_of(&http, "s2").await == "up"
        })
        .await;
        eventually("it is in the rotation again", || async {
            http.bodies(&up.balancers[1], 3)
                .await
                .contains(&"Hello from Server 2".to_owned())
        })
        .await;
        load.stop_without_failures().await;
    }
}

#[tokio::test]
async fn a_slow_server_is_only_slow() {
    let up = Up::start(&[]);
    let http = Http::new();
    assert_eq!(
        http.post(&format!("{}/-/slow?ms=200", up.servers[0]), "")
            .await
            .status,
        StatusCode::OK
    );
    let bodies: BTreeSet<_> = http.bodies(&up.balancers[0], 3).await.into_iter().collect();
    assert_eq!(bodies.len(), 3, "all three still answer");
}

#[tokio::test]
async fn servers_come_and_go_under_load_without_a_failed_request() {
    let up = Up::start(&[]);
    let http = Http::new();
    let extra = Process::start(&["demo-server", "--name", "9", "--listen", "127.0.0.1:0"]);
    let line = extra.line_with(&["http://"]);
    let address = line
        .split("http://")
        .nth(1)
        .expect("an address")
        .trim()
        .to_owned();

    let load = Load::start(&up.balancers, 8);
    load.proceeds(50).await;
    let body = format!(r#"{{"id":"s9","address":"{address}"}}"#);
    let added = http
        .post(&format!("{}?wait=applied", up.servers_url()), &body)
        .await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    eventually("the new server answers through both", || async {
        let mut seen = true;
        for balancer in &up.balancers {
            seen &= http
                .bodies(balancer, 4)
                .await
                .contains(&"Hello from Server 9".to_owned());
        }
        seen
    })
    .await;
    let removed = http
        .delete(&format!("{}/s9?wait=drained", up.servers_url()))
        .await;
    assert_eq!(removed.status, StatusCode::OK, "{removed:?}");
    drop(extra);
    for balancer in &up.balancers {
        assert!(
            !http
                .bodies(balancer, 6)
                .await
                .contains(&"Hello from Server 9".to_owned())
        );
    }
    load.stop_without_failures().await;
}

#[tokio::test]
async fn an_interrupt_ends_it_in_order_and_leaves_no_port_behind() {
    let mut up = Up::start(&[]);
    let http = Http::new();
    http.bodies(&up.balancers[0], 3).await;
    up.process.signal("INT");
    assert!(up.process.ended().success(), "{}", up.process.errors());
    let all = up.balancers.iter().chain(&up.servers).chain([&up.admin]);
    for address in all.map(|url| url.trim_start_matches("http://")) {
        std::net::TcpListener::bind(address)
            .unwrap_or_else(|error| panic!("{address} is still held: {error}"));
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_says_what_was_cut_short() {
    let mut up = Up::start(&["--servers", "1", "--balancers", "1", "--log", "info"]);
    let http = Http::new();
    http.post(&format!("{}/-/hang", up.servers[0]), "").await;
    let balancer = up.balancers[0].trim_start_matches("http://");
    let mut client = std::net::TcpStream::connect(balancer).expect("connected");
    // As long as the body is not whole, nobody can say that the request is over.
    let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
    client.write_all(half.as_bytes()).expect("sent");
    let load = format!("{}/-/load", up.servers[0]);
    eventually("the request is in flight", || async {
        http.get(&load).await.body == "1\n"
    })
    .await;
    up.process.signal("TERM");
    // Signals that come together count as one.
    eventually("the first signal is heard", || async {
        let errors = up.process.errors();
        errors.contains("a second signal ends at once")
    })
    .await;
    up.process.signal("TERM");
    assert_eq!(up.process.ended().code(), Some(1));
    let errors = up.process.errors();
    let said = "roundhouse: ended at the second signal, without waiting for the requests under way";
    assert!(errors.contains(said), "{errors}");
}

#[tokio::test]
async fn a_restart_from_its_own_copy_is_no_cause_for_alarm() {
    let state = tempfile::tempdir().expect("a directory");
    let folder = state.path().to_str().expect("a path");
    for _ in 0..2 {
        let mut up = Up::start(&["--state-dir", folder]);
        let copies = ["orchestrator/orchestrator.json", "balancer-1/balancer.json"];
        for copy in copies.map(|copy| state.path().join(copy)) {
            eventually("the state is on disk", || async {
                std::fs::read_to_string(&copy).is_ok_and(|text| text.contains("\"s3\""))
            })
            .await;
        }
        up.process.signal("INT");
        assert!(up.process.ended().success(), "{}", up.process.errors());
        assert_eq!(up.process.errors(), "");
    }
}

#[tokio::test]
async fn an_empty_pool_is_said_to_be_empty() {
    let up = Up::start(&["--servers", "0"]);
    let answer = Http::new().get(&up.balancers[0]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("no server"), "{answer:?}");
}

/// The status of the answer to a request, and the connection, which stays open.
async fn ask(url: &str) -> (String, TcpStream) {
    let address = url.trim_start_matches("http://");
    let mut client = TcpStream::connect(address).await.expect("connected");
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let sent = client.write_all(request.as_bytes()).await;
    sent.expect("sent");
    let mut status = [0; 12];
    let read = client.read_exact(&mut status).await;
    read.expect("a status");
    (String::from_utf8_lossy(&status).into_owned(), client)
}

#[tokio::test]
async fn clients_for_whom_there_are_no_files_are_turned_away_and_no_server_is_blamed() {
    // A quarter is set aside, and clients have three quarters of the rest.
    let up = Up::with_files(400, &["--balancers", "1", "--threads", "1"]);
    let mut clients = Vec::new();
    for _ in 0..240 {
        clients.push(ask(&up.balancers[0]).await);
    }
    let count = |status: &str| clients.iter().filter(|(one, _)| one == status).count();
    assert_eq!((count("HTTP/1.1 200"), count("HTTP/1.1 503")), (225, 15));
    drop(clients);
    // One that is turned away is answered before it has asked, which an HTTP client may take for a fault of the connection.
    eventually("the balancer sees that clients have gone", || async {
        ask(&up.balancers[0]).await.0 == "HTTP/1.1 200"
    })
    .await;
    let http = Http::new();
    for _ in 0..6 {
        assert_eq!(http.get(&up.balancers[0]).await.status, StatusCode::OK);
    }
}

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::*;

/// How often a server of the tests answers on a connection.
const ANSWERS: u64 = 3;

/// A server that says with the last answer of a connection that it is the last one, and closes. It serves until the tests are over.
fn server_that_closes() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                for answer in 1..=ANSWERS {
                    let close = if answer == ANSWERS {
                        "Connection: close\r\n"
                    } else {
                        ""
                    };
                    let answer = format!("HTTP/1.1 200 OK\r\n{close}Content-Length: 0\r\n\r\n");
                    // A client that has enough goes without a word.
                    if !matches!(stream.read(&mut [0; 1024]), Ok(1..))
                        || stream.write_all(answer.as_bytes()).is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_connection_that_was_announced_to_close_is_no_failure() {
    let plan = Plan {
        address: server_that_closes(),
        connections: 2,
        request: Request::get("/"),
        certificate: None,
        rate: None,
        warm_up: Duration::ZERO,
        warm_up_requests: 0,
        duration: Duration::ZERO,
        watch: 0,
    };
    let mut client = Client::connect(&plan).expect("it listens");
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.meter.requests < 10 * ANSWERS {
        assert!(Instant::now() < deadline, "{:?}", client.meter);
        let soon = Instant::now() + Duration::from_millis(10);
        client.run_until(soon).expect("it goes on");
    }
    assert_eq!(client.meter.failures, 0);
}

#[test]
fn a_request_is_written_with_what_it_needs_and_no_more() {
    let address = "127.0.0.1:80".parse().expect("an address");
    let get = Request::get("/a");
    assert_eq!(
        get.texts(address),
        [b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n"]
    );
    let post = Request {
        body_bytes: 2,
        close: true,
        ..get
    };
    let expected = b"POST /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 2\r\nConnection: close\r\n\r\nxx";
    assert_eq!(post.texts(address), [expected]);
}

#[test]
fn what_was_never_sent_is_in_the_latencies_but_not_in_the_requests() {
    let mut meter = Meter::new();
    meter.succeeded(Duration::from_millis(1), false);
    meter.unsent(Duration::from_millis(30));
    meter.unsent(Duration::from_millis(20));
    assert_eq!(meter.requests, 1);
    assert!((meter.microseconds(0.5) - 20_000.0).abs() < 100.0);
}

#[test]
fn each_target_has_its_turn() {
    let request = Request {
        targets: 2,
        tls: Some(Sessions::New),
        ..Request::get("/a-{}/")
    };
    let texts = request.texts("127.0.0.1:80".parse().expect("an address"));
    let expected = [0, 1].map(|number| {
        format!("GET /a-{number}/ HTTP/1.1\r\nHost: balancer.test:80\r\n\r\n").into_bytes()
    });
    assert_eq!(texts, expected);
}

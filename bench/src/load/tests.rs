use super::*;

#[test]
fn a_request_is_written_with_what_it_needs_and_no_more() {
    let address = "127.0.0.1:80".parse().expect("an address");
    let get = Request {
        target: "/a".into(),
        body_bytes: 0,
        close: false,
    };
    assert_eq!(
        get.bytes(address),
        b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n"
    );
    let post = Request {
        body_bytes: 2,
        close: true,
        ..get
    };
    let expected = b"POST /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 2\r\nConnection: close\r\n\r\nxx";
    assert_eq!(post.bytes(address), expected);
}

#[test]
fn what_was_never_sent_is_in_the_latencies_but_not_in_the_requests() {
    let mut tally = Tally::new();
    tally.succeeded(Duration::from_millis(1));
    tally.unsent(Duration::from_millis(30));
    tally.unsent(Duration::from_millis(20));
    assert_eq!(tally.requests, 1);
    assert!((tally.microseconds(0.5) - 20_000.0).abs() < 100.0);
}

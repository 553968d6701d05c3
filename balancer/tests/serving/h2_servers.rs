//! Servers that speak HTTP/2: a request and its answer cross over whole, and what goes wrong is told as of any server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response};
use model::{Change, Pool, Protocol};
use tokio::sync::Notify;

use crate::client;
use crate::fleet::{Fleet, pool};
use crate::h2_upstream::{Call, H2Upstream, Reply, block, of_frames, send};
use crate::upstream::Upstream;
use crate::wire::{Wire, eventually, field};

const ONE_THREAD: [&str; 2] = ["--threads", "1"];

pub(crate) fn h2_pool() -> Pool {
    Pool {
        protocol: Protocol::H2,
        ..pool()
    }
}

pub(crate) async fn fleet(servers: &[&H2Upstream]) -> Fleet {
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    Fleet::at(h2_pool(), &addresses, &ONE_THREAD).await
}

/// Answers with what it got: the pseudo fields, the fields in their order, the body and the trailers, a line each.
async fn tell(mut call: Call) {
    let (body, trailers) = call.read().await;
    let head = &call.head;
    let mut lines = vec![
        format!("{} {}", head.method(), head.uri()),
        format!("body: {}", String::from_utf8_lossy(&body)),
    ];
    let of = |fields: &HeaderMap, prefix: &str| {
        let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            format!(
                "{prefix}{name}: {}",
                String::from_utf8_lossy(value.as_bytes())
            )
        };
        fields.iter().map(line).collect::<Vec<_>>()
    };
    lines.extend(of(head.headers(), ""));
    lines.extend(of(&trailers, "trailer "));
    let mut stream = call.begin(Response::new(()));
    let text = Bytes::from(lines.join("\n"));
    stream.send_data(text, true).expect("a body");
}

/// The lines that a server told of.
async fn told(client: &mut Wire, request: &str) -> Vec<String> {
    let answer = client.ask(request).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{}", answer.head);
    answer.text().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_crosses_over_whole() {
    let server = H2Upstream::start(tell).await;
    let fleet = fleet(&[&server]).await;
    let mut client = fleet.client().await;
    let request = "PUT /a/b?c=%2F|{} HTTP/1.1\r\nHost: shop:80\r\nX-Mine: 1\r\nX-Mine: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
        Content-Length: 5\r\n\r\nhello";
    let lines = told(&mut client, request).await;
    assert_eq!(
        lines[0],
        "PUT http://shop/a/b?c=%2F|{}".replace("shop", "shop:80")
    );
    for line in [
        "body: hello",
        "x-mine: 1",
        "x-mine: 2",
        "content-length: 5",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: shop:80",
    ] {
        assert!(lines.iter().any(|one| one == line), "{line} in {lines:?}");
    }
    let ended = [
        "host:",
        "x-hop:",
        "connection:",
        "te:",
        "transfer-encoding:",
    ];
    assert!(
        !lines
            .iter()
            .any(|line| ended.iter().any(|name| line.starts_with(name)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_cross_over_both_ways_and_te_where_the_client_takes_them() {
    let server = H2Upstream::start(|mut call| async move {
        let te = call.field("te").unwrap_or("none").to_owned();
        let (_, trailers) = call.read().await;
        let sum = trailers
            .get("x-sum")
            .cloned()
            .expect("the client's trailer");
        let mut stream = call.begin(Response::new(()));
        stream.send_data(Bytes::from(te), false).expect("a body");
        let trailers = HeaderMap::from_iter([
            (
                http::HeaderName::from_static("grpc-status"),
                "0".parse().expect("a value"),
            ),
            (http::HeaderName::from_static("x-sum"), sum),
        ]);
        stream.send_trailers(trailers).expect("trailers");
    })
    .await;
    let fleet = fleet(&[&server]).await;
    for (te, wanted) in [
        ("TE: gzip, trailers\r\nConnection: TE\r\n", "trailers"),
        ("", "none"),
    ] {
        let mut client = fleet.client().await;
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\n{te}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n"
            ))
            .await;
        let head = client.head().await.expect("a head");
        assert_eq!(
            field(&head, "transfer-encoding").as_deref(),
            Some("chunked")
        );
        let size = client.line().await.expect("a chunk's line");
        assert_eq!(usize::from_str_radix(&size, 16), Ok(wanted.len()));
        let chunk = client.bytes(wanted.len() + 2).await.expect("a chunk");
        assert_eq!(chunk, [wanted.as_bytes(), b"\r\n"].concat());
        for line in ["0", "grpc-status: 0", "x-sum: 5", ""] {
            assert_eq!(client.line().await.as_deref(), Some(line));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_its_length_where_the_server_did() {
    let server = H2Upstream::start(|mut call| async move {
        let path = call.head.uri().path().to_owned();
        let mut head = Response::new(());
        if path != "/unsaid" {
            head.headers_mut()
                .insert("content-length", "5".parse().expect("a value"));
        }
        if path == "/empty" {
            *head.status_mut() = http::StatusCode::NOT_MODIFIED;
            call.respond.send_response(head, true).expect("a head");
            return;
        }
        if call.head.method() == "HEAD" {
            call.respond.send_response(head, true).expect("a head");
            return;
        }
        let mut stream = call.begin(head);
        stream
            .send_data(Bytes::from_static(b"hello"), true)
            .expect("a body");
    })
    .await;
    let fleet = fleet(&[&server]).await;
    let mut client = fleet.client().await;
    let answer = client.get("/").await;
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.field("content-length").as_deref(), Some("5"));
    let answer = client.get("/unsaid").await;
    assert_eq!(answer.text(), "hello");
    assert_eq!(
        answer.field("transfer-encoding").as_deref(),
        Some("chunked")
    );
    let answer = client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.field("content-length").as_deref(), Some("5"));
    client.send("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.message(true).await.expect("an answer");
    assert_eq!(answer.status(), 304);
    // With trailers in view, the length gives way to them.
    let answer = client
        .ask("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
        .await;
    let answer = answer.expect("an answer");
    assert_eq!(
        (answer.text(), answer.field("content-length")),
        ("hello".into(), None)
    );
    assert_eq!((server.connections(), server.requests()), (1, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_are_relayed() {
    let server = H2Upstream::start(|mut call| async move {
        let hints = Response::builder().status(103).header("link", "</a>");
        let hints = hints.body(()).expect("a head");
        call.respond.send_informational(hints).expect("sent");
        let go_on = Response::builder().status(100).body(()).expect("a head");
        call.respond.send_informational(go_on).expect("sent");
        call.answer("done").await;
    })
    .await;
    let fleet = fleet(&[&server]).await;
    let mut client = fleet.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    let hints = client.head().await.expect("a head");
    assert!(hints.starts_with("HTTP/1.1 103 "), "{hints}");
    assert_eq!(field(&hints, "link").as_deref(), Some("</a>"));
    let go_on = client.head().await.expect("a head");
    assert!(go_on.starts_with("HTTP/1.1 100 "), "{go_on}");
    client.send("hello").await;
    let answer = client.message(false).await.expect("an answer");
    assert_eq!((answer.status(), answer.text()), (200, "done".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_both_ways_before_either_side_has_ended() {
    let server = H2Upstream::start(|mut call| async move {
        let mut stream = call.begin(Response::new(()));
        while let Some(Ok(piece)) = call.body.data().await {
            let flow = call.body.flow_control();
            flow.release_capacity(piece.len()).expect("room again");
            send(&mut stream, piece).await.expect("an echo");
        }
        stream.send_data(Bytes::new(), true).expect("the end");
    })
    .await;
    let fleet = fleet(&[&server]).await;
    let mut client = fleet.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let head = client.head().await.expect("a head, before any of the body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    for number in 0..50 {
        let chunk = format!("5\r\nno{number:03}\r\n");
        client.send(&chunk).await;
        let echo = client.bytes(chunk.len()).await.expect("an echo");
        assert_eq!(String::from_utf8_lossy(&echo), chunk);
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.bytes(5).await.as_deref(), Some(&b"0\r\n\r\n"[..]));
    assert_eq!(client::get(fleet.address(), "/").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_of_a_conversation_may_pause() {
    let server = H2Upstream::start(|mut call| async move {
        let mut stream = call.begin(Response::new(()));
        call.read().await;
        stream
            .send_data(Bytes::from_static(b"heard"), true)
            .expect("a body");
    })
    .await;
    let flags = ["--threads", "1", "--body-timeout", "1s"];
    let fleet = Fleet::at(h2_pool(), &[server.address], &flags).await;
    let mut client = fleet.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        .await;
    client.head().await.expect("a head");
    // Longer than a client may pause of whom the server waits to hear before it says anything.
    tokio::time::sleep(Duration::from_secs(2)).await;
    client.send("hello").await;
    assert_eq!(client.chunks().await.as_deref(), Some(&b"heard"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_crosses_over_both_ways() {
    let server = H2Upstream::start(|mut call| async move {
        let (body, _) = call.read().await;
        let mut stream = call.begin(Response::new(()));
        for piece in body.chunks(10_000) {
            send(&mut stream, Bytes::copy_from_slice(piece))
                .await
                .expect("an echo");
        }
        stream.send_data(Bytes::new(), true).expect("the end");
    })
    .await;
    let fleet = fleet(&[&server]).await;
    let mut client = fleet.client().await;
    let body: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = client.ask([head.as_bytes(), &body].concat()).await;
    assert!(
        answer.expect("an answer").body == body,
        "it came back otherwise"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_of_http1_asks_to_upgrade_is_an_ordinary_request() {
    let server = H2Upstream::start(tell).await;
    let fleet = fleet(&[&server]).await;
    let mut client = fleet.client().await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let lines = told(&mut client, request).await;
    assert!(!lines.iter().any(|line| line.starts_with("upgrade:")));
}

/// The verdict on a GET of which the server thinks as it does.
async fn verdict_on(reply: Reply) -> (u16, String) {
    let address = of_frames(vec![reply]).await;
    let fleet = Fleet::at(h2_pool(), &[address], &ONE_THREAD).await;
    client::get(fleet.address(), "/").await.verdict()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_the_rules_is_not_passed_on() {
    let fine = Reply::Data(block(&[("content-length", "2")]), b"ok");
    assert_eq!(verdict_on(fine).await, (200, String::new()));
    let malformed = || (502, "malformed-http2-response".into());
    for field in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "1"),
        ("upgrade", "h2c"),
        ("content-length", "five"),
    ] {
        let reply = Reply::Headers(block(&[field]));
        assert_eq!(verdict_on(reply).await, malformed(), "{field:?}");
    }
    // What cannot be decoded leaves the table of fields in doubt, so that the whole connection ends.
    for field in [
        ("X-Upper", "1"),
        ("x-lines", "a\r\nb: c"),
        ("x-nul", "a\0b"),
    ] {
        let reply = Reply::Headers(block(&[field]));
        let lost = (502, "server-connection-lost".into());
        assert_eq!(verdict_on(reply).await, lost, "{field:?}");
    }
    let without_status = Reply::Headers(crate::h2_upstream::literal("x-one", "1"));
    assert_eq!(verdict_on(without_status).await, malformed());
    let switching = Reply::Headers(vec![0x08, 3, b'1', b'0', b'1']);
    assert_eq!(verdict_on(switching).await.0, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_another_length_than_was_said_is_no_whole_answer() {
    for (length, data) in [("5", &b"four"[..]), ("3", b"four")] {
        let reply = Reply::Data(block(&[("content-length", length)]), data);
        let address = of_frames(vec![reply]).await;
        let fleet = Fleet::at(h2_pool(), &[address], &ONE_THREAD).await;
        let mut client = fleet.client().await;
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let whole = answer.filter(|answer| answer.status() == 200);
        assert!(whole.is_none(), "a whole answer of {data:?} for {length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_in_the_middle_cuts_the_answer_short() {
    let read = Arc::new(Notify::new());
    let server = H2Upstream::start({
        let read = Arc::clone(&read);
        move |mut call| {
            let read = Arc::clone(&read);
            async move {
                let mut stream = call.begin(Response::new(()));
                let half = Bytes::from_static(b"half");
                stream.send_data(half, false).expect("a body");
                read.notified().await;
                stream.send_reset(Reason::INTERNAL_ERROR);
            }
        }
    })
    .await;
    let fleet = fleet(&[&server]).await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.expect("a head");
    assert_eq!(
        client.bytes(9).await.as_deref(),
        Some(&b"4\r\nhalf\r\n"[..])
    );
    read.notify_one();
    assert!(client.is_ended().await, "more of the answer");
    fleet
        .counts("roundhouse_balancer_responses_cut_short_total", 1)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_requests_end_is_whole() {
    let server = H2Upstream::start(|mut call| async move {
        let mut head = Response::new(());
        *head.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
        let mut stream = call.begin(head);
        stream
            .send_data(Bytes::from_static(b"enough"), true)
            .expect("a body");
    })
    .await;
    let fleet = fleet(&[&server]).await;
    let mut client = fleet.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegun")
        .await;
    let answer = client.message(false).await.expect("an answer");
    assert_eq!((answer.status(), answer.text()), (413, "enough".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_cancels_its_stream_and_no_other() {
    let (cancelled, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let server = H2Upstream::start(move |mut call| {
        let cancelled = cancelled.clone();
        async move {
            if call.head.uri().path() == "/" {
                return call.answer("fine").await;
            }
            let reset = std::future::poll_fn(|context| call.respond.poll_reset(context)).await;
            cancelled
                .send(reset.expect("a reset"))
                .expect("the test listens");
        }
    })
    .await;
    let fleet = fleet(&[&server]).await;
    let mut going = fleet.client().await;
    going.send("GET /hangs HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the server has the request", || server.requests() == 1).await;
    going.stream.set_zero_linger().expect("a socket option");
    drop(going);
    assert_eq!(heard.recv().await, Some(Reason::CANCEL));
    assert_eq!(client::get(fleet.address(), "/").await.text(), "fine");
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_http1_is_no_server_of_this_pool() {
    let plain = Upstream::named("plain").await;
    let other = H2Upstream::named("other").await;
    let alone = Fleet::at(h2_pool(), &[plain.address], &ONE_THREAD).await;
    let answer = client::get(alone.address(), "/").await;
    assert_eq!(answer.verdict(), (502, "server-connect-failed".into()));
    let addresses = [plain.address, other.address];
    let both = Fleet::at(h2_pool(), &addresses, &ONE_THREAD).await;
    for _ in 0..4 {
        assert_eq!(client::get(both.address(), "/").await.text(), "other");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_changes_its_protocol_is_served_by_it_from_then_on() {
    let server = H2Upstream::named("over http/2").await;
    let mut plain = h2_pool();
    plain.protocol = Protocol::Http1;
    plain.timeouts.response = Duration::from_secs(5);
    let fleet = Fleet::at(plain, &[server.address], &ONE_THREAD).await;
    assert_eq!(client::get(fleet.address(), "/").await.status(), 502);
    fleet.change(Change::put_pool(h2_pool())).await;
    assert_eq!(
        client::get(fleet.address(), "/").await.text(),
        "over http/2"
    );
}

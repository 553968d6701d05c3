//! HTTP/2 to clients, as one that keeps to the rules sees it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::firewall::{guard, rules};
use crate::fleet::{Fleet, pool};
use crate::http2_frames::{
    END_HEADERS, END_STREAM, End, Frames, HEADERS, NO_ERROR, PREFACE, RST_STREAM, SETTINGS, WHOLE,
    frame, number, request,
};
use crate::upstream::{Link, Upstream};
use crate::watching::{listener, set};
use crate::wire::{LIMIT, eventually, field};

/// A client's connection, which a task of its own drives.
struct Client {
    send: SendRequest<Bytes>,
}

/// An answer with its body and what followed.
struct Answer {
    head: Response<()>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &Builder::new()).await
    }

    async fn connect_with(address: SocketAddr, builder: &Builder) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        let (send, connection) = builder.handshake(stream).await.expect("a handshake");
        tokio::spawn(connection);
        Self { send }
    }

    /// Begins a request.
    async fn begin(&self, request: Request<()>, ends: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let mut send = timeout(LIMIT, self.send.clone().ready()).await;
        let send = send.as_mut().expect("in time").as_mut().expect("ready");
        send.send_request(request, ends).expect("sent")
    }

    async fn get(&self, path: &str) -> Answer {
        let (answer, _) = self.begin(get(path), true).await;
        read(answer).await.expect("an answer")
    }
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn field(&self, name: &str) -> Option<&str> {
        let value = self.head.headers().get(name)?;
        value.to_str().ok()
    }
}

fn to(method: &str, path: &str) -> Request<()> {
    let request = Request::builder().method(method);
    let request = request.uri(format!("http://test{path}"));
    request.body(()).expect("a request")
}

fn get(path: &str) -> Request<()> {
    to("GET", path)
}

/// Reads a whole answer.
async fn read(answer: ResponseFuture) -> Result<Answer, h2::Error> {
    let answer = timeout(LIMIT, answer).await.expect("in time")?;
    let (parts, mut stream) = answer.into_parts();
    let body = content(&mut stream).await?;
    let trailers = timeout(LIMIT, stream.trailers()).await.expect("in time")?;
    Ok(Answer {
        head: Response::from_parts(parts, ()),
        body,
        trailers,
    })
}

async fn content(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = timeout(LIMIT, stream.data()).await.expect("in time") {
        let data = data?;
        body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    Ok(body)
}

/// Sends all of it as the other side makes room.
async fn send_all(stream: &mut SendStream<Bytes>, mut body: Bytes, ends: bool) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|context| stream.poll_capacity(context));
        let room = timeout(LIMIT, room).await.expect("in time");
        let room = room.expect("a stream").expect("room");
        let piece = body.split_to(room.min(body.len()));
        stream
            .send_data(piece, ends && body.is_empty())
            .expect("sent");
    }
}

fn patterned(length: usize) -> Bytes {
    let byte = |index: usize| u8::try_from(index % 251).expect("a byte");
    (0..length).map(byte).collect()
}

async fn fleet(server: &Upstream, flags: &[&str]) -> Fleet {
    let flags = [&["--threads", "1"], flags].concat();
    Fleet::at(pool(), &[server.address], &flags).await
}

/// Answers each request with its own body.
async fn mirror() -> Upstream {
    Upstream::start(async |mut link: Link| {
        while let Some(request) = link.request().await {
            let length = request.body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            link.wire.send(head).await;
            link.wire.send(&request.body).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_the_balancer_is_answered_as_by_http_1() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &[]).await;
    fleet.change(set(listener("http", true))).await;
    let client = Client::connect(fleet.address()).await;
    let ready = client.get("/readyz").await;
    assert_eq!(
        (ready.head.status(), ready.text()),
        (StatusCode::OK, "ready\n".into())
    );
    assert_eq!(ready.field("cache-control"), Some("no-store"));
    let (head, _) = client.begin(to("HEAD", "/livez"), true).await;
    let head = read(head).await.expect("an answer");
    assert_eq!(
        (head.field("content-length"), head.text()),
        (Some("5"), String::new())
    );
    assert_eq!(server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_the_way_of_every_other_and_its_answer_comes_back() {
    let server = Upstream::echoing().await;
    let fleet = fleet(&server, &[]).await;
    let client = Client::connect(fleet.address()).await;
    let mut request = get("/a?b");
    let headers = request.headers_mut();
    headers.insert("x-own", HeaderValue::from_static("1"));
    headers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6"));
    let (answer, _) = client.begin(request, true).await;
    let answer = read(answer).await.expect("an answer");
    let head = answer.text();
    assert!(head.starts_with("GET /a?b HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "host").as_deref(), Some("test"));
    assert_eq!(field(&head, "x-own").as_deref(), Some("1"));
    assert_eq!(field(&head, "via").as_deref(), Some("2.0 roundhouse"));
    assert_eq!(
        field(&head, "x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
    assert_eq!(answer.head.status(), StatusCode::OK);
    assert_eq!(answer.field("via"), Some("1.1 roundhouse"));
    assert_eq!(
        answer.field("x-request-id"),
        field(&head, "x-request-id").as_deref()
    );
    assert_eq!(
        answer.field("content-length"),
        Some(head.len().to_string().as_str())
    );
    assert_eq!(answer.field("connection"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firewall_that_changes_holds_for_streams_to_come() {
    let server = mirror().await;
    let fleet = fleet(&server, &[]).await;
    fleet.change(guard(rules(&["127.0.0.1"], &[]))).await;
    let client = Client::connect(fleet.address()).await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.head.status(), 200);
    }
    fleet.change(guard(rules(&[], &["127.0.0.1"]))).await;
    assert_eq!(client.get("/").await.head.status(), 403);
    assert_eq!(server.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_are_under_way_at_once() {
    let server = Upstream::late("late", Duration::from_millis(200)).await;
    let fleet = fleet(&server, &[]).await;
    let client = Client::connect(fleet.address()).await;
    let paths: Vec<_> = (0..100).map(|index| format!("/{index}")).collect();
    let answers = join_all(paths.iter().map(|path| client.get(path))).await;
    assert!(answers.iter().all(|answer| answer.text() == "late"));
    assert_eq!((server.requests(), server.connections()), (100, 100));
    let clients = fleet.metric("roundhouse_balancer_connections_total");
    assert!(clients.await < 2.0, "they came on one connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_bodies_pass_both_ways_through_narrow_windows() {
    let server = mirror().await;
    let fleet = fleet(&server, &["--http2-window", "65535"]).await;
    let mut narrow = Builder::new();
    narrow.initial_window_size(1000);
    for builder in [Builder::new(), narrow] {
        let client = Client::connect_with(fleet.address(), &builder).await;
        for sized in [true, false] {
            let body = patterned(1_500_000);
            let mut request = to("POST", "/");
            if sized {
                let length = HeaderValue::from(body.len());
                request.headers_mut().insert("content-length", length);
            }
            let (answer, mut stream) = client.begin(request, false).await;
            let sending = send_all(&mut stream, body.clone(), true);
            let (answer, ()) = tokio::join!(read(answer), sending);
            let answer = answer.expect("an answer");
            assert!(answer.body == body, "{} bytes", answer.body.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_both_ways() {
    let server = Upstream::start(async |mut link: Link| {
        let head = link.head().await.expect("a head");
        let mut lines = vec![];
        while lines.last().is_none_or(|line: &String| !line.is_empty()) {
            lines.push(link.wire.line().await.expect("a line"));
        }
        let seen = format!("{head}\r\n{}", lines.join("\r\n"));
        let length = seen.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n\
            {length:x}\r\n{seen}\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n"
        );
        link.wire.send(answer).await;
        link.wire.rest().await;
    })
    .await;
    let fleet = fleet(&server, &[]).await;
    let client = Client::connect(fleet.address()).await;
    let mut request = to("POST", "/grpc.Service/Call");
    let headers = request.headers_mut();
    headers.insert("te", HeaderValue::from_static("trailers"));
    let (answer, mut stream) = client.begin(request, false).await;
    send_all(&mut stream, Bytes::from_static(b"hello"), false).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("17"));
    stream.send_trailers(trailers).expect("sent");
    let answer = read(answer).await.expect("an answer");
    let seen = answer.text();
    assert!(seen.ends_with("5\r\nhello\r\n0\r\nx-sum: 17\r\n"), "{seen}");
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["grpc-message"], "fine");
    assert_eq!(trailers.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_body_is_one_in_http_2_too() {
    let server = Upstream::start(async |mut link: Link| {
        while let Some(head) = link.head().await {
            let status = head.split(['/', ' ']).nth(2).expect("a status");
            let length = if status == "204" {
                ""
            } else {
                "Content-Length: 5\r\n"
            };
            link.wire
                .send(format!("HTTP/1.1 {status} x\r\n{length}\r\n"))
                .await;
        }
    })
    .await;
    let fleet = fleet(&server, &[]).await;
    let client = Client::connect(fleet.address()).await;
    for (method, status, length) in [
        ("HEAD", 200, Some("5")),
        ("GET", 204, None),
        ("GET", 304, Some("5")),
    ] {
        let (answer, _) = client.begin(to(method, &format!("/{status}")), true).await;
        let answer = read(answer).await.expect("an answer");
        assert_eq!(answer.head.status().as_u16(), status);
        assert_eq!(answer.field("content-length"), length, "{method} {status}");
        assert!(answer.body.is_empty() && answer.trailers.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_come_before_the_answer() {
    let server = Upstream::start(async |mut link: Link| {
        while link.head().await.is_some() {
            let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
            link.wire.send(hints).await;
            link.wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    })
    .await;
    let fleet = fleet(&server, &[]).await;
    let mut client = Frames::connect(fleet.address()).await;
    client
        .send(HEADERS, WHOLE, 1, &request("GET", "/", &[]))
        .await;
    let mut heads = Vec::new();
    while let Some(frame) = client.next().await {
        if frame.kind == HEADERS {
            heads.push(frame.flags & END_STREAM);
        }
        if heads.last() == Some(&END_STREAM) {
            break;
        }
    }
    assert_eq!(heads, [0, END_STREAM]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resets_its_stream_or_goes_away_ends_what_it_had_asked_for() {
    let server = Upstream::silent().await;
    let fleet = fleet(&server, &[]).await;
    let client = Client::connect(fleet.address()).await;
    for ends in [true, false] {
        let (_answer, mut stream) = client.begin(to("POST", "/"), ends).await;
        eventually("the server has the request", || server.open() == 1).await;
        stream.send_reset(Reason::CANCEL);
        eventually("the server's connection ends", || server.open() == 0).await;
    }
    let mut goer = Frames::connect(fleet.address()).await;
    for stream in [1, 3, 5] {
        goer.send(HEADERS, WHOLE, stream, &request("GET", "/", &[]))
            .await;
    }
    eventually("the server has the requests", || server.open() == 3).await;
    drop(goer);
    eventually("the server's connections end", || server.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_never_looks_whole() {
    for half in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let server = Upstream::start(move |mut link: Link| async move {
            while let Some(request) = link.request().await {
                if request.head.starts_with("GET /whole ") {
                    link.answer(&request, "whole").await;
                } else {
                    link.wire.send(half).await;
                    return;
                }
            }
        })
        .await;
        let fleet = fleet(&server, &[]).await;
        let client = Client::connect(fleet.address()).await;
        let (answer, _) = client.begin(get("/half"), true).await;
        let broken = read(answer).await.err().expect("no whole answer");
        assert_eq!(broken.reason(), Some(Reason::INTERNAL_ERROR));
        assert_eq!(client.get("/whole").await.text(), "whole");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_need_not_wait_for_the_whole_request() {
    let server = Upstream::named("1").await;
    let mut narrow = pool();
    narrow.max_body_bytes = 10;
    let fleet = Fleet::at(narrow, &[server.address], &["--threads", "1"]).await;
    let mut client = Frames::connect(fleet.address()).await;
    let head = request("POST", "/", &[(b"content-length", b"100")]);
    client.send(HEADERS, END_HEADERS, 1, &head).await;
    assert_eq!(client.end_of(1).await, End::Answered(413));
    loop {
        let frame = client.next().await.expect("the stream is reset");
        if frame.kind == RST_STREAM {
            assert_eq!((frame.stream, number(&frame.payload)), (1, NO_ERROR));
            break;
        }
    }
    let next = request("GET", "/", &[]);
    client.send(HEADERS, WHOLE, 3, &next).await;
    assert_eq!(client.end_of(3).await, End::Answered(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_the_bounds_that_it_has_in_http_1() {
    let server = Upstream::named("1").await;
    let flags = ["--max-head-bytes", "1024", "--max-fields", "5"];
    let fleet = fleet(&server, &flags).await;
    let client = Client::connect(fleet.address()).await;
    for (name, count, length, reason) in [
        ("x", 9, 1, "too-many-fields"),
        ("y", 1, 1100, "head-too-long"),
    ] {
        let mut request = get("/");
        for _ in 0..count {
            let value = HeaderValue::from_str(&"v".repeat(length)).expect("a value");
            request.headers_mut().append(name, value);
        }
        let (answer, _) = client.begin(request, true).await;
        let answer = read(answer).await.expect("an answer");
        assert_eq!(answer.head.status().as_u16(), 431);
        assert_eq!(answer.field("roundhouse-reason"), Some(reason));
    }
    assert_eq!(client.get("/").await.text(), "1");
    assert_eq!(server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_without_tls_can_be_turned_off() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &["--h2c", "false"]).await;
    let mut client = fleet.client().await;
    let answer = client.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(answer.expect("an answer").status(), 505);
    assert!(client.is_ended().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preface_may_come_byte_by_byte() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &[]).await;
    let mut client = Frames::silent(fleet.address()).await;
    let head = request("GET", "/", &[]);
    let bytes = [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, b""),
        frame(HEADERS, WHOLE, 1, &head),
    ];
    for byte in bytes.concat() {
        client.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.end_of(1).await, End::Answered(200));
}

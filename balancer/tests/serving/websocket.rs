//! WebSockets through the balancer, between a client and a server that others wrote.

#![expect(
    clippy::result_large_err,
    reason = "the library wants a callback that may answer with a whole response"
)]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use model::ServerState;
use registry::Goal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, http};
use tokio_tungstenite::{WebSocketStream, accept_async, accept_hdr_async, client_async};

use crate::fleet::{Fleet, pool};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, eventually};

const IN_FLIGHT: &str = "roundhouse_balancer_server_in_flight{pool=\"default\",server=\"s1\"}";

/// Sends every text and every binary message back, until the client closes.
async fn echo() -> Upstream {
    Upstream::start(async |link: Link| {
        let mut link = link;
        let Ok(mut socket) = accept_async(&mut link.wire.stream).await else {
            return;
        };
        while let Some(Ok(message)) = socket.next().await {
            let is_data = message.is_text() || message.is_binary();
            if is_data && socket.send(message).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn open(fleet: &Fleet) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(fleet.address())
        .await
        .expect("connected");
    let opening = client_async("ws://example.org/chat", stream);
    let opened = timeout(LIMIT, opening).await.expect("opened in time");
    opened.expect("a WebSocket").0
}

/// The next message; nothing where the connection has ended, whichever way.
async fn next(socket: &mut WebSocketStream<TcpStream>) -> Option<Message> {
    let next = timeout(LIMIT, socket.next()).await.expect("in time");
    next?.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_kind_go_both_ways() {
    let server = echo().await;
    let fleet = Fleet::of(&[&server]).await;
    let mut socket = open(&fleet).await;
    for text in ["hello", "", "a second one"] {
        socket.send(Message::text(text)).await.expect("sent");
        assert_eq!(next(&mut socket).await, Some(Message::text(text)));
    }
    let bytes: Vec<u8> = (0..=255).collect();
    socket
        .send(Message::binary(bytes.clone()))
        .await
        .expect("sent");
    assert_eq!(next(&mut socket).await, Some(Message::binary(bytes)));
    let ping = Bytes::from_static(b"are you there");
    socket
        .send(Message::Ping(ping.clone()))
        .await
        .expect("sent");
    assert_eq!(next(&mut socket).await, Some(Message::Pong(ping)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_is_answered_by_the_server_and_ends_the_tunnel() {
    let server = echo().await;
    let fleet = Fleet::of(&[&server]).await;
    let mut socket = open(&fleet).await;
    let goodbye = CloseFrame {
        code: CloseCode::Normal,
        reason: "done".into(),
    };
    socket.close(Some(goodbye.clone())).await.expect("closed");
    assert_eq!(next(&mut socket).await, Some(Message::Close(Some(goodbye))));
    assert_eq!(next(&mut socket).await, None);
    drop(socket);
    eventually("the server's connection has ended", || server.open() == 0).await;
    fleet.counts(IN_FLIGHT, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_arrive_whole_and_in_order() {
    let server = echo().await;
    let fleet = Fleet::of(&[&server]).await;
    let mut socket = open(&fleet).await;
    for length in [65_535, 65_536, 1 << 20, 8 << 20] {
        let byte = |place: usize| u8::try_from(place % 251).expect("below 251");
        let large: Vec<u8> = (0..length).map(byte).collect();
        socket
            .send(Message::binary(large.clone()))
            .await
            .expect("sent");
        let back = next(&mut socket).await.expect("a message").into_data();
        assert!(back == large, "{} of {length} bytes came back", back.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_at_once_come_back_in_order() {
    let server = echo().await;
    let fleet = Fleet::of(&[&server]).await;
    let (mut sink, stream) = open(&fleet).await.split();
    let sending = tokio::spawn(async move {
        for number in 0..2_000 {
            sink.feed(Message::text(number.to_string()))
                .await
                .expect("fed");
        }
        sink.flush().await.expect("sent");
        sink
    });
    let back: Vec<String> = timeout(
        LIMIT,
        stream
            .take(2_000)
            .map(|message| {
                message
                    .expect("a message")
                    .into_text()
                    .expect("text")
                    .to_string()
            })
            .collect(),
    )
    .await
    .expect("in time");
    let expected: Vec<String> = (0..2_000).map(|number: u32| number.to_string()).collect();
    assert_eq!(back, expected);
    drop(sending.await.expect("sent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_sees_who_asks_and_what_for() {
    let server = Upstream::start(async |link: Link| {
        let mut link = link;
        let check = |request: &Request, response: Response| {
            let of = |name: &str| request.headers()[name].to_str().expect("text").to_owned();
            assert_eq!(request.uri().path(), "/chat");
            assert_eq!(of("host"), "example.org");
            assert_eq!(of("x-forwarded-for"), "127.0.0.1");
            assert_eq!(of("via"), "1.1 roundhouse");
            Ok::<_, ErrorResponse>(response)
        };
        let mut socket = accept_hdr_async(&mut link.wire.stream, check)
            .await
            .expect("a WebSocket");
        socket.send(Message::text("right")).await.expect("sent");
    })
    .await;
    let fleet = Fleet::of(&[&server]).await;
    let mut socket = open(&fleet).await;
    assert_eq!(next(&mut socket).await, Some(Message::text("right")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_gives_an_ordinary_answer() {
    let server = Upstream::start(async |link: Link| {
        let mut link = link;
        let refuse = |_: &Request, _: Response| {
            let refusal = http::Response::builder().status(403);
            Err::<Response, ErrorResponse>(refusal.body(Some("no".into())).expect("a response"))
        };
        // It fails, since it is refused.
        let _ = accept_hdr_async(&mut link.wire.stream, refuse).await;
    })
    .await;
    let fleet = Fleet::of(&[&server]).await;
    let stream = TcpStream::connect(fleet.address())
        .await
        .expect("connected");
    let refused = timeout(LIMIT, client_async("ws://example.org/chat", stream)).await;
    match refused.expect("in time") {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 403),
        other => panic!("not refused: {other:?}"),
    }
    fleet.counts(IN_FLIGHT, 0).await;
}

/// A text of one letter as a client sends it: masked with zeros.
const MASKED_A: [u8; 7] = [0x81, 0x81, 0, 0, 0, 0, b'a'];

/// The same as a server sends it.
const PLAIN_A: [u8; 3] = [0x81, 0x01, b'a'];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sends_before_the_answer_is_not_lost() {
    let server = echo().await;
    let fleet = Fleet::of(&[&server]).await;
    let head = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut client = fleet.client().await;
    client
        .send([head.as_bytes(), &MASKED_A, &MASKED_A].concat())
        .await;
    let head = client.head().await.expect("a head");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let echoed = client.bytes(2 * PLAIN_A.len()).await.expect("two frames");
    assert_eq!(echoed, [PLAIN_A, PLAIN_A].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_without_a_byte_in_either_direction_ends() {
    let server = echo().await;
    let mut quiet = pool();
    quiet.timeouts.idle = Duration::from_millis(300);
    let fleet = Fleet::with(quiet, &[&server]).await;
    let mut socket = open(&fleet).await;
    assert_eq!(next(&mut socket).await, None);
    eventually("the server's connection has ended", || server.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_in_flight_and_ends_with_the_time_of_a_draining_server() {
    let upstream = echo().await;
    let mut hasty = pool();
    hasty.timeouts.drain = Duration::from_millis(500);
    let fleet = Fleet::with(hasty, &[&upstream]).await;
    let mut socket = open(&fleet).await;
    socket.send(Message::text("before")).await.expect("sent");
    assert_eq!(next(&mut socket).await, Some(Message::text("before")));
    assert_eq!(fleet.metric(IN_FLIGHT).await, 1.0);
    let leaving = fleet.leaving("s1").await;
    let position = fleet
        .set_state("s1", upstream.address, ServerState::Draining)
        .await;
    assert_eq!(next(&mut socket).await, None);
    fleet.reaches(&Goal::Drained(position, leaving)).await;
    fleet.counts(IN_FLIGHT, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_takes_the_tunnel_with_it() {
    let server = echo().await;
    let fleet = Fleet::of(&[&server]).await;
    let socket = open(&fleet).await;
    let mut stream = socket.into_inner();
    stream.set_zero_linger().expect("linger");
    stream.flush().await.expect("flushed");
    drop(stream);
    eventually("the server's connection has ended", || server.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_tunnel_is_counted_as_an_answer_and_not_as_a_slow_one() {
    let server = echo().await;
    let fleet = Fleet::of(&[&server]).await;
    let _socket = open(&fleet).await;
    let answers = "roundhouse_balancer_requests_total{pool=\"default\",class=\"1xx\"}";
    fleet.counts(answers, 1).await;
}

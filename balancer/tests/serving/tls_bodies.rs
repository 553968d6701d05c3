//! What goes through TLS: much of it, both ways, tunnels, and ends of every kind.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use crate::client;
use crate::fleet::{Fleet, args};
use crate::load::Load;
use crate::secure::{ANY, TLS12, TLS13, Trust, bridge, connect, tls_of};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, eventually};

async fn fleet(trust: &Trust, server: SocketAddr) -> Fleet {
    let issued = trust.authority.issue(&["shop.example"]);
    trust
        .fleet(&[("a", &issued)], &[server], &["--threads", "1"])
        .await
}

/// Bytes of which no two pieces are alike.
pub(crate) fn much(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| byte()).collect()
}

/// Answers each request with its own body.
pub(crate) async fn echo() -> Upstream {
    Upstream::start(async |mut link: Link| {
        while let Some(request) = link.request().await {
            let length = request.body.len();
            link.wire
                .send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
                ))
                .await;
            link.wire.send(&request.body).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_every_length_go_both_ways_unchanged() {
    let (trust, server) = (Trust::new(), echo().await);
    let fleet = fleet(&trust, server.address).await;
    for versions in [TLS12, TLS13] {
        let config = trust.client(versions);
        let bridged = bridge(tls_of(&fleet), "shop.example", config).await;
        let mut client = client::connect(bridged).await;
        for length in [
            0, 1, 4095, 16_383, 16_384, 16_385, 65_536, 100_000, 5_000_000,
        ] {
            let body = much(length);
            let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            client.send(head).await;
            let Wired { sent, answer } = exchange(&mut client, &body).await;
            assert!(sent && answer == body, "{length}");
        }
    }
}

struct Wired {
    sent: bool,
    answer: Vec<u8>,
}

/// Sends a body and reads the answer at the same time, since neither side keeps all of it.
async fn exchange(client: &mut crate::wire::Wire, body: &[u8]) -> Wired {
    let (mut reader, mut writer) = client.stream.split();
    let sending = writer.write_all(body);
    let reading = async {
        let mut read = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            let end = read.windows(4).position(|four: &[u8]| four == b"\r\n\r\n");
            if let Some(end) = end.filter(|end| read.len() - end - 4 >= body.len()) {
                return read.split_off(end + 4);
            }
            let count = timeout(LIMIT, reader.read(&mut piece)).await;
            let count = count.expect("in time").expect("read");
            assert!(count > 0, "cut short");
            read.extend_from_slice(&piece[..count]);
        }
    };
    let (sent, answer) = tokio::join!(sending, reading);
    Wired {
        sent: sent.is_ok(),
        answer,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_gets_all_of_it() {
    let (trust, server) = (
        Trust::new(),
        Upstream::start(async |mut link: Link| {
            while link.request().await.is_some() {
                let body = much(3_000_000);
                link.wire
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")
                    .await;
                link.wire.send(&body).await;
            }
        })
        .await,
    );
    let fleet = fleet(&trust, server.address).await;
    let config = Arc::new(trust.client(ANY));
    let made = connect(tls_of(&fleet), "shop.example", &config).await;
    let mut stream = made.expect("a handshake");
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    // Nothing is read until the kernel holds all that it takes, and the balancer waits.
    eventually("the server was asked", || server.requests() == 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let body = much(3_000_000);
    let mut read = Vec::new();
    let mut piece = [0; 1000];
    while !read.ends_with(&body) {
        let count = timeout(LIMIT, stream.read(&mut piece)).await;
        let count = count.expect("in time").expect("read");
        assert!(count > 0, "cut short");
        read.extend_from_slice(&piece[..count]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_goes_through_tls() {
    let server = Upstream::start(async |mut link: Link| {
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
    .await;
    let trust = Trust::new();
    let fleet = fleet(&trust, server.address).await;
    let stream = TcpStream::connect(trust.bridge(&fleet, "shop.example").await).await;
    let opening = client_async("ws://shop.example/chat", stream.expect("connected"));
    let opened = timeout(LIMIT, opening).await.expect("in time");
    let (mut socket, _) = opened.expect("a WebSocket");
    for message in [Message::text("hello"), Message::binary(much(200_000))] {
        socket.send(message.clone()).await.expect("sent");
        let next = timeout(LIMIT, socket.next()).await.expect("in time");
        assert_eq!(next.expect("a message").expect("a message"), message);
    }
    socket.close(None).await.expect("closed");
    eventually("the server's connection has ended", || server.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ends_its_side_still_gets_its_answer_and_an_orderly_end() {
    let server = Upstream::late("one", std::time::Duration::from_millis(200)).await;
    let trust = Trust::new();
    let fleet = fleet(&trust, server.address).await;
    let config = Arc::new(trust.client(ANY));
    for in_order in [true, false] {
        let made = connect(tls_of(&fleet), "shop.example", &config).await;
        let mut stream = made.expect("a handshake");
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        stream.flush().await.expect("sent");
        if in_order {
            stream.shutdown().await.expect("its end is said");
        } else {
            stream
                .get_mut()
                .0
                .shutdown()
                .await
                .expect("its end is not said");
        }
        let mut answer = String::new();
        // Without a word of the end this fails.
        let read = timeout(LIMIT, stream.read_to_string(&mut answer)).await;
        read.expect("in time").expect("an orderly end");
        assert!(answer.ends_with("\r\n\r\none"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_does_not_end_in_order() {
    let server = Upstream::start(async |mut link: Link| {
        let _ = link.request().await;
        // Without a length, to a client for which only the end tells where it ends.
        link.wire
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhal\r\n")
            .await;
    })
    .await;
    let trust = Trust::new();
    let fleet = fleet(&trust, server.address).await;
    let config = Arc::new(trust.client(ANY));
    let made = connect(tls_of(&fleet), "shop.example", &config).await;
    let mut stream = made.expect("a handshake");
    stream
        .write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    let read = timeout(LIMIT, stream.read_to_end(&mut answer)).await;
    read.expect("in time")
        .expect_err("it is cut short, and looks so");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_for_tls_is_handed_over_and_no_request_fails() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let issued = trust.authority.issue(&["shop.example"]);
    let path = trust
        .directory
        .path()
        .join("handover")
        .display()
        .to_string();
    let flags = ["--threads", "2", "--handover", &path];
    let mut running = trust
        .fleet(&[("a", &issued)], &[server.address], &flags)
        .await;
    let address = tls_of(&running);
    let load = Load::start(trust.bridge(&running, "shop.example").await);
    let file = trust.seal_key_file();
    let own = ["--listen-tls", "127.0.0.1:0", "--seal-key-file", &file];
    for threads in ["1", "3"] {
        load.proceeds().await;
        let flags = [&own[..], &["--threads", threads, "--handover", &path]].concat();
        let next = Fleet::on(Arc::clone(&running.registry), &flags).await;
        timeout(LIMIT, next.balancer.accepting())
            .await
            .expect("in time");
        assert_eq!(tls_of(&next), address);
        running.supervisor.finished(LIMIT).await.expect("it ends");
        running = next;
    }
    load.proceeds().await;
    load.end().await;
    let without = args(&["--handover", &path]);
    let supervisor = runtime::Supervisor::new();
    let refused = balancer::Balancer::start(without, Arc::clone(&running.registry), &supervisor);
    let refused = refused
        .await
        .expect_err("it would close the listener")
        .to_string();
    assert!(refused.contains("--listen-tls"), "{refused}");
}

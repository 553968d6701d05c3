//! Clients that ask for too much: each is told so and counted, and nobody else notices.

use std::collections::HashMap;
use std::time::Duration;

use crate::client;
use crate::fleet::{Fleet, pool};
use crate::http2_frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, Frames, HEADERS, PING,
    PRIORITY, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, frame, request,
};
use crate::upstream::Upstream;

async fn fleet(server: &Upstream, flags: &[&str]) -> Fleet {
    let flags = [&["--threads", "1"], flags].concat();
    Fleet::at(pool(), &[server.address], &flags).await
}

/// A flood ends its own connection with the right code, and is counted by its name; another connection serves on.
async fn is_ended(reason: &str, bytes: impl Fn(u32) -> Vec<u8>) {
    let server = Upstream::silent().await;
    let fleet = fleet(&server, &[]).await;
    let mut other = Frames::connect(fleet.address()).await;
    other.send(PING, 0, 0, b"before..").await;
    let mut client = Frames::connect(fleet.address()).await;
    client
        .send(HEADERS, END_HEADERS, 1, &request("POST", "/", &[]))
        .await;
    client.flood(50_000, bytes).await;
    let end = client.end().await;
    assert!(
        matches!(end, End::GoAway(ENHANCE_YOUR_CALM) | End::Closed),
        "{reason}: {end:?}"
    );
    fleet.has_ended(reason, 1).await;
    other.send(PING, 0, 0, b"behind..").await;
    loop {
        let frame = other.next().await.expect("the other connection goes on");
        if frame.kind == PING && frame.payload == b"behind.." {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flood_is_ended_and_counted_by_its_name() {
    is_ended("http2-settings-flood", |_| frame(SETTINGS, 0, 0, b"")).await;
    is_ended("http2-ping-flood", |_| frame(PING, 0, 0, &[0; 8])).await;
    is_ended("http2-priority-flood", |_| {
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0])
    })
    .await;
    is_ended("http2-window-update-flood", |_| {
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])
    })
    .await;
    is_ended("http2-empty-data-flood", |_| frame(DATA, 0, 1, b"")).await;
    is_ended("http2-frame-flood", |_| frame(0xfa, 0, 0, b"?")).await;
    is_ended("http2-reset-flood", |index| {
        let stream = 2 * index + 3;
        let begun = frame(HEADERS, WHOLE, stream, &request("GET", "/", &[]));
        [begun, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    })
    .await;
    is_ended("http2-continuation-flood", |index| match index {
        0 => frame(HEADERS, END_STREAM, 3, &request("GET", "/", &[])),
        _ => frame(CONTINUATION, 0, 3, b""),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_many_requests_at_once_is_ended_by_the_bound_that_was_set() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &["--http2-max-resets", "100"]).await;
    let cancelled = |count: u32| -> Vec<u8> {
        let streams = (0..count).map(|index| {
            let stream = 2 * index + 1;
            let begun = frame(HEADERS, WHOLE, stream, &request("GET", "/", &[]));
            [begun, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        });
        streams.flatten().collect()
    };
    let mut client = Frames::connect(fleet.address()).await;
    client.write(&cancelled(90)).await;
    client
        .send(HEADERS, WHOLE, 1001, &request("GET", "/", &[]))
        .await;
    assert_eq!(client.end_of(1001).await, End::Answered(200));
    let mut client = Frames::connect(fleet.address()).await;
    client.write(&cancelled(150)).await;
    assert_eq!(client.end().await, End::GoAway(ENHANCE_YOUR_CALM));
    fleet.has_ended("http2-reset-flood", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_runs_out_of_time() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &["--head-timeout", "300ms"]).await;
    let begun = frame(HEADERS, WHOLE, 1, &request("GET", "/", &[]));
    for half in [
        // In the middle of a frame, and between two.
        begun[..begun.len() - 1].to_vec(),
        frame(HEADERS, END_STREAM, 1, &request("GET", "/", &[])),
    ] {
        let mut client = Frames::connect(fleet.address()).await;
        client.write(&half).await;
        assert_eq!(client.end().await, End::GoAway(ENHANCE_YOUR_CALM));
    }
    fleet.has_ended("http2-head-timeout", 2).await;
    assert_eq!(server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_works_with_a_connection_may_cancel_and_ping_at_will() {
    let server = Upstream::named("1").await;
    let flags = [
        "--http2-max-resets",
        "3",
        "--http2-max-control-frames",
        "100",
    ];
    let fleet = fleet(&server, &flags).await;
    let mut client = Frames::connect(fleet.address()).await;
    for round in 0..200 {
        let stream = 4 * round + 1;
        let head = request("GET", "/", &[]);
        client.send(HEADERS, WHOLE, stream, &head).await;
        assert_eq!(client.end_of(stream).await, End::Answered(200));
        client.send(PING, 0, 0, &[0; 8]).await;
        client.send(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).await;
        let head = request("POST", "/", &[]);
        client.send(HEADERS, END_HEADERS, stream + 2, &head).await;
        client.send(RST_STREAM, 0, stream + 2, &[0, 0, 0, 8]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_not_waited_for() {
    let long = Upstream::start(async |mut link: crate::upstream::Link| {
        let length = 64 << 20;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        if link.head().await.is_some() {
            link.wire.send(head).await;
            let piece = vec![b'x'; 1 << 16];
            use tokio::io::AsyncWriteExt;
            while link.wire.stream.write_all(&piece).await.is_ok() {}
        }
    })
    .await;
    let fleet = fleet(&long, &["--body-timeout", "500ms"]).await;
    // All the room there can be, and nobody who reads.
    let mut client = Frames::connect_with(fleet.address(), &[(4, 0x7fff_ffff)]).await;
    client.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]).await;
    client
        .send(HEADERS, WHOLE, 1, &request("GET", "/", &[]))
        .await;
    fleet.has_ended("answer-not-taken", 1).await;
    crate::wire::eventually("the server is let go", || long.open() == 0).await;
    drop(client);
}

/// Reads on until each of these streams has brought so many bytes of content.
async fn read_until(client: &mut Frames, streams: &[u32], length: usize, seen: &mut Seen) {
    while streams
        .iter()
        .any(|stream| seen.get(stream) != Some(&length))
    {
        let frame = client.next().await.expect("a connection that goes on");
        assert_ne!(frame.kind, RST_STREAM, "stream {} ends", frame.stream);
        if frame.kind == DATA {
            *seen.entry(frame.stream).or_default() += frame.payload.len();
        }
    }
}

/// Bytes of content by stream.
type Seen = HashMap<u32, usize>;

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_read_hold_up_no_others_of_the_connection() {
    const LENGTH: usize = 250_000;
    const WINDOW: usize = 65_535;
    let long = Upstream::start(async |mut link: crate::upstream::Link| {
        while let Some(request) = link.request().await {
            if request.head.starts_with("GET /sized") {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
                link.wire.send(head).await;
                link.wire.send(vec![b'x'; LENGTH]).await;
                continue;
            }
            let chunk = [b"64\r\n", &[b'x'; 100][..], b"\r\n"].concat();
            let chunks = chunk.repeat(LENGTH / 100);
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            link.wire.send(head).await;
            link.wire.send([&chunks, &b"0\r\n\r\n"[..]].concat()).await;
        }
    })
    .await;
    let fleet = fleet(&long, &[]).await;
    let mut client = Frames::connect(fleet.address()).await;
    client.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]).await;
    let streams: Vec<u32> = (0..100).map(|index| 2 * index + 1).collect();
    for stream in &streams {
        let path = ["/sized", "/chunked"][usize::from(stream % 4 == 1)];
        let head = request("GET", path, &[]);
        client.send(HEADERS, WHOLE, *stream, &head).await;
    }
    let mut seen = Seen::new();
    // What is between the windows and the servers has filled up.
    read_until(&mut client, &streams, WINDOW, &mut seen).await;
    for some in [&streams[60..], &streams[..60]] {
        for stream in some {
            let more = u32::try_from(LENGTH).expect("a window").to_be_bytes();
            client.send(WINDOW_UPDATE, 0, *stream, &more).await;
        }
        read_until(&mut client, some, LENGTH, &mut seen).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_leaves_other_clients_alone() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &[]).await;
    let flooding = async {
        let mut client = Frames::connect(fleet.address()).await;
        client
            .flood(20_000, |index| {
                let stream = 2 * index + 1;
                let begun = frame(HEADERS, WHOLE, stream, &request("GET", "/", &[]));
                [begun, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
            })
            .await;
    };
    let asking = async {
        for _ in 0..50 {
            assert_eq!(client::get(fleet.address(), "/").await.status(), 200);
        }
    };
    let both = async { tokio::join!(flooding, asking) };
    let both = tokio::time::timeout(Duration::from_secs(20), both).await;
    both.expect("in time");
    fleet.has_ended("http2-reset-flood", 1).await;
}

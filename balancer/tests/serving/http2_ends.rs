//! How connections of HTTP/2 end, and what one may have at most.

use std::time::Duration;

use crate::fleet::{Fleet, pool};
use crate::http2_frames::{
    ACK, CANCEL, End, Frames, GOAWAY, HEADERS, NO_ERROR, PING, WHOLE, number, request,
};
use crate::upstream::Upstream;
use crate::wire::eventually;

async fn fleet(server: &Upstream, flags: &[&str]) -> Fleet {
    let flags = [&["--threads", "1"], flags].concat();
    Fleet::at(pool(), &[server.address], &flags).await
}

/// Reads until the connection ends. The reasons of all GOAWAYs, and the streams that were answered.
async fn farewell(client: &mut Frames) -> (Vec<u32>, Vec<u32>) {
    let (mut reasons, mut answered) = (Vec::new(), Vec::new());
    while let Some(frame) = client.next().await {
        match frame.kind {
            GOAWAY => reasons.push(number(&frame.payload[4..])),
            HEADERS => answered.push(frame.stream),
            PING if frame.flags == 0 => {
                client.send(PING, ACK, 0, &frame.payload).await;
            }
            _ => {}
        }
    }
    // Which of two is answered first is nobody's choice.
    answered.sort_unstable();
    (reasons, answered)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_waits_for_long_ends_with_a_word() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &["--keep-alive-timeout", "300ms"]).await;
    let mut client = Frames::connect(fleet.address()).await;
    let head = request("GET", "/", &[]);
    client.send(HEADERS, WHOLE, 1, &head).await;
    assert_eq!(farewell(&mut client).await, (vec![NO_ERROR], vec![1]));
    fleet.has_ended("keep-alive-idle", 1).await;
    let mut silent = Frames::connect(fleet.address()).await;
    assert_eq!(farewell(&mut silent).await, (vec![NO_ERROR], vec![]));
    fleet.has_ended("nothing-sent", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_makes_so_many_requests_and_no_more() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &["--keep-alive-requests", "2"]).await;
    let mut client = Frames::connect(fleet.address()).await;
    let head = request("GET", "/", &[]);
    for stream in [1, 3] {
        client.send(HEADERS, WHOLE, stream, &head).await;
    }
    let (reasons, answered) = farewell(&mut client).await;
    assert!(!reasons.is_empty() && reasons.iter().all(|one| *one == NO_ERROR));
    assert_eq!(answered, [1, 3]);
    fleet.has_ended("keep-alive-requests", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_that_stops_answers_what_is_under_way() {
    let server = Upstream::late("late", Duration::from_millis(500)).await;
    let fleet = fleet(&server, &[]).await;
    let mut client = Frames::connect(fleet.address()).await;
    client
        .send(HEADERS, WHOLE, 1, &request("GET", "/", &[]))
        .await;
    eventually("the server has it", || server.requests() == 1).await;
    fleet.supervisor.request_stop();
    let (reasons, answered) = farewell(&mut client).await;
    assert!(!reasons.is_empty() && reasons.iter().all(|one| *one == NO_ERROR));
    assert_eq!(answered, [1]);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_streams_are_open_at_once_and_no_more() {
    const REFUSED_STREAM: u32 = 7;
    let server = Upstream::silent().await;
    let fleet = fleet(&server, &["--http2-max-streams", "2"]).await;
    let mut client = Frames::connect(fleet.address()).await;
    for stream in [1, 3, 5] {
        client
            .send(HEADERS, WHOLE, stream, &request("GET", "/", &[]))
            .await;
    }
    assert_eq!(client.end_of(5).await, End::Reset(REFUSED_STREAM));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_its_answer_loses_the_stream() {
    let server = Upstream::named("a short answer").await;
    let fleet = fleet(&server, &["--body-timeout", "300ms"]).await;
    // No window is opened but the connection's.
    let mut client = Frames::connect_with(fleet.address(), &[(4, 0)]).await;
    client
        .send(HEADERS, WHOLE, 1, &request("GET", "/", &[]))
        .await;
    assert_eq!(client.end_of(1).await, End::Answered(200));
    assert_eq!(client.end_of(1).await, End::Reset(CANCEL));
    fleet.has_ended("answer-not-taken", 1).await;
}

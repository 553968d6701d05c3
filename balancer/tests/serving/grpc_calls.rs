//! gRPC from end to end: a client of tonic's, a balancer, a server of tonic's, HTTP/2 on both sides.

use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::fleet::Fleet;
use crate::grpc_service::{Caller, channel, talk_server};
use crate::h2_servers::h2_pool;

async fn fleet() -> Fleet {
    Fleet::at(h2_pool(), &[talk_server().await], &["--threads", "1"]).await
}

async fn texts(mut answers: Streaming<Bytes>) -> Result<Vec<String>, Status> {
    let mut texts = Vec::new();
    while let Some(message) = answers.message().await? {
        texts.push(String::from_utf8_lossy(&message).into_owned());
    }
    Ok(texts)
}

async fn called(
    caller: &mut Caller,
    method: &'static str,
    messages: &[&'static str],
) -> Vec<String> {
    let answers = caller.call_with(method, messages).await.expect("answers");
    texts(answers).await.expect("an orderly end")
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_each_kind_are_answered() {
    let fleet = fleet().await;
    let mut caller = Caller::of(fleet.address()).await;
    assert_eq!(
        called(&mut caller, "/test.Talk/Echo", &["hello"]).await,
        ["hello"]
    );
    assert_eq!(
        called(&mut caller, "/test.Talk/Echo", &["a", "", "c"]).await,
        ["a", "", "c"]
    );
    assert_eq!(
        called(&mut caller, "/test.Talk/Join", &["a", "b", "c"]).await,
        ["abc"]
    );
    let counted = called(&mut caller, "/test.Talk/Count", &["1000"]).await;
    assert_eq!(counted.len(), 1000);
    assert_eq!(counted.last().map(String::as_str), Some("999"));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_conversation_go_one_by_one() {
    let fleet = fleet().await;
    let mut caller = Caller::of(fleet.address()).await;
    let (send, messages) = mpsc::channel(1);
    let mut answers = caller
        .call("/test.Talk/Echo", messages)
        .await
        .expect("answers");
    for number in 0..100 {
        let message = Bytes::from(format!("message {number}"));
        send.send(message.clone()).await.expect("a call under way");
        let echo = answers.message().await.expect("an answer");
        assert_eq!(echo, Some(message));
    }
    drop(send);
    assert_eq!(answers.message().await.expect("an orderly end"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_many_frames_comes_whole() {
    let fleet = fleet().await;
    let mut caller = Caller::of(fleet.address()).await;
    let large = Bytes::from(vec![b'x'; 3 << 20]);
    let (send, messages) = mpsc::channel(1);
    send.send(large.clone()).await.expect("room for one");
    drop(send);
    let mut answers = caller
        .call("/test.Talk/Echo", messages)
        .await
        .expect("answers");
    assert!(answers.message().await.expect("an answer") == Some(large));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_call_that_fails_comes_whole() {
    let fleet = fleet().await;
    let mut caller = Caller::of(fleet.address()).await;
    let refused = caller.call_with("/test.Talk/Refuse", &["a"]).await;
    let refused = refused.expect_err("a failure");
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::PermissionDenied, "not for you: ü")
    );
    let mut answers = caller
        .call_with("/test.Talk/Break", &["a"])
        .await
        .expect("answers");
    assert_eq!(
        answers.message().await.expect("an answer"),
        Some(Bytes::from("a"))
    );
    let broken = answers.message().await.expect_err("a failure");
    assert_eq!(
        (broken.code(), broken.message()),
        (Code::DataLoss, "broken")
    );
    let unknown = caller.call_with("/test.Nobody/Echo", &["a"]).await;
    assert_eq!(unknown.expect_err("a failure").code(), Code::Unimplemented);
    assert_eq!(
        called(&mut caller, "/test.Talk/Echo", &["still"]).await,
        ["still"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_share_the_connections() {
    let fleet = fleet().await;
    let channel = channel(fleet.address()).await;
    let calls = (0..200).map(|_| {
        let mut caller = Caller(tonic::client::Grpc::new(channel.clone()));
        tokio::spawn(async move { called(&mut caller, "/test.Talk/Join", &["a", "b"]).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.expect("a call"), ["ab"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_service_is_called_through_the_balancer() {
    let fleet = fleet().await;
    let mut client = HealthClient::new(channel(fleet.address()).await);
    let service = String::new();
    let answer = client
        .check(HealthCheckRequest { service })
        .await
        .expect("an answer");
    assert_eq!(answer.into_inner().status, 1);
    let service = "unknown".to_owned();
    let failed = client.check(HealthCheckRequest { service }).await;
    assert_eq!(failed.expect_err("a failure").code(), Code::NotFound);
}

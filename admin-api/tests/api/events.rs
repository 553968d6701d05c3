//! `/v1/events`: what happens, as it happens.

use std::time::Duration;

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::harness::{Fixture, balancer, within};

/// The events of one connection.
struct Events {
    body: Incoming,
    unread: BytesMut,
}

#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Events {
    async fn open(fixture: &Fixture, after: Option<&str>) -> Self {
        let mut call = fixture.request("GET", "/v1/events");
        if let Some(id) = after {
            call = call.header("last-event-id", id);
        }
        let response = call.open().await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.into_body();
        Self {
            body,
            unread: BytesMut::new(),
        }
    }

    /// The next event that is no comment; nothing at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let text = String::from_utf8_lossy(&self.unread).into_owned();
            let Some((block, rest)) = text.split_once("\n\n") else {
                let frame = within(self.body.frame()).await?.ok()?;
                self.unread.extend_from_slice(&frame.into_data().unwrap());
                continue;
            };
            self.unread = rest.as_bytes().into();
            let field = |name: &str| {
                let lines = block.lines();
                let found = lines.filter_map(|line| line.strip_prefix(name)).next();
                found.map(|value| value.trim().to_owned())
            };
            if let Some(data) = field("data:") {
                let data = serde_json::from_str(&data).unwrap();
                let name = field("event:").unwrap_or_default();
                let id = field("id:").unwrap_or_default();
                return Some(Event { name, id, data });
            }
        }
    }

    async fn named(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.expect("another event");
            if event.name == name {
                return event;
            }
        }
    }
}

#[tokio::test]
async fn each_revision_is_told_in_order_with_what_it_changed() {
    let fixture = Fixture::start().await;
    let mut events = Events::open(&fixture, None).await;
    let hello = events.next().await.unwrap();
    assert_eq!(
        (hello.name.as_str(), &hello.data["revision"]),
        ("hello", &json!(1))
    );
    for number in 1..=5 {
        fixture
            .add(&format!("s{number}"), &format!("10.0.0.{number}:80"))
            .await;
    }
    fixture.delete("/v1/pools/default/servers/s3").await;
    for revision in 2..=7 {
        let event = events.named("change").await;
        assert_eq!(event.data["revision"], revision);
        let change = &event.data["changes"][0];
        assert_eq!(change["collection"], "servers");
        if revision == 7 {
            assert_eq!(
                (&change["key"], &change["value"]),
                (&json!("default/s3"), &Value::Null)
            );
            assert_eq!(event.data["author"]["name"], "operator");
        } else {
            assert_eq!(
                change["value"]["address"],
                format!("10.0.0.{}:80", revision - 1)
            );
        }
    }
}

#[tokio::test]
async fn a_listener_that_comes_back_is_told_what_it_missed() {
    let fixture = Fixture::start().await;
    let mut events = Events::open(&fixture, None).await;
    let hello = events.next().await.unwrap();
    fixture.add("a", "10.0.0.1:80").await;
    let first = events.named("change").await;
    drop(events);
    fixture.add("b", "10.0.0.2:80").await;
    fixture.add("c", "10.0.0.3:80").await;
    for (after, expected) in [
        (first.id.as_str(), vec![3, 4, 5]),
        (hello.id.as_str(), vec![2, 3, 4, 5]),
    ] {
        let mut events = Events::open(&fixture, Some(after)).await;
        assert_eq!(events.next().await.unwrap().name, "hello");
        fixture
            .put(
                "/v1/pools/default/servers/d",
                json!({"address": "10.0.0.4:80"}),
            )
            .await;
        for revision in expected {
            assert_eq!(events.named("change").await.data["revision"], revision);
        }
    }
    // What belongs to no known history cannot be gone on from.
    for unknown in [
        "nonsense",
        &hello.id.replace(|it: char| it.is_ascii_digit(), "0"),
    ] {
        let mut events = Events::open(&fixture, Some(unknown)).await;
        assert_eq!(events.next().await.unwrap().name, "hello");
        assert_eq!(events.next().await.unwrap().name, "reset");
    }
}

#[tokio::test]
async fn instances_that_come_and_go_are_told() {
    let fixture = Fixture::start().await;
    let known = balancer("b1");
    fixture.report(&known).await;
    let mut events = Events::open(&fixture, None).await;
    events.named("hello").await;
    // Who was there at the first look is nobody's news, and that look may come late: newcomers go on coming.
    let newcomers = async {
        loop {
            fixture.report(&balancer("b2")).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let joined = tokio::select! {
        event = within(events.named("balancer")) => event,
        () = newcomers => unreachable!("it goes on"),
    };
    let id = joined.data["id"].as_str().expect("an id");
    assert_eq!(
        (&joined.data["what"], &joined.data["advertise"]),
        (&json!("joined"), &json!("b2"))
    );
    fixture
        .delete(&format!("/v1/balancers/{id}"))
        .await
        .expect(StatusCode::OK);
    let left = async {
        loop {
            let event = events.named("balancer").await;
            if event.data["what"] == json!("left") {
                return event;
            }
        }
    };
    assert_eq!(within(left).await.data["id"], json!(id));
}

#[tokio::test]
async fn the_number_of_listeners_is_bounded_and_a_place_comes_free() {
    let fixture = Fixture::start().await;
    let mut listeners = Vec::new();
    for _ in 0..64 {
        listeners.push(Events::open(&fixture, None).await);
    }
    let refused = fixture
        .get("/v1/events")
        .await
        .expect(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "1");
    listeners.clear();
    let place = async {
        while fixture.request("GET", "/v1/events").open().await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    within(place).await;
}

#[tokio::test]
async fn the_events_end_with_the_process() {
    let fixture = Fixture::start().await;
    let mut events = Events::open(&fixture, None).await;
    events.named("hello").await;
    fixture.supervisor.request_stop();
    while events.next().await.is_some() {}
    let finished = fixture.supervisor.finished(crate::harness::SOON).await;
    assert_eq!(finished, Ok(()));
}

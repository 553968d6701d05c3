//! Whose turn it is.

use model::{Change, Server};

use crate::client;
use crate::fleet::{Fleet, server};
use crate::upstream::Upstream;

async fn named() -> [Upstream; 3] {
    [
        Upstream::named("1").await,
        Upstream::named("2").await,
        Upstream::named("3").await,
    ]
}

/// Each on a connection of its own, so that both threads get some.
async fn answers(fleet: &Fleet, count: usize) -> Vec<String> {
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(client::get(fleet.address(), "/").await.text());
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_take_strict_turns_over_all_threads_from_the_first_request_on() {
    let [one, two, three] = named().await;
    let fleet = Fleet::of(&[&one, &two, &three]).await;
    let answers = answers(&fleet, 30).await;
    let first: usize = answers[0].parse().expect("a number");
    let expected: Vec<String> = (0..30)
        .map(|index| ((first - 1 + index) % 3 + 1).to_string())
        .collect();
    assert_eq!(answers, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_are_exact() {
    let [one, two, three] = named().await;
    let fleet = Fleet::of(&[&one, &two, &three]).await;
    for (id, upstream, weight) in [("s1", &one, 3), ("s2", &two, 1), ("s3", &three, 0)] {
        let server = Server {
            weight,
            ..server(id, upstream.address)
        };
        fleet.change(Change::put_server(server)).await;
    }
    let answers = answers(&fleet, 40).await;
    let count = |name: &str| answers.iter().filter(|answer| *answer == name).count();
    assert_eq!((count("1"), count("2"), count("3")), (30, 10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_says_who_sent_it_and_nothing_hop_by_hop() {
    let echo = Upstream::start(async |mut link: crate::upstream::Link| {
        while let Some(request) = link.request().await {
            let head = request.head.clone();
            link.answer(&request, &head).await;
        }
    })
    .await;
    let fleet = Fleet::of(&[&echo]).await;
    let request = "GET /a?b=c HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-Kept: 2\r\n\r\n";
    let answer = fleet.client().await.ask(request).await.expect("an answer");
    let head = answer.text();
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    for line in [
        "Host: example.org",
        "X-Kept: 2",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: example.org",
    ] {
        assert!(head.contains(line), "{line} is missing in {head}");
    }
    assert!(
        !head.contains("X-Hop") && !head.to_lowercase().contains("connection"),
        "{head}"
    );
}

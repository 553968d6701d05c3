//! HTTP/2 with the clients that others use: curl, nghttp and h2load.

use std::net::SocketAddr;

use tokio::process::Command;
use tokio::time::timeout;

use crate::fleet::Fleet;
use crate::upstream::{Link, Upstream};
use crate::wire::LIMIT;

/// What a program prints.
async fn run(program: &str, arguments: &[&str]) -> String {
    let running = Command::new(program).args(arguments).output();
    let output = timeout(LIMIT, running).await.expect("it ends in time");
    let output =
        output.unwrap_or_else(|error| panic!("{program} (scripts/test --prepare): {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {problem} {text}");
    text
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_and_posts() {
    let server = Upstream::start(async |mut link: Link| {
        while let Some(request) = link.request().await {
            let text = format!("{}{}", request.head, request.text());
            link.answer(&request, &text).await;
        }
    })
    .await;
    let fleet = Fleet::of(&[&server]).await;
    let url = url(fleet.address());
    let plain = ["--http2-prior-knowledge", "-sS", "-w", "%{http_version}"];
    let answer = run("curl", &[&plain[..], &[&url]].concat()).await;
    assert!(answer.ends_with('2') && answer.starts_with("GET / HTTP/1.1"));
    let answer = run("curl", &[&plain[..], &["-d", "a=b", &url]].concat()).await;
    assert!(answer.ends_with("a=b2"), "{answer}");
    assert!(answer.contains("content-length: 3") || answer.contains("Content-Length: 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nghttp_gets() {
    let server = Upstream::named("from nghttp's server").await;
    let fleet = Fleet::of(&[&server]).await;
    let answer = run("nghttp", &["-v", &url(fleet.address())]).await;
    assert!(answer.contains("from nghttp's server"), "{answer}");
    assert!(answer.contains(":status: 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h2load_is_served_with_a_hundred_streams() {
    let server = Upstream::named("loaded").await;
    let fleet = Fleet::of(&[&server]).await;
    let url = url(fleet.address());
    let report = run("h2load", &["-n", "2000", "-c", "2", "-m", "100", &url]).await;
    assert!(report.contains("2000 succeeded, 0 failed"), "{report}");
    assert!(report.contains("2000 2xx"), "{report}");
}

//! Which clients may come, and which may use a route.

use model::{Change, Firewall, Listener, NetworkList, Networks, Unknown};

use crate::client;
use crate::fleet::Fleet;
use crate::routes::{ask, below, fleet, put};

fn networks(texts: &[&str]) -> Vec<Networks> {
    let parsed = texts.iter().map(|text| text.parse());
    parsed.map(|network| network.expect("a network")).collect()
}

pub(crate) fn rules(allow: &[&str], deny: &[&str]) -> Firewall {
    Firewall {
        allow: networks(allow),
        deny: networks(deny),
        unknown: Unknown::default(),
    }
}

pub(crate) fn guard(firewall: Firewall) -> Change {
    let mut listener = Listener::new("http".parse().expect("a name"));
    listener.firewall = firewall;
    Change::Listener(listener.id.clone(), Some(listener))
}

fn list(texts: &[&str]) -> Change {
    let networks = texts.iter().map(|text| text.parse().expect("a network"));
    let list = NetworkList {
        id: "bad".parse().expect("a name"),
        networks: networks.collect(),
        unknown: Unknown::default(),
    };
    Change::Networks(list.id.clone(), Some(list))
}

/// Whether a connection is ended before it has said anything.
async fn is_shut_out(fleet: &Fleet) -> bool {
    fleet.client().await.is_ended().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_denied_is_told_nothing() {
    let (fleet, servers) = fleet(&[]).await;
    fleet.change(guard(rules(&[], &["127.0.0.0/8"]))).await;
    assert!(is_shut_out(&fleet).await);
    fleet.has_ended("denied", 1).await;
    fleet.change(guard(rules(&["10.0.0.0/8"], &[]))).await;
    assert!(is_shut_out(&fleet).await);
    fleet
        .change(guard(rules(&["127.0.0.1"], &["127.0.0.0/8"])))
        .await;
    assert_eq!(client::get(fleet.address(), "/").await.status(), 200);
    fleet.change(guard(rules(&[], &[]))).await;
    assert_eq!(client::get(fleet.address(), "/").await.status(), 200);
    assert_eq!(servers[0].requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_holds_for_connections_that_are_open_already() {
    let (fleet, servers) = fleet(&[]).await;
    fleet.change(guard(rules(&["127.0.0.1"], &[]))).await;
    let mut client = fleet.client().await;
    assert_eq!(client.get("/").await.status(), 200);
    fleet.change(guard(rules(&[], &["127.0.0.1"]))).await;
    assert_eq!(client.get("/").await.verdict(), (403, "denied".into()));
    client.is_turned_away_with_a_body("/", "denied").await;
    assert_eq!(servers[0].requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_networks_counts_wherever_it_is_named() {
    let (fleet, _servers) = fleet(&[]).await;
    fleet.change(list(&["10.0.0.0/8"])).await;
    fleet.change(guard(rules(&[], &["bad"]))).await;
    assert_eq!(client::get(fleet.address(), "/").await.status(), 200);
    fleet.change(list(&["10.0.0.0/8", "127.0.0.1/32"])).await;
    assert!(is_shut_out(&fleet).await);
}

/// The status that a client behind the proxy gets.
async fn status(fleet: &Fleet, path: &str, client: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
    ask(fleet, &request).await.status()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_behind_a_trusted_proxy_are_judged_one_by_one() {
    let (fleet, _servers) = fleet(&["--trusted-proxies", "127.0.0.1"]).await;
    fleet
        .change(guard(rules(&["198.51.100.0/24"], &["198.51.100.7"])))
        .await;
    assert_eq!(status(&fleet, "/", "198.51.100.8").await, 200);
    assert_eq!(status(&fleet, "/", "198.51.100.7").await, 403);
    assert_eq!(status(&fleet, "/", "192.0.2.1").await, 403);
    let refused = "roundhouse_balancer_refusals_total{reason=\"denied\"}";
    fleet.counts(refused, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_firewall_is_the_routes_alone() {
    let (fleet, servers) = fleet(&["--trusted-proxies", "127.0.0.1"]).await;
    let mut route = below("/web", "web");
    route.firewall = rules(&["198.51.100.0/24"], &[]);
    fleet.change(put(route)).await;
    assert_eq!(status(&fleet, "/web", "198.51.100.8").await, 200);
    assert_eq!(status(&fleet, "/web", "192.0.2.1").await, 403);
    assert_eq!(status(&fleet, "/", "192.0.2.1").await, 200);
    let mut client = fleet.client().await;
    client
        .is_turned_away_with_a_body("/web", "denied-by-route")
        .await;
    assert_eq!(servers[1].requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_name_another_address() {
    let (fleet, _servers) = fleet(&[]).await;
    let mut route = below("/web", "web");
    route.firewall = rules(&["198.51.100.0/24"], &[]);
    fleet.change(put(route)).await;
    assert_eq!(status(&fleet, "/web", "198.51.100.8").await, 403);
}

//! What a listener says of the balancer to whoever watches it from outside.

use model::{
    Action, Answer, Change, Epoch, Listener, ListenerTls, Position, Revision, RevisionId, Snapshot,
    Unknown,
};

use crate::client;
use crate::fleet::{Fleet, args, commit, pool};
use crate::routes::{acting, put};
use crate::secure::Trust;
use crate::upstream::Upstream;
use crate::wire::{Message, Wire};

/// The listener of this name, as it answers about health or does not.
pub(crate) fn listener(id: &str, health: bool) -> Listener {
    let mut listener = Listener::new(id.parse().expect("a name"));
    listener.health = health;
    listener
}

pub(crate) fn set(listener: Listener) -> Change {
    Change::Listener(listener.id.clone(), Some(listener))
}

async fn watched(server: &Upstream) -> Fleet {
    let fleet = Fleet::of(&[server]).await;
    fleet.change(set(listener("http", true))).await;
    fleet
}

fn said(answer: &Message) -> (u16, String) {
    let reason = answer.field("roundhouse-reason");
    assert_eq!(reason.as_deref(), Some("health"));
    assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
    (answer.status(), answer.text())
}

async fn says(client: &mut Wire, path: &str) -> (u16, String) {
    said(&client.get(path).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_answers_about_health_as_long_as_it_is_set_to() {
    let server = Upstream::named("the server's").await;
    let fleet = Fleet::of(&[&server]).await;
    let mut client = fleet.client().await;
    for health in [false, true, false] {
        fleet.change(set(listener("http", health))).await;
        for (path, text) in [("/livez", "live\n"), ("/readyz", "ready\n")] {
            if health {
                assert_eq!(says(&mut client, path).await, (200, text.into()));
                let ops = fleet.ops(path).await;
                assert_eq!((ops.status(), ops.text()), (200, text.into()));
            } else {
                assert_eq!(client.get(path).await.text(), "the server's");
            }
        }
    }
    assert_eq!(server.requests(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_by_get_and_head_and_nothing_else_is_taken_for_that() {
    let server = Upstream::named("the server's").await;
    let fleet = watched(&server).await;
    let mut client = fleet.client().await;
    let head = client
        .ask("HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("an answer");
    assert_eq!(said(&head), (200, String::new()));
    assert_eq!(head.field("content-length").as_deref(), Some("6"));
    assert_eq!(says(&mut client, "/readyz?by=dns").await.0, 200);
    for (index, request) in [
        "POST /readyz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "OPTIONS /livez HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /readyz/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET //livez HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%6civez HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /LIVEZ HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let answer = client.ask(request).await.expect("an answer");
        assert_eq!(answer.text(), "the server's", "{request}");
        assert_eq!(server.requests(), index + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_with_the_question_is_never_read_as_a_request() {
    let server = Upstream::named("1").await;
    let fleet = watched(&server).await;
    let mut client = fleet.client().await;
    let body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = body.len();
    let request =
        format!("GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
    let answer = client.ask(request).await.expect("an answer");
    assert_eq!(said(&answer), (200, "live\n".into()));
    assert_eq!(answer.field("connection").as_deref(), Some("close"));
    assert!(client.is_ended().await);
    assert_eq!(server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_takes_the_question_and_the_firewall_comes_first() {
    let server = Upstream::named("1").await;
    let fleet = watched(&server).await;
    let answer = Answer {
        status: 404,
        content_type: "text/plain".into(),
        body: "by a route".into(),
        unknown: Unknown::default(),
    };
    let route = acting("/", "all", Action::Answer(answer));
    fleet.change(put(route)).await;
    let mut client = fleet.client().await;
    assert_eq!(client.get("/").await.text(), "by a route");
    assert_eq!(says(&mut client, "/readyz").await, (200, "ready\n".into()));
    let mut guarded = listener("http", true);
    guarded.firewall.deny = vec!["127.0.0.1".parse().expect("a network")];
    fleet.change(set(guarded)).await;
    let denied = client.get("/readyz").await;
    assert_eq!(denied.verdict(), (403, "denied".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pool_it_lives_and_is_not_ready() {
    let registry = registry::open(&args(&[]).registry).expect("the memory registry");
    let snapshot = Snapshot::empty(Position {
        epoch: Epoch::random(),
        revision: Revision(1),
        id: RevisionId::random(),
    });
    assert!(registry.seed(&snapshot).await.expect("seeded"));
    commit(&*registry, vec![set(listener("http", true))]).await;
    let fleet = Fleet::on(registry, &["--threads", "1"]).await;
    fleet.has_table().await;
    let mut client = fleet.client().await;
    let none = "not ready: there is no table yet\n";
    assert_eq!(says(&mut client, "/readyz").await, (503, none.into()));
    assert_eq!(says(&mut client, "/livez").await, (200, "live\n".into()));
    fleet.change(Change::put_pool(pool())).await;
    fleet.balancer.ready().await;
    assert_eq!(says(&mut client, "/readyz").await, (200, "ready\n".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_says_so_to_whoever_still_asks() {
    let server = Upstream::named("1").await;
    let fleet = watched(&server).await;
    let mut client = fleet.client().await;
    assert_eq!(says(&mut client, "/readyz").await.0, 200);
    // Begun before, so that the connection is waited for however long this takes.
    client.send("GET /readyz HTTP/1.1\r\n").await;
    fleet.supervisor.request_stop();
    let answer = client.ask("Host: a\r\n\r\n").await.expect("an answer");
    let stopping = "not ready: it is stopping\n";
    assert_eq!(said(&answer), (503, stopping.into()));
    assert_eq!(answer.field("connection").as_deref(), Some("close"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_is_set_by_itself() {
    let (trust, server) = (Trust::new(), Upstream::named("1").await);
    let issued = trust.authority.issue(&["shop.example"]);
    let fleet = trust.fleet(&[("a", &issued)], &[server.address], &[]).await;
    let mut https = listener("https", true);
    https.tls = ListenerTls {
        default: Some("a".parse().expect("a name")),
        ..ListenerTls::default()
    };
    fleet.change(set(https)).await;
    let bridge = trust.bridge(&fleet, "shop.example").await;
    let mut within = client::connect(bridge).await;
    assert_eq!(says(&mut within, "/readyz").await, (200, "ready\n".into()));
    let mut plain = fleet.client().await;
    assert_eq!(plain.get("/readyz").await.text(), "1");
}

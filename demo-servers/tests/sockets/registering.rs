//! A demo server and an admin API that is there, away, or says no.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::put;
use demo_servers::{Args, DemoServer};
use runtime::Supervisor;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::support::{self, SOON, get};

/// What the admin API was asked.
#[derive(Debug, Clone, PartialEq)]
enum Asked {
    Put {
        key: String,
        if_match: Option<String>,
        body: Value,
    },
    Delete {
        key: String,
        query: String,
    },
}

/// An admin API that only knows registrations.
#[derive(Clone)]
struct Admin {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// What a renewal is answered with.
    answer: watch::Sender<StatusCode>,
    /// A removal is answered when this is given.
    drained: Arc<Notify>,
}

impl Admin {
    fn new() -> Self {
        let (answer, _) = watch::channel(StatusCode::OK);
        Self {
            asked: Arc::default(),
            answer,
            drained: Arc::default(),
        }
    }

    async fn serve(&self, address: SocketAddr) -> (SocketAddr, CancellationToken) {
        let router = Router::new()
            .route(
                "/v1/registrations/{pool}/{server}",
                put(renew).delete(remove),
            )
            .with_state(self.clone());
        let listener = runtime::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        tokio::spawn(runtime::serve_ops(listener, router, stop.clone()));
        (address, stop)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no holder panics").clone()
    }

    fn renewals(&self) -> usize {
        self.asked()
            .iter()
            .filter(|asked| matches!(asked, Asked::Put { .. }))
            .count()
    }
}

async fn renew(
    State(admin): State<Admin>,
    Path((pool, server)): Path<(String, String)>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let shown = json!({"pool": pool, "id": server, "address": body["address"], "weight": 1,
        "state": "active", "health": "unknown", "revision": 2});
    let key = format!("{pool}/{server}");
    let if_match = headers
        .get("if-match")
        .map(|tag| tag.to_str().expect("text").to_owned());
    admin
        .asked
        .lock()
        .expect("no holder panics")
        .push(Asked::Put {
            key,
            if_match,
            body,
        });
    match *admin.answer.borrow() {
        StatusCode::OK => (StatusCode::OK, shown.to_string()),
        refusal => (
            refusal,
            json!({"detail": "an operator removed it"}).to_string(),
        ),
    }
}

async fn remove(
    State(admin): State<Admin>,
    Path((pool, server)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> String {
    let (key, query) = (format!("{pool}/{server}"), query.unwrap_or_default());
    admin
        .asked
        .lock()
        .expect("no holder panics")
        .push(Asked::Delete { key, query });
    admin.drained.notified().await;
    json!({"pool": pool, "id": server, "revision": 3, "wait": {"for": "drained", "done": true}})
        .to_string()
}

fn free() -> SocketAddr {
    "127.0.0.1:0".parse().expect("well formed")
}

async fn start(admin: SocketAddr, supervisor: &Supervisor) -> DemoServer {
    let args = Args {
        register: Some(format!("http://{admin}").parse().expect("well formed")),
        listen: "0.0.0.0:0".parse().expect("well formed"),
        ..Args::new("Server 1", free())
    };
    DemoServer::start(args, supervisor)
        .await
        .expect("it starts")
}

#[tokio::test]
async fn a_server_registers_the_address_that_the_admin_api_can_reach_and_answers_until_it_is_drained()
 {
    let admin = Admin::new();
    let (address, stop_admin) = admin.serve(free()).await;
    let supervisor = Supervisor::new();
    let server = start(address, &supervisor).await;
    tokio::time::timeout(SOON, server.ready())
        .await
        .expect("registered");
    let port = server.address().port();
    let body = json!({"address": format!("127.0.0.1:{port}"), "lifetime": "10s"});
    let key = "default/Server-1".to_owned();
    assert_eq!(
        admin.asked()[0],
        Asked::Put {
            key: key.clone(),
            if_match: None,
            body
        }
    );

    supervisor.request_stop();
    let query = "wait=drained&timeout=25s".to_owned();
    let removal = Asked::Delete { key, query };
    support::eventually("it asks to be drained", async || {
        admin.asked().last() == Some(&removal)
    })
    .await;
    let own = SocketAddr::from(([127, 0, 0, 1], port));
    let answer = get(own, "/").await.expect("it still answers");
    assert_eq!(answer.body, "Hello from Server Server 1\n");
    admin.drained.notify_one();
    supervisor
        .finished(SOON)
        .await
        .expect("it ends once it is drained");
    runtime::bind(own).await.expect("the port is free");
    stop_admin.cancel();
}

#[tokio::test]
async fn a_server_keeps_trying_while_the_admin_api_is_away() {
    let admin = Admin::new();
    // A port that was free a moment ago: nobody listens on it until the API comes.
    let address = runtime::bind(free()).await.unwrap().local_addr().unwrap();
    let supervisor = Supervisor::new();
    let server = start(address, &supervisor).await;
    let own = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
    assert_eq!(
        get(own, "/").await.expect("it answers meanwhile").status,
        StatusCode::OK
    );
    let (_, stop_admin) = admin.serve(address).await;
    tokio::time::timeout(SOON, server.ready())
        .await
        .expect("registered");
    admin.drained.notify_one();
    supervisor.request_stop();
    supervisor.finished(SOON).await.unwrap();
    stop_admin.cancel();
}

#[tokio::test]
async fn a_server_that_is_refused_asks_again_and_is_let_in_when_that_changes() {
    let admin = Admin::new();
    admin.answer.send_replace(StatusCode::CONFLICT);
    let (address, stop_admin) = admin.serve(free()).await;
    let supervisor = Supervisor::new();
    let server = start(address, &supervisor).await;
    support::eventually("it asks again", async || admin.renewals() > 1).await;
    admin.answer.send_replace(StatusCode::OK);
    tokio::time::timeout(SOON, server.ready())
        .await
        .expect("registered");
    admin.drained.notify_one();
    supervisor.request_stop();
    supervisor.finished(SOON).await.unwrap();
    stop_admin.cancel();
}

#[tokio::test]
async fn a_server_that_somebody_removed_does_not_put_itself_in_again() {
    let admin = Admin::new();
    let (address, stop_admin) = admin.serve(free()).await;
    let supervisor = Supervisor::new();
    let server = start(address, &supervisor).await;
    tokio::time::timeout(SOON, server.ready())
        .await
        .expect("registered");
    admin.answer.send_replace(StatusCode::PRECONDITION_FAILED);
    support::eventually("it asks again, twice", async || admin.renewals() > 2).await;
    for asked in &admin.asked()[1..] {
        let only_where_it_is =
            matches!(asked, Asked::Put { if_match: Some(tag), .. } if tag == "*");
        assert!(only_where_it_is, "{asked:?}");
    }
    admin.drained.notify_one();
    supervisor.request_stop();
    supervisor.finished(SOON).await.unwrap();
    stop_admin.cancel();
}

#[tokio::test]
async fn a_server_ends_also_where_the_admin_api_has_gone() {
    let admin = Admin::new();
    let (address, stop_admin) = admin.serve(free()).await;
    let supervisor = Supervisor::new();
    let server = start(address, &supervisor).await;
    tokio::time::timeout(SOON, server.ready())
        .await
        .expect("registered");
    stop_admin.cancel();
    support::eventually("the admin API is gone", async || {
        runtime::bind(address).await.is_ok()
    })
    .await;
    supervisor.request_stop();
    supervisor
        .finished(SOON)
        .await
        .expect("it gives up after a while");
    assert_eq!(supervisor.failure(), None);
}

#[tokio::test]
async fn a_token_file_that_is_not_there_is_named() {
    let args = Args {
        token_file: Some("/no/such/token".into()),
        ..Args::new("1", free())
    };
    let error = DemoServer::start(args, &Supervisor::new())
        .await
        .expect_err("no token")
        .to_string();
    assert!(
        error.starts_with("--token-file: /no/such/token "),
        "{error}"
    );
}

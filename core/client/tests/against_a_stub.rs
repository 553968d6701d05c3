//! The client against an HTTP server that answers what the admin API would.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use client::{
    AdminUrl, Client, Demand, Durability, Error, NewRegistration, NewServer, Outcome, Present,
    Renewal, Shown, Token, Wait,
};
use http_body_util::BodyExt;
use model::{Health, NetworkList, PoolId, Revision, ServerKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;

async fn serve(router: Router) -> AdminUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}").parse().expect("a URL")
}

async fn client(router: Router) -> Client {
    Client::new(serve(router).await, None)
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    (status, body.to_string()).into_response()
}

fn server(id: &str) -> Value {
    json!({"pool": "default", "id": id, "address": "10.0.0.5:8080", "weight": 1, "zone": "",
        "state": "active", "health": "up", "revision": 7, "created": 5, "incarnation": 5})
}

fn key(text: &str) -> ServerKey {
    text.parse().expect("a key")
}

/// Shows what a request said, as the resource that it asked for.
async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let body = body.collect().await.expect("a body").to_bytes();
    let mut answer = server("s1");
    answer["asked"] = json!({
        "path": head.uri.to_string(),
        "if_match": header("if-match"),
        "key": header("idempotency-key"),
        "authorization": header("authorization"),
        "body": serde_json::from_slice::<Value>(&body).unwrap_or_default(),
    });
    json_answer(StatusCode::OK, &answer)
}

#[tokio::test]
async fn a_change_says_how_many_replicas_have_it_where_the_api_asks_them() {
    let short = json!({"asked": 2, "reached": 1, "done": false, "took": "1s", "reason": "no more"});
    let unknown = json!({"asked": 2, "reached": null, "done": false, "reason": "gone"});
    for (said, read, text) in [
        (Value::Null, None, ""),
        (short, Some(Some(1)), "1 of 2 replicas (no more)"),
        (unknown, Some(None), "0 of 2 replicas (gone)"),
    ] {
        let mut answer = server("s1");
        if !said.is_null() {
            answer["durability"] = said;
        }
        let answer = move || async move { json_answer(StatusCode::OK, &answer) };
        let path = "/v1/pools/default/servers/s1";
        let client = client(Router::new().route(path, delete(answer))).await;
        let key = key("default/s1");
        let changed = client.remove_server(&key, &Demand::default()).await;
        let durability: Option<Durability> = changed.expect("a change").durability;
        assert_eq!(durability.as_ref().map(|it| it.reached), read);
        let shown = durability.map(|it| it.to_string()).unwrap_or_default();
        assert_eq!(shown, text);
    }
}

#[tokio::test]
async fn servers_are_read_with_whatever_else_the_api_says_of_them() {
    let listed = json!([server("s1"), server("s2")]);
    let answer = listed.clone();
    let path = "/v1/pools/default/servers";
    let router = Router::new().route(
        path,
        get(async move || json_answer(StatusCode::OK, &answer)),
    );
    let servers = client(router)
        .await
        .servers(&PoolId::standard())
        .await
        .unwrap();
    assert_eq!(servers[1].id.as_str(), "s2");
    assert_eq!(
        (servers[0].health, servers[0].revision),
        (Health::Up, Revision(7))
    );
    assert_eq!(serde_json::to_value(servers).unwrap(), listed);
}

#[tokio::test]
async fn a_change_says_what_it_demands_and_who_it_is_from() {
    let router = Router::new().route("/v1/pools/{pool}/servers", post(echo));
    let client = Client::new(serve(router).await, Token::new("secret"));
    let wanted = NewServer {
        address: "127.0.0.1:3009".into(),
        id: None,
        weight: Some(3),
        zone: None,
        max_connections: Some(25),
        backup: true,
    };
    let demand = Demand {
        wait: Some(Wait::applied(Duration::from_millis(90_500))),
        present: Some(Present::At(Revision(7))),
        idempotency_key: Some("k1".into()),
    };
    let changed = client
        .add_server(&PoolId::standard(), &wanted, &demand)
        .await
        .unwrap();
    assert_eq!(changed.outcome, Outcome::Done);
    assert_eq!(
        changed.value.more["asked"],
        json!({
            "path": "/v1/pools/default/servers?wait=applied&timeout=1m%2030s%20500ms",
            "if_match": "\"7\"",
            "key": "k1",
            "authorization": "Bearer secret",
            "body": {"address": "127.0.0.1:3009", "weight": 3, "max_connections": 25, "backup": true},
        })
    );
}

#[tokio::test]
async fn an_element_is_put_where_there_is_none_if_that_is_demanded() {
    let put_list = async |headers: HeaderMap, Json(mut list): Json<Value>| {
        assert_eq!(headers["if-none-match"], "*");
        assert!(!headers.contains_key("if-match"));
        (list["revision"], list["created"], list["size"]) = (json!(9), json!(9), json!(1));
        json_answer(StatusCode::CREATED, &list)
    };
    let client = client(Router::new().route("/v1/networks/office", put(put_list))).await;
    let networks = vec!["10.0.0.0/8".parse().expect("a network")];
    let list = NetworkList::new("office".parse().expect("a name"), networks);
    let demand = Demand {
        present: Some(Present::Absent),
        ..Demand::default()
    };
    let put = client.put_element(&list.id, &list, &demand).await.unwrap();
    let shown: Shown<NetworkList> = put.value;
    assert_eq!((shown.value, shown.revision), (list, Revision(9)));
}

#[tokio::test]
async fn a_hold_is_confirmed_up_to_the_revision_that_was_seen() {
    let confirm = async |body: Json<Value>| {
        let answer = json!({"pool": "default", "revision": 9, "ruling": body.0});
        json_answer(StatusCode::OK, &answer)
    };
    let router = Router::new().route("/v1/holds/default/confirm", post(confirm));
    let client = client(router).await;
    for (up_to, sent) in [
        (Some(Revision(7)), json!({"revision": 7})),
        (None, json!({})),
    ] {
        let confirmed = client
            .confirm_hold(&PoolId::standard(), up_to, &Demand::default())
            .await
            .unwrap();
        assert_eq!(confirmed.value.more["ruling"], sent);
        assert_eq!(confirmed.value.revision, Revision(9));
    }
}

#[tokio::test]
async fn a_wait_that_ran_out_names_the_laggards() {
    let instance = "6f6cbf4c-3b1c-4e4c-9f0b-0a4c4b8f9a11";
    let answer = json!({"pool": "default", "id": "s1", "revision": 8, "wait": {"until": "drained", "done": false,
        "took": "5s", "laggards": [{"instance": instance, "advertise": "10.0.0.1:8000", "reason": "lost for 9 s"}]}});
    let path = "/v1/registrations/default/s1";
    let router = Router::new().route(
        path,
        delete(async move || json_answer(StatusCode::ACCEPTED, &answer)),
    );
    let wait = Wait::drained(Duration::from_secs(5));
    let outcome = client(router)
        .await
        .deregister(&key("default/s1"), wait)
        .await
        .unwrap();
    let Outcome::Unfinished(unfinished) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(unfinished.laggards[0].instance.to_string(), instance);
    assert_eq!(unfinished.to_string(), "10.0.0.1:8000 (lost for 9 s)");
}

#[tokio::test]
async fn a_wait_that_was_in_vain_names_what_undid_the_change() {
    let reason = "default/s1 was brought back by revision 9, so it does not drain";
    let answer = json!({"pool": "default", "id": "s1", "revision": 8, "wait": {"until": "drained", "done": false,
        "took": "5s", "laggards": [], "reason": reason, "undone_by": 9}});
    let path = "/v1/pools/default/servers/s1";
    let router = Router::new().route(
        path,
        delete(async move || json_answer(StatusCode::ACCEPTED, &answer)),
    );
    let wait = Wait::drained(Duration::from_secs(5));
    let removed = client(router).await;
    let removed = removed
        .remove_server(&key("default/s1"), &wait.into())
        .await;
    let undone = Outcome::Undone {
        by: Revision(9),
        reason: reason.into(),
    };
    assert_eq!(removed.unwrap().outcome, undone);
}

#[tokio::test]
async fn a_refusal_names_the_field_and_the_rule() {
    let problem = json!({"type": "urn:x", "title": "Unprocessable Entity", "status": 422,
        "detail": "weight: must be from 0 to 1000",
        "errors": [{"field": "weight", "rule": "must be from 0 to 1000"}]});
    let refuse = async move || json_answer(StatusCode::UNPROCESSABLE_ENTITY, &problem);
    let router = Router::new().route("/v1/pools/default/servers", get(refuse));
    let error = client(router)
        .await
        .servers(&PoolId::standard())
        .await
        .expect_err("refused");
    assert_eq!(error.to_string(), "weight: must be from 0 to 1000");
    let Error::Refused(refusal) = error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refusal.errors[0].field, "weight");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_said_to_be_unexpected() {
    let router = Router::new().route("/v1/pools", get(async || "<html>"));
    let error = client(router).await.pools().await.expect_err("no JSON");
    assert!(matches!(error, Error::Unexpected { .. }), "{error:?}");
    assert!(!error.is_unreachable() && !error.is_passing());
}

#[tokio::test]
async fn an_api_that_is_away_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(format!("http://{address}").parse().unwrap(), None);
    let error = client.status().await.expect_err("nobody is there");
    assert!(error.is_unreachable() && error.is_passing(), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&address.to_string()) && text.ends_with(": connection refused"),
        "{text}"
    );
}

#[tokio::test]
async fn events_come_one_after_another_until_the_connection_ends() {
    async fn events(headers: HeaderMap) -> String {
        let after = headers
            .get("last-event-id")
            .map(|id| id.to_str().expect("text"));
        let data = json!({"after": after});
        format!(": hello\n\nid: 8\nevent: change\ndata: {data}\n\nevent: leader\ndata: {{}}\n\n")
    }
    let client = client(Router::new().route("/v1/events", get(events))).await;
    for (after, data) in [(None, "{\"after\":null}"), (Some("7"), "{\"after\":\"7\"}")] {
        let mut events = client.events(after).await.unwrap();
        let first = events.next().await.unwrap();
        assert_eq!(
            (first.id.as_deref(), first.kind.as_str()),
            (Some("8"), "change")
        );
        assert_eq!(first.data, data);
        assert_eq!(events.next().await.unwrap().kind, "leader");
        let error = events.next().await.expect_err("it ended");
        assert!(error.is_unreachable(), "{error:?}");
    }
}

#[tokio::test]
async fn a_renewal_makes_no_server_anew_that_was_removed() {
    let router = Router::new().route("/v1/registrations/default/s1", put(echo));
    let client = client(router).await;
    let registration = NewRegistration {
        address: "10.0.0.5:8080".into(),
        lifetime: Duration::from_secs(10),
    };
    for (renewal, if_match) in [
        (Renewal::First, Value::Null),
        (Renewal::Further, json!("*")),
    ] {
        let view = client
            .register(&key("default/s1"), &registration, renewal)
            .await
            .unwrap();
        let asked = &view.more["asked"];
        assert_eq!(asked["if_match"], if_match);
        assert_eq!(
            asked["body"],
            json!({"address": "10.0.0.5:8080", "lifetime": "10s"})
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_that_never_answers_is_given_up_in_time() {
    let router = Router::new().route(
        "/v1/status",
        get(async || std::future::pending::<String>().await),
    );
    let error = client(router).await.status().await.expect_err("silence");
    assert!(matches!(error, Error::Silent { .. }), "{error:?}");
}

#[tokio::test]
async fn a_document_is_sent_as_it_is_with_how_it_is_meant_and_what_to_wait_for() {
    let whole = async |request: Request| {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let asked = format!("{} {}", head.uri, String::from_utf8_lossy(&body));
        let diff = json!([{"path": "/weight", "before": 1, "after": 2}]);
        let changes = json!([{"collection": "servers", "key": "default/s1", "change": "changed", "diff": diff}]);
        let answer = json!({"revision": 7, "changed": true, "changes": changes, "asked": asked});
        json_answer(StatusCode::OK, &answer)
    };
    let router = Router::new()
        .route("/v1/import", put(whole))
        .route("/v1/revisions/{revision}/restore", post(whole));
    let client = client(router).await;
    let text = r#"{"pools":[{"id":"a", "id":"b"}]}"#.to_owned();
    let document = serde_json::value::RawValue::from_string(text.clone()).expect("JSON");
    let import = client::Import {
        dry_run: false,
        prune: true,
    };
    let demand = Demand::from(Wait::applied(Duration::from_secs(3)));
    let changed = client
        .import(&document, import, &demand)
        .await
        .expect("an answer");
    let asked = format!("/v1/import?dry_run=false&prune=true&wait=applied&timeout=3s {text}");
    assert_eq!(changed.value.more["asked"], asked);
    assert_eq!(changed.value.changes[0].change, client::ChangeKind::Changed);
    let restored = client
        .restore(Revision(4), Some("a reason"), &demand)
        .await
        .expect("an answer");
    let asked = r#"/v1/revisions/4/restore?wait=applied&timeout=3s {"reason":"a reason"}"#;
    assert_eq!(restored.value.more["asked"], asked);
}

use std::net::IpAddr;
use std::sync::Arc;

use model::{Revision, Scheme, Snapshot, Stamped};
use serde_json::{Map, Value, json};

use super::*;
use crate::testing::snapshot;

mod changes;
mod explained;
mod reference;

const NO_FIELDS: [(&[u8], &[u8]); 0] = [];

fn fleet() -> Snapshot {
    snapshot(model::Pool::new(PoolId::standard()))
}

fn id(name: &str) -> RouteId {
    name.parse().expect("a name")
}

/// Puts a route, created at its place among all.
fn put(snapshot: &mut Snapshot, name: &str, settings: &Value) {
    let mut route = json!({"id": name, "action": {"pool": "default"}});
    for (field, value) in settings.as_object().expect("settings") {
        route[field] = value.clone();
    }
    let route: model::Route = serde_json::from_value(route).expect("a route");
    let created = snapshot.routes.get(&id(name)).map(|route| route.created);
    let created = created.unwrap_or(Revision(snapshot.routes.len() as u64 + 2));
    snapshot
        .routes
        .insert(id(name), Stamped::new(created, route).into());
}

/// Routes with these claims and priorities, named a, b, c and so on.
fn routes(settings: &[Value]) -> Routes {
    let mut fleet = fleet();
    for (name, settings) in ('a'..).zip(settings) {
        put(&mut fleet, &name.to_string(), settings);
    }
    let routes = Routes::compile(&fleet, &Routes::default());
    assert_eq!(routes.faults(), []);
    routes
}

fn claim(claim: Value) -> Value {
    Value::Object(Map::from_iter([("match".to_owned(), claim)]))
}

fn ask<'a>(host: &'a str, path: &'a str) -> Question<'a> {
    Question {
        host: host.as_bytes(),
        path: path.as_bytes(),
        query: b"",
        method: b"GET",
        scheme: Scheme::Http,
        client: IpAddr::from([10, 0, 0, 1]),
        headers: &NO_FIELDS,
    }
}

fn found(routes: &Routes, question: &Question<'_>) -> String {
    let route = routes.find(question);
    route.map_or("-".into(), |route| route.id().to_string())
}

fn at(routes: &Routes, host: &str, path: &str) -> String {
    found(routes, &ask(host, path))
}

#[test]
fn a_prefix_claims_itself_and_what_is_below_by_segments() {
    let routes = routes(&[
        claim(json!({"path": {"prefix": "/api"}})),
        claim(json!({"path": {"prefix": "/api/v1"}})),
        claim(json!({"path": {"exact": "/api/v1"}})),
    ]);
    for (path, expected) in [
        ("/api", "a"),
        ("/api/", "a"),
        ("/api/x", "a"),
        ("/apis", "-"),
        ("/", "-"),
        ("/api/v1", "c"),
        ("/api/v1/", "b"),
        ("/api/v1/x/y", "b"),
        ("/api/v12", "a"),
    ] {
        assert_eq!(at(&routes, "", path), expected, "{path}");
    }
}

#[test]
fn the_root_as_a_prefix_claims_every_path_and_as_an_exact_one_itself() {
    let routes = routes(&[
        claim(json!({"path": {"prefix": "/"}})),
        claim(json!({"path": {"exact": "/"}})),
        claim(json!({})),
    ]);
    assert_eq!(
        (
            at(&routes, "", "/").as_str(),
            at(&routes, "", "/x").as_str()
        ),
        ("b", "a")
    );
}

#[test]
fn a_pattern_claims_segments_that_are_not_empty() {
    let routes = routes(&[
        claim(json!({"path": {"pattern": "/users/{id}"}})),
        claim(json!({"path": {"pattern": "/users/{id}/photo"}})),
        claim(json!({"path": {"pattern": "/files/{*rest}"}})),
        claim(json!({"path": {"exact": "/users/me"}})),
    ]);
    for (path, expected) in [
        ("/users/1", "a"),
        ("/users/me", "d"),
        ("/users/", "-"),
        ("/users", "-"),
        ("/users/1/", "-"),
        ("/users/1/photo", "b"),
        ("/users/me/photo", "b"),
        ("/users/1/photo/x", "-"),
        ("/files/a", "c"),
        ("/files/a/b/", "c"),
        ("/files/", "-"),
        ("/files", "-"),
    ] {
        assert_eq!(at(&routes, "", path), expected, "{path}");
    }
}

#[test]
fn the_more_is_written_out_from_the_left_the_more_specific_a_path_is() {
    let routes = routes(&[
        claim(json!({"path": {"prefix": "/a"}})),
        claim(json!({"path": {"pattern": "/a/{*rest}"}})),
        claim(json!({"path": {"pattern": "/a/{x}"}})),
        claim(json!({"path": {"pattern": "/a/{x}/c"}})),
        claim(json!({"path": {"prefix": "/a/b"}})),
        claim(json!({"path": {"exact": "/a/b/c/d"}})),
    ]);
    for (path, expected) in [
        ("/a", "a"),
        ("/a/x", "c"),
        ("/a/x/y", "b"),
        ("/a/x/c", "d"),
        ("/a/b/c", "e"),
        ("/a/b/c/d", "f"),
    ] {
        assert_eq!(at(&routes, "", path), expected, "{path}");
    }
}

#[test]
fn a_host_is_claimed_by_its_name_then_by_a_wildcard_then_by_none() {
    let routes = routes(&[
        claim(json!({})),
        claim(json!({"hosts": ["*.example.org"]})),
        claim(json!({"hosts": ["*.B.example.org"]})),
        claim(json!({"hosts": ["A.example.org", "example.org"]})),
    ]);
    for (host, expected) in [
        ("a.example.org:8080", "d"),
        ("EXAMPLE.org", "d"),
        ("x.example.org", "b"),
        ("x.y.example.org.", "b"),
        ("b.example.org", "b"),
        ("c.b.example.org", "c"),
        ("notexample.org", "a"),
        ("", "a"),
    ] {
        assert_eq!(at(&routes, host, "/"), expected, "{host}");
    }
}

#[test]
fn a_host_goes_before_a_path_and_a_priority_before_both() {
    let routes = routes(&[
        claim(json!({"path": {"exact": "/a/b"}})),
        claim(json!({"hosts": ["h"]})),
        json!({"priority": 1, "match": {"path": {"prefix": "/p"}}}),
        claim(json!({"hosts": ["h"], "path": {"exact": "/p/q"}})),
        json!({"priority": -1, "match": {"hosts": ["h"], "path": {"exact": "/low"}}}),
    ]);
    for (host, path, expected) in [
        ("h", "/a/b", "b"),
        ("x", "/a/b", "a"),
        ("h", "/p/q", "c"),
        ("h", "/low", "b"),
        ("x", "/none", "-"),
    ] {
        assert_eq!(at(&routes, host, path), expected, "{host}{path}");
    }
}

#[test]
fn of_equals_the_one_that_was_created_first_takes_it() {
    let routes = routes(&[claim(json!({})), claim(json!({}))]);
    assert_eq!(at(&routes, "", "/"), "a");
}

#[test]
fn each_other_condition_must_hold_and_makes_a_route_more_specific() {
    let routes = routes(&[
        claim(json!({})),
        claim(json!({"networks": ["10.0.0.0/8"]})),
        claim(json!({"query": [{"name": "beta", "value": {"exact": "1"}}]})),
        claim(json!({"headers": [{"name": "X-Beta"}]})),
        claim(json!({"methods": ["POST", "PUT"]})),
        claim(json!({"scheme": "https"})),
    ]);
    let plain = Question {
        client: IpAddr::from([192, 0, 2, 1]),
        ..ask("h", "/")
    };
    let fields: [(&[u8], &[u8]); 1] = [(b"x-beta", b"")];
    for (expected, question) in [
        ("a", plain),
        ("b", ask("h", "/")),
        (
            "c",
            Question {
                query: b"x&beta=1",
                ..plain
            },
        ),
        (
            "a",
            Question {
                query: b"beta=2",
                ..plain
            },
        ),
        (
            "d",
            Question {
                headers: &fields,
                ..plain
            },
        ),
        (
            "e",
            Question {
                method: b"PUT",
                headers: &fields,
                ..plain
            },
        ),
        (
            "a",
            Question {
                method: b"put",
                ..plain
            },
        ),
        (
            "f",
            Question {
                scheme: Scheme::Https,
                ..plain
            },
        ),
    ] {
        assert_eq!(found(&routes, &question), expected, "{question:?}");
    }
}

#[test]
fn a_route_whose_conditions_fail_leaves_the_request_to_the_next() {
    let routes = routes(&[
        claim(json!({"path": {"prefix": "/a"}})),
        claim(json!({"path": {"exact": "/a/b"}, "methods": ["POST"]})),
    ]);
    assert_eq!(at(&routes, "", "/a/b"), "a");
}

#[test]
fn a_target_that_is_no_path_is_taken_by_routes_for_all_of_them() {
    let routes = routes(&[
        claim(json!({"path": {"exact": "/"}})),
        claim(json!({"path": {"prefix": "/a"}})),
        claim(json!({"methods": ["OPTIONS"]})),
    ]);
    let question = Question {
        method: b"OPTIONS",
        ..ask("h", "*")
    };
    assert_eq!(found(&routes, &question), "c");
    assert!(Routes::default().find(&question).is_none());
}

#[test]
fn a_route_says_where_its_requests_go() {
    let split = json!({"split": {"by": "request", "pools": [{"pool": "default", "weight": 1}]}});
    let answer = json!({"answer": {"status": 404, "body": "none"}});
    let hsts = json!({"max_age": "365days", "include_subdomains": true, "preload": true});
    let routes = routes(&[
        json!({"hsts": hsts, "rewrite": {"host": "b.org"}}),
        json!({"action": split, "hsts": {"max_age": "0s"}}),
        json!({"action": answer}),
        json!({"action": {"redirect": {"scheme": "https"}}}),
    ]);
    let route = |name: &str| routes.get(&id(name)).expect("a route");
    let mut chance: rand::rngs::SmallRng = rand::SeedableRng::seed_from_u64(1);
    let mut pool = |name: &str| {
        let client = IpAddr::from([10, 0, 0, 1]);
        route(name)
            .pool(client, &mut chance)
            .map(ToString::to_string)
    };
    assert_eq!(
        ["a", "b"].map(&mut pool),
        [Some("default".into()), Some("default".into())]
    );
    assert_eq!(["c", "d"].map(&mut pool), [None, None]);
    let line = b"Strict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\n";
    assert_eq!(route("a").hsts(), Some(&line[..]));
    assert_eq!(
        route("b").hsts(),
        Some(&b"Strict-Transport-Security: max-age=0\r\n"[..])
    );
    assert_eq!(
        (route("a").host(), route("b").host()),
        (Some(&b"b.org"[..]), None)
    );
    assert!(matches!(route("c").action(), Action::Answer(answer) if answer.body[..] == *b"none"));
}

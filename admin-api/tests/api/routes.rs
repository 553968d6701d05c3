//! `/v1/routes`, `/v1/listeners`, `/v1/networks` and `/v1/limits`: what the four have in common, and what they name of one another.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Answer, Fixture};

/// A path for each kind, a name, a body without it, and a patch of that.
fn kinds() -> [(&'static str, &'static str, Value, Value); 4] {
    [
        (
            "/v1/routes",
            "a",
            json!({"action": {"pool": "default"}}),
            json!({"priority": 5}),
        ),
        (
            "/v1/listeners",
            "http",
            json!({"firewall": {"deny": ["10.0.0.0/8"]}}),
            json!({"firewall": {"allow": ["192.0.2.1"]}, "health": true}),
        ),
        (
            "/v1/networks",
            "a",
            json!({"networks": ["10.0.0.0/8"]}),
            json!({"networks": ["192.0.2.0/24"]}),
        ),
        (
            "/v1/limits",
            "a",
            json!({"by": ["client"], "requests": 5}),
            json!({"burst": 9}),
        ),
    ]
}

fn named(body: &Value, id: &str) -> Value {
    let mut body = body.clone();
    body["id"] = json!(id);
    body
}

async fn add(fixture: &Fixture, path: &str, body: Value) -> Answer {
    fixture.post(path, body).await.expect(StatusCode::CREATED)
}

#[tokio::test]
async fn an_element_is_created_listed_patched_replaced_and_removed() {
    for (path, id, body, patch) in kinds() {
        let fixture = Fixture::start().await;
        assert_eq!(fixture.get(path).await.body, json!([]));
        let one = format!("{path}/{id}");
        let created = add(&fixture, path, named(&body, id)).await;
        assert_eq!(created.header("location"), one);
        assert_eq!(created.header("etag"), "\"2\"");
        let twice = fixture.post(path, named(&body, id)).await;
        let twice = twice.expect(StatusCode::CONFLICT);
        assert_eq!(twice.fields(), ["id"]);

        let patched = fixture.patch(&one, patch.clone()).await;
        let patched = patched.expect(StatusCode::OK).body;
        for (name, value) in patch.as_object().unwrap() {
            assert!(
                patched[name] != created.body[name],
                "{name} is not {value}: {patched}"
            );
        }
        let stale = fixture.request("PUT", &one).header("if-match", "\"2\"");
        let stale = stale.json(&body).send().await;
        stale.expect(StatusCode::PRECONDITION_FAILED);
        // What was read can be sent back.
        let whole = fixture.get(&one).await.expect(StatusCode::OK);
        assert_eq!(whole.header("etag"), "\"3\"");
        let same = fixture.put(&one, whole.body.clone()).await;
        assert_eq!(same.expect(StatusCode::OK).body, whole.body);
        let known = fixture
            .request("GET", &one)
            .header("if-none-match", "\"3\"");
        known.send().await.expect(StatusCode::NOT_MODIFIED);
        let listed = fixture.get(path).await.body;
        assert_eq!(
            (&listed[0]["id"], listed[0]["revision"].as_u64()),
            (&json!(id), Some(3))
        );

        let removed = fixture.delete(&one).await.expect(StatusCode::OK);
        assert_eq!(removed.body["id"], id);
        fixture.get(&one).await.expect(StatusCode::NOT_FOUND);
        fixture.delete(&one).await.expect(StatusCode::NOT_FOUND);
        let made = fixture.put(&one, body).await.expect(StatusCode::CREATED);
        assert_eq!(made.header("location"), one);
    }
}

#[tokio::test]
async fn whatever_is_wrong_is_named_by_path_and_nothing_is_written() {
    let fixture = Fixture::start().await;
    let route = |field: &str, value: Value| {
        let mut route = json!({"id": "a", "action": {"pool": "default"}});
        route[field] = value;
        ("/v1/routes", route)
    };
    let list = |mut list: Value| {
        list["id"] = json!("office");
        ("/v1/networks", list)
    };
    for ((path, body), field) in [
        (("/v1/routes", json!({"action": {"pool": "default"}})), "id"),
        (("/v1/routes", json!({"id": "a"})), "action"),
        (route("action", json!({})), "action"),
        (route("action", json!("default")), "action"),
        (route("action", json!({"pool": "a b"})), "action.pool"),
        (route("action", json!({"pool": "none"})), "action.pool"),
        (
            route(
                "action",
                json!({"split": {"pools": [{"pool": "default", "weight": 1}, {"pool": "none", "weight": 1}]}}),
            ),
            "action.split.pools[1].pool",
        ),
        (route("priority", json!("high")), "priority"),
        (route("revision", json!(7)), "revision"),
        (
            route("match", json!({"path": {"regex": "."}})),
            "match.path",
        ),
        (route("match", json!({"path": "/api"})), "match.path"),
        (
            route("match", json!({"networks": ["10.0.0.0/8", "x"]})),
            "match.networks[1]",
        ),
        (route("match", json!({"colour": 1})), "match.colour"),
        (
            route("match", json!({"headers": [{"name": "a", "value": 7}]})),
            "match.headers[0].value",
        ),
        (
            route("timeouts", json!({"connect": "2"})),
            "timeouts.connect",
        ),
        (
            route("firewall", json!({"allow": ["10.0.0.0/8", "office"]})),
            "firewall.allow[1]",
        ),
        (route("colour", json!(1)), "colour"),
        (
            (
                "/v1/listeners",
                json!({"id": "http", "firewall": {"deny": ["office"]}}),
            ),
            "firewall.deny[0]",
        ),
        (
            ("/v1/listeners", json!({"id": "http", "health": "yes"})),
            "health",
        ),
        (list(json!({"networks": ["10.0.0.0/33"]})), "networks[0]"),
        (list(json!({"size": 3})), "size"),
    ] {
        refuses(&fixture, path, body, field).await;
    }
    let misnamed = fixture.put("/v1/networks/a%20b", json!({})).await;
    let misnamed = misnamed.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(misnamed.fields(), ["list"]);
    assert_eq!(fixture.position().await.revision.0, 1);
}

#[tokio::test]
async fn an_item_behind_one_that_cannot_be_read_is_not_named_by_another_place() {
    let fixture = Fixture::start().await;
    let body = json!({"id": "bad", "networks": ["192.0.2.0/24", "x", "10.1.0.0/8"]});
    refuses(&fixture, "/v1/networks", body, "networks[1]").await;
}

#[tokio::test]
async fn whatever_is_wrong_beside_a_value_that_cannot_be_read_is_named_too() {
    let fixture = Fixture::start().await;
    let redirect = json!({"port": 99_999, "host": "a:1", "path": "x"});
    let beside = json!({"limits": [], "priority": "high", "action": {"pool": "none"}});
    let claim = json!({"path": {"exact": "/a"}, "query": "all"});
    let bundle = "-----BEGIN CERTIFICATE-----\n?";
    for (path, body, fields) in [
        (
            "/v1/routes/r",
            json!({"action": {"redirect": redirect}, "timeouts": {"idle": "0s"}, "colour": 1}),
            &[
                "action.redirect.port",
                "action.redirect.host",
                "action.redirect.path",
                "timeouts.idle",
                "colour",
            ][..],
        ),
        ("/v1/routes/r", beside, &["priority", "action.pool"]),
        // With the query that cannot be read it may lead elsewhere.
        (
            "/v1/routes/r",
            json!({"match": claim, "action": {"redirect": {"path": "/a"}}}),
            &["match.query"],
        ),
        (
            "/v1/limits/l",
            json!({"requests": 1, "per": "0s", "burst": 0, "deadline": "1h"}),
            &["per", "burst", "deadline"],
        ),
        (
            "/v1/limits/l",
            json!({"requests": "1", "per": "2d", "burst": 5, "exempt": ["10.0.0.1/8"]}),
            &["requests", "per", "exempt[0]"],
        ),
        (
            "/v1/listeners/https",
            json!({"tls": {"certificates": ["nope"], "client": {"verify": "required"}},
                "firewall": {"allow": ["10.0.0.1/8", "office"]}}),
            &[
                "firewall.allow[0]",
                "tls.client.ca",
                "firewall.allow[1]",
                "tls.certificates[0]",
            ],
        ),
        (
            "/v1/listeners/https",
            json!({"tls": {"alpn": [], "client": {"ca": bundle}}}),
            &["tls.alpn", "tls.client.ca"],
        ),
        (
            "/v1/pools/web",
            json!({"algorithm": "best", "health": {"rise": 0}, "limits": ["none"]}),
            &["algorithm", "health.rise", "limits[0]"],
        ),
    ] {
        let answer = fixture.put(path, body.clone()).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), fields, "{body}: {}", answer.body);
    }
    assert_eq!(fixture.position().await.revision.0, 1);
}

async fn refuses(fixture: &Fixture, path: &str, body: Value, field: &str) {
    let answer = fixture.post(path, body.clone()).await;
    let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.fields(), [field], "{body}: {}", answer.detail());
}

#[tokio::test]
async fn a_listener_that_no_balancer_has_is_refused_by_every_way() {
    let fixture = Fixture::start().await;
    let deny = json!({"firewall": {"deny": ["10.0.0.0/8"]}});
    let sent = named(&deny, "htps");
    let document = json!({"listeners": [sent]});
    for (answer, field) in [
        (fixture.post("/v1/listeners", sent).await, "id"),
        (fixture.put("/v1/listeners/htps", deny).await, "id"),
        (
            fixture.put("/v1/import", document).await,
            "listeners[htps].id",
        ),
    ] {
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field]);
        let rule = "must be \"http\", for the address of --listen, or \"https\"";
        assert!(answer.detail().contains(rule), "{}", answer.detail());
    }
    assert_eq!(fixture.position().await.revision.0, 1);
}

#[tokio::test]
async fn whatever_is_wrong_with_limits_is_named_by_path() {
    let fixture = Fixture::start().await;
    let limit = |field: &str, value: Value| {
        let mut limit = json!({"id": "api", "requests": 1});
        limit[field] = value;
        limit
    };
    let route = json!({"id": "a", "action": {"pool": "default"}, "limits": ["none"]});
    for (path, body, field) in [
        ("/v1/routes", route, "limits[0]"),
        (
            "/v1/pools",
            json!({"id": "web", "limits": ["none"]}),
            "limits[0]",
        ),
        ("/v1/limits", json!({"id": "api"}), "requests"),
        (
            "/v1/limits",
            limit("by", json!(["client", "moon"])),
            "by[1]",
        ),
        ("/v1/limits", limit("per", json!("x")), "per"),
    ] {
        refuses(&fixture, path, body, field).await;
    }
    assert_eq!(fixture.position().await.revision.0, 1);
}

#[tokio::test]
async fn a_value_of_another_kind_is_told_what_it_has_to_be() {
    let fixture = Fixture::start().await;
    for (route, told) in [
        (
            json!({"id": "a", "action": "default"}),
            "action: must be an object with one of pool, split, redirect and answer",
        ),
        (
            json!({"id": "a", "action": {"pool": "default"}, "match": {"path": "/api"}}),
            "match.path: must be an object with one of exact, prefix and pattern",
        ),
        (
            json!({"id": "a", "action": {"pool": "default"}, "match": {"query": [{"name": "a", "value": true}]}}),
            "match.query[0].value: must be present, absent, or an object with one of exact and prefix",
        ),
        (
            json!({"id": "a", "action": {"redirect": {"status": 200}}}),
            "action.redirect.status: 200 is no redirect: it must be 301, 302, 303, 307 or 308",
        ),
        (
            json!({"id": "a", "action": {"pool": "none"}}),
            "action.pool: there is no pool \"none\"",
        ),
    ] {
        let answer = fixture.post("/v1/routes", route).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.detail(), told);
    }
}

#[tokio::test]
async fn what_something_names_is_not_removed() {
    let fixture = Fixture::start().await;
    add(&fixture, "/v1/pools", json!({"id": "web"})).await;
    add(&fixture, "/v1/pools", json!({"id": "canary"})).await;
    add(&fixture, "/v1/networks", json!({"id": "office"})).await;
    add(&fixture, "/v1/limits", json!({"id": "slow", "requests": 5})).await;
    let split = json!({"split": {"pools": [{"pool": "web", "weight": 9}, {"pool": "canary", "weight": 1}]}});
    let route = json!({"id": "api", "action": split, "firewall": {"allow": ["office"]}, "limits": ["slow"]});
    add(&fixture, "/v1/routes", route).await;
    add(
        &fixture,
        "/v1/listeners",
        json!({"id": "http", "firewall": {"deny": ["office"]}}),
    )
    .await;
    let pool = fixture
        .patch("/v1/pools/web", json!({"limits": ["slow"]}))
        .await;
    pool.expect(StatusCode::OK);
    for (path, told) in [
        (
            "/v1/pools/web",
            "the pool \"web\" is used by the route \"api\": change that first",
        ),
        (
            "/v1/pools/canary",
            "the pool \"canary\" is used by the route \"api\": change that first",
        ),
        (
            "/v1/networks/office",
            "the list \"office\" is used by the route \"api\", the listener \"http\": change these first",
        ),
        (
            "/v1/limits/slow",
            "the limit \"slow\" is used by the route \"api\", the pool \"web\": change these first",
        ),
    ] {
        let answer = fixture.delete(path).await.expect(StatusCode::CONFLICT);
        assert_eq!(answer.detail(), told);
        assert_eq!(answer.body["type"], "urn:roundhouse:problem:in-use");
    }
    let patched = fixture
        .patch("/v1/routes/api", json!({"action": null}))
        .await;
    patched.expect(StatusCode::UNPROCESSABLE_ENTITY);
    let put = fixture
        .put("/v1/routes/api", json!({"action": {"pool": "web"}}))
        .await;
    put.expect(StatusCode::OK);
    fixture
        .delete("/v1/pools/canary")
        .await
        .expect(StatusCode::OK);
    fixture
        .delete("/v1/listeners/http")
        .await
        .expect(StatusCode::OK);
    fixture
        .delete("/v1/networks/office")
        .await
        .expect(StatusCode::OK);
    fixture
        .delete("/v1/routes/api")
        .await
        .expect(StatusCode::OK);
    fixture.delete("/v1/pools/web").await.expect(StatusCode::OK);
    let slow = fixture.delete("/v1/limits/slow").await;
    slow.expect(StatusCode::OK);
}

#[tokio::test]
async fn of_many_who_name_it_some_are_named() {
    let fixture = Fixture::start().await;
    add(&fixture, "/v1/pools", json!({"id": "web"})).await;
    for number in 1..=5 {
        let route = json!({"id": format!("r{number}"), "action": {"pool": "web"}});
        add(&fixture, "/v1/routes", route).await;
    }
    let answer = fixture.delete("/v1/pools/web").await;
    let answer = answer.expect(StatusCode::CONFLICT);
    let named =
        "the route \"r1\", the route \"r2\", the route \"r3\", and 2 more: change these first";
    assert!(answer.detail().ends_with(named), "{}", answer.detail());
}

#[tokio::test]
async fn a_long_list_is_taken_and_listed_by_its_length() {
    let fixture = Fixture::start().await;
    // As long as a network can be written.
    let network = |number: u32| {
        let (high, low) = (0x1000 + (number >> 16), 0x1000 + (number & 0xfff));
        format!("fd00:1111:2222:3333:4444:5555:{high:x}:{low:x}/128")
    };
    let networks: Vec<_> = (0..200_000).map(network).collect();
    let list = json!({"id": "bad", "networks": networks});
    let body = list.to_string();
    assert!(body.len() < 16 * 1024 * 1024 && body.len() > 8 * 1024 * 1024);
    let created = add(&fixture, "/v1/networks", list).await;
    assert_eq!(created.body["size"], 200_000);
    let listed = fixture.get("/v1/networks").await.body;
    assert_eq!(
        listed,
        json!([{"id": "bad", "size": 200_000, "revision": 2, "created": 2}])
    );
    let one = fixture.get("/v1/networks/bad").await.body;
    assert_eq!(one["networks"].as_array().map(Vec::len), Some(200_000));
    let more = json!({"networks": vec!["10.0.0.0/8"; 200_001]});
    let more = fixture.put("/v1/networks/worse", more).await;
    let more = more.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(more.fields(), ["networks"]);
    // No other body may be as long.
    let long = "x".repeat(65 * 1024);
    let long = json!({"id": "a", "action": {"answer": {"status": 200, "body": long}}});
    let long = fixture.post("/v1/routes", long).await;
    long.expect(StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_list_beyond_the_limit_is_refused() {
    let fixture = Fixture::start().await;
    let lists: Vec<_> = (0..1000)
        .map(|number| json!({"id": format!("l{number}")}))
        .collect();
    let imported = fixture.put("/v1/import", json!({"networks": lists})).await;
    imported.expect(StatusCode::OK);
    let answer = fixture
        .post("/v1/networks", json!({"id": "one-too-many"}))
        .await;
    let answer = answer.expect(StatusCode::CONFLICT);
    assert!(
        answer.detail().contains("1000 lists"),
        "{}",
        answer.detail()
    );
    let document = json!({"networks": [{"id": "one-too-many"}]});
    let answer = fixture.put("/v1/import", document).await;
    answer.expect(StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_answer() {
    let fixture = Fixture::start().await;
    let send = async || {
        let call = fixture.request("POST", "/v1/routes");
        let call = call.header("idempotency-key", "k1");
        call.json(&json!({"id": "a", "action": {"pool": "default"}}))
            .send()
            .await
    };
    let first = send().await.expect(StatusCode::CREATED);
    let again = send().await.expect(StatusCode::CREATED);
    assert_eq!(first.body, again.body);
    assert_eq!(fixture.position().await.revision.0, 2);
}

#[tokio::test]
async fn a_request_is_explained() {
    let fixture = Fixture::start().await;
    add(&fixture, "/v1/pools", json!({"id": "web"})).await;
    for route in [
        json!({"id": "api", "match": {"hosts": ["shop.example.com"], "path": {"prefix": "/api"}}, "action": {"pool": "web"}}),
        json!({"id": "beta", "match": {"path": {"prefix": "/api"}, "headers": [{"name": "x-beta"}]}, "priority": 5, "action": {"pool": "web"}}),
        json!({"id": "rest", "match": {"path": {"prefix": "/"}}, "action": {"pool": "default"}}),
    ] {
        add(&fixture, "/v1/routes", route).await;
    }
    let ask = async |question: Value| {
        let answer = fixture.post("/v1/routes/explain", question).await;
        answer.expect(StatusCode::OK).body
    };
    let asked = json!({"host": "SHOP.example.com:80", "path": "/a/../api//x"});
    let answer = ask(asked.clone()).await;
    assert_eq!(answer["route"], "api");
    assert_eq!(answer["action"], json!({"pool": "web"}));
    assert_eq!(answer["path"], "/api/x");
    assert_eq!(answer["pools"], json!([{"pool": "web", "share": 1.0}]));
    let considered = json!([
        {"route": "beta", "priority": 5, "unmet": ["headers.x-beta"]},
        {"route": "api", "priority": 0, "unmet": []},
        {"route": "rest", "priority": 0, "unmet": [], "outranked_by": "hosts"},
    ]);
    assert_eq!(answer["considered"], considered);
    let mut beta = asked;
    beta["headers"] = json!({"X-Beta": "1"});
    assert_eq!(ask(beta).await["route"], "beta");
    // It is asked of what is there now.
    fixture
        .delete("/v1/routes/rest")
        .await
        .expect(StatusCode::OK);
    let answer = ask(json!({"method": "POST", "scheme": "https", "client": "10.0.0.1", "query": "a=1", "path": "/"})).await;
    assert_eq!(
        (&answer["route"], &answer["action"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(answer["pools"], json!([{"pool": "default", "share": 1.0}]));
}

#[tokio::test]
async fn a_number_that_no_field_of_its_kind_holds_is_told_the_bounds_of_the_rule() {
    let fixture = Fixture::start().await;
    let share = |weight: i64| json!({"split": {"pools": [{"pool": "default", "weight": weight}]}});
    let weight = "action.split.pools[0].weight";
    for (action, field, bounds) in [
        (share(-1), weight, "from 0 to 1000"),
        (share(70_000), weight, "from 0 to 1000"),
        (share(1001), weight, "from 0 to 1000"),
        (
            json!({"redirect": {"port": 70_000}}),
            "action.redirect.port",
            "from 1 to 65535",
        ),
    ] {
        let route = json!({"id": "r", "action": action});
        let answer = fixture.post("/v1/routes", route).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field], "{action}");
        assert!(answer.detail().contains(bounds), "{}", answer.detail());
    }
}

#[tokio::test]
async fn a_question_that_is_none_is_refused_by_field() {
    let fixture = Fixture::start().await;
    for (question, field) in [
        (json!({}), "path"),
        (json!({"path": "api"}), "path"),
        (json!({"path": "/api?a=1"}), "path"),
        (json!({"path": "/", "client": "nobody"}), "client"),
        (json!({"path": "/", "scheme": "ftp"}), "scheme"),
        (json!({"path": "/", "pool": "web"}), "pool"),
        (json!({"path": "/", "method": "a b"}), "method"),
        (json!({"path": "/", "method": ""}), "method"),
    ] {
        let answer = fixture.post("/v1/routes/explain", question.clone()).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field], "{question}");
    }
    let question = json!({"path": "/api?a=1", "client": "nobody", "method": "a b", "pool": "web"});
    let answer = fixture.post("/v1/routes/explain", question).await;
    let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.fields(), ["client", "pool", "method", "path"]);
    let rule = "client: must be an IP address, such as 192.0.2.7";
    assert!(answer.detail().starts_with(rule), "{}", answer.detail());
    // A route may be called so, and nothing can be POSTed to any.
    let named = json!({"action": {"pool": "default"}});
    let made = fixture.put("/v1/routes/explain", named).await;
    made.expect(StatusCode::CREATED);
    let refused = fixture.post("/v1/routes/other", json!({"path": "/"})).await;
    let refused = refused.expect(StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.header("allow"), "GET,HEAD,PUT,PATCH,DELETE");
}

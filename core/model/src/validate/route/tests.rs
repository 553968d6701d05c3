use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{NormalPath, first_grave};

/// The fields of a route with these settings that break a rule.
fn broken(settings: Value) -> Vec<String> {
    let mut route = json!({"id": "r", "action": {"pool": "default"}});
    let Value::Object(settings) = settings else {
        panic!("settings are an object");
    };
    for (name, value) in settings {
        route[name] = value;
    }
    let route = serde_json::from_value(route).expect("a route's shape");
    let problems = validate_route(&route).err().unwrap_or_default();
    problems.into_iter().map(|problem| problem.field).collect()
}

fn is_fine(settings: Value) {
    let shown = settings.to_string();
    assert_eq!(broken(settings), Vec::<String>::new(), "{shown}");
}

fn breaks(settings: Value, fields: &[&str]) {
    let shown = settings.to_string();
    assert_eq!(broken(settings), fields, "{shown}");
}

#[test]
fn a_route_that_uses_everything_is_valid() {
    is_fine(json!({}));
    is_fine(json!({
        "priority": -5,
        "match": {
            "hosts": ["example.org", "*.Example.org", "[::1]", "10.0.0.1"],
            "path": {"prefix": "/api/v1"},
            "methods": ["GET", "M-SEARCH"],
            "headers": [{"name": "X-Beta", "value": {"exact": "1"}}, {"name": "Cookie"}],
            "query": [{"name": "v", "value": {"prefix": "2"}}, {"name": "old", "value": "absent"}],
            "networks": ["10.0.0.0/8"],
            "scheme": "https",
        },
        "action": {"split": {"pools": [{"pool": "a", "weight": 0}, {"pool": "b", "weight": 1000}]}},
        "rewrite": {"prefix": "/", "host": "inner.example:8080"},
        "request_headers": {"remove": ["Cookie"], "set": {"X-A": "1"}, "add": [{"name": "X-A", "value": ""}]},
        "response_headers": {"remove": ["Server"]},
        "hsts": {"max_age": "365days", "include_subdomains": true, "preload": true},
        "timeouts": {"connect": "1s", "per_try": "1s", "response": "24h", "idle": "1s"},
        "retry": {"retries": 0},
        "max_body_bytes": 0,
        "firewall": {"allow": ["10.0.0.0/8"], "deny": ["bad"]},
    }));
}

#[test]
fn a_path_is_as_rules_see_those_of_requests() {
    let path = |kind: &str, path: &str| json!({"match": {"path": {kind: path}}});
    for good in ["/", "/a", "/a/b.c", "/%C3%BC", "/a%20b", "/a:b@c;d=e"] {
        for kind in ["exact", "prefix", "pattern"] {
            is_fine(path(kind, good));
        }
    }
    is_fine(path("exact", "/a/"));
    for bad in [
        "", "a", "//a", "/a/../b", "/a/.", "/%61", "/%c3%bc", "/ü", "/a%2Fb", "/a b", "/a?b",
        "/a#b", "/%", "/a%24", "/%00",
    ] {
        breaks(path("exact", bad), &["match.path.exact"]);
        breaks(path("prefix", bad), &["match.path.prefix"]);
        breaks(path("pattern", bad), &["match.path.pattern"]);
    }
    breaks(path("prefix", "/a/"), &["match.path.prefix"]);
    breaks(
        path("exact", &format!("/{}", "a".repeat(2048))),
        &["match.path.exact"],
    );
}

#[test]
fn a_pattern_names_whole_segments_each_once() {
    let path = |pattern: &str| json!({"match": {"path": {"pattern": pattern}}});
    for good in [
        "/{a}",
        "/a/{b}/c/{d_1}",
        "/a/{*rest}",
        "/{*rest}",
        "/{a}/{*b}",
        "/{a}/",
    ] {
        is_fine(path(good));
    }
    for bad in [
        "/{}", "/{*}", "/{a}/{a}", "/{*a}/b", "/x{a}", "/{a}x", "/{a-b}", "/{a", "/a}", "/{{a}}",
        "{a}",
    ] {
        breaks(path(bad), &["match.path.pattern"]);
    }
}

#[test]
fn a_claim_names_what_requests_can_have() {
    let claim = |name: &str, value: Value| json!({"match": {name: value}});
    for bad in [
        "", "*", "*.", "a.*", "a b", "a:80", "http://a", "a..b", "*.*.a", "ü.de", ".a", "::1",
        "[x]",
    ] {
        breaks(claim("hosts", json!([bad])), &["match.hosts"]);
    }
    breaks(claim("hosts", json!(["a.org", "A.org"])), &["match.hosts"]);
    for bad in ["", "GET ", "G/T", "ü"] {
        breaks(claim("methods", json!([bad])), &["match.methods"]);
    }
    for bad in [
        json!({"name": "a b"}),
        json!({"name": ""}),
        json!({"name": "a", "value": {"exact": "x\r\ny"}}),
    ] {
        breaks(claim("headers", json!([bad])), &["match.headers"]);
    }
    breaks(claim("query", json!([{"name": ""}])), &["match.query"]);
    breaks(
        claim("query", json!([{"name": "a", "value": {"prefix": ""}}])),
        &["match.query"],
    );
    let many = |value: Value| Value::Array(vec![value; 65]);
    breaks(claim("methods", many(json!("GET"))), &["match.methods"]);
    breaks(
        claim("headers", many(json!({"name": "a"}))),
        &["match.headers"],
    );
    breaks(claim("query", many(json!({"name": "a"}))), &["match.query"]);
    breaks(
        claim("networks", many(json!("10.0.0.0/8"))),
        &["match.networks"],
    );
    let hosts: Vec<_> = (0..65).map(|number| format!("h{number}.org")).collect();
    breaks(claim("hosts", json!(hosts)), &["match.hosts"]);
}

#[test]
fn what_an_older_version_took_is_refused_when_sent_and_read_when_stored() {
    for (claim, field, rule) in [
        (
            json!({"methods": ["GET", "get"]}),
            "match.methods",
            "has \"get\", and methods are case-sensitive (RFC 9110, 9.1): \"GET\" is probably meant",
        ),
        (
            json!({"networks": ["10.0.0.0/8", "192.0.2.7/24"]}),
            "match.networks[1]",
            "192.0.2.7/24 has bits set beyond its prefix: it must be 192.0.2.0/24, or 192.0.2.7 for that host alone",
        ),
    ] {
        let route = json!({"id": "r", "action": {"pool": "default"}, "match": claim});
        let route = serde_json::from_value(route).expect("a route's shape");
        let found = validate_route(&route);
        assert_eq!(first_grave(found.clone()), None);
        let problems = found.expect_err("one problem");
        let told: Vec<_> = problems.iter().map(|it| (&*it.field, &*it.rule)).collect();
        assert_eq!(told, [(field, rule)]);
    }
    // A method that is not known may be written in any way.
    is_fine(json!({"match": {"methods": ["m-search", "Purge"]}}));
}

#[test]
fn a_split_has_pools_and_one_of_them_a_weight() {
    let split = |pools: Value| json!({"action": {"split": {"pools": pools}}});
    let share = |pool: &str, weight: u16| json!({"pool": pool, "weight": weight});
    is_fine(split(json!([share("a", 1)])));
    let field = "action.split.pools";
    breaks(split(json!([])), &[field]);
    breaks(split(json!([share("a", 0)])), &[field]);
    breaks(split(json!([share("a", 1), share("a", 2)])), &[field]);
    let weight = format!("{field}[1].weight");
    breaks(split(json!([share("a", 1), share("b", 1001)])), &[&weight]);
    let many: Vec<_> = (0..33)
        .map(|number| share(&format!("p{number}"), 1))
        .collect();
    breaks(split(json!(many)), &[field]);
}

#[test]
fn a_redirect_leads_elsewhere() {
    let redirect = |redirect: Value| json!({"action": {"redirect": redirect}});
    breaks(redirect(json!({})), &["action.redirect"]);
    breaks(redirect(json!({"status": 301})), &["action.redirect"]);
    for good in [
        json!({"scheme": "https"}),
        json!({"host": "a.org"}),
        json!({"port": 8443}),
        json!({"path": "/a?b=c#d"}),
    ] {
        is_fine(redirect(good));
    }
    breaks(
        redirect(json!({"host": "a.org:80"})),
        &["action.redirect.host"],
    );
    breaks(redirect(json!({"port": 0})), &["action.redirect.port"]);
    for bad in ["", "a", "//evil.org", "/\\evil.org", "/a b", "/a\r\nb"] {
        breaks(redirect(json!({"path": bad})), &["action.redirect.path"]);
    }
    is_fine(json!({"action": {"redirect": {}}, "rewrite": {"path": "/b"}}));
    let to_host = json!({"action": {"redirect": {"port": 1}}, "rewrite": {"host": "b.org"}});
    breaks(to_host, &["rewrite.host"]);
}

#[test]
fn a_redirect_to_what_the_route_claims_by_name_is_refused() {
    let of =
        |claim: Value, redirect: Value| json!({"match": claim, "action": {"redirect": redirect}});
    let exact = |path: &str| json!({"path": {"exact": path}});
    let prefix = |path: &str| json!({"path": {"prefix": path}});
    let asked = |name: &str, value: &str| json!({"path": {"exact": "/a"}, "query": [{"name": name, "value": value}]});
    let to = |path: &str| json!({"path": path});
    let rewritten = |claim: Value, rewrite: Value| {
        let mut route = of(claim, json!({}));
        route["rewrite"] = rewrite;
        route
    };
    let posts = json!({"methods": ["POST"], "path": {"exact": "/a"}});
    let after = |status: u16| json!({"path": "/a", "status": status});
    for endless in [
        of(json!({"scheme": "https"}), json!({"scheme": "https"})),
        of(
            json!({"scheme": "https", "hosts": ["a.org", "www.a.org"], "path": {"prefix": "/a"}}),
            json!({"scheme": "https", "host": "WWW.a.org"}),
        ),
        of(json!({"hosts": ["a.org"]}), json!({"host": "a.org"})),
        of(exact("/a"), to("/a")),
        of(exact("/a%20b"), to("/a%20b#c")),
        of(exact("/a"), to("/b/../a")),
        of(exact("/a"), to("/a?lang=en#top")),
        of(asked("b", "present"), to("/a?c&%62=1")),
        of(asked("b", "absent"), to("/a?c=1")),
        of(asked("b", "absent"), to("/a")),
        of(json!({"path": {"pattern": "/a"}}), after(301)),
        of(posts.clone(), after(307)),
        rewritten(prefix("/a"), json!({"prefix": "/a"})),
        rewritten(prefix("/a"), json!({"prefix": "/a/"})),
        rewritten(exact("/a"), json!({"path": "/a"})),
    ] {
        breaks(endless.clone(), &["action.redirect"]);
        let mut route = endless;
        route["id"] = json!("r");
        let route = serde_json::from_value(route).expect("a route's shape");
        assert_eq!(first_grave(validate_route(&route)), None);
    }
    let mut with_cookie = of(
        json!({"headers": [{"name": "Cookie", "value": "absent"}]}),
        to("/a"),
    );
    with_cookie["match"]["path"] = json!({"exact": "/a"});
    with_cookie["response_headers"] = json!({"set": {"Set-Cookie": "seen=1"}});
    for right in [
        of(json!({"scheme": "http"}), json!({"scheme": "https"})),
        of(
            json!({"scheme": "https"}),
            json!({"scheme": "https", "port": 443}),
        ),
        of(json!({"hosts": ["*.a.org"]}), json!({"host": "www.a.org"})),
        of(json!({"hosts": ["a.org"]}), json!({"host": "www.a.org"})),
        of(exact("/a"), to("/a/")),
        of(exact("/a"), to("/a/?lang=en")),
        of(asked("b", "present"), to("/a")),
        of(asked("b", "present"), to("/a#b")),
        of(asked("b", "absent"), to("/a?b=1")),
        of(prefix("/a"), to("/a")),
        of(prefix("/a"), to("/a/b")),
        of(posts, after(303)),
        rewritten(prefix("/a"), json!({"prefix": "/a/b"})),
        rewritten(prefix("/a"), json!({"path": "/a"})),
        with_cookie,
    ] {
        is_fine(right);
    }
}

#[test]
fn an_answer_has_a_status_and_a_body_that_go_together() {
    let answer = |answer: Value| json!({"action": {"answer": answer}});
    is_fine(answer(json!({"status": 503, "body": "soon"})));
    is_fine(answer(json!({"status": 204})));
    for status in [199, 600, 100, 101, 0] {
        breaks(answer(json!({"status": status})), &["action.answer.status"]);
    }
    for status in [204, 205, 304] {
        breaks(
            answer(json!({"status": status, "body": "x"})),
            &["action.answer.body"],
        );
    }
    is_fine(answer(json!({"status": 200, "body": "x".repeat(65536)})));
    breaks(
        answer(json!({"status": 200, "body": "x".repeat(65537)})),
        &["action.answer.body"],
    );
    let kind = answer(json!({"status": 200, "content_type": "text/html\r\nX: y"}));
    breaks(kind, &["action.answer.content_type"]);
}

#[test]
fn a_rewrite_has_something_to_take_the_place_of() {
    let with = |path: Value, rewrite: Value| json!({"match": {"path": path}, "rewrite": rewrite});
    is_fine(with(json!({"exact": "/a"}), json!({"prefix": "/b"})));
    breaks(
        with(json!({"pattern": "/{a}"}), json!({"prefix": "/b"})),
        &["rewrite.prefix"],
    );
    breaks(json!({"rewrite": {"prefix": "/b"}}), &["rewrite.prefix"]);
    breaks(json!({"rewrite": {"path": "/a/../b"}}), &["rewrite.path"]);
    let both = with(
        json!({"prefix": "/a"}),
        json!({"prefix": "/b", "path": "/c"}),
    );
    breaks(both, &["rewrite.path"]);
    for bad in ["", "a b", "a:0", "a:x", "http://a"] {
        breaks(json!({"rewrite": {"host": bad}}), &["rewrite.host"]);
    }
    let answer = json!({"action": {"answer": {"status": 200}}, "rewrite": {"path": "/b"}});
    breaks(answer, &["rewrite"]);
}

#[test]
fn nobody_changes_what_frames_a_message() {
    for name in [
        "Host",
        "connection",
        "Content-Length",
        "TRANSFER-ENCODING",
        "Upgrade",
        "TE",
        "Trailer",
        "Keep-Alive",
        "Expect",
        "HTTP2-Settings",
        "Max-Forwards",
        "Roundhouse-Reason",
        "Content_Length",
        "X_Forwarded-For",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Request-Id",
        "Date",
    ] {
        for part in ["request_headers", "response_headers"] {
            breaks(
                json!({part: {"remove": [name]}}),
                &[&format!("{part}.remove.{name}")],
            );
            breaks(
                json!({part: {"set": {name: "x"}}}),
                &[&format!("{part}.set.{name}")],
            );
            let add = json!({part: {"add": [{"name": name, "value": "x"}]}});
            breaks(add, &[&format!("{part}.add.{name}")]);
        }
    }
    for value in ["a\r\nb", "a\nb", "a\0", " a", "a\t", "\x7f"] {
        breaks(
            json!({"request_headers": {"set": {"A": value}}}),
            &["request_headers.set.A"],
        );
    }
    breaks(
        json!({"request_headers": {"set": {"A b": "x"}}}),
        &["request_headers.set.A b"],
    );
    breaks(
        json!({"request_headers": {"set": {"A": "x", "a": "y"}}}),
        &["request_headers.set"],
    );
}

#[test]
fn times_are_bounded_as_those_of_a_pool_are() {
    for (name, value) in [
        ("connect", "2h"),
        ("per_try", "0s"),
        ("response", "25h"),
        ("idle", "0s"),
    ] {
        breaks(
            json!({"timeouts": {name: value}}),
            &[&format!("timeouts.{name}")],
        );
    }
    breaks(json!({"retry": {"retries": 11}}), &["retry.retries"]);
    breaks(
        json!({"hsts": {"max_age": "1day", "preload": true}}),
        &["hsts.preload"],
    );
}

#[test]
fn fields_that_are_not_known_are_told_with_their_paths() {
    let settings = json!({
        "match": {"x": 1, "headers": [{"name": "h", "x": 1}], "query": [{"name": "q", "x": 1}]},
        "action": {"split": {"pools": [{"pool": "a", "weight": 1, "x": 1}], "x": 1}},
        "rewrite": {"x": 1},
        "request_headers": {"x": 1},
        "response_headers": {"x": 1},
        "hsts": {"max_age": "1s", "x": 1},
        "timeouts": {"x": 1},
        "retry": {"x": 1},
        "firewall": {"x": 1},
        "x": 1,
    });
    let mut found = broken(settings.clone());
    let mut route = settings;
    route["id"] = json!("r");
    let mut route: Route = serde_json::from_value(route).expect("a route");
    let parts = route.unknown_mut().into_iter();
    let name = |(part, _): (String, _)| match part.is_empty() {
        true => "x".to_owned(),
        false => format!("{part}.x"),
    };
    let mut expected: Vec<_> = parts.map(name).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

proptest! {
    #[test]
    fn an_exact_path_that_is_valid_is_what_such_a_request_is_matched_by(path in "/[a-c./%2eF]{0,8}") {
        let valid = broken(json!({"match": {"path": {"exact": path}}})).is_empty();
        let normal = NormalPath::of(path.as_bytes());
        prop_assert_eq!(valid, normal.is_ok_and(|it| it.matched() == path.as_bytes()));
    }

    #[test]
    fn no_value_that_is_valid_ends_a_line(value: String) {
        if broken(json!({"response_headers": {"set": {"A": value}}})).is_empty() {
            prop_assert!(!value.contains(['\r', '\n', '\0']));
        }
    }
}

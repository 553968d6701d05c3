use super::*;

fn considered(explanation: &Explanation) -> Vec<(String, String)> {
    let told = |one: &Considered| {
        let reason = one
            .outranked_by
            .map_or(one.unmet.join(" "), |part| format!("<{part}"));
        (one.route.to_string(), reason)
    };
    explanation.considered.iter().map(told).collect()
}

#[test]
fn each_route_that_came_near_is_told_with_what_was_in_its_way() {
    let routes = routes(&[
        claim(json!({"hosts": ["h"], "path": {"prefix": "/a"}})),
        claim(json!({"hosts": ["*.h"], "path": {"prefix": "/a"}})),
        claim(json!({"path": {"prefix": "/a"}})),
        claim(json!({"hosts": ["x", "y"], "path": {"exact": "/b"}})),
        claim(json!({"hosts": ["h"], "methods": ["POST"], "headers": [{"name": "X-Y"}]})),
        json!({"priority": 5, "match": {"hosts": ["h"], "path": {"exact": "/a/b"}}}),
        claim(json!({"hosts": ["h"]})),
    ]);
    let explanation = routes.explain(&ask("H:80", "/a/b"));
    assert_eq!(explanation.route, Some(id("f")));
    let told = considered(&explanation);
    let expected = [
        ("f", ""),
        ("a", "<priority"),
        ("e", "methods headers.x-y"),
        ("g", "<priority"),
        ("c", "<priority"),
        ("b", "hosts"),
    ];
    let expected = expected.map(|(route, reason)| (route.to_owned(), reason.to_owned()));
    assert_eq!(told, expected);
    assert_eq!(explanation.left_out, 0);
}

#[test]
fn what_one_route_comes_before_another_by_is_told() {
    let routes = routes(&[
        claim(json!({})),
        claim(json!({"hosts": ["h"]})),
        claim(json!({"hosts": ["h"], "path": {"prefix": "/"}})),
        claim(json!({"hosts": ["h"], "path": {"prefix": "/"}})),
    ]);
    let told = considered(&routes.explain(&ask("h", "/")));
    let expected = [("c", ""), ("d", "<age"), ("b", "<path"), ("a", "<hosts")];
    let expected = expected.map(|(route, reason)| (route.to_owned(), reason.to_owned()));
    assert_eq!(told, expected);
}

#[test]
fn the_pool_is_told_and_for_a_split_by_chance_all_that_may_be() {
    let pools = json!([{"pool": "default", "weight": 3}, {"pool": "b", "weight": 1}]);
    let split = |by: &str| json!({"action": {"split": {"by": by, "pools": pools}}});
    let mut fleet = fleet();
    let b: PoolId = "b".parse().expect("a name");
    let pool = Stamped::new(Revision(1), model::Pool::new(b.clone()));
    fleet.pools.insert(b, pool.into());
    put(&mut fleet, "a", &split("client"));
    let explain = |fleet: &Snapshot| {
        let routes = Routes::compile(fleet, &Routes::default());
        serde_json::to_value(routes.explain(&ask("h", "/"))).expect("JSON")
    };
    let told = explain(&fleet);
    assert_eq!(told["pools"].as_array().map(Vec::len), Some(1));
    put(&mut fleet, "a", &split("request"));
    let expected = json!([{"pool": "default", "share": 0.75}, {"pool": "b", "share": 0.25}]);
    assert_eq!(explain(&fleet)["pools"], expected);
    let denied =
        json!({"action": {"answer": {"status": 200}}, "firewall": {"deny": ["10.0.0.0/8"]}});
    put(&mut fleet, "a", &denied);
    let told = explain(&fleet);
    assert_eq!(
        (&told["pools"], &told["is_let_in"]),
        (&json!([]), &json!(false))
    );
    fleet.routes.clear();
    let told = explain(&fleet);
    assert_eq!(told["pools"], json!([{"pool": "default", "share": 1.0}]));
    assert_eq!(told["route"], json!(null));
}

#[test]
fn no_more_routes_are_told_than_somebody_reads_and_those_for_other_paths_last() {
    let mut fleet = fleet();
    for number in 0..130 {
        let claim = claim(json!({"hosts": ["h"], "path": {"prefix": format!("/p{number}")}}));
        put(&mut fleet, &format!("r{number}"), &claim);
    }
    put(&mut fleet, "all", &json!({"priority": -1}));
    let posts = claim(json!({"methods": ["POST"]}));
    put(&mut fleet, "posts", &posts);
    let routes = Routes::compile(&fleet, &Routes::default());
    let explanation = routes.explain(&ask("h", "/"));
    let told = considered(&explanation);
    let first = [("posts", "methods"), ("all", ""), ("r0", "path")];
    let first = first.map(|(route, reason)| (route.to_owned(), reason.to_owned()));
    assert_eq!(told[..3], first);
    assert_eq!((told.len(), explanation.left_out), (20, 112));
}

#[test]
fn the_route_that_takes_the_request_is_told_behind_however_many() {
    let mut fleet = fleet();
    let closer = claim(json!({"path": {"prefix": "/n"}, "headers": [{"name": "x"}]}));
    for number in 0..25 {
        put(&mut fleet, &format!("r{number}"), &closer);
    }
    put(
        &mut fleet,
        "taker",
        &claim(json!({"path": {"prefix": "/n"}})),
    );
    let explanation = Routes::compile(&fleet, &Routes::default()).explain(&ask("h", "/n"));
    let told = considered(&explanation);
    assert_eq!(told.last(), Some(&("taker".to_owned(), String::new())));
    assert_eq!((told.len(), explanation.left_out), (21, 5));
}

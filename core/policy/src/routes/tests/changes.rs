use super::*;

fn is_same(one: &Routes, other: &Routes, name: &str) -> bool {
    let (one, other) = (one.get(&id(name)), other.get(&id(name)));
    one.zip(other)
        .is_some_and(|(one, other)| Arc::ptr_eq(one, other))
}

fn put_list(fleet: &mut Snapshot, networks: &[&str]) {
    let list = json!({"id": "bad", "networks": networks});
    let list: model::NetworkList = serde_json::from_value(list).expect("a list");
    let id = list.id.clone();
    fleet
        .networks
        .insert(id, Stamped::new(Revision(1), list).into());
}

fn reasons(routes: &Routes) -> Vec<String> {
    routes.faults().iter().map(ToString::to_string).collect()
}

#[test]
fn routes_are_taken_over_whole_where_nothing_changed_that_they_are_made_of() {
    let mut fleet = fleet();
    put(&mut fleet, "a", &json!({}));
    let first = Routes::compile(&fleet, &Routes::default());
    let mut pool = model::Pool::new(PoolId::standard());
    pool.max_body_bytes = 5;
    fleet
        .pools
        .insert(PoolId::standard(), Stamped::new(Revision(9), pool).into());
    let second = Routes::compile(&fleet, &first);
    assert!(Arc::ptr_eq(&first.0, &second.0));
    put(&mut fleet, "b", &json!({"priority": 1}));
    let third = Routes::compile(&fleet, &second);
    assert!(is_same(&second, &third, "a"));
    assert_eq!(at(&third, "", "/"), "b");
    fleet.routes.remove(&id("b"));
    assert_eq!(at(&Routes::compile(&fleet, &third), "", "/"), "a");
}

#[test]
fn a_route_keeps_its_slot_and_one_that_is_free_is_taken_first() {
    let mut fleet = fleet();
    put(&mut fleet, "a", &json!({}));
    put(&mut fleet, "b", &json!({}));
    let first = Routes::compile(&fleet, &Routes::default());
    fleet.routes.remove(&id("a"));
    put(&mut fleet, "b", &json!({"priority": 1}));
    put(&mut fleet, "c", &json!({}));
    put(&mut fleet, "d", &json!({}));
    let second = Routes::compile(&fleet, &first);
    let slots = |routes: &Routes| {
        let all = routes
            .iter()
            .map(|route| (route.id().to_string(), route.slot()));
        all.collect::<Vec<_>>()
    };
    let named = |all: &[(&str, u32)]| {
        let all = all.iter().map(|(name, place)| ((*name).to_owned(), *place));
        all.collect::<Vec<_>>()
    };
    assert_eq!(slots(&first), named(&[("a", 0), ("b", 1)]));
    assert_eq!(slots(&second), named(&[("b", 1), ("c", 0), ("d", 2)]));
}

#[test]
fn a_list_that_changes_changes_the_routes_that_name_it_alone() {
    let mut fleet = fleet();
    put(&mut fleet, "a", &json!({}));
    put(
        &mut fleet,
        "b",
        &json!({"priority": 1, "firewall": {"deny": ["bad"]}}),
    );
    put_list(&mut fleet, &["10.0.0.0/8"]);
    let first = Routes::compile(&fleet, &Routes::default());
    put_list(&mut fleet, &["11.0.0.0/8"]);
    let second = Routes::compile(&fleet, &first);
    assert!(is_same(&first, &second, "a") && !is_same(&first, &second, "b"));
    let client = IpAddr::from([10, 0, 0, 1]);
    let lets_in = |routes: &Routes| {
        let route = routes.find(&ask("", "/")).expect("a route");
        route.lets_in(client)
    };
    assert_eq!((lets_in(&first), lets_in(&second)), (false, true));
}

#[test]
fn a_list_that_goes_keeps_out_whom_it_kept_out_and_is_a_fault() {
    let mut fleet = fleet();
    put(&mut fleet, "a", &json!({"firewall": {"deny": ["bad"]}}));
    put_list(&mut fleet, &["10.0.0.0/8"]);
    let first = Routes::compile(&fleet, &Routes::default());
    fleet.networks.clear();
    let second = Routes::compile(&fleet, &first);
    let route = second.get(&id("a")).expect("a route");
    assert!(!route.lets_in(IpAddr::from([10, 0, 0, 1])));
    assert_eq!(
        reasons(&second),
        [r#"routes "a": there is no list of networks "bad""#]
    );
    put_list(&mut fleet, &["10.0.0.0/8"]);
    assert_eq!(Routes::compile(&fleet, &second).faults(), []);
}

#[test]
fn a_route_whose_pool_is_not_there_claims_its_requests_and_is_a_fault() {
    let mut fleet = fleet();
    put(&mut fleet, "a", &json!({"action": {"pool": "none"}}));
    let routes = Routes::compile(&fleet, &Routes::default());
    assert_eq!(at(&routes, "", "/"), "a");
    assert_eq!(reasons(&routes), [r#"routes "a": there is no pool "none""#]);
    let none: PoolId = "none".parse().expect("a name");
    let pool = Stamped::new(Revision(9), model::Pool::new(none.clone()));
    fleet.pools.insert(none, pool.into());
    assert_eq!(Routes::compile(&fleet, &routes).faults(), []);
}

#[test]
fn of_a_route_that_breaks_a_rule_the_last_good_one_stays() {
    let mut fleet = fleet();
    put(&mut fleet, "a", &claim(json!({"path": {"exact": "/a"}})));
    let first = Routes::compile(&fleet, &Routes::default());
    put(
        &mut fleet,
        "a",
        &claim(json!({"path": {"exact": "/a/../b"}})),
    );
    put(
        &mut fleet,
        "b",
        &claim(json!({"path": {"exact": "no slash"}})),
    );
    let second = Routes::compile(&fleet, &first);
    assert_eq!(at(&second, "", "/a"), "a");
    assert!(second.get(&id("b")).is_none());
    let reasons = reasons(&second);
    assert!(
        reasons[0].starts_with(r#"routes "a": match.path.exact: "#),
        "{reasons:?}"
    );
    assert!(
        reasons[1].starts_with(r#"routes "b": match.path.exact: "#),
        "{reasons:?}"
    );
}

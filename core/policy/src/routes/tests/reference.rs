//! What a tree finds is what evaluating every route finds.

use std::cmp::Reverse;

use model::{Claim, PathClaim};
use proptest::prelude::*;

use super::*;

/// How a claim on a host holds: the larger the more specific.
fn host(claim: &Claim, host: &str) -> Option<(u8, usize)> {
    let hosts = claim.hosts.iter().map(|name| name.to_lowercase());
    let fits = |name: String| match name.strip_prefix('*') {
        Some(tail) => (host.ends_with(tail) && host.len() > tail.len()).then_some((1, tail.len())),
        None => (name == host).then_some((2, 0)),
    };
    match claim.hosts.is_empty() {
        true => Some((0, 0)),
        false => hosts.filter_map(fits).max(),
    }
}

/// The same of a path, as a word of which the greater is the more specific.
fn path(claim: &Claim, path: &str) -> Option<String> {
    let spelt = |text: &str| "d".repeat(text.matches('/').count());
    match claim.path.as_ref() {
        None => Some(String::new()),
        Some(PathClaim::Exact(text)) => (text == path).then(|| spelt(text) + "e"),
        Some(PathClaim::Prefix(text)) => {
            let text = text.trim_end_matches('/');
            let below = format!("{text}/");
            (text == path || path.starts_with(&below)).then(|| spelt(text) + "a")
        }
        Some(PathClaim::Pattern(text)) => pattern(text, path),
    }
}

fn pattern(pattern: &str, path: &str) -> Option<String> {
    let mut texts = path.split('/').skip(1);
    let mut word = String::new();
    for part in pattern.split('/').skip(1) {
        if part.starts_with("{*") {
            let rest: Vec<_> = texts.collect();
            let is_something = rest.first().is_some_and(|text| !text.is_empty());
            return is_something.then(|| word + "b");
        }
        let text = texts.next()?;
        match part.starts_with('{') {
            true if !text.is_empty() => word.push('c'),
            false if part == text => word.push('d'),
            _ => return None,
        }
    }
    texts.next().is_none().then(|| word + "e")
}

fn naive(fleet: &Snapshot, question: &Question<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let claims = fleet.routes.values().filter_map(|route| {
        let claim = &route.value.claim;
        let host = host(claim, &text(question.host))?;
        let path = path(claim, &text(question.path))?;
        let has_method = claim.methods.is_empty() || claim.methods.contains(&text(question.method));
        let has_fields = claim.headers.iter().all(|condition| {
            let name = condition.name.to_lowercase();
            question.headers.any(name.as_bytes(), &mut |_| true)
        });
        let holds = |network: &ipnet::IpNet| network.contains(&question.client);
        let is_within = claim.networks.is_empty() || claim.networks.iter().any(holds);
        let network = claim
            .networks
            .iter()
            .map(|network| network.prefix_len() + 1)
            .min();
        let key = (
            route.value.priority,
            host,
            path,
            !claim.methods.is_empty(),
            claim.headers.len(),
            network.unwrap_or(0),
            Reverse(route.age()),
        );
        (has_method && has_fields && is_within).then(|| (key, route.value.id.to_string()))
    });
    claims.max().map_or("-".into(), |(_, id)| id)
}

fn segments() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("ab")];
    proptest::collection::vec(segment, 0..4)
        .prop_map(|all| all.iter().map(|one| format!("/{one}")).collect())
}

fn path_claims() -> impl Strategy<Value = Value> {
    let root = |path: String| {
        if path.is_empty() {
            "/".to_owned()
        } else {
            path
        }
    };
    let part = prop_oneof![Just("/a"), Just("/b"), Just("/{x}")];
    let parts = proptest::collection::vec(part, 1..4);
    let pattern = (parts, any::<bool>()).prop_map(|(parts, is_open)| {
        let named = parts
            .iter()
            .enumerate()
            .map(|(place, part)| part.replace('x', &format!("x{place}")));
        named.collect::<String>() + if is_open { "/{*rest}" } else { "" }
    });
    prop_oneof![
        Just(json!(null)),
        segments().prop_map(move |path| json!({"exact": root(path)})),
        segments().prop_map(|path| json!({"exact": format!("{path}/")})),
        segments().prop_map(move |path| json!({"prefix": root(path)})),
        pattern.prop_map(|pattern| json!({"pattern": pattern})),
    ]
}

fn hosts() -> impl Strategy<Value = Vec<&'static str>> {
    let host = prop::sample::select(vec!["h", "A.h", "b.a.h", "*.h", "*.a.h", "*.b.a.h"]);
    proptest::collection::btree_set(host, 0..3).prop_map(|hosts| hosts.into_iter().collect())
}

fn some_routes() -> impl Strategy<Value = Value> {
    let method = prop::option::weighted(0.2, prop_oneof![Just("GET"), Just("POST")]);
    let header = prop::option::weighted(0.2, prop_oneof![Just("x-a"), Just("x-b")]);
    let network = prop::option::weighted(
        0.2,
        prop_oneof![Just("10.0.0.0/8"), Just("10.1.0.0/16"), Just("::/0")],
    );
    (-1_i32..2, hosts(), path_claims(), method, header, network).prop_map(
        |(priority, hosts, path, method, header, network)| {
            let priority = if priority == 1 { 1 } else { 0 };
            let headers = header.map(|name| json!({"name": name}));
            let claim = json!({
                "hosts": hosts,
                "path": path,
                "methods": method.into_iter().collect::<Vec<_>>(),
                "headers": headers.into_iter().collect::<Vec<_>>(),
                "networks": network.into_iter().collect::<Vec<_>>(),
            });
            json!({"priority": priority, "match": claim})
        },
    )
}

fn questions() -> impl Strategy<Value = (&'static str, String, &'static str, bool, [u8; 4])> {
    let host = prop::sample::select(vec!["h", "a.h", "b.a.h", "c.b.a.h", "x.h", "other", ""]);
    let slash = prop::sample::select(vec!["", "/"]);
    let path = (segments(), slash).prop_map(|(path, slash)| match path.is_empty() {
        true => "/".to_owned(),
        false => path + slash,
    });
    let method = prop::sample::select(vec!["GET", "POST", "PUT"]);
    let client = prop::sample::select(vec![[10, 0, 0, 1], [10, 1, 0, 1], [192, 0, 2, 1]]);
    (host, path, method, any::<bool>(), client)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_is_found_is_what_evaluating_every_route_finds(
        settings in proptest::collection::vec(some_routes(), 0..40),
        questions in proptest::collection::vec(questions(), 20),
    ) {
        let mut fleet = fleet();
        for (number, settings) in settings.iter().enumerate() {
            put(&mut fleet, &format!("r{number}"), settings);
        }
        let routes = Routes::compile(&fleet, &Routes::default());
        prop_assert_eq!(routes.faults(), []);
        let fields: [(&[u8], &[u8]); 1] = [(b"X-A", b"1")];
        for (host, path, method, has_field, client) in &questions {
            let question = Question {
                method: method.as_bytes(),
                client: (*client).into(),
                headers: if *has_field { &fields } else { &NO_FIELDS },
                ..ask(host, path)
            };
            let expected = naive(&fleet, &question);
            prop_assert_eq!(found(&routes, &question), expected.clone(), "{:?}", question);
            let explained = routes.explain(&question);
            prop_assert_eq!(explained.route.map_or("-".into(), |id| id.to_string()), expected);
        }
    }
}

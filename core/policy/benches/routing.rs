//! What finding a request's route costs, with few routes and with many, and what it costs to make them ready; what a path's normal form
//! costs; and what a client's address costs where a firewall has a hundred thousand networks.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use model::{
    Epoch, NormalPath, Pool, PoolId, Position, Revision, RevisionId, RouteId, Scheme, Snapshot,
    Stamped,
};
use policy::{Question, Routes};
use serde_json::{Value, json};

const SIZES: [u32; 2] = [10, 10_000];

const NETWORKS: u32 = 100_000;

fn fleet() -> Snapshot {
    let mut snapshot = Snapshot::empty(Position {
        epoch: Epoch::random(),
        revision: Revision(1),
        id: RevisionId::random(),
    });
    let pool = Stamped::new(Revision(1), Pool::new(PoolId::standard()));
    snapshot.pools.insert(PoolId::standard(), pool.into());
    snapshot
}

fn put(snapshot: &mut Snapshot, id: &str, settings: Value) {
    let mut route = json!({"id": id, "action": {"pool": "default"}});
    let Value::Object(settings) = settings else {
        panic!("settings are an object");
    };
    for (name, value) in settings {
        route[name] = value;
    }
    let route: model::Route = serde_json::from_value(route).expect("a route");
    let created = Revision(snapshot.routes.len() as u64 + 2);
    let id: RouteId = route.id.clone();
    let route = Arc::new(Stamped::new(created, route));
    snapshot.routes.insert(id, route);
}

/// Each a way to tell routes apart, with what asks for one in the midst.
fn fleets(size: u32) -> Vec<(&'static str, Snapshot, String, String)> {
    let half = size / 2;
    let mut hosts = fleet();
    let mut prefixes = fleet();
    let mut patterns = fleet();
    let mut mixed = fleet();
    for number in 0..size {
        let id = format!("r{number}");
        let host = format!("h{number}.example.org");
        let path = json!({"prefix": format!("/team-{number}/api")});
        let pattern = json!({"pattern": format!("/v1/kind-{number}/{{id}}/parts/{{part}}")});
        put(&mut hosts, &id, json!({"match": {"hosts": [host]}}));
        put(&mut prefixes, &id, json!({"match": {"path": path}}));
        put(&mut patterns, &id, json!({"match": {"path": pattern}}));
        let claim = match number % 4 {
            0 => json!({"hosts": [format!("*.h{number}.org")], "path": path}),
            1 => json!({"hosts": ["example.org"], "path": pattern, "methods": ["GET"]}),
            2 => json!({"path": path, "headers": [{"name": "x-beta"}]}),
            _ => json!({"hosts": ["example.org"], "path": path}),
        };
        put(&mut mixed, &id, json!({"match": claim}));
    }
    put(
        &mut mixed,
        "all",
        json!({"match": {"path": {"prefix": "/"}}}),
    );
    let third = half / 4 * 4 + 3;
    vec![
        (
            "hosts",
            hosts,
            format!("h{half}.example.org"),
            "/index.html".into(),
        ),
        (
            "prefixes",
            prefixes,
            "example.org".into(),
            format!("/team-{half}/api/users/17"),
        ),
        (
            "patterns",
            patterns,
            "example.org".into(),
            format!("/v1/kind-{half}/17/parts/4"),
        ),
        (
            "mixed",
            mixed,
            "example.org".into(),
            format!("/team-{third}/api/users/17"),
        ),
    ]
}

fn finding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    for size in SIZES {
        for (name, snapshot, host, path) in fleets(size) {
            let routes = Routes::compile(&snapshot, &Routes::default());
            let no_fields: [(&[u8], &[u8]); 0] = [];
            let question = Question {
                host: host.as_bytes(),
                path: path.as_bytes(),
                query: b"",
                method: b"GET",
                scheme: Scheme::Http,
                client: [10, 0, 0, 1].into(),
                headers: &no_fields,
            };
            assert!(routes.find(&question).is_some(), "{name}");
            group.bench_function(format!("{name}, {size}"), |bencher| {
                bencher.iter(|| routes.find(black_box(&question)).is_some());
            });
        }
    }
    group.finish();
}

fn compiling(criterion: &mut Criterion) {
    let (_, snapshot, ..) = fleets(10_000).pop().expect("a fleet");
    let routes = Routes::compile(&snapshot, &Routes::default());
    let mut changed = snapshot.clone();
    put(&mut changed, "r5", json!({"priority": 1}));
    let mut group = criterion.benchmark_group("compile 10,000 routes");
    group.bench_function("from nothing", |bencher| {
        bencher.iter(|| Routes::compile(&snapshot, &Routes::default()));
    });
    group.bench_function("one has changed", |bencher| {
        bencher.iter(|| Routes::compile(&changed, &routes));
    });
    group.bench_function("none has changed", |bencher| {
        bencher.iter(|| Routes::compile(&snapshot, &routes));
    });
    group.finish();
}

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("normal form");
    for path in [
        "/",
        "/api/v1/users/1234/photos",
        "/.well-known/acme-challenge/x",
        "/a%20b/c",
        "/a/../b/%61",
    ] {
        group.bench_function(path, |bencher| {
            bencher.iter(|| NormalPath::of(black_box(path.as_bytes())).is_ok());
        });
    }
    group.finish();
}

fn firewalls(criterion: &mut Criterion) {
    let mut snapshot = fleet();
    // An odd factor makes each of these another network.
    let v4 = |number: u32| Ipv4Addr::from(number.wrapping_mul(0x9e37_79b1) & 0xffff_ff00);
    let v6 = |number: u32| Ipv6Addr::from(u128::from(number.wrapping_mul(0x9e37_79b1)) << 80);
    let networks = (0..NETWORKS).map(|number| match number % 2 {
        0 => format!("{}/24", v4(number)),
        _ => format!("{}/48", v6(number)),
    });
    let networks: Vec<_> = networks.collect();
    let list = json!({"id": "bad", "networks": networks});
    let list: model::NetworkList = serde_json::from_value(list).expect("a list");
    let id = list.id.clone();
    let list = Arc::new(Stamped::new(Revision(1), list));
    snapshot.networks.insert(id, list);
    put(&mut snapshot, "r", json!({"firewall": {"deny": ["bad"]}}));
    let routes = Routes::compile(&snapshot, &Routes::default());
    let id = "r".parse().expect("a name");
    let route = routes.get(&id).expect("a route");
    let mut group = criterion.benchmark_group("100,000 networks");
    let mut number = 0_u32;
    let mut next = move || {
        number = number.wrapping_add(12_345);
        number
    };
    group.bench_function("an IPv4 address", |bencher| {
        bencher.iter(|| route.lets_in(IpAddr::V4(v4(next()))));
    });
    group.bench_function("an IPv6 address", |bencher| {
        bencher.iter(|| route.lets_in(IpAddr::V6(v6(next()))));
    });
    group.bench_function("compile", |bencher| {
        bencher.iter(|| Routes::compile(&snapshot, &Routes::default()));
    });
    group.finish();
}

criterion_group!(benches, finding, compiling, paths, firewalls);
criterion_main!(benches);

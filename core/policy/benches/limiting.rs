//! What a limit costs a request: its key, and the check of a lease, with few keys and with many.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use model::{Epoch, LimitId, Position, Revision, RevisionId, Snapshot, Stamped};
use policy::{Counted, Ledger, Limit, Table};

const NO_FIELDS: [(&[u8], &[u8]); 0] = [];

fn limit() -> Arc<Limit> {
    let mut snapshot = Snapshot::empty(Position {
        epoch: Epoch::random(),
        revision: Revision(1),
        id: RevisionId::random(),
    });
    let id: LimitId = "api".parse().expect("a name");
    let limit = r#"{"id": "api", "by": ["client"], "requests": 1000000}"#;
    let limit: model::Limit = serde_json::from_str(limit).expect("a limit");
    let limit = Stamped::new(Revision(1), limit);
    snapshot.limits.insert(id.clone(), limit.into());
    let table = Table::compile(&snapshot, &Table::default(), 0, Duration::ZERO);
    Arc::clone(table.limit(&id).expect("it is there"))
}

fn client(number: u32) -> Counted<'static> {
    Counted {
        client: IpAddr::V4(Ipv4Addr::from(number)),
        route: None,
        host: b"example.org",
        headers: &NO_FIELDS,
    }
}

fn limiting(criterion: &mut Criterion) {
    let limit = limit();
    let mut group = criterion.benchmark_group("limits");
    for keys in [1_u32, 1_000, 1_000_000] {
        let ledger = Arc::new(Ledger::default());
        let mut parts = Vec::new();
        let mut turn = 0_u32;
        let mut micros = 0;
        group.bench_function(format!("{keys} keys"), |bencher| {
            bencher.iter(|| {
                turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                micros += 1;
                let key = limit.key(&client(turn % keys), &mut parts);
                black_box(ledger.check(&limit, key, Duration::from_micros(micros)))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, limiting);
criterion_main!(benches);

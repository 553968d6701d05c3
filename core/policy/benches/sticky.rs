//! What a sticky session costs a request: a cookie that is read, the pick of the server that it names, beside one without a cookie, and
//! what the server is called in the answer's. No request makes a code: that is done when a table is compiled, and measured there.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use model::{
    CheckKind, Epoch, Pool, PoolId, Position, Revision, RevisionId, Secret, SecretId, SecretKey,
    Server, Snapshot, Stamped, StickyKind,
};
use policy::{Ask, Stick, Table, Token, Tried};
use rand::SeedableRng;
use rand::rngs::SmallRng;

const SIZES: [usize; 2] = [10, 10_000];

/// As long as a token, and none.
const FOREIGN: &[u8] = b"AAAAAAAAAAAAAAAAAAAAAA";

fn snapshot(kind: StickyKind, servers: usize) -> Snapshot {
    let mut snapshot = Snapshot::empty(Position {
        epoch: Epoch::random(),
        revision: Revision(1),
        id: RevisionId::random(),
    });
    let mut pool = Pool::new(PoolId::standard());
    pool.health.kind = CheckKind::None;
    pool.sticky.kind = kind;
    let pool = Arc::new(Stamped::new(Revision(1), pool));
    snapshot.pools.insert(PoolId::standard(), pool);
    let secret = Secret::new(SecretId::sticky(), SecretKey::new([1; 32]));
    let secret = Arc::new(Stamped::new(Revision(1), secret));
    snapshot.secrets.insert(SecretId::sticky(), secret);
    for index in 0..servers {
        let address = format!("10.1.{}.{}:80", index / 256, index % 256);
        let id = format!("server-{index}").parse().expect("a name");
        let address = address.parse().expect("an address");
        let server = Server::new(PoolId::standard(), id, address);
        let server = Arc::new(Stamped::new(Revision(index as u64 + 2), server));
        snapshot.servers.insert(server.value.key(), server);
    }
    snapshot
}

fn compile(snapshot: &Snapshot) -> Table {
    Table::compile(snapshot, &Table::default(), 7, Duration::ZERO)
}

/// What the clients of each server bring.
fn tokens(table: &Table) -> Vec<Token> {
    let pool = table.route().expect("the pool");
    let cookies = pool.cookies().expect("cookies");
    let servers = pool.servers().iter();
    let token = |live| cookies.token_of(live).expect("a token");
    servers.map(|server| token(server.live())).collect()
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sticky");
    for size in SIZES {
        let table = compile(&snapshot(StickyKind::Cookie, size));
        let pool = table.route().expect("the pool");
        let cookies = pool.cookies().expect("cookies");
        let tokens = tokens(&table);
        let mut turn = 0;
        group.bench_function(format!("a cookie is read, {size} servers"), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % size;
                black_box(cookies.read(black_box(tokens[turn].as_bytes())))
            });
        });
        group.bench_function(format!("a foreign one, {size} servers"), |bencher| {
            bencher.iter(|| black_box(cookies.read(black_box(FOREIGN))));
        });
        group.bench_function(format!("a server's token, {size} servers"), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % size;
                black_box(cookies.token_of(pool.servers()[turn].live()))
            });
        });
    }
    group.finish();
}

fn picking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sticky picks");
    for size in SIZES {
        let table = compile(&snapshot(StickyKind::Cookie, size));
        let pool = table.route().expect("the pool");
        let mut sticks: Vec<_> = tokens(&table).into_iter().map(Stick::Token).collect();
        for name in ["by its cookie", "without one"] {
            let mut chance = SmallRng::seed_from_u64(1);
            let mut turn = 0;
            group.bench_function(format!("{name}, {size} servers"), |bencher| {
                bencher.iter(|| {
                    turn = (turn + 1) % size;
                    let ask = Ask {
                        tried: &Tried::default(),
                        hash: turn as u64,
                        stick: sticks[turn],
                        now: Duration::from_secs(1),
                    };
                    drop(black_box(pool.pick(&ask, &mut chance)));
                });
            });
            sticks.fill(Stick::Loose);
        }
    }
    group.finish();
}

fn compiling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sticky tables");
    for (name, kind) in [
        ("with cookies", StickyKind::Cookie),
        ("without", StickyKind::None),
    ] {
        let snapshot = snapshot(kind, 1_000);
        group.bench_function(format!("{name}, 1,000 new servers"), |bencher| {
            bencher.iter(|| black_box(compile(&snapshot)));
        });
    }
    group.finish();
}

criterion_group!(benches, reading, picking, compiling);
criterion_main!(benches);

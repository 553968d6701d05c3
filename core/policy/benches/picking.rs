//! What picking a server costs: each algorithm at 10 and at 10,000 servers, on one thread and on two, with flights that begin and end. And
//! what a change of membership costs: to compile a table, to take it over, and the longest that a request waits for it meanwhile.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Bencher, Criterion, criterion_group, criterion_main};
use model::{
    Algorithm, CheckKind, Epoch, Pool, PoolId, Position, Revision, RevisionId, Server, Snapshot,
    Stamped,
};
use policy::{Ask, InFlight, Outcome, Stick, Table, Tried, hash_key};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Requests that each thread has in flight.
const IN_FLIGHT: usize = 64;

const SIZES: [usize; 2] = [10, 10_000];

/// The algorithms by name, and whether servers differ in weight.
const CASES: [(&str, Algorithm, bool); 8] = [
    ("round_robin", Algorithm::RoundRobin, false),
    ("round_robin, weighted", Algorithm::RoundRobin, true),
    ("random, weighted", Algorithm::Random, true),
    ("p2c", Algorithm::P2c, false),
    ("hash", Algorithm::Hash, false),
    ("hash, weighted", Algorithm::Hash, true),
    ("least_connections", Algorithm::LeastConnections, false),
    (
        "least_connections, weighted",
        Algorithm::LeastConnections,
        true,
    ),
];

fn snapshot(algorithm: Algorithm, weighted: bool, servers: usize) -> Snapshot {
    let mut snapshot = Snapshot::empty(Position {
        epoch: Epoch::random(),
        revision: Revision(1),
        id: RevisionId::random(),
    });
    let mut pool = Pool::new(PoolId::standard());
    pool.algorithm = algorithm;
    pool.health.kind = CheckKind::None;
    let pool = Arc::new(Stamped::new(Revision(1), pool));
    snapshot.pools.insert(PoolId::standard(), pool);
    for index in 0..servers {
        put(&mut snapshot, weighted, index);
    }
    snapshot
}

fn put(snapshot: &mut Snapshot, weighted: bool, index: usize) {
    let address = format!("10.1.{}.{}:80", index / 256, index % 256);
    let id = format!("server-{index}").parse().expect("a name");
    let address = address.parse().expect("an address");
    let mut server = Server::new(PoolId::standard(), id, address);
    if weighted {
        server.weight = [1, 2, 5][index % 3];
    }
    let server = Stamped::new(Revision(index as u64 + 2), server);
    snapshot
        .servers
        .insert(server.value.key(), Arc::new(server));
}

fn compile(snapshot: &Snapshot, previous: &Table) -> Table {
    Table::compile(snapshot, previous, 7, Duration::ZERO)
}

/// One thread that picks: its requests in flight, the oldest of which ends when the next one begins.
struct Client<'a> {
    table: &'a Table,
    chance: SmallRng,
    flights: VecDeque<InFlight>,
    now: Duration,
}

impl<'a> Client<'a> {
    fn new(table: &'a Table, seed: u64) -> Self {
        let mut client = Self {
            table,
            chance: SmallRng::seed_from_u64(seed),
            flights: VecDeque::with_capacity(IN_FLIGHT + 1),
            now: Duration::ZERO,
        };
        for _ in 0..IN_FLIGHT {
            client.begin();
        }
        client
    }

    fn begin(&mut self) {
        self.now += Duration::from_micros(10);
        let ask = Ask {
            tried: &Tried::default(),
            hash: hash_key(&self.chance.next_u64().to_le_bytes()),
            stick: Stick::Loose,
            now: self.now,
        };
        let pool = self.table.route().expect("the pool");
        let flight = pool.pick(&ask, &mut self.chance);
        self.flights.extend(flight);
    }

    fn step(&mut self) {
        self.begin();
        let ended = self.flights.pop_front().expect("one in flight");
        if ended.is_timed() {
            let outcome = Outcome::Answered { at: self.now };
            ended.took(Duration::from_micros(300), self.now, outcome);
        }
        drop(black_box(ended));
    }

    fn fail(&mut self) {
        self.begin();
        let failed = self.flights.pop_front();
        failed.expect("one in flight").note(Outcome::GatewayError);
    }
}

/// The time that each of two threads takes.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures time, and no decision depends on it"
)]
fn on_two_threads(bencher: &mut Bencher<'_>, table: &Table) {
    bencher.iter_custom(|steps| {
        let thread = |seed: u64| {
            let mut client = Client::new(table, seed);
            let started = Instant::now();
            for _ in 0..steps {
                client.step();
            }
            started.elapsed()
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| thread(1));
            thread(2).max(other.join().expect("a thread"))
        })
    });
}

fn picking(criterion: &mut Criterion) {
    for (name, algorithm, weighted) in CASES {
        let mut group = criterion.benchmark_group(name);
        for servers in SIZES {
            let table = compile(&snapshot(algorithm, weighted, servers), &Table::default());
            group.bench_function(format!("{servers} servers, 1 thread"), |bencher| {
                let mut client = Client::new(&table, 1);
                bencher.iter(|| client.step());
            });
            group.bench_function(format!("{servers} servers, 2 threads"), |bencher| {
                on_two_threads(bencher, &table);
            });
        }
        group.finish();
    }
}

fn changing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one of 10000 servers changes");
    group.sample_size(10);
    for (name, algorithm, weighted) in CASES {
        let before = snapshot(algorithm, weighted, 10_000);
        let mut after = before.clone();
        put(&mut after, weighted, 10_000);
        let table = compile(&before, &Table::default());
        group.bench_function(format!("compile, {name}"), |bencher| {
            bencher.iter_with_large_drop(|| compile(&after, &table));
        });
    }
    let snapshot = snapshot(Algorithm::RoundRobin, false, 10_000);
    let tables = [0, 1].map(|_| Arc::new(compile(&snapshot, &Table::default())));
    group.bench_function("take over, the older table kept elsewhere", |bencher| {
        let mut own = Arc::clone(&tables[0]);
        let mut turn = 0;
        bencher.iter(|| {
            turn ^= 1;
            own = Arc::clone(&tables[turn]);
            black_box(&own);
        });
    });
    group.bench_function("free the older table", |bencher| {
        let compiled = || compile(&snapshot, &Table::default());
        bencher.iter_batched(compiled, drop, BatchSize::PerIteration);
    });
    group.finish();
}

/// The longest of all steps that a thread makes one after another while this happens; of how many times, their sum.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures time, and no decision depends on it"
)]
fn longest_step_during(
    times: u64,
    mut happens: impl FnMut(),
    mut step: impl FnMut() + Send,
) -> Duration {
    let (ready, over) = (Barrier::new(2), AtomicBool::new(false));
    let mut longest = || {
        let mut longest = Duration::ZERO;
        ready.wait();
        while longest.is_zero() || !over.load(Ordering::Relaxed) {
            let started = Instant::now();
            step();
            longest = longest.max(started.elapsed());
        }
        longest
    };
    (0..times)
        .map(|_| {
            over.store(false, Ordering::Relaxed);
            std::thread::scope(|scope| {
                let stepping = scope.spawn(&mut longest);
                ready.wait();
                happens();
                over.store(true, Ordering::Relaxed);
                stepping.join().expect("a thread")
            })
        })
        .sum()
}

/// A pool of 10,000 servers and one more that comes, where every failure breaks a rule, though none may be ejected for it.
fn growing(algorithm: Algorithm) -> (Snapshot, Table) {
    let mut snapshot = snapshot(algorithm, false, 10_000);
    let pool = snapshot.pools.get_mut(&PoolId::standard());
    let outlier = &mut Arc::make_mut(pool.expect("the pool")).value.outlier;
    outlier.gateway_failures = 1;
    outlier.ejected_share = 0.0;
    let table = compile(&snapshot, &Table::default());
    put(&mut snapshot, false, 10_000);
    (snapshot, table)
}

fn waiting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("10000 servers, the longest");
    group.sample_size(10);
    let (after, table) = growing(Algorithm::LeastConnections);
    group.bench_function("pick during a compilation", |bencher| {
        let mut client = Client::new(&table, 1);
        let compiles = || drop(black_box(compile(&after, &table)));
        bencher.iter_custom(|times| longest_step_during(times, compiles, || client.step()));
    });
    group.bench_function("pick while loads are taken in", |bencher| {
        let mut client = Client::new(&table, 1);
        let reranks = || table.pools().for_each(|pool| pool.rerank());
        bencher.iter_custom(|times| longest_step_during(times, reranks, || client.step()));
    });
    let (after, table) = growing(Algorithm::RoundRobin);
    group.bench_function("failure during a compilation", |bencher| {
        let mut client = Client::new(&table, 1);
        let compiles = || drop(black_box(compile(&after, &table)));
        bencher.iter_custom(|times| longest_step_during(times, compiles, || client.fail()));
    });
    group.bench_function("failure while servers are compared", |bencher| {
        let mut client = Client::new(&table, 1);
        let mut now = Duration::ZERO;
        let mut compares = || {
            now += Duration::from_secs(10);
            for pool in table.pools() {
                black_box(pool.admission().ejections().settle(now, || 0.5));
            }
        };
        bencher.iter_custom(|times| longest_step_during(times, &mut compares, || client.fail()));
    });
    group.finish();
}

criterion_group!(benches, picking, changing, waiting);
criterion_main!(benches);

//! The scripts and the store are one: random operations on both give the same answers and leave the same state.
//!
//! A failure prints the seed, with which `ROUNDHOUSE_SEED` repeats it, and the shortest sequence that fails.

use std::str::FromStr;
use std::time::Duration;

use model::{
    Action, Author, Certificate, Change, Collection, Epoch, Health, HoldDecision, InstanceId,
    Limit, Listener, NetworkList, Pool, Revision, RevisionId, Route, Ruling, SealedKey, Term,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use registry::testing::RedisServer;
use registry::{Commit, CommitError, Committed, Leadership, Registry, Store, Unseen};
use uuid::Uuid;

use crate::fixture::{LONG, connect, first_snapshot, pool_id, report, server, server_key, verdict};

const CASES: u32 = 80;
const LENGTH: usize = 60;
/// The store's time: it stands still, as leases here never run out.
const NOW: Duration = Duration::from_secs(1_700_000_000);

/// An operation on small sets of names, so that operations meet.
#[derive(Debug, Clone)]
enum Operation {
    Commit(Box<Draft>),
    Seed,
    Acquire(u8),
    Renew(u8, Near),
    Release(u8, Near),
    Report(u8),
    Forget(u8),
    Register(u8),
    Unregister(u8),
    Tamper(Collection, u8, Option<&'static str>),
}

/// A commit, in terms of what the registry holds when it is made.
#[derive(Debug, Clone)]
struct Draft {
    /// Who leads and writes, or an operator.
    leader: Option<(u8, Near)>,
    /// Who has to lead, whoever writes, and whether in this epoch.
    fence: Option<(u8, Near, bool)>,
    changes: Vec<Edit>,
    expected: Option<Near>,
    epoch: Option<bool>,
    /// The idempotency key, and the request that it comes with: any, or one of two.
    key: Option<(u8, u8)>,
    /// Send the commit before under its own id again.
    id: u8,
    /// Whether its author decided on the present state, or on the first one, and doubts it; or says nothing of that.
    over: Option<(bool, bool)>,
}

#[derive(Debug, Clone)]
enum Edit {
    PutServer(u8, u8, u16, u16),
    RemoveServer(u8, u8),
    PutPool(u8, u32),
    RemovePool(u8),
    Verdict(u8, Near, bool),
    RemoveVerdict(u8),
    Rule(u8, u8),
    Unrule(u8),
    Route(u8, Option<i32>),
    Listener(u8, bool),
    Networks(u8, Option<usize>),
    Certificate(u8, Option<usize>),
    Limit(u8, Option<u32>),
}

/// A number at or near the present one.
#[derive(Debug, Clone, Copy)]
enum Near {
    Present,
    Before,
    After,
}

impl Near {
    fn to(self, number: u64) -> u64 {
        match self {
            Self::Present => number,
            Self::Before => number.saturating_sub(1),
            Self::After => number + 1,
        }
    }
}

fn near() -> impl Strategy<Value = Near> {
    prop_oneof![6 => Just(Near::Present), 1 => Just(Near::Before), 1 => Just(Near::After)]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        6 => (0..2_u8, 0..4_u8, 1..4_u16, 0..2_u16).prop_map(|(pool, id, port, weight)| Edit::PutServer(pool, id, port, weight)),
        3 => (0..2_u8, 0..4_u8).prop_map(|(pool, id)| Edit::RemoveServer(pool, id)),
        2 => (0..2_u8, 0..3_u32).prop_map(|(pool, retries)| Edit::PutPool(pool, retries)),
        1 => (0..2_u8).prop_map(Edit::RemovePool),
        6 => (0..4_u8, near(), any::<bool>()).prop_map(|(id, near, up)| Edit::Verdict(id, near, up)),
        1 => (0..4_u8).prop_map(Edit::RemoveVerdict),
        1 => (0..2_u8, 0..3_u8).prop_map(|(pool, revision)| Edit::Rule(pool, revision)),
        1 => (0..2_u8).prop_map(Edit::Unrule),
        2 => (0..2_u8, prop::option::weighted(0.7, 0..3_i32)).prop_map(|(name, priority)| Edit::Route(name, priority)),
        1 => (0..2_u8, any::<bool>()).prop_map(|(name, is_there)| Edit::Listener(name, is_there)),
        1 => (0..2_u8, prop::option::weighted(0.7, 0..3_usize)).prop_map(|(name, length)| Edit::Networks(name, length)),
        1 => (0..2_u8, prop::option::weighted(0.7, 0..3_usize)).prop_map(|(name, length)| Edit::Certificate(name, length)),
        1 => (0..2_u8, prop::option::weighted(0.7, 0..3_u32)).prop_map(|(name, requests)| Edit::Limit(name, requests)),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    (
        prop::option::weighted(0.3, (0..2_u8, near())),
        prop::option::weighted(0.3, (0..2_u8, near(), prop::bool::weighted(0.95))),
        prop::collection::vec(edit(), 0..5),
        prop::option::weighted(0.2, near()),
        prop::option::weighted(0.7, prop::bool::weighted(0.95)),
        prop::option::weighted(0.2, (0..3_u8, 0..3_u8)),
        prop_oneof![9 => any::<u8>(), 1 => 0..4_u8],
        prop::option::weighted(0.3, (prop::bool::weighted(0.8), prop::bool::weighted(0.2))),
    )
        .prop_map(
            |(leader, fence, changes, expected, epoch, key, id, over)| Draft {
                leader,
                fence,
                changes,
                expected,
                epoch,
                key,
                id,
                over,
            },
        )
}

/// What other hands may leave behind, from rubbish to what looks right.
const BY_HAND: [&str; 6] = [
    "rubbish",
    "",
    "[]",
    r#"{"value":{"address":"10.0.0.1:1"}}"#,
    r#"{"revision":"1","created":1,"ordinal":0,"incarnation":1,"value":{}}"#,
    r#" {"revision":1,"created":1,"ordinal":0,"incarnation":1,"value":{"pool":"default","id":"s0","address":"10.0.0.1:1"}} "#,
];

fn operation() -> impl Strategy<Value = Operation> {
    let by_hand = prop::option::of(prop::sample::select(BY_HAND.as_slice()));
    let collection = prop::sample::select(Collection::ALL.as_slice());
    prop_oneof![
        20 => draft().prop_map(|draft| Operation::Commit(Box::new(draft))),
        1 => Just(Operation::Seed),
        2 => (0..2_u8).prop_map(Operation::Acquire),
        1 => (0..2_u8, near()).prop_map(|(instance, near)| Operation::Renew(instance, near)),
        1 => (0..2_u8, near()).prop_map(|(instance, near)| Operation::Release(instance, near)),
        1 => (0..3_u8).prop_map(Operation::Report),
        1 => (0..3_u8).prop_map(Operation::Forget),
        2 => (0..4_u8).prop_map(Operation::Register),
        1 => (0..4_u8).prop_map(Operation::Unregister),
        1 => (collection, 0..4_u8, by_hand).prop_map(|(collection, key, text)| Operation::Tamper(collection, key, text)),
    ]
}

fn instance(number: u8) -> InstanceId {
    InstanceId(Uuid::from_u128(u128::from(number) + 1))
}

fn pool(number: u8) -> model::PoolId {
    pool_id(["default", "default-2"][usize::from(number)])
}

/// Of whatever is named by one name, as `tamper` names it.
fn named<T: FromStr<Err: std::fmt::Debug>>(number: u8) -> T {
    pool(number).as_str().parse().expect("a name")
}

/// The store and the real Redis, side by side.
struct Pair<'a> {
    store: Store,
    redis: &'a dyn Registry,
    server: &'a RedisServer,
    /// Whether other hands were at it.
    tampered: bool,
}

impl Pair<'_> {
    async fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Commit(draft) => self.commit(draft).await,
            Operation::Seed => self.seed().await,
            Operation::Acquire(number) => {
                let instance = instance(*number);
                let expected = self.store.acquire(instance, LONG, NOW);
                assert_eq!(self.redis.acquire(instance, LONG).await, Ok(expected));
            }
            Operation::Renew(number, near) => {
                let (instance, term) = (instance(*number), self.term(*near));
                let expected = self.store.renew(instance, term, LONG, NOW);
                assert_eq!(self.redis.renew(instance, term, LONG).await, Ok(expected));
            }
            Operation::Release(number, near) => {
                let (instance, term) = (instance(*number), self.term(*near));
                self.store.release(instance, term);
                assert_eq!(self.redis.release(instance, term).await, Ok(()));
            }
            Operation::Tamper(collection, number, text) => self.tamper(*collection, *number, *text),
            _ => self.say(operation).await,
        }
    }

    async fn say(&mut self, operation: &Operation) {
        match operation {
            Operation::Report(number) => {
                let report = report(instance(*number));
                self.store.report(&report, NOW);
                self.redis.report(&report, true).await.expect("an answer");
            }
            Operation::Forget(number) => {
                let known = self.store.forget(instance(*number));
                assert_eq!(self.redis.forget(instance(*number)).await, Ok(known));
            }
            Operation::Register(number) => {
                let key = server_key(&format!("s{number}"));
                self.store.renew_registration(&key, LONG, NOW);
                assert_eq!(self.redis.renew_registration(&key, LONG).await, Ok(()));
            }
            Operation::Unregister(number) => {
                let key = server_key(&format!("s{number}"));
                self.store.remove_registration(&key);
                assert_eq!(self.redis.remove_registration(&key).await, Ok(()));
            }
            other => unreachable!("{other:?} says nothing"),
        }
    }

    async fn seed(&mut self) {
        let snapshot = first_snapshot();
        let seeded = self.store.seed(&snapshot).is_some();
        assert_eq!(self.redis.seed(&snapshot).await, Ok(seeded));
    }

    async fn commit(&mut self, draft: &Draft) {
        let mut commit = self.make(draft);
        let Err(CommitError::Unseen { elements }) = self.try_to(&commit).await else {
            return;
        };
        for Unseen {
            collection,
            key,
            stored,
        } in elements
        {
            let seen = commit.seen.entry((collection, key)).or_default();
            seen.correct(&stored);
        }
        // Now what is there is seen.
        let _ = self.try_to(&commit).await;
    }

    async fn try_to(&mut self, commit: &Commit) -> Result<Committed, CommitError> {
        let answer = self.store.commit(commit, NOW);
        let expected = answer.map(|(committed, _)| committed);
        assert_eq!(self.redis.commit(commit.clone()).await, expected);
        expected
    }

    fn make(&self, draft: &Draft) -> Commit {
        let author = match draft.leader {
            Some((number, near)) => Author::Leader {
                instance: instance(number),
                term: self.term(near),
            },
            None => Author::Operator { name: "x".into() },
        };
        let head = self.store.head();
        let desired = head.map_or(0, |head| head.desired.0);
        let changes = draft.changes.iter().map(|edit| self.change(edit));
        let commit = Commit::new(author, changes.collect());
        let present = || Some(self.store.snapshot()?.snapshot);
        let state = |is_present| match is_present {
            true => present().unwrap_or_else(first_snapshot),
            false => first_snapshot(),
        };
        let commit = match draft.over {
            Some((is_present, doubts)) => commit.over(&state(is_present)).doubting(|_| doubts),
            None => commit,
        };
        Commit {
            id: RevisionId(Uuid::from_u128(u128::from(draft.id) + 1)),
            epoch: draft.epoch.map(|right| self.epoch(right)),
            leadership: draft.fence.map(|(number, near, right)| Leadership {
                instance: instance(number),
                epoch: self.epoch(right),
                term: self.term(near),
            }),
            expected: draft.expected.map(|near| Revision(near.to(desired))),
            idempotency_key: draft.key.map(|(key, _)| format!("key {key}")),
            fingerprint: match draft.key {
                None | Some((_, 0)) => String::new(),
                Some((_, request)) => format!("request {request}"),
            },
            reason: "why \"not\"".into(),
            ..commit
        }
    }

    fn change(&self, edit: &Edit) -> Change {
        match *edit {
            Edit::PutServer(number, id, port, weight) => {
                let mut server = server(&format!("s{id}"), port);
                server.pool = pool(number);
                server.weight = weight;
                Change::put_server(server)
            }
            Edit::RemoveServer(number, id) => {
                let id = server_key(&format!("s{id}")).server;
                Change::Server(model::ServerKey::new(pool(number), id), None)
            }
            Edit::PutPool(number, retries) => {
                let mut pool = Pool::new(pool(number));
                pool.retry.retries = retries;
                Change::put_pool(pool)
            }
            Edit::RemovePool(number) => Change::Pool(pool(number), None),
            Edit::Verdict(id, near, up) => {
                let health = if up { Health::Up } else { Health::Down };
                let id = format!("s{id}");
                verdict(&id, Revision(near.to(self.incarnation(&id))), health)
            }
            Edit::RemoveVerdict(id) => Change::Verdict(server_key(&format!("s{id}")), None),
            Edit::Rule(number, revision) => {
                let ruling = Ruling {
                    epoch: Epoch(Uuid::nil()),
                    revision: Revision(revision.into()),
                    decision: HoldDecision::Reject,
                    unknown: model::Unknown::default(),
                };
                Change::Ruling(pool(number), Some(ruling))
            }
            Edit::Unrule(number) => Change::Ruling(pool(number), None),
            Edit::Route(number, priority) => {
                let to = |priority| Route {
                    priority,
                    ..Route::new(named(number), Action::Pool(pool(0)))
                };
                Change::Route(named(number), priority.map(to).map(Box::new))
            }
            Edit::Listener(number, is_there) => {
                let listener = is_there.then(|| Listener::new(named(number)));
                Change::Listener(named(number), listener)
            }
            Edit::Networks(number, length) => {
                let network = "2001:db8::/32".parse().expect("a network");
                let list = |length| NetworkList::new(named(number), vec![network; length]);
                Change::Networks(named(number), length.map(list))
            }
            Edit::Certificate(number, length) => {
                let certificate = |length| {
                    let chain = "-----BEGIN CERTIFICATE-----\n".repeat(length + 1);
                    let key = SealedKey::new("0".repeat(32), "AAAA".into());
                    Box::new(Certificate::new(named(number), chain, key))
                };
                Change::Certificate(named(number), length.map(certificate))
            }
            Edit::Limit(number, requests) => {
                let of = |requests| Limit {
                    requests,
                    ..Limit::new(named(number))
                };
                Change::Limit(named(number), requests.map(of))
            }
        }
    }

    fn incarnation(&self, id: &str) -> u64 {
        let read = self.store.snapshot();
        let server = read.and_then(|read| read.snapshot.servers.get(&server_key(id)).cloned());
        server.map_or(0, |server| server.incarnation.0)
    }

    fn epoch(&self, right: bool) -> Epoch {
        match self.store.head() {
            Some(head) if right => head.position.epoch,
            _ => Epoch(Uuid::nil()),
        }
    }

    fn term(&self, near: Near) -> Term {
        Term(near.to(self.store.head().map_or(0, |head| head.term.0)))
    }

    fn tamper(&mut self, collection: Collection, number: u8, text: Option<&str>) {
        let key = match collection {
            Collection::Servers | Collection::Health => format!("default/s{number}"),
            _ => pool(number % 2).to_string(),
        };
        self.store.tamper(collection, &key, text);
        self.tampered = true;
        let hash = format!("roundhouse:{{main}}:{collection}");
        match text {
            Some(text) => self.server.command(&["HSET", &hash, &key, text]),
            None => self.server.command(&["HDEL", &hash, &key]),
        };
    }

    /// Whatever can be read is the same, but for times.
    async fn compare(&self, start: model::Position) {
        assert_eq!(self.redis.head().await, Ok(self.store.head().cloned()));
        let snapshot = self.store.snapshot();
        let damaged = snapshot
            .as_ref()
            .is_some_and(|read| !read.damage.is_empty());
        assert!(self.tampered || !damaged, "commits alone do no damage");
        assert_eq!(self.redis.snapshot().await, Ok(snapshot));
        let mut log = self.redis.log_after(start).await.expect("the log");
        let mut expected = self.store.log_after(start);
        for delta in log.iter_mut().chain(&mut expected).flatten() {
            assert!(delta.time.take().is_some(), "{delta:?} says no time");
        }
        assert_eq!(log, expected);
        let mut history = self.redis.history(1000).await.expect("history");
        let mut expected = self.store.history(1000);
        for entry in history.iter_mut().chain(&mut expected) {
            entry.time = std::time::SystemTime::UNIX_EPOCH;
        }
        assert_eq!(history, expected);
        let instances = self.redis.instances().await.expect("instances");
        let reports: Vec<_> = instances
            .into_iter()
            .map(|instance| instance.report)
            .collect();
        let expected: Vec<_> = self
            .store
            .instances(NOW)
            .into_iter()
            .map(|instance| instance.report)
            .collect();
        assert_eq!(reports, expected);
        let registrations = self.redis.registrations().await.expect("registrations");
        let keys: Vec<_> = registrations
            .into_iter()
            .map(|registration| registration.key)
            .collect();
        let expected: Vec<_> = self
            .store
            .registrations(NOW)
            .into_iter()
            .map(|registration| registration.key)
            .collect();
        assert_eq!(keys, expected);
    }
}

async fn hold_together<'a>(
    server: &'a RedisServer,
    redis: &'a dyn Registry,
    operations: &[Operation],
) -> Pair<'a> {
    server.command(&["FLUSHALL"]);
    let mut pair = Pair {
        store: Store::default(),
        redis,
        server,
        tampered: false,
    };
    // The first operations may meet a registry without a head.
    let (before, after) = operations.split_at(operations.len().min(2));
    for operation in before {
        pair.run(operation).await;
    }
    pair.seed().await;
    let start = pair.store.head().expect("a head").position;
    for operation in after {
        pair.run(operation).await;
        pair.compare(start).await;
    }
    pair
}

#[test]
fn the_scripts_do_what_the_store_does() {
    let seed = match std::env::var("ROUNDHOUSE_SEED") {
        Ok(seed) => seed.parse().expect("a seed is a number"),
        Err(_) => rand::random(),
    };
    let config = Config {
        cases: CASES,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let server = RedisServer::start();
    let redis = connect(&server.url());
    let operations = prop::collection::vec(operation(), 1..LENGTH);
    let result = TestRunner::new(config).run(&operations, |operations| {
        runtime.block_on(hold_together(&server, redis.as_ref(), &operations));
        Ok(())
    });
    if let Err(error) = result {
        panic!("ROUNDHOUSE_SEED={seed}: {error}");
    }
}

/// A server as other hands may leave it: stamped, and without an address.
const NOWHERE: &str =
    r#"{"revision":2,"created":2,"ordinal":0,"incarnation":2,"value":{"address":""}}"#;

/// A commit of the orchestrator that leads.
fn led(edit: Edit, id: u8) -> Operation {
    Operation::Commit(Box::new(Draft {
        leader: Some((0, Near::Present)),
        fence: None,
        changes: vec![edit],
        expected: None,
        epoch: Some(true),
        key: None,
        id,
        over: None,
    }))
}

#[tokio::test]
async fn both_remove_the_verdict_on_a_removed_server_that_has_no_address() {
    let server = RedisServer::start();
    let redis = connect(&server.url());
    let operations = [
        Operation::Seed,
        Operation::Acquire(0),
        led(Edit::PutServer(0, 0, 1, 1), 0),
        led(Edit::Verdict(0, Near::Present, false), 1),
        Operation::Tamper(Collection::Servers, 0, Some(NOWHERE)),
        led(Edit::RemoveServer(0, 0), 2),
    ];
    let pair = hold_together(&server, redis.as_ref(), &operations).await;
    let read = pair.store.snapshot().expect("a fleet");
    assert!(read.snapshot.health.is_empty(), "{read:?}");
}

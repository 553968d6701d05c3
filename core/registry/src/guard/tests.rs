//! The guard over histories that take servers away.

use model::{
    Change, Entry, Epoch, Health, HoldDecision, Pool, RevisionId, Ruling, Server, Stamped, Verdict,
};
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;

fn pool_id(name: &str) -> PoolId {
    name.parse().expect("a name")
}

fn key(text: &str) -> ServerKey {
    text.parse().expect("a key")
}

fn operator() -> Author {
    Author::Operator {
        name: "test".into(),
    }
}

fn source() -> Author {
    Author::Source { name: "dns".into() }
}

/// The registry's state and a guard that follows it.
struct Bench {
    truth: Arc<Snapshot>,
    guard: Guard,
    witness: Arc<Successes>,
}

#[derive(Debug, Default)]
struct Successes(Mutex<BTreeMap<ServerKey, Duration>>);

impl Successes {
    /// From now on this server has answered so long ago.
    fn saw(&self, server: &str, ago: Duration) {
        self.0.lock().insert(key(server), ago);
    }
}

impl Witness for Successes {
    fn good_answers(
        &self,
        servers: &BTreeMap<ServerKey, Revision>,
    ) -> BTreeMap<ServerKey, Duration> {
        let known = self.0.lock().clone();
        known
            .into_iter()
            .filter(|(key, _)| servers.contains_key(key))
            .collect()
    }
}

impl Bench {
    /// Pools of so many servers each, all up.
    fn new(pools: &[(&str, usize)]) -> Self {
        let mut truth = Snapshot::empty(Position {
            epoch: Epoch::random(),
            revision: Revision(1),
            id: RevisionId::random(),
        });
        for (pool, servers) in pools {
            let id: PoolId = pool.parse().expect("a name");
            truth.pools.insert(id.clone(), stamped(Pool::new(id)));
            for index in 0..*servers {
                let key = key(&format!("{pool}/s{index}"));
                put_up(&mut truth, &key);
            }
        }
        let truth = Arc::new(truth);
        let witness = Arc::new(Successes::default());
        let mut guard = Guard::new(Some(Arc::clone(&witness) as Arc<dyn Witness>));
        guard.update(&truth, Cause::Snapshot(&[]));
        Self {
            truth,
            guard,
            witness,
        }
    }

    fn delta(&mut self, author: Author, changes: &[Change]) {
        let from = self.truth.position;
        let revision = from.revision.next();
        let entry = |change: &Change| Entry {
            collection: change.collection(),
            key: change.key(),
            value: change.value().map(|value| {
                serde_json::json!({"revision": revision, "created": 1, "incarnation": 1,
                    "value": value})
            }),
        };
        let delta = Delta {
            epoch: from.epoch,
            revision,
            id: RevisionId::random(),
            previous: from.id,
            desired: revision,
            author,
            entries: changes.iter().map(entry).collect(),
            time: None,
        };
        self.guard.advance(&mut self.truth, &delta);
    }

    fn remove(&mut self, author: Author, keys: &[&str]) {
        let removals = keys.iter().map(|text| Change::Server(key(text), None));
        self.delta(author, &removals.collect::<Vec<_>>());
    }

    fn snapshot(&mut self, damage: &[Fault], change: impl FnOnce(&mut Snapshot)) {
        let mut next = Snapshot::clone(&self.truth);
        next.position.revision = next.position.revision.next();
        next.position.id = RevisionId::random();
        change(&mut next);
        self.truth = Arc::new(next);
        self.guard.update(&self.truth, Cause::Snapshot(damage));
    }

    fn rule(&mut self, pool: &str, decision: HoldDecision, position: Position) {
        let ruling = Ruling {
            epoch: position.epoch,
            revision: position.revision,
            decision,
            unknown: model::Unknown::default(),
        };
        let pool = pool.parse().expect("a name");
        self.delta(operator(), &[Change::Ruling(pool, Some(ruling))]);
    }

    fn verdict(&mut self, text: &str, health: Health) {
        self.verdict_after(text, health, 0);
    }

    fn verdict_after(&mut self, text: &str, health: Health, silent_ms: u64) {
        let verdict = Verdict {
            incarnation: Revision(1),
            health,
            reason: String::new(),
            silent_ms,
            unknown: model::Unknown::default(),
        };
        self.delta(source(), &[Change::Verdict(key(text), Some(verdict))]);
    }

    fn in_force(&self) -> &Snapshot {
        self.guard.in_force().expect("something is in force")
    }

    fn servers(&self, pool: &str) -> usize {
        self.in_force()
            .servers_of(&pool.parse().expect("a name"))
            .len()
    }

    /// Nothing is held, and the registry's own state is in force.
    fn assert_free(&self) {
        assert_eq!(self.guard.holds(), []);
        assert!(Arc::ptr_eq(self.guard.in_force().unwrap(), &self.truth));
    }
}

fn stamped<T>(value: T) -> Arc<Stamped<T>> {
    Arc::new(Stamped::new(Revision(1), value))
}

fn put_up(snapshot: &mut Snapshot, key: &ServerKey) {
    let address = "10.0.0.1:80".parse().expect("an address");
    let server = Server::new(key.pool.clone(), key.server.clone(), address);
    snapshot.servers.insert(key.clone(), stamped(server));
    let verdict = Verdict {
        incarnation: Revision(1),
        health: Health::Up,
        reason: String::new(),
        silent_ms: 0,
        unknown: model::Unknown::default(),
    };
    snapshot.health.insert(key.clone(), stamped(verdict));
}

fn damage(collection: Collection) -> Fault {
    Fault {
        collection,
        key: "*".into(),
        reason: "evicted".into(),
    }
}

#[test]
fn a_source_that_takes_most_servers_is_held_for_that_pool_alone() {
    let mut bench = Bench::new(&[("a", 3), ("b", 3)]);
    bench.remove(source(), &["a/s0", "a/s1", "b/s0"]);
    assert_eq!((bench.servers("a"), bench.servers("b")), (3, 2));
    assert_eq!(bench.in_force().position, bench.truth.position);
    assert_eq!(bench.in_force().health_of(&key("a/s0")), Health::Up);
    let holds = bench.guard.holds();
    assert_eq!(holds.len(), 1);
    assert_eq!(holds[0].servers, [key("a/s0"), key("a/s1")]);
    assert_eq!(holds[0].position, bench.truth.position);
}

#[test]
fn half_the_servers_or_a_single_one_may_go() {
    let mut bench = Bench::new(&[("a", 4), ("b", 1)]);
    bench.remove(source(), &["a/s0", "a/s1", "b/s0"]);
    assert_eq!((bench.servers("a"), bench.servers("b")), (2, 0));
    bench.assert_free();
}

#[test]
fn an_operator_may_take_them_all() {
    let mut bench = Bench::new(&[("a", 3)]);
    bench.remove(operator(), &["a/s0", "a/s1", "a/s2"]);
    assert_eq!(bench.servers("a"), 0);
    bench.assert_free();
}

#[test]
fn a_snapshot_has_no_author_and_is_guarded() {
    let mut bench = Bench::new(&[("a", 3)]);
    bench.snapshot(&[], |next| next.servers.clear());
    assert_eq!(bench.servers("a"), 3);
    assert_eq!(bench.guard.holds().len(), 1);
}

#[test]
fn a_pool_that_vanishes_with_its_servers_keeps_its_definition() {
    let mut bench = Bench::new(&[("a", 3), ("b", 2)]);
    bench.snapshot(&[], |next| {
        next.pools.remove(&pool_id("a"));
        let others = next
            .servers
            .iter()
            .filter(|(key, _)| key.pool != pool_id("a"));
        next.servers = others
            .map(|(key, server)| (key.clone(), Arc::clone(server)))
            .collect();
    });
    assert_eq!(bench.servers("a"), 3);
    assert!(bench.in_force().pools.contains_key(&pool_id("a")));
}

#[test]
fn a_pool_whose_definition_alone_vanishes_is_held_too() {
    let mut bench = Bench::new(&[("a", 2)]);
    bench.snapshot(&[], |next| next.pools.clear());
    assert!(bench.in_force().pools.contains_key(&pool_id("a")));
    assert_eq!(bench.guard.holds().len(), 1);
}

#[test]
fn a_damaged_collection_takes_not_even_a_single_server() {
    let mut bench = Bench::new(&[("a", 1)]);
    let fault = [damage(Collection::Servers)];
    bench.snapshot(&fault, |next| next.servers.clear());
    assert_eq!(bench.servers("a"), 1);
    bench.snapshot(&[], |_| {});
    assert_eq!(bench.servers("a"), 0, "it was no damage after all");
    bench.assert_free();
}

#[test]
fn a_source_that_removes_a_pool_is_held_with_all_its_servers() {
    let mut bench = Bench::new(&[("a", 2), ("ab", 2), ("b", 1)]);
    let pool = |name: &str| Change::Pool(pool_id(name), None);
    let last = Change::Server(key("b/s0"), None);
    bench.delta(source(), &[pool("a"), pool("b"), pool("none"), last]);
    assert!(bench.in_force().pools.contains_key(&pool_id("a")));
    let holds = bench.guard.holds();
    assert_eq!(holds.len(), 1, "{holds:?}");
    assert_eq!(holds[0].servers, [key("a/s0"), key("a/s1")]);
    assert_eq!((bench.servers("ab"), bench.servers("b")), (2, 0));
}

#[test]
fn a_server_that_a_delta_removes_and_was_never_there_takes_nothing_away() {
    let mut bench = Bench::new(&[("a", 2)]);
    bench.remove(source(), &["a/new", "a/newer", "b/s0"]);
    bench.assert_free();
}

#[test]
fn other_changes_of_a_held_pool_apply() {
    let mut bench = Bench::new(&[("a", 3)]);
    bench.remove(source(), &["a/s0", "a/s1", "a/s2"]);
    let address = "10.0.0.9:80".parse().expect("an address");
    let new = Server::new("a".parse().unwrap(), "new".parse().unwrap(), address);
    bench.delta(source(), &[Change::put_server(new)]);
    assert_eq!(bench.servers("a"), 4);
    bench.remove(operator(), &["a/new"]);
    assert_eq!(bench.servers("a"), 3);
}

#[test]
fn a_hold_ends_by_itself_where_the_servers_come_back() {
    let mut bench = Bench::new(&[("a", 3)]);
    let full = Snapshot::clone(&bench.truth);
    bench.remove(source(), &["a/s0", "a/s1", "a/s2"]);
    bench.snapshot(&[], |next| next.servers = full.servers.clone());
    assert_eq!(bench.servers("a"), 3);
    bench.assert_free();
}

#[test]
fn a_confirmation_lets_go_and_a_rejection_does_not() {
    let mut bench = Bench::new(&[("a", 3)]);
    bench.remove(source(), &["a/s0", "a/s1", "a/s2"]);
    let position = bench.guard.holds()[0].position;
    bench.rule("a", HoldDecision::Reject, position);
    assert_eq!(bench.servers("a"), 3);
    bench.rule("a", HoldDecision::Confirm, position);
    assert_eq!(bench.servers("a"), 0);
    bench.assert_free();
}

#[test]
fn a_rejection_that_puts_the_servers_back_ends_the_hold() {
    let mut bench = Bench::new(&[("a", 3)]);
    let before = Snapshot::clone(&bench.truth);
    bench.remove(source(), &["a/s0", "a/s1", "a/s2"]);
    let position = bench.guard.holds()[0].position;
    let ruling = Ruling {
        epoch: position.epoch,
        revision: position.revision,
        decision: HoldDecision::Reject,
        unknown: model::Unknown::default(),
    };
    let back = before.servers.values();
    let back = back.map(|server| Change::put_server(server.value.clone()));
    let ruling = Change::Ruling("a".parse().expect("a name"), Some(ruling));
    bench.delta(operator(), &back.chain([ruling]).collect::<Vec<_>>());
    assert_eq!(bench.servers("a"), 3);
    bench.assert_free();
    bench.remove(source(), &["a/s0", "a/s1", "a/s2"]);
    assert_eq!(bench.guard.holds().len(), 1, "whoever insists is held anew");
}

#[test]
fn a_confirmation_covers_nothing_that_came_after_it() {
    let mut bench = Bench::new(&[("a", 3)]);
    let old = bench.truth.position;
    bench.rule("a", HoldDecision::Confirm, old);
    bench.remove(source(), &["a/s0", "a/s1", "a/s2"]);
    assert_eq!(bench.servers("a"), 3);
    let mut other = bench.guard.holds()[0].position;
    other.epoch = Epoch::random();
    bench.rule("a", HoldDecision::Confirm, other);
    assert_eq!(bench.servers("a"), 3, "another epoch's ruling");
}

#[test]
fn an_operator_who_removes_a_held_pool_is_obeyed() {
    let mut bench = Bench::new(&[("a", 2)]);
    bench.remove(source(), &["a/s0", "a/s1"]);
    bench.delta(operator(), &[Change::Pool("a".parse().unwrap(), None)]);
    assert!(bench.in_force().pools.is_empty() && bench.in_force().servers.is_empty());
    bench.assert_free();
}

#[test]
fn a_new_epoch_does_not_end_a_hold_and_names_it_anew() {
    let mut bench = Bench::new(&[("a", 3)]);
    bench.remove(source(), &["a/s0", "a/s1"]);
    bench.snapshot(&[], |next| next.position.epoch = Epoch::random());
    let holds = bench.guard.holds();
    assert_eq!(holds[0].position.epoch, bench.truth.position.epoch);
    bench.rule("a", HoldDecision::Confirm, holds[0].position);
    assert_eq!(bench.servers("a"), 1);
}

#[test]
fn a_snapshot_that_moves_on_dates_a_hold_anew_and_a_confirmation_of_it_counts_still() {
    let mut bench = Bench::new(&[("web", 4)]);
    bench.remove(source(), &["web/s0", "web/s1", "web/s2"]);
    let began = bench.guard.holds()[0].position;
    bench.snapshot(&[], |_| {});
    let later = bench.guard.holds()[0].position;
    assert_eq!((began.revision, later), (Revision(2), bench.truth.position));
    bench.remove(source(), &[]);
    assert_eq!(bench.guard.holds()[0].position, later, "the log tells why");
    let ruling = Ruling {
        epoch: later.epoch,
        revision: later.revision,
        decision: HoldDecision::Confirm,
        unknown: model::Unknown::default(),
    };
    let pool: PoolId = "web".parse().expect("a name");
    bench.snapshot(&[], |next| {
        next.holds.insert(pool, stamped(ruling));
    });
    assert_eq!(bench.guard.holds(), []);
    assert_eq!(bench.servers("web"), 1);
}

#[test]
fn what_was_held_before_a_restart_is_held_after_it() {
    let mut bench = Bench::new(&[("a", 3)]);
    bench.remove(source(), &["a/s0", "a/s1"]);
    let mut guard = Guard::new(None);
    guard.restore(&bench.truth, bench.guard.in_force().cloned());
    assert_eq!(guard.holds(), bench.guard.holds());
    assert_eq!(guard.in_force(), bench.guard.in_force());
}

#[test]
fn a_storm_that_live_successes_contradict_is_held_as_it_was() {
    let mut bench = Bench::new(&[("a", 3)]);
    for server in ["a/s0", "a/s1"] {
        bench.witness.saw(server, Duration::ZERO);
        bench.verdict(server, Health::Down);
    }
    for server in ["a/s0", "a/s1"] {
        assert_eq!(bench.in_force().health_of(&key(server)), Health::Up);
    }
    assert_eq!(bench.guard.holds()[0].size(), 2);
    bench.verdict("a/s2", Health::Down);
    let health = bench.in_force().health_of(&key("a/s2"));
    assert_eq!(health, Health::Down, "nothing contradicts it");
}

#[test]
fn one_server_that_answers_while_probes_get_nothing_is_kept() {
    let mut bench = Bench::new(&[("a", 3), ("b", 1)]);
    for server in ["a/s0", "b/s0"] {
        bench.witness.saw(server, Duration::from_secs(3));
        bench.verdict_after(server, Health::Down, 4_000);
        assert_eq!(bench.in_force().health_of(&key(server)), Health::Up);
    }
    // As long as it still answers now and then.
    bench.witness.saw("a/s0", Duration::from_secs(9));
    bench.witness.saw("b/s0", Duration::from_secs(11));
    assert!(bench.guard.update(&bench.truth, Cause::Tick));
    assert_eq!(bench.in_force().health_of(&key("a/s0")), Health::Up);
    assert_eq!(bench.in_force().health_of(&key("b/s0")), Health::Down);
}

#[test]
fn where_all_may_be_withdrawn_the_inspector_is_always_believed() {
    let mut bench = Bench::new(&[("a", 1)]);
    let pools = &mut Arc::make_mut(&mut bench.truth).pools;
    let pool = Arc::make_mut(pools.get_mut(&pool_id("a")).expect("a pool"));
    pool.value.guard.withdrawal_share = 1.0;
    bench.witness.saw("a/s0", Duration::ZERO);
    bench.verdict_after("a/s0", Health::Down, 4_000);
    assert_eq!(bench.in_force().health_of(&key("a/s0")), Health::Down);
    bench.assert_free();
}

#[test]
fn a_server_that_last_answered_before_the_probes_failed_is_down() {
    let mut bench = Bench::new(&[("a", 3)]);
    bench.witness.saw("a/s0", Duration::from_secs(4));
    bench.verdict_after("a/s0", Health::Down, 4_000);
    assert_eq!(bench.in_force().health_of(&key("a/s0")), Health::Down);
    bench.assert_free();
}

#[test]
fn a_server_that_says_itself_that_it_is_unwell_is_down_though_it_answers() {
    let mut bench = Bench::new(&[("a", 3)]);
    bench.witness.saw("a/s0", Duration::ZERO);
    bench.verdict_after("a/s0", Health::Down, 0);
    assert_eq!(bench.in_force().health_of(&key("a/s0")), Health::Down);
    bench.assert_free();
}

#[test]
fn a_storm_without_a_witness_applies() {
    let mut bench = Bench::new(&[("a", 2)]);
    for server in ["a/s0", "a/s1"] {
        bench.verdict(server, Health::Down);
        assert_eq!(bench.in_force().health_of(&key(server)), Health::Down);
    }
    bench.assert_free();
}

#[test]
fn a_witness_that_changes_its_mind_lets_the_verdicts_through() {
    let mut bench = Bench::new(&[("a", 2)]);
    for server in ["a/s0", "a/s1"] {
        bench.witness.saw(server, Duration::ZERO);
        bench.verdict(server, Health::Down);
    }
    assert!(!bench.guard.update(&bench.truth, Cause::Tick));
    assert!(bench.guard.look_again().is_some());
    bench.witness.0.lock().clear();
    assert!(bench.guard.update(&bench.truth, Cause::Tick));
    assert_eq!(bench.in_force().health_of(&key("a/s0")), Health::Down);
    bench.assert_free();
}

#[test]
fn an_answer_that_is_recorded_after_the_verdicts_contradicts_them_as_one_before_does() {
    let servers = ["a/s0", "a/s1"];
    let new = || Bench::new(&[("a", 3), ("b", 1)]);
    let (mut before, mut after) = (new(), new());
    for server in servers {
        before.witness.saw(server, Duration::ZERO);
        before.verdict(server, Health::Down);
        after.verdict(server, Health::Down);
    }
    before.witness.saw("b/s0", Duration::ZERO);
    before.verdict_after("b/s0", Health::Down, 4_000);
    after.verdict_after("b/s0", Health::Down, 4_000);
    after.assert_free();
    for server in ["a/s0", "a/s1", "b/s0"] {
        after.witness.saw(server, Duration::ZERO);
    }
    let soon = Duration::from_millis(100);
    assert!(after.guard.look_again().is_some_and(|pause| pause <= soon));
    assert!(after.guard.update(&after.truth, Cause::Tick));
    assert_eq!(after.in_force().health_of(&key("b/s0")), Health::Up);
    let held = |bench: &Bench| bench.guard.holds().into_iter().map(|it| it.servers);
    assert!(held(&after).eq(held(&before)), "{:?}", after.guard.holds());
}

/// After what time each look at the verdicts comes, where none of them is ever contradicted.
fn looks(bench: &mut Bench) -> Vec<Duration> {
    let mut at = Duration::ZERO;
    let mut looks = Vec::new();
    while let Some(pause) = bench.guard.look_again() {
        at += pause;
        looks.push(at);
        assert!(!bench.guard.update(&bench.truth, Cause::Tick));
    }
    looks
}

#[test]
fn verdicts_are_judged_again_until_they_are_no_news() {
    let mut bench = Bench::new(&[("a", 2)]);
    assert_eq!(looks(&mut bench), []);
    bench.verdict("a/s0", Health::Down);
    let first = looks(&mut bench);
    let most = Duration::from_secs(10)..Duration::from_secs(11);
    assert!(
        first.last().is_some_and(|last| most.contains(last)),
        "{first:?}"
    );
    bench.verdict("a/s1", Health::Up);
    assert_eq!(looks(&mut bench), [], "it takes nothing away");
    bench.verdict("a/s0", Health::Down);
    assert_eq!(looks(&mut bench), first, "it is a new one");
    // One that comes meanwhile is looked at no later.
    bench.verdict("a/s1", Health::Down);
    bench.guard.update(&bench.truth, Cause::Tick);
    bench.verdict("a/s0", Health::Down);
    assert_eq!(looks(&mut bench), first);
}

#[test]
fn an_operator_confirms_a_contested_storm_for_good() {
    let mut bench = Bench::new(&[("a", 2)]);
    for server in ["a/s0", "a/s1"] {
        bench.witness.saw(server, Duration::ZERO);
        bench.verdict(server, Health::Down);
    }
    let position = bench.guard.holds()[0].position;
    bench.rule("a", HoldDecision::Confirm, position);
    assert_eq!(bench.in_force().health_of(&key("a/s1")), Health::Down);
    bench.guard.update(&bench.truth, Cause::Tick);
    assert_eq!(bench.in_force().health_of(&key("a/s1")), Health::Down);
}

#[test]
fn a_rejected_storm_is_not_believed_until_a_request_fails_and_alarms_nobody() {
    let mut bench = Bench::new(&[("a", 3)]);
    for server in ["a/s0", "a/s1"] {
        bench.witness.saw(server, Duration::ZERO);
        bench.verdict(server, Health::Down);
    }
    let position = bench.guard.holds()[0].position;
    bench.rule("a", HoldDecision::Reject, position);
    assert_eq!(bench.guard.holds(), []);
    // Nobody has asked anything of them for a long time.
    bench.witness.saw("a/s0", Duration::from_secs(3_600));
    bench.guard.update(&bench.truth, Cause::Tick);
    assert_eq!(bench.in_force().health_of(&key("a/s0")), Health::Up);
    bench.witness.0.lock().remove(&key("a/s0"));
    assert!(bench.guard.update(&bench.truth, Cause::Tick));
    assert_eq!(bench.in_force().health_of(&key("a/s0")), Health::Down);
    assert_eq!(bench.in_force().health_of(&key("a/s1")), Health::Up);
}

#[test]
fn a_verdict_that_came_after_a_rejection_is_held_anew() {
    let mut bench = Bench::new(&[("a", 3)]);
    for server in ["a/s0", "a/s1"] {
        bench.witness.saw(server, Duration::ZERO);
        bench.verdict(server, Health::Down);
    }
    let position = bench.guard.holds()[0].position;
    bench.rule("a", HoldDecision::Reject, position);
    bench.verdict("a/s0", Health::Up);
    bench.verdict("a/s0", Health::Down);
    assert_eq!(bench.in_force().health_of(&key("a/s0")), Health::Up);
    let holds = bench.guard.holds();
    assert_eq!(holds[0].servers, [key("a/s0")]);
    bench.rule("a", HoldDecision::Confirm, holds[0].position);
    for server in ["a/s0", "a/s1"] {
        assert_eq!(bench.in_force().health_of(&key(server)), Health::Down);
    }
}

/// One thing that can happen to a pool of six servers.
#[derive(Debug, Clone)]
enum Happening {
    Delta { operator: bool, gone: Vec<usize> },
    Snapshot { present: Vec<bool> },
    Rule(HoldDecision),
}

fn happening() -> impl Strategy<Value = Happening> {
    let gone = || proptest::collection::vec(0..6_usize, 1..5);
    prop_oneof![
        4 => (any::<bool>(), gone())
            .prop_map(|(operator, gone)| Happening::Delta { operator, gone }),
        4 => proptest::collection::vec(any::<bool>(), 6)
            .prop_map(|present| Happening::Snapshot { present }),
        1 => Just(Happening::Rule(HoldDecision::Confirm)),
        1 => Just(Happening::Rule(HoldDecision::Reject)),
    ]
}

proptest! {
    #[test]
    fn it_does_not_matter_whether_the_answers_or_the_verdicts_come_first(
        servers in proptest::collection::vec((any::<bool>(), 0..12_u64, 0..12_000_u64), 6),
        order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let outcome = |order: Vec<usize>| {
            let mut bench = Bench::new(&[("a", 6)]);
            for event in order {
                let (answers, ago, silent_ms) = servers[event % 6];
                let server = format!("a/s{}", event % 6);
                match event < 6 {
                    true if answers => bench.witness.saw(&server, Duration::from_secs(ago)),
                    true => {}
                    false => bench.verdict_after(&server, Health::Down, silent_ms),
                }
            }
            prop_assert!(bench.guard.look_again().is_some());
            bench.guard.update(&bench.truth, Cause::Tick);
            let health = |index: usize| bench.in_force().health_of(&key(&format!("a/s{index}")));
            let held = bench.guard.holds().into_iter().map(|it| it.servers);
            Ok(((0..6).map(health).collect::<Vec<_>>(), held.collect::<Vec<_>>()))
        };
        prop_assert_eq!(outcome(order)?, outcome((0..12).collect())?);
    }

    #[test]
    fn nothing_but_an_operator_takes_most_of_a_pool_at_once(
        happenings in proptest::collection::vec(happening(), 1..12),
    ) {
        let mut bench = Bench::new(&[("a", 6)]);
        let full = Snapshot::clone(&bench.truth);
        let key = |index: usize| key(&format!("a/s{index}"));
        for happening in happenings {
            let before = bench.servers("a");
            let guarded = match happening {
                Happening::Delta { operator: by_operator, gone } => {
                    let removals: Vec<_> =
                        gone.iter().map(|index| Change::Server(key(*index), None)).collect();
                    bench.delta(if by_operator { operator() } else { source() }, &removals);
                    !by_operator
                }
                Happening::Snapshot { present } => {
                    bench.snapshot(&[], |next| {
                        let there = (0..6).filter(|index| present[*index]).map(key);
                        next.servers = there.map(|own| (own.clone(), full.servers[&own].clone())).collect();
                    });
                    true
                }
                Happening::Rule(decision) => {
                    let position = bench.truth.position;
                    bench.rule("a", decision, position);
                    decision == HoldDecision::Reject
                }
            };
            let kept = bench.in_force().servers.keys().filter(|own| full.servers.contains_key(*own));
            let lost = before.saturating_sub(kept.count());
            prop_assert!(!guarded || !exceeds(0.5, lost, before), "{lost} of {before}");
            let held: Vec<_> = bench.guard.holds().into_iter().flat_map(|it| it.servers).collect();
            let truth = &bench.truth.servers;
            let beyond = bench.in_force().servers.keys().filter(|own| !truth.contains_key(*own));
            prop_assert_eq!(held, beyond.cloned().collect::<Vec<_>>());
            prop_assert!(truth.keys().all(|own| bench.in_force().servers.contains_key(own)));
            prop_assert_eq!(bench.in_force().position, bench.truth.position);
        }
    }
}

use model::{Elements, Health, Revision, ServerKey, ServerState, Stamped, Verdict};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::testing::snapshot;
use crate::{Ask, InFlight, Outcome, Stick, Tried, Unpicked};

fn stamped<T>(created: u64, incarnation: u64, value: T) -> Arc<Stamped<T>> {
    Arc::new(Stamped {
        incarnation: Revision(incarnation),
        ..Stamped::new(Revision(created), value)
    })
}

fn server(id: &str) -> model::Server {
    let address = "10.0.0.1:80".parse().expect("an address");
    model::Server::new(PoolId::standard(), id.parse().expect("a name"), address)
}

fn put(snapshot: &mut Snapshot, created: u64, incarnation: u64, server: model::Server) {
    snapshot
        .servers
        .insert(server.key(), stamped(created, incarnation, server));
}

fn judge(snapshot: &mut Snapshot, key: &str, incarnation: u64, health: Health) {
    let verdict = Verdict {
        incarnation: Revision(incarnation),
        health,
        reason: String::new(),
        silent_ms: 0,
        unknown: model::Unknown::default(),
    };
    let key = key.parse().expect("a key");
    snapshot.health.insert(key, stamped(9, 9, verdict));
}

/// The pool `default` with these servers, created in this order, all up.
fn fleet(ids: &[&str]) -> Snapshot {
    let mut snapshot = snapshot(model::Pool::new(PoolId::standard()));
    for (index, id) in ids.iter().enumerate() {
        let created = index as u64 + 2;
        put(&mut snapshot, created, created, server(id));
        judge(&mut snapshot, &format!("default/{id}"), created, Health::Up);
    }
    snapshot
}

fn compile(snapshot: &Snapshot, previous: &Table) -> Table {
    Table::compile(snapshot, previous, 0, Duration::ZERO)
}

fn pick(table: &Table) -> Option<InFlight> {
    pick_untried(table, &Tried::default()).ok()
}

fn pick_untried(table: &Table, tried: &Tried) -> Result<InFlight, Unpicked> {
    let ask = Ask {
        tried,
        hash: 0,
        stick: Stick::Loose,
        now: Duration::ZERO,
    };
    let pool = table.route().ok_or(Unpicked::Nothing)?;
    pool.pick(&ask, &mut SmallRng::seed_from_u64(1))
}

fn picks(table: &Table, count: usize) -> Vec<String> {
    let pick = |_| pick(table).map_or("-".into(), |taken| taken.server().key().server.to_string());
    (0..count).map(pick).collect()
}

#[test]
fn a_pool_of_which_nothing_else_is_said_is_taken_over_whole() {
    let mut snapshot = fleet(&["a"]);
    let other: PoolId = "other".parse().expect("a name");
    let definition = stamped(1, 1, model::Pool::new(other.clone()));
    snapshot.pools.insert(other.clone(), definition);
    let is_same = |before: &Table, after: &Table, pool: &PoolId| {
        let [before, after] = [before, after].map(|table| table.pool(pool).expect("a pool"));
        Arc::ptr_eq(before, after)
    };
    let mut table = compile(&snapshot, &Table::default());
    let mut next = |snapshot: &Snapshot| {
        let next = compile(snapshot, &table);
        let same = [PoolId::standard(), other.clone()].map(|pool| is_same(&table, &next, &pool));
        table = next;
        same
    };
    assert_eq!(next(&snapshot), [true, true]);
    put(&mut snapshot, 9, 9, server("b"));
    assert_eq!(next(&snapshot), [false, true]);
    judge(&mut snapshot, "default/b", 9, Health::Up);
    assert_eq!(next(&snapshot), [false, true]);
    judge(&mut snapshot, "default/b", 9, Health::Up);
    assert_eq!(next(&snapshot), [true, true], "the same, read anew");
    let mut definition = model::Pool::new(other.clone());
    definition.panic_threshold = 0.1;
    snapshot
        .pools
        .insert(other.clone(), stamped(1, 1, definition));
    assert_eq!(next(&snapshot), [true, false]);
}

#[test]
fn servers_take_turns_in_the_order_of_creation_and_verdicts_decide_who() {
    let mut snapshot = fleet(&["b", "a", "c"]);
    let table = compile(&snapshot, &Table::default());
    assert_eq!(picks(&table, 4), ["b", "a", "c", "b"]);
    judge(&mut snapshot, "default/a", 3, Health::Down);
    let table = compile(&snapshot, &table);
    assert_eq!(picks(&table, 3), ["c", "b", "c"]);
}

#[test]
fn the_unknown_are_picked_only_where_nothing_is_up() {
    let mut snapshot = fleet(&["a", "b"]);
    judge(&mut snapshot, "default/b", 3, Health::Unknown);
    let table = compile(&snapshot, &Table::default());
    assert_eq!(picks(&table, 2), ["a", "a"]);
    assert!(!table.has_first_verdicts());
    judge(&mut snapshot, "default/a", 2, Health::Down);
    let table = compile(&snapshot, &table);
    assert_eq!(picks(&table, 2), ["b", "b"]);
    judge(&mut snapshot, "default/b", 3, Health::Down);
    let table = compile(&snapshot, &table);
    assert_eq!(picks(&table, 1), ["-"]);
    assert!(table.has_first_verdicts());
}

#[test]
fn draining_disabled_and_weightless_servers_get_nothing_new() {
    let mut snapshot = fleet(&["a", "b", "c", "d"]);
    let change = |snapshot: &mut Snapshot, id, created, change: &dyn Fn(&mut model::Server)| {
        let mut server = server(id);
        change(&mut server);
        put(snapshot, created, created, server);
    };
    change(&mut snapshot, "a", 2, &|server| {
        server.state = ServerState::Draining;
    });
    change(&mut snapshot, "b", 3, &|server| {
        server.state = ServerState::Disabled;
    });
    change(&mut snapshot, "c", 4, &|server| server.weight = 0);
    let table = compile(&snapshot, &Table::default());
    assert_eq!(picks(&table, 2), ["d", "d"]);
    let leaving: Vec<_> = table
        .leaving(Duration::ZERO)
        .into_keys()
        .map(|key| key.server.to_string())
        .collect();
    assert_eq!(leaving, ["a", "b"]);
}

#[test]
fn what_goes_on_survives_a_change_and_a_new_address_inherits_nothing() {
    let mut snapshot = fleet(&["a"]);
    let first = compile(&snapshot, &Table::default());
    let taken = pick(&first).expect("a server");
    let other = model::Server {
        weight: 5,
        ..server("a")
    };
    put(&mut snapshot, 2, 2, other);
    let second = compile(&snapshot, &first);
    assert_eq!(second.servers().next().expect("a").live().in_flight(), 1);

    let mut moved = server("a");
    moved.address = "10.0.0.2:80".parse().expect("an address");
    put(&mut snapshot, 2, 7, moved);
    let third = compile(&snapshot, &second);
    assert_eq!(third.servers().next().expect("a").live().in_flight(), 0);
    let leaving = third.leaving(Duration::ZERO);
    let load = leaving[&"default/a".parse().expect("a key")];
    assert_eq!((load.incarnation, load.in_flight), (Revision(2), 1));
    drop(taken);
    assert_eq!(
        third
            .leaving(Duration::ZERO)
            .into_values()
            .next()
            .expect("a")
            .in_flight,
        0
    );
}

#[test]
fn a_removed_server_is_reported_until_it_is_forgotten() {
    let first = compile(&fleet(&["a", "b"]), &Table::default());
    let taken = pick(&first).expect("a");
    let snapshot = fleet(&[]);
    let second = compile(&snapshot, &first);
    assert_eq!(second.leaving(Duration::ZERO).len(), 2);
    let late = Table::compile(&snapshot, &second, 0, DEPARTED_FOR);
    assert_eq!(
        late.leaving(Duration::ZERO).len(),
        1,
        "one still has a request in flight"
    );
    drop(taken);
    let ended = Table::compile(&snapshot, &late, 0, 2 * DEPARTED_FOR);
    assert_eq!(
        ended.leaving(Duration::ZERO).len(),
        1,
        "it has only just ended"
    );
    let later = Table::compile(&snapshot, &ended, 0, 3 * DEPARTED_FOR);
    assert!(later.leaving(Duration::ZERO).is_empty());
}

#[test]
fn the_guard_counts_how_a_try_went() {
    let table = compile(&fleet(&["a"]), &Table::default());
    let live = Arc::clone(table.servers().next().expect("a").live());
    let second = Duration::from_secs(1);
    assert_eq!(live.since_good_answer(Duration::ZERO), None);
    let mut taken = pick(&table).expect("a");
    taken.note(Outcome::Answered { at: 5 * second });
    drop(taken);
    assert_eq!(live.since_good_answer(7 * second), Some(2 * second));
    let mut taken = pick(&table).expect("a");
    taken.note(Outcome::Failed);
    drop(taken);
    drop(pick(&table));
    assert_eq!(
        (live.answered(), live.failed(), live.in_flight()),
        (1, 1, 0)
    );
    let since = live.since_good_answer(6 * second);
    assert_eq!(since, None, "it failed since");
}

#[test]
fn a_retry_goes_to_a_server_that_was_not_tried() {
    let mut snapshot = fleet(&["a", "b"]);
    let heavy = model::Server {
        weight: 1000,
        ..server("a")
    };
    put(&mut snapshot, 2, 2, heavy);
    let table = compile(&snapshot, &Table::default());
    let pool = table.route().expect("the pool");
    let mut tried = Tried::default();
    let a = &pool.servers()[0];
    tried.add(a.live());
    assert!(pool.has_another(&tried));
    for _ in 0..10 {
        let taken = pick_untried(&table, &tried).expect("the other");
        assert_eq!(taken.server().key().server.as_str(), "b");
    }
    tried.add(pool.servers()[1].live());
    assert!(!pool.has_another(&tried));
    assert_eq!(pick_untried(&table, &tried).err(), Some(Unpicked::Nothing));
}

#[test]
fn connections_are_kept_to_servers_that_stay() {
    let mut snapshot = fleet(&["a", "b"]);
    let first = compile(&snapshot, &Table::default());
    let lives: Vec<_> = first
        .servers()
        .map(|server| Arc::clone(server.live()))
        .collect();
    judge(&mut snapshot, "default/a", 2, Health::Down);
    snapshot
        .servers
        .remove(&"default/b".parse::<ServerKey>().expect("a key"));
    compile(&snapshot, &first);
    assert!(lives.iter().all(|live| !live.keeps_connections()));
    assert_eq!((lives[0].is_down(), lives[1].is_down()), (true, false));
}

#[test]
fn one_that_leaves_is_given_the_pools_drain_time_once_and_one_that_comes_back_stays() {
    let mut snapshot = fleet(&["a", "b"]);
    let first = compile(&snapshot, &Table::default());
    let taken = pick(&first).expect("a server");
    let live = Arc::clone(taken.server().live());
    let second = Duration::from_secs(1);
    assert!(!live.is_overdue(1000 * second));

    let removed = snapshot.servers.remove(live.key()).expect("the server");
    let later = Table::compile(&snapshot, &first, 0, 10 * second);
    let latest = Table::compile(&snapshot, &later, 0, 20 * second);
    assert!(!live.is_overdue(39 * second));
    assert!(live.is_overdue(40 * second), "30 s after it left");

    snapshot.servers.insert(live.key().clone(), removed);
    let back = compile(&snapshot, &latest);
    assert!(!live.is_overdue(1000 * second));
    assert!(back.leaving(Duration::ZERO).is_empty());
    let of_key = |server: &&Arc<Server>| server.key() == live.key();
    let same = back.servers().find(of_key).expect("it is back");
    assert_eq!(same.live().in_flight(), 1, "the same incarnation goes on");
}

/// What a change does to a fleet of two pools of a few servers.
#[derive(Debug, Clone)]
enum Step {
    Put {
        server: u8,
        moves: bool,
        weight: u16,
        state: u8,
    },
    Remove(u8),
    Judge(u8, u8),
    ForgetVerdict(u8),
    Settings(bool, u32),
    /// The same once more, as from a registry that was read anew.
    Reread,
}

fn step() -> impl Strategy<Value = Step> {
    let put = (0_u8..12, any::<bool>(), 0_u16..3, 0_u8..3);
    let put = put.prop_map(|(server, moves, weight, state)| Step::Put {
        server,
        moves,
        weight,
        state,
    });
    prop_oneof![
        4 => put,
        2 => (0_u8..12).prop_map(Step::Remove),
        4 => (0_u8..12, 0_u8..3).prop_map(|(server, health)| Step::Judge(server, health)),
        1 => (0_u8..12).prop_map(Step::ForgetVerdict),
        1 => (any::<bool>(), 0_u32..3).prop_map(|(pool, max)| Step::Settings(pool, max)),
        1 => Just(Step::Reread),
    ]
}

fn pool_of(number: u8) -> PoolId {
    let name = if number.is_multiple_of(2) {
        "default"
    } else {
        "other"
    };
    name.parse().expect("a name")
}

fn key_of(number: u8) -> ServerKey {
    ServerKey::new(
        pool_of(number),
        format!("s{number}").parse().expect("a name"),
    )
}

/// Makes the change that is the `revision`.
fn take(snapshot: &mut Snapshot, step: &Step, revision: u64) {
    snapshot.position.revision = Revision(revision);
    match *step {
        Step::Put {
            server,
            moves,
            weight,
            state,
        } => {
            let key = key_of(server);
            let known = snapshot.servers.get(&key).cloned();
            let address = format!("10.0.0.1:{}", revision + 1)
                .parse()
                .expect("an address");
            let mut value = model::Server::new(key.pool.clone(), key.server.clone(), address);
            let states = [
                ServerState::Active,
                ServerState::Draining,
                ServerState::Disabled,
            ];
            (value.weight, value.state) = (weight, states[usize::from(state)]);
            let (mut created, mut incarnation) = (revision, revision);
            if let Some(known) = known {
                created = known.created.0;
                if !moves {
                    value.address = known.value.address;
                    incarnation = known.incarnation.0;
                }
            }
            snapshot
                .servers
                .insert(key, stamped(created, incarnation, value));
        }
        Step::Remove(server) => {
            snapshot.servers.remove(&key_of(server));
            snapshot.health.remove(&key_of(server));
        }
        Step::Judge(server, health) => {
            let known = snapshot.servers.get(&key_of(server));
            let incarnation = known.map_or(1, |known| known.incarnation.0);
            let health = [Health::Up, Health::Down, Health::Unknown][usize::from(health)];
            judge(snapshot, &key_of(server).to_string(), incarnation, health);
        }
        Step::ForgetVerdict(server) => _ = snapshot.health.remove(&key_of(server)),
        Step::Settings(pool, max) => {
            let mut settings = model::Pool::new(pool_of(u8::from(pool)));
            settings.circuit.server_requests = max;
            let settings = stamped(1, 1, settings);
            snapshot.pools.insert(pool_of(u8::from(pool)), settings);
        }
        Step::Reread => {
            snapshot.pools = anew(&snapshot.pools);
            snapshot.servers = anew(&snapshot.servers);
            snapshot.health = anew(&snapshot.health);
        }
    }
}

/// Equal elements that nothing is shared with.
fn anew<K: Ord + Clone, V: Clone>(elements: &Elements<K, V>) -> Elements<K, V> {
    let copy = |(key, value): (&K, &Arc<Stamped<V>>)| (key.clone(), Arc::new((**value).clone()));
    elements.iter().map(copy).collect()
}

/// What a table says of its servers, their own story aside.
fn said(table: &Table) -> Vec<String> {
    let mut said = Vec::new();
    for pool in [pool_of(0), pool_of(1)] {
        let pool = table.pool(&pool).expect("it is in every snapshot");
        said.push(format!("{:?}", pool.settings()));
        for server in pool.servers() {
            let room = server.live().places().requests_max();
            let (address, health, state) = (server.address(), server.health(), server.state());
            let incarnation = server.live().incarnation();
            said.push(format!(
                "{} {address} {health} {state:?} {} {incarnation} {room}",
                server.key(),
                server.weight()
            ));
        }
        let leaving = pool.leaving().iter().map(|server| server.key().to_string());
        said.extend(leaving);
        said.push(pool.is_judged().to_string());
    }
    said
}

proptest! {
    #[test]
    fn a_table_made_of_the_one_before_says_what_one_made_of_nothing_does(
        steps in proptest::collection::vec((step(), any::<bool>()), 1..60),
    ) {
        let mut snapshot = snapshot(model::Pool::new(PoolId::standard()));
        snapshot.pools.insert(pool_of(1), stamped(1, 1, model::Pool::new(pool_of(1))));
        let mut table = compile(&snapshot, &Table::default());
        for ((step, compiles), revision) in steps.iter().zip(2..) {
            take(&mut snapshot, step, revision);
            if *compiles {
                table = compile(&snapshot, &table);
                let anew = compile(&snapshot, &Table::default());
                prop_assert_eq!(said(&table), said(&anew));
            }
        }
    }
}

#[test]
fn a_table_has_the_routes_and_firewalls_of_its_snapshot_and_tells_what_is_wrong_with_them() {
    let mut snapshot = fleet(&["a"]);
    let route = model::Route::new(
        "r".parse().expect("a name"),
        model::Action::Pool("none".parse().expect("a name")),
    );
    snapshot
        .routes
        .insert(route.id.clone(), stamped(5, 5, route));
    let id: ListenerId = "http".parse().expect("a name");
    let mut listener = model::Listener::new(id.clone());
    let networks = ["10.0.0.0/8", "bad"].map(|text| text.parse().expect("networks"));
    listener.firewall.deny = networks.into();
    snapshot
        .listeners
        .insert(id.clone(), stamped(6, 6, listener));
    let table = compile(&snapshot, &Table::default());
    assert_eq!(table.routes().iter().count(), 1);
    let lets_in = |table: &Table, client: [u8; 4]| {
        let firewall = table.listener_firewall(&id).expect("a firewall");
        firewall.lets_in(client.into())
    };
    assert!(!lets_in(&table, [10, 0, 0, 1]) && lets_in(&table, [11, 0, 0, 1]));
    let told: Vec<_> = table.faults().iter().map(ToString::to_string).collect();
    let expected = [
        r#"routes "r": there is no pool "none""#,
        r#"listeners "http": there is no list of networks "bad""#,
    ];
    assert_eq!(told, expected);
    let list = r#"{"id":"bad","networks":["11.0.0.0/8"]}"#;
    let list: model::NetworkList = serde_json::from_str(list).expect("a list");
    snapshot
        .networks
        .insert(list.id.clone(), stamped(7, 7, list));
    let later = compile(&snapshot, &table);
    assert!(!lets_in(&later, [11, 0, 0, 1]));
    assert_eq!(later.faults().len(), 1);
    assert_eq!(compile(&snapshot, &later).faults(), later.faults());
    assert!(
        table
            .listener_firewall(&"other".parse().expect("a name"))
            .is_none()
    );
}

#[test]
fn a_listener_answers_about_health_where_the_latest_snapshot_says_so() {
    let mut snapshot = fleet(&["a"]);
    let id: ListenerId = "http".parse().expect("a name");
    let mut table = compile(&snapshot, &Table::default());
    assert!(!table.listener_answers_health(&id));
    for (revision, health) in [(6, true), (7, false), (8, true)] {
        let mut listener = model::Listener::new(id.clone());
        listener.health = health;
        let listener = stamped(revision, revision, listener);
        snapshot.listeners.insert(id.clone(), listener);
        table = compile(&snapshot, &table);
        assert_eq!(table.listener_answers_health(&id), health);
    }
}

use model::Verdict;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::testing::snapshot;
use crate::{Ask, InFlight, Outcome, Tried, Unpicked};

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
        .leaving()
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
    let leaving = third.leaving();
    let load = leaving[&"default/a".parse().expect("a key")];
    assert_eq!((load.incarnation, load.in_flight), (Revision(2), 1));
    drop(taken);
    assert_eq!(
        third.leaving().into_values().next().expect("a").in_flight,
        0
    );
}

#[test]
fn a_removed_server_is_reported_until_it_is_forgotten() {
    let first = compile(&fleet(&["a", "b"]), &Table::default());
    let taken = pick(&first).expect("a");
    let snapshot = fleet(&[]);
    let second = compile(&snapshot, &first);
    assert_eq!(second.leaving().len(), 2);
    let late = Table::compile(&snapshot, &second, 0, DEPARTED_FOR);
    assert_eq!(late.leaving().len(), 1, "one still has a request in flight");
    drop(taken);
    let ended = Table::compile(&snapshot, &late, 0, 2 * DEPARTED_FOR);
    assert_eq!(ended.leaving().len(), 1, "it has only just ended");
    let later = Table::compile(&snapshot, &ended, 0, 3 * DEPARTED_FOR);
    assert!(later.leaving().is_empty());
}

#[test]
fn the_guard_counts_how_a_try_went() {
    let table = compile(&fleet(&["a"]), &Table::default());
    let live = Arc::clone(table.servers().next().expect("a").live());
    let second = Duration::from_secs(1);
    assert!(!live.has_answered_within(second, Duration::ZERO));
    let mut taken = pick(&table).expect("a");
    taken.note(Outcome::Answered { at: 5 * second });
    drop(taken);
    assert!(live.has_answered_within(second, 6 * second));
    assert!(!live.has_answered_within(second, 7 * second));
    let mut taken = pick(&table).expect("a");
    taken.note(Outcome::Failed);
    drop(taken);
    drop(pick(&table));
    assert_eq!(
        (live.answered(), live.failed(), live.in_flight()),
        (1, 1, 0)
    );
    assert!(
        !live.has_answered_within(second, 6 * second),
        "it failed since"
    );
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
        .remove(&"default/b".parse().expect("a key"));
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
    assert!(back.leaving().is_empty());
    let of_key = |server: &&Arc<Server>| server.key() == live.key();
    let same = back.servers().find(of_key).expect("it is back");
    assert_eq!(same.live().in_flight(), 1, "the same incarnation goes on");
}

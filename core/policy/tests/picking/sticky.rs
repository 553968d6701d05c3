//! Clients stay with their servers, at every balancer, for as long as these may have them.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{
    Algorithm, Health, Revision, Secret, SecretId, SecretKey, ServerKey, ServerState, Stamped,
    StickyKind,
};
use policy::{InFlight, Stick, Table, Token, Tried, Unpicked};
use proptest::prelude::*;

use crate::fixture::{ALGORITHMS, Balancer, SECOND, State, index_of};

impl State {
    /// The same with clients that are known by this.
    fn sticky(mut self, kind: StickyKind) -> Self {
        self.change_pool(|pool| {
            pool.sticky.kind = kind;
            pool.timeouts.drain = 30 * SECOND;
        });
        self.sign(Secret::new(SecretId::sticky(), SecretKey::new([1; 32])));
        self
    }

    fn sign(&mut self, secret: Secret) {
        let secret = Arc::new(Stamped::new(Revision(1), secret));
        self.snapshot.secrets.insert(SecretId::sticky(), secret);
    }

    fn drain(&mut self, index: usize) {
        self.put(index, |server| server.state = ServerState::Draining);
    }
}

/// What the server's clients bring, by the table of this balancer.
fn token_of(balancer: &Balancer, index: usize) -> Token {
    let pool = balancer.table.route().expect("the pool");
    let name = format!("s{index}");
    let mut servers = pool.servers().iter();
    let server = servers.find(|server| server.key().server.as_str() == name);
    let cookies = pool.cookies().expect("cookies");
    let token = cookies.token_of(server.expect("the server").live());
    token.expect("a token")
}

/// Who gets so many requests of a client, each after the one before has ended.
fn used_by(balancer: &mut Balancer, stick: Stick) -> BTreeSet<usize> {
    let pick = |_| index_of(&balancer.pick_by(stick).expect("a server"));
    (0..20).map(pick).collect()
}

fn leaving(balancer: &Balancer, index: usize) -> (u64, bool) {
    let leaving = balancer.table.leaving(balancer.now);
    let load = leaving[&format!("default/s{index}").parse().expect("a key")];
    (load.in_flight, load.sticky)
}

#[test]
fn whoever_brings_a_servers_cookie_gets_that_server_by_every_algorithm_and_balancer() {
    for algorithm in ALGORITHMS {
        let state = State::of(algorithm, &[1, 1, 1, 5]).sticky(StickyKind::Cookie);
        let (mut one, mut other) = (Balancer::new(&state, 1), Balancer::new(&state, 2));
        for index in 0..4 {
            let token = token_of(&one, index);
            assert_eq!(token, token_of(&other, index));
            for balancer in [&mut one, &mut other] {
                assert_eq!(used_by(balancer, Stick::Token(token)), [index].into());
            }
        }
        assert!(
            one.picks(40).len() > 1 || matches!(algorithm, Algorithm::IpHash | Algorithm::Hash)
        );
    }
}

#[test]
fn a_server_that_may_not_have_the_client_is_replaced_by_another() {
    let changes: [&dyn Fn(&mut State); 5] = [
        &|state| state.judge(1, Health::Down),
        &|state| state.remove(1),
        &|state| state.put(1, |server| server.state = ServerState::Disabled),
        &|state| {
            state.change_pool(|pool| pool.sticky.while_draining = false);
            state.drain(1);
        },
        &|state| state.change_pool(|pool| pool.sticky.kind = StickyKind::None),
    ];
    for (case, change) in changes.into_iter().enumerate() {
        let mut state = State::of(Algorithm::RoundRobin, &[1, 1, 1]).sticky(StickyKind::Cookie);
        let mut balancer = Balancer::new(&state, 0);
        let stick = Stick::Token(token_of(&balancer, 1));
        change(&mut state);
        balancer.follow(&state);
        assert!(used_by(&mut balancer, stick).len() > 1, "case {case}");
    }
}

#[test]
fn one_that_refused_the_try_is_left_for_another_one() {
    let state = State::of(Algorithm::RoundRobin, &[1, 1]).sticky(StickyKind::Cookie);
    let mut balancer = Balancer::new(&state, 0);
    let stick = Stick::Token(token_of(&balancer, 0));
    let first = balancer.pick_by(stick).expect("a server");
    let mut tried = Tried::default();
    tried.add(first.server().live());
    let second = balancer.ask(0, stick, &tried).expect("another");
    assert_eq!((index_of(&first), index_of(&second)), (0, 1));
}

#[test]
fn a_weight_of_nothing_keeps_new_clients_away_and_no_other() {
    let mut state = State::of(Algorithm::RoundRobin, &[1, 1]).sticky(StickyKind::Cookie);
    let mut balancer = Balancer::new(&state, 0);
    let stick = Stick::Token(token_of(&balancer, 0));
    state.put(0, |server| server.weight = 0);
    balancer.follow(&state);
    assert_eq!(used_by(&mut balancer, stick), [0].into());
    assert_eq!(used_by(&mut balancer, Stick::Loose), [1].into());
}

#[test]
fn all_are_used_where_most_are_down_and_clients_stay_with_theirs() {
    let mut state = State::of(Algorithm::RoundRobin, &[1; 5]).sticky(StickyKind::Cookie);
    for index in 0..4 {
        state.judge(index, Health::Down);
    }
    let mut balancer = Balancer::new(&state, 0);
    let stick = Stick::Token(token_of(&balancer, 2));
    assert_eq!(used_by(&mut balancer, stick), [2].into());
}

#[test]
fn a_full_server_is_waited_for_and_one_with_an_open_circuit_is_not() {
    let mut state = State::of(Algorithm::RoundRobin, &[1, 1]).sticky(StickyKind::Cookie);
    state.put(0, |server| server.max_connections = 1);
    let mut balancer = Balancer::new(&state, 0);
    let stick = Stick::Token(token_of(&balancer, 0));
    let held = balancer.pick_by(stick).expect("its server");
    assert_eq!(balancer.pick_by(stick).err(), Some(Unpicked::Full));
    drop(held);
    assert_eq!(used_by(&mut balancer, stick), [0].into());
    state.put(0, |server| server.max_connections = 0);
    state.change_pool(|pool| pool.circuit.server_requests = 1);
    balancer.follow(&state);
    let held = balancer.pick_by(stick).expect("its server");
    let elsewhere = balancer.pick_by(stick).expect("another");
    assert_eq!((index_of(&held), index_of(&elsewhere)), (0, 1));
}

#[test]
fn a_draining_server_keeps_its_clients_until_the_drain_ends_and_is_said_to() {
    for kind in [StickyKind::Cookie, StickyKind::Source] {
        let mut state = State::of(Algorithm::LeastConnections, &[1, 1, 1]).sticky(kind);
        let mut balancer = Balancer::new(&state, 0);
        let (own, index) = match kind {
            StickyKind::Cookie => (Stick::Token(token_of(&balancer, 1)), 1),
            _ => {
                let stick = Stick::Key(42);
                let first = used_by(&mut balancer, stick);
                (stick, *first.first().expect("a server"))
            }
        };
        state.drain(index);
        balancer.now = 100 * SECOND;
        balancer.follow(&state);
        assert_eq!(used_by(&mut balancer, own), [index].into());
        assert!(!used_by(&mut balancer, Stick::Loose).contains(&index));
        assert_eq!(leaving(&balancer, index), (0, true));
        let last = balancer.pick_by(own).expect("its server");
        balancer.now = 130 * SECOND;
        assert!(!used_by(&mut balancer, own).contains(&index));
        assert_eq!(leaving(&balancer, index), (1, false));
        // What is in flight then has time of its own.
        assert!(!last.server().live().is_overdue(159 * SECOND));
        assert!(last.server().live().is_overdue(160 * SECOND));
        drop(last);
        // A verdict later, the drain has still ended.
        state.judge(index, Health::Unknown);
        balancer.follow(&state);
        assert!(!used_by(&mut balancer, own).contains(&index));
    }
}

#[test]
fn once_a_server_is_said_to_keep_no_clients_none_comes_by_an_older_table_or_clock() {
    let mut state = State::of(Algorithm::RoundRobin, &[1, 1]).sticky(StickyKind::Cookie);
    state.drain(0);
    let mut late = Balancer::new(&state, 0);
    let own = Stick::Token(token_of(&late, 0));
    assert_eq!(used_by(&mut late, own), [0].into());
    // Another thread's clock is ahead.
    assert!(
        !late
            .table
            .leaving(31 * SECOND)
            .values()
            .any(|load| load.sticky)
    );
    assert_eq!(used_by(&mut late, own), [1].into());
    state.put(0, |server| server.state = ServerState::Active);
    late.follow(&state);
    state.drain(0);
    late.follow(&state);
    assert_eq!(
        used_by(&mut late, own),
        [0].into(),
        "a new drain begins anew"
    );
}

#[test]
fn a_cookie_outlives_one_rotation_of_the_key_and_no_second() {
    let mut state = State::of(Algorithm::RoundRobin, &[1, 1, 1]).sticky(StickyKind::Cookie);
    let mut balancer = Balancer::new(&state, 0);
    let first = token_of(&balancer, 2);
    let mut secret = Secret::new(SecretId::sticky(), SecretKey::new([1; 32]));
    for (key, is_known) in [(2, true), (3, false)] {
        secret = secret.rotated(SecretKey::new([key; 32]));
        state.sign(secret.clone());
        balancer.follow(&state);
        assert_ne!(token_of(&balancer, 2), first);
        let pool = balancer.table.route().expect("the pool");
        let read = pool.cookies().expect("cookies").read(first.as_bytes());
        assert_eq!(read.is_some(), is_known);
        let used = used_by(&mut balancer, Stick::Token(first));
        assert_eq!(used == [2].into(), is_known);
    }
}

#[test]
fn without_a_secret_requests_go_where_the_algorithm_says() {
    let mut state = State::of(Algorithm::RoundRobin, &[1, 1]).sticky(StickyKind::Cookie);
    state.snapshot.secrets.clear();
    let mut balancer = Balancer::new(&state, 0);
    assert!(
        balancer
            .table
            .route()
            .expect("the pool")
            .cookies()
            .is_none()
    );
    assert_eq!(balancer.picks(4), [(0, 2), (1, 2)].into());
    let token = Secret::new(SecretId::sticky(), SecretKey::new([9; 32]));
    state.sign(token);
    balancer.follow(&state);
    let stick = Stick::Token(token_of(&balancer, 1));
    assert_eq!(used_by(&mut balancer, stick), [1].into());
}

#[test]
fn pools_names_servers_and_addresses_make_other_cookies() {
    let mut state = State::of(Algorithm::RoundRobin, &[1, 1]).sticky(StickyKind::Cookie);
    let mut balancer = Balancer::new(&state, 0);
    let before = token_of(&balancer, 0);
    assert_ne!(before, token_of(&balancer, 1));
    let key: ServerKey = "default/s0".parse().expect("a key");
    let moved = state.snapshot.servers.get_mut(&key).expect("the server");
    Arc::make_mut(moved).incarnation = Revision(99);
    state.judge(0, Health::Up);
    balancer.follow(&state);
    assert_ne!(token_of(&balancer, 0), before);
    assert!(used_by(&mut balancer, Stick::Token(before)).len() > 1);
    let cookies = |table: &Table| {
        table
            .route()
            .expect("the pool")
            .cookies()
            .map(|it| it.name().to_owned())
    };
    let own = cookies(&balancer.table).expect("a name");
    assert!(
        own.starts_with("roundhouse-") && !own.contains("default"),
        "{own}"
    );
    state.change_pool(|pool| pool.sticky.name = "lb".into());
    balancer.follow(&state);
    assert_eq!(cookies(&balancer.table).as_deref(), Some("lb"));
}

#[test]
fn flights_that_the_algorithm_did_not_choose_count_for_it() {
    let state = State::of(Algorithm::LeastConnections, &[1, 1]).sticky(StickyKind::Cookie);
    let mut balancer = Balancer::new(&state, 0);
    let own = Stick::Token(token_of(&balancer, 0));
    let stuck: Vec<InFlight> = (0..6)
        .map(|_| balancer.pick_by(own).expect("its server"))
        .collect();
    let others: Vec<usize> = balancer.keep(6).iter().map(index_of).collect();
    assert_eq!(others, [1; 6]);
    drop(stuck);
}

proptest! {
    #[test]
    fn a_key_stays_while_its_server_does_and_is_at_every_balancer_the_same(
        weights in proptest::collection::vec(1_u16..5, 2..12),
        keys in proptest::collection::vec(any::<u64>(), 1..20),
        gone in any::<prop::sample::Index>(),
    ) {
        let mut state = State::of(Algorithm::P2c, &weights).sticky(StickyKind::Header);
        let (mut one, mut other) = (Balancer::new(&state, 1), Balancer::new(&state, 2));
        let place = |balancer: &mut Balancer, key| {
            index_of(&balancer.pick_by(Stick::Key(key)).expect("a server"))
        };
        let before: Vec<usize> = keys.iter().map(|key| place(&mut one, *key)).collect();
        for (key, index) in keys.iter().zip(&before) {
            prop_assert_eq!(place(&mut other, *key), *index);
        }
        let gone = gone.index(weights.len());
        state.judge(gone, Health::Down);
        one.follow(&state);
        for (key, index) in keys.iter().zip(&before) {
            let after = place(&mut one, *key);
            prop_assert!(after != gone);
            prop_assert!(*index == gone || after == *index);
        }
    }

    #[test]
    fn cookies_carried_from_table_to_table_are_those_that_one_made_anew_has(
        steps in proptest::collection::vec((0_usize..8, 0_u8..4), 1..40),
    ) {
        let mut state = State::of(Algorithm::RoundRobin, &[1, 1]).sticky(StickyKind::Cookie);
        let mut carried = Balancer::new(&state, 0);
        for (index, step) in steps {
            let key: ServerKey = format!("default/s{index}").parse().expect("a key");
            let exists = state.snapshot.servers.contains_key(&key);
            match step {
                0 if exists && state.snapshot.servers.len() > 1 => state.remove(index),
                1 => {
                    let secret = state.snapshot.secrets[&SecretId::sticky()].value.clone();
                    state.sign(secret.rotated(SecretKey::new([index as u8 + 7; 32])));
                }
                2 if exists => state.judge(index, Health::Down),
                _ => state.put(index, |server| server.weight = 2),
            }
            carried.follow(&state);
            let fresh = Balancer::new(&state, 0);
            let pool = fresh.table.route().expect("the pool");
            for server in pool.servers() {
                let name = server.key().server.as_str();
                let index: usize = name[1..].parse().expect("a number");
                let token = token_of(&fresh, index);
                prop_assert_eq!(token_of(&carried, index), token);
                let own = carried.table.route().expect("the pool").cookies().expect("cookies");
                prop_assert_eq!(own.read(token.as_bytes()), Some(token));
            }
        }
    }
}

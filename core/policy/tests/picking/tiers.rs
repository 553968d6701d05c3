//! Who may be picked at all.

use model::{Algorithm, Health};
use policy::{Outcome, Tried};
use proptest::prelude::*;

use crate::fixture::{ALGORITHMS, Balancer, State, index_of};

/// The servers that get requests, in a pool whose servers have this health.
fn used(state: &State) -> Vec<usize> {
    let mut balancer = Balancer::new(state, 0);
    if balancer.pick().is_none() {
        return Vec::new();
    }
    balancer.picks(100).into_keys().collect()
}

fn pool(health: &[Health], backups: &[usize], panic_threshold: f64) -> State {
    let mut state = State::of(Algorithm::RoundRobin, &vec![1; health.len()]);
    state.change_pool(|pool| pool.panic_threshold = panic_threshold);
    for (index, health) in health.iter().enumerate() {
        state.judge(index, *health);
    }
    for index in backups {
        state.put(*index, |server| server.backup = true);
    }
    state
}

const UP: Health = Health::Up;
const DOWN: Health = Health::Down;
const UNKNOWN: Health = Health::Unknown;

#[test]
fn backups_are_used_where_no_other_is_up() {
    for threshold in [0.0, 0.5] {
        let of = |health: &[Health]| used(&pool(health, &[2, 3], threshold));
        assert_eq!(of(&[UP, UP, UP, UP]), [0, 1]);
        assert_eq!(of(&[UP, DOWN, UP, UP]), [0]);
        assert_eq!(of(&[DOWN, DOWN, UP, UP]), [2, 3]);
        assert_eq!(of(&[UNKNOWN, DOWN, UP, DOWN]), [2]);
    }
}

#[test]
fn backups_take_over_however_many_others_are_down() {
    let of = |health: &[Health], backups: &[usize]| used(&pool(health, backups, 0.5));
    assert_eq!(of(&[DOWN, DOWN, DOWN, UP], &[3]), [3]);
    let five_and_four = [[DOWN; 5].as_slice(), &[UP; 4]].concat();
    assert_eq!(of(&five_and_four, &[5, 6, 7, 8]), [5, 6, 7, 8]);
    let one_left = [[DOWN; 8].as_slice(), &[UP]].concat();
    assert_eq!(of(&one_left, &[5, 6, 7, 8]), [8]);
}

#[test]
fn backups_count_for_nothing_where_too_many_are_down() {
    let of = |health: &[Health]| used(&pool(health, &[4, 5], 0.5));
    assert_eq!(of(&[UP, DOWN, DOWN, DOWN, UP, UP]), [0, 1, 2, 3]);
    assert_eq!(of(&[UP, UP, DOWN, DOWN, DOWN, DOWN]), [0, 1]);
    let small = pool(&[UP, DOWN, DOWN, UP, DOWN, DOWN], &[3, 4, 5], 0.5);
    assert_eq!(used(&small), [0], "three are a small pool");
}

#[test]
fn a_request_that_has_tried_all_others_gets_a_backup() {
    for algorithm in ALGORITHMS {
        let mut state = pool(&[UP; 4], &[2, 3], 0.5);
        state.change_pool(|pool| pool.algorithm = algorithm);
        let mut balancer = Balancer::new(&state, 0);
        for hash in 0..50 {
            let mut tried = Tried::default();
            let mut order = Vec::new();
            while let Some(flight) = balancer.pick_for(hash, &tried) {
                order.push(index_of(&flight));
                tried.add(flight.server().live());
                let pool = balancer.table.route().expect("the pool");
                assert_eq!(pool.has_another(&tried), order.len() < 4);
                assert_eq!(pool.has_a_sound_other(&tried), order.len() < 4);
            }
            let (first, last) = order.split_at(2);
            let (mut first, mut last) = (first.to_vec(), last.to_vec());
            first.sort_unstable();
            last.sort_unstable();
            assert_eq!((first, last), (vec![0, 1], vec![2, 3]), "{algorithm:?}");
        }
    }
}

#[test]
fn backups_share_what_they_get_by_their_weights() {
    let mut state = pool(&[UP; 3], &[1, 2], 0.5);
    state.put(2, |server| server.weight = 3);
    let mut balancer = Balancer::new(&state, 0);
    let mut tried = Tried::default();
    tried.add(balancer.pick().expect("the first").server().live());
    let picks = (0..4000).map(|_| index_of(&balancer.pick_for(0, &tried).expect("a backup")));
    let heavy = picks.filter(|index| *index == 2).count();
    // Six deviations of chance.
    assert!(heavy.abs_diff(3000) < 165, "{heavy} of 4000");
}

#[test]
fn a_server_that_is_only_busy_sends_nothing_to_a_backup() {
    let mut state = pool(&[UP, UP], &[1], 0.5);
    state.put(0, |server| server.max_connections = 1);
    let mut balancer = Balancer::new(&state, 0);
    let _busy = balancer.pick().expect("the first");
    assert!(balancer.pick().is_none());
}

#[test]
fn a_backup_goes_before_a_server_that_is_ejected() {
    let mut state = pool(&[UP; 3], &[2], 0.5);
    state.change_pool(|pool| pool.outlier.gateway_failures = 1);
    state.change_pool(|pool| pool.outlier.ejected_share = 0.5);
    let mut balancer = Balancer::new(&state, 0);
    let mut failing = balancer.pick().expect("a server");
    let ejected = index_of(&failing);
    failing.note(Outcome::GatewayError);
    drop(failing);
    let mut tried = Tried::default();
    let order: Vec<usize> = std::iter::from_fn(|| {
        let flight = balancer.pick_for(0, &tried)?;
        tried.add(flight.server().live());
        Some(index_of(&flight))
    })
    .collect();
    assert_eq!(order, [1 - ejected, 2, ejected]);
}

#[test]
fn the_unknown_are_used_where_nothing_is_up_and_backups_last() {
    let of = |health: &[Health]| used(&pool(health, &[2], 0.0));
    assert_eq!(of(&[UNKNOWN, DOWN, UNKNOWN]), [0]);
    assert_eq!(of(&[DOWN, DOWN, UNKNOWN]), [2]);
    assert!(of(&[DOWN, DOWN, DOWN]).is_empty());
}

#[test]
fn where_too_many_are_down_to_believe_it_all_are_used() {
    assert_eq!(used(&pool(&[UP, DOWN, DOWN, DOWN], &[], 0.5)), [0, 1, 2, 3]);
    assert_eq!(used(&pool(&[UP, UP, DOWN, DOWN], &[], 0.5)), [0, 1]);
    assert_eq!(used(&pool(&[UP, UNKNOWN, DOWN, DOWN], &[], 0.5)), [0]);
    assert_eq!(used(&pool(&[UP, DOWN, DOWN, DOWN], &[], 0.2)), [0]);
    assert_eq!(used(&pool(&[UP, DOWN, DOWN, DOWN], &[], 0.0)), [0]);
}

#[test]
fn where_nothing_is_up_or_the_pool_is_small_verdicts_are_believed() {
    assert!(used(&pool(&[DOWN; 8], &[], 0.5)).is_empty());
    assert!(used(&pool(&[DOWN], &[], 1.0)).is_empty());
    assert_eq!(used(&pool(&[DOWN, DOWN, UP], &[], 0.5)), [2]);
}

#[test]
fn what_an_operator_took_out_stays_out_and_counts_for_nothing() {
    let mut state = pool(&[UP, DOWN, DOWN, DOWN, UP, UP], &[], 0.5);
    state.put(4, |server| server.state = model::ServerState::Disabled);
    state.put(5, |server| server.weight = 0);
    assert_eq!(used(&state), [0, 1, 2, 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn somebody_is_used_exactly_where_somebody_is_not_down(
        health in prop::collection::vec(prop::sample::select(vec![UP, DOWN, UNKNOWN]), 1..12),
        backups in prop::collection::vec(0usize..12, 0..4),
        threshold in 0.0f64..=1.0,
    ) {
        let count = health.len();
        let backups: Vec<usize> = backups.into_iter().filter(|index| *index < count).collect();
        let used = used(&pool(&health, &backups, threshold));
        prop_assert_eq!(!used.is_empty(), health.iter().any(|health| *health != DOWN));
        let best = if health.contains(&UP) { UP } else { UNKNOWN };
        let sound = used.iter().all(|index| health[*index] == best);
        let others: Vec<usize> = (0..count).filter(|index| !backups.contains(index)).collect();
        prop_assert!(sound || used == others, "all but the backups, or only the best");
        let some_other = others.iter().any(|index| health[*index] == best);
        let one_kind = used.iter().all(|index| backups.contains(index) != some_other);
        prop_assert!(used.is_empty() || one_kind, "backups only where no other is as good");
    }
}

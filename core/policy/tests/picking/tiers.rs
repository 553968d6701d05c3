//! Who may be picked at all.

use model::{Algorithm, Health};
use proptest::prelude::*;

use crate::fixture::{Balancer, State};

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

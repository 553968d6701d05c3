use proptest::prelude::*;

use super::*;
use crate::pick::testing::members;

fn without(place: usize, members: &Members) -> Members {
    let mut rest = members.to_vec();
    rest.remove(place);
    rest.into()
}

fn picks(rotation: &RoundRobin, count: usize) -> Vec<usize> {
    (0..count)
        .map(|_| rotation.members[rotation.next().expect("a member")].index)
        .collect()
}

#[test]
fn equal_weights_take_turns_in_the_order_of_creation() {
    let rotation = RoundRobin::new(members(&[7, 7, 7]), 0);
    assert_eq!(picks(&rotation, 7), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn the_start_is_given() {
    assert_eq!(
        picks(&RoundRobin::new(members(&[1, 1, 1]), 5), 4),
        [2, 0, 1, 2]
    );
}

#[test]
fn nobody_is_picked_from_nothing() {
    assert_eq!(RoundRobin::new(members(&[]), 3).next(), None);
}

#[test]
fn a_heavy_server_does_not_get_its_turns_in_a_row() {
    let rotation = RoundRobin::new(members(&[5, 1, 1]), 0);
    let picks = picks(&rotation, 70);
    let longest = picks
        .chunk_by(|a, b| a == b)
        .map(<[usize]>::len)
        .max()
        .expect("a run");
    assert!(longest <= 3, "{picks:?}");
}

#[test]
fn all_threads_together_are_exact() {
    let rotation = RoundRobin::new(members(&[3, 2, 1]), 0);
    let counts: Vec<AtomicU64> = (0..3).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for index in picks(&rotation, 6_000) {
                    counts[index].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let counts: Vec<u64> = counts.into_iter().map(AtomicU64::into_inner).collect();
    assert_eq!(counts, [12_000, 8_000, 4_000]);
}

#[test]
fn a_server_that_leaves_or_joins_does_not_move_the_place() {
    let rotation = RoundRobin::new(members(&[1, 1, 1, 1]), 0);
    assert_eq!(picks(&rotation, 2), [0, 1]);
    let rest = without(2, &members(&[1, 1, 1, 1]));
    let rotation = RoundRobin::after(&rotation, rest, 0);
    assert_eq!(picks(&rotation, 3), [3, 0, 1]);
    let rotation = RoundRobin::after(&rotation, members(&[1, 1, 1, 1, 1]), 0);
    assert_eq!(picks(&rotation, 6), [3, 4, 0, 1, 2, 3]);
}

#[test]
fn a_rotation_that_was_never_used_begins_at_the_given_start_when_servers_join() {
    let unused = RoundRobin::new(members(&[1]), 5);
    let joined = RoundRobin::after(&unused, members(&[1, 1, 1]), 5);
    assert_eq!(picks(&joined, 3), [2, 0, 1]);
    let joined = RoundRobin::after(&joined, members(&[1, 1, 1, 1]), 5);
    assert_eq!(picks(&joined, 3), [2, 3, 0]);
}

#[test]
fn a_light_server_gets_its_turn_however_often_the_membership_changes() {
    let mut rotation = RoundRobin::new(members(&[50, 50, 1]), 0);
    let mut seen = 0;
    for change in 0..101 {
        let other = members(if change % 2 == 0 {
            &[50, 49, 1]
        } else {
            &[50, 50, 1]
        });
        rotation = RoundRobin::after(&rotation, other, 0);
        seen += picks(&rotation, 5)
            .into_iter()
            .filter(|index| *index == 2)
            .count();
    }
    assert!(seen >= 3, "the light server had {seen} of 505 turns");
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        prop::collection::vec(1u32..=5, 1..40),
        prop::collection::vec(1u32..=1000, 1..8),
        prop::collection::vec(prop_oneof![Just(1u32), Just(100), Just(1000)], 1..12),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_run_of_as_many_turns_as_the_weights_add_up_to_gives_each_its_weight(
        weights in weights(),
        start in 0u64..5_000,
        skip in 0usize..3_000,
    ) {
        let rotation = RoundRobin::new(members(&weights), start);
        let divisor = weights.iter().fold(0, |divisor, weight| greatest_divisor(divisor, *weight));
        picks(&rotation, skip);
        let mut counts = vec![0u32; weights.len()];
        for index in picks(&rotation, usize::try_from(rotation.turns).expect("small")) {
            counts[index] += 1;
        }
        let expected: Vec<u32> = weights.iter().map(|weight| weight / divisor).collect();
        prop_assert_eq!(counts, expected);
    }

    /// A server is never more than a turn and a half away from its share, whatever run of turns is looked at.
    #[test]
    fn turns_are_spread_evenly(weights in weights()) {
        let rotation = RoundRobin::new(members(&weights), 0);
        let turns = rotation.turns;
        let mut had = vec![0u64; weights.len()];
        let divisor = u64::from(weights.iter().fold(0, |divisor, weight| greatest_divisor(divisor, *weight)));
        for turn in 1..=turns {
            had[rotation.next().expect("a member")] += 1;
            for (index, weight) in weights.iter().enumerate() {
                let share = u64::from(*weight) / divisor * turn;
                let distance = (had[index] * turns).abs_diff(share);
                prop_assert!(2 * distance < 3 * turns, "server {index} had {} of {turn} turns", had[index]);
            }
        }
    }

    #[test]
    fn a_change_of_membership_keeps_the_place_among_those_of_equal_weight(
        count in 2usize..50,
        taken in 1usize..200,
        removed in 0usize..50,
    ) {
        let rotation = RoundRobin::new(members(&vec![1; count]), 0);
        picks(&rotation, taken);
        let next = taken % count;
        let rest = without(removed % count, &members(&vec![1; count]));
        let expected = if removed % count == next { (next + 1) % count } else { next };
        prop_assert_eq!(picks(&RoundRobin::after(&rotation, rest, 0), 1), [expected]);
    }
}

use std::cmp::Ordering::{Greater, Less};

use proptest::prelude::*;

use super::*;
use crate::pick::testing::members;

/// The places picked and kept, one after another.
fn picks(ranking: &mut Ranking, count: usize) -> Vec<usize> {
    let mut picks = Vec::new();
    for _ in 0..count {
        let first = *ranking.first().expect("a member");
        ranking.pick(first.place(), first.load + 1);
        picks.push(first.place());
    }
    picks
}

/// The places picked where each pick ends before the next.
fn idle_picks(ranking: &mut Ranking, count: usize) -> Vec<usize> {
    let mut picks = Vec::new();
    for _ in 0..count {
        let place = ranking.first().expect("a member").place();
        ranking.pick(place, 1);
        ranking.set_load(place, 0);
        picks.push(place);
    }
    picks
}

#[test]
fn an_idle_pool_takes_turns_from_the_given_place_on() {
    let mut ranking = Ranking::new(&members(&[100, 100, 100]), 4);
    assert_eq!(idle_picks(&mut ranking, 7), [1, 2, 0, 1, 2, 0, 1]);
}

#[test]
fn an_idle_pool_takes_turns_by_weight() {
    let mut ranking = Ranking::new(&members(&[300, 100]), 0);
    let picks = idle_picks(&mut ranking, 400);
    let light = picks.iter().filter(|place| **place == 1).count();
    assert!((99..=101).contains(&light), "{light} of 400");
}

#[test]
fn loads_follow_the_weights() {
    let mut ranking = Ranking::new(&members(&[300, 100, 200]), 0);
    let picks = picks(&mut ranking, 60);
    let count = |place| picks.iter().filter(|picked| **picked == place).count();
    assert_eq!((count(0), count(1), count(2)), (30, 10, 20));
}

#[test]
fn one_that_was_busy_does_not_make_up_for_the_turns_it_missed() {
    let mut ranking = Ranking::new(&members(&[100, 100]), 0);
    ranking.pick(0, 50);
    idle_picks(&mut ranking, 100);
    ranking.set_load(0, 0);
    let picks = idle_picks(&mut ranking, 20);
    let back = picks.iter().filter(|place| **place == 0).count();
    assert!((10..=11).contains(&back), "{picks:?}");
}

#[test]
fn members_that_stay_keep_what_they_had_and_new_ones_begin_with_the_others() {
    let mut before = Ranking::new(&members(&[100, 100, 100]), 0);
    assert_eq!(idle_picks(&mut before, 301).last(), Some(&0));
    let mut after = Ranking::new(&members(&[100, 100, 100, 100]), 0);
    after.go_on_from(&before, |place| (place < 3).then_some(place));
    let picks = idle_picks(&mut after, 400);
    assert_eq!(
        picks[..2],
        [1, 2],
        "who had its turn waits until all had it"
    );
    for place in 0..4 {
        let count = picks.iter().filter(|picked| **picked == place).count();
        assert!((99..=101).contains(&count), "{place} had {count}");
    }
}

#[test]
fn the_least_loaded_are_proposed_first_and_boundedly_many() {
    let mut ranking = Ranking::new(&members(&[100; 100]), 0);
    let load = |place: usize| (place as u64 * 37) % 100;
    ranking.refresh(load);
    let mut proposed = Vec::new();
    let nothing = ranking.propose(|place| {
        proposed.push(load(place));
        None::<()>
    });
    assert!(nothing.is_none());
    assert_eq!(proposed, (0..PROPOSED_MAX as u64).collect::<Vec<_>>());
    let best = ranking.best_of_all(|place| load(place) >= 70);
    assert_eq!(best.map(load), Some(70));
}

/// All places, the first one first.
fn in_order(ranking: &Ranking) -> Vec<usize> {
    let mut entries = ranking.heap.clone();
    entries.sort_by(|one, other| if one.is_before(other) { Less } else { Greater });
    entries.iter().map(Entry::place).collect()
}

proptest! {
    /// Against one that is ordered anew in one step, once nothing changes any more.
    #[test]
    fn a_copy_that_takes_over_knows_what_has_changed_meanwhile(
        weights in prop::collection::vec(prop_oneof![Just(100u32), 1u32..=1000], 1..40),
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 0u64..50), 0..100),
        taken_in in any::<prop::sample::Index>(),
    ) {
        let count = weights.len();
        let mut ranking = Ranking::new(&members(&weights), 3);
        let mut at_once = Ranking::new(&members(&weights), 3);
        let mut loads = vec![0; count];
        let mut copy = Ranking::new(&members(&weights), 0);
        let begins = taken_in.index(steps.len() + 1);
        for step in 0..=steps.len() {
            if step == begins {
                // Loads have changed of which no ranking was told.
                for (place, load) in loads.iter_mut().enumerate() {
                    *load += place as u64 % 3;
                }
                copy.copy_from(&ranking);
                ranking.note_changes();
                copy.refresh(|place| loads[place]);
            }
            let Some((picks, index, load)) = steps.get(step) else {
                break;
            };
            let place = index.index(count);
            loads[place] = *load;
            for ranking in [&mut ranking, &mut at_once] {
                if *picks {
                    ranking.pick(place, *load);
                } else {
                    ranking.set_load(place, *load);
                }
            }
        }
        ranking.give_way_to(copy, |place| loads[place]);
        at_once.refresh(|place| loads[place]);
        prop_assert_eq!(in_order(&ranking), in_order(&at_once));
        for (place, position) in ranking.positions.iter().enumerate() {
            prop_assert_eq!(ranking.heap[*position as usize].place(), place);
        }
        for position in 1..count {
            prop_assert!(!ranking.heap[position].is_before(&ranking.heap[(position - 1) / 2]));
        }
        prop_assert!(ranking.heap.iter().all(|entry| !entry.is_noted));
        prop_assert!(ranking.changed.is_none());
    }

    /// Against a search through all of them.
    #[test]
    fn the_first_is_always_the_least_loaded(
        weights in prop::collection::vec(prop_oneof![Just(10u32), 1u32..=1000, Just(100_000)], 1..40),
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..400),
    ) {
        let mut ranking = Ranking::new(&members(&weights), 0);
        let mut loads = vec![0u64; weights.len()];
        for (begins, index) in steps {
            if begins {
                let place = ranking.first().expect("a member").place();
                let lighter = (0..weights.len()).find(|other| {
                    loads[*other] * u64::from(weights[place]) < loads[place] * u64::from(weights[*other])
                });
                prop_assert_eq!(lighter, None, "lighter than {}", place);
                loads[place] += 1;
                ranking.pick(place, loads[place]);
            } else {
                let place = index.index(weights.len());
                loads[place] = loads[place].saturating_sub(1);
                ranking.set_load(place, loads[place]);
            }
            for (place, position) in ranking.positions.iter().enumerate() {
                prop_assert_eq!(ranking.heap[*position as usize].place(), place);
            }
        }
    }
}

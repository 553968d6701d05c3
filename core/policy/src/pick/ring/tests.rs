use proptest::prelude::*;

use super::*;
use crate::pick::testing::members;

const KEYS: u64 = 40_000;

fn name(member: &Member) -> u64 {
    hash_of_name("pool", &format!("server-{}", member.number))
}

fn keys() -> impl Iterator<Item = u64> {
    (0..KEYS).map(|key| hash_key(&key.to_le_bytes()))
}

/// The members without one; their names stay.
fn without(place: usize, members: &[Member]) -> Vec<Member> {
    let mut rest = members.to_vec();
    rest.remove(place);
    rest
}

/// The numbers of the servers that keys belong to.
fn owners(members: &[Member]) -> Vec<u64> {
    let ring = Ring::new(members, name);
    let owner = |key| members[ring.find(key, &[]).expect("a member")].number;
    keys().map(owner).collect()
}

/// How many keys belong to each.
fn counts(owners: &[u64], servers: usize) -> Vec<f64> {
    let mut counts = vec![0.0; servers];
    for owner in owners {
        counts[*owner as usize] += 1.0;
    }
    counts
}

#[test]
fn the_hash_is_the_one_that_is_documented() {
    // What the reference implementation gives: the fleet's balancers of another version must agree.
    assert_eq!(hash_key(b""), 0x2d06_8005_38d3_94c2);
    assert_eq!(mix(1_234_567, 0), 6_457_827_717_110_365_317);
    assert_eq!(mix(1_234_567, 1), 3_203_168_211_198_807_973);
}

#[test]
fn nothing_belongs_to_an_empty_pool() {
    assert_eq!(Ring::new(&[], name).find(7, &[]), None);
}

/// More than 1.2 times their share of the keys would have to move for that, or others than theirs.
#[test]
fn where_one_of_n_leaves_its_keys_alone_move_and_they_are_at_most_a_fifth_above_its_share() {
    let even = |count| vec![100; count];
    let uneven: Vec<u32> = (0..40).map(|place| 100 * (1 + place % 5)).collect();
    let skewed: Vec<u32> = (0..12)
        .map(|place| if place < 2 { 20_000 } else { 100 })
        .collect();
    let sizes = [2, 3, 4, 5, 7, 10, 16, 33, 100].map(even);
    for weights in sizes.into_iter().chain([uneven, skewed]) {
        let members = members(&weights);
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let before = owners(&members);
        for place in (0..members.len()).step_by(members.len().div_ceil(8)) {
            let after = owners(&without(place, &members));
            let pairs = before.iter().zip(&after);
            let moved = pairs.clone().filter(|(one, other)| one != other).count() as f64;
            let others = pairs.filter(|(one, other)| **one != place as u64 && one != other);
            assert_eq!(others.count(), 0, "keys of others moved");
            let share = f64::from(weights[place]) / total;
            // Three deviations of what so few keys can tell.
            let allowed = 1.2 * share * KEYS as f64 + 3.0 * (share * KEYS as f64).sqrt();
            assert!(
                moved <= allowed,
                "{moved} of {KEYS} for {share} of {}",
                weights.len()
            );
        }
    }
}

#[test]
fn shares_follow_the_weights() {
    for weights in [
        vec![100; 20],
        vec![100, 200, 300, 400, 500],
        vec![10, 100_000, 50_000, 33],
    ] {
        let members = members(&weights);
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        for (count, weight) in counts(&owners(&members), weights.len())
            .iter()
            .zip(&weights)
        {
            let expected = KEYS as f64 * f64::from(*weight) / total;
            let (least, most) = (0.7 * expected, 1.2 * expected);
            let noise = 3.0 * expected.sqrt() + 1.0;
            let fair = (least - noise..=most + noise).contains(count);
            assert!(fair, "{count} keys instead of {expected} of {weights:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against all points of all servers.
    #[test]
    fn the_nearest_point_for_its_weight_is_found(
        weights in prop::collection::vec(prop_oneof![Just(100u32), 1u32..=100_000], 1..30),
        key in any::<u64>(),
        left_out in prop::collection::vec(0u32..30, 0..8),
    ) {
        let members = members(&weights);
        let ring = Ring::new(&members, name);
        let mut best: Option<(f64, usize)> = None;
        for (place, member) in members.iter().enumerate() {
            if left_out.contains(&(place as u32)) {
                continue;
            }
            for position in positions::<POINTS>(name(member)) {
                for probe in positions::<PROBES>(key) {
                    let distance = f64::from(position.wrapping_sub(probe)) / f64::from(member.weight);
                    if best.is_none_or(|(least, _)| distance < least) {
                        best = Some((distance, place));
                    }
                }
            }
        }
        prop_assert_eq!(ring.find(key, &left_out), best.map(|(_, place)| place));
    }

    /// What a key gives up a server for is where it would go were that server gone.
    #[test]
    fn leaving_one_out_is_the_same_as_having_it_gone(
        count in 2usize..40,
        place in any::<prop::sample::Index>(),
        key in any::<u64>(),
    ) {
        let all = members(&vec![100; count]);
        let place = place.index(count);
        let rest = without(place, &all);
        let left = Ring::new(&all, name).find(key, &[place as u32]).map(|place| all[place].number);
        let gone = Ring::new(&rest, name).find(key, &[]).map(|place| rest[place].number);
        prop_assert_eq!(left, gone);
    }
}

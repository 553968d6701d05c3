//! Places drawn by chance in proportion to weights, in constant time however many there are (Vose's alias method).
//!
//! Each place owns one slot of equal width. What a light one does not fill is given to one other, heavier one. So a draw chooses a slot,
//! and then between the slot's owner and the other.

use rand::Rng;

use crate::tier::Member;

#[derive(Debug)]
pub(super) struct Alias {
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The share of the slot that its owner has, of 2^32.
    own: u32,
    /// Who has the rest.
    other: u32,
}

impl Alias {
    pub(super) fn new(members: &[Member]) -> Self {
        let count = members.len() as u128;
        let total: u128 = members.iter().map(|member| u128::from(member.weight)).sum();
        // Measured so that a slot is as wide as `total`.
        let mut left: Vec<u128> = members
            .iter()
            .map(|member| u128::from(member.weight) * count)
            .collect();
        let places = 0..u32::try_from(members.len()).unwrap_or(u32::MAX);
        let mut slots: Vec<Slot> = places.clone().map(Slot::full).collect();
        let (mut light, mut heavy): (Vec<u32>, Vec<u32>) =
            places.partition(|place| left[*place as usize] < total);
        while let (Some(one), Some(&other)) = (light.pop(), heavy.last()) {
            let own = left[one as usize];
            slots[one as usize] = Slot {
                own: u32::try_from((own << 32) / total).unwrap_or(u32::MAX),
                other,
            };
            let rest = &mut left[other as usize];
            *rest -= total - own;
            if *rest < total {
                light.extend(heavy.pop());
            }
        }
        Self { slots }
    }

    /// Draws a place; nothing where there is none.
    pub(super) fn draw(&self, chance: &mut impl Rng) -> Option<usize> {
        let random = chance.next_u64();
        let place = ((random >> 32) * self.slots.len() as u64) >> 32;
        let place = usize::try_from(place).expect("less than the length");
        let slot = self.slots.get(place)?;
        let is_own = (random & u64::from(u32::MAX)) < u64::from(slot.own);
        Some(if is_own { place } else { slot.other as usize })
    }
}

impl Slot {
    fn full(place: u32) -> Self {
        Self {
            own: u32::MAX,
            other: place,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pick::testing::members;

    proptest! {
        /// What each place owns of all slots, summed up exactly rather than drawn.
        #[test]
        fn each_place_has_its_weight_of_all_slots(weights in prop::collection::vec(1u32..=100_000, 1..200)) {
            let alias = Alias::new(&members(&weights));
            let mut shares = vec![0.0; weights.len()];
            for (place, slot) in alias.slots.iter().enumerate() {
                let own = f64::from(slot.own) / f64::from(u32::MAX);
                shares[place] += own;
                shares[slot.other as usize] += 1.0 - own;
            }
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for (share, weight) in shares.iter().zip(&weights) {
                let expected = f64::from(*weight) / total * weights.len() as f64;
                prop_assert!((share - expected).abs() < 1e-6, "{share} instead of {expected}");
            }
        }
    }
}

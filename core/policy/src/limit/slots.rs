//! Meters by key, a bounded number of them: where there are as many as there may be, one that was not used for a while makes room.

use hashbrown::HashTable;

use super::meter::Meter;

/// Some of the keys, behind one lock.
#[derive(Debug)]
pub(super) struct Slots {
    /// Places in `slots`.
    places: HashTable<u32>,
    slots: Vec<Slot>,
    /// The place that is looked at next for one to make room.
    hand: usize,
    max: usize,
}

#[derive(Debug)]
struct Slot {
    key: u128,
    /// Since the hand was here.
    is_used: bool,
    meter: Meter,
}

/// Keys are hashes already.
fn hash(key: u128) -> u64 {
    key as u64
}

impl Slots {
    /// With at most so many keys, and at least one.
    pub(super) fn new(max: usize) -> Self {
        Self {
            places: HashTable::new(),
            slots: Vec::new(),
            hand: 0,
            max: max.max(1),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&mut self, key: u128) -> Option<&mut Meter> {
        let slots = &self.slots;
        let place = *self
            .places
            .find(hash(key), |place| slots[*place as usize].key == key)?;
        let slot = &mut self.slots[place as usize];
        slot.is_used = true;
        Some(&mut slot.meter)
    }

    /// The meter of a key, made where there is none. Nothing where all there may be are of requests in flight.
    pub(super) fn get_or_add(
        &mut self,
        key: u128,
        new: impl FnOnce() -> Meter,
    ) -> Option<&mut Meter> {
        // Looked up twice, since what a first look lends would be lent until the end.
        if self.get(key).is_none() {
            self.add(key, new())?;
        }
        self.get(key)
    }

    fn add(&mut self, key: u128, meter: Meter) -> Option<()> {
        let slot = Slot {
            key,
            is_used: true,
            meter,
        };
        let place = match self.slots.len() < self.max {
            true => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
            false => {
                let place = self.make_room()?;
                self.slots[place] = slot;
                place
            }
        };
        let place = u32::try_from(place).ok()?;
        let slots = &self.slots;
        self.places
            .insert_unique(hash(key), place, |place| hash(slots[*place as usize].key));
        Some(())
    }

    /// Frees a place: the next one that was not used since the hand was there last.
    fn make_room(&mut self) -> Option<usize> {
        for _ in 0..2 * self.slots.len() {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            let slot = &mut self.slots[place];
            let may_go = !slot.is_used && slot.meter.in_flight == 0;
            slot.is_used = false;
            if may_go {
                let found = self
                    .places
                    .find_entry(hash(slot.key), |other| *other as usize == place);
                found.ok()?.remove();
                return Some(place);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limit::meter::Terms;

    const MAX: usize = 100;

    fn slots() -> Slots {
        Slots::new(MAX)
    }

    fn add(slots: &mut Slots, key: u128) -> Option<&mut Meter> {
        let terms = Terms::new(Duration::from_secs(1), 10, 1);
        slots.get_or_add(key, || Meter::new(&terms, 0))
    }

    #[test]
    fn a_key_that_is_used_outlives_those_that_are_not() {
        let mut slots = slots();
        for key in 0..10 * MAX as u128 {
            add(&mut slots, 7).expect("there is room").in_flight = 0;
            add(&mut slots, 1_000 + key).expect("there is room");
            assert!(slots.len() <= MAX);
        }
        assert!(slots.get(7).is_some());
        assert!(slots.get(1_000).is_none());
        assert!(slots.get(1_000 + 10 * MAX as u128 - 1).is_some());
    }

    #[test]
    fn one_with_requests_in_flight_stays() {
        let mut slots = slots();
        for key in 0..MAX as u128 {
            add(&mut slots, key).expect("there is room").in_flight = 1;
        }
        assert!(add(&mut slots, 1_000).is_none());
        slots.get(5).expect("it stays").in_flight = 0;
        assert!(add(&mut slots, 1_000).is_some());
        assert!(slots.get(5).is_none());
    }

    #[test]
    fn keys_that_share_half_of_their_bits_are_two() {
        let mut slots = slots();
        add(&mut slots, 1).expect("there is room").in_flight = 1;
        add(&mut slots, 1 | 1 << 100)
            .expect("there is room")
            .in_flight = 2;
        assert_eq!(slots.get(1).expect("it is there").in_flight, 1);
    }
}

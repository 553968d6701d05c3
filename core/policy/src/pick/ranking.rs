//! Servers in the order of their load for their weight, kept in an indexed heap: the least loaded is known at once, and a load that changes
//! costs as many steps as the logarithm of the number of servers.
//!
//! Of those that are equally loaded the one comes first that has had the fewest picks for its weight, so that an idle pool is used evenly.
//! One that took no part in that for a while does not make up for it: it is counted as if it had had as many as the others.
//!
//! To order all of them anew takes long where they are many. So that is done to a copy, while the ranking itself goes on and notes which
//! places change; of those the copy learns when it takes the ranking's place.

use crate::tier::Member;

/// What one pick adds to a server of weight 1.
const TURN: u64 = 1 << 40;

/// How many of the least loaded are proposed before all are looked at.
const PROPOSED_MAX: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Ranking {
    heap: Vec<Entry>,
    /// Where each place's entry is in the heap.
    positions: Vec<u32>,
    /// What the server that was picked last had had before.
    had_by_last: u64,
    /// The places that have changed since a copy was made, where one is to take over.
    changed: Option<Vec<u32>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) load: u64,
    weight: u32,
    place: u32,
    /// What it was picked, for its weight.
    had: u64,
    /// Decides among those that have had as much.
    order: u32,
    /// Its place is among those that have changed.
    is_noted: bool,
}

impl Entry {
    pub(super) fn place(&self) -> usize {
        self.place as usize
    }

    fn is_before(&self, other: &Self) -> bool {
        let own = self.load * u64::from(other.weight);
        let others = other.load * u64::from(self.weight);
        (own, self.had, self.order) < (others, other.had, other.order)
    }
}

impl Ranking {
    /// The members, none of them loaded; equals take turns from the place `start` on.
    pub(super) fn new(members: &[Member], start: u64) -> Self {
        let count = members.len();
        let start = usize::try_from(start.checked_rem(count as u64).unwrap_or(0));
        let start = start.expect("less than the length");
        let entry = |(place, member): (usize, &Member)| Entry {
            load: 0,
            weight: member.weight,
            place: number(place),
            had: 0,
            order: number((place + count - start) % count),
            is_noted: false,
        };
        let mut ranking = Self {
            heap: members.iter().enumerate().map(entry).collect(),
            positions: (0..count).map(number).collect(),
            had_by_last: 0,
            changed: None,
        };
        ranking.sort();
        ranking
    }

    /// Makes this, which has as many places, a copy of another: all that it takes is to move bytes.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.heap.copy_from_slice(&other.heap);
        self.positions.copy_from_slice(&other.positions);
        self.had_by_last = other.had_by_last;
    }

    /// Notes from now on which places change, until a copy takes over.
    pub(super) fn note_changes(&mut self) {
        self.changed = Some(Vec::new());
    }

    /// Lets a copy take over that was made when changes began to be noted: of those it learns, with what the loads are now. Answers what
    /// is left of this one.
    pub(super) fn give_way_to(&mut self, mut copy: Self, load: impl Fn(usize) -> u64) -> Self {
        copy.had_by_last = self.had_by_last;
        for place in self.changed.take().unwrap_or_default() {
            let place = place as usize;
            let position = copy.positions[place] as usize;
            copy.heap[position].had = self.entry(place).had;
            copy.set_load(place, load(place));
        }
        std::mem::replace(self, copy)
    }

    /// Goes on from another: `before` says at which place there the member of each place was.
    pub(super) fn go_on_from(&mut self, other: &Self, before: impl Fn(usize) -> Option<usize>) {
        self.had_by_last = other.had_by_last;
        for entry in &mut self.heap {
            let known = before(entry.place()).map(|place| other.entry(place));
            entry.had = known.map_or(other.had_by_last, |known| known.had);
        }
        self.sort();
    }

    /// Takes in what all loads are now.
    pub(super) fn refresh(&mut self, load: impl Fn(usize) -> u64) {
        for entry in &mut self.heap {
            entry.load = load(entry.place());
        }
        self.sort();
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        self.heap.first()
    }

    /// A place's load has changed.
    pub(super) fn set_load(&mut self, place: usize, load: u64) {
        let position = self.positions[place] as usize;
        let entry = &mut self.heap[position];
        entry.load = load;
        if let Some(changed) = &mut self.changed
            && !std::mem::replace(&mut entry.is_noted, true)
        {
            changed.push(entry.place);
        }
        let position = self.rise(position);
        self.sink(position);
    }

    /// A place was picked, and has this load now.
    pub(super) fn pick(&mut self, place: usize, load: u64) {
        let position = self.positions[place] as usize;
        let entry = &mut self.heap[position];
        let had = entry.had.max(self.had_by_last);
        self.had_by_last = had;
        entry.had = had + TURN / u64::from(entry.weight);
        self.set_load(place, load);
    }

    /// Proposes places, the least loaded first, until one is accepted; gives up after a bounded number.
    pub(super) fn propose<T>(&self, mut accept: impl FnMut(usize) -> Option<T>) -> Option<T> {
        // Whatever comes next is a child of one that was proposed.
        let mut open = [0u32; PROPOSED_MAX + 2];
        let mut length = self.heap.len().min(1);
        for _ in 0..PROPOSED_MAX {
            let best = (0..length).reduce(|best, at| {
                let (one, other) = (open[at] as usize, open[best] as usize);
                let is_before = self.heap[one].is_before(&self.heap[other]);
                if is_before { at } else { best }
            })?;
            let position = open[best] as usize;
            let accepted = accept(self.heap[position].place());
            if accepted.is_some() {
                return accepted;
            }
            length -= 1;
            open[best] = open[length];
            for child in [2 * position + 1, 2 * position + 2] {
                if child < self.heap.len() {
                    open[length] = number(child);
                    length += 1;
                }
            }
        }
        None
    }

    /// The one of two places that comes first.
    pub(super) fn better_of(&self, one: usize, other: usize) -> usize {
        let is_before = self.entry(other).is_before(self.entry(one));
        if is_before { other } else { one }
    }

    /// The least loaded of all places that are eligible.
    pub(super) fn best_of_all(&self, mut is_eligible: impl FnMut(usize) -> bool) -> Option<usize> {
        let eligible = self.heap.iter().filter(|entry| is_eligible(entry.place()));
        let best = eligible.reduce(|best, entry| if entry.is_before(best) { entry } else { best });
        best.map(Entry::place)
    }

    fn entry(&self, place: usize) -> &Entry {
        &self.heap[self.positions[place] as usize]
    }

    fn sort(&mut self) {
        for position in (0..self.heap.len() / 2).rev() {
            self.sink(position);
        }
    }

    fn rise(&mut self, mut position: usize) -> usize {
        while position > 0 {
            let parent = (position - 1) / 2;
            if !self.heap[position].is_before(&self.heap[parent]) {
                break;
            }
            self.swap(position, parent);
            position = parent;
        }
        position
    }

    fn sink(&mut self, mut position: usize) {
        loop {
            let left = 2 * position + 1;
            if left >= self.heap.len() {
                return;
            }
            let right = left + 1;
            let right_first =
                right < self.heap.len() && self.heap[right].is_before(&self.heap[left]);
            let child = if right_first { right } else { left };
            if !self.heap[child].is_before(&self.heap[position]) {
                return;
            }
            self.swap(position, child);
            position = child;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for position in [one, other] {
            self.positions[self.heap[position].place()] = number(position);
        }
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).expect("fewer servers than a u32 counts")
}

#[cfg(test)]
mod tests;

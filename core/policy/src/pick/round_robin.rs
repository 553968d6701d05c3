//! Smooth weighted round robin, exact over all threads without a lock.
//!
//! Each turn has a number, taken from one shared counter, and who is picked is a pure function of that number.
//! Servers of equal weight form a group, which they share by plain rotation in the order of creation. Groups
//! are the leaves of a binary tree (built as Huffman's, so that heavy groups are near its root); each node
//! gives every turn to its left or right side as a line of that slope is drawn in pixels: of any `turns`
//! turns in a row, exactly `left` go left, as evenly spread as whole numbers can be. The turn's number among
//! those of its side then counts on below. So any run of as many turns as the weights add up to gives each
//! server its weight exactly, with equal weights it is 1, 2, 3, 1, 2, 3, and picking costs one atomic addition
//! and a division per level, of which there are few: as many as the logarithm of the number of different weights. The
//! well-known algorithm (add each weight, pick the largest, subtract the sum) visits every server for each request.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicU64, Ordering};

use rand::{Rng, RngExt};

use crate::InFlight;
use crate::choice::Choice;
use crate::tier::{Member, Members};

type Age = (model::Revision, u32);

/// How many turns may be passed over before chance decides.
const TURNS_PASSED_MAX: usize = 32;

/// Draws before any server is taken that can be had.
const DRAWS_MAX: usize = 16;

/// Whose turn it is among the members of a pool.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    /// In the order of creation.
    members: Members,
    groups: Vec<Group>,
    /// Each node after its children; the root is the last.
    nodes: Vec<Node>,
    /// The sum of the weights, after division by what divides them all.
    turns: u64,
    /// The number of the first turn; none where it goes on from another rotation.
    begun: Option<u64>,
    turn: AtomicU64,
}

/// Members of the same weight.
#[derive(Debug)]
struct Group {
    weight: u32,
    /// Places among the members.
    places: Vec<usize>,
    /// Which of them has the group's turn 0.
    first: usize,
}

#[derive(Debug)]
enum Node {
    Group(usize),
    /// Of `turns` turns, `left_turns` go left.
    Split {
        left: usize,
        right: usize,
        left_turns: u64,
        turns: u64,
    },
}

impl RoundRobin {
    /// A rotation over the members, which come in the order of creation with weights above zero.
    pub(super) fn new(members: Members, start: u64) -> Self {
        let groups = group(&members);
        let (nodes, turns) = grow(&groups);
        let begun = start.checked_rem(turns).unwrap_or(0);
        Self {
            members,
            groups,
            nodes,
            turns,
            begun: Some(begun),
            turn: AtomicU64::new(begun),
        }
    }

    /// A rotation that goes on where another stands, as far as the two have members and weights in common. One that nobody has used yet
    /// stands nowhere.
    pub(super) fn after(previous: &Self, members: Members, start: u64) -> Self {
        let turn = previous.turn.load(Ordering::Relaxed);
        let mut rotation = Self::new(members, start);
        if previous.begun == Some(turn) || rotation.turns == 0 {
            return rotation;
        }
        let turn_in_round = turn % previous.turns;
        let turn = turn_in_round * rotation.turns / previous.turns;
        rotation.turn = AtomicU64::new(turn);
        rotation.begun = None;
        for index in 0..rotation.groups.len() {
            let next = previous.next_of_weight(rotation.groups[index].weight, turn_in_round);
            rotation.align(index, turn, next);
        }
        rotation
    }

    /// Whether it is a rotation over exactly these.
    pub(super) fn is_of(&self, members: &[Member]) -> bool {
        *self.members == *members
    }

    /// Takes turns until the server whose turn it is can be had. A turn that is passed over is lost, so that nobody has those of
    /// another beside its own.
    ///
    /// A request that is tried again takes no turn: servers that were created one after the other often stand in one rack and fail
    /// together, so that the next in turn is the likeliest to fail as well.
    pub(super) fn pick(&self, choice: &mut Choice<'_>, chance: &mut impl Rng) -> Option<InFlight> {
        if choice.ask.tried.is_empty() {
            for _ in 0..TURNS_PASSED_MAX.min(2 * self.members.len()) {
                let place = self.next()?;
                if let Some(flight) = choice.take(&self.members[place]) {
                    return Some(flight);
                }
            }
        }
        self.pick_by_chance(choice, chance)
    }

    /// Takes a server in proportion to the weights, whose turn it need not be. Where a far heavier one cannot be had, any.
    fn pick_by_chance(&self, choice: &mut Choice<'_>, chance: &mut impl Rng) -> Option<InFlight> {
        for _ in 0..DRAWS_MAX {
            let place = self.draw(chance)?;
            if let Some(flight) = choice.take(&self.members[place]) {
                return Some(flight);
            }
        }
        choice.take_any(&self.members, self.draw(chance)?)
    }

    /// The place of whose turn some turn is.
    fn draw(&self, chance: &mut impl Rng) -> Option<usize> {
        let has_turns = self.turns > 0;
        has_turns.then(|| self.place_at(chance.random_range(0..self.turns)))
    }

    /// Takes the next turn: the place of whose it is.
    fn next(&self) -> Option<usize> {
        if self.turns == 0 {
            return None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Some(self.place_at(turn % self.turns))
    }

    fn place_at(&self, turn: u64) -> usize {
        let (group, turn) = self.descend(turn);
        self.groups[group].place_at(turn)
    }

    /// The group that has the turn, and which of its own turns that is.
    fn descend(&self, mut turn: u64) -> (usize, u64) {
        let mut node = self.nodes.len() - 1;
        loop {
            match self.nodes[node] {
                Node::Group(group) => return (group, turn),
                Node::Split {
                    left,
                    right,
                    left_turns,
                    turns,
                } => {
                    // Half a turn is added to round to the nearest pixel.
                    let line = turn * left_turns + turns / 2;
                    let lefts_before = line / turns;
                    let goes_left = line % turns + left_turns >= turns;
                    node = if goes_left { left } else { right };
                    turn = if goes_left {
                        lefts_before
                    } else {
                        turn - lefts_before
                    };
                }
            }
        }
    }

    /// How many turns each group has had when the round has had `turn`.
    fn turns_had(&self, turn: u64) -> Vec<u64> {
        let mut had = vec![0; self.groups.len()];
        let mut open = vec![(self.nodes.len() - 1, turn)];
        while let Some((node, turn)) = open.pop() {
            match self.nodes[node] {
                Node::Group(group) => had[group] = turn,
                Node::Split {
                    left,
                    right,
                    left_turns,
                    turns,
                } => {
                    let lefts = (turn * left_turns + turns / 2) / turns;
                    open.push((left, lefts));
                    open.push((right, turn - lefts));
                }
            }
        }
        had
    }

    /// The age of the member whose turn comes next among those of a weight; where none has it, among all.
    fn next_of_weight(&self, weight: u32, turn: u64) -> Age {
        let group = self.groups.iter().position(|group| group.weight == weight);
        let place = match group {
            Some(group) => self.groups[group].place_at(self.turns_had(turn)[group]),
            None => self.place_at(turn),
        };
        self.members[place].age
    }

    /// Turns a group so that at the round's `turn` its next member is `next`, or else the one created after it.
    fn align(&mut self, index: usize, turn: u64, next: Age) {
        let had = self.turns_had(turn)[index];
        let members = &self.members;
        let group = &mut self.groups[index];
        let length = group.places.len();
        let wanted = group
            .places
            .partition_point(|place| members[*place].age < next);
        let reached = usize::try_from(had % length as u64).expect("less than a usize");
        group.first = (wanted + length - reached) % length;
    }
}

impl Group {
    fn place_at(&self, turn: u64) -> usize {
        let length = self.places.len();
        let step = usize::try_from(turn % length as u64).expect("less than a usize");
        self.places[(self.first + step) % length]
    }
}

/// Members by weight, each group in the order of creation.
fn group(members: &[Member]) -> Vec<Group> {
    let mut by_weight: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, member) in members.iter().enumerate() {
        by_weight.entry(member.weight).or_default().push(place);
    }
    let group = |(weight, places)| Group {
        weight,
        places,
        first: 0,
    };
    by_weight.into_iter().map(group).collect()
}

/// Huffman's tree over the groups, and the sum of their turns.
fn grow(groups: &[Group]) -> (Vec<Node>, u64) {
    let divisor = groups
        .iter()
        .fold(0, |divisor, group| greatest_divisor(divisor, group.weight));
    let turns_of =
        |group: &Group| u64::from(group.weight / divisor.max(1)) * group.places.len() as u64;
    let mut nodes: Vec<Node> = (0..groups.len()).map(Node::Group).collect();
    let mut roots: BinaryHeap<_> = groups
        .iter()
        .enumerate()
        .map(|(index, group)| Reverse((turns_of(group), index)))
        .collect();
    while let Some(Reverse((left_turns, left))) = roots.pop() {
        let Some(Reverse((right_turns, right))) = roots.pop() else {
            return (nodes, left_turns);
        };
        let turns = left_turns + right_turns;
        nodes.push(Node::Split {
            left,
            right,
            left_turns,
            turns,
        });
        roots.push(Reverse((turns, nodes.len() - 1)));
    }
    (nodes, 0)
}

fn greatest_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests;

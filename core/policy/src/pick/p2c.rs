//! The better of two that chance chooses: the smaller product of latency and requests in flight, for its weight.
//!
//! Two draws are enough to keep the load even without a lock and without the herds that chase one server which looks best to all. Latency
//! is a peak EWMA, so that a server which turns slow is left at once and tried again as time passes.

use rand::Rng;

use super::alias::Alias;
use crate::choice::Choice;
use crate::server::LOAD_PARTS;
use crate::tier::{Member, Members};
use crate::{Ask, InFlight, Server};

/// Pairs that are drawn before any server is taken that can be had.
const PAIRS_MAX: usize = 8;

/// Draws of a second one that is another; where one server has nearly all the weight, its neighbour is taken.
const SECOND_DRAWS_MAX: usize = 3;

/// The cost of one that has requests in flight and has never answered: such a server gets one request at a time until it does.
const UNPROVEN: f64 = 1e12;

#[derive(Debug)]
pub(crate) struct P2c {
    members: Members,
    alias: Alias,
}

impl P2c {
    pub(super) fn new(members: Members) -> Self {
        let alias = Alias::new(&members);
        Self { members, alias }
    }

    pub(super) fn pick(&self, choice: &mut Choice<'_>, chance: &mut impl Rng) -> Option<InFlight> {
        let mut flight = self.take(choice, chance)?;
        flight.time_for_algorithm();
        Some(flight)
    }

    fn take(&self, choice: &mut Choice<'_>, chance: &mut impl Rng) -> Option<InFlight> {
        for _ in 0..PAIRS_MAX {
            let (one, other) = self.two(choice, chance)?;
            let flight = choice.take(one).or_else(|| choice.take(other));
            if flight.is_some() {
                return flight;
            }
        }
        choice.take_any(&self.members, self.alias.draw(chance)?)
    }

    /// Two that are drawn, the better one first.
    fn two(&self, choice: &Choice<'_>, chance: &mut impl Rng) -> Option<(&Member, &Member)> {
        let first = self.alias.draw(chance)?;
        let mut second = first;
        for _ in 0..SECOND_DRAWS_MAX {
            if second == first {
                second = self.alias.draw(chance)?;
            }
        }
        if second == first {
            second = (first + 1) % self.members.len();
        }
        let (one, other) = (&self.members[first], &self.members[second]);
        let cost = |member: &Member| cost(choice.server(member), member.weight, choice.ask);
        Some(if cost(other) < cost(one) {
            (other, one)
        } else {
            (one, other)
        })
    }
}

fn cost(server: &Server, weight: u32, ask: &Ask<'_>) -> f64 {
    let load = server.live().compared_load() as f64 / LOAD_PARTS as f64;
    match server.live().latency().micros(ask.now) {
        Some(micros) => micros * (load + 1.0) / f64::from(weight),
        None if load > 0.0 => UNPROVEN + load,
        None => 0.0,
    }
}

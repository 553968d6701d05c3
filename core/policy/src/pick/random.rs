//! By chance, in proportion to the weights: no state, and nothing that threads share.

use rand::Rng;

use super::alias::Alias;
use crate::InFlight;
use crate::choice::Choice;
use crate::tier::Members;

/// Draws before any server is taken that can be had.
const DRAWS_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct Random {
    members: Members,
    alias: Alias,
}

impl Random {
    pub(super) fn new(members: Members) -> Self {
        let alias = Alias::new(&members);
        Self { members, alias }
    }

    pub(super) fn pick(&self, choice: &mut Choice<'_>, chance: &mut impl Rng) -> Option<InFlight> {
        for _ in 0..DRAWS_MAX {
            let place = self.alias.draw(chance)?;
            if let Some(flight) = choice.take(&self.members[place]) {
                return Some(flight);
            }
        }
        choice.take_any(&self.members, self.alias.draw(chance)?)
    }
}

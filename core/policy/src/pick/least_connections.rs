//! The fewest requests in flight for the weight, exact over all threads: looking and taking are one step under the pool's lock.
//!
//! The lock is held for one pick or one end of a flight, or to copy the ranking and to put one in its place, never across an await: whatever
//! looks at every server does so outside it. A change of membership makes a new ranking; flights that began before report their end to
//! the server, which knows the ranking that it is in now.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rand::{Rng, RngExt};

use super::ranking::Ranking;
use crate::choice::Choice;
use crate::tier::{Member, Members};
use crate::{InFlight, Live, Server};

/// How often the first may turn out to be ranked by a load that it no longer has, in one pick.
const STALE_MAX: usize = 8;

/// Pairs that are drawn for a request that is tried again, before the first of all is taken.
const PAIRS_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct LeastConnections {
    members: Members,
    ranking: Mutex<Ranking>,
    /// Held by whoever makes the ranking anew: one at a time. No request takes it.
    refreshing: Mutex<()>,
}

/// Where a server is ranked, so that the end of a flight is known there.
#[derive(Debug, Default)]
pub(crate) struct Ranked {
    /// Spares everybody else the lock.
    is_ranked: AtomicBool,
    place: Mutex<(Weak<LeastConnections>, usize)>,
}

impl LeastConnections {
    /// Over these members of a pool's servers. It goes on where another stands; equals take turns from the place `start` on.
    pub(super) fn new(
        members: Members,
        servers: &[Arc<Server>],
        previous: Option<&Self>,
        start: u64,
    ) -> Arc<Self> {
        let mut ranking = Ranking::new(&members, start);
        if let Some(previous) = previous {
            let places = previous.places();
            let before = |place: usize| places.get(&members[place].number).copied();
            let mut copy = previous.blank();
            copy.copy_from(&previous.ranking.lock());
            ranking.go_on_from(&copy, before);
        }
        let this = Arc::new(Self {
            members,
            ranking: Mutex::new(ranking),
            refreshing: Mutex::default(),
        });
        for (place, member) in this.members.iter().enumerate() {
            servers[member.index].live().ranked().set(&this, place);
        }
        // Not before: a flight that ends from now on is known here.
        this.refresh(servers);
        this
    }

    pub(super) fn is_of(&self, members: &[Member]) -> bool {
        *self.members == *members
    }

    pub(super) fn pick(&self, choice: &mut Choice<'_>, chance: &mut impl Rng) -> Option<InFlight> {
        let mut ranking = self.ranking.lock();
        self.freshen(&mut ranking, choice);
        let take = |place: usize, choice: &mut Choice<'_>| {
            let flight = choice.take(&self.members[place])?;
            Some((place, flight))
        };
        let mut taken = None;
        if !choice.ask.tried.is_empty() {
            taken = self
                .draw(&ranking, choice, chance)
                .and_then(|place| take(place, choice));
        }
        taken = taken.or_else(|| ranking.propose(|place| take(place, choice)));
        if taken.is_none() {
            let best = ranking.best_of_all(|place| choice.may_take(&self.members[place]));
            taken = best.and_then(|place| take(place, choice));
        }
        let (place, flight) = taken?;
        ranking.pick(place, flight.server().live().compared_load());
        Some(flight)
    }

    /// For a request that is tried again, the better one of two that may be taken. Servers that fail at once have the fewest in flight, so
    /// that all tries would go to them; and among equals those come one after the other that were created so, and often fail together.
    fn draw(
        &self,
        ranking: &Ranking,
        choice: &mut Choice<'_>,
        chance: &mut impl Rng,
    ) -> Option<usize> {
        let count = self.members.len();
        if count == 0 {
            return None;
        }
        let mut drawn = None;
        for _ in 0..2 * PAIRS_MAX {
            let place = chance.random_range(0..count);
            if drawn == Some(place) || !choice.may_take(&self.members[place]) {
                continue;
            }
            let Some(other) = drawn.replace(place) else {
                continue;
            };
            return Some(ranking.better_of(other, place));
        }
        drawn
    }

    /// Takes in every server's load anew, where it changed otherwise than by flights of this balancer.
    pub(super) fn refresh(&self, servers: &[Arc<Server>]) {
        let load = |place: usize| servers[self.members[place].index].live().compared_load();
        let _alone = self.refreshing.lock();
        let mut copy = self.blank();
        self.begin_copy(&mut copy);
        copy.refresh(load);
        // Freed outside the lock.
        let _former = self.ranking.lock().give_way_to(copy, load);
    }

    /// A flight that begins or ends from here on is noted; of one that did before, the load says so.
    fn begin_copy(&self, copy: &mut Ranking) {
        let mut ranking = self.ranking.lock();
        copy.copy_from(&ranking);
        ranking.note_changes();
    }

    /// What the ranking is copied to: memory that was written to, so that none has to be found under the lock.
    fn blank(&self) -> Ranking {
        Ranking::new(&self.members, 0)
    }

    /// The first is not ranked by what an older table's flights have made of it meanwhile.
    fn freshen(&self, ranking: &mut Ranking, choice: &Choice<'_>) {
        for _ in 0..STALE_MAX {
            let Some(first) = ranking.first() else {
                return;
            };
            let place = first.place();
            let load = choice.server(&self.members[place]).live().compared_load();
            if load == first.load {
                return;
            }
            ranking.set_load(place, load);
        }
    }

    fn places(&self) -> HashMap<u64, usize> {
        let members = self.members.iter().enumerate();
        members
            .map(|(place, member)| (member.number, place))
            .collect()
    }
}

impl Ranked {
    /// A flight to this server has ended, or began without its being proposed.
    pub(crate) fn changed(&self, live: &Live) {
        if self.is_ranked.load(Ordering::SeqCst) {
            let (ranking, place) = &*self.place.lock();
            if let Some(of) = ranking.upgrade() {
                // Read under the lock, so that the latest load is the one that is kept.
                let mut ranking = of.ranking.lock();
                ranking.set_load(*place, live.compared_load());
            }
        }
    }

    /// No algorithm ranks it any more.
    pub(super) fn clear(&self) {
        if self.is_ranked.swap(false, Ordering::SeqCst) {
            *self.place.lock() = (Weak::new(), 0);
        }
    }

    fn set(&self, ranking: &Arc<LeastConnections>, place: usize) {
        *self.place.lock() = (Arc::downgrade(ranking), place);
        self.is_ranked.store(true, Ordering::SeqCst);
    }
}

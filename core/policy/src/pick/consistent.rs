//! The same server for the same key, at every balancer, within a bound on how uneven the load may become (Mirrokni, Thorup and
//! Zadimoghaddam, 2018).
//!
//! A server that has its bound of requests in flight, was tried or cannot be had gives the key on to the next server of the key's own
//! order: the one that it would belong to if this one were not there.

use std::sync::Arc;

use super::ring::Ring;
use crate::choice::Choice;
use crate::flights::Flights;
use crate::tier::{Member, Members};
use crate::{InFlight, Server};

/// So few requests in flight are no load: each server may have them whatever its share is. Without that a client on its own, whose next
/// request comes while the last one is just ending, would be sent to and fro.
const FREE_LOAD: f64 = 8.0;

/// Servers of a key's own order that are proposed before all are looked at.
const PROPOSED_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct Consistent {
    members: Members,
    ring: Ring,
    /// The sum of the weights.
    weights: f64,
    /// How many times its fair share a server may have in flight; none where there is no bound.
    bound: Option<f64>,
    /// Of the pool, counted where there is a bound.
    flights: Flights,
}

impl Consistent {
    /// A bound of 0 is none.
    pub(super) fn new(
        members: Members,
        servers: &[Arc<Server>],
        bound: f64,
        flights: Flights,
    ) -> Self {
        let ring = Ring::of_servers(&members, servers);
        let weights = members.iter().map(|member| f64::from(member.weight)).sum();
        Self {
            members,
            ring,
            weights,
            bound: (bound > 0.0).then_some(bound),
            flights,
        }
    }

    pub(super) fn flights(&self) -> &Flights {
        &self.flights
    }

    pub(super) fn is_of(&self, members: &[Member], bound: f64) -> bool {
        *self.members == *members && self.bound.unwrap_or(0.0) == bound
    }

    pub(super) fn pick(&self, choice: &mut Choice<'_>) -> Option<InFlight> {
        let mut flight = self.take(choice)?;
        self.count_in(&mut flight);
        Some(flight)
    }

    /// Counts a flight among the pool's, where there is a bound.
    pub(super) fn count_in(&self, flight: &mut InFlight) {
        if self.bound.is_some() {
            flight.count_in(&self.flights);
        }
    }

    fn take(&self, choice: &mut Choice<'_>) -> Option<InFlight> {
        let mut passed = [0; PROPOSED_MAX];
        let mut length = 0;
        let fair = self.fair_load();
        while length < PROPOSED_MAX {
            let Some(place) = self.ring.find(choice.ask.hash, &passed[..length]) else {
                break;
            };
            let member = &self.members[place];
            if self.has_room(choice.server(member), member, fair)
                && let Some(flight) = choice.take(member)
            {
                return Some(flight);
            }
            passed[length] = place as u32;
            length += 1;
        }
        self.take_another(choice, fair)
            .or_else(|| self.take_beyond_bound(choice, &passed[..length]))
    }

    /// Any other that has room, still the same at every balancer.
    fn take_another(&self, choice: &mut Choice<'_>, fair: f64) -> Option<InFlight> {
        let (before, after) = self.members.split_at(self.place_of(choice.ask.hash));
        let mut order = after.iter().chain(before);
        order.find_map(|member| {
            let has_room = self.has_room(choice.server(member), member, fair);
            has_room.then(|| choice.take(member)).flatten()
        })
    }

    /// Servers that are full, tried or ejected can leave too little room within the bound for what comes: better uneven than refused.
    fn take_beyond_bound(&self, choice: &mut Choice<'_>, passed: &[u32]) -> Option<InFlight> {
        self.bound?;
        let mut own_order = passed.iter();
        own_order
            .find_map(|place| choice.take(&self.members[*place as usize]))
            .or_else(|| choice.take_any(&self.members, self.place_of(choice.ask.hash)))
    }

    fn place_of(&self, hash: u64) -> usize {
        let place = hash.checked_rem(self.members.len() as u64).unwrap_or(0);
        usize::try_from(place).expect("less than the length")
    }

    /// What each part of weight may have in flight, the request to come included.
    fn fair_load(&self) -> f64 {
        let bound = self.bound.unwrap_or(f64::INFINITY);
        bound * (self.flights.count() + 1) as f64 / self.weights
    }

    /// Whether one more keeps the server within its bound. Threads that look at the same moment may each add one.
    fn has_room(&self, server: &Server, member: &Member, fair: f64) -> bool {
        self.bound.is_none() || {
            let room = (fair * f64::from(member.weight)).ceil().max(FREE_LOAD);
            (server.live().in_flight() as f64) < room
        }
    }
}

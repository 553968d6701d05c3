//! A request in flight to a server, from the pick until it is over, and how it went.

use std::sync::Arc;
use std::time::Duration;

use super::Server;
use crate::flights::{Counted, Flights};
use crate::{Place, Unpicked};

/// A request in flight to a server, tunnels included; dropping it ends the flight and counts how it went.
#[derive(Debug)]
#[must_use = "dropping it says that the request is over"]
pub struct InFlight {
    server: Arc<Server>,
    outcome: Outcome,
    /// Reserved for its connection, where the server has a bound.
    place: Option<Place>,
    /// Whether the pool's algorithm wants to know how long the first byte of the answer takes.
    timed_by_algorithm: bool,
    /// Whether the rule does that compares the pool's servers by it.
    timed_by_rule: bool,
    /// Among all of its pool, where that counts them.
    counted: Option<Counted>,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered, at this time on the callers' clock.
    Answered { at: Duration },
    /// It answered that it cannot serve the request: a status of 500 or above, but none of the next.
    ServerError,
    /// It answered as a gateway would that has no server: 502, 503 or 504.
    GatewayError,
    /// It failed.
    Failed,
    /// Nobody waits for it any more: the client went, or another try is made.
    Abandoned,
}

impl InFlight {
    /// Takes the server where it has room, in one step: nobody else takes the same place.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) fn begin(server: Arc<Server>) -> Result<Self, Unpicked> {
        // Asked first, since giving back what was taken in vain calls those who wait.
        server.room()?;
        server.live().count_in()?;
        // Given back by hand: the end of a flight is told to the ranking that may be choosing right now.
        let place = Place::reserve(server.live()).inspect_err(|_| server.live().count_out())?;
        Ok(Self {
            server,
            outcome: Outcome::Abandoned,
            timed_by_algorithm: false,
            timed_by_rule: false,
            counted: None,
            place,
        })
    }

    /// The place for the connection that it uses, where one was reserved.
    pub fn take_place(&mut self) -> Option<Place> {
        self.place.take()
    }

    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Whether anybody wants to know how long the first byte of the answer takes.
    pub fn is_timed(&self) -> bool {
        self.timed_by_algorithm || self.timed_by_rule
    }

    /// Tells those who want to know it how long the try took: until the first byte of an answer, or until it failed. To the algorithm an
    /// error is no answer; the rule looks at how fast answers are, and not at what they say.
    pub fn took(&self, latency: Duration, now: Duration, outcome: Outcome) {
        let live = self.server.live();
        let is_answer = !matches!(outcome, Outcome::Failed | Outcome::Abandoned);
        if self.timed_by_rule && is_answer {
            live.signs().took(latency);
        }
        if !self.timed_by_algorithm {
            return;
        }
        match outcome {
            Outcome::Answered { .. } => live.latency().observe(latency, now),
            Outcome::ServerError | Outcome::GatewayError | Outcome::Failed => {
                live.latency().observe_failure(latency, now);
            }
            Outcome::Abandoned => {}
        }
    }

    pub(crate) fn time_for_algorithm(&mut self) {
        self.timed_by_algorithm = true;
    }

    pub(crate) fn time_for_rule(&mut self) {
        self.timed_by_rule = true;
    }

    pub(crate) fn count_in(&mut self, flights: &Flights) {
        self.counted = Some(flights.count_in());
    }

    /// Notes how the try went; the flight goes on until this is dropped.
    pub fn note(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let live = self.server.live();
        live.note(self.outcome);
        live.count_out();
        live.ranked().changed(live);
    }
}

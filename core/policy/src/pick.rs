//! The algorithms that choose a server, one file each, and the choice between them.

mod alias;
mod consistent;
mod least_connections;
mod p2c;
mod random;
mod ranking;
mod ring;
mod round_robin;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use model::Algorithm;
use rand::Rng;

use crate::choice::Choice;
use crate::tier::Members;
use crate::{InFlight, Server};

use consistent::Consistent;
use least_connections::LeastConnections;
use p2c::P2c;
use random::Random;
use round_robin::RoundRobin;

pub(crate) use least_connections::Ranked;
pub(crate) use ring::Ring;
pub use ring::hash_key;

/// A pool's algorithm with what it knows of the pool's members.
#[derive(Debug, Clone)]
pub(crate) enum Picker {
    RoundRobin(Arc<RoundRobin>),
    Random(Arc<Random>),
    LeastConnections(Arc<LeastConnections>),
    P2c(Arc<P2c>),
    Consistent(Arc<Consistent>),
}

/// What a picker is made of.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) pool: &'a model::Pool,
    /// All servers of the pool.
    pub(crate) servers: &'a [Arc<Server>],
    pub(crate) members: Members,
    /// Where turns begin, different for each balancer of a fleet.
    pub(crate) start: u64,
}

impl Picker {
    /// The picker of a pool. It goes on where the one before stands, if that has the same algorithm, and is the same one if nothing
    /// changed.
    pub(crate) fn new(plan: Plan<'_>, previous: Option<&Self>) -> Self {
        let algorithm = plan.pool.algorithm;
        let is_ranked = matches!(
            algorithm,
            Algorithm::LeastConnections | Algorithm::FleetLeastConnections
        );
        let was_ranked = previous.is_none_or(Self::is_ranked);
        if !is_ranked && was_ranked {
            for server in plan.servers {
                server.live().ranked().clear();
            }
        }
        match algorithm {
            Algorithm::RoundRobin => Self::round_robin(plan, previous),
            Algorithm::Random => Self::Random(Arc::new(Random::new(plan.members))),
            Algorithm::LeastConnections | Algorithm::FleetLeastConnections => {
                Self::least_connections(plan, previous)
            }
            Algorithm::P2c => Self::P2c(Arc::new(P2c::new(plan.members))),
            Algorithm::IpHash | Algorithm::Hash => Self::consistent(plan, previous),
        }
    }

    /// Proposes servers until one is taken.
    pub(crate) fn pick(&self, choice: &mut Choice<'_>, chance: &mut impl Rng) -> Option<InFlight> {
        match self {
            Self::RoundRobin(picker) => picker.pick(choice, chance),
            Self::Random(picker) => picker.pick(choice, chance),
            Self::LeastConnections(picker) => picker.pick(choice, chance),
            Self::P2c(picker) => picker.pick(choice, chance),
            Self::Consistent(picker) => picker.pick(choice),
        }
    }

    /// Takes note of a flight to a server that it did not propose.
    pub(crate) fn adopt(&self, flight: &mut InFlight) {
        match self {
            Self::RoundRobin(_) | Self::Random(_) => {}
            Self::LeastConnections(_) => {
                let live = flight.server().live();
                live.ranked().changed(live);
            }
            Self::P2c(_) => flight.time_for_algorithm(),
            Self::Consistent(picker) => picker.count_in(flight),
        }
    }

    /// Takes in loads that have changed otherwise than by this balancer's flights.
    pub(crate) fn rerank(&self, servers: &[Arc<Server>]) {
        if let Self::LeastConnections(picker) = self {
            picker.refresh(servers);
        }
    }

    fn is_ranked(&self) -> bool {
        matches!(self, Self::LeastConnections(_))
    }

    fn round_robin(plan: Plan<'_>, previous: Option<&Self>) -> Self {
        Self::RoundRobin(match previous {
            Some(Self::RoundRobin(before)) if before.is_of(&plan.members) => Arc::clone(before),
            Some(Self::RoundRobin(before)) => {
                Arc::new(RoundRobin::after(before, plan.members, plan.start))
            }
            _ => Arc::new(RoundRobin::new(plan.members, plan.start)),
        })
    }

    fn least_connections(plan: Plan<'_>, previous: Option<&Self>) -> Self {
        let before = match previous {
            Some(Self::LeastConnections(before)) => Some(before),
            _ => None,
        };
        if let Some(before) = before.filter(|before| before.is_of(&plan.members)) {
            return Self::LeastConnections(Arc::clone(before));
        }
        let before = before.map(Arc::as_ref);
        Self::LeastConnections(LeastConnections::new(
            plan.members,
            plan.servers,
            before,
            plan.start,
        ))
    }

    fn consistent(plan: Plan<'_>, previous: Option<&Self>) -> Self {
        let bound = plan.pool.hash.bound;
        let before = match previous {
            Some(Self::Consistent(before)) => Some(before),
            _ => None,
        };
        if let Some(before) = before.filter(|before| before.is_of(&plan.members, bound)) {
            return Self::Consistent(Arc::clone(before));
        }
        let flights = before.map(|before| before.flights().clone());
        let flights = flights.unwrap_or_default();
        Self::Consistent(Arc::new(Consistent::new(
            plan.members,
            plan.servers,
            bound,
            flights,
        )))
    }
}

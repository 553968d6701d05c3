//! A pool of a table: its settings, its servers in the order of creation, and the algorithm that chooses among them.

use std::sync::Arc;
use std::time::Duration;

use model::{Algorithm, Stamped};
use rand::Rng;

use crate::choice::{Ask, Choice};
use crate::pick::{Picker, Plan};
use crate::tier::{self, Members};
use crate::warmth;
use crate::{Admitted, Budget, Gate, InFlight, Live, QueueFull, Queued, Server, Tried, Unpicked};

/// One pool.
#[derive(Debug)]
pub struct Pool {
    number: u64,
    definition: Arc<Stamped<model::Pool>>,
    servers: Vec<Arc<Server>>,
    /// Those that may be picked.
    members: Members,
    picker: Picker,
    /// When the weights of servers that have just come up should have grown.
    grows_at: Option<Duration>,
    gate: Arc<Gate>,
    /// Some server has a bound, or the circuit does.
    is_bounded: bool,
    budget: Arc<Budget>,
}

impl Pool {
    /// `previous` is the pool as the table before had it, whose rotation goes on; `start` is where a new one begins.
    pub(crate) fn new(
        number: u64,
        definition: Arc<Stamped<model::Pool>>,
        servers: Vec<Arc<Server>>,
        previous: Option<&Self>,
        gate: Arc<Gate>,
        start: u64,
        now: Duration,
    ) -> Self {
        let settings = &definition.value;
        let is_bounded = is_bounded(settings, &servers);
        let slow_start = slow_start(settings);
        let weight = |server: &Server| {
            u32::from(server.weight()) * server.live().warmth().parts(slow_start, now)
        };
        let members = tier::members(&servers, settings.panic_threshold, weight);
        gate.ejections()
            .update(&settings.outlier, &servers, &members);
        let plan = Plan {
            pool: settings,
            servers: &servers,
            members: Arc::clone(&members),
            start,
        };
        let picker = Picker::new(plan, previous.map(|pool| &pool.picker));
        let grows = |server: &Server| server.live().warmth().is_growing(slow_start, now);
        let some_grow = members.iter().any(|member| grows(&servers[member.index]));
        Self {
            number,
            grows_at: some_grow.then(|| now + warmth::step(slow_start)),
            definition,
            servers,
            members,
            picker,
            gate,
            is_bounded,
            budget: previous.map_or_else(Arc::default, |pool| Arc::clone(&pool.budget)),
        }
    }

    /// What tells it from every other pool that this process has known; a pool of the same name keeps it.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn id(&self) -> &model::PoolId {
        &self.definition.value.id
    }

    pub fn settings(&self) -> &Arc<Stamped<model::Pool>> {
        &self.definition
    }

    /// Every server, in the order of creation, those that take no requests included.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Whether its servers are compared by what the whole fleet has in flight to them.
    pub fn compares_by_fleet(&self) -> bool {
        self.definition.value.algorithm == Algorithm::FleetLeastConnections
    }

    /// What stands before its servers.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Whether a request may have to wait, or be refused, though there is a server.
    pub fn is_bounded(&self) -> bool {
        self.is_bounded
    }

    /// Counts a request for the circuit, where that is set; refuses it where there are too many.
    ///
    /// # Errors
    /// `CircuitOpen`.
    pub fn admit(&self) -> Result<Option<Admitted>, Unpicked> {
        match self.definition.value.circuit.requests {
            0 => Ok(None),
            max => self.gate.admit(max).map(Some).ok_or(Unpicked::CircuitOpen),
        }
    }

    /// Puts a request that has tried these servers at the end of the line.
    ///
    /// # Errors
    /// As many wait as the pool lets wait.
    pub fn queue(&self, tried: &Tried) -> Result<Queued, QueueFull> {
        let length_max = self.definition.value.queue.length;
        self.gate.queue(!tried.is_empty(), length_max)
    }

    /// What its retries draw on.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// When to compile it anew, on the clock that tables are compiled by: the weights of servers in slow start should have grown then.
    pub(crate) fn grows_at(&self) -> Option<Duration> {
        self.grows_at
    }

    /// Whether some server may be picked that is not among those tried.
    pub fn has_another(&self, tried: &Tried) -> bool {
        let untried = |server: &Server| !tried.contains(server.live());
        let mut members = self.members.iter();
        members.any(|member| untried(&self.servers[member.index]))
    }

    /// Whether some server may be picked that is neither among those tried nor ejected.
    pub fn has_a_sound_other(&self, tried: &Tried) -> bool {
        let sound = |live: &Live| !tried.contains(live) && !live.is_ejected();
        let mut members = self.members.iter();
        members.any(|member| sound(self.servers[member.index].live()))
    }

    /// Picks a server as the pool's algorithm says, but none of those tried and none that has no room, and takes it, in one step.
    ///
    /// # Errors
    /// Why none was picked.
    pub fn pick(&self, ask: &Ask<'_>, chance: &mut impl Rng) -> Result<InFlight, Unpicked> {
        let mut choice = Choice::new(&self.servers, ask);
        let mut flight = self.picker.pick(&mut choice, chance);
        if flight.is_none() && choice.spare_none() {
            flight = self.picker.pick(&mut choice, chance);
        }
        flight.ok_or(choice.obstacle())
    }

    /// Takes in that servers' loads have changed otherwise than by flights of this balancer.
    pub fn rerank(&self) {
        self.picker.rerank(&self.servers);
    }
}

/// How long a server that has just come up has less than its weight. A hash finds the same server at every balancer only where all of
/// them know the same weights, and since when a server is up each knows by its own clock alone: so there all have all of it at once.
fn slow_start(pool: &model::Pool) -> Duration {
    match pool.algorithm {
        Algorithm::IpHash | Algorithm::Hash => Duration::ZERO,
        Algorithm::RoundRobin
        | Algorithm::Random
        | Algorithm::LeastConnections
        | Algorithm::FleetLeastConnections
        | Algorithm::P2c => pool.slow_start,
    }
}

fn is_bounded(pool: &model::Pool, servers: &[Arc<Server>]) -> bool {
    let circuit = &pool.circuit;
    circuit.requests > 0
        || circuit.server_requests > 0
        || servers.iter().any(|server| server.live().is_bounded())
}

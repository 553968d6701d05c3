//! A pool of a table: its settings, its servers in the order of creation, and whose turn it is.

use std::sync::Arc;

use model::{Health, Stamped};

use crate::{
    Admitted, Budget, Gate, InFlight, QueueFull, Queued, RoundRobin, Server, Tried, Unpicked,
};

/// How many turns a retry may pass over before it looks for any server that was not tried.
const TURNS_PASSED_MAX: usize = 32;

/// One pool.
#[derive(Debug)]
pub struct Pool {
    number: u64,
    definition: Arc<Stamped<model::Pool>>,
    servers: Vec<Arc<Server>>,
    rotation: Arc<RoundRobin>,
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
    ) -> Self {
        let is_bounded = is_bounded(&definition.value, &servers);
        let weights = weights(&servers);
        let rotation = match previous {
            Some(pool) if pool.rotation.is_of(&weights) => Arc::clone(&pool.rotation),
            Some(pool) => Arc::new(RoundRobin::after(&pool.rotation, weights, start)),
            None => Arc::new(RoundRobin::new(weights, start)),
        };
        Self {
            number,
            definition,
            servers,
            rotation,
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
        self.definition.value.algorithm == model::Algorithm::FleetLeastConnections
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

    /// Whether some server may be picked that is not among those tried.
    pub fn has_another(&self, tried: &Tried) -> bool {
        let untried = |index: usize| !tried.contains(self.servers[index].live());
        (0..self.rotation.len()).any(|place| untried(self.rotation.member(place)))
    }

    /// Picks the server whose turn it is, but none of those tried, and takes it, in one step. One that has no room is passed over.
    ///
    /// # Errors
    /// Why none was picked.
    pub fn pick(&self, tried: &Tried) -> Result<InFlight, Unpicked> {
        for _ in 0..TURNS_PASSED_MAX {
            let server = &self.servers[self.rotation.next().ok_or(Unpicked::Nothing)?];
            if !tried.contains(server.live())
                && let Ok(flight) = InFlight::begin(Arc::clone(server))
            {
                return Ok(flight);
            }
        }
        self.pick_any_other(tried)
    }

    /// Where the turns of a far heavier server would all have to be passed over first.
    fn pick_any_other(&self, tried: &Tried) -> Result<InFlight, Unpicked> {
        let members = (0..self.rotation.len()).map(|place| self.rotation.member(place));
        let untried = members
            .map(|index| &self.servers[index])
            .filter(|server| !tried.contains(server.live()));
        let mut obstacle = Unpicked::Nothing;
        for server in untried {
            match InFlight::begin(Arc::clone(server)) {
                Ok(flight) => return Ok(flight),
                Err(unpicked) => obstacle = obstacle.max(unpicked),
            }
        }
        Err(obstacle)
    }
}

fn is_bounded(pool: &model::Pool, servers: &[Arc<Server>]) -> bool {
    let circuit = &pool.circuit;
    circuit.requests > 0
        || circuit.server_requests > 0
        || servers.iter().any(|server| server.live().is_bounded())
}

/// The servers that may be picked: those that are up, or where there is none, those of which nothing is known.
fn weights(servers: &[Arc<Server>]) -> Vec<Weighted> {
    let of = |health: Health| -> Vec<Weighted> {
        servers
            .iter()
            .enumerate()
            .filter(|(_, server)| server.is_wanted() && server.health() == health)
            .map(|(index, server)| Weighted::of(index, server))
            .collect()
    };
    let up = of(Health::Up);
    if up.is_empty() {
        of(Health::Unknown)
    } else {
        up
    }
}

/// One that takes turns: its index among the pool's servers, its age and incarnation, and its weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighted {
    pub index: usize,
    /// Sorts by creation.
    pub age: (model::Revision, u32),
    pub number: u64,
    pub weight: u16,
}

impl Weighted {
    fn of(index: usize, server: &Server) -> Self {
        Self {
            index,
            age: server.age(),
            number: server.live().number(),
            weight: server.weight(),
        }
    }
}

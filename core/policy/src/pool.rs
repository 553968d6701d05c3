//! A pool of a table: its settings, its servers in the order of creation, and the algorithm that chooses among them.

use std::sync::Arc;
use std::time::Duration;

use model::{Algorithm, Health, ServerLoad, ServerState, Stamped};
use rand::Rng;

use crate::choice::{Ask, Choice};
use crate::pick::{Picker, Plan};
use crate::sticky::{Binding, Bound, Keys, Sticky};
use crate::tier::{Member, Tiers, WEIGHT_PARTS, tiers};
use crate::warmth;
use crate::{
    Admission, Admitted, Budget, Cookies, InFlight, Live, QueueFull, Queued, Server, Stick, Tried,
    Unpicked,
};

/// One pool.
#[derive(Debug)]
pub struct Pool {
    number: u64,
    definition: Arc<Stamped<model::Pool>>,
    servers: Vec<Arc<Server>>,
    /// Those of them that are draining or disabled.
    leaving: Vec<Arc<Server>>,
    /// Whether each server that wants requests has been inspected.
    is_judged: bool,
    /// Those that may be picked.
    tiers: Tiers,
    picker: Picker,
    /// Over those in reserve, where there are any.
    reserve_picker: Option<Picker>,
    sticky: Sticky,
    /// When the weights of servers that have just come up should have grown.
    grows_at: Option<Duration>,
    admission: Arc<Admission>,
    /// Some server has a bound, or the circuit does.
    is_bounded: bool,
    budget: Arc<Budget>,
}

/// What a pool is made of beside its own definition and servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// The pool as the table before had it, whose rotation goes on.
    pub(crate) previous: Option<&'a Pool>,
    /// What cookies are made with.
    pub(crate) keys: Option<&'a Arc<Keys>>,
    /// Where a new rotation begins.
    pub(crate) start: u64,
    pub(crate) now: Duration,
}

impl Pool {
    pub(crate) fn new(
        number: u64,
        definition: Arc<Stamped<model::Pool>>,
        servers: Vec<Arc<Server>>,
        admission: Arc<Admission>,
        surroundings: Surroundings<'_>,
    ) -> Self {
        let Surroundings {
            previous,
            keys,
            start,
            now,
        } = surroundings;
        let settings = &definition.value;
        let is_bounded = is_bounded(settings, &servers);
        let slow_start = slow_start(settings);
        let parts = |server: &Server| match slow_start.is_zero() {
            true => WEIGHT_PARTS,
            false => server.live().warmth().parts(slow_start, now),
        };
        let weight = |server: &Server| u32::from(server.weight()) * parts(server);
        let tiers = tiers(&servers, settings.panic_threshold, weight);
        admission
            .ejections()
            .update(&settings.outlier, &servers, &tiers.members);
        let plan = |members| Plan {
            pool: settings,
            servers: &servers,
            members: Arc::clone(members),
            start,
        };
        let picker = Picker::new(plan(&tiers.members), previous.map(|pool| &pool.picker));
        let reserve_picker = (!tiers.reserve.is_empty()).then(|| {
            let previous = previous.and_then(|pool| pool.reserve_picker.as_ref());
            Picker::new(plan(&tiers.reserve), previous)
        });
        let sticky = previous.map(|pool| &pool.sticky);
        let sticky = Sticky::new(settings, &servers, &tiers, keys, sticky);
        let grows = |member: &Member| {
            let warmth = servers[member.index].live().warmth();
            warmth.is_growing(slow_start, now)
        };
        let some_grow = !slow_start.is_zero() && tiers.all().any(grows);
        let leaves = |server: &&Arc<Server>| server.state() != ServerState::Active;
        let is_judged =
            |server: &Arc<Server>| !server.is_wanted() || server.health() != Health::Unknown;
        Self {
            number,
            leaving: servers.iter().filter(leaves).cloned().collect(),
            is_judged: servers.iter().all(is_judged),
            grows_at: some_grow.then(|| now + warmth::step(slow_start)),
            definition,
            servers,
            tiers,
            picker,
            reserve_picker,
            sticky,
            admission,
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

    /// Where a server stands among them, if it is one of them.
    pub(crate) fn place_of(&self, server: &Stamped<model::Server>) -> Option<usize> {
        let age = server.age();
        let place = self.servers.partition_point(|one| one.age() < age);
        let found = self.servers.get(place)?;
        // Histories that have parted may have given two servers the same age.
        (found.age() == age && found.is_of(&server.value)).then_some(place)
    }

    /// Those of the servers that are draining or disabled.
    #[cfg(test)]
    pub(crate) fn leaving(&self) -> &[Arc<Server>] {
        &self.leaving
    }

    /// What is in flight to each of them, and whether it keeps its clients.
    pub(crate) fn leaving_loads(
        &self,
        now: Duration,
    ) -> impl Iterator<Item = (&Arc<Live>, ServerLoad)> {
        let outlasts = self.definition.value.sticky.outlasts_drain();
        self.leaving.iter().map(move |server| {
            let live = server.live();
            let keeps =
                outlasts && server.state() == ServerState::Draining && live.keeps_clients(now);
            let load = match keeps {
                true => ServerLoad {
                    sticky: true,
                    ..live.load()
                },
                false => live.load_without_clients(),
            };
            (live, load)
        })
    }

    /// Whether each server that wants requests has been inspected.
    pub(crate) fn is_judged(&self) -> bool {
        self.is_judged
    }

    /// The servers that this balancer has ejected.
    pub fn ejected(&self) -> impl Iterator<Item = &Arc<Server>> {
        let some = match self.admission.ejections().is_empty() {
            true => &[],
            false => &self.servers[..],
        };
        some.iter().filter(|server| server.live().is_ejected())
    }

    /// Whether its servers are compared by what the whole fleet has in flight to them.
    pub fn compares_by_fleet(&self) -> bool {
        self.definition.value.algorithm == Algorithm::FleetLeastConnections
    }

    /// What stands before its servers.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
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
            max => self
                .admission
                .admit(max)
                .map(Some)
                .ok_or(Unpicked::CircuitOpen),
        }
    }

    /// Puts a request that has tried these servers, and may belong to one, at the end of the queue.
    ///
    /// # Errors
    /// As many wait as the pool lets wait.
    pub fn enqueue(&self, tried: &Tried, stick: Stick) -> Result<Queued, QueueFull> {
        let length_max = self.definition.value.queue.length;
        let choosy = !tried.is_empty() || stick != Stick::Loose;
        self.admission.enqueue(choosy, length_max)
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
        let untried = |member: &Member| !tried.contains(self.servers[member.index].live());
        self.tiers.all().any(untried)
    }

    /// Whether some server may be picked that is neither among those tried nor ejected.
    pub fn has_a_sound_other(&self, tried: &Tried) -> bool {
        let sound = |live: &Live| !tried.contains(live) && !live.is_ejected();
        let mut all = self.tiers.all();
        all.any(|member| sound(self.servers[member.index].live()))
    }

    /// What says by a cookie which server a client is with, where the pool has such cookies.
    pub fn cookies(&self) -> Option<&Cookies> {
        self.sticky.cookies()
    }

    /// Picks the server that the request belongs to, where it does and that one may have it; else one as the pool's algorithm says, but
    /// none of those tried and none that has no room, and takes it, in one step. Those in reserve come next, and servers that this
    /// balancer has ejected last.
    ///
    /// # Errors
    /// Why none was picked.
    pub fn pick(&self, ask: &Ask<'_>, chance: &mut impl Rng) -> Result<InFlight, Unpicked> {
        let mut flight = match self.bind(ask) {
            Bound::Taken(flight) => flight,
            Bound::Waits => return Err(Unpicked::Full),
            Bound::Elsewhere => self.choose(ask, chance)?,
        };
        if self.definition.value.outlier.latency_factor > 0.0 {
            flight.time_for_rule();
        }
        Ok(flight)
    }

    fn bind(&self, ask: &Ask<'_>) -> Bound {
        if ask.stick == Stick::Loose {
            return Bound::Elsewhere;
        }
        let mut bound = self.sticky.bind(&Binding {
            pool: &self.definition.value,
            servers: &self.servers,
            tiers: &self.tiers,
            ask,
        });
        if let Bound::Taken(flight) = &mut bound {
            self.picker.adopt(flight);
        }
        bound
    }

    fn choose(&self, ask: &Ask<'_>, chance: &mut impl Rng) -> Result<InFlight, Unpicked> {
        let mut choice = Choice::new(&self.servers, ask);
        let mut flight = self.pick_in_order(&mut choice, chance);
        if flight.is_none() && choice.spare_none() {
            flight = self.pick_in_order(&mut choice, chance);
        }
        flight.ok_or(choice.obstacle())
    }

    fn pick_in_order(&self, choice: &mut Choice<'_>, chance: &mut impl Rng) -> Option<InFlight> {
        let flight = self.picker.pick(choice, chance);
        // Where a member has only no room at present, the request waits for that, rather than let a busy hour reach the reserve.
        if flight.is_some() || choice.obstacle() != Unpicked::Nothing {
            return flight;
        }
        let reserve = self.reserve_picker.as_ref()?;
        reserve.pick(choice, chance)
    }

    /// Takes in that servers' loads have changed otherwise than by flights of this balancer.
    pub fn rerank(&self) {
        let pickers = std::iter::once(&self.picker).chain(&self.reserve_picker);
        pickers.for_each(|picker| picker.rerank(&self.servers));
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
        || servers.iter().any(|server| server.is_bounded())
}

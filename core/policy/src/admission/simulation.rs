//! Many schedules of requests that come, wait, are placed, end and give up, while bounds change: never more connections than the bound,
//! nobody who waits beside a free place, first come, first served.
//!
//! The steps of different requests interleave as threads might make them, and who waits moves only when it was woken. A failure
//! names its seed.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use model::{PoolId, Revision, Secret, SecretId, SecretKey, Snapshot, Stamped, StickyKind};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::{Place, Queued, Shelf, Unpicked};
use crate::testing::snapshot;
use crate::{Ask, InFlight, Pool, Server, Stick, Table, Tried};

const SERVERS: usize = 3;
const STEPS: usize = 400;
const SCHEDULES: u64 = 1500;

struct Chance(u64);

impl Chance {
    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed >> 33) % bound as u64).expect("small")
    }
}

/// A connection, counted by its server while it is open.
struct Socket(Rc<Cell<usize>>);

impl Socket {
    fn open(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

enum Stage {
    Comes,
    /// It has looked in vain, and is about to stand in the queue.
    Turns,
    Waits(Queued),
    /// It was called, has looked in vain, and is about to say so.
    LookedInVain(Queued),
    Placed(InFlight),
    Connected(Socket, Place, InFlight),
    /// The connection is put away or closed, the flight not yet over.
    Ends(InFlight),
    Over,
}

struct Request {
    number: usize,
    tried: Tried,
    /// Of the server that its client is with, if it is with one.
    home: Option<usize>,
    woken: Arc<Woken>,
    stage: Stage,
    /// The largest bound that its server has had since it was placed.
    bound: u32,
}

struct World {
    chance: Chance,
    snapshot: Snapshot,
    table: Table,
    shelves: Vec<Shelf<Socket>>,
    sockets: Vec<Rc<Cell<usize>>>,
    requests: Vec<Request>,
    /// How many came.
    came: usize,
    placed_from_queue: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut pool = model::Pool::new(PoolId::standard());
        pool.queue.length = 10_000;
        pool.sticky.kind = StickyKind::Cookie;
        let mut world = Self {
            chance: Chance(seed),
            snapshot: snapshot(pool),
            table: Table::default(),
            shelves: Vec::new(),
            sockets: Vec::new(),
            requests: Vec::new(),
            came: 0,
            placed_from_queue: 0,
        };
        let secret = Secret::new(SecretId::sticky(), SecretKey::new([1; 32]));
        let secret = Arc::new(Stamped::new(Revision(1), secret));
        world.snapshot.secrets.insert(SecretId::sticky(), secret);
        if seed.is_multiple_of(3) {
            world.bound_requests(1 + u32::try_from(seed % 5).expect("small"));
        }
        for server in 0..SERVERS {
            let bound = world.a_bound();
            world.bound(server, bound);
        }
        let servers = world.pool().servers().to_vec();
        world.shelves = servers
            .iter()
            .map(|server| Shelf::new(server.live()))
            .collect();
        world.sockets = servers.iter().map(|_| Rc::default()).collect();
        world
    }

    fn a_bound(&mut self) -> u32 {
        u32::try_from(1 + self.chance.below(4)).expect("small")
    }

    fn pool(&self) -> Arc<Pool> {
        Arc::clone(self.table.route().expect("the pool"))
    }

    fn compile(&mut self) {
        self.table = Table::compile(&self.snapshot, &self.table, 0, Duration::ZERO);
        // As the workers do when they take a table over.
        self.shelves.iter().for_each(Shelf::make_room);
        self.pool().admission().change();
    }

    fn bound_requests(&mut self, requests_max: u32) {
        let pool = self.snapshot.pools.get_mut(&PoolId::standard());
        let pool = Arc::make_mut(pool.expect("the pool"));
        pool.value.circuit.server_requests = requests_max;
        self.compile();
    }

    fn bound(&mut self, server: usize, max: u32) {
        let id = format!("s{server}").parse().expect("a name");
        let address = "10.0.0.1:80".parse().expect("an address");
        let mut value = model::Server::new(PoolId::standard(), id, address);
        value.max_connections = max;
        let key = value.key();
        let created = Revision(2 + server as u64);
        let stamped = Arc::new(Stamped::new(created, value));
        self.snapshot.servers.insert(key, stamped);
        self.compile();
        for request in &mut self.requests {
            if let Stage::Placed(flight) = &request.stage
                && Self::index(flight) == server
            {
                request.bound = request.bound.max(max);
            }
        }
    }

    fn index(flight: &InFlight) -> usize {
        let name = flight.server().key().server.as_str();
        name[1..].parse().expect("a number")
    }

    fn comes(&mut self) {
        let mut tried = Tried::default();
        if self.chance.below(4) == 0 {
            let server = self.chance.below(SERVERS);
            tried.add(self.pool().servers()[server].live());
        }
        let home = (self.chance.below(3) == 0).then(|| self.chance.below(SERVERS));
        self.requests.push(Request {
            number: self.came,
            tried,
            home,
            woken: Arc::default(),
            stage: Stage::Comes,
            bound: 0,
        });
        self.came += 1;
    }

    fn step(&mut self, index: usize) {
        let mut request = self.requests.swap_remove(index);
        let stage = std::mem::replace(&mut request.stage, Stage::Over);
        request.stage = match stage {
            Stage::Comes if self.pool().admission().waiting() > 0 => Stage::Turns,
            Stage::Comes => match self.pick(&mut request) {
                Ok(flight) => Stage::Placed(flight),
                Err(Unpicked::Full) => Stage::Turns,
                Err(_) => Stage::Over,
            },
            Stage::Turns => {
                request.woken.0.store(true, Ordering::SeqCst);
                let queued = self.pool().enqueue(&request.tried, self.stick(&request));
                Stage::Waits(queued.expect("room"))
            }
            Stage::Waits(queued) => self.wait(&mut request, queued),
            Stage::LookedInVain(queued) => {
                queued.found_nothing();
                // As in a loop of its own: it asks again at once.
                request.woken.0.store(true, Ordering::SeqCst);
                Stage::Waits(queued)
            }
            Stage::Placed(flight) => self.connect(&request, flight),
            Stage::Connected(socket, place, flight) => self.end(socket, place, flight),
            Stage::Ends(flight) => {
                drop(flight);
                Stage::Over
            }
            Stage::Over => Stage::Over,
        };
        if !matches!(request.stage, Stage::Over) {
            self.requests.push(request);
        }
    }

    fn pick(&self, request: &mut Request) -> Result<InFlight, Unpicked> {
        let ask = Ask {
            tried: &request.tried,
            hash: 0,
            stick: self.stick(request),
            now: Duration::ZERO,
        };
        // Whom a request gets that is tried again is a matter of chance.
        let mut chance = SmallRng::seed_from_u64(request.number as u64);
        let flight = self.pool().pick(&ask, &mut chance)?;
        request.bound = self.bound_of(&flight);
        Ok(flight)
    }

    fn stick(&self, request: &Request) -> Stick {
        let pool = self.pool();
        let token = request.home.and_then(|home| {
            let cookies = pool.cookies().expect("cookies");
            cookies.token_of(pool.servers()[home].live())
        });
        token.map_or(Stick::Loose, Stick::Token)
    }

    /// Whether the server is free for the request, which waits for its client's own alone, unless it has tried that.
    fn may_have(&self, request: &Request, server: &Server) -> bool {
        let pool = self.pool();
        let home = request.home.map(|home| pool.servers()[home].live());
        let home = home.filter(|home| !request.tried.contains(home));
        home.is_none_or(|home| home.number() == server.live().number())
            && !request.tried.contains(server.live())
            && server.room().is_ok()
    }

    fn bound_of(&self, flight: &InFlight) -> u32 {
        self.snapshot.servers[flight.server().key()]
            .value
            .max_connections
    }

    fn wait(&mut self, request: &mut Request, queued: Queued) -> Stage {
        if !request.woken.0.swap(false, Ordering::SeqCst) {
            return Stage::Waits(queued);
        }
        let waker = Waker::from(Arc::clone(&request.woken));
        if queued
            .poll_turn(&mut Context::from_waker(&waker))
            .is_pending()
        {
            return Stage::Waits(queued);
        }
        match self.pick(request) {
            Ok(flight) => {
                self.check_order(request, &queued);
                self.placed_from_queue += 1;
                queued.placed();
                Stage::Placed(flight)
            }
            Err(Unpicked::Full | Unpicked::CircuitOpen) => Stage::LookedInVain(queued),
            Err(Unpicked::Nothing) => Stage::Over,
        }
    }

    /// Nobody who would take any server stood before it.
    fn check_order(&self, request: &Request, queued: &Queued) {
        for other in &self.requests {
            if let Stage::Waits(before) | Stage::LookedInVain(before) = &other.stage
                && other.tried.is_empty()
                && other.home.is_none()
            {
                let (mine, other) = (request.number, other.number);
                assert!(before.ticket > queued.ticket, "{mine} before {other}");
            }
        }
    }

    fn connect(&mut self, request: &Request, mut flight: InFlight) -> Stage {
        let server = Self::index(&flight);
        let place = flight.take_place().expect("every server has a bound");
        let resting = (self.chance.below(4) > 0)
            .then(|| self.shelves[server].take(4, |_| false))
            .flatten();
        let socket = resting.unwrap_or_else(|| {
            self.shelves[server].make_room();
            let socket = Socket::open(&self.sockets[server]);
            let bound = self.allowed(request, &flight) as usize;
            let open = self.sockets[server].get();
            assert!(open <= bound, "{open} connections, {bound} allowed");
            socket
        });
        Stage::Connected(socket, place, flight)
    }

    /// The greatest bound by which someone was given a place at this server who still has it.
    fn allowed(&self, request: &Request, flight: &InFlight) -> u32 {
        let server = Self::index(flight);
        let has_place = |other: &&Request| match &other.stage {
            Stage::Placed(own) | Stage::Connected(_, _, own) => Self::index(own) == server,
            _ => false,
        };
        let others = self.requests.iter().filter(has_place);
        let bounds = others.map(|other| other.bound);
        let own = [request.bound, self.bound_of(flight)];
        bounds.chain(own).max().expect("there are two at least")
    }

    fn end(&mut self, socket: Socket, place: Place, flight: InFlight) -> Stage {
        let server = Self::index(&flight);
        if self.chance.below(3) > 0 {
            self.shelves[server].put(socket, place);
        } else {
            drop(socket);
            drop(place);
        }
        Stage::Ends(flight)
    }

    /// Lets everyone who was woken move on until nobody is, then sees that nobody waits beside a place.
    fn check_that_nobody_waits_in_vain(&mut self) {
        loop {
            let moves = |request: &Request| match request.stage {
                Stage::Waits(_) => request.woken.0.load(Ordering::SeqCst),
                Stage::LookedInVain(_) => true,
                _ => false,
            };
            let Some(index) = self.requests.iter().position(moves) else {
                break;
            };
            self.step(index);
        }
        let pool = self.pool();
        for request in &self.requests {
            if !matches!(request.stage, Stage::Waits(_)) {
                continue;
            }
            for server in pool.servers() {
                let may = self.may_have(request, server);
                assert!(!may, "{} waits beside {}", request.number, server.key());
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            match self.chance.below(12) {
                0 | 1 => self.comes(),
                2 if self.chance.below(8) == 0 => {
                    let (server, bound) = (self.chance.below(SERVERS), self.a_bound());
                    self.bound(server, bound);
                }
                3 if self.chance.below(4) == 0 => self.check_that_nobody_waits_in_vain(),
                4 if self.chance.below(4) == 0 && !self.requests.is_empty() => {
                    // It gives up, whatever it is about.
                    let index = self.chance.below(self.requests.len());
                    self.requests.swap_remove(index);
                }
                _ if !self.requests.is_empty() => {
                    let index = self.chance.below(self.requests.len());
                    self.step(index);
                }
                _ => {}
            }
        }
        self.finish();
    }

    /// Everyone who came comes to an end, and nothing is held any more.
    fn finish(&mut self) {
        let mut left = 200_000;
        while !self.requests.is_empty() {
            let index = self.chance.below(self.requests.len());
            self.step(index);
            left -= 1;
            assert!(left > 0, "someone waits for ever");
        }
        let pool = self.pool();
        assert_eq!(pool.admission().waiting(), 0);
        for (server, open) in pool.servers().iter().zip(&self.sockets) {
            let live = server.live();
            assert_eq!((live.places().held(), live.in_flight()), (0, 0));
            assert_eq!(live.connections(), open.get() as u64);
        }
    }
}

#[test]
fn no_schedule_exceeds_a_bound_or_leaves_someone_waiting_beside_a_place() {
    let mut placed_from_queue = 0;
    for seed in 0..SCHEDULES {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run();
            world.placed_from_queue
        });
        placed_from_queue += result.unwrap_or_else(|_| panic!("seed {seed}"));
    }
    assert!(placed_from_queue > 1000, "hardly anyone waited");
}

//! One schedule: the clock, what is going to happen, and who takes part.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Debug;
use std::ops::Range;
use std::time::Duration;

use model::{Epoch, Position, Revision, RevisionId};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use crate::call::{Address, Caller, Event};
use crate::ledger::Ledger;
use crate::network::{Slow, Weather};
use crate::node::Node;
use crate::operation::Operation;
use crate::registry::Redis;

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) random: SmallRng,
    pub(crate) redis: Redis,
    /// The master before a failover that did not notice it: some still take it for the registry.
    pub(crate) former: Option<Redis>,
    /// When a registry last forgot who leads, or let a lease run out too early.
    pub(crate) lost_at: Option<Duration>,
    /// Since when peace finds no head.
    pub(crate) headless_since: Option<Duration>,
    /// How slow the operators' links are.
    pub(crate) slow: Slow,
    pub(crate) nodes: Vec<Node>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) ledger: Ledger,
    pub(crate) weather: Weather,
    pub(crate) peace_at: Duration,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    narrate: bool,
}

/// What happens when; of two at the same time, the one that was scheduled first.
struct Scheduled {
    at: Duration,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl World {
    /// Makes the schedule of a seed; `narrate` prints what happens.
    pub(crate) fn new(seed: u64, narrate: bool) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            random: SmallRng::seed_from_u64(seed),
            redis: Redis::new(),
            former: None,
            lost_at: None,
            headless_since: None,
            slow: Slow::default(),
            nodes: Vec::new(),
            operations: Vec::new(),
            ledger: Ledger::default(),
            weather: Weather::FAIR,
            peace_at: Duration::ZERO,
            queue: BinaryHeap::new(),
            scheduled: 0,
            narrate,
        };
        world.plan();
        world
    }

    /// Runs the schedule to its end, and answers with what tells two runs apart.
    pub(crate) fn run(mut self) -> (Duration, u64, Option<Position>) {
        while let Some(Reverse(next)) = self.queue.pop() {
            self.now = next.at;
            if let Some(resumed) = self.stopped_until(&next.event) {
                // All of it is there at once then; only what comes over one connection keeps its order.
                let ordered = matches!(next.event, Event::Announce(..));
                let turn = self.random.random_range(0..100);
                let turn = Duration::from_micros(if ordered { 0 } else { turn });
                if let Event::Announce(_, connection, _) = next.event {
                    self.delay_until(connection, resumed);
                }
                self.at(resumed + turn, next.event);
                continue;
            }
            if matches!(next.event, Event::Check) {
                if self.is_settled() {
                    break;
                }
                self.after(Duration::from_millis(500), Event::Check);
                continue;
            }
            self.narrate(&next.event);
            self.happen(next.event);
        }
        let position = self.redis.store.head().map(|head| head.position);
        (self.now, self.scheduled, position)
    }

    /// Says what happens, where somebody listens.
    pub(crate) fn narrate(&self, what: &impl Debug) {
        if self.narrate {
            eprintln!("{:>10.6} {what:?}", self.now.as_secs_f64());
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(call) => self.arrive(call),
            Event::Answer(to, answer) => self.answer(to, *answer),
            Event::Announce(to, connection, message) => self.announced(to, connection, &message),
            Event::Overflow(to, connection) => self.overflow(to, connection),
            Event::Lost(to, connection) => self.lost(to, connection),
            Event::Wake(to) => self.wake(to),
            Event::Swap(to) => self.swap(to),
            Event::Report(to) => self.report_time(to),
            Event::Begin(to) => self.begin(to),
            Event::Finish(to, load) => self.finish(to, &load),
            Event::Recover(to) => self.look_for_memory(to),
            Event::Start(node) => self.start(node),
            Event::Fault => self.fault(),
            Event::PutBack(collection, key, text) => self.put_back(collection, &key, &text),
            Event::Reunite => self.reunite(),
            Event::Operate(index) => self.operate(index),
            Event::Look(index) => self.look(index),
            Event::Peace => self.make_peace(),
            Event::Check => unreachable!("checks are made by the loop"),
        }
    }

    fn stopped_until(&self, event: &Event) -> Option<Duration> {
        let address = event.address()?;
        let until = self.nodes[address.node].stopped_until;
        (self.now < until).then_some(until)
    }

    pub(crate) fn at(&mut self, at: Duration, event: Event) {
        let order = self.scheduled;
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled { at, order, event }));
    }

    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.random_bool(probability)
    }

    pub(crate) fn milliseconds(&mut self, range: Range<u64>) -> Duration {
        Duration::from_micros(
            self.random
                .random_range(range.start * 1000..range.end * 1000),
        )
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.random.random_range(0..limit)
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        Uuid::from_u128(self.random.random())
    }

    /// The position of a first revision.
    pub(crate) fn first_position(&mut self) -> Position {
        Position {
            epoch: Epoch(self.uuid()),
            revision: Revision(1),
            id: RevisionId(self.uuid()),
        }
    }
}

impl Event {
    /// Whose event it is.
    fn address(&self) -> Option<Address> {
        match self {
            Self::Answer(Caller::Node(to), _)
            | Self::Announce(to, ..)
            | Self::Lost(to, _)
            | Self::Wake(to)
            | Self::Swap(to)
            | Self::Report(to)
            | Self::Begin(to)
            | Self::Finish(to, _)
            | Self::Recover(to) => Some(*to),
            _ => None,
        }
    }
}

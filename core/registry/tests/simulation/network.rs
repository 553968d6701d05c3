//! How long messages take, which of them get lost, and which of two masters they reach.

use std::time::Duration;

use model::{Delta, Position, Revision};
use rand::RngExt;
use registry::Announcement;

use crate::call::{Address, Answer, Call, Caller, Event, Question};
use crate::registry::{Redis, Subscription, shared};
use crate::world::World;

/// After so long a process takes a request for failed.
const REQUEST_LIMIT: Duration = Duration::from_millis(400);

/// After so long, at most, a process notices that its subscription ended.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_millis(1_500);

/// So soon, at most, a process is told that its subscription was ended.
pub(crate) const FAREWELL: Duration = Duration::from_millis(5);

/// Probabilities of one schedule. All are zero in peace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// That a request or its answer is lost.
    pub(crate) request_loss: f64,
    pub(crate) hint_loss: f64,
    pub(crate) hint_repeat: f64,
    pub(crate) hint_disorder: f64,
    /// That a message takes very long.
    pub(crate) delay: f64,
    /// That the replica follows a write at once.
    pub(crate) replication: f64,
}

impl Weather {
    pub(crate) const FAIR: Self = Self {
        request_loss: 0.0,
        hint_loss: 0.0,
        hint_repeat: 0.0,
        hint_disorder: 0.0,
        delay: 0.0,
        replication: 1.0,
    };
}

/// Which master, where there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Master {
    /// The one that stays.
    Present,
    /// The one whose writes will be lost.
    Former,
}

impl World {
    /// Sends a request. Whoever sends it hears of it again in any case, unless it is dead by then.
    pub(crate) fn send(&mut self, from: Caller, question: Question) {
        self.send_after(from, question, Duration::ZERO, false);
    }

    /// Sends a request that leaves later, and that perhaps arrives whatever becomes of the registry meanwhile.
    pub(crate) fn send_after(
        &mut self,
        from: Caller,
        question: Question,
        delay: Duration,
        late: bool,
    ) {
        let registry = self.registry_of(from);
        let (connections, is_down) = (registry.connections, registry.is_down(self.now));
        if (self.is_cut(from) || is_down) && !late {
            let wait = self.milliseconds(1..50);
            let failure = Box::new(question.failure());
            return self.after(wait, Event::Answer(from, failure));
        }
        let lost = self.chance(self.weather.request_loss);
        let unanswered = lost && self.chance(0.5);
        if lost && !unanswered {
            let failure = Box::new(question.failure());
            return self.after(delay + REQUEST_LIMIT, Event::Answer(from, failure));
        }
        let call = Call {
            from,
            connections: (!late).then_some(connections),
            unanswered,
            given_up: false,
            question,
        };
        let latency = delay + self.latency(from);
        self.after(latency, Event::Arrive(Box::new(call)));
    }

    /// The registry executes a request, unless the connection ended meanwhile.
    pub(crate) fn arrive(&mut self, mut call: Box<Call>) {
        let Some(master) = self.master_reached(&call) else {
            return self.give_up(&mut call, REQUEST_LIMIT);
        };
        let now = self.now;
        let registry = self.registry(master);
        let hindrance = registry.hindrance;
        let refuses = registry.refuses(&call.question, now);
        if now < hindrance.down {
            return self.give_up(&mut call, REQUEST_LIMIT);
        }
        if now < hindrance.stopped {
            if hindrance.stopped - now > REQUEST_LIMIT {
                self.give_up(&mut call, REQUEST_LIMIT);
            }
            return self.at(hindrance.stopped, Event::Arrive(call));
        }
        if refuses {
            let latency = self.latency(call.from);
            return self.give_up(&mut call, latency);
        }
        self.execute(master, &call);
    }

    fn execute(&mut self, master: Master, call: &Call) {
        let registry = match (master, &mut self.former) {
            (Master::Former, Some(former)) => former,
            _ => &mut self.redis,
        };
        let executed = registry.execute(call, self.now, &mut self.ledger);
        if let Some(announcement) = executed.announcement {
            self.announce(master, announcement);
        }
        if executed.wrote && master == Master::Present && self.chance(self.weather.replication) {
            self.redis.replicate(&call.question, self.now);
        }
        if call.given_up {
            return;
        }
        let (delay, answer) = if call.unanswered {
            (REQUEST_LIMIT, call.question.failure())
        } else {
            (self.latency(call.from), executed.answer)
        };
        if executed.subscribed {
            // What is announced from now on comes after the confirmation.
            let arrival = self.now + delay;
            let own = self.registry(master).subscriptions.last_mut();
            let own = own.expect("it was just added");
            own.last = arrival;
            own.settled_at = arrival;
        }
        self.after(delay, Event::Answer(call.from, Box::new(answer)));
    }

    /// Tells the caller, once, that there is no answer.
    fn give_up(&mut self, call: &mut Call, after: Duration) {
        if !std::mem::replace(&mut call.given_up, true) {
            let failure = Box::new(call.question.failure());
            self.after(after, Event::Answer(call.from, failure));
        }
    }

    /// The master at the other end of the call's connection; nothing where that has ended.
    fn master_reached(&self, call: &Call) -> Option<Master> {
        let Some(connections) = call.connections else {
            return Some(self.master_of(call.from));
        };
        let former = self.former.as_ref().map(|former| former.connections);
        match connections {
            present if present == self.redis.connections => Some(Master::Present),
            other if Some(other) == former => Some(Master::Former),
            _ => None,
        }
    }

    fn master_of(&self, caller: Caller) -> Master {
        let astray = match caller {
            Caller::Node(address) => self.nodes[address.node].astray,
            Caller::Operation(index) => self.operations[index].astray,
        };
        match astray && self.former.is_some() {
            true => Master::Former,
            false => Master::Present,
        }
    }

    fn registry(&mut self, master: Master) -> &mut Redis {
        match (master, &mut self.former) {
            (Master::Former, Some(former)) => former,
            _ => &mut self.redis,
        }
    }

    /// What this caller takes for the registry.
    pub(crate) fn registry_of(&self, caller: Caller) -> &Redis {
        match (self.master_of(caller), &self.former) {
            (Master::Former, Some(former)) => former,
            _ => &self.redis,
        }
    }

    fn announce(&mut self, master: Master, announcement: Announcement) {
        self.check_listeners(master, &announcement);
        let announcement = shared(announcement);
        let mut subscriptions = std::mem::take(&mut self.registry(master).subscriptions);
        for subscription in &mut subscriptions {
            let weather = self.weather;
            if subscription.full || self.chance(weather.hint_loss) {
                subscription.deaf = true;
                continue;
            }
            let (to, connection) = (subscription.to, subscription.connection);
            let copies = 1 + usize::from(self.chance(weather.hint_repeat));
            for _ in 0..copies {
                let latency = self.latency(Caller::Node(to));
                let disordered = self.chance(weather.hint_disorder);
                let late = if disordered {
                    self.milliseconds(1..300)
                } else {
                    Duration::ZERO
                };
                let arrival = (self.now + latency).max(subscription.last);
                subscription.last = arrival;
                let message = Event::Announce(to, connection, announcement.clone());
                self.at(arrival + late, message);
                subscription.settled_at = subscription.settled_at.max(arrival + late);
            }
        }
        self.registry(master).subscriptions = subscriptions;
    }

    /// Who has heard all that was announced before, and says to be up to date, must be there.
    fn check_listeners(&mut self, master: Master, announcement: &Announcement) {
        let Announcement::Delta(delta) = announcement else {
            return;
        };
        if self.former.is_some() {
            // It may hear the one master and read from the other.
            return;
        }
        let Some(before) = before(delta) else {
            return;
        };
        let now = self.now;
        let listeners = self.registry(master).subscriptions.iter();
        let listeners = listeners.filter(|it| !it.deaf && !it.full && it.settled_at < now);
        let listeners: Vec<_> = listeners.map(|it| (it.to, it.connection)).collect();
        for (to, connection) in listeners {
            let node = &self.nodes[to.node];
            let hears = self.is_current(to) && node.hears(connection) && node.stopped_until <= now;
            let own = node.follower.position();
            assert!(
                !hears || !node.follower.is_current() || own == Some(before),
                "{to:?} says to be up to date, and is at {own:?}, not at {before}"
            );
        }
    }

    /// A message of a subscription waits for its receiver.
    pub(crate) fn delay_until(&mut self, connection: u64, arrival: Duration) {
        for registry in self.former.iter_mut().chain([&mut self.redis]) {
            let mut subscriptions = registry.subscriptions.iter_mut();
            if let Some(own) = subscriptions.find(|it| it.connection == connection) {
                own.settled_at = own.settled_at.max(arrival);
            }
        }
    }

    /// Announces what was written past all who take part.
    pub(crate) fn announce_to_all(&mut self, announcement: Announcement) {
        self.announce(Master::Present, announcement);
    }

    /// Ends nodes' subscriptions; each notices it some time later.
    pub(crate) fn end_subscriptions(
        &mut self,
        wanted: impl Fn(&Subscription) -> bool,
        noticed_within: Duration,
    ) {
        let mut ended = Vec::new();
        for registry in self.former.iter_mut().chain([&mut self.redis]) {
            let all = std::mem::take(&mut registry.subscriptions);
            let (gone, kept): (Vec<_>, _) = all.into_iter().partition(&wanted);
            registry.subscriptions = kept;
            ended.extend(gone);
        }
        self.notice(ended, noticed_within);
    }

    pub(crate) fn notice(&mut self, ended: Vec<Subscription>, within: Duration) {
        for subscription in ended {
            let delay = self.random.random_range(Duration::ZERO..within);
            let lost = Event::Lost(subscription.to, subscription.connection);
            self.after(delay, lost);
        }
    }

    fn is_cut(&self, from: Caller) -> bool {
        match from {
            Caller::Node(address) => self.now < self.nodes[address.node].cut_until,
            Caller::Operation(_) => false,
        }
    }

    /// How long a message takes to or from somebody.
    fn latency(&mut self, of: Caller) -> Duration {
        let slow = match of {
            Caller::Node(address) => self.nodes[address.node].slow,
            Caller::Operation(_) => self.slow,
        };
        let slowness = match self.now < slow.until {
            true => slow.by,
            false => Duration::ZERO,
        };
        if self.chance(self.weather.delay) {
            return slowness + self.milliseconds(10..390);
        }
        let micros = self.random.random_range(300..5_000);
        slowness + Duration::from_micros(micros)
    }

    /// Tells an answer's receiver, if it is still the same.
    pub(crate) fn answer(&mut self, to: Caller, answer: Answer) {
        match to {
            Caller::Node(address) => self.node_answered(address, answer),
            Caller::Operation(index) => self.operation_answered(index, answer),
        }
    }

    /// The registry ends a subscription over which it could not send all.
    pub(crate) fn overflow(&mut self, to: Address, connection: u64) {
        let own = |it: &Subscription| it.to == to && it.connection == connection;
        self.end_subscriptions(own, FAREWELL);
    }
}

/// Where the registry stood before a revision; nothing for the first of a history.
fn before(delta: &Delta) -> Option<Position> {
    let is_first = delta.previous.0.is_nil();
    (!is_first).then(|| Position {
        epoch: delta.epoch,
        revision: Revision(delta.revision.0 - 1),
        id: delta.previous,
    })
}

/// A link over which each message takes longer, for a while.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slow {
    pub(crate) by: Duration,
    pub(crate) until: Duration,
}

//! How long messages take, and which of them get lost.

use std::time::Duration;

use rand::RngExt;

use crate::call::{Address, Answer, Call, Caller, Event, Question};
use crate::registry::shared;
use crate::world::World;

/// After so long a process takes a request for failed.
const REQUEST_LIMIT: Duration = Duration::from_millis(400);

/// After so long, at most, a process notices that its subscription ended.
const SILENCE_LIMIT: Duration = Duration::from_millis(1_500);

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
        let unreachable = self.is_cut(from) || self.redis.is_down(self.now);
        if unreachable && !late {
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
            life: (!late).then_some(self.redis.life),
            unanswered,
            question,
        };
        let latency = delay + self.latency();
        self.after(latency, Event::Arrive(Box::new(call)));
    }

    /// The registry executes a request, unless the connection ended meanwhile.
    pub(crate) fn arrive(&mut self, call: &Call) {
        let broken = call.life.is_some_and(|life| life != self.redis.life);
        if broken || self.redis.is_down(self.now) {
            return self.after(
                REQUEST_LIMIT,
                Event::Answer(call.from, Box::new(call.question.failure())),
            );
        }
        let executed = self.redis.execute(call, self.now, &mut self.ledger);
        if let Some(announcement) = executed.announcement {
            self.announce(announcement);
        }
        if executed.wrote && self.chance(self.weather.replication) {
            self.redis.replicate(&call.question, self.now);
        }
        let (delay, answer) = if call.unanswered {
            (REQUEST_LIMIT, call.question.failure())
        } else {
            (self.latency(), executed.answer)
        };
        if executed.subscribed {
            // What is announced from now on comes after the confirmation.
            let arrival = self.now + delay;
            let own = self.redis.subscriptions.last_mut();
            own.expect("it was just added").last = arrival;
        }
        self.after(delay, Event::Answer(call.from, Box::new(answer)));
    }

    fn announce(&mut self, announcement: registry::Announcement) {
        let announcement = shared(announcement);
        for index in 0..self.redis.subscriptions.len() {
            let weather = self.weather;
            if self.chance(weather.hint_loss) {
                continue;
            }
            let copies = 1 + usize::from(self.chance(weather.hint_repeat));
            for _ in 0..copies {
                let latency = self.latency();
                let disordered = self.chance(weather.hint_disorder);
                let late = if disordered {
                    self.milliseconds(1..300)
                } else {
                    Duration::ZERO
                };
                let subscription = &mut self.redis.subscriptions[index];
                let arrival = (self.now + latency).max(subscription.last);
                subscription.last = arrival;
                let (to, connection) = (subscription.to, subscription.connection);
                let message = Event::Announce(to, connection, announcement.clone());
                self.at(arrival + late, message);
            }
        }
    }

    /// Ends a node's subscriptions; the node notices it some time later.
    pub(crate) fn end_subscriptions(&mut self, wanted: impl Fn(Address) -> bool) {
        let all = std::mem::take(&mut self.redis.subscriptions);
        let (ended, kept) = all.into_iter().partition(|it| wanted(it.to));
        self.redis.subscriptions = kept;
        self.notice(ended);
    }

    pub(crate) fn notice(&mut self, ended: Vec<crate::registry::Subscription>) {
        for subscription in ended {
            let delay = self.random.random_range(Duration::ZERO..SILENCE_LIMIT);
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

    fn latency(&mut self) -> Duration {
        if self.chance(self.weather.delay) {
            return self.milliseconds(10..390);
        }
        let micros = self.random.random_range(300..5_000);
        Duration::from_micros(micros)
    }

    /// Tells an answer's receiver, if it is still the same.
    pub(crate) fn answer(&mut self, to: Caller, answer: Answer) {
        match to {
            Caller::Node(address) => self.node_answered(address, answer),
            Caller::Operation(index) => self.operation_answered(index, answer),
        }
    }
}

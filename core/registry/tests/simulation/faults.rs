//! What goes wrong in a schedule, one thing at a time or some of them together.

use std::time::Duration;

use model::Collection;
use registry::{Store, StoreKey};

use crate::call::{Caller, Event, Question};
use crate::ledger;
use crate::network::{FAREWELL, SILENCE_LIMIT, Slow};
use crate::node::{Part, instance_of};
use crate::world::World;

/// How far a wall clock is set.
const HOUR: Duration = Duration::from_secs(3_600);

/// What is no element.
const NONSENSE: &str = "nonsense {";

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Redis comes back with nothing.
    Emptied,
    /// A replica takes over that lacks the last writes.
    Failover,
    /// A replica takes over, and the former master goes on for some of the fleet: its writes are lost in the end.
    SplitBrain,
    Restarted,
    /// Redis executes nothing for a while, and then all that it was asked meanwhile.
    Stopped,
    /// Somebody empties Redis, and no connection ends.
    Flushed,
    /// Redis evicts a key, or somebody removes or spoils an element.
    Evicted,
    /// No new connection is let in, or no write is taken.
    Refusing,
    /// Redis's wall clock is set by an hour.
    ClockSet,
    SubscriptionsKilled,
    /// Messages are lost before a subscription is ended.
    OutputBufferFull,
    Slow,
    CutOff,
    /// A process does nothing for a while, and then all that is due.
    ProcessStopped,
    ProcessKilled,
    /// A process ends as it should.
    ProcessEnded,
    /// Every orchestrator is killed, perhaps together with Redis.
    OrchestratorsKilled,
    DiskFull,
    Joined,
}

impl Fault {
    /// What is drawn from: what does the most harm is there more than once.
    const ALL: &[Self] = &[
        Self::Emptied,
        Self::Failover,
        Self::Failover,
        Self::SplitBrain,
        Self::SplitBrain,
        Self::Restarted,
        Self::Stopped,
        Self::Flushed,
        Self::Evicted,
        Self::Evicted,
        Self::Refusing,
        Self::ClockSet,
        Self::SubscriptionsKilled,
        Self::OutputBufferFull,
        Self::Slow,
        Self::CutOff,
        Self::CutOff,
        Self::ProcessStopped,
        Self::ProcessStopped,
        Self::ProcessKilled,
        Self::ProcessKilled,
        Self::ProcessEnded,
        Self::OrchestratorsKilled,
        Self::DiskFull,
        Self::Joined,
    ];
}

impl World {
    pub(crate) fn fault(&mut self) {
        if self.now >= self.peace_at {
            return;
        }
        let fault = Fault::ALL[self.below(Fault::ALL.len())];
        self.narrate(&fault);
        match fault {
            Fault::Emptied => self.replace_registry(Store::default()),
            Fault::Failover => self.fail_over(),
            Fault::SplitBrain => self.split_brain(),
            Fault::Restarted => {
                let ended = self.redis.disconnect();
                self.notice(ended, SILENCE_LIMIT);
                self.redis.hindrance.down = self.now + self.milliseconds(0..1_500);
            }
            Fault::Stopped => self.stop_registry(),
            Fault::Flushed => {
                self.redis.flush();
                self.lost_at = Some(self.now);
            }
            Fault::Evicted => self.evict(),
            Fault::Refusing => {
                let until = self.now + self.milliseconds(100..3_000);
                match self.chance(0.5) {
                    true => self.redis.hindrance.closed = until,
                    false => self.redis.hindrance.full = until,
                }
            }
            Fault::ClockSet => self.set_clock(),
            Fault::SubscriptionsKilled => self.kill_subscriptions(),
            Fault::OutputBufferFull => self.fill_output_buffer(),
            Fault::Slow => self.slow_down(),
            Fault::CutOff => self.cut_off(),
            Fault::ProcessStopped => {
                let node = self.below(self.nodes.len());
                self.nodes[node].stopped_until = self.now + self.milliseconds(200..6_000);
            }
            Fault::ProcessKilled => {
                let node = self.below(self.nodes.len());
                self.kill(node);
            }
            Fault::ProcessEnded => self.end_in_order(),
            Fault::OrchestratorsKilled => self.kill_orchestrators(),
            Fault::DiskFull => {
                let node = self.below(self.nodes.len());
                self.nodes[node].disk_full_until = self.now + self.milliseconds(500..6_000);
            }
            Fault::Joined => {
                let node = self.nodes.len();
                self.add_balancer();
                self.start(node);
            }
        }
    }

    fn replace_registry(&mut self, store: Store) {
        let mut ended = self.redis.replace(store);
        self.lost_at = Some(self.now);
        // At times a connection to the old registry stays, and is silent from then on.
        ended.retain(|_| !self.chance(0.15));
        self.notice(ended, SILENCE_LIMIT);
        self.redis.hindrance.down = self.now + self.milliseconds(0..800);
    }

    fn fail_over(&mut self) {
        self.move_to_another_host();
        self.replace_registry(self.redis.replica.clone());
    }

    /// No two hosts' clocks agree.
    fn move_to_another_host(&mut self) {
        let difference = self.milliseconds(0..1_000);
        match self.chance(0.5) {
            true => self.redis.set_forward(difference),
            false => self.redis.set_back(difference),
        }
    }

    /// Some go on with the former master, until it is found out.
    fn split_brain(&mut self) {
        if self.former.is_some() {
            return;
        }
        let promoted = self.redis.promoted();
        self.former = Some(std::mem::replace(&mut self.redis, promoted));
        self.move_to_another_host();
        self.lost_at = Some(self.now);
        self.redis.hindrance.down = self.now + self.milliseconds(0..800);
        for node in 0..self.nodes.len() {
            self.nodes[node].astray = self.chance(0.5);
        }
        for index in 0..self.operations.len() {
            self.operations[index].astray = self.chance(0.5);
        }
        let nodes = self.nodes.iter();
        let moved: Vec<_> = nodes.map(|node| !node.astray).collect();
        self.end_subscriptions(|it| moved[it.to.node], SILENCE_LIMIT);
        let length = self.milliseconds(200..4_000);
        self.after(length, Event::Reunite);
    }

    /// The former master follows the present one, and what was written there alone is gone.
    pub(crate) fn reunite(&mut self) {
        let Some(former) = self.former.take() else {
            return;
        };
        match self.chance(0.5) {
            // A replica passes on what its master announces, over connections that stay.
            true => self.redis.adopt(former.subscriptions),
            false => self.notice(former.subscriptions, SILENCE_LIMIT),
        }
        for listener in &mut self.redis.subscriptions {
            // What it read may be of the former master.
            listener.deaf = true;
        }
        self.lost_at = Some(self.now);
        for node in &mut self.nodes {
            node.astray = false;
        }
        for operation in &mut self.operations {
            operation.astray = false;
        }
    }

    fn stop_registry(&mut self) {
        let length = self.milliseconds(100..4_000);
        self.redis.hindrance.stopped = self.now + length;
        if length > SILENCE_LIMIT {
            // Their PINGs go unanswered.
            let all = self.chance(0.5);
            self.end_subscriptions(|it| all || it.to.node % 2 == 0, SILENCE_LIMIT);
        }
    }

    fn evict(&mut self) {
        self.lost_at = Some(self.now);
        let key = match self.below(10) {
            0 => StoreKey::Head,
            1 => StoreKey::Lease,
            2 => StoreKey::Log,
            3 => StoreKey::Answers,
            4 => StoreKey::Instances,
            5 => StoreKey::Elements(Collection::Servers),
            6 => StoreKey::Elements(Collection::ALL[self.below(Collection::ALL.len())]),
            _ => return self.lose_element(),
        };
        self.narrate(&key);
        self.redis.evict(key);
        if key == StoreKey::Instances {
            for operation in &mut self.operations {
                operation.is_bereft = true;
            }
        }
        self.ledger.is_forgetful |= key == StoreKey::Answers;
        self.ledger.is_tampered |= matches!(key, StoreKey::Elements(_));
        if self.chance(self.weather.replication) {
            self.redis.replica = self.redis.store.clone();
        }
    }

    /// Other hands remove an element or write nonsense in its place, and perhaps put it back later.
    fn lose_element(&mut self) {
        let elements = self.redis.store.elements();
        let all: Vec<_> = elements
            // Of what becomes of a newer version's nobody here can tell.
            .filter(|(collection, ..)| !collection.is_other())
            .map(|(collection, key, text)| (collection, key.clone(), text.clone()))
            .collect();
        if all.is_empty() {
            return;
        }
        let (collection, key, text) = all[self.below(all.len())].clone();
        self.ledger.is_tampered = true;
        let nonsense = self.chance(0.3).then_some(NONSENSE);
        self.redis.store.tamper(collection, &key, nonsense);
        if self.chance(0.4) {
            let pause = self.milliseconds(100..3_000);
            self.after(pause, Event::PutBack(collection, key, text));
        }
    }

    pub(crate) fn put_back(&mut self, collection: Collection, key: &str, text: &str) {
        let store = &mut self.redis.store;
        let is_it = |(own, name, found): (Collection, &String, &String)| {
            own == collection && name == key && found != NONSENSE
        };
        let Some(position) = store.head().map(|head| head.position) else {
            return;
        };
        // What was removed since in order is not missing.
        let is_there = ledger::has(self.ledger.state(position), collection, key);
        if is_there && !store.elements().any(is_it) {
            store.tamper(collection, key, Some(text));
        }
    }

    fn set_clock(&mut self) {
        match self.chance(0.5) {
            true => self.redis.set_forward(HOUR),
            false => self.redis.set_back(HOUR),
        }
        self.lost_at = Some(self.now);
    }

    fn kill_subscriptions(&mut self) {
        let all = self.chance(0.5);
        let node = self.below(self.nodes.len());
        let within = match self.chance(0.7) {
            true => FAREWELL,
            false => SILENCE_LIMIT,
        };
        self.end_subscriptions(|it| all || it.to.node == node, within);
    }

    fn fill_output_buffer(&mut self) {
        if self.redis.subscriptions.is_empty() {
            return;
        }
        let index = self.below(self.redis.subscriptions.len());
        let own = &mut self.redis.subscriptions[index];
        own.full = true;
        let overflow = Event::Overflow(own.to, own.connection);
        let pause = self.milliseconds(10..2_000);
        self.after(pause, overflow);
    }

    fn slow_down(&mut self) {
        let slow = Slow {
            by: self.milliseconds(20..250),
            until: self.now + self.milliseconds(500..5_000),
        };
        if self.chance(0.5) {
            self.slow = slow;
            for node in &mut self.nodes {
                node.slow = slow;
            }
        } else {
            let node = self.below(self.nodes.len());
            self.nodes[node].slow = slow;
        }
    }

    fn cut_off(&mut self) {
        let node = self.below(self.nodes.len());
        self.nodes[node].cut_until = self.now + self.milliseconds(200..4_000);
        // At times only what it asks is lost, and it goes on listening.
        if !self.chance(0.2) {
            self.end_subscriptions(|it| it.to.node == node, SILENCE_LIMIT);
        }
    }

    fn kill(&mut self, node: usize) {
        let pause = self.milliseconds(50..2_000);
        self.end(node, pause);
        // The file is lost, or was half written, which is as good as none.
        if self.chance(0.3) {
            self.nodes[node].disk = None;
        }
    }

    fn end(&mut self, node: usize, pause: Duration) {
        self.nodes[node].alive = false;
        self.nodes[node].stopped_until = Duration::ZERO;
        self.end_subscriptions(|it| it.to.node == node, SILENCE_LIMIT);
        self.after(pause, Event::Start(node));
    }

    /// Gives the lease back, says goodbye, and starts anew.
    fn end_in_order(&mut self) {
        let node = self.below(self.nodes.len());
        let address = self.address(node);
        if !self.is_current(address) {
            return;
        }
        if let Part::Orchestrator(own) = &mut self.nodes[node].part
            && let Some(release) = own.resign()
        {
            self.send(Caller::Node(address), Question::Lease(release));
        }
        let goodbye = Question::Deregister(instance_of(address));
        self.send(Caller::Node(address), goodbye);
        let pause = self.milliseconds(50..2_000);
        self.end(node, pause);
    }

    fn kill_orchestrators(&mut self) {
        match self.below(3) {
            0 => self.replace_registry(Store::default()),
            1 => self.fail_over(),
            _ => {}
        }
        for node in 0..self.nodes.len() {
            if matches!(self.nodes[node].part, Part::Orchestrator(_)) && self.nodes[node].alive {
                self.kill(node);
            }
        }
    }
}

//! A process that follows the registry: what balancers and orchestrators have in common.

mod following;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Collection, InstanceId, Origin, Report, Role, Snapshot};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use registry::Announcement;
use registry::follower::{Follower, Input, Request};
use uuid::Uuid;

use crate::balancer::Balancer;
use crate::call::{Address, Answer, Caller, Event, Question};
use crate::network::Slow;
use crate::orchestrator::Orchestrator;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) life: u32,
    pub(crate) alive: bool,
    pub(crate) follower: Follower,
    connection: Option<u64>,
    pub(crate) stopped_until: Duration,
    pub(crate) cut_until: Duration,
    pub(crate) disk_full_until: Duration,
    pub(crate) slow: Slow,
    /// Whether it takes a former master for the registry, where there is one.
    pub(crate) astray: bool,
    /// Whether it came to where it stands by a revision that it followed.
    stepped: bool,
    /// The next wake that is scheduled.
    wake_at: Duration,
    /// An instance registers before it reads anything.
    registered: bool,
    guarded: bool,
    pub(crate) disk: Option<Saved>,
    pub(crate) part: Part,
}

/// A state file.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    truth: Snapshot,
    in_force: Option<Snapshot>,
    /// The collections that are of a damaged registry.
    tainted: BTreeSet<Collection>,
}

#[derive(Debug)]
pub(crate) enum Part {
    Balancer(Balancer),
    Orchestrator(Box<Orchestrator>),
}

/// A process has one instance id for each of its lives.
pub(crate) fn instance_of(address: Address) -> InstanceId {
    let node = u64::try_from(address.node).expect("few nodes");
    InstanceId(Uuid::from_u64_pair(node + 1, address.life.into()))
}

impl Node {
    pub(crate) fn new(guarded: bool, part: Part) -> Self {
        Self {
            life: 0,
            alive: false,
            follower: Follower::new(SmallRng::seed_from_u64(0)),
            connection: None,
            stopped_until: Duration::ZERO,
            cut_until: Duration::ZERO,
            disk_full_until: Duration::ZERO,
            slow: Slow::default(),
            astray: false,
            stepped: false,
            wake_at: Duration::MAX,
            registered: false,
            guarded,
            disk: None,
            part,
        }
    }

    /// The copy that it could give, and whether that is whole.
    pub(crate) fn copy(&self) -> Option<(&Snapshot, bool)> {
        match (self.follower.truth(), &self.disk) {
            (Some(truth), _) => {
                let whole = !self.follower.is_tainted() && truth.faults.is_empty();
                Some((&**truth, whole))
            }
            (None, Some(disk)) => Some((&disk.truth, disk.tainted.is_empty())),
            (None, None) => None,
        }
    }

    /// Whether it listens over this connection.
    pub(crate) fn hears(&self, connection: u64) -> bool {
        self.connection == Some(connection)
    }

    /// What is wrong with it in peace.
    pub(crate) fn problem(&self, truth: &Snapshot) -> Option<String> {
        if !self.alive {
            return None;
        }
        let own = self.follower.truth();
        if own.is_none_or(|own| **own != *truth) {
            let position = self.follower.position();
            return Some(format!("{position:?} is not the truth, {}", truth.position));
        }
        let follower = &self.follower;
        let in_force = follower.in_force().expect("it has a state");
        if **in_force != *truth {
            let holds = follower.holds();
            return Some(format!(
                "what is in force differs, and this is held: {holds:?}"
            ));
        }
        if let Part::Balancer(balancer) = &self.part
            && !balancer.works_with(truth)
        {
            return Some("its workers use another table".into());
        }
        let settled = follower.is_current() && !follower.is_head_missing();
        (!settled).then(|| "it has not noticed that all is well".into())
    }
}

impl World {
    pub(crate) fn address(&self, node: usize) -> Address {
        let life = self.nodes[node].life;
        Address { node, life }
    }

    pub(crate) fn is_current(&self, address: Address) -> bool {
        let node = &self.nodes[address.node];
        node.alive && node.life == address.life
    }

    pub(crate) fn start(&mut self, index: usize) {
        let random = SmallRng::seed_from_u64(self.below(usize::MAX) as u64);
        let lease_random = SmallRng::seed_from_u64(self.below(usize::MAX) as u64);
        let node = &mut self.nodes[index];
        node.life += 1;
        node.alive = true;
        node.registered = false;
        node.stepped = false;
        node.connection = None;
        node.wake_at = Duration::MAX;
        node.follower = Follower::new(random);
        if node.guarded {
            node.follower = node.follower.clone().guarded(None);
        }
        let from_disk = node.disk.is_some();
        if matches!(node.part, Part::Orchestrator(_)) {
            node.follower = node.follower.clone().auditing();
        }
        if let Some(saved) = node.disk.clone() {
            let follower = node.follower.clone();
            let in_force = saved.in_force.clone();
            let in_force = in_force.unwrap_or_else(|| saved.truth.clone());
            node.follower = follower.booted(saved.truth, saved.in_force, saved.tainted);
            self.check_boot(index, &Arc::new(in_force));
        }
        let address = self.address(index);
        let now = self.now;
        match &mut self.nodes[index].part {
            Part::Balancer(balancer) => balancer.restart(from_disk),
            Part::Orchestrator(own) => own.restart(instance_of(address), lease_random, now),
        }
        self.swap(address);
        self.report_time(address);
        self.after_start(address);
    }

    fn after_start(&mut self, address: Address) {
        match self.nodes[address.node].part {
            Part::Balancer(_) => self.after(Duration::from_millis(20), Event::Begin(address)),
            Part::Orchestrator(_) => self.look_for_memory(address),
        }
    }

    pub(crate) fn announced(&mut self, to: Address, connection: u64, message: &Arc<Announcement>) {
        if self.is_current(to) && self.nodes[to.node].connection == Some(connection) {
            self.feed(to, Input::Announced(Announcement::clone(message)));
        }
    }

    pub(crate) fn lost(&mut self, to: Address, connection: u64) {
        if self.is_current(to) && self.nodes[to.node].connection == Some(connection) {
            self.nodes[to.node].connection = None;
            self.feed(to, Input::Lost);
        }
    }

    pub(crate) fn wake(&mut self, to: Address) {
        if !self.is_current(to) || self.now < self.nodes[to.node].wake_at {
            return;
        }
        self.nodes[to.node].wake_at = Duration::MAX;
        self.feed(to, Input::Tick);
    }

    pub(crate) fn node_answered(&mut self, to: Address, answer: Answer) {
        if !self.is_current(to) {
            return;
        }
        match answer {
            Answer::Follow(input) => self.feed(to, input.unwrap_or(Input::Failed)),
            Answer::Subscribed(connection) => {
                self.nodes[to.node].connection = Some(connection);
                self.feed(to, Input::Subscribed);
            }
            Answer::Report(stored) => self.reported(to, stored),
            Answer::Done => {}
            other => self.orchestrator_answered(to, other),
        }
    }

    /// Tells a follower what happened, checks what it makes of it, and sends what it asks for.
    fn feed(&mut self, to: Address, input: Input) {
        let now = self.now;
        let before = self.before(to, &input);
        self.nodes[to.node].follower.handle(input, now);
        self.check_followed(to, &before);
        self.hear(to);
        if self.nodes[to.node].follower.take_changed() {
            self.changed(to);
        }
        self.pump(to);
    }

    fn changed(&mut self, to: Address) {
        match &mut self.nodes[to.node].part {
            Part::Balancer(balancer) if !balancer.swapping => {
                balancer.swapping = true;
                let work = self.milliseconds(0..20);
                self.after(work, Event::Swap(to));
            }
            Part::Balancer(_) => {}
            Part::Orchestrator(_) => {
                if self.chance(0.8) {
                    self.save(to);
                }
            }
        }
    }

    /// Sends what is due, and sees to it that somebody looks again in time.
    pub(crate) fn pump(&mut self, to: Address) {
        let now = self.now;
        let node = &mut self.nodes[to.node];
        if node.registered
            && let Some(request) = node.follower.request(now)
        {
            if request == Request::Subscribe {
                node.connection = None;
            }
            self.send(Caller::Node(to), Question::Follow(request));
        }
        self.pump_lease(to);
        let node = &self.nodes[to.node];
        let mut wake = if node.registered {
            node.follower.wake()
        } else {
            Duration::MAX
        };
        if let Part::Orchestrator(own) = &node.part {
            wake = wake.min(own.wake());
        }
        let wake = wake.max(now + Duration::from_micros(100));
        if wake < node.wake_at {
            self.nodes[to.node].wake_at = wake;
            self.at(wake, Event::Wake(to));
        }
    }

    /// Writes the state file: what is followed, and what is in force where that differs.
    pub(crate) fn save(&mut self, to: Address) {
        let now = self.now;
        let node = &mut self.nodes[to.node];
        let worth = node.guarded || !node.follower.is_tainted();
        if node.follower.origin() != Origin::Registry || !worth || now < node.disk_full_until {
            return;
        }
        if let (Some(truth), Some(in_force)) = (node.follower.truth(), node.follower.in_force()) {
            let held = !Arc::ptr_eq(truth, in_force);
            node.disk = Some(Saved {
                truth: Snapshot::clone(truth),
                in_force: held.then(|| Snapshot::clone(in_force)),
                tainted: node.follower.tainted().clone(),
            });
        }
    }

    pub(crate) fn report_time(&mut self, to: Address) {
        if !self.is_current(to) {
            return;
        }
        self.send_report(to);
        if self.nodes[to.node].registered {
            let period = self.milliseconds(900..1_100);
            self.after(period, Event::Report(to));
        }
    }

    pub(crate) fn send_report(&mut self, to: Address) {
        let silent = self.chance(0.3);
        let node = &self.nodes[to.node];
        let (role, applied, began, leaving) = match &node.part {
            Part::Balancer(own) => {
                let leaving = match silent && own.mute {
                    true => [].into(),
                    false => own.leaving(),
                };
                (Role::Balancer, own.applied(), own.began, leaving)
            }
            Part::Orchestrator(_) => {
                let whole = !node.follower.is_tainted();
                let position = node.follower.position().filter(|_| whole);
                (Role::Orchestrator, position, None, [].into())
            }
        };
        let truth = node.follower.truth();
        let report = Report {
            instance: instance_of(to),
            role,
            advertise: format!("node {}", to.node),
            host: String::new(),
            region: String::new(),
            zone: String::new(),
            applied,
            began,
            origin: node.follower.origin(),
            leaving,
            loads: [].into(),
            nacks: truth.map_or_else(Vec::new, |truth| truth.faults.clone()),
            more_nacks: [].into(),
            holds: node.follower.holds(),
            ejected: Vec::new(),
            troubles: Vec::new(),
            more_troubles: 0,
            beside: [].into(),
            probes: None,
        };
        self.send(Caller::Node(to), Question::Report(Box::new(report)));
    }

    fn reported(&mut self, to: Address, stored: bool) {
        if self.nodes[to.node].registered {
            return;
        }
        let period = self.milliseconds(100..500);
        self.nodes[to.node].registered = stored;
        self.after(period, Event::Report(to));
        self.pump(to);
    }
}

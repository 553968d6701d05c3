//! The simulated Redis: one store, what a replica has of it, and who is subscribed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Author, Delta, Epoch, InstanceId, Position, Term};
use registry::follower::{Input, Request};
use registry::{
    Announcement, Commit, FORGET_AFTER, Head, LEASE, LeaseRequest, Life, Listing, Store, StoreKey,
};

use crate::call::{Address, Answer, Call, Caller, Question};
use crate::ledger::Ledger;

/// What a Redis's wall clock says as the simulation begins.
const WALL_CLOCK: Duration = Duration::from_secs(1_000_000);

#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) store: Store,
    /// What a failover would leave.
    pub(crate) replica: Store,
    /// One unbroken memory: after a restart or a failover it is another.
    life: u32,
    /// What the connections that are open have in common. A call over former ones is lost.
    pub(crate) connections: u32,
    pub(crate) subscriptions: Vec<Subscription>,
    next_connection: u64,
    pub(crate) hindrance: Hindrance,
    /// What its wall clock is ahead of the simulation's.
    ahead: Duration,
    /// Who took the lease last, kept apart from the store.
    leader: Option<(Epoch, InstanceId, Term)>,
    /// Who was registered when each revision was written last.
    known: HashMap<Position, Vec<InstanceId>>,
}

/// Until when a registry cannot do what it should.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hindrance {
    pub(crate) down: Duration,
    /// It executes nothing, and what arrives waits.
    pub(crate) stopped: Duration,
    /// It lets no new connection in: it has too many, or the password is another one.
    pub(crate) closed: Duration,
    /// It takes no write: its disk is full, or its memory.
    pub(crate) full: Duration,
}

#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) to: Address,
    pub(crate) connection: u64,
    /// When its last message arrives: messages of one connection keep their order.
    pub(crate) last: Duration,
    /// Whether its output buffer is full: nothing more is sent over it.
    pub(crate) full: bool,
    /// When the last of its messages arrives that are on their way.
    pub(crate) settled_at: Duration,
    /// Whether something was announced that its receiver cannot have heard.
    pub(crate) deaf: bool,
}

/// What executing a call came to.
pub(crate) struct Executed {
    pub(crate) answer: Answer,
    pub(crate) announcement: Option<Announcement>,
    pub(crate) subscribed: bool,
    pub(crate) wrote: bool,
}

impl Redis {
    pub(crate) fn new() -> Self {
        Self {
            store: Store::default(),
            replica: Store::default(),
            life: 0,
            connections: 0,
            subscriptions: Vec::new(),
            next_connection: 0,
            hindrance: Hindrance::default(),
            ahead: WALL_CLOCK,
            leader: None,
            known: HashMap::new(),
        }
    }

    pub(crate) fn is_down(&self, now: Duration) -> bool {
        now < self.hindrance.down
    }

    /// Whether it refuses a request that reaches it.
    pub(crate) fn refuses(&self, question: &Question, now: Duration) -> bool {
        let subscribes = matches!(question, Question::Follow(Request::Subscribe));
        (subscribes && now < self.hindrance.closed)
            || (question.writes() && now < self.hindrance.full)
    }

    /// Restarts with another content; every connection ends.
    pub(crate) fn replace(&mut self, store: Store) -> Vec<Subscription> {
        self.store = store;
        self.replica = self.store.clone();
        self.life += 1;
        self.forget_leader();
        self.disconnect()
    }

    /// Every connection ends, and nothing else.
    pub(crate) fn disconnect(&mut self) -> Vec<Subscription> {
        self.connections += 1;
        std::mem::take(&mut self.subscriptions)
    }

    /// Its replica as another master, beside which this one goes on.
    pub(crate) fn promoted(&self) -> Self {
        let mut promoted = Self {
            store: self.replica.clone(),
            replica: self.replica.clone(),
            life: self.life + 1,
            connections: self.connections + 1,
            subscriptions: Vec::new(),
            // Connections of both are told apart.
            next_connection: self.next_connection + 1_000_000,
            hindrance: Hindrance::default(),
            known: self.known.clone(),
            ..*self
        };
        promoted.forget_leader();
        promoted
    }

    /// Loses everything, and keeps its connections.
    pub(crate) fn flush(&mut self) {
        self.store = Store::default();
        self.replica = Store::default();
        self.forget_leader();
    }

    /// Loses one key.
    pub(crate) fn evict(&mut self, key: StoreKey) {
        self.store.evict(key);
    }

    /// Takes over who listened to a former master, and hears from now on what this one announces.
    pub(crate) fn adopt(&mut self, listeners: Vec<Subscription>) {
        self.subscriptions.extend(listeners);
    }

    /// The leader is who the store says, from now on.
    fn forget_leader(&mut self) {
        self.leader = self.store.head().and_then(|head| {
            let leader = head.leader?;
            Some((head.position.epoch, leader, head.term))
        });
    }

    /// What its wall clock says.
    pub(crate) fn time(&self, now: Duration) -> Duration {
        self.ahead + now
    }

    pub(crate) fn set_forward(&mut self, step: Duration) {
        self.ahead += step;
    }

    pub(crate) fn set_back(&mut self, step: Duration) {
        self.ahead -= step;
    }

    /// The replica follows a write, and whatever was written before it.
    pub(crate) fn replicate(&mut self, question: &Question, now: Duration) {
        match question {
            // Far more frequent than all others, and of no consequence to them.
            Question::Report(report) => self.replica.report(report, self.time(now)),
            _ => self.replica = self.store.clone(),
        }
    }

    pub(crate) fn execute(&mut self, call: &Call, now: Duration, ledger: &mut Ledger) -> Executed {
        let now = self.time(now);
        let mut announcement = None;
        let mut wrote = false;
        let answer = match &call.question {
            Question::Follow(Request::Subscribe) => self.subscribe(call),
            Question::Follow(request) => Answer::Follow(Some(self.read(*request))),
            Question::Lease(request) => {
                let head = self.lease(call, *request, now);
                if let (LeaseRequest::Renew(_) | LeaseRequest::Release(_), Some(head)) =
                    (request, &head)
                {
                    announcement = Some(Announcement::Heartbeat(head.clone()));
                }
                Answer::Lease(Some(head))
            }
            Question::Commit(commit) => {
                let (answer, delta) = self.commit(commit, now, ledger);
                wrote = delta.is_some();
                announcement = delta.map(Announcement::Delta);
                answer
            }
            Question::Report(report) => {
                self.store.report(report, now);
                wrote = true;
                Answer::Report(true)
            }
            Question::Deregister(instance) => {
                wrote = self.store.forget(*instance);
                Answer::Done
            }
            Question::Forget(leadership, instance) => {
                if self.store.check_leadership(leadership).is_ok() {
                    // No schedule lasts that long.
                    let forgotten = self.store.forget(*instance);
                    assert!(!forgotten, "{instance} was not silent for {FORGET_AFTER:?}");
                }
                Answer::Done
            }
            Question::Instances => Answer::Instances(Some(Listing {
                life: Life(self.life.to_string()),
                remembered: self.store.remembered(now),
                position: self.store.head().map(|head| head.position),
                instances: self.store.instances(now),
            })),
            Question::Log(after) => Answer::Log(Some(self.store.log_after(*after))),
            Question::Fork(after) => {
                let head = self.store.head().cloned();
                Answer::Fork(Some(head.zip(self.store.log_after(*after))))
            }
            Question::Seed(snapshot, copied) => {
                let is_there = self.store.head().is_some();
                if let Some(delta) = self.store.seed(snapshot) {
                    assert!(!is_there, "a head was made where there was one");
                    ledger.seeded(snapshot, *copied);
                    self.remember(snapshot.position, now);
                    self.leader = None;
                    announcement = Some(Announcement::Delta(delta));
                    wrote = true;
                }
                Answer::Done
            }
        };
        Executed {
            subscribed: matches!(answer, Answer::Subscribed(_)),
            answer,
            announcement,
            wrote,
        }
    }

    fn commit(
        &mut self,
        commit: &Commit,
        now: Duration,
        ledger: &mut Ledger,
    ) -> (Answer, Option<Delta>) {
        let result = self.store.commit(commit, now);
        let head = self.store.head().map(|head| head.position);
        let (result, delta) = match result {
            Ok((committed, delta)) => (Ok(committed), delta),
            Err(error) => (Err(error), None),
        };
        if let Some(delta) = &delta {
            self.check_leader(commit, delta);
            ledger.committed(commit, delta);
            self.remember(delta.position(), now);
        }
        if let (Ok(committed), Some(head)) = (&result, head) {
            let told = committed.position;
            let is_there = ledger.follows(head, told);
            assert!(is_there, "the answer to a commit is {told}, which is lost");
        }
        (Answer::Commit(commit.id, Some(result)), delta)
    }

    fn remember(&mut self, position: Position, now: Duration) {
        let instances = self.store.instances(now).into_iter();
        let known = instances.map(|it| it.report.instance).collect();
        self.known.insert(position, known);
    }

    /// Who was registered when the revision was committed. A registry that still holds it holds them too,
    /// whatever a failover lost: writes are replicated in their order.
    pub(crate) fn known_at(&self, position: Position) -> Vec<InstanceId> {
        self.known.get(&position).cloned().unwrap_or_default()
    }

    fn subscribe(&mut self, call: &Call) -> Answer {
        let Caller::Node(to) = call.from else {
            unreachable!("operations do not subscribe");
        };
        self.next_connection += 1;
        self.subscriptions.push(Subscription {
            to,
            connection: self.next_connection,
            last: Duration::ZERO,
            full: false,
            settled_at: Duration::ZERO,
            deaf: false,
        });
        Answer::Subscribed(self.next_connection)
    }

    fn read(&self, request: Request) -> Input {
        match request {
            Request::Subscribe => Input::Subscribed,
            Request::ReadHead => Input::Head(self.store.head().cloned()),
            Request::ReadLog(after) => Input::Log(self.store.log_after(after)),
            Request::ReadSnapshot => Input::Snapshot(self.store.snapshot().map(Box::new)),
        }
    }

    fn lease(&mut self, call: &Call, request: LeaseRequest, now: Duration) -> Option<Head> {
        let Caller::Node(address) = call.from else {
            unreachable!("operations do not lead");
        };
        let instance = crate::node::instance_of(address);
        match request {
            LeaseRequest::Acquire => {
                let head = self.store.acquire(instance, LEASE, now)?;
                self.leader = Some((head.position.epoch, instance, head.term));
                Some(head)
            }
            LeaseRequest::Renew(term) => self.store.renew(instance, term, LEASE, now),
            LeaseRequest::Release(term) => {
                let head = self.store.release(instance, term)?;
                self.leader = None;
                Some(head)
            }
        }
    }

    /// A write of a leader takes effect only while nobody took the lease after it.
    fn check_leader(&self, commit: &Commit, delta: &Delta) {
        for (instance, term) in leaders(commit) {
            let expected = Some((delta.epoch, instance, term));
            assert_eq!(
                self.leader, expected,
                "a write of who no longer leads took effect"
            );
        }
    }
}

/// Who has to lead for the commit to be made.
pub(crate) fn leaders(commit: &Commit) -> impl Iterator<Item = (InstanceId, Term)> {
    let author = match &commit.author {
        Author::Leader { instance, term } => Some((*instance, *term)),
        Author::Operator { .. } | Author::Source { .. } => None,
    };
    let fence = commit.leadership.map(|fence| (fence.instance, fence.term));
    author.into_iter().chain(fence)
}

/// One announcement for all who listen.
pub(crate) fn shared(announcement: Announcement) -> Arc<Announcement> {
    Arc::new(announcement)
}

//! The simulated Redis: one store, what a replica has of it, and who is subscribed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Author, Delta, Epoch, InstanceId, Position, Term};
use registry::follower::{Input, Request};
use registry::{Announcement, Head, LEASE, LeaseRequest, Life, Listing, Store};

use crate::call::{Address, Answer, Call, Caller, Question};
use crate::ledger::Ledger;

#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) store: Store,
    /// What a failover would leave.
    pub(crate) replica: Store,
    /// Counts restarts and failovers: a connection lives in one of them.
    pub(crate) life: u32,
    pub(crate) down_until: Duration,
    pub(crate) subscriptions: Vec<Subscription>,
    next_connection: u64,
    /// Who took the lease last, kept apart from the store.
    leader: Option<(Epoch, InstanceId, Term)>,
    /// Who was registered when each revision was written last.
    known: HashMap<Position, Vec<InstanceId>>,
    /// When the registry last lost something.
    pub(crate) lost_at: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) to: Address,
    pub(crate) connection: u64,
    /// When its last message arrives: messages of one connection keep their order.
    pub(crate) last: Duration,
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
            down_until: Duration::ZERO,
            subscriptions: Vec::new(),
            next_connection: 0,
            leader: None,
            known: HashMap::new(),
            lost_at: None,
        }
    }

    pub(crate) fn is_down(&self, now: Duration) -> bool {
        now < self.down_until
    }

    /// Restarts with another content; every connection ends.
    pub(crate) fn replace(&mut self, store: Store, now: Duration) -> Vec<Subscription> {
        self.store = store;
        self.replica = self.store.clone();
        self.life += 1;
        self.lost_at = Some(now);
        self.leader = self.store.head().and_then(|head| {
            let leader = head.leader?;
            Some((head.position.epoch, leader, head.term))
        });
        std::mem::take(&mut self.subscriptions)
    }

    /// Every connection ends, and nothing else.
    pub(crate) fn disconnect(&mut self) -> Vec<Subscription> {
        self.life += 1;
        std::mem::take(&mut self.subscriptions)
    }

    /// The replica follows a write, and whatever was written before it.
    pub(crate) fn replicate(&mut self, question: &Question, now: Duration) {
        match question {
            // Far more frequent than all others, and of no consequence to them.
            Question::Report(report) => self.replica.report(report, now),
            _ => self.replica = self.store.clone(),
        }
    }

    pub(crate) fn execute(&mut self, call: &Call, now: Duration, ledger: &mut Ledger) -> Executed {
        let mut announcement = None;
        let mut wrote = false;
        let answer = match &call.question {
            Question::Follow(Request::Subscribe) => self.subscribe(call, now),
            Question::Follow(request) => Answer::Follow(Some(self.read(*request))),
            Question::Lease(request) => {
                let head = self.lease(call, *request, now);
                if let (LeaseRequest::Renew(_), Some(head)) = (request, &head) {
                    announcement = Some(Announcement::Heartbeat(head.clone()));
                }
                Answer::Lease(Some(head))
            }
            Question::Commit(commit) => {
                let result = self.store.commit(commit, now);
                if let Ok((_, Some(delta))) = &result {
                    self.check_leader(&commit.author, delta);
                    ledger.committed(delta);
                    self.remember(delta.position(), now);
                    announcement = Some(Announcement::Delta(delta.clone()));
                    wrote = true;
                }
                Answer::Commit(commit.id, Some(result.map(|(committed, _)| committed)))
            }
            Question::Report(report) => {
                self.store.report(report, now);
                wrote = true;
                Answer::Report(true)
            }
            Question::Instances => Answer::Instances(Some(Listing {
                life: Life(self.life.to_string()),
                instances: self.store.instances(now),
            })),
            Question::Log(after) => Answer::Log(Some(self.store.log_after(*after))),
            Question::Fork(after) => {
                let head = self.store.head().cloned();
                Answer::Fork(Some(head.zip(self.store.log_after(*after))))
            }
            Question::Seed(snapshot) => {
                if let Some(delta) = self.store.seed(snapshot) {
                    ledger.seeded(snapshot);
                    self.remember(snapshot.position, now);
                    self.leader = None;
                    announcement = Some(Announcement::Delta(delta));
                    wrote = true;
                }
                Answer::Seed
            }
        };
        Executed {
            subscribed: matches!(answer, Answer::Subscribed(_)),
            answer,
            announcement,
            wrote,
        }
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

    fn subscribe(&mut self, call: &Call, now: Duration) -> Answer {
        let Caller::Node(to) = call.from else {
            unreachable!("operations do not subscribe");
        };
        self.next_connection += 1;
        self.subscriptions.push(Subscription {
            to,
            connection: self.next_connection,
            last: now,
        });
        Answer::Subscribed(self.next_connection)
    }

    fn read(&self, request: Request) -> Input {
        match request {
            Request::Subscribe => Input::Subscribed,
            Request::ReadHead => Input::Head(self.store.head().cloned()),
            Request::ReadLog(after) => Input::Log(self.store.log_after(after)),
            Request::ReadSnapshot => Input::Snapshot(self.store.snapshot()),
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
                self.store.release(instance, term);
                None
            }
        }
    }

    /// A write of a leader takes effect only while nobody took the lease after it.
    fn check_leader(&self, author: &Author, delta: &Delta) {
        if let Author::Leader { instance, term } = author {
            let expected = Some((delta.epoch, *instance, *term));
            assert_eq!(
                self.leader, expected,
                "a write of who no longer leads took effect"
            );
        }
    }
}

/// One announcement for all who listen.
pub(crate) fn shared(announcement: Announcement) -> Arc<Announcement> {
    Arc::new(announcement)
}

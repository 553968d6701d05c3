//! What is said between processes and the registry, and to whom an answer goes.

use std::sync::Arc;

use model::{Collection, Delta, InstanceId, Position, Report, RevisionId, Snapshot};
use registry::follower::{Input, Request};
use registry::{
    Announcement, Commit, CommitError, Committed, Head, Leadership, LeaseRequest, Listing,
};

/// One life of one node: what was meant for an earlier one is not for this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) node: usize,
    pub(crate) life: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    Node(Address),
    Operation(usize),
}

/// A request on its way to the registry.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) from: Caller,
    /// The registry's connections of which it uses one; nothing where the call arrives whatever happened.
    pub(crate) connections: Option<u32>,
    /// Whether the answer will be lost.
    pub(crate) unanswered: bool,
    /// Whether the caller has been told already that there is no answer.
    pub(crate) given_up: bool,
    pub(crate) question: Question,
}

#[derive(Debug)]
pub(crate) enum Question {
    Follow(Request),
    Lease(LeaseRequest),
    Commit(Commit),
    Report(Box<Report>),
    /// An instance ends in order.
    Deregister(InstanceId),
    /// A leader takes an instance for gone.
    Forget(Leadership, InstanceId),
    Instances,
    Log(Position),
    /// The head and the log after a position, for a replay.
    Fork(Position),
    /// A head, and the position of the copy that it goes on from, if it is of one.
    Seed(Box<Snapshot>, Option<Position>),
}

/// What kind of question an answer, or its absence, belongs to.
#[derive(Debug)]
pub(crate) enum Answer {
    Follow(Option<Input>),
    /// A confirmed subscription.
    Subscribed(u64),
    Lease(Option<Option<Head>>),
    Commit(RevisionId, Option<Result<Committed, CommitError>>),
    Report(bool),
    Instances(Option<Listing>),
    Log(Option<Option<Vec<Delta>>>),
    Fork(Option<Option<(Head, Vec<Delta>)>>),
    /// Of what nobody asks how it went.
    Done,
}

impl Question {
    /// What the caller makes of no answer.
    pub(crate) fn failure(&self) -> Answer {
        match self {
            Self::Follow(_) => Answer::Follow(None),
            Self::Lease(_) => Answer::Lease(None),
            Self::Commit(commit) => Answer::Commit(commit.id, None),
            Self::Report(_) => Answer::Report(false),
            Self::Instances => Answer::Instances(None),
            Self::Log(_) => Answer::Log(None),
            Self::Fork(_) => Answer::Fork(None),
            Self::Deregister(_) | Self::Forget(..) | Self::Seed(..) => Answer::Done,
        }
    }

    /// Whether the registry has to write for it.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Lease(_)
            | Self::Commit(_)
            | Self::Report(_)
            | Self::Deregister(_)
            | Self::Forget(..)
            | Self::Seed(..) => true,
            Self::Follow(_) | Self::Instances | Self::Log(_) | Self::Fork(_) => false,
        }
    }
}

/// What happens at a moment.
#[derive(Debug)]
pub(crate) enum Event {
    Arrive(Box<Call>),
    Answer(Caller, Box<Answer>),
    Announce(Address, u64, Arc<Announcement>),
    /// The registry ends a subscription of which it could not send all.
    Overflow(Address, u64),
    /// The end of a subscription is noticed.
    Lost(Address, u64),
    Wake(Address),
    /// The workers of a balancer let go of their older tables.
    Swap(Address),
    /// The time for a report.
    Report(Address),
    /// A client's request begins.
    Begin(Address),
    /// And ends.
    Finish(Address, balancer_load::Load),
    /// An orchestrator looks whether the registry has its memory.
    Recover(Address),
    Start(usize),
    Fault,
    /// Other hands put an element back as it was.
    PutBack(Collection, String, String),
    /// Of two masters, the old one is found out.
    Reunite,
    Operate(usize),
    /// An operator looks at the instances again.
    Look(usize),
    /// The faults are over.
    Peace,
    /// Whether all is as it should be.
    Check,
}

pub(crate) mod balancer_load {
    use model::{Revision, ServerKey};

    /// What a request in flight counts on.
    pub(crate) type Load = (ServerKey, Revision);
}

//! Whether this orchestrator leads, as a pure state machine.
//!
//! The lease counts from the moment its request was sent, on the owner's own clock, less a margin: the
//! owner always stops before the registry lets another one in. A process that was stopped and resumed
//! asks `leadership` before each write and learns that it may not. The registry refuses late writes anyway,
//! by epoch and term; this spares the attempt, and covers what is not a write.

use std::time::Duration;

use model::{Author, Epoch, InstanceId, Term};
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::Head;
use crate::timing::{CANDIDACY_PERIOD, HEARTBEAT_PERIOD, LEASE};

/// How much earlier than the registry the owner considers its lease over.
const MARGIN: Duration = Duration::from_millis(500);

/// How soon a request that failed is made again while the lease still runs.
const RETRY_PERIOD: Duration = Duration::from_millis(250);

/// A leadership, as every write of the leader must name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    pub instance: InstanceId,
    pub epoch: Epoch,
    pub term: Term,
}

impl Leadership {
    /// The author of the leader's own changes. Their commits also name the epoch.
    pub fn author(&self) -> Author {
        Author::Leader {
            instance: self.instance,
            term: self.term,
        }
    }
}

/// What to ask the registry for, with `LEASE` as the lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseRequest {
    Acquire,
    Renew(Term),
    Release(Term),
}

/// One orchestrator's view of the lease. Times are durations on one monotonic clock of the process.
#[derive(Debug, Clone)]
pub struct Lease {
    instance: InstanceId,
    state: State,
    /// When the request under way was sent.
    sent: Option<Duration>,
    /// When the next request is due.
    due: Duration,
    random: SmallRng,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Standby,
    Leading {
        leadership: Leadership,
        sure_until: Duration,
    },
    Resigned,
}

impl Lease {
    /// A candidate, whose first request is due at once.
    pub fn new(instance: InstanceId, random: SmallRng) -> Self {
        Self {
            instance,
            state: State::Standby,
            sent: None,
            due: Duration::ZERO,
            random,
        }
    }

    /// The request to send now, if one is due and none is under way. Its answer goes to `answered`.
    pub fn request(&mut self, now: Duration) -> Option<LeaseRequest> {
        if self.sent.is_some() || now < self.due {
            return None;
        }
        let request = match self.state {
            State::Standby => LeaseRequest::Acquire,
            State::Leading { leadership, .. } => LeaseRequest::Renew(leadership.term),
            State::Resigned => return None,
        };
        self.sent = Some(now);
        Some(request)
    }

    /// When `request` next has something to say, unless a request is under way.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Whether a request is under way.
    pub fn is_waiting(&self) -> bool {
        self.sent.is_some()
    }

    /// Takes the answer to the request under way: the head that the lease was taken or renewed with,
    /// nothing where somebody else holds it, or a failure of which nobody knows what it did.
    pub fn answered(&mut self, answer: Result<Option<&Head>, ()>, now: Duration) {
        let Some(sent) = self.sent.take() else { return };
        match answer {
            Ok(Some(head)) if !matches!(self.state, State::Resigned) => self.lead(head, sent),
            Ok(_) => self.step_down(now),
            Err(()) => self.due = now + self.retry_delay(),
        }
    }

    /// The leadership to act under, if it is certain at this moment. To be asked before each write.
    pub fn leadership(&self, now: Duration) -> Option<Leadership> {
        match self.state {
            State::Leading {
                leadership,
                sure_until,
            } if now < sure_until => Some(leadership),
            _ => None,
        }
    }

    /// Until when the leadership is certain, where there is one: somebody should look again then.
    pub fn sure_until(&self) -> Option<Duration> {
        match self.state {
            State::Leading { sure_until, .. } => Some(sure_until),
            _ => None,
        }
    }

    /// The registry refused a write of this leadership: it knows better. Of a former one, it is no news.
    pub fn refused(&mut self, refused: Leadership, now: Duration) {
        if matches!(self.state, State::Leading { leadership, .. } if leadership == refused) {
            self.step_down(now);
        }
    }

    /// Gives up for good: the request to send, where there is a lease to give back.
    pub fn resign(&mut self) -> Option<LeaseRequest> {
        let state = std::mem::replace(&mut self.state, State::Resigned);
        match state {
            State::Leading { leadership, .. } => Some(LeaseRequest::Release(leadership.term)),
            _ => None,
        }
    }

    fn lead(&mut self, head: &Head, sent: Duration) {
        let leadership = Leadership {
            instance: self.instance,
            epoch: head.position.epoch,
            term: head.term,
        };
        // A new leader's first renewal is due at once: it is the heartbeat by which all learn of it.
        self.due = match self.state {
            State::Leading { .. } => sent + HEARTBEAT_PERIOD,
            _ => sent,
        };
        self.state = State::Leading {
            leadership,
            sure_until: sent + LEASE - MARGIN,
        };
    }

    fn step_down(&mut self, now: Duration) {
        if !matches!(self.state, State::Resigned) {
            self.state = State::Standby;
        }
        self.due = now + self.candidacy_delay();
    }

    fn retry_delay(&mut self) -> Duration {
        match self.state {
            State::Leading { .. } => RETRY_PERIOD,
            _ => self.candidacy_delay(),
        }
    }

    /// Candidates do not ask in step.
    fn candidacy_delay(&mut self) -> Duration {
        CANDIDACY_PERIOD.mul_f64(self.random.random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests;
